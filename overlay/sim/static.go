package sim

import (
	"fmt"
	"math"
	"slices"
	"unsafe"

	"kith"
	"kith/overlay/kbr"
)

// Static is a network at rest of which a part fails at once, and in which nothing is mended before searches begin: what its tables are worth as they are.
type Static struct {
	Options
	Lookups int
	Fail    float64 // the part of the nodes that fails
}

// MaxLookups is how many searches a scenario can have.
const MaxLookups = 100_000_000

// Check says what is wrong with the scenario. Its error is Invalid.
func (s Static) Check() error {
	if err := s.Options.Check(); err != nil {
		return err
	}
	switch {
	case s.Lookups < 1 || s.Lookups > MaxLookups:
		return kith.Hint(fmt.Errorf("sim: %d lookups: %w", s.Lookups, kith.Invalid), "1 to %d", MaxLookups)
	case !(s.Fail >= 0 && s.Fail < 1):
		return kith.Hint(fmt.Errorf("sim: a part of %v fails: %w", s.Fail, kith.Invalid), "from 0 up to 1, such as 0.3 for three of ten")
	case int(s.Fail*float64(s.Nodes)+0.5) >= s.Nodes:
		return kith.Hint(fmt.Errorf("sim: all of %d nodes fail: %w", s.Nodes, kith.Invalid), "leave one, or nobody can search")
	}
	return nil
}

// Total returns how many nodes there are.
func (s Static) Total() int { return s.Nodes }

// Memory estimates how many bytes a scenario takes, of which perNode are the engine's for each node; with upkeep there are timers, messages and searches of every node.
func Memory(nodes, lookups, perNode int, upkeep bool) int64 {
	const (
		perPeer   = int(unsafe.Sizeof(peer{})+unsafe.Sizeof(kbr.ID{})) + 2*4 // and its place in two lists
		perLookup = 5*8 + 128                                                // in the report, and a little in flight
	)
	const program, underWay = 64 << 20, 2 << 10 // for each node, as measured with a million of each engine
	if upkeep {
		perNode += underWay
	}
	return program + (int64(nodes)*int64(perNode+perPeer)+int64(lookups)*perLookup)*5/4 // with a quarter of garbage
}

// A Spread is how a measure is distributed.
type Spread struct {
	Mean float64 `json:"mean"`
	P1   float64 `json:"p1"`
	P10  float64 `json:"p10"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	Max  float64 `json:"max"`
}

// spread sorts its argument. That of nothing is zero.
func spread(v []float64) (s Spread) {
	if len(v) == 0 {
		return s
	}
	slices.Sort(v)
	for _, x := range v {
		s.Mean += x
	}
	s.Mean /= float64(len(v))
	at := func(p float64) float64 { return v[max(0, int(math.Ceil(p*float64(len(v))))-1)] }
	s.P1, s.P10, s.P50, s.P90, s.P99, s.Max = at(0.01), at(0.1), at(0.5), at(0.9), at(0.99), v[len(v)-1]
	return s
}

// A Report is what came of a scenario.
type Report struct {
	Nodes     int     `json:"nodes"`
	Failed    int     `json:"failed"`           // of the nodes, or left
	Joined    int     `json:"joined,omitempty"` // while it went on
	Lookups   int     `json:"lookups"`
	Right     int     `json:"right"`               // ended at whose the key is
	Wrong     int     `json:"wrong"`               // ended at somebody else
	Lost      int     `json:"lost"`                // ended nowhere
	Abandoned int     `json:"abandoned,omitempty"` // whoever searched was gone before the end
	Path      Spread  `json:"path"`                // nodes that were asked and answered, in searches that were right; as with the next ones
	Timeouts  Spread  `json:"timeouts"`
	Latency   Spread  `json:"latency_ms"`
	Stretch   Spread  `json:"stretch"`       // latency, in round trips between who searched and whose the key is; searches that end where they begin have none
	Named     Spread  `json:"stretch_named"` // the same, up to when the end was first named, before it was asked itself; of iterative searches
	Hops      []int   `json:"hops"`          // [i] is how many searches asked i nodes that answered
	Bytes     float64 `json:"bytes_per_lookup"`
	Bandwidth float64 `json:"bytes_per_node_and_second"`
	Load      Spread  `json:"load"` // bytes that a node sent that is up at the end and was from the beginning, in parts of their mean
	Model     string  `json:"latency_model"`
	Seed      uint64  `json:"seed"`
	Events    uint64  `json:"events"`
	Simulated float64 `json:"simulated_seconds"`
	TraceHash string  `json:"trace_hash"`
	Series    []Slice `json:"series,omitempty"` // of a timeline, in slices of equal length
}

// gap is the time between two searches; these do not touch each other, since nothing is learned from them.
const gap = kbr.Millisecond

// Run runs the scenario. It calls progress, unless that is nil, now and then with how many searches have ended, and stops when that returns an error.
func (s Static) Run(make func(*kbr.Table) Kind, progress func(done int) error) (r Report, err error) {
	if err := s.Check(); err != nil {
		return r, err
	}
	s.Silent, s.founders = true, s.Nodes
	n, err := New(s.Options, make)
	if err != nil {
		return r, err
	}
	n.Settle(s.Nodes, false)
	r = Report{Nodes: s.Nodes, Failed: n.Fail(s.Fail), Lookups: s.Lookups, Seed: s.Seed, Model: n.o.Latency.String()}
	var t tally
	up := slices.Clone(n.Up())
	if up = slices.DeleteFunc(up, n.hostile); len(up) == 0 {
		return r, kith.Hint(fmt.Errorf("sim: nobody is left who is not hostile: %w", kith.Invalid), "take more nodes, or fewer hostile ones")
	}
	for i := range s.Lookups {
		at := kbr.Ticks(i) * gap
		who := up[n.draw(forKey, kbr.None, uint64(i))%uint64(len(up))]
		if s.Eclipse {
			who = n.victim(uint64(i))
		}
		n.Search(at, who, kbr.Tag(i))
		if i%1000 == 999 { // so that the queue stays short
			n.Run(at, nil)
			t.add(n, &r)
			if err := tell(progress, r.done()); err != nil {
				return r, err
			}
		}
	}
	for !n.Idle() {
		n.Run(n.Now()+kbr.Minute, nil)
	}
	t.add(n, &r)
	r.finish(n, &t)
	return r, tell(progress, s.Lookups)
}

// finish makes the figures of what was collected.
func (r *Report) finish(n *Net, t *tally) {
	r.Path, r.Timeouts, r.Latency = spread(t.path), spread(t.timeouts), spread(t.latency)
	r.Stretch, r.Named = spread(t.stretch), spread(t.named)
	r.Events, r.Simulated = n.Steps(), float64(n.Now())/float64(kbr.Second)
	r.Bytes = float64(n.Bytes()) / float64(r.Lookups)
	if r.Simulated > 0 {
		r.Bandwidth = float64(n.Bytes()) / r.Simulated / float64(r.Nodes)
	}
	r.Load = n.load(r.Nodes)
	r.TraceHash = fmt.Sprintf("%016x", n.TraceHash())
	if n.o.Look != nil {
		n.judge, n.departed = nil, func(kbr.Node) {} // the scenario is over
		n.o.Look(n)
	}
}

// load returns what the first count nodes have sent, of those that are up, in parts of the mean.
func (n *Net) load(count int) Spread {
	var sum float64
	sent := make([]float64, 0, count)
	for _, p := range n.peers[1 : count+1] {
		if p.up {
			sent = append(sent, float64(p.bytes))
			sum += float64(p.bytes)
		}
	}
	for i := range sent {
		sent[i] *= float64(len(sent)) / max(sum, 1)
	}
	return spread(sent)
}

func tell(progress func(int) error, done int) error {
	if progress == nil {
		return nil
	}
	return progress(done)
}

// A tally collects results.
type tally struct {
	path, timeouts, latency, stretch, named []float64
	each                                    func(x *kbr.Result, right bool) // is told each result, unless it is nil
}

// Right reports whether a search has ended at whose the key is now, of those that the one who searched could reach.
func (n *Net) Right(x *kbr.Result) bool {
	owner := n.kind.Owner(n.order, func(p kbr.Node) bool { return n.honest(p) && (n.parted == nil || !n.parted(x.Self, p)) }, x.Key)
	return x.Node != kbr.None && (x.Node == owner || n.o.attacked() && slices.Contains(x.Nodes[:x.Heard], owner))
}

// add judges the searches that have ended.
func (t *tally) add(n *Net, r *Report) {
	for _, x := range n.Results() {
		right := n.Right(&x)
		if t.each != nil {
			t.each(&x, right)
		}
		switch {
		case x.Node == kbr.None:
			r.Lost++
			continue
		case !right:
			r.Wrong++
			continue
		}
		r.Right++
		t.path = append(t.path, float64(x.Path))
		t.timeouts = append(t.timeouts, float64(x.Timeouts))
		t.latency = append(t.latency, float64(x.Ended-x.Began)/float64(kbr.Millisecond))
		if x.Node != x.Self {
			direct := float64(n.rtt(x.Self, x.Node))
			t.stretch = append(t.stretch, float64(x.Ended-x.Began)/direct)
			t.named = append(t.named, float64(x.Named-x.Began)/direct)
		}
		for len(r.Hops) <= x.Path {
			r.Hops = append(r.Hops, 0)
		}
		r.Hops[x.Path]++
	}
}

func (r *Report) done() int { return r.Right + r.Wrong + r.Lost }
