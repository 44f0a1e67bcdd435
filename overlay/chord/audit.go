package chord

import (
	"fmt"
	"slices"

	"kith/overlay/kbr"
)

// Settle gives nodes of a part the state that upkeep ends with when nothing happens for long. They must be all nodes that are up, in the order of the ring; rtt is the round
// trip between two.
func (r *Ring) Settle(part int, up []kbr.Node, rtt func(a, b kbr.Node) kbr.Ticks) {
	var firsts [Fingers]int // where the last node had its fingers: the next one has its own not far behind
	for i, n := range up {
		if n.Part() != part {
			continue
		}
		c := &r.nodes[n]
		*c = Chord{ring: r, self: n, phase: member}
		if len(up) == 1 {
			return
		}
		c.pred = up[(i+len(up)-1)%len(up)]
		for k := 1; k < len(up) && k <= r.Successors; k++ {
			c.append(up[(i+k)%len(up)])
		}
		for f := range c.finger {
			start := c.start(f)
			if kbr.Follows(c.id(), start, r.id(c.succ[c.succs-1])) {
				break
			}
			firsts[f] = r.searchFrom(up, start, firsts[f])
			c.finger[f] = r.nearest(up, firsts[f], n, rtt)
		}
	}
}

// nearest returns who is nearest to a node in time, of the alternates for a finger, from the first of them on.
func (r *Ring) nearest(up []kbr.Node, first int, to kbr.Node, rtt func(a, b kbr.Node) kbr.Ticks) kbr.Node {
	best := up[first%len(up)]
	for i := 1; i < min(r.Alternates, len(up)); i++ {
		if n := up[(first+i)%len(up)]; n != to && rtt(to, n) < rtt(to, best) {
			best = n
		}
	}
	return best
}

// search returns the index of that one, which is one too large behind the last.
func (r *Ring) search(up []kbr.Node, key kbr.ID) int {
	i, _ := slices.BinarySearchFunc(up, key, func(n kbr.Node, key kbr.ID) int { return r.id(n).Compare(key) })
	return i
}

// searchFrom is search for a key that comes soon after another one, whose index is from.
func (r *Ring) searchFrom(up []kbr.Node, key kbr.ID, from int) int {
	if from > 0 && !r.id(up[from-1]).Less(key) {
		return r.search(up, key)
	}
	for i := from; i < min(len(up), from+32); i++ {
		if !r.id(up[i]).Less(key) {
			return i
		}
	}
	return r.search(up, key)
}

// Owner returns whose a key is: the first member that is up at or after it, of nodes in the order of the ring, or None if there is none.
func (r *Ring) Owner(order []kbr.Node, up func(kbr.Node) bool, key kbr.ID) kbr.Node {
	first := r.search(order, key)
	for i := range order {
		if n := order[(first+i)%len(order)]; up(n) && r.nodes[n].phase == member {
			return n
		}
	}
	return kbr.None
}

// Audit checks Zave's invariant among the nodes that are up, in the order of the ring: each member has a successor that is up, and at least r+1 members are
// principal, which is, skipped by no member's successor list. It holds from then on when it holds once; rings of fewer members are beyond her proof, and nothing
// is said of them.
func (r *Ring) Audit(up []kbr.Node) error {
	r.members, r.at = r.members[:0], append(r.at[:0], make([]int32, len(r.nodes))...)
	for _, n := range up {
		if r.nodes[n].phase == member {
			r.members = append(r.members, n)
			r.at[n] = int32(len(r.members))
		}
	}
	if len(r.members) <= r.Successors {
		return nil
	}
	skipped := make([]bool, len(r.members))
	for i, n := range r.members {
		c := &r.nodes[n]
		live, next := false, i+1 // the member that must come next in the list for none to be skipped
		for _, s := range c.successors() {
			to := int(r.at[s]) - 1
			if live = live || to >= 0; to < 0 { // it is down: where would it be?
				to = r.search(r.members, r.id(s))
			}
			if to <= i {
				to += len(r.members) // once around
			}
			for ; next < to; next++ {
				skipped[next%len(r.members)] = true
			}
			if r.at[s] > 0 {
				next = to + 1
			}
		}
		if !live {
			return fmt.Errorf("chord: node %d has no successor that is up", n)
		}
	}
	principals := 0
	for _, s := range skipped {
		if !s {
			principals++
		}
	}
	if principals <= r.Successors {
		return fmt.Errorf("chord: %d principal members of %d, want %d", principals, len(r.members), r.Successors+1)
	}
	return nil
}

// Ideal says where the ring is not yet what Settle would make of it, fingers left out.
func (r *Ring) Ideal(up []kbr.Node) error {
	for i, n := range up {
		c := &r.nodes[n]
		if c.phase != member {
			return fmt.Errorf("chord: node %d is no member", n)
		}
		if want := min(r.Successors, len(up)-1); int(c.succs) != want {
			return fmt.Errorf("chord: node %d has %d successors, want %d", n, c.succs, want)
		}
		if len(up) > 1 && c.pred != up[(i+len(up)-1)%len(up)] {
			return fmt.Errorf("chord: node %d has %d for its predecessor, want %d", n, c.pred, up[(i+len(up)-1)%len(up)])
		}
		for k, s := range c.successors() {
			if want := up[(i+k+1)%len(up)]; s != want {
				return fmt.Errorf("chord: successor %d of node %d is %d, want %d", k, n, s, want)
			}
		}
	}
	return nil
}
