package sim

import (
	"cmp"
	"math"
	"slices"
	"sync"

	"kith/overlay/kbr"
)

// A simulation on two cores is two simulations, each of half of the nodes with all that happens to them. What one node says to another arrives no sooner than the
// shortest line takes: so both go on for such a window without knowing of each other, and hand over what crosses at its end (conservative synchronization: Fujimoto, "Parallel
// Discrete Event Simulation", Communications of the ACM 33(10), 1990). The order of what happens to a node is by time, and at the same time by who did it; so a run is
// the same on one core, where there is one shard.

// A shard is a part of the nodes, and what happens to them.
type shard struct {
	net   *Net
	part  int
	alone bool
	host  kbr.Host
	wheel wheel
	talks []talk
	free  uint32
	out   kbr.Outbox
	event kbr.Event // what happens now
	away  []parcel  // for the other shard
	first kbr.Ticks // of these
	come  []parcel  // from it
	steps uint64
	way   []Question // of the search that is followed
	warmer
}

// A parcel is an event of another shard's node.
type parcel struct {
	event event
	talk  talk
}

// never is later than all.
const never = kbr.Ticks(math.MaxInt64)

// mostWindow is how long a window is at most, so that searches are judged soon after they end.
const mostWindow = 10 * kbr.Millisecond

// sharded is from how many nodes on a simulation is on two cores by itself: below it windows are too short to be worth it.
const sharded = 1 << 14

// newShards makes the shards of a network.
func (n *Net) newShards(count int) {
	for part := range count {
		host := kbr.Host{Engine: n.kind.Engine, RTT: func(p kbr.Node) *kbr.RTT { return &n.peers[p].rtt }, Carried: n.o.Carried, Silent: n.o.Silent, Wary: n.o.Wary, Checks: max(n.o.Wary, n.o.Checks)}
		host.Suit(n.kind)
		n.shards = append(n.shards, &shard{net: n, part: part, alone: count == 1, host: host, talks: make([]talk, 1), first: never})
	}
}

// shard returns that of a node.
func (n *Net) shard(p kbr.Node) *shard {
	if len(n.shards) == 1 {
		return n.shards[0]
	}
	return n.shards[p.Part()]
}

// post lets a talk bring something about, which is by's doing: to who asked, or if it is only delivered to who is asked.
func (s *shard) post(at kbr.Ticks, w what, by kbr.Node, i uint32) {
	t := &s.talks[i]
	e := event{at: at, what: w, tag: kbr.Tag(i), node: t.from, from: by, turn: s.net.turn(by), life: t.life}
	if w == deliver {
		e.node = t.to
	}
	if s.alone || e.node.Part() == s.part {
		s.wheel.put(e)
		return
	}
	s.away = slices.Grow(s.away, 1)[:len(s.away)+1]
	p := &s.away[len(s.away)-1]
	p.event, s.first = e, min(s.first, at)
	p.talk.envelope(t)
	p.talk.msg.Set(&t.msg)
	s.release(i)
}

// run lets time pass up to until, and calls each after every event, unless it is nil; when that returns false it stops there.
func (s *shard) run(until kbr.Ticks, each func() bool) bool {
	for k := range s.come {
		i := s.talk()
		t, p := &s.talks[i], &s.come[k]
		t.envelope(&p.talk)
		t.msg.Set(&p.talk.msg)
		p.event.tag = kbr.Tag(i)
		s.wheel.put(p.event)
	}
	s.come = s.come[:0]
	for warm := 0; ; warm-- {
		if warm <= 0 {
			warm = s.warm()
		}
		e, ok := s.wheel.take(until)
		if !ok {
			s.wheel.advance(until)
			return true
		}
		s.handle(&e)
		if each != nil && !each() {
			return false
		}
	}
}

// Run lets time pass up to until, and calls each after every event, unless it is nil; when that returns false it stops there. On two cores it calls it after each
// window.
func (n *Net) Run(until kbr.Ticks, each func() bool) {
	for {
		end := n.window(until)
		gone, ok := n.later.take(end)
		if ok {
			end = gone.at
		}
		if len(n.shards) == 1 {
			if !n.shards[0].run(end, each) {
				n.now = n.shards[0].wheel.now
				n.gather()
				return
			}
		} else if n.both(end); each != nil && !each() {
			until = end
		}
		n.now = end
		n.later.advance(end)
		n.gather()
		if ok && n.here(gone.node, gone.life) {
			n.departed(gone.node)
		}
		if !ok && end >= until {
			return
		}
	}
}

// window returns up to when shards need not know of each other, at most until.
func (n *Net) window(until kbr.Ticks) kbr.Ticks {
	first := min(n.later.soon(), until)
	for _, s := range n.shards {
		first = min(first, s.wheel.soon(), s.first)
	}
	return min(until, max(first, n.now)/n.least*n.least+n.least-1)
}

// both hands over what crosses, and runs two shards.
func (n *Net) both(until kbr.Ticks) {
	a, b := n.shards[0], n.shards[1]
	a.come, b.away = b.away, a.come
	b.come, a.away = a.away, b.come
	a.first, b.first = never, never
	n.parts(func(part int) { n.shards[part].run(until, nil) })
}

// parts does something for each part of the nodes: at the same time, where it is on two cores.
func (n *Net) parts(do func(part int)) {
	var others sync.WaitGroup
	for part := range kbr.Parts - 1 {
		if len(n.shards) > 1 {
			others.Go(func() { do(part) })
		} else {
			do(part)
		}
	}
	do(kbr.Parts - 1)
	others.Wait()
}

// gather collects how searches ended, and tells the scenario.
func (n *Net) gather() {
	first := len(n.results)
	for _, s := range n.shards {
		n.results = append(n.results, s.host.Results...)
		s.host.Results = s.host.Results[:0]
	}
	if first == len(n.results) {
		return
	}
	slices.SortFunc(n.results[first:], func(a, b kbr.Result) int {
		return cmp.Or(cmp.Compare(a.Ended, b.Ended), cmp.Compare(a.Self, b.Self), cmp.Compare(a.Tag, b.Tag))
	})
	if n.judge != nil {
		n.judge()
	}
}

// batch is how many events are made warm at once: few enough that what they need stays in a cache that is near.
const batch = 16

// A warmer reads what events will read before these happen, for many at once; see kbr.Host.
type warmer struct {
	nodes [batch]kbr.Node
	keys  [batch]kbr.ID
	sum   uint64 // so that reading is not for nothing
}

// warm makes the next events warm, and returns how many.
func (s *shard) warm() int {
	w, next := &s.warmer, s.wheel.ahead(batch)
	asked, others, x := 0, len(next), w.sum
	for i := range next {
		e := &next[i]
		x += s.net.peers[e.node].hash
		if e.what <= comesLate {
			t := &s.talks[e.tag]
			x += uint64(t.to) + uint64(t.msg.Nodes[0]) // more than eight nodes are named at the end of a search alone
		}
	}
	for i := range next {
		e := &next[i]
		if e.what == deliver || e.what == rings { // at which a node may search for something itself
			w.nodes[asked], w.keys[asked] = e.node, kbr.ID{}
			if e.what == deliver {
				w.keys[asked] = s.talks[e.tag].msg.Key
			}
			asked++
			continue
		}
		others--
		w.nodes[others] = e.node
		if e.what <= gives {
			t := &s.talks[e.tag]
			x += s.net.Table.Warm(t.msg.Told()) + s.host.Warm(t.tag)
		}
	}
	if s.net.warm != nil {
		x += s.net.warm(w.nodes[:len(next)], w.keys[:asked])
	}
	w.sum = x
	return len(next)
}
