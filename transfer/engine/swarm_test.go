package engine

import (
	"container/heap"
	"strconv"
	"testing"
	"time"

	"kith/blob/bao"
)

// A swarm is a simulation: engines that fetch from a seed and from each other over lines of a given rate and delay. Each node sends to its askers
// in turn and receives one thing after the other; have-maps take the line's delay.
type swarm struct {
	now    time.Duration
	events events
	seq    int
	rate   float64 // bytes a second, each way
	delay  time.Duration
	nodes  []*simNode
	sent   []int64 // groups that each node sent

	declines bool      // the seed declines what it has promised to somebody else
	promised []promise // what was asked of it
	declined int       // how often it did
}

type promise struct {
	to int
	bao.Range
}

type simNode struct {
	id     int
	engine *Engine // nil: the seed
	queue  map[int][]Request
	turn   int
	busy   bool
	inFree time.Duration // when its line in is free
}

type event struct {
	at  time.Duration
	seq int
	do  func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].seq < e[j].seq
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

func (s *swarm) after(d time.Duration, do func()) {
	s.seq++
	heap.Push(&s.events, event{s.now + d, s.seq, do})
}

// newSwarm returns one seed and n fetchers of so many groups.
func newSwarm(n int, groups int64, rate float64, delay time.Duration, seed uint64, declines bool) *swarm {
	s := &swarm{rate: rate, delay: delay, sent: make([]int64, n+1), declines: declines}
	for i := range n + 1 {
		node := &simNode{id: i, queue: map[int][]Request{}}
		if i > 0 {
			node.engine = New(Options{Groups: groups, Seed: random(seed, uint64(i))})
		}
		s.nodes = append(s.nodes, node)
	}
	for _, a := range s.nodes[1:] {
		for _, b := range s.nodes {
			if a != b {
				a.engine.Join(SourceID(b.id), 0)
			}
		}
		a.engine.HasAll(0)
		s.after(0, func() { s.pump(a) })
		s.tick(a)
	}
	return s
}

func (s *swarm) tick(a *simNode) {
	a.engine.Tick(s.now)
	s.pump(a)
	if !a.engine.Complete() {
		s.after(250*time.Millisecond, func() { s.tick(a) })
	}
}

// pump sends all requests that a's engine has.
func (s *swarm) pump(a *simNode) {
	for _, b := range s.nodes {
		for b != a {
			q, ok := a.engine.Next(SourceID(b.id), s.now)
			if !ok {
				break
			}
			s.after(s.delay, func() {
				if b.engine == nil && !s.promise(a, q) {
					s.after(s.delay+queueTime, func() { a.engine.Declined(q.ID, s.now); s.pump(a) }) // behind what is in the line already
					return
				}
				b.queue[a.id] = append(b.queue[a.id], q)
				s.serve(b)
			})
		}
	}
}

// promise reports whether the seed sends a what it asks for, rather than decline it.
func (s *swarm) promise(a *simNode, q Request) bool {
	for _, p := range s.promised {
		if q.Fresh && s.declines && p.to != a.id && p.First < q.First+q.N && q.First < p.First+p.N {
			s.declined++
			return false
		}
	}
	s.promised = append(s.promised, promise{a.id, bao.Range{First: q.First, N: q.N}})
	return true
}

// serve sends b's next answer, to the asker whose turn it is.
func (s *swarm) serve(b *simNode) {
	if b.busy {
		return
	}
	for i := range s.nodes {
		to := (b.turn + 1 + i) % len(s.nodes)
		if len(b.queue[to]) == 0 {
			continue
		}
		q := b.queue[to][0]
		b.queue[to], b.turn, b.busy = b.queue[to][1:], to, true
		s.sent[b.id] += q.N
		took := s.time(q)
		s.after(took, func() { b.busy = false; s.serve(b) })
		s.after(took+s.delay, func() { s.arrive(s.nodes[to], q) })
		return
	}
}

func (s *swarm) time(q Request) time.Duration {
	return time.Duration(float64(q.N*bao.GroupSize+1000) / s.rate * float64(time.Second))
}

// arrive lets an answer through a's line in, and tells everybody what a has then.
func (s *swarm) arrive(a *simNode, q Request) {
	// The answer has been coming in while it was being sent: it is here now, unless the line was full.
	a.inFree = max(a.inFree+s.time(q), s.now)
	s.after(a.inFree-s.now, func() {
		a.engine.Arrived(q.ID, s.now)
		for _, c := range a.engine.Verified(q.ID) {
			s.after(s.delay, func() { s.withdraw(s.nodes[c.Source], a.id, c.ID) })
		}
		s.after(s.delay+25*time.Millisecond, func() {
			for _, other := range s.nodes[1:] {
				if other != a {
					other.engine.Has(SourceID(a.id), bao.Range{First: q.First, N: q.N})
					s.pump(other)
				}
			}
		})
		s.pump(a)
	})
}

func (s *swarm) withdraw(b *simNode, asker int, id uint64) {
	for i, q := range b.queue[asker] {
		if q.ID == id {
			b.queue[asker] = append(b.queue[asker][:i], b.queue[asker][i+1:]...)
			return
		}
	}
}

// step does what comes next, and reports whether there was something.
func (s *swarm) step() bool {
	if s.events.Len() == 0 {
		return false
	}
	ev := heap.Pop(&s.events).(event)
	s.now = ev.at
	ev.do()
	return true
}

// run returns when all have everything.
func (s *swarm) run() time.Duration {
	var last time.Duration
	left := len(s.nodes) - 1
	done := make([]bool, len(s.nodes))
	for left > 0 && s.step() {
		for _, n := range s.nodes[1:] {
			if !done[n.id] && n.engine.Complete() {
				done[n.id], last = true, s.now
				left--
			}
		}
	}
	return last
}

const (
	simGroups = 64 << 20 / bao.GroupSize
	simRate   = 50e6 / 8
)

// TestSwarm simulates one seed and eight fetchers of 64 MiB on lines of 50 Mbit/s and 20 ms: all have it after little more than the time that
// the seed needs to send it once.
func TestSwarm(t *testing.T) {
	s := newSwarm(8, simGroups, simRate, 20*time.Millisecond, 1, true)
	ideal := float64(simGroups) * bao.GroupSize / simRate
	ratio := s.run().Seconds() / ideal
	copies := float64(s.sent[0]) / simGroups
	t.Logf("%.2f times the ideal, the seed sent %.2f copies and declined %d requests", ratio, copies, s.declined)
	if ratio > 1.1 || copies > 1.05 || s.declined == 0 {
		t.Errorf("%.2f times the ideal, %.2f copies, %d declined", ratio, copies, s.declined)
	}
}

// BenchmarkSwarm reports the time as a multiple of size over rate, and how many copies the seed sent.
func BenchmarkSwarm(b *testing.B) {
	for _, n := range []int{1, 8} {
		for _, declines := range []bool{false, true} {
			name := map[bool]string{false: "plain", true: "declines"}[declines]
			b.Run(name+"/"+strconv.Itoa(n), func(b *testing.B) {
				var ratio, copies float64
				for i := 0; b.Loop(); i++ {
					s := newSwarm(n, simGroups, simRate, 20*time.Millisecond, uint64(i), declines)
					ratio += s.run().Seconds() / (float64(simGroups) * bao.GroupSize / simRate)
					copies += float64(s.sent[0]) / simGroups
				}
				b.ReportMetric(ratio/float64(b.N), "×ideal")
				b.ReportMetric(copies/float64(b.N), "copies")
			})
		}
	}
}
