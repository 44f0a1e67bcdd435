package pastry

import (
	"fmt"
	"math/bits"
	"slices"

	"kith/overlay/kbr"
)

// sampled is of how many nodes the nearest in time is taken where nodes are given their state. Of 16 it is hardly worse than of all (Gummadi et al., SIGCOMM 2003).
const sampled = 16

// scatter makes a number that has nothing to do with its arguments (the finalizer of SplitMix64).
func scatter(a, b uint64) uint64 {
	x := a<<32 ^ b + 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ bits.RotateLeft64(x, 31)
}

// Settle gives nodes of a part the state that upkeep ends with when nothing happens for long, but that who is near in time is the nearest of a sample. They must be all nodes
// that are up, in the order of the ring; rtt is the round trip between two.
func (r *Ring) Settle(part int, up []kbr.Node, rtt func(a, b kbr.Node) kbr.Ticks) {
	for i, n := range up {
		if n.Part() != part {
			continue
		}
		p := &r.nodes[n]
		p.reset(member, kbr.None)
		p.turn = 0
		for k := 1; k < len(up) && k <= r.Leafs/2; k++ {
			p.leaf[0][k-1], p.leaf[1][k-1] = up[(i+k)%len(up)], up[(i+len(up)-k)%len(up)]
			p.leafs = [2]uint8{uint8(k), uint8(k)}
		}
		p.settle(up, rtt)
	}
}

// settle gives a node its routing table and its neighbourhood set.
func (p *Pastry) settle(up []kbr.Node, rtt func(a, b kbr.Node) kbr.Ticks) {
	nears, trips := p.nears(), p.trips()
	same := up // those that share the first digits
	for r := 0; r < p.ring.rows() && len(same) > 1; r++ {
		rest, mine := same, same
		for d := range 1 << p.ring.Digit {
			end, _ := slices.BinarySearchFunc(rest, d+1, func(n kbr.Node, d int) int { return p.ring.digit(p.ring.id(n), r) - d })
			with := rest[:end]
			rest = rest[end:]
			if at := r<<p.ring.Digit | d; d == p.ring.digit(p.id(), r) {
				mine = with
			} else {
				nears[at], trips[at] = p.nearest(with, uint64(at), rtt)
			}
		}
		same = mine
	}
	for k := range uint64(2 * p.ring.Neighbours) {
		if n := up[scatter(uint64(p.self), k<<16)%uint64(len(up))]; n != p.self {
			near, to := nears[p.ring.cells():], trips[p.ring.cells():]
			befriend(near, to, n, tripOf(rtt(p.self, n)))
		}
	}
}

// nearest returns who is nearest in time to this node, of a sample.
func (p *Pastry) nearest(of []kbr.Node, salt uint64, rtt func(a, b kbr.Node) kbr.Ticks) (best kbr.Node, to trip) {
	for k := range min(sampled, len(of)) {
		x := scatter(uint64(p.self), salt)
		if len(of) > sampled {
			x = scatter(x, uint64(k))
		} else {
			x += uint64(k)
		}
		n := of[x%uint64(len(of))]
		if far := tripOf(rtt(p.self, n)); best == kbr.None || far < to {
			best, to = n, far
		}
	}
	return best, to
}

// Owner returns whose a key is: the member that is up and nearest around the ring, of nodes in the order of the ring, or None if there is none.
func (r *Ring) Owner(order []kbr.Node, up func(kbr.Node) bool, key kbr.ID) kbr.Node {
	first, _ := slices.BinarySearchFunc(order, key, func(n kbr.Node, key kbr.ID) int { return r.id(n).Compare(key) })
	member := func(n kbr.Node) bool { return up(n) && r.nodes[n].phase == member }
	for i := range order {
		after := order[(first+i)%len(order)]
		if !member(after) {
			continue
		}
		for j := range order {
			before := order[(first+2*len(order)-1-j)%len(order)]
			if member(before) {
				if distance(key, r.id(before)).Less(distance(key, r.id(after))) {
					return before
				}
				return after
			}
		}
	}
	return kbr.None
}

// Audit checks what holds of a node by itself, whatever happens: that all that it knows is where it belongs, and that a member, where there are others, knows one that
// is up. We know of nothing that would hold of the ring as a whole at all times while nodes come and fail, as Zave's invariant does of Chord's: for a moment two nodes can
// both hold a key for their own, and Ideal is what upkeep comes to.
func (r *Ring) Audit(up []kbr.Node) error {
	r.members = append(r.members[:0], make([]bool, len(r.nodes))...)
	members, count := r.members, 0
	for _, n := range up {
		if r.nodes[n].phase == member {
			members[n] = true
			count++
		}
	}
	for _, n := range up {
		p := &r.nodes[n]
		if p.phase != member {
			continue
		}
		if !p.same {
			if err := p.check(); err != nil {
				return fmt.Errorf("pastry: node %d: %w", n, err)
			}
			p.same = true
		}
		if count <= 1 || members[p.at(0, 0)] || members[p.at(1, 0)] { // as nearly always
			continue
		}
		isUp := func(n kbr.Node) bool { return members[n] }
		if !slices.ContainsFunc(p.on(0), isUp) && !slices.ContainsFunc(p.on(1), isUp) && !slices.ContainsFunc(p.nears(), isUp) {
			return fmt.Errorf("pastry: node %d knows nobody of %d who is up", n, count)
		}
	}
	return nil
}

// check says what of a node's state is not where it belongs.
func (p *Pastry) check() error {
	for s := range p.leaf {
		for i, n := range p.on(s) {
			if n == kbr.None || n == p.self || i > 0 && !p.away(s, p.leaf[s][i-1]).Less(p.away(s, n)) {
				return fmt.Errorf("leaf %d of side %d is %d", i, s, n)
			}
		}
	}
	nears, trips, cells := p.nears(), p.trips(), p.ring.cells()
	for i, n := range nears {
		switch {
		case n == kbr.None:
		case n == p.self || i < cells && p.cellOf(n) != i:
			return fmt.Errorf("entry %d of the routing table is %d", i, n)
		case i > cells && (nears[i-1] == kbr.None || trips[i] < trips[i-1] || slices.Contains(nears[cells:i], n)):
			return fmt.Errorf("neighbour %d is %d", i-cells, n)
		}
	}
	return nil
}

// Ideal says where leaf sets are not yet what Settle would make of them, and which routing tables name somebody who is down.
func (r *Ring) Ideal(up []kbr.Node) error {
	isUp := make([]bool, len(r.nodes))
	for _, n := range up {
		isUp[n] = true
	}
	for i, n := range up {
		p := &r.nodes[n]
		if p.phase != member {
			return fmt.Errorf("pastry: node %d is no member", n)
		}
		for s, step := range []int{1, len(up) - 1} {
			if want := min(r.Leafs/2, len(up)-1); int(p.leafs[s]) != want {
				return fmt.Errorf("pastry: node %d has %d leafs on side %d, want %d", n, p.leafs[s], s, want)
			}
			for k, l := range p.on(s) {
				if want := up[(i+(k+1)*step)%len(up)]; l != want {
					return fmt.Errorf("pastry: leaf %d of node %d on side %d is %d, want %d", k, n, s, l, want)
				}
			}
		}
		for _, e := range p.nears()[:r.cells()] {
			if e != kbr.None && !isUp[e] {
				return fmt.Errorf("pastry: node %d has %d in its routing table, which is down", n, e)
			}
		}
	}
	return nil
}
