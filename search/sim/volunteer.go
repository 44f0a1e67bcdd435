package sim

import (
	"slices"

	"kith/overlay/kbr"
	"kith/search/plan"
)

// A Liar is a kind of node that says that it volunteers, and does not. It does all else as others do.
type Liar uint8

// The kinds.
const (
	Idle  Liar = iota // it answers that there is nothing
	Mute              // it does not answer
	Faker             // it answers with maxResults records made on the spot, as if it had every name there is
	liars
)

// gatherTime is how long it takes until a volunteer has what another shares, from when both are up.
const gatherTime = 5 * kbr.Minute

// helpers is who volunteers, and what every node remembers of them.
type helpers struct {
	honest []bool      // a node volunteers, and one that comes in its place does so too
	since  []kbr.Ticks // when a node came
	until  []kbr.Ticks // and when it left
	memory []plan.Volunteers[kbr.Node]
	asked  []int // questions to each
}

// enlist decides who volunteers, and lets what is left of the world know.
func (k *Kith) enlist() {
	n := len(k.r.up)
	h := helpers{honest: make([]bool, n), since: make([]kbr.Ticks, n), until: make([]kbr.Ticks, n), memory: make([]plan.Volunteers[kbr.Node], n), asked: make([]int, n)}
	for i, left := 0, k.r.o.Volunteers; left > 0; i++ {
		if p := k.r.World.draw(forVolunteer, 0, i)%uint64(k.r.o.Nodes) + 1; !h.honest[p] && !k.r.spam[p] {
			h.honest[p] = true
			left--
		}
	}
	for p := range h.until {
		h.until[p] = never
	}
	for _, m := range k.r.moves {
		h.since[m.join], h.until[m.leave] = m.at, m.at
		h.honest[m.join] = h.honest[m.leave]
	}
	k.helpers = h
}

// lying reports whether a node says that it volunteers, and does not.
func (k *Kith) lying(p kbr.Node) bool {
	return !k.helpers.honest[p] && k.r.World.unit(forVolunteer, int(p), 1) < k.r.o.Lying
}

// volunteers returns whom p knows to say that they volunteer.
func (k *Kith) volunteers(p kbr.Node) (list []kbr.Node) {
	if k.r.o.Volunteers == 0 && k.r.o.Lying == 0 {
		return nil
	}
	k.each(p, func(q kbr.Node) {
		if k.helpers.honest[q] || k.lying(q) {
			list = append(list, q)
		}
	})
	return list
}

// lend returns what a volunteer answers, and whether it does.
func (k *Kith) lend(s *search, v kbr.Node) (items []item, answers bool) {
	k.helpers.asked[v]++
	if !k.helpers.honest[v] {
		if k.r.o.Liar == Faker {
			for i := range item(maxResults) {
				items = append(items, -1-agreed-item(v)*maxResults-i)
			}
		}
		return items, k.r.o.Liar != Mute
	}
	now := k.r.now
	k.each(v, func(q kbr.Node) {
		if k.r.spam[q] || max(k.helpers.since[q], k.helpers.since[v])+gatherTime > min(now, k.helpers.until[q]) {
			return
		}
		for _, x := range s.hits[q] {
			if !slices.Contains(items, x) {
				items = append(items, x)
			}
		}
	})
	slices.SortFunc(items, func(a, b item) int { // in the order of what they are called, which says nothing
		return int(k.r.World.draw(forVolunteer, int(a), 2)>>33) - int(k.r.World.draw(forVolunteer, int(b), 2)>>33)
	})
	items = items[:min(len(items), maxResults)]
	return slices.DeleteFunc(items, func(x item) bool { // of no use to who asks: nobody is there who has it
		return !slices.ContainsFunc(k.r.holders[x], func(q kbr.Node) bool { return k.r.up[q] })
	}), true
}

// A lent is what one search asks of volunteers, and how they do.
type lent struct {
	near   map[kbr.Node]bool // peers of the shard of who asks
	others []item            // what these have found
	asked  []*helping
	proven int // of these, the first ones
}

type helping struct {
	who   kbr.Node
	found []item
	o     plan.Outcome
	over  bool // it has answered, or had its time
	shown bool
}

// lends is added to the number of a node as a volunteer.
const lends = 1 << 20

// enlists lets the plan of a search ask volunteers, if there is anybody to ask.
func (a *asking) enlists(near []plan.Candidate) {
	if len(near) == 0 {
		return
	}
	a.lent.near = map[kbr.Node]bool{}
	for _, c := range near {
		a.lent.near[c.Node] = true
	}
	k := a.k
	list, proven := k.helpers.memory[a.s.from].Choose(k.volunteers(a.s.from), k.r.now, k.r.World.draw(forVolunteer, int(a.s.from), 3+int(k.r.now)))
	a.lent.proven = proven
	var helpers []plan.Helper
	for i, p := range list {
		helpers = append(helpers, plan.Helper{Node: p + lends, Proven: i < proven})
	}
	a.plan.Help(helpers)
}

// lend asks a volunteer.
func (a *asking) lend(act plan.Act) {
	s, r, to := a.s, a.k.r, act.To-lends
	s.asked++
	h := &helping{who: to}
	a.lent.asked = append(a.lent.asked, h)
	r.send(2*r.line(s.from, to), s.from, to, func() {
		items, answers := a.k.lend(s, to)
		if !answers {
			return
		}
		s.answered++
		r.send(0, to, s.from, func() {
			if a.done {
				return
			}
			h.found, h.over, h.o.Silent, h.o.Full = items, true, false, len(items) == maxResults
			ev := plan.Event{What: plan.Answer, From: act.To}
			if a.lent.proven > 0 && h == a.lent.asked[0] {
				ev.Fresh = a.show(act.To, items)
				h.shown = true
			}
			a.step(&ev)
		})
	})
	r.after(act.Wait, func() {
		if !h.over {
			h.over, h.o.Silent = true, true
			a.step(&plan.Event{What: plan.Slow, From: act.To})
		}
	})
}

// show takes in what a volunteer gave.
func (a *asking) show(from kbr.Node, items []item) (fresh int) {
	fresh = a.s.results(items)
	if a.k.Guard&Worth != 0 {
		fresh = a.finds.Take(from, items...)
		a.s.list = a.finds.First(len(a.s.found))
	}
	return fresh
}

// learn remembers how a volunteer did, when the search is over, and shows what it gave that it proved itself by.
func (a *asking) learn() {
	for _, h := range a.lent.asked {
		for _, x := range a.lent.others {
			if slices.Contains(h.found, x) {
				h.o.Brought++
			}
		}
		h.o.Others = len(a.lent.others)
		if h.o.Proves() && !h.shown {
			a.show(h.who+lends, h.found)
		}
		if h.over {
			a.k.helpers.memory[a.s.from].Learn(h.who, a.k.r.now, h.o)
		}
	}
}
