//go:build linux

package main

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/user"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"

	"kith"
	"kith/lab/nat"
)

// quietTime is how long a fresh node is listened to, unless KITH_QUIET says otherwise: in the first minute most happens. make test listens for ten minutes too.
const quietTime = time.Minute

// What a fresh node says in homes with IPv4 and with IPv6 is what docs/privacy.md lists: mDNS under opaque names, and the router is asked for a port. What
// the kernel says for itself is not counted as the node's.
func TestQuietByDefault(t *testing.T) {
	t.Parallel()
	long, err := time.ParseDuration(cmp.Or(os.Getenv("KITH_QUIET"), quietTime.String()))
	if err != nil {
		t.Fatal(err)
	}
	n, err := nat.New(nat.Spec{Name: "ipv4", Kind: nat.Cone}, nat.Spec{Name: "ipv6", Kind: nat.IPv6Only})
	if errors.Is(err, kith.Unavailable) {
		t.Skip("what a fresh node says was not listened to: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	taps := map[*nat.Host]int{} // all before the first node starts: what Do runs on ends a thread, and with it what that thread has started
	for _, h := range n.Hosts() {
		if err := h.Do(func() (err error) {
			taps[h], err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, int(unix.ETH_P_ALL<<8))
			if err == nil { // all interfaces; loopback is left out below
				err = unix.SetsockoptTimeval(taps[h], unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 200_000})
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(taps[h]) })
	}
	var wg sync.WaitGroup
	for h, tap := range taps {
		wg.Go(func() { listen(t, h, tap, long) })
	}
	wg.Wait()
}

// listen starts a fresh node with nothing switched off, and holds each packet that leaves its computer against what may be said.
func listen(t *testing.T, h *nat.Host, tap int, long time.Duration) {
	c := &computer{t: t, dir: t.TempDir(), host: h, mainline: true}
	c.start("up", "--no-open", "--api", "127.0.0.1:0")
	defer c.end(os.Interrupt)

	s := uttered{heard: map[string]int{}, secrets: secrets(t)}
	b := make([]byte, 1<<16)
	for end := time.Now().Add(long); time.Now().Before(end); {
		size, from, err := unix.Recvfrom(tap, b, 0)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			t.Error(err)
			return
		}
		if ll, ok := from.(*unix.SockaddrLinklayer); !ok || ll.Pkttype != unix.PACKET_OUTGOING || ll.Hatype == unix.ARPHRD_LOOPBACK {
			continue
		}
		class, err := s.classify(b[:size])
		s.heard[class]++
		if err != nil {
			t.Errorf("%s: %v:\n%s", h.Name, err, hex.Dump(b[:size]))
		}
	}
	if s.heard["mdns"] == 0 || s.heard["upnp"]+s.heard["pcp"] == 0 && h.Kind == nat.Cone {
		t.Errorf("%s: nothing was heard of what there should be: %v", h.Name, s.heard)
	}
	for _, class := range slices.Sorted(maps.Keys(s.heard)) {
		t.Logf("%s, %s: %d × %s", h.Name, long, s.heard[class], class)
	}
}

// secrets are words that must not be in any packet.
func secrets(t *testing.T) (words []string) {
	if name, err := os.Hostname(); err == nil {
		words = append(words, name)
	}
	if u, err := user.Current(); err == nil {
		words = append(words, u.Username)
	}
	words = slices.DeleteFunc(words, func(w string) bool { return len(w) < 6 }) // which random names and keys have in them now and then
	return append(words, "did:key")
}

// uttered is what was heard, in classes.
type uttered struct {
	heard   map[string]int
	secrets []string
}

// classify says of an Ethernet frame what it is, or that it may not be.
func (s uttered) classify(frame []byte) (string, error) {
	for _, w := range s.secrets {
		if bytes.Contains(bytes.ToLower(frame), []byte(strings.ToLower(w))) {
			return "secret", fmt.Errorf("%q is told", w)
		}
	}
	if len(frame) < 14 {
		return "unknown", errors.New("no Ethernet frame")
	}
	packet := frame[14:]
	switch kind := binary.BigEndian.Uint16(frame[12:]); {
	case kind == 0x0806:
		return "kernel: ARP", nil
	case kind == 0x0800 && len(packet) >= 20 && len(packet) >= int(packet[0]&15)*4:
		return s.carried(packet[9], netip.AddrFrom4([4]byte(packet[16:20])), packet[packet[0]&15*4:])
	case kind == 0x86dd && len(packet) >= 40:
		next, rest := packet[6], packet[40:]
		if next == 0 && len(rest) >= 8 { // hop-by-hop options, as in multicast listener reports
			next, rest = rest[0], rest[8:]
		}
		return s.carried(next, netip.AddrFrom16([16]byte(packet[24:40])), rest)
	}
	return "unknown", errors.New("an unknown kind of frame")
}

func (s uttered) carried(protocol byte, to netip.Addr, b []byte) (string, error) {
	switch {
	case protocol == unix.IPPROTO_IGMP:
		return "kernel: IGMP", nil
	case protocol == unix.IPPROTO_ICMPV6 && len(b) > 0 && (b[0] == 133 || b[0] == 135 || b[0] == 136 || b[0] == 143):
		return "kernel: IPv6 neighbours and multicast groups", nil
	case protocol == unix.IPPROTO_ICMPV6 && len(b) > 0 && b[0] == 1, protocol == unix.IPPROTO_ICMP && len(b) > 0 && b[0] == 3:
		return "kernel: unreachable", nil
	case protocol != unix.IPPROTO_UDP || len(b) < 8:
		return "unknown", fmt.Errorf("protocol %d to %s", protocol, to)
	}
	port, payload := binary.BigEndian.Uint16(b[2:]), b[8:]
	switch {
	case port == 5353 && (to.String() == "224.0.0.251" || to.String() == "ff02::fb"):
		return "mdns", opaque(payload)
	case port == 1900 && (to.String() == "239.255.255.250" || to.Is6() && to.IsMulticast()) && bytes.HasPrefix(payload, []byte("M-SEARCH * HTTP/1.1\r\n")):
		return "upnp", nil
	case port == 5351 && to.IsPrivate():
		return "pcp", nil
	}
	return "unknown", fmt.Errorf("UDP to %s, port %d", to, port)
}

// opaqueNames are what may stand in mDNS: the service, a hash of the network's name; an instance of it under a random name; the list of services.
var opaqueNames = regexp.MustCompile(`^(([a-z0-9]{32,63}\.)?_kith-[0-9a-f]{8}\._udp\.local\.|[a-z0-9]{32,63}\.local\.|_services\._dns-sd\._udp\.local\.)$`)

// opaque checks that an mDNS packet names nothing else, and says nothing but addresses.
func opaque(payload []byte) error {
	var m dnsmessage.Message
	if err := m.Unpack(payload); err != nil {
		return err
	}
	var names []string
	for _, q := range m.Questions {
		names = append(names, q.Name.String())
	}
	for _, r := range slices.Concat(m.Answers, m.Authorities, m.Additionals) {
		names = append(names, r.Header.Name.String())
		switch body := r.Body.(type) {
		case *dnsmessage.PTRResource:
			names = append(names, body.PTR.String())
		case *dnsmessage.SRVResource:
			names = append(names, body.Target.String())
		case *dnsmessage.TXTResource:
			for _, text := range body.TXT {
				if !regexp.MustCompile(`^dnsaddr=/ip[46]/[0-9a-f.:]+/(tcp|udp)/[0-9]+.*/p2p/12D3KooW[0-9A-Za-z]{44}$`).MatchString(text) {
					return fmt.Errorf("mDNS says %q", text)
				}
			}
		case *dnsmessage.AResource, *dnsmessage.AAAAResource:
		default:
			return fmt.Errorf("mDNS has a record of type %s", r.Header.Type)
		}
	}
	for _, name := range names {
		if !opaqueNames.MatchString(name) {
			return fmt.Errorf("mDNS names %q", name)
		}
	}
	return nil
}

// The check finds what may not be said.
func TestQuietFindsNoise(t *testing.T) {
	s := uttered{secrets: []string{"annas-laptop"}}
	udp := func(to string, port uint16, payload string) []byte {
		a := netip.MustParseAddr(to).As4()
		b := append(make([]byte, 12), 0x08, 0x00, 0x45)
		b = append(b, make([]byte, 8)...)
		b = append(b, unix.IPPROTO_UDP, 0, 0, 192, 168, 1, 2)
		b = append(b, a[:]...)
		b = binary.BigEndian.AppendUint16([]byte(b), 4000)
		b = binary.BigEndian.AppendUint16(b, port)
		return append(append(b, 0, 0, 0, 0), payload...)
	}
	question := func(name string) string {
		m := dnsmessage.Message{Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: dnsmessage.TypePTR, Class: dnsmessage.ClassINET}}}
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, c := range []struct {
		frame []byte
		class string
		fine  bool
	}{
		{udp("224.0.0.251", 5353, question("_kith-0123abcd._udp.local.")), "mdns", true},
		{udp("224.0.0.251", 5353, question("anna._kith-0123abcd._udp.local.")), "mdns", false},
		{udp("224.0.0.251", 5353, question("_p2p._udp.local.")), "mdns", false},
		{udp("239.255.255.250", 1900, "M-SEARCH * HTTP/1.1\r\nHOST: annas-laptop"), "secret", false},
		{udp("239.255.255.250", 1900, "M-SEARCH * HTTP/1.1\r\n"), "upnp", true},
		{udp("239.255.255.250", 1900, "NOTIFY * HTTP/1.1\r\n"), "unknown", false},
		{udp("192.168.1.1", 5351, "\x00\x00"), "pcp", true},
		{udp("11.0.0.1", 5351, "\x00\x00"), "unknown", false},
		{udp("192.168.1.1", 53, question("router.bittorrent.com.")), "unknown", false},
		{udp("11.0.0.1", 6881, "d1:ad2:id"), "unknown", false},
		{bytes.Replace(udp("11.0.0.1", 443, ""), []byte{unix.IPPROTO_UDP, 0, 0}, []byte{unix.IPPROTO_TCP, 0, 0}, 1), "unknown", false},
		{[]byte("short"), "unknown", false},
	} {
		if class, err := s.classify(c.frame); class != c.class || (err == nil) != c.fine {
			t.Errorf("%q: %s, %v", c.frame, class, err)
		}
	}
}
