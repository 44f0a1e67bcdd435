package tracker

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"net"
	"net/netip"
	"slices"
	"time"

	"kith"
)

// Actions (BEP 15).
const (
	actConnect = iota
	actAnnounce
	actScrape
	actError
)

const (
	connectMagic = 0x41727101980
	idEpoch      = time.Minute // a connection id is good in the minute it was given and the two after it: a client may use it for one, and its request may be late
	idEpochs     = 3
)

// serveUDP answers what comes to a socket that listens at addr (zero: at all) until it is closed.
func (t *Tracker) serveUDP(c *net.UDPConn, addr netip.Addr) {
	u := udp{t: t, here: addr, mac: newMAC(t), out: make([]byte, 0, maxPacket), peers: make([]peer, 0, maxWant)}
	in := make([]byte, maxPacket)
	for {
		n, from, err := c.ReadFromUDPAddrPort(in)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(time.Millisecond) // what the system tells of an earlier answer, or that it has no memory: it passes
			continue
		}
		if out := u.handle(in[:n], netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), time.Now()); len(out) > 0 {
			c.WriteToUDPAddrPort(out, from) // who does not get it asks again
		}
	}
}

func newMAC(t *Tracker) hash.Hash { return hmac.New(sha256.New, t.secret[:]) }

// udp answers packets, one at a time.
type udp struct {
	t     *Tracker
	here  netip.Addr
	mac   hash.Hash
	out   []byte
	peers []peer
	sum   [sha256.Size]byte
}

// handle returns the answer to a packet, empty for none; it is good until the next call. Whoever has not shown that packets reach them at their address gets an answer no longer
// than the question, so that nobody can have others flooded.
func (u *udp) handle(in []byte, from netip.AddrPort, now time.Time) []byte {
	addr := from.Addr().WithZone("")
	if len(in) < 16 || !u.t.sites.answers(addr) {
		return nil
	}
	action, transaction := binary.BigEndian.Uint32(in[8:]), in[12:16]
	if action == actConnect {
		if binary.BigEndian.Uint64(in) != connectMagic || u.t.admit(addr, 1) != nil {
			return nil
		}
		u.out = append(binary.BigEndian.AppendUint32(u.out[:0], actConnect), transaction...)
		return u.id(u.out, addr, epochOf(now))
	}
	if !u.proven(in[:8], addr, now) {
		u.t.counts.bad.Add(1)
		if out := u.refuse(transaction, "connection id: ask for a new one"); len(out) <= len(in) {
			return out
		}
		return nil
	}
	var err error
	switch action {
	case actAnnounce:
		u.t.counts.udp.Add(1)
		if err = u.t.admit(addr, 1); err == nil {
			err = u.announce(in, from)
		}
	case actScrape:
		if err = u.t.admit(addr, 1+len(in)/200); err == nil {
			err = u.scrape(in)
		}
	default:
		err = fmt.Errorf("tracker: unknown action: %w", kith.Invalid)
	}
	if err != nil {
		if kith.KindOf(err) == kith.Invalid {
			u.t.counts.bad.Add(1)
		}
		return u.refuse(transaction, words(err))
	}
	return u.out
}

func epochOf(now time.Time) int64 { return now.Unix() / int64(idEpoch/time.Second) }

// id appends the connection id of an address in an epoch: nothing is kept of who asked for one.
func (u *udp) id(b []byte, a netip.Addr, epoch int64) []byte {
	var msg [24]byte
	ip := a.As16()
	copy(msg[:], ip[:])
	binary.BigEndian.PutUint64(msg[16:], uint64(epoch))
	u.mac.Reset()
	u.mac.Write(msg[:])
	return append(b, u.mac.Sum(u.sum[:0])[:8]...)
}

func (u *udp) proven(id []byte, a netip.Addr, now time.Time) bool {
	var want [8]byte
	for i := range int64(idEpochs) {
		if hmac.Equal(u.id(want[:0], a, epochOf(now)-i), id) {
			return true
		}
	}
	return false
}

func (u *udp) refuse(transaction []byte, text string) []byte {
	u.out = append(binary.BigEndian.AppendUint32(u.out[:0], actError), transaction...)
	u.out = append(u.out, text...)
	return u.out
}

func (u *udp) announce(in []byte, from netip.AddrPort) error {
	q, err := parseUDPAnnounce(in, from)
	if err != nil {
		return err
	}
	q.here = u.here
	r, err := u.t.announce(q.announce, u.peers[:0])
	if err != nil {
		return err
	}
	b := append(binary.BigEndian.AppendUint32(u.out[:0], actAnnounce), in[12:16]...)
	b = binary.BigEndian.AppendUint32(b, uint32(interval.Seconds()))
	b = binary.BigEndian.AppendUint32(b, uint32(r.leeches))
	b = binary.BigEndian.AppendUint32(b, uint32(r.seeds))
	for i := range r.peers {
		b = append(b, r.peers[i].at.compact()...)
	}
	u.out = b
	return nil
}

// packet is an announce as UDP has it.
type packet struct {
	announce
	url string // BEP 41: path and query of the tracker's address, as the torrent has it
}

const announceLen = 98

// parseUDPAnnounce reads an announce (BEP 15) and its options (BEP 41). Its errors are Invalid.
func parseUDPAnnounce(in []byte, from netip.AddrPort) (p packet, err error) {
	if len(in) < announceLen {
		return p, fmt.Errorf("tracker: an announce has %d bytes: %w", announceLen, kith.Invalid)
	}
	copy(p.hash[:], in[16:])
	copy(p.id[:], in[36:])
	p.seed = binary.BigEndian.Uint64(in[64:]) == 0
	if p.event = event(binary.BigEndian.Uint32(in[80:])); p.event > paused {
		return p, fmt.Errorf("tracker: unknown event: %w", kith.Invalid)
	}
	p.from = from.Addr().WithZone("")
	at, says := p.from, ""
	if ip := [4]byte(in[84:88]); ip != [4]byte{} && from.Addr().Is4() {
		says = netip.AddrFrom4(ip).String()
	}
	if says != "" {
		at = claimed(at, says)
	}
	p.at = endpointOf(netip.AddrPortFrom(at, binary.BigEndian.Uint16(in[96:])))
	want := int(int32(binary.BigEndian.Uint32(in[92:])))
	if want < 0 {
		want = defaultWant
	}
	if from.Addr().Is4() { // the answer has room for one family
		p.want4 = min(want, maxWant)
	} else {
		p.want6 = min(want, maxWant6UDP)
	}
	p.url = urlData(in[announceLen:])
	return p, nil
}

// Option types (BEP 41).
const (
	optEnd = iota
	optNOP
	optURLData
)

// urlData returns what the options of an announce say of the tracker's address. What is broken in them is left out: they are only hints.
func urlData(in []byte) string {
	var b []byte
	for len(in) > 0 && in[0] != optEnd {
		if in[0] == optNOP {
			in = in[1:]
			continue
		}
		if len(in) < 2 || len(in) < 2+int(in[1]) {
			break
		}
		if in[0] == optURLData {
			b = append(b, in[2:2+int(in[1])]...)
		}
		in = in[2+int(in[1]):]
	}
	return string(b)
}

// scrape answers a scrape (BEP 15).
func (u *udp) scrape(in []byte) error {
	hashes, err := parseUDPScrape(in)
	if err != nil {
		return err
	}
	b := append(binary.BigEndian.AppendUint32(u.out[:0], actScrape), in[12:16]...)
	for _, t := range u.t.scrape(hashes) {
		b = binary.BigEndian.AppendUint32(b, uint32(t.seeds))
		b = binary.BigEndian.AppendUint32(b, uint32(t.done))
		b = binary.BigEndian.AppendUint32(b, uint32(t.leeches))
	}
	u.out = b
	return nil
}

// parseUDPScrape returns the infohashes of a scrape, as they come. Its errors are Invalid.
func parseUDPScrape(in []byte) ([]Hash, error) {
	n := (len(in) - 16) / len(Hash{})
	if n == 0 || n > maxScrape {
		return nil, fmt.Errorf("tracker: a scrape is for 1 to %d torrents: %w", maxScrape, kith.Invalid)
	}
	all := make([]Hash, n)
	for i := range all {
		copy(all[i][:], in[16+i*len(Hash{}):])
	}
	return all, nil
}

func sortHashes(all []Hash) {
	slices.SortFunc(all, func(a, b Hash) int { return bytes.Compare(a[:], b[:]) })
}
