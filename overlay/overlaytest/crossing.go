package overlaytest

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"kith/overlay/kbr"
)

// A Crossing is what nodes do in the simulator and over libp2p, with the same places and keys at the same times: one comes every second and meets the first, all are left
// alone until tables are whole, then they search. Three of ten crash at once, and those that are left search at once, and once more when all is mended. In the end nodes
// crash one by one while others come, and they search.
type Crossing struct {
	Nodes, Searches int           // of each phase
	Rest, Idle      time.Duration // until tables are whole; in which nobody searches, to see what upkeep costs
	Mend            time.Duration // after the crash
	Last            time.Duration // for the last search of a phase
	Churn           time.Duration // how long it goes on, with a search each second; 0: not at all
	Median          time.Duration // of sessions then, which are exponential
}

// The phases of a Crossing.
const (
	AtRest = iota
	Crashed
	Mended
	Churned
	phases
)

// Gap is the time between two searches of a phase.
const Gap = 20 * time.Millisecond

// Seen is what came of a phase.
type Seen struct {
	Ended, Right   int
	path, timeouts int
	took           time.Duration
}

// A Went is how a search went: where it ended, or "", who answered and who did not, and how long it took.
type Went struct {
	Found          peer.ID
	Path, Timeouts int
	Took           time.Duration
}

// Add counts one search.
func (s *Seen) Add(right bool, w Went) {
	s.Ended++
	if right {
		s.Right++
		s.path += w.Path
		s.timeouts += w.Timeouts
		s.took += w.Took
	}
}

// Mean returns the mean path, timeouts, and time in round trips of 100 ms, of the searches that were right.
func (s Seen) Mean() (path, timeouts, rounds float64) {
	n := float64(max(s.Right, 1))
	return float64(s.path) / n, float64(s.timeouts) / n, float64(s.took) / float64(100*time.Millisecond) / n
}

// An Outcome is what came of it all, and the bytes a node and second of upkeep.
type Outcome struct {
	Phases [phases]Seen
	Upkeep float64
}

// Sought returns what the i-th search of a phase is for.
func Sought(phase, i int) kbr.ID { return kbr.Hash([]byte{byte(phase), byte(i >> 8), byte(i)}) }

// Crashes reports whether the i-th node is one of those that crash at once.
func (c Crossing) Crashes(i int) bool { return i%10 == 3 || i%10 == 6 || i%10 == 9 }

// Who returns which node does the i-th search of a phase.
func (c Crossing) Who(phase, i int) int {
	for n := i * 7919 % c.Nodes; ; n = (n + 1) % c.Nodes {
		if phase == AtRest || !c.Crashes(n) {
			return n
		}
	}
}

// A Turn is one second of churn: who crashes, and as many who come, each meeting one that is there; and who searches.
type Turn struct {
	Crash, Come, Via []int
	Who              int
}

// Turns returns the churn, second by second: always the same.
func (c Crossing) Turns() (turns []Turn) {
	chance := rand.New(rand.NewPCG(5, 6))
	var up []int
	for i := range c.Nodes {
		if !c.Crashes(i) {
			up = append(up, i)
		}
	}
	next := c.Nodes
	for range int(c.Churn / time.Second) {
		var t Turn
		for at := range up {
			if chance.Float64() < 0.6931/c.Median.Seconds() {
				t.Crash, up[at] = append(t.Crash, up[at]), -1
			}
		}
		for at := range up {
			if up[at] < 0 {
				via := -1
				for via < 0 {
					via = up[chance.IntN(len(up))]
				}
				t.Come, t.Via = append(t.Come, next), append(t.Via, via)
				up[at] = next
				next++
			}
		}
		t.Who = up[chance.IntN(len(up))]
		turns = append(turns, t)
	}
	return turns
}

// A Place is where a Crossing takes place.
type Place interface {
	Start(i, via int) // the i-th node comes, and meets another one unless it is that itself
	Crash(i int)
	Search(i int, key kbr.ID, into *Seen) // the i-th node begins to search; what comes of it is added when it ends, unless the node is gone then
	Pass(time.Duration)
	Sent() int64 // bytes of upkeep and searches so far, of all nodes
}

// On lets the crossing take place. What comes of it is whole when no search goes on any more.
func (c Crossing) On(p Place) *Outcome {
	o := new(Outcome)
	for i := range c.Nodes {
		p.Start(i, 0)
		p.Pass(time.Second)
	}
	p.Pass(c.Rest)
	before := p.Sent()
	p.Pass(c.Idle)
	o.Upkeep = float64(p.Sent()-before) / float64(c.Nodes) / c.Idle.Seconds()
	for phase := range Churned {
		switch phase {
		case Crashed:
			for i := range c.Nodes {
				if c.Crashes(i) {
					p.Crash(i)
				}
			}
		case Mended:
			p.Pass(c.Mend)
		}
		for i := range c.Searches {
			p.Search(c.Who(phase, i), Sought(phase, i), &o.Phases[phase])
			p.Pass(Gap)
		}
		p.Pass(c.Last)
	}
	for i, turn := range c.Turns() {
		for _, n := range turn.Crash {
			p.Crash(n)
		}
		for j, n := range turn.Come {
			p.Start(n, turn.Via[j])
		}
		p.Search(turn.Who, Sought(Churned, i), &o.Phases[Churned])
		p.Pass(time.Second)
	}
	p.Pass(c.Last)
	return o
}

// A Crosser is a node of a Crossing over libp2p.
type Crosser interface {
	Search(ctx context.Context, key kbr.ID) (Went, error)
	Close() error
}

// Crossers makes nodes, and says whose a key is, of those that are up and are not self.
type Crossers struct {
	New   func(t *testing.T, h host.Host) Crosser
	Owner func(key kbr.ID, self peer.ID, up map[peer.ID]bool) peer.ID
	Sent  func() int64 // as that of a Place
}

// Run lets the crossing take place over libp2p, in the time of a synctest bubble.
func (c Crossing) Run(t *testing.T, with Crossers) (o *Outcome) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &crossed{Crossers: with, t: t, last: c.Last, net: NewInternet(t), up: map[peer.ID]bool{}}
		o = c.On(r)
		r.work.Wait()
	})
	return o
}

// crossed is libp2p as a Place.
type crossed struct {
	Crossers
	t     *testing.T
	last  time.Duration
	net   Internet
	nodes []crossNode
	work  sync.WaitGroup

	mu sync.Mutex
	up map[peer.ID]bool
}

type crossNode struct {
	Crosser
	host.Host
	pull func()
}

// Start implements Place.
func (r *crossed) Start(i, via int) {
	h, pull := r.net.Host(r.t, i)
	node := crossNode{r.New(r.t, h), h, pull}
	r.t.Cleanup(func() { node.Crosser.Close() })
	r.nodes = append(r.nodes, node)
	if i != via {
		if err := h.Connect(r.t.Context(), peer.AddrInfo{ID: r.nodes[via].ID(), Addrs: r.nodes[via].Addrs()}); err != nil {
			r.t.Fatal(err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.up[h.ID()] = true
}

// Crash implements Place.
func (r *crossed) Crash(i int) {
	r.nodes[i].pull()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.up, r.nodes[i].ID())
}

// Search implements Place. It judges at the moment in which the search ends.
func (r *crossed) Search(i int, key kbr.ID, into *Seen) {
	r.work.Go(func() {
		ctx, cancel := context.WithTimeout(r.t.Context(), r.last)
		defer cancel()
		self := r.nodes[i].ID()
		went, err := r.nodes[i].Search(ctx, key)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.up[self] {
			into.Add(err == nil && went.Found == r.Owner(key, self, r.up), went)
		}
	})
}

// Pass implements Place.
func (r *crossed) Pass(d time.Duration) { time.Sleep(d) }

// Sent implements Place.
func (r *crossed) Sent() int64 { return r.Crossers.Sent() }
