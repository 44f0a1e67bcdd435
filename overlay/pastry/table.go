package pastry

import (
	"math"
	"slices"

	"kith/overlay/kbr"
)

// The routing table and the neighbourhood set: nodes that are near in time. Row r of the table has those that share the first r digits with this node, and column d
// those of them whose next digit is d.

// A trip is a round trip, in units of 256 microseconds. 0 is one of nobody.
type trip uint16

const unmeasured trip = math.MaxUint16

func tripOf(took kbr.Ticks) trip {
	if took <= 0 {
		return unmeasured
	}
	return trip(min(1+took/256, kbr.Ticks(unmeasured)-1))
}

// nears returns the routing table and the neighbourhood set.
func (p *Pastry) nears() []kbr.Node {
	size := p.ring.near()
	return p.ring.nears[int(p.self)*size:][:size:size]
}

// trips returns the round trips to those.
func (p *Pastry) trips() []trip {
	size := p.ring.near()
	return p.ring.trips[int(p.self)*size:][:size:size]
}

// cellOf returns where in the routing table a node belongs, or -1.
func (p *Pastry) cellOf(n kbr.Node) int {
	id := p.ring.id(n)
	row := p.ring.shared(p.id(), id)
	if row >= p.ring.rows() {
		return -1
	}
	return row<<p.ring.Digit | p.ring.digit(id, row)
}

// row returns a row of the routing table.
func (p *Pastry) row(r int) []kbr.Node { return p.nears()[r<<p.ring.Digit:][:1<<p.ring.Digit] }

// meet takes in a node that is there, after a round trip, or 0 where that was not measured.
func (p *Pastry) meet(n kbr.Node, took kbr.Ticks) {
	if n == p.self {
		return
	}
	t, nears, trips := tripOf(took), p.nears(), p.trips()
	if i := p.cellOf(n); i >= 0 {
		switch old := trips[i]; {
		case nears[i] == kbr.None, nears[i] == n && t != unmeasured, uint32(t)*8 < uint32(old)*7: // not for a moment's gain
			nears[i], trips[i] = n, t
		}
	}
	if t == unmeasured {
		return
	}
	befriend(nears[p.ring.cells():], trips[p.ring.cells():], n, t)
}

// befriend takes a node into a neighbourhood set, if it is near enough.
func befriend(near []kbr.Node, to []trip, n kbr.Node, t trip) {
	last := len(near) - 1
	i := slices.Index(near, n)
	if i < 0 {
		i = last
	}
	if last < 0 || near[i] != n && near[i] != kbr.None && to[i] <= t {
		return
	}
	copy(near[i:], near[i+1:])
	copy(to[i:], to[i+1:])
	for i = last; i > 0 && (near[i-1] == kbr.None || t < to[i-1]); i-- {
		near[i], to[i] = near[i-1], to[i-1]
	}
	near[i], to[i] = n, t
}

// forget takes a node out of the routing table and the neighbourhood set.
func (p *Pastry) forget(n kbr.Node) {
	nears, trips := p.nears(), p.trips()
	if i := p.cellOf(n); i >= 0 && nears[i] == n {
		nears[i], trips[i] = kbr.None, 0
	}
	near, to := nears[p.ring.cells():], trips[p.ring.cells():]
	for i := range near {
		if near[i] == n {
			copy(near[i:], near[i+1:])
			copy(to[i:], to[i+1:])
			near[len(near)-1], to[len(to)-1] = kbr.None, 0
			return
		}
	}
}

// lacks reports whether the routing table has nobody where a node belongs.
func (p *Pastry) lacks(n kbr.Node) bool {
	i := p.cellOf(n)
	return i >= 0 && p.nears()[i] == kbr.None
}
