package live_test

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
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

// simulator is the simulator as a Place of a crossing.
type simulator struct {
	*sim.Net
	kind   sim.Kind
	chance *rand.Rand
	second int
	came   map[kbr.Node]int // in which second
	tags   kbr.Tag
	into   map[kbr.Tag]*overlaytest.Seen // nil for what a node announces
}

// simulate has the crossing take place in the simulator.
func simulate(t *testing.T, c overlaytest.Crossing, name string, seed uint64) *overlaytest.Outcome {
	t.Helper()
	total := c.Nodes
	for _, turn := range c.Turns() {
		total += len(turn.Come)
	}
	s := &simulator{chance: rand.New(rand.NewPCG(seed, 2)), came: map[kbr.Node]int{}, into: map[kbr.Tag]*overlaytest.Seen{}}
	var err error
	s.Net, err = sim.New(sim.Options{Nodes: total, Seed: seed, Latency: star{}, Dials: true, Checks: live.Trails, Place: func(i int) kbr.ID { return live.Place(hostID(i - 1)) }},
		func(t *kbr.Table) sim.Kind {
			k := live.Kind(name, t)
			s.kind = simulated{k.(sim.Kind), k}
			return s.kind
		})
	if err != nil {
		t.Fatal(err)
	}
	return c.On(s)
}

func hostID(i int) peer.ID {
	id, err := peer.IDFromPrivateKey(overlaytest.HostKey(i))
	if err != nil {
		panic(err)
	}
	return id
}

// Start implements overlaytest.Place.
func (s *simulator) Start(i, via int) {
	p, first := kbr.Node(i+1), kbr.Node(via+1)
	s.came[p] = s.second
	s.Net.Start(p)
	s.Meet(p, first)
	s.Meet(first, p)
}

// Crash implements overlaytest.Place.
func (s *simulator) Crash(i int) { s.Net.Crash(kbr.Node(i + 1)) }

// Search implements overlaytest.Place.
func (s *simulator) Search(i int, key kbr.ID, into *overlaytest.Seen) {
	s.tags++
	s.into[s.tags] = into
	s.SearchFor(kbr.Node(i+1), key, s.tags)
}

// Pass implements overlaytest.Place.
func (s *simulator) Pass(d time.Duration) {
	for until := s.Now() + ticks(d); s.Now() < until; {
		second := (s.Now()/kbr.Second + 1) * kbr.Second
		s.Run(min(until, second), s.judge)
		if s.Now() == second {
			s.second++
			for _, p := range s.Up() {
				s.also(p)
			}
		}
	}
}

// also has a node do what a real one does beside what its engine does: it announces itself when it is there, hands over what it keeps, and looks at somebody now and then.
func (s *simulator) also(p kbr.Node) {
	for _, q := range s.kind.Engine(p).Replicas(live.Copies, nil) {
		if q != p {
			s.Connect(p, q)
		}
	}
	switch age := s.second - s.came[p]; {
	case age == 1:
		s.Search(int(p)-1, live.Announced(hostID(int(p)-1)), nil)
	case age%int(live.MeetAnyway.Seconds()) == 0:
		known := slices.DeleteFunc(slices.Clone(s.Up()), func(q kbr.Node) bool { return q == p || !s.Connected(p, q) })
		if len(known) > 0 {
			s.Meet(p, known[s.chance.IntN(len(known))])
		}
	}
}

// judge adds what has ended.
func (s *simulator) judge() bool {
	for _, r := range s.Results() {
		if into := s.into[r.Tag]; into != nil {
			took := time.Duration(r.Ended-r.Began) * time.Microsecond
			into.Add(r.Node == s.Owner(r.Key), overlaytest.Went{Path: r.Path, Timeouts: r.Timeouts, Took: took})
			continue
		}
		for _, q := range append(s.kind.Engine(max(1, r.Node)).Replicas(live.Copies, nil), r.Node) {
			if q != r.Self && q != kbr.None {
				s.Connect(r.Self, q)
			}
		}
	}
	return true
}

// Sent implements overlaytest.Place.
func (s *simulator) Sent() int64 { return int64(s.Bytes()) }

// crosser is a node over libp2p.
type crosser struct{ *live.Router }

// Search implements overlaytest.Crosser.
func (c crosser) Search(ctx context.Context, key kbr.ID) (w overlaytest.Went, err error) {
	w.Found, w.Path, w.Timeouts, w.Took, err = c.Router.Once(ctx, key)
	return w, err
}

// cross runs the crossing over libp2p, and returns also how many bytes of upkeep were on the wire, a node and second.
func cross(t *testing.T, c overlaytest.Crossing, name string) *overlaytest.Outcome {
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
	})
}

// seeds is how many runs of the simulator a crossing over libp2p is held against: one of few nodes is chance in part.
const seeds = 10

// The simulator and libp2p give the same, over lines of the same lengths: who searches for the same key at the same time asks as many, for as long. KITH_SIM_FULL has
// as many nodes as it says, and at least 100, and judges also how many are asked in vain after a crash, what that takes and what upkeep costs: of few nodes that is chance.
func TestCross(t *testing.T) {
	c := overlaytest.Crossing{Nodes: 20, Searches: 80, Rest: 90 * time.Second, Idle: 10 * time.Second, Mend: 2 * time.Minute, Last: 20 * time.Second}
	full := os.Getenv("KITH_SIM_FULL") != ""
	switch {
	case full:
		n, _ := strconv.Atoi(os.Getenv("KITH_SIM_FULL"))
		c = overlaytest.Crossing{Nodes: max(n, 100), Searches: 400, Rest: 10 * time.Minute, Idle: 3 * time.Minute, Mend: 3 * time.Minute, Last: 30 * time.Second,
			Churn: 10 * time.Minute, Median: 23 * time.Minute}
	case testing.Short():
		c.Nodes, c.Searches = 10, 40
	}
	some(t, func(t *testing.T, kind string) {
		var want [seeds]*overlaytest.Outcome
		for seed := range want {
			want[seed] = simulate(t, c, kind, uint64(seed+1))
		}
		got := cross(t, c, kind)
		check := func(judged bool, what string, of func(o *overlaytest.Outcome) float64) {
			t.Helper()
			least, most, mean := math.Inf(1), 0.0, 0.0
			for i := range want {
				x := of(want[i])
				least, most, mean = min(least, x), max(most, x), mean+x/seeds
			}
			x := of(got)
			t.Logf("%-35s simulator %8.3f (%.3f to %.3f), libp2p %8.3f", what, mean, least, most, x)
			if judged && math.Abs(x-mean) > 0.1*mean {
				t.Errorf("%s: %.3f in the simulator, %.3f over libp2p", what, mean, x)
			}
		}
		for i, phase := range []string{"at rest", "after a crash", "when that is mended", "under churn"} {
			for _, o := range append(want[:], got) {
				if i != overlaytest.Churned && o.Phases[i].Ended != c.Searches {
					t.Errorf("%s: %d of %d searches ended", phase, o.Phases[i].Ended, c.Searches)
				}
			}
			mean := func(which int) func(*overlaytest.Outcome) float64 {
				return func(o *overlaytest.Outcome) float64 {
					path, timeouts, rounds := o.Phases[i].Mean()
					return [...]float64{path, timeouts, rounds}[which]
				}
			}
			check(true, "right, "+phase, func(o *overlaytest.Outcome) float64 { return float64(o.Phases[i].Right) })
			check(true, "path, "+phase, mean(0))
			check(full && i == overlaytest.Crashed || i == overlaytest.AtRest, "asked in vain, "+phase, mean(1))
			check(full && i == overlaytest.Crashed || i == overlaytest.AtRest, "round trips, "+phase, mean(2))
		}
		check(full, "upkeep, bytes a node and second", func(o *overlaytest.Outcome) float64 { return o.Upkeep })
	})
}
