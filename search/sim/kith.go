package sim

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"kith/overlay/kbr"
	"kith/search/filter"
	"kith/search/plan"
)

// Kith is search/plan over filters that are handed from neighbour to neighbour within shards.
type Kith struct {
	Guard   Guard
	Rare    bool // the overlay is an index of what is rare, for shards of which no guide has answered …
	Always  bool // … or for all
	Alone   bool // no guides of other shards are known
	rare    *rareIndex
	r       *run
	shards  int
	filters []*filter.Filter
	m       *mesh
	known   []set // of each node, whose filters it has
	met     set   // all that ever came
	gone    set   // of these those whose last stamp is too old
	rtt     []kbr.RTT
	lied    map[kbr.Node]bool // what lies has found
	helpers helpers
}

// How filters spread. A node says again that it is there every stampEvery, and is forgotten when that is missing for twice as long.
const (
	shardSize   = 2000 // nodes at most
	neighbours  = 8    // connections of a node within its shard, in the mean
	offerSize   = 12   // bytes of the offer of a filter or a stamp to a neighbour: half a digest, in a batch
	stampSize   = 88   // bytes of a stamp: who, when, and a signature
	sealSize    = 100  // bytes around a filter: who, when, and a signature
	stampEvery  = 15 * kbr.Minute
	mendEvery   = 10 * kbr.Minute
	mendSize    = 300 // bytes to see that two have the same
	missingSize = 700 // bytes to find one that is missing (search/sets: 70 kB for a hundred)
	joinTime    = kbr.Second
	maxResults  = 50 // of an answer
	maxTold     = 40 // candidates that a guide tells
	guides      = 5  // of each other shard that are known
	trips       = 16 // that a node has measured
)

// String implements Way.
func (k *Kith) String() string {
	name := "Kith"
	if k.Alone {
		name += " without guides"
	}
	if k.Rare {
		name += ", overlay"
	}
	if k.Always {
		name += " always"
	}
	return name
}

// set is a set of nodes.
type set []uint64

func (s set) add(p kbr.Node)      { s[p/64] |= 1 << (p % 64) }
func (s set) has(p kbr.Node) bool { return s[p/64]>>(p%64)&1 == 1 }

func (k *Kith) start(r *run) {
	*k = Kith{Guard: k.Guard, Rare: k.Rare, Always: k.Always, Alone: k.Alone, lied: map[kbr.Node]bool{}, r: r, shards: (r.o.Nodes + shardSize - 1) / shardSize, rtt: make([]kbr.RTT, len(r.up)), known: make([]set, len(r.up)), met: k.set(len(r.up)), gone: k.set(len(r.up))}
	k.enlist()
	k.filters = r.filters()
	if k.Rare {
		k.rare = newRareIndex(k)
	}
	k.m = newMesh(r, neighbours/2, anyone, func(a, b kbr.Node) bool { return k.shard(a) == k.shard(b) })
	all := make([]set, k.shards)
	for i := range all {
		all[i] = k.set(len(r.up))
	}
	for _, p := range r.alive {
		k.met.add(p)
		all[k.shard(p)].add(p)
	}
	for _, p := range r.alive {
		k.known[p] = append(set{}, all[k.shard(p)]...)
		k.mends(p)
	}
	// Stamps are only counted: each node is told each of its shard once, and offers it to its neighbours.
	r.upkeep += float64(r.o.Nodes) * float64(r.o.Nodes/k.shards) * float64(hour/stampEvery) * (stampSize + offerSize + offerSize*neighbours)
}

func (k *Kith) set(n int) set { return make(set, n/64+1) }

func (k *Kith) shard(p kbr.Node) int { return int(k.r.draw(forMesh, int(p), 0) % uint64(k.shards)) }

// term returns the key of a made-up word.
func term(t uint32) filter.Key {
	return filter.Term(string(binary.BigEndian.AppendUint32(nil, t)))
}

// filters returns the filters of all nodes.
func (w *World) filters() []*filter.Filter {
	terms := make([]filter.Key, len(w.byTerm))
	for t := range terms {
		terms[t] = term(uint32(t))
	}
	fs := make([]*filter.Filter, len(w.shares))
	var keys, name []filter.Key
	var lies []*filter.Filter
	for p, items := range w.shares {
		if w.spam[p] {
			fs[p] = w.lie(p, terms, &lies)
			continue
		}
		keys = keys[:0]
		for _, x := range items {
			name = name[:0]
			for _, t := range w.names[x] {
				name = append(name, terms[t])
			}
			keys = filter.Name(keys, name)
		}
		f, err := filter.New(keys)
		if err != nil {
			panic(err) // maxShares names have fewer keys
		}
		fs[p] = f
	}
	return fs
}

// sends counts bytes of upkeep.
func (k *Kith) sends(bytes int) {
	if k.r.now >= hour && k.r.now < 2*hour {
		k.r.upkeep += float64(bytes)
	}
}

func (k *Kith) joined(p kbr.Node) {
	k.m.join(p)
	k.met.add(p)
	k.known[p] = k.set(len(k.r.up))
	k.r.after(joinTime, func() {
		if !k.r.up[p] {
			return
		}
		size := 0
		if len(k.m.links[p]) > 0 {
			size = k.take(p, k.m.links[p][0])
		}
		k.sends(size)
		k.r.joining += float64(size)
		k.r.joins++
		k.mends(p)
	})
	k.spread(p)
}

// take gives p what another node knows and it does not, and returns how many bytes these filters have.
func (k *Kith) take(p, from kbr.Node) (size int) {
	add := func(q kbr.Node) {
		k.known[p].add(q)
		size += k.filters[q].Size() + sealSize
	}
	for i, have := range k.known[from] {
		for fresh := have &^ k.known[p][i] &^ k.gone[i]; fresh != 0; fresh &= fresh - 1 {
			add(kbr.Node(64*i + bits.TrailingZeros64(fresh)))
		}
	}
	return size
}

// spread hands the filter of a node on from neighbour to neighbour: an offer, a question, and the filter itself.
func (k *Kith) spread(p kbr.Node) {
	k.known[p].add(p)
	var hand func([]kbr.Node)
	hand = func(level []kbr.Node) {
		var next []kbr.Node
		for _, q := range level {
			if !k.r.up[q] {
				continue
			}
			k.sends(offerSize * len(k.m.links[q]))
			for _, n := range k.m.links[q] {
				if !k.known[n].has(p) {
					k.known[n].add(p)
					k.sends(offerSize + k.filters[p].Size() + sealSize)
					next = append(next, n)
				}
			}
		}
		if len(next) > 0 {
			k.r.after(3*meanTrip/2, func() { hand(next) })
		}
	}
	hand([]kbr.Node{p})
}

// mends compares what p knows with what a neighbour knows, from time to time.
func (k *Kith) mends(p kbr.Node) {
	k.r.after(mendEvery/2+kbr.Ticks(k.r.random()%uint64(mendEvery)), func() {
		if !k.r.up[p] {
			return
		}
		if links := k.m.links[p]; len(links) > 0 {
			q := links[k.r.random()%uint64(len(links))]
			k.sends(mendSize + k.mend(p, q) + k.mend(q, p))
		}
		k.mends(p)
	})
}

func (k *Kith) mend(p, from kbr.Node) int {
	size := 0
	for i, have := range k.known[from] {
		size += missingSize * bits.OnesCount64(have&^k.known[p][i]&^k.gone[i])
	}
	return size + k.take(p, from)
}

func (k *Kith) left(p kbr.Node) {
	k.m.leave(p)
	k.known[p] = nil
	phase := kbr.Ticks(k.r.draw(forMesh, int(p), 1) % uint64(stampEvery))
	since := (k.r.now + stampEvery - phase) % stampEvery
	k.r.after(2*stampEvery-since, func() { k.gone.add(p) })
}

// each does something with each other node of which p knows that it is there.
func (k *Kith) each(p kbr.Node, do func(q kbr.Node)) {
	for i, have := range k.known[p] {
		for have &^= k.gone[i]; have != 0; have &= have - 1 {
			if q := kbr.Node(64*i + bits.TrailingZeros64(have)); q != p {
				do(q)
			}
		}
	}
}

// rank returns whom p knows to have what is looked for.
func (k *Kith) rank(p kbr.Node, s filter.Sought) []plan.Candidate {
	var known []plan.Known
	k.each(p, func(q kbr.Node) { known = append(known, plan.Known{Node: q, Filter: k.filters[q]}) })
	if k.Guard&Bounded == 0 {
		return rankByClaim(known, s)
	}
	return plan.Rank(known, s)
}

// wait returns how long p waits for an answer of somebody with whom it has no connection.
func (k *Kith) wait(p kbr.Node) kbr.Ticks {
	rtt := &k.rtt[p]
	if *rtt == (kbr.RTT{}) {
		for range trips {
			rtt.Measure(4 * k.r.line(p, k.r.anybody()))
		}
	}
	return rtt.Wait()
}

func (k *Kith) search(s *search) {
	sought := make(filter.Sought, len(s.terms))
	for i, t := range s.terms {
		sought[i] = []filter.Key{term(t)}
	}
	var others [][]kbr.Node
	for shard := range k.shards {
		if shard != k.shard(s.from) && !k.Alone {
			others = append(others, k.members(shard))
		}
	}
	near := k.rank(s.from, sought)
	a := &asking{k: k, s: s, sought: sought, guides: others, plan: plan.New(k.wait(s.from), near, others)}
	a.enlists(near)
	a.step(&plan.Event{What: plan.Begin, Fresh: a.finds.Home(s.list...)})
}

// members returns some of a shard: first one with which a node keeps a connection, and then such of which as many may be gone as of those that it has filters of.
func (k *Kith) members(shard int) (out []kbr.Node) {
	for len(out) < guides {
		p := k.r.anybody()
		if len(out) > 0 {
			p = kbr.Node(k.r.random() % uint64(len(k.r.up)))
		}
		if k.shard(p) == shard && k.met.has(p) && !k.gone.has(p) && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// An asking drives a plan.
type asking struct {
	k      *Kith
	s      *search
	sought filter.Sought
	guides [][]kbr.Node
	plan   *plan.Search
	finds  plan.Finds[item]
	lent   lent
	done   bool
	asked  []kbr.Node
	named  int        // of these, by the overlay
	told   []kbr.Node // guides that have answered
}

func (a *asking) step(ev *plan.Event) {
	for _, act := range a.plan.Step(ev, nil) {
		switch act.Do {
		case plan.Done:
			a.done = true
			a.learn()
			a.further()
		case plan.Lend:
			a.lend(act)
		default:
			a.ask(act)
		}
	}
}

// ask asks a node, with which a connection has to be made first, unless it is one that is kept.
func (a *asking) ask(act plan.Act) {
	s, r, to := a.s, a.k.r, act.To
	s.asked++
	if act.Do == plan.Ask {
		a.asked = append(a.asked, to)
	}
	answered, began, dial := false, r.now, 2*r.line(s.from, to)
	if slices.ContainsFunc(a.guides, func(g []kbr.Node) bool { return g[0] == to }) {
		dial = 0
	}
	r.send(dial, s.from, to, func() {
		ev := plan.Event{What: plan.Answer, From: to}
		items := a.k.items(s, to)
		if act.Do == plan.Guide {
			items = nil
			ev.Peers = a.k.told(to, a.sought)
			ev.Peers = ev.Peers[:min(len(ev.Peers), maxTold)]
		}
		s.answered++
		r.send(0, to, s.from, func() {
			if answered = true; a.done {
				return
			}
			if dial > 0 {
				a.k.rtt[s.from].Measure(r.now - began)
			}
			items = items[:min(len(items), maxResults)]
			if act.Do == plan.Ask && a.k.Guard&Decoys != 0 && a.k.lies(to) {
				ev.What, items = plan.Failed, nil
			}
			if act.Do == plan.Ask && ev.What == plan.Answer && a.lent.near[to] {
				a.lent.others = append(a.lent.others, items...)
			}
			ev.Fresh = s.results(items)
			if a.k.Guard&Worth != 0 {
				ev.Fresh = a.finds.Take(to, items...)
				s.list = a.finds.First(len(s.found))
			}
			if act.Do == plan.Guide {
				a.told = append(a.told, to)
			}
			a.step(&ev)
		})
	})
	r.after(act.Wait, func() {
		if !answered {
			a.step(&plan.Event{What: plan.Slow, From: to})
		}
	})
}
