package pastry

import (
	"slices"

	"kith/overlay/kbr"
)

// InOrder says what of a node's state is not where it belongs.
func (r *Ring) InOrder(n kbr.Node) error { return r.nodes[n].check() }

// Knows puts a node into another one's routing table, if there is room.
func (r *Ring) Knows(n, other kbr.Node) bool {
	r.nodes[n].meet(other, 0)
	return slices.Contains(r.nodes[n].nears(), other)
}

// Cells returns how many places of the routing tables of the nodes that are up have somebody, how many could have, and the mean round trip to those, in milliseconds.
func (r *Ring) Cells(up []kbr.Node, row int) (have, could int, trip float64) {
	for _, n := range up {
		p := &r.nodes[n]
		taken := make([]bool, r.cells())
		for _, m := range up {
			if i := p.cellOf(m); i >= 0 && i>>r.Digit == row {
				taken[i] = true
			}
		}
		for i, is := range taken {
			if is {
				could++
			}
			if is && p.nears()[i] != kbr.None {
				have++
				trip += float64(p.trips()[i]) * 256 / 1000
			}
		}
	}
	return have, could, trip / float64(have)
}
