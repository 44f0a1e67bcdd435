package rendezvous

import (
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"kith"
)

// openKnocker returns a knocker that waits long enough for an answer of a busy computer.
func openKnocker(t *testing.T, through func(net.PacketConn) net.PacketConn) *knocker {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 2, 0, 3)})
	if err != nil {
		t.Fatal(err)
	}
	k, err := newKnocker(through(c))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.close)
	k.patience = time.Minute
	return k
}

// Two packets go to an address that does not answer, whatever QUIC would like to send.
func TestKnockTwice(t *testing.T) {
	t.Parallel()
	silent, at := raw(t, "127.7.7.8", nil)
	packets := counter(silent)
	k := openKnocker(t, func(c net.PacketConn) net.PacketConn { return c })
	k.patience = 15 * time.Second // QUIC would send after 0.2, 0.6, 1.4, 3, 6.2 and 12.6 s
	if id, err := k.knock(t.Context(), at, testProtocol); !errors.Is(err, kith.Unavailable) {
		t.Errorf("%s answered: %v", id, err)
	}
	if n := packets(); n != knockPackets {
		t.Errorf("%d packets, not %d", n, knockPackets)
	}
}

// The second packet comes a while after the first, and no third; to who has answered they go as they come.
func TestDoor(t *testing.T) {
	now := time.Unix(1e9, 0)
	var d door
	for _, c := range []struct {
		after time.Duration
		want  bool
	}{{0, true}, {time.Second, false}, {knockAgain, true}, {2 * knockAgain, false}, {time.Hour, false}} {
		if got := d.allow(now.Add(c.after)); got != c.want {
			t.Errorf("after %s: %v", c.after, got)
		}
	}
	d.answered = true
	for range 3 {
		if !d.allow(now) {
			t.Error("who answered is not spoken with")
		}
	}
}

// Who is there is found though the first packet to them is lost, or all that they answer to it.
func TestKnockLost(t *testing.T) {
	t.Parallel()
	there := newMember(t, 4, "", nil)
	for name, through := range map[string]func(net.PacketConn) net.PacketConn{
		"packet": func(c net.PacketConn) net.PacketConn { return &lossy{PacketConn: c, out: 1} },
		"answer": func(c net.PacketConn) net.PacketConn { return &lossy{PacketConn: c, until: time.Now().Add(knockAgain)} },
	} {
		k := openKnocker(t, through)
		if id, err := k.knock(t.Context(), there.at, there.r.o.Speaks); err != nil || id != there.net.ID() {
			t.Errorf("a lost %s: %s, %v", name, id, err)
		}
	}
}

// lossy loses the first packets that are sent, and all that come until a time.
type lossy struct {
	net.PacketConn
	out   int64
	sent  atomic.Int64
	until time.Time
}

func (c *lossy) WriteTo(b []byte, to net.Addr) (int, error) {
	if c.sent.Add(1) <= c.out {
		return len(b), nil
	}
	return c.PacketConn.WriteTo(b, to)
}

func (c *lossy) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := c.PacketConn.ReadFrom(b)
		if err != nil || !time.Now().Before(c.until) {
			return n, from, err
		}
	}
}
