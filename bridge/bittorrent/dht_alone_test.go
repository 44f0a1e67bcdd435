package bittorrent

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/anacrolix/dht/v2"

	"kith"
	"kith/rendezvous"
	"kith/rendezvous/rendezvoustest"
)

// TestDHTAlone: two nodes that know neither each other's address nor a tracker find each other by a DHT of others, also where one knows only the infohash of version 2 of what has both.
func TestDHTAlone(t *testing.T) {
	ctx := timed(t, 2*time.Minute)
	there := rendezvoustest.Loopback(t, 8)
	at := func(o *Options) {
		o.Mainline, o.Hosts, o.Config.Hybrid = true, there.Hosts, true
		o.DHTConn = func(c net.PacketConn) net.PacketConn { return rendezvous.Guard(c, true) }
	}
	a, b := newNode(t, at), newNode(t, at)
	files := map[string][]byte{"": sample(9, 1<<20+4321)}
	names, err := a.Publish(ctx, a.share("film.mkv", files))
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) { // who asks before is another test
		st, err := a.StatusOf(names)
		if err == nil && strings.Contains(st.Said, "announced to") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the DHT was not told: %q, %v", st.Said, err)
		}
	}
	d := b.get(ctx, kith.Link{Names: kith.Names{V2: names.V2}, Size: -1})
	d.all(ctx)
	d.mustBe(ctx, files)
	if there.Queries.Load() == 0 {
		t.Error("the DHT was not asked")
	}
}

// TestDHTLate: who looks for somebody before there is anybody hears of the first one soon, and not after a minute. The one who has it is announced by a node of the DHT and
// asks it nothing, so that they do not meet the other way round.
func TestDHTLate(t *testing.T) {
	ctx := timed(t, 40*time.Second) // less than lookEvery
	there := rendezvoustest.Loopback(t, 8)
	a, b := newNode(t, nil), newNode(t, func(o *Options) {
		o.Mainline, o.Hosts = true, there.Hosts
		o.DHTConn = func(c net.PacketConn) net.PacketConn { return rendezvous.Guard(c, true) }
	})
	files := map[string][]byte{"": sample(9, 1<<20+4321)}
	names, err := a.Publish(ctx, a.share("film.mkv", files))
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan error, 1)
	go func() {
		told <- func() error {
			for { // until it has asked, and found nobody
				if st, err := b.StatusOf(names); err == nil && strings.Contains(st.Said, "announced to") {
					break
				}
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(50 * time.Millisecond):
				}
			}
			n, err := there.Nodes[3].AnnounceTraversal(names.V1, dht.AnnouncePeer(dht.AnnouncePeerOpts{Port: int(a.Listens()[0].Port())}))
			if err != nil {
				return err
			}
			defer n.Close()
			for range n.Peers { // it ends when all were told
			}
			return nil
		}()
	}()
	d := b.get(ctx, kith.Link{Names: names, Size: -1})
	if err := <-told; err != nil {
		t.Fatal(err)
	}
	d.all(ctx)
	d.mustBe(ctx, files)
}
