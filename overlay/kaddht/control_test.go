package kaddht_test

import (
	"context"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"

	"kith/overlay/kaddht"
	"kith/overlay/kbr"
	"kith/overlay/overlaytest"
)

// crosser is a node over libp2p.
type crosser struct{ *kaddht.Router }

// Search implements overlaytest.Crosser.
func (c crosser) Search(ctx context.Context, key kbr.ID) (w overlaytest.Went, err error) {
	began := time.Now()
	ctx, cancel := context.WithCancel(ctx)
	ctx, events := routing.RegisterForQueryEvents(ctx)
	counted := make(chan struct{})
	go func() {
		defer close(counted)
		answered, vain := map[peer.ID]bool{}, map[peer.ID]bool{}
		for e := range events {
			switch e.Type {
			case routing.PeerResponse:
				answered[e.ID] = true
			case routing.QueryError:
				vain[e.ID] = true
			}
		}
		w.Path, w.Timeouts = len(answered), len(vain)
	}()
	b := key.Bytes()
	near, err := c.Closest(ctx, b[:], 1)
	w.Took = time.Since(began)
	cancel()
	<-counted
	if len(near) > 0 {
		w.Found = near[0].ID
	}
	return w, err
}

// go-libp2p-kad-dht, which is not ours, is the control: what Kith's overlays do over libp2p (overlay/live, TestCross) it does too. KITH_SIM_FULL has as many nodes as it
// says, and at least 100.
func TestControl(t *testing.T) {
	c := overlaytest.Crossing{Nodes: 16, Searches: 40, Rest: time.Minute, Idle: 10 * time.Second, Mend: 2 * time.Minute, Last: time.Minute}
	full := os.Getenv("KITH_SIM_FULL") != ""
	if full {
		n, _ := strconv.Atoi(os.Getenv("KITH_SIM_FULL"))
		c = overlaytest.Crossing{Nodes: max(n, 100), Searches: 500, Rest: 5 * time.Minute, Idle: 3 * time.Minute, Mend: 3 * time.Minute, Last: 2 * time.Minute,
			Churn: 10 * time.Minute, Median: 23 * time.Minute}
	}
	var sent atomic.Int64
	o := c.Run(t, overlaytest.Crossers{
		Sent: sent.Load,
		New: func(t *testing.T, h host.Host) overlaytest.Crosser {
			h = overlaytest.Tap(h, func(_ bool, frame []byte) { sent.Add(int64(len(frame))) })
			r, err := kaddht.New(t.Context(), kaddht.Options{Host: h, Network: "test", DS: dssync.MutexWrap(datastore.NewMapDatastore())})
			if err != nil {
				t.Fatal(err)
			}
			return crosser{r}
		},
		Owner: func(key kbr.ID, self peer.ID, up map[peer.ID]bool) (best peer.ID) {
			b := key.Bytes()
			for p := range up {
				if p != self && (best == "" || nearer(b[:], p, best)) {
					best = p
				}
			}
			return best
		},
	})
	for i, phase := range []string{"at rest", "after a crash", "when that is mended", "under churn"} {
		s := o.Phases[i]
		path, timeouts, rounds := s.Mean()
		t.Logf("%-20s right %d of %d, path %.2f, asked in vain %.2f, round trips %.2f", phase, s.Right, s.Ended, path, timeouts, rounds)
		if i != overlaytest.Crashed && i != overlaytest.Churned && s.Right != c.Searches {
			t.Errorf("%s: %d of %d searches were right, %d ended", phase, s.Right, c.Searches, s.Ended)
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	t.Logf("upkeep %.1f bytes a node and second on the wire; %d MB of memory", o.Upkeep, m.Sys>>20)
}
