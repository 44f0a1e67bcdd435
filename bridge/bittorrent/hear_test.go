package bittorrent

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	"kith"
	"kith/bridge"
	"kith/rendezvous"
	"kith/rendezvous/rendezvoustest"
)

// TestHear: a node learns from a DHT of others what two other nodes have; it leaves alone what it knows, and the DHT is told nothing of it.
func TestHear(t *testing.T) {
	ctx := timed(t, 2*time.Minute)
	there := rendezvoustest.Loopback(t, 8)
	at := func(o *Options) {
		o.Mainline, o.Hosts = true, there.Hosts
		o.DHTConn = func(c net.PacketConn) net.PacketConn { return rendezvous.Guard(c, true) }
	}
	a, b, c := newNode(t, at), newNode(t, at), newNode(t, at)
	folder := map[string][]byte{"one.flac": sample(1, 70_000), "two/three.flac": sample(2, 300_000)}
	names, err := a.Publish(ctx, a.share("Penguin recordings", folder))
	if err != nil {
		t.Fatal(err)
	}
	known, err := b.Publish(ctx, b.share("film.mkv", map[string][]byte{"": sample(3, 100_000)}))
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan bridge.Heard, 100)
	looked := make(chan kith.InfoHash, 100)
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		ended <- c.Hear(ctx, func(h kith.InfoHash) bool {
			looked <- h
			return h == known.V1
		}, func(h bridge.Heard) { heard <- h })
	}()
	select {
	case h := <-heard:
		slices.Sort(h.Files)
		if h.Names.V1 != names.V1 || h.Name != "Penguin recordings" || h.Size != 370_000 || !slices.Equal(h.Files, []string{"one.flac", "two/three.flac"}) {
			t.Errorf("%+v", h)
		}
	case err := <-ended:
		t.Fatal(err)
	}
	for h := range looked {
		if h == known.V1 {
			break
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if len(heard) > 0 {
		t.Errorf("and %+v", <-heard)
	}
	for _, s := range c.client.cl.Torrents() {
		t.Errorf("it takes part in %s", s.InfoHash())
	}
	if n := thanked(c.client.cl.DhtServers()[0]); n != 0 {
		t.Errorf("it has told %d nodes of the DHT of something", n)
	}
}

// TestHearNowhere: a node that is not in the DHT says so.
func TestHearNowhere(t *testing.T) {
	n := newNode(t, nil)
	if err := n.Hear(t.Context(), nil, nil); !errors.Is(err, kith.Unavailable) {
		t.Error(err)
	}
}
