package bao

import "encoding/binary"

// A node is a subtree of n groups from first on. If n > 1 it has a parent's two chaining values, which is the one with this
// index in pre-order; those of its subtree follow it without a gap, n-1 in all.
type node struct{ index, first, n int64 }

func root(groups int64) node { return node{0, 0, groups} }

func (d node) left() node { return node{d.index + 1, d.first, split(d.n)} }

func (d node) right() node {
	left := split(d.n)
	return node{d.index + left, d.first + left, d.n - left}
}

// outside reports that no group of d is in r, and inside that all are.
func (d node) outside(r Range) bool { return d.first+d.n <= r.First || d.first >= r.First+r.N }
func (d node) inside(r Range) bool  { return d.first >= r.First && d.first+d.n <= r.First+r.N }

// find returns the subtree of exactly the given groups; there must be one.
func (d node) find(first, n int64) node {
	for d.first != first || d.n != n {
		if right := d.right(); first >= right.first {
			d = right
		} else {
			d = d.left()
		}
	}
	return d
}

// A run is n parents that follow each other in pre-order.
type run struct{ index, n int64 }

// maxRuns is over the most runs that a range can have: on the way down to either end of it, every right turn begins one.
const maxRuns = 128

// runs appends the parents of d that cover a group of r, in pre-order.
func (d node) runs(dst []run, r Range) []run {
	if d.n == 1 || d.outside(r) {
		return dst
	}
	n := int64(1)
	if d.inside(r) {
		n = d.n - 1
	}
	if last := len(dst) - 1; last >= 0 && dst[last].index+dst[last].n == d.index {
		dst[last].n += n
	} else {
		dst = append(dst, run{d.index, n})
	}
	if d.inside(r) {
		return dst
	}
	return d.right().runs(d.left().runs(dst, r), r)
}

func putParent(b []byte, l, r cv) {
	_ = b[parentSize-1]
	for i := range l {
		binary.LittleEndian.PutUint32(b[4*i:], l[i])
		binary.LittleEndian.PutUint32(b[cvSize+4*i:], r[i])
	}
}

// above returns the parent that has the chaining value of a group, and at which byte it does. d must have more than one group.
func (d node) above(group int64) (parent node, side int) {
	for {
		next, at := d.left(), 0
		if right := d.right(); group >= right.first {
			next, at = right, cvSize
		}
		if next.n == 1 {
			return d, at
		}
		d = next
	}
}
