package network

import (
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"kith/network/maddr"
	"kith/network/motion"
	"kith/network/swallow"
)

// A cable is a TCP way to a node that can be cut so that neither end notices.
type cable struct {
	net.Listener
	mu   sync.Mutex
	cut  bool
	news *sync.Cond
}

func newCable(t *testing.T, to *Network) (*cable, ma.Multiaddr) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{Listener: l}
	c.news = sync.NewCond(&c.mu)
	t.Cleanup(func() { l.Close(); c.set(false) })
	var target string
	for _, a := range to.listening() {
		if maddr.Transport(a) == "tcp" {
			target, _ = a.ValueForProtocol(ma.P_TCP)
		}
	}
	go func() {
		for {
			a, err := l.Accept()
			if err != nil {
				return
			}
			b, err := net.Dial("tcp", "127.0.0.1:"+target)
			if err != nil {
				a.Close()
				continue
			}
			go c.carry(a, b)
			go c.carry(b, a)
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return c, ma.StringCast("/ip4/127.0.0.1/tcp/" + port)
}

func (c *cable) carry(to, from net.Conn) {
	defer to.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		c.mu.Lock()
		for c.cut { // nobody hears of an end either
			c.news.Wait()
		}
		c.mu.Unlock()
		if err != nil {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (c *cable) set(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = cut
	c.news.Broadcast()
}

// TestWake: after a sleep, connections that live stay, dead ones are dropped within seconds, and who was lost is reached again.
func TestWake(t *testing.T) {
	a, b, c := newNode(t), newNode(t), newNode(t)
	way, addr := newCable(t, b)
	if err := a.Connect(soon(t), peer.AddrInfo{ID: b.ID(), Addrs: []ma.Multiaddr{addr}}); err != nil {
		t.Fatal(err)
	}
	if err := a.Connect(soon(t), info(c)); err != nil {
		t.Fatal(err)
	}
	until(t, "b has said where it is", func() bool { return len(a.host.Peerstore().Addrs(b.ID())) > 1 })
	moved, err := a.host.EventBus().Subscribe(new(EvtMoved))
	if err != nil {
		t.Fatal(err)
	}
	defer moved.Close()
	dead, living := a.host.Network().ConnsToPeer(b.ID())[0], a.host.Network().ConnsToPeer(c.ID())[0]
	s, err := dead.NewStream(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	way.set(true)
	start := time.Now()
	a.mover.moved(motion.Change{Slept: 24 * time.Hour}, motion.Addrs())
	if e := (<-moved.Out()).(EvtMoved); e.Slept != 24*time.Hour {
		t.Errorf("others are told %+v", e)
	}
	if !dead.IsClosed() || living.IsClosed() {
		t.Errorf("the dead connection is closed: %v, the living one: %v", dead.IsClosed(), living.IsClosed())
	}
	if _, err := s.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("a stream of the dead connection ended with %v", err)
	}
	until(t, "b is reached another way", func() bool { return a.Direct(b.ID()) })
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("that took %v", took)
	}
}

// TestCameAnew: when a peer that lost its connection connects again, this end drops the old one too.
func TestCameAnew(t *testing.T) {
	a, b := newNode(t), newNode(t)
	b.mover.older = 0
	way, addr := newCable(t, b)
	if err := a.Connect(soon(t), peer.AddrInfo{ID: b.ID(), Addrs: []ma.Multiaddr{addr}}); err != nil {
		t.Fatal(err)
	}
	until(t, "b knows a", func() bool { return b.Direct(a.ID()) })
	old := b.host.Network().ConnsToPeer(a.ID())[0]
	way.set(true)
	for _, c := range a.host.Network().ConnsToPeer(b.ID()) {
		c.Close()
	}
	start := time.Now()
	if err := a.Connect(soon(t), info(b)); err != nil {
		t.Fatal(err)
	}
	until(t, "b has dropped the old connection", old.IsClosed)
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("that took %v", took)
	}
	if !b.Direct(a.ID()) {
		t.Error("b has dropped the new connection too")
	}
}

// TestToldAnew: what libp2p does not know yet of the addresses of this machine is put right at once, in what peers are told too.
func TestToldAnew(t *testing.T) {
	n := newNode(t, func(c *Config) { c.Listen = []string{"/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/udp/0/quic-v1"} })
	updated, err := n.host.EventBus().Subscribe(new(event.EvtLocalAddressesUpdated))
	if err != nil {
		t.Fatal(err)
	}
	defer updated.Close()
	has := func(ip string) bool {
		return slices.ContainsFunc(n.Told(), func(a ma.Multiaddr) bool { return strings.HasPrefix(a.String(), "/ip4/"+ip+"/tcp/") })
	}
	home, cafe := netip.MustParseAddr("192.168.77.7"), netip.MustParseAddr("10.77.0.9")
	n.mover.moved(motion.Change{Came: []netip.Addr{home}}, []netip.Addr{home})
	until(t, "home is told", func() bool { return has("192.168.77.7") })
	n.mover.moved(motion.Change{Gone: []netip.Addr{home}, Came: []netip.Addr{cafe}}, []netip.Addr{cafe})
	until(t, "the café is told, and home is not", func() bool { return has("10.77.0.9") && !has("192.168.77.7") })
}

// TestElsewhere: a socket is given up with the address that it is bound to, and only then.
func TestElsewhere(t *testing.T) {
	now := []netip.Addr{netip.MustParseAddr("10.0.0.9")}
	for text, want := range map[string]bool{"192.168.1.7": true, "10.0.0.9": false, "0.0.0.0": false, "::": false, "127.0.0.1": false, "fe80::1": false, "2a00::1": true} {
		if got := elsewhere(netip.MustParseAddr(text), now); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	if elsewhere(netip.Addr{}, now) {
		t.Error("what has no address is elsewhere")
	}
}

// TestHoles: dials that get no answer end with UDP being left out; another network ends that.
func TestHoles(t *testing.T) {
	n := newNode(t)
	for range swallow.Dials - 1 {
		n.swallow.UDP.RecordResult(false)
	}
	if n.Health().NoUDP {
		t.Error("UDP is given up too early")
	}
	n.swallow.UDP.RecordResult(false)
	if h := n.Health(); !h.NoUDP || h.NoIPv6 {
		t.Errorf("%d dials without an answer: %+v", swallow.Dials, h)
	}
	here := netip.MustParseAddr("10.77.0.9")
	n.mover.moved(motion.Change{Came: []netip.Addr{here}}, []netip.Addr{here})
	if n.Health().NoUDP {
		t.Error("another network is taken for the old one")
	}
}
