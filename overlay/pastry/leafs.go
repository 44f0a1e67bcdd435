package pastry

import (
	"slices"

	"kith/overlay/kbr"
)

// The leaf set: the next nodes on both sides, clockwise, which is side 0, and counterclockwise.

// away returns how far a node is on a side.
func (p *Pastry) away(side int, n kbr.Node) kbr.ID {
	if side == 0 {
		return p.ring.id(n).Sub(p.id())
	}
	return p.id().Sub(p.ring.id(n))
}

// on returns the leafs of a side, nearest first.
func (p *Pastry) on(side int) []kbr.Node { return p.leaf[side][:p.leafs[side]] }

// at returns the i-th leaf of a side, or None.
func (p *Pastry) at(side, i int) kbr.Node {
	if i >= int(p.leafs[side]) {
		return kbr.None
	}
	return p.leaf[side][i]
}

// last returns the farthest leaf of a side, or None.
func (p *Pastry) last(side int) kbr.Node { return p.at(side, max(0, int(p.leafs[side])-1)) }

func (p *Pastry) isLeaf(n kbr.Node) bool {
	return slices.Contains(p.on(0), n) || slices.Contains(p.on(1), n)
}

// whole reports whether the leaf set goes all around the ring: whether its sides overlap.
func (p *Pastry) whole() bool {
	a, b := p.last(0), p.last(1)
	if a == kbr.None || b == kbr.None {
		return a == b
	}
	return !p.away(0, a).Less(p.away(0, b))
}

// covers reports whether a key lies between the farthest leafs.
func (p *Pastry) covers(key kbr.ID) bool {
	if p.whole() {
		return true
	}
	a, b := p.last(0), p.last(1)
	return a != kbr.None && !p.away(0, a).Less(key.Sub(p.id())) || b != kbr.None && !p.away(1, b).Less(p.id().Sub(key))
}

// fits returns where on a side a node belongs, or -1. Where the leaf set does not go all around nobody is taken in who is nearer the other way around: a side that
// has lost some would else be filled from the other one, and look as if it reached there.
func (p *Pastry) fits(side int, n kbr.Node, around bool) int {
	if n == p.self {
		return -1
	}
	d := p.away(side, n)
	i := int(p.leafs[side])
	for ; i > 0; i-- {
		last := p.leaf[side][i-1]
		if last == n {
			return -1
		}
		if p.away(side, last).Less(d) {
			break
		}
	}
	if i == p.ring.Leafs/2 || i == int(p.leafs[side]) && !around && p.away(1-side, n).Less(d) {
		return -1
	}
	return i
}

// around reports whether leafs may be taken in that are nearer the other way around.
func (p *Pastry) around() bool {
	if p.phase == joining {
		return p.small
	}
	return p.whole()
}

// wants reports whether a node belongs into the leaf set.
func (p *Pastry) wants(n kbr.Node) bool {
	around := p.around()
	return p.fits(0, n, around) >= 0 || p.fits(1, n, around) >= 0
}

// put takes a node into the leaf set, where it belongs, and reports on which sides it is the nearest now.
func (p *Pastry) put(n kbr.Node, around bool) (nearest [2]bool) {
	for s := range p.leaf {
		i := p.fits(s, n, around)
		if i < 0 {
			continue
		}
		count := min(int(p.leafs[s])+1, p.ring.Leafs/2)
		copy(p.leaf[s][i+1:count], p.leaf[s][i:])
		p.leaf[s][i] = n
		p.leafs[s] = uint8(count)
		nearest[s] = i == 0
	}
	return nearest
}

// unleaf takes a node out of the leaf set. Where that went all around it still does, and a side that has nobody left takes whom this node knows at all: they are far,
// but those that they know are less so.
func (p *Pastry) unleaf(n kbr.Node) {
	around := p.whole()
	for s := range p.leaf {
		if i := slices.Index(p.on(s), n); i >= 0 {
			copy(p.leaf[s][i:], p.on(s)[i+1:])
			p.leafs[s]--
		}
	}
	if around {
		p.close()
	}
	for s := range p.leaf {
		if p.leafs[s] > 0 {
			continue
		}
		for _, n := range p.nears() {
			if n != kbr.None {
				p.put(n, false)
			}
		}
	}
}

// close makes the leaf set go all around: each leaf is on both sides, as far as there is room.
func (p *Pastry) close() {
	a, b := p.leaf[0], p.leaf[1]
	for _, n := range a[:p.leafs[0]] {
		p.put(n, true)
	}
	for _, n := range b[:p.leafs[1]] {
		p.put(n, true)
	}
}

// tell names the leaf set.
func (p *Pastry) tell(m *kbr.Message) {
	if p.phase != member {
		return
	}
	m.Flags |= isMember
	if p.whole() {
		m.Flags |= isWhole
	}
	for _, n := range p.on(0) {
		m.Add(n)
	}
	for _, n := range p.on(1) {
		if !slices.Contains(p.on(0), n) {
			m.Add(n)
		}
	}
}
