package ask

import (
	"math/rand/v2"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/overlay/kbr"
	"kith/search/plan"
)

// lent is what a search asks of volunteers, and how they do.
type lent struct {
	near   map[kbr.Node]bool // peers of this shard, of whom a volunteer is to have everything
	others map[kith.Ref]bool // contents that these have found
	asked  []help
}

// A help is a volunteer that is asked.
type help struct {
	who   peer.ID
	node  kbr.Node
	heard bool
	late  bool // it had its time, or could not be reached
	full  bool
	good  bool    // it has proved itself before
	list  []Found // what it gave, if it has not: it is shown when this search proves it
	found map[kith.Ref]bool
}

// lend lets the plan ask volunteers too. Each has a number of its own, beside that of the peer that it is too.
func (r *run) lend(near []plan.Candidate, volunteers []peer.ID) {
	r.lent = lent{near: map[kbr.Node]bool{}, others: map[kith.Ref]bool{}}
	for _, c := range near {
		r.lent.near[c.Node] = true
	}
	var there []peer.ID
	for _, p := range volunteers {
		if r.wanted(p) {
			there = append(there, p)
		}
	}
	r.a.mu.Lock()
	chosen, proven := r.a.volunteers.Choose(there, ticks(), rand.Uint64())
	r.a.mu.Unlock()
	var list []plan.Helper
	for i, p := range chosen {
		r.peers = append(r.peers, p)
		n := kbr.Node(len(r.peers))
		list = append(list, plan.Helper{Node: n, Proven: i < proven})
		r.lent.asked = append(r.lent.asked, help{who: p, node: n, good: i < proven, found: map[kith.Ref]bool{}})
	}
	r.plan.Help(list)
}

func ticks() kbr.Ticks { return kbr.Ticks(time.Now().UnixMicro()) }

// heard notes what of an answer says how volunteers do.
func (l *lent) heard(e *event) {
	if e.contact {
		return
	}
	for i := range l.asked {
		h := &l.asked[i]
		if h.node != e.From {
			continue
		}
		if e.What != plan.Answer {
			h.late = true
			return
		}
		h.heard, h.full = true, len(e.found) >= MaxResults
		for _, f := range e.found {
			h.found[f.Root] = true
		}
		return
	}
	if e.What == plan.Answer && l.near[e.From] && e.sound {
		for _, f := range e.found {
			l.others[f.Root] = true
		}
	}
}

// holds reports whether an event is an answer of a volunteer that has yet to prove itself: what it gave is kept back.
func (r *run) holds(e *event) bool {
	for i := range r.lent.asked {
		if h := &r.lent.asked[i]; h.node == e.From && !h.good {
			h.list = e.found
			r.report.Answered++
			return true
		}
	}
	return false
}

// release shows what volunteers gave that proved themselves in this search.
func (r *run) release(take Take) {
	for _, h := range r.lent.asked {
		if len(h.list) > 0 && r.outcome(h).Proves() {
			_, fresh := take(r.report, h.list)
			r.found += fresh
		}
	}
}

func (r *run) outcome(h help) plan.Outcome {
	o := plan.Outcome{Silent: !h.heard, Full: h.full, Others: len(r.lent.others)}
	for root := range r.lent.others {
		if h.found[root] {
			o.Brought++
		}
	}
	return o
}

// judge remembers how the volunteers did, but for those who may still answer when the search was over without them, or was given up.
func (r *run) judge() {
	r.a.mu.Lock()
	defer r.a.mu.Unlock()
	for _, h := range r.lent.asked {
		if h.heard || h.late {
			r.a.volunteers.Learn(h.who, ticks(), r.outcome(h))
		}
	}
}
