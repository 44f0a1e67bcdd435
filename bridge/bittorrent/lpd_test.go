package bittorrent

import (
	"net"
	"testing"
	"time"

	"kith"
)

// TestLocalTold: a swarm counts as told when its message has gone out, and is due again the next moment where it has not.
func TestLocalTold(t *testing.T) {
	ctx := timed(t, time.Minute)
	n := newNode(t, nil)
	names, err := n.Publish(ctx, n.share("film", map[string][]byte{"": sample(1, 1<<20)}))
	if err != nil {
		t.Fatal(err)
	}
	s := n.swarmOf(names.V1)
	others, from := udp(t), udp(t)
	from.Close() // what is sent there fails
	l := &lpd{c: n.client, conn: from, group: others.LocalAddr().(*net.UDPAddr), told: map[*swarm]time.Time{}, answered: map[*swarm]time.Time{}}
	now := time.Now()
	l.tell(now)
	if at, told := l.told[s]; told {
		t.Fatalf("nothing could be sent, and it counts as told at %v", at)
	}
	l.conn = udp(t)
	now = now.Add(lpdPause)
	l.tell(now)
	msg := make([]byte, lpdMax)
	others.SetReadDeadline(time.Now().Add(10 * time.Second))
	k, err := others.Read(msg)
	if err != nil {
		t.Fatal(err)
	}
	if _, hashes, _, err := parseLPD(msg[:k]); err != nil || len(hashes) != 1 || hashes[0] != names.V1 {
		t.Errorf("%q", msg[:k])
	}
	if !l.told[s].Equal(now) {
		t.Errorf("it went out at %v, and counts as told at %v", now, l.told[s])
	}
	if l.next(now.Add(lpdEvery-1)) != nil || l.next(now.Add(lpdEvery)) != s {
		t.Errorf("it is not due after %v again", lpdEvery)
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

func FuzzLPD(f *testing.F) {
	f.Add(lpdMessage(6881, kith.InfoHash{1, 2}, "abc"))
	f.Add([]byte("BT-SEARCH * HTTP/1.1\r\nPort: 1\r\nInfohash: 00\r\n\r\n"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		port, hashes, cookie, err := parseLPD(msg)
		if err != nil {
			return
		}
		if port == 0 || len(hashes) > lpdMany {
			t.Errorf("port %d, %d hashes", port, len(hashes))
		}
		for _, h := range hashes {
			p, again, _, err := parseLPD(lpdMessage(int(port), h, "x"))
			if err != nil || p != port || len(again) != 1 || again[0] != h {
				t.Errorf("%d, %v, %q, %v", p, again, cookie, err)
			}
		}
	})
}
