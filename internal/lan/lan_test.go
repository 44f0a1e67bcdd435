package lan

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"kith"
)

func TestHome(t *testing.T) {
	for text, want := range map[string]bool{
		"192.168.1.7": true, "10.0.0.1": true, "172.16.3.4": true, "172.32.0.1": false, "169.254.7.7": true, "fd00::2": true, "::ffff:10.1.2.3": true,
		"8.8.8.8": false, "100.64.0.1": false, "192.0.2.1": false, "2001:db8::1": false, "fe80::1": false, "127.0.0.1": false, "0.0.0.0": false, "::": false,
	} {
		if got := Home(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s is of a local network: %v, want %v", text, got, want)
		}
	}
	for _, a := range Addrs() {
		if !Home(a) {
			t.Errorf("would listen on %s", a)
		}
	}
}

func TestParseAt(t *testing.T) {
	for text, want := range map[string]kith.Kind{"0.0.0.0": kith.Denied, "::": kith.Denied, "203.0.113.5": kith.Denied, "example.org": kith.Invalid, "192.168.1.1:80": kith.Invalid} {
		if _, err := ParseAt(text); kith.KindOf(err) != want {
			t.Errorf("%s: %v, want %v", text, err, want)
		}
	}
	for _, text := range []string{"", "127.0.0.1", "::1", "192.168.1.1"} {
		if _, err := ParseAt(text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// near is what keeps calls out that a router forwards from the internet.
func TestNear(t *testing.T) {
	for text, want := range map[string]bool{"203.0.113.9": false, "2001:db8::9": false, "192.168.1.2": true, "127.0.0.1": true, "fe80::1": true} {
		if near(netip.MustParseAddr(text)) != want {
			t.Errorf("%s", text)
		}
	}
}

func TestListener(t *testing.T) {
	l, err := Listen(Options{At: netip.MustParseAddr("127.0.0.1"), Conns: 3, PerHost: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn, 10)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- c
		}
	}()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", l.Hosts()[0])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	dial()
	first := <-accepted
	dial()
	<-accepted
	third := dial() // one too many of one address
	third.SetDeadline(time.Now().Add(time.Minute))
	if _, err := third.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Errorf("the third connection of an address was not hung up on: %v", err)
	}
	first.Close()
	first.Close() // twice gives one place back, not two
	dial()
	<-accepted
	fourth := dial()
	fourth.SetDeadline(time.Now().Add(time.Minute))
	if _, err := fourth.Read(make([]byte, 1)); isTimeout(err) {
		t.Error("a place was given back twice")
	}

	taken, err := Listen(Options{At: netip.MustParseAddr("127.0.0.1"), Port: l.Port(), Conns: 1, PerHost: 1})
	if err != nil || taken.Port() == l.Port() {
		t.Fatalf("a second one at the same port: %v", err)
	}
	taken.Close()
	l.Refresh()
	if len(l.Hosts()) != 1 {
		t.Errorf("after a look at the addresses it listens on %v", l.Hosts())
	}
	l.Close()
	if _, ok := <-accepted; ok {
		t.Error("it accepts after it was closed")
	}
}

func isTimeout(err error) bool {
	if err == io.EOF {
		return false
	}
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}
