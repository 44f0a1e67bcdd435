package bittorrent

import (
	"net"
	"strings"
	"testing"
	"time"

	"kith"
	"kith/rendezvous"
	"kith/rendezvous/rendezvoustest"
)

// TestDHTAlone: two nodes that know neither each other's address nor a tracker find each other by a DHT of others.
func TestDHTAlone(t *testing.T) {
	ctx := timed(t, 2*time.Minute)
	there := rendezvoustest.Loopback(t, 8)
	at := func(o *Options) {
		o.Mainline, o.Hosts = true, there.Hosts
		o.DHTConn = func(c net.PacketConn) net.PacketConn { return rendezvous.Guard(c, true) }
	}
	a, b := newNode(t, at), newNode(t, at)
	files := map[string][]byte{"": sample(9, 1<<20+4321)}
	names, err := a.Publish(ctx, a.share("film.mkv", files))
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) { // who asks before has to wait a minute to ask again
		st, err := a.StatusOf(names)
		if err == nil && strings.Contains(st.Said, "announced to") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the DHT was not told: %q, %v", st.Said, err)
		}
	}
	d := b.get(ctx, kith.Link{Names: names, Size: -1})
	d.all(ctx)
	d.mustBe(ctx, files)
	if there.Queries.Load() == 0 {
		t.Error("the DHT was not asked")
	}
}
