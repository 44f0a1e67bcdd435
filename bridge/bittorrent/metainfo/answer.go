package metainfo

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"kith"
)

// Limits of what a tracker answers.
const (
	MaxAnswer    = 2 << 20 // bytes
	MaxPeers     = 500     // peers that are taken of one answer
	PerAddress   = 8       // of them at one address: somebody behind whose router are many; more would be an attack on whoever is there
	answerValues = 1 << 17 // strings, numbers, lists and dictionaries in it
	answerDepth  = 8       // of them within each other
)

// An Answer is what a tracker says to an announcement (BEP 3, BEP 7, BEP 23).
type Answer struct {
	Failure  string // why it refuses; then there is nothing else
	Interval int64  // seconds until it wants to be told again, as it says
	Seeds    int64
	Leeches  int64
	Peers    []netip.AddrPort
}

// ParseAnswer reads an answer in bencode. Of its peers those that good refuses are left out; nil: none. Errors: Invalid, TooLarge.
func ParseAnswer(data []byte, good func(netip.Addr) bool) (Answer, error) {
	a, err := parseAnswer(data, good)
	if err != nil {
		return a, fmt.Errorf("metainfo: read answer of tracker: %w", err)
	}
	return a, nil
}

func parseAnswer(data []byte, good func(netip.Addr) bool) (a Answer, err error) {
	if len(data) > MaxAnswer {
		return a, fmt.Errorf("more than %d bytes: %w", MaxAnswer, kith.TooLarge)
	}
	dec := decoder{all: data, left: answerValues}
	v, err := dec.value(maxDepth - answerDepth) // what is behind it is of no interest: some end with a line
	if err != nil {
		return a, err
	}
	d, ok := v.(dict)
	if !ok {
		return a, fmt.Errorf("it is no dictionary: %w", kith.Invalid)
	}
	if f, ok := d.get("failure reason").(text); ok {
		a.Failure = string(f)
		return a, nil
	}
	a.Interval, _ = d.get("interval").(int64)
	if m, _ := d.get("min interval").(int64); m > a.Interval {
		a.Interval = m
	}
	a.Seeds, _ = d.get("complete").(int64)
	a.Leeches, _ = d.get("incomplete").(int64)
	at := map[netip.Addr]int{}
	seen := map[netip.AddrPort]bool{}
	add := func(addr netip.Addr, port int64) {
		addr = addr.Unmap().WithZone("")
		p := netip.AddrPortFrom(addr, uint16(port))
		if !addr.IsValid() || port <= 0 || port >= 1<<16 || len(a.Peers) >= MaxPeers || at[addr] >= PerAddress || seen[p] || good != nil && !good(addr) {
			return
		}
		at[addr]++
		seen[p] = true
		a.Peers = append(a.Peers, p)
	}
	switch peers := d.get("peers").(type) {
	case text:
		compact(peers, 4, add)
	case list:
		for _, v := range peers {
			d, _ := v.(dict)
			ip, _ := d.get("ip").(text)
			port, _ := d.get("port").(int64)
			if addr, err := netip.ParseAddr(string(ip)); err == nil { // a name is not looked up
				add(addr, port)
			}
		}
	}
	if peers, ok := d.get("peers6").(text); ok {
		compact(peers, 16, add)
	}
	return a, nil
}

// compact reads peers whose addresses have so many bytes. What is left over at the end is none.
func compact(b []byte, size int, add func(netip.Addr, int64)) {
	for ; len(b) >= size+2; b = b[size+2:] {
		addr, _ := netip.AddrFromSlice(b[:size])
		add(addr, int64(binary.BigEndian.Uint16(b[size:])))
	}
}

// Encode returns the answer in bencode, as BEP 23 has it.
func (a Answer) Encode() []byte {
	var e encoder
	e.WriteByte('d')
	if a.Failure != "" {
		e.text("failure reason")
		e.text(a.Failure)
		e.WriteByte('e')
		return e.Bytes()
	}
	var v4, v6 []byte
	for _, p := range a.Peers {
		if p.Addr().Is4() {
			v4 = binary.BigEndian.AppendUint16(append(v4, p.Addr().AsSlice()...), p.Port())
		} else {
			v6 = binary.BigEndian.AppendUint16(append(v6, p.Addr().AsSlice()...), p.Port())
		}
	}
	e.pair("complete", a.Seeds)
	e.pair("incomplete", a.Leeches)
	e.pair("interval", a.Interval)
	e.text("peers")
	e.text(string(v4))
	if v6 != nil {
		e.text("peers6")
		e.text(string(v6))
	}
	e.WriteByte('e')
	return e.Bytes()
}
