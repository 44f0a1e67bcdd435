package live_test

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"kith/overlay/kbr"
	"kith/overlay/live"
	"kith/overlay/overlaytest"
	"kith/overlay/sim"
)

// star is the latency of an overlaytest.Internet.
type star struct{}

// Between implements sim.Latency.
func (star) Between(_ *sim.Net, a, b kbr.Node) kbr.Ticks {
	return ticks(overlaytest.Delay(int(a)-1) + overlaytest.Delay(int(b)-1))
}

// Least implements sim.Latency.
func (star) Least() kbr.Ticks { return ticks(2 * overlaytest.LeastDelay) }

// String implements sim.Latency.
func (star) String() string { return "star" }

func ticks(d time.Duration) kbr.Ticks { return kbr.Ticks(d.Microseconds()) }

// simulated is a kind of overlay in the simulator as live carries it.
type simulated struct {
	sim.Kind
	all any
}

func (s simulated) Searches() (parallel, ends, paths int) {
	if k, ok := s.all.(interface{ Searches() (int, int, int) }); ok {
		return k.Searches()
	}
	return live.Parallel, 0, 0
}

func (s simulated) Metric() bool {
	k, ok := s.all.(interface{ Metric() bool })
	return ok && k.Metric()
}

func (s simulated) Learns() bool {
	k, ok := s.all.(interface{ Learns() bool })
	return ok && k.Learns()
}

// crossing is a crossing in the simulator.
type crossing struct {
	overlaytest.Crossing
	net    *sim.Net
	chance *rand.Rand
	second int
}

// pass lets time pass, with the look at somebody at random that nodes have now and then.
func (c *crossing) pass(d time.Duration) {
	n := c.net
	for until := n.Now() + ticks(d); n.Now() < until; c.second++ {
		n.Run(min(until, n.Now()+kbr.Second), nil)
		for _, p := range n.Up() {
			if (int(p)+c.second)%int(live.MeetAnyway.Seconds()) == 0 {
				n.Meet(p, n.Up()[c.chance.IntN(len(n.Up()))])
			}
		}
	}
}

// start turns on the i-th node.
func (c *crossing) start(i, via int) {
	p, first := kbr.Node(i+1), kbr.Node(via+1)
	c.net.Start(p)
	c.net.Meet(p, first)
	c.net.Meet(first, p)
}

func (c *crossing) judge(into *overlaytest.Seen) (results []kbr.Result) {
	results = c.net.Results()
	for _, r := range results {
		into.Add(r.Node == c.net.Owner(r.Key), overlaytest.Went{Path: r.Path, Timeouts: r.Timeouts, Took: time.Duration(r.Ended-r.Began) * time.Microsecond})
	}
	return results
}

// simulate runs the crossing, and returns also what was searched for.
func (c *crossing) simulate(t *testing.T, name string) (o overlaytest.Outcome, wishes overlaytest.Wishes) {
	t.Helper()
	turns, total := c.Turns(), c.Nodes
	for _, turn := range turns {
		total += len(turn.Come)
	}
	n, err := sim.New(sim.Options{Nodes: total, Seed: 1, Latency: star{}, Checks: live.Trails, Place: func(i int) kbr.ID {
		id, err := peer.IDFromPrivateKey(overlaytest.HostKey(i - 1))
		if err != nil {
			t.Fatal(err)
		}
		return live.Place(id)
	}}, func(t *kbr.Table) sim.Kind {
		k := live.Kind(name, t)
		return simulated{k.(sim.Kind), k}
	})
	if err != nil {
		t.Fatal(err)
	}
	c.net, c.chance = n, rand.New(rand.NewPCG(1, 2))
	for i := range c.Nodes {
		c.start(i, 0)
		c.pass(time.Second)
	}
	c.pass(c.Rest)
	before := n.Bytes()
	c.pass(c.Idle)
	o.Upkeep = float64(n.Bytes()-before) / float64(c.Nodes) / c.Idle.Seconds()
	for phase := range wishes {
		switch phase {
		case overlaytest.Crashed:
			for i := range c.Nodes {
				if c.Crashes(i) {
					n.Crash(kbr.Node(i + 1))
				}
			}
		case overlaytest.Mended:
			c.pass(c.Mend)
		}
		for i := range c.Searches {
			n.Search(n.Now()+kbr.Ticks(i)*ticks(overlaytest.Gap), kbr.Node(c.Who(phase, i)+1), kbr.Tag(phase*c.Searches+i))
		}
		c.pass(c.Phase())
		wishes[phase] = make([]overlaytest.Wish, c.Searches)
		for _, r := range c.judge(&o.Phases[phase]) {
			wishes[phase][int(r.Tag)-phase*c.Searches] = overlaytest.Wish{Node: int(r.Self) - 1, Key: r.Key}
		}
	}
	for i, turn := range turns {
		for _, p := range turn.Crash {
			n.Crash(kbr.Node(p + 1))
		}
		for j, p := range turn.Come {
			c.start(p, turn.Via[j])
		}
		n.Search(n.Now(), kbr.Node(turn.Who+1), kbr.Tag(1<<20|i)) // for another key than over libp2p
		for until := n.Now() + kbr.Second; n.Now() < until; {
			n.Run(until, func() bool { c.judge(&o.Phases[overlaytest.Churned]); return true })
		}
	}
	c.pass(c.Last)
	c.judge(&o.Phases[overlaytest.Churned])
	return o, wishes
}

// crosser is a node over libp2p.
type crosser struct{ *live.Router }

// Search implements overlaytest.Crosser.
func (c crosser) Search(ctx context.Context, key kbr.ID) (w overlaytest.Went, err error) {
	w.Found, w.Path, w.Timeouts, w.Took, err = c.Router.Once(ctx, key)
	return w, err
}

// cross runs the crossing over libp2p, and returns also how many bytes of upkeep were on the wire, a node and second.
func cross(t *testing.T, c overlaytest.Crossing, name string, wishes overlaytest.Wishes) overlaytest.Outcome {
	var sent atomic.Int64
	count := func(asks bool, frame []byte) {
		if nodes, ok := live.Named(frame, asks); ok {
			sent.Add(int64(20 + 4*nodes)) // as p2psim and the simulator count
		}
	}
	return c.Run(t, overlaytest.Crossers{
		Sent: sent.Load,
		New: func(t *testing.T, h host.Host) overlaytest.Crosser {
			r, err := live.New(t.Context(), live.Options{
				Host: overlaytest.Tap(h, count), Network: "test", Overlay: name, LeastWait: time.Millisecond, DS: dssync.MutexWrap(datastore.NewMapDatastore()),
			})
			if err != nil {
				t.Fatal(err)
			}
			return crosser{r}
		},
		Owner: func(key kbr.ID, _ peer.ID, up map[peer.ID]bool) (best peer.ID) {
			for p := range up {
				if best == "" || nearer[name](key, p, best) {
					best = p
				}
			}
			return best
		},
	}, wishes)
}

// The simulator and libp2p give the same, over lines of the same lengths: who searches for the same key at the same time asks as many, for as long. KITH_SIM_FULL has
// 100 nodes, and judges also how many are asked in vain after a crash, what that takes and what upkeep costs: of few nodes that is chance.
func TestCross(t *testing.T) {
	c := overlaytest.Crossing{Nodes: 20, Searches: 80, Rest: 90 * time.Second, Idle: 10 * time.Second, Mend: 2 * time.Minute, Last: 20 * time.Second}
	full := os.Getenv("KITH_SIM_FULL") != ""
	switch {
	case full:
		c = overlaytest.Crossing{Nodes: 100, Searches: 500, Rest: 5 * time.Minute, Idle: 3 * time.Minute, Mend: 3 * time.Minute, Last: 30 * time.Second,
			Churn: 10 * time.Minute, Median: 23 * time.Minute}
	case testing.Short():
		c.Nodes, c.Searches = 10, 40
	}
	some(t, func(t *testing.T, kind string) {
		want, wishes := (&crossing{Crossing: c}).simulate(t, kind)
		got := cross(t, c, kind, wishes)
		check := func(what string, got, want float64, judged bool) {
			t.Helper()
			t.Logf("%-35s simulator %8.3f, libp2p %8.3f", what, want, got)
			if d := math.Abs(got - want); judged && d > 0.1*want {
				t.Errorf("%s: %.3f in the simulator, %.3f over libp2p", what, want, got)
			}
		}
		for i, phase := range []string{"at rest", "after a crash", "when that is mended", "under churn"} {
			w, g := want.Phases[i], got.Phases[i]
			if i != overlaytest.Churned && (w.Ended != c.Searches || g.Ended != c.Searches) {
				t.Errorf("%s: of %d searches %d ended in the simulator, and %d over libp2p", phase, c.Searches, w.Ended, g.Ended)
			}
			check("right, "+phase, float64(g.Right), float64(w.Right), true)
			path, timeouts, rounds := w.Mean()
			p, v, r := g.Mean()
			check("path, "+phase, p, path, true)
			check("asked in vain, "+phase, v, timeouts, full && i == overlaytest.Crashed || i == overlaytest.AtRest)
			check("round trips, "+phase, r, rounds, full && i == overlaytest.Crashed || timeouts+v == 0)
		}
		check("upkeep, bytes a node and second", got.Upkeep, want.Upkeep, full)
	})
}
