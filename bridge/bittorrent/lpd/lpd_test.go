package lpd

import (
	"log/slog"
	"net"
	"testing"
	"time"

	"kith"
)

// named is a swarm of one name.
type named kith.InfoHash

// Hashes implements Swarm.
func (n named) Hashes() []kith.InfoHash { return []kith.InfoHash{kith.InfoHash(n)} }

// TestTold: a swarm counts as told when its message has gone out, and is due again the next moment where it has not.
func TestTold(t *testing.T) {
	s := named{1, 2, 3}
	f := New(Options{Port: 6881, Swarms: func() []Swarm { return []Swarm{s} }, Log: slog.New(slog.DiscardHandler)})
	others, from := udp(t), udp(t)
	from.Close() // what is sent there fails
	f.group = others.LocalAddr().(*net.UDPAddr)
	now := time.Now()
	f.tell(from, now)
	if at, told := f.told[s]; told {
		t.Fatalf("nothing could be sent, and it counts as told at %v", at)
	}
	now = now.Add(pause)
	f.tell(udp(t), now)
	msg := make([]byte, maxBytes)
	others.SetReadDeadline(time.Now().Add(10 * time.Second))
	k, err := others.Read(msg)
	if err != nil {
		t.Fatal(err)
	}
	if port, hashes, _, err := parse(msg[:k]); err != nil || port != 6881 || len(hashes) != 1 || hashes[0] != kith.InfoHash(s) {
		t.Errorf("%q", msg[:k])
	}
	if !f.told[s].Equal(now) {
		t.Errorf("it went out at %v, and counts as told at %v", now, f.told[s])
	}
	if f.next(now.Add(every-1)) != nil || f.next(now.Add(every)) != s {
		t.Errorf("it is not due after %v again", every)
	}
}

// udp is a socket on loopback.
func udp(t *testing.T) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func FuzzMessage(f *testing.F) {
	f.Add(message(6881, kith.InfoHash{1, 2}, "abc"))
	f.Add([]byte("BT-SEARCH * HTTP/1.1\r\nPort: 1\r\nInfohash: 00\r\n\r\n"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		port, hashes, cookie, err := parse(msg)
		if err != nil {
			return
		}
		if port == 0 || len(hashes) > many {
			t.Errorf("port %d, %d hashes", port, len(hashes))
		}
		for _, h := range hashes {
			p, again, _, err := parse(message(int(port), h, "x"))
			if err != nil || p != port || len(again) != 1 || again[0] != h {
				t.Errorf("%d, %v, %q, %v", p, again, cookie, err)
			}
		}
	})
}
