package rendezvous

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/anacrolix/dht/v2"
	"github.com/anacrolix/dht/v2/krpc"
)

// A node that serves answers, and keeps what is announced to it; one that only asks hears nobody.
func TestServe(t *testing.T) {
	open := func(last byte, serves bool) *leg {
		l, err := openLeg(false, netip.AddrFrom4([4]byte{127, 2, 0, last}), netip.Addr{}, serves, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(l.close)
		return l
	}
	serving, asking := open(1, true), open(2, false)
	at := addrOf(serving.conn.LocalAddr())
	about := Public("kith", time.Unix(1e9, 0))
	a, err := asking.ask(t.Context(), at, about)
	if err != nil || a.token == "" || len(a.values) != 0 {
		t.Fatalf("%+v, %v", a, err)
	}
	if err := asking.announce(t.Context(), &step{dhtNode: dhtNode{a.id, at}, token: a.token}, about, 4001); err != nil {
		t.Fatal(err)
	}
	want := netip.AddrPortFrom(addrOf(asking.conn.LocalAddr()).Addr(), 4001)
	deadline := time.Now().Add(time.Minute)
	for !slices.Contains(a.values, want) { // the library keeps it on a goroutine of its own
		if a, err = asking.ask(t.Context(), at, about); err != nil || time.Now().After(deadline) {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	if err := asking.announce(t.Context(), &step{dhtNode: dhtNode{a.id, at}, token: "forged"}, about, 4002); err == nil {
		t.Error("it took an announcement with a forged token")
	}
	if _, err := serving.ask(t.Context(), addrOf(asking.conn.LocalAddr()), about); !errors.Is(err, dht.TransactionTimeout) {
		t.Errorf("who only asks answered: %v", err)
	}
}

// What is announced is bounded, and forgotten.
func TestAnnounced(t *testing.T) {
	var a announced
	for i := range 2 * maxPlaces {
		for port := range 3 {
			a.AddPeer([20]byte{byte(i >> 8), byte(i)}, nodeAddr(port+4000))
		}
	}
	for port := range 2 * maxPeers {
		a.AddPeer([20]byte{}, nodeAddr(port+4000))
	}
	if len(a.places) != maxPlaces || len(a.GetPeers([20]byte{})) != maxPeers || len(a.GetPeers([20]byte{9: 9})) != 0 {
		t.Errorf("%d places, %d peers at one", len(a.places), len(a.GetPeers([20]byte{})))
	}
	for _, peers := range a.places {
		for at := range peers {
			peers[at] = time.Now().Add(-2 * keepFor)
		}
	}
	if n := len(a.GetPeers([20]byte{})); n != 0 {
		t.Errorf("%d old peers", n)
	}
	a.AddPeer([20]byte{9: 9}, nodeAddr(4000))
	if len(a.places) != 1 {
		t.Errorf("%d places after all were old", len(a.places))
	}
}

// Who does not answer is not sent more than a few packets, though many name it.
func TestUnanswered(t *testing.T) {
	c := &sink{}
	s := newSocket(c, false, true)
	for port := range 100 {
		s.WriteTo([]byte("x"), &net.UDPAddr{IP: net.IPv4(11, 0, 0, 1), Port: 4000 + port})
	}
	if c.sent != maxUnanswered {
		t.Errorf("%d packets to one address, at most %d", c.sent, maxUnanswered)
	}
	for _, to := range []string{"127.0.0.1:6881", "192.168.1.1:6881", "11.0.0.2:53"} {
		if _, err := s.WriteTo([]byte("x"), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to))); err == nil {
			t.Errorf("a packet to %s", to)
		}
	}
}

type sink struct {
	net.PacketConn
	sent int
}

func (c *sink) WriteTo(b []byte, _ net.Addr) (int, error) { c.sent++; return len(b), nil }

func nodeAddr(port int) krpc.NodeAddr {
	return krpc.NodeAddr{IP: net.IPv4(11, 0, 0, 1).To4(), Port: port}
}
