package sim

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"kith"
	"kith/lab/nat"
)

// TestRouter: who may answer whom, under which port, by kind; and flows that nobody uses are forgotten.
func TestRouter(t *testing.T) {
	a, b := netip.MustParseAddrPort("11.0.0.1:9"), netip.MustParseAddrPort("11.0.0.2:9")
	otherPort := netip.MustParseAddrPort("11.0.0.1:10")
	for _, c := range []struct {
		kind                    nat.Kind
		keepsPort, samePort, in bool // towards everybody; towards two; strangers come in
	}{{nat.Public, true, true, true}, {nat.Cone, true, true, false}, {nat.Double, true, true, false}, {nat.IPv6Only, true, true, false}, {nat.Symmetric, false, false, false}} {
		r := newRouter(c.kind, rand.New(rand.NewPCG(1, 2)))
		toA, _ := r.leave(0, 4001, a)
		toB, _ := r.leave(0, 4001, b)
		if (toA == 4001) != c.keepsPort || (toA == toB) != c.samePort {
			t.Errorf("%s: seen from port %d and %d", c.kind, toA, toB)
		}
		if again, _ := r.leave(time.Second, 4001, a); again != toA {
			t.Errorf("%s: seen from %d, then %d", c.kind, toA, again)
		}
		if port, ok := r.enter(time.Second, a, toA); !ok || port != 4001 {
			t.Errorf("%s: the answer goes to %d %v", c.kind, port, ok)
		}
		if _, ok := r.enter(time.Second, otherPort, toA); ok != c.in {
			t.Errorf("%s: who was not asked, from another port: let in %v", c.kind, ok)
		}
		if _, ok := r.enter(time.Second+forget+1, a, toA); ok != c.in {
			t.Errorf("%s: an answer long after: let in %v", c.kind, ok)
		}
	}
	r := newRouter(nat.Symmetric, rand.New(rand.NewPCG(1, 2)))
	for i := range 3 * maxFlows {
		r.leave(time.Duration(i)*time.Second, 4001, netip.AddrPortFrom(netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)}), 9))
	}
	if len(r.back) > maxFlows || len(r.out) > maxFlows {
		t.Errorf("%d and %d flows, at most %d", len(r.back), len(r.out), maxFlows)
	}
}

// A pair is two hosts with a socket each.
type pair struct {
	*Net
	a, b   *Host
	sa, sb net.PacketConn
}

func newPair(t *testing.T, a, b Spec) pair {
	t.Helper()
	n := New(7)
	t.Cleanup(n.Close)
	p := pair{Net: n}
	for _, x := range []struct {
		spec Spec
		host **Host
		sock *net.PacketConn
	}{{a, &p.a, &p.sa}, {b, &p.b, &p.sb}} {
		var err error
		if *x.host, err = n.Add(x.spec); err != nil {
			t.Fatal(err)
		}
		if *x.sock, err = (*x.host).ListenUDP(&net.UDPAddr{IP: (*x.host).Addrs()[0].AsSlice(), Port: port}); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// got returns what comes within a second of simulated time, and from whom; "" if nothing does.
func got(t *testing.T, s net.PacketConn) (string, net.Addr) {
	t.Helper()
	s.SetReadDeadline(time.Now().Add(time.Second))
	b := make([]byte, 2000)
	n, from, err := s.ReadFrom(b)
	if err != nil {
		return "", nil
	}
	return string(b[:n]), from
}

func to(h *Host) net.Addr { return udpAddr(netip.AddrPortFrom(h.out4, port)) }

func TestNet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, Spec{Name: "a", Kind: nat.Cone, Delay: 20 * time.Millisecond}, Spec{Name: "b", Kind: nat.Public, Delay: 30 * time.Millisecond})
		defer p.Close()
		p.sb.WriteTo([]byte("too early"), to(p.a))
		if text, _ := got(t, p.sa); text != "" {
			t.Errorf("the router let in %q", text)
		}
		start := time.Now()
		p.sa.WriteTo([]byte("hello"), to(p.b))
		text, from := got(t, p.sb)
		if text != "hello" || from.String() != to(p.a).String() || time.Since(start) != 50*time.Millisecond {
			t.Errorf("%q from %v after %s", text, from, time.Since(start))
		}
		p.sb.WriteTo([]byte("answer"), from)
		if text, from := got(t, p.sa); text != "answer" || from.String() != to(p.b).String() {
			t.Errorf("%q from %v", text, from)
		}
		for _, cut := range []struct{ off, on func() }{
			{func() { p.Part(map[*Host]int{p.b: 1}) }, func() { p.Part(nil) }},
			{func() { p.b.Plug(false) }, func() { p.b.Plug(true) }},
		} {
			p.sa.WriteTo([]byte("on its way"), to(p.b))
			cut.off()
			p.sa.WriteTo([]byte("lost"), to(p.b))
			if text, _ := got(t, p.sb); text != "" {
				t.Errorf("%q came through", text)
			}
			cut.on()
			p.sa.WriteTo([]byte("again"), to(p.b))
			if text, _ := got(t, p.sb); text != "again" {
				t.Errorf("%q", text)
			}
		}
		before := to(p.a)
		p.a.Move()
		p.sb.WriteTo([]byte("where are you"), before)
		p.sa.WriteTo([]byte("moved"), to(p.b))
		if text, from := got(t, p.sb); text != "moved" || from.String() == before.String() {
			t.Errorf("%q from %v", text, from)
		}
		if text, _ := got(t, p.sa); text != "" {
			t.Errorf("the new router let in %q", text)
		}
		p.sa.Close()
		if _, _, err := p.sa.ReadFrom(nil); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if _, err := p.sa.WriteTo(nil, to(p.b)); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}

// TestLoss: of many packets about so many are lost, and the same ones with the same seed.
func TestLoss(t *testing.T) {
	run := func() (lost []int) {
		synctest.Test(t, func(t *testing.T) {
			p := newPair(t, Spec{Name: "a", Kind: nat.Public, Loss: 0.01}, Spec{Name: "b", Kind: nat.Public, Loss: 0.1})
			defer p.Close()
			for i := range 2000 {
				p.sa.WriteTo([]byte("x"), to(p.b))
				if text, _ := got(t, p.sb); text == "" {
					lost = append(lost, i)
				}
			}
		})
		return lost
	}
	a, b := run(), run()
	if len(a) < 140 || len(a) > 260 {
		t.Errorf("%d of 2000 lost, at 10 %%", len(a))
	}
	if len(a) != len(b) || a[0] != b[0] || a[len(a)-1] != b[len(b)-1] {
		t.Error("the same seed lost others")
	}
}

func TestRefuses(t *testing.T) {
	n := New(0)
	defer n.Close()
	for _, s := range []Spec{{Kind: nat.TCPOnly}, {Kind: nat.Public, Loss: 2}, {Kind: nat.Public, Delay: -1}, {}} {
		if _, err := n.Add(s); !errors.Is(err, kith.Invalid) {
			t.Errorf("%+v: %v", s, err)
		}
	}
	h, err := n.Add(Spec{Kind: nat.Cone})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.ListenUDP(&net.UDPAddr{IP: net.IPv4(11, 9, 9, 9)}); !errors.Is(err, kith.Invalid) {
		t.Error(err)
	}
	var open []net.PacketConn
	for range maxSockets {
		s, err := h.ListenUDP(&net.UDPAddr{IP: net.IPv4zero})
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, s)
	}
	if _, err := h.ListenUDP(&net.UDPAddr{IP: net.IPv4zero}); !errors.Is(err, kith.TooLarge) {
		t.Error(err)
	}
	taken := open[0].LocalAddr().(*net.UDPAddr)
	open[1].Close()
	if _, err := h.ListenUDP(taken); !errors.Is(err, kith.Exists) {
		t.Error(err)
	}
}
