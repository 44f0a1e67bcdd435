package pastry

import (
	"slices"

	"kith/overlay/kbr"
)

// Entries appends to dst what is in the tables.
func (p *Pastry) Entries(dst []kbr.Entry) []kbr.Entry {
	add := func(part string, index int, n kbr.Node, t trip) {
		if n == kbr.None {
			return
		}
		e := kbr.Entry{Part: part, Index: index, Node: n, Silent: slices.Contains(p.gone[:], n)}
		if t != unmeasured {
			e.RTT = kbr.Ticks(t) * 256
		}
		dst = append(dst, e)
	}
	for side, sign := range []int{1, -1} {
		for i, n := range p.on(side) {
			add("leaf", sign*(i+1), n, unmeasured)
		}
	}
	cells, trips := p.ring.cells(), p.trips()
	for i, n := range p.nears() {
		if i < cells {
			add("row", i>>p.ring.Digit, n, trips[i])
		} else {
			add("neighbour", i-cells+1, n, trips[i])
		}
	}
	return dst
}
