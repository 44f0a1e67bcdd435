//go:build linux

package nat

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"kith"
)

const (
	answerTime = 3 * time.Second        // for what must come
	silence    = 300 * time.Millisecond // after which what must not come is taken not to have come; a program on one machine needs far less
)

// start makes a Net, or skips where there cannot be one.
func start(t testing.TB, specs ...Spec) *Net {
	t.Helper()
	n, err := New(specs...)
	if errors.Is(err, kith.Unavailable) {
		t.Skip("real NATs were not tested: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// A mirror answers each packet or connection with the address that it came from.
type mirror struct {
	host *Host
	udp  *net.UDPConn
	tcp  net.Listener
}

func newMirror(t *testing.T, h *Host, ip netip.Addr) *mirror {
	t.Helper()
	m := &mirror{host: h}
	err := h.Do(func() (err error) {
		at := net.JoinHostPort(ip.String(), "0")
		if m.tcp, err = net.Listen("tcp", at); err == nil {
			m.udp, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, 0)))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.udp.Close(); m.tcp.Close() })
	go func() {
		buf := make([]byte, 64)
		for {
			_, from, err := m.udp.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			m.udp.WriteToUDPAddrPort([]byte(from.String()), from)
		}
	}()
	go func() {
		for {
			c, err := m.tcp.Accept()
			if err != nil {
				return
			}
			c.Write([]byte(c.RemoteAddr().String()))
			c.Close()
		}
	}()
	return m
}

func (m *mirror) udpAddr() netip.AddrPort { return m.udp.LocalAddr().(*net.UDPAddr).AddrPort() }

// overUDP returns what the mirror sees of c, or the zero address if it answers nothing.
func overUDP(t *testing.T, c *net.UDPConn, to netip.AddrPort, wait time.Duration) (seen netip.AddrPort) {
	t.Helper()
	if _, err := c.WriteToUDPAddrPort([]byte("who"), to); err != nil {
		return seen
	}
	c.SetReadDeadline(time.Now().Add(wait))
	buf := make([]byte, 64)
	n, _, err := c.ReadFromUDPAddrPort(buf)
	if err != nil {
		return seen
	}
	if seen, err = netip.ParseAddrPort(string(buf[:n])); err != nil {
		t.Fatal(err)
	}
	return seen
}

// overTCP returns what the mirror sees of a connection from h.
func overTCP(t *testing.T, h *Host, m *mirror) (local, seen netip.AddrPort) {
	t.Helper()
	err := h.Do(func() error {
		c, err := net.DialTimeout("tcp", m.tcp.Addr().String(), answerTime)
		if err != nil {
			return err
		}
		defer c.Close()
		local = c.LocalAddr().(*net.TCPAddr).AddrPort()
		buf := make([]byte, 64)
		n, err := c.Read(buf)
		if err != nil {
			return err
		}
		seen, err = netip.ParseAddrPort(string(buf[:n]))
		return err
	})
	if err != nil {
		t.Error("TCP outwards:", err)
	}
	return local, seen
}

// TestKinds: each kind maps and filters as its name says.
func TestKinds(t *testing.T) {
	specs := []Spec{{"a", Public}, {"b", Public}}
	for _, k := range Kinds[1:] {
		specs = append(specs, Spec{string(k), k})
	}
	n := start(t, specs...)
	for _, h := range n.Hosts()[2:] {
		t.Run(h.Name, func(t *testing.T) {
			ipA, ipB := n.Host("a").Outside(), n.Host("b").Outside()
			if h.Kind == IPv6Only {
				ipA, ipB = wan6(0), wan6(1)
			}
			a, b := newMirror(t, n.Host("a"), ipA), newMirror(t, n.Host("b"), ipB)
			testTCP(t, h, a, b)
			testUDP(t, h, a, b)
		})
	}
}

func testTCP(t *testing.T, h *Host, a, b *mirror) {
	local, seen := overTCP(t, h, a)
	if seen.Addr() != h.Outside() {
		t.Errorf("seen as %v, not as %v", seen.Addr(), h.Outside())
	}
	random := h.Kind == Symmetric || h.Kind == TCPOnly
	if kept := seen.Port() == local.Port(); kept == random {
		t.Errorf("TCP port %d was mapped to %d", local.Port(), seen.Port())
	}
	// Nobody outside gets in, and hears nothing: a refusal would come at once.
	var l net.Listener
	if err := h.Do(func() (err error) { l, err = net.Listen("tcp", net.JoinHostPort(h.Addr.String(), "0")); return err }); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	at := net.JoinHostPort(h.Outside().String(), strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	err := b.host.Do(func() error { _, err := net.DialTimeout("tcp", at, silence); return err })
	if e := net.Error(nil); !errors.As(err, &e) || !e.Timeout() {
		t.Errorf("an unsolicited connection ended with %v, not in silence", err)
	}
}

func testUDP(t *testing.T, h *Host, a, b *mirror) {
	var c *net.UDPConn
	err := h.Do(func() (err error) {
		c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(h.Addr, 0)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if h.Kind == UDPBlocked || h.Kind == TCPOnly {
		if seen := overUDP(t, c, a.udpAddr(), silence); seen.IsValid() {
			t.Errorf("UDP came through, from %v", seen)
		}
		return
	}
	local := c.LocalAddr().(*net.UDPAddr).Port
	atA := overUDP(t, c, a.udpAddr(), answerTime)
	// b knows the address now, but was not spoken to yet: it is not heard.
	b.udp.WriteToUDPAddrPort([]byte("unsolicited"), atA)
	c.SetReadDeadline(time.Now().Add(silence))
	if _, from, err := c.ReadFromUDPAddrPort(make([]byte, 64)); err == nil {
		t.Errorf("%v got in unsolicited", from)
	}
	atB := overUDP(t, c, b.udpAddr(), answerTime)
	if !atA.IsValid() || !atB.IsValid() {
		t.Fatalf("UDP was mapped to %v and %v", atA, atB)
	}
	if h.Kind == Symmetric {
		if atA.Port() == atB.Port() {
			t.Errorf("two peers see the same port %d", atA.Port())
		}
	} else if atA != atB || int(atA.Port()) != local {
		t.Errorf("port %d was mapped to %v and %v", local, atA, atB)
	}
	// Who was spoken to is heard from then on.
	b.udp.WriteToUDPAddrPort([]byte("solicited"), atB)
	c.SetReadDeadline(time.Now().Add(answerTime))
	if _, _, err := c.ReadFromUDPAddrPort(make([]byte, 64)); err != nil {
		t.Errorf("an answer did not come in: %v", err)
	}
}

// TestGivenPort: a router of kind UPnP passes on what comes to a port that it was asked for.
func TestGivenPort(t *testing.T) {
	n := start(t, Spec{"a", Public}, Spec{"b", UPnP})
	a, b := n.Host("a"), n.Host("b")
	var l net.Listener
	err := b.Do(func() (err error) {
		if l, err = net.Listen("tcp4", ":2000"); err != nil {
			return err
		}
		c, err := net.Dial("udp", b.Addr.Prev().String()+":5351") // the router
		if err != nil {
			return err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(answerTime))
		// NAT-PMP (RFC 6886, 3.3): TCP, inside 2000, outside 3000, for 60 s.
		if _, err := c.Write([]byte{0, 2, 0, 0, 7, 208, 11, 184, 0, 0, 0, 60}); err != nil {
			return err
		}
		answer := make([]byte, 16)
		if _, err := c.Read(answer); err != nil {
			return err
		}
		if answer[1] != 130 || answer[3] != 0 || answer[10] != 11 || answer[11] != 184 {
			t.Errorf("answer % x", answer)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := a.Do(func() error {
		c, err := net.DialTimeout("tcp", b.Outside().String()+":3000", answerTime)
		if err == nil {
			c.Close()
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

// TestMove: what runs on a host that moves goes on, and is behind the other router then.
func TestMove(t *testing.T) {
	n := start(t, Spec{"a", Public}, Spec{"home", Cone}, Spec{"café", Symmetric})
	m := newMirror(t, n.Host("a"), n.Host("a").Outside())
	h := n.Host("home")
	before, cafe := h.Outside(), n.Host("café").Outside()
	if _, seen := overTCP(t, h, m); seen.Addr() != before {
		t.Fatalf("at home it is seen as %v", seen)
	}
	if err := n.Move(h, n.Host("café")); err != nil {
		t.Fatal(err)
	}
	local, seen := overTCP(t, h, m)
	if seen.Addr() != cafe || local.Addr() != h.Addr || seen.Port() == local.Port() {
		t.Errorf("in the café %v is seen as %v, want %v", local, seen, cafe)
	}
	if err := n.Move(n.Host("a"), h); !errors.Is(err, kith.Invalid) {
		t.Errorf("a public host moved: %v", err)
	}
}

// TestPart: two homes hear nothing of each other while they are apart, and the rest of the world does not notice.
func TestPart(t *testing.T) {
	n := start(t, Spec{"a", Public}, Spec{"home", Cone}, Spec{"other", Cone})
	home, other := n.Host("home"), n.Host("other")
	m := newMirror(t, n.Host("a"), n.Host("a").Outside())
	open := func(h *Host) (c *net.UDPConn) {
		err := h.Do(func() (err error) {
			c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(h.Addr, 0)))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	mine, theirs := open(home), open(other)
	at := func(c *net.UDPConn) netip.AddrPort { return overUDP(t, c, m.udpAddr(), answerTime) }
	punches := func(wait time.Duration) bool {
		theirs.WriteToUDPAddrPort([]byte("opens"), at(mine))
		mine.WriteToUDPAddrPort([]byte("through"), at(theirs))
		theirs.SetReadDeadline(time.Now().Add(wait))
		_, from, err := theirs.ReadFromUDPAddrPort(make([]byte, 64))
		return err == nil && from.Addr() == home.Outside()
	}
	for _, c := range []struct {
		apart bool
		wait  time.Duration
	}{{true, silence}, {false, answerTime}} {
		if err := n.Part(home, other, c.apart); err != nil {
			t.Fatal(err)
		}
		if got := punches(c.wait); got == c.apart {
			t.Errorf("apart: %v; they hear each other: %v", c.apart, got)
		}
	}
	if err := n.Part(n.Host("a"), home, true); !errors.Is(err, kith.Invalid) {
		t.Errorf("a public host is parted: %v", err)
	}
}

// TestClose: nothing is left of a Net.
func TestClose(t *testing.T) {
	n := start(t, Spec{"a", Cone})
	h := n.Host("a")
	sleep := h.Command(t.Context(), "sleep", "1000")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	n.Close()
	if err := sleep.Wait(); err == nil {
		t.Error("a program ended by itself, was not killed")
	}
	if left := h.space.Processes(); len(left) != 0 {
		t.Errorf("processes %v are left", left)
	}
}

func TestCheck(t *testing.T) {
	for _, specs := range [][]Spec{{}, {{"", Cone}}, {{"a", Cone}, {"a", Cone}}, {{"a", "odd"}}} {
		if _, err := New(specs...); !errors.Is(err, kith.Invalid) {
			t.Errorf("%v: %v", specs, err)
		}
	}
}
