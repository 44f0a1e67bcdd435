package pastry

import "kith/overlay/kbr"

const (
	onTheWay = 8                       // nodes nearer to the key that a node names when it is asked for the way
	atTheEnd = kbr.MaxNodes - onTheWay // and those where a search may end: a leaf set, since most of it may be dead
)

// A best is the nearest few of nodes, by some distance, each once.
type best struct {
	room, count int
	nodes       [kbr.MaxNodes]kbr.Node
	far         [kbr.MaxNodes]kbr.ID
}

func (b *best) offer(n kbr.Node, far kbr.ID) {
	i := b.count
	for ; i > 0 && !b.far[i-1].Less(far); i-- {
		if b.nodes[i-1] == n {
			return
		}
	}
	if i == b.room {
		return
	}
	b.count = min(b.count+1, b.room)
	copy(b.nodes[i+1:b.count], b.nodes[i:])
	copy(b.far[i+1:b.count], b.far[i:])
	b.nodes[i], b.far[i] = n, far
}

// Route implements kbr.Engine. Where the key is between the farthest leafs the search ends at the nearest of these, or here. A node that was itself taken for the
// nearest, and has it not among its leafs, names the nearest that it knows at all: who named it may have lost its leafs.
func (p *Pastry) Route(m *kbr.Message) {
	switch {
	case p.phase != member:
		m.Flags |= kbr.Outside
	case p.covers(m.Key):
		p.ends(m, false)
	case m.Flags&kbr.AsEnd != 0:
		p.ends(m, true)
	default:
		if p.way(m); m.Count == 0 {
			p.ends(m, true) // nobody is left on that side
		}
	}
}

// ends names the leafs, and this node, nearest to the key first, with all others that it knows if that is wanted.
func (p *Pastry) ends(m *kbr.Message, all bool) {
	b := best{room: atTheEnd}
	b.offer(p.self, distance(m.Key, p.id()))
	for s := range p.leaf {
		for _, n := range p.on(s) {
			b.offer(n, distance(m.Key, p.ring.id(n)))
		}
	}
	if all {
		for _, n := range p.nears() {
			if n != kbr.None {
				b.offer(n, distance(m.Key, p.ring.id(n)))
			}
		}
	}
	if b.nodes[0] == p.self {
		m.Flags |= kbr.Mine
		return
	}
	for _, n := range b.nodes[:b.count] {
		m.Add(n)
	}
	m.Ends = m.Count
}

// way names who shares a digit more with the key than this node; and should that one not answer, whom it knows that shares as many and is nearer, as in M'01.
func (p *Pastry) way(m *kbr.Message) {
	b := best{room: onTheWay}
	if m.Flags&kbr.AtHome != 0 {
		b.room = kbr.MaxNodes
	}
	mine := p.Distance(m.Key, false, p.self)
	offer := func(n kbr.Node) {
		if n == kbr.None {
			return
		}
		if d := p.Distance(m.Key, false, n); d.Less(mine) {
			b.offer(n, d)
		}
	}
	shared, last := p.ring.shared(m.Key, p.id()), p.ring.cells()
	if r := shared; r < p.ring.rows() {
		if p.row(r)[p.ring.digit(m.Key, r)] == kbr.None {
			last = p.ring.near()
		}
		for _, n := range p.nears()[r<<p.ring.Digit : last] {
			offer(n)
		}
	}
	for s := range p.leaf {
		for _, n := range p.on(s) {
			offer(n)
		}
	}
	for _, n := range b.nodes[:b.count] {
		m.Add(n)
	}
}

// Reach implements kbr.Guard: half of n nodes are on each side of a key, within what so many leafs take.
func (p *Pastry) Reach(n int) kbr.ID {
	most := kbr.ID{}.Sub(kbr.Power(0))
	var far [2]kbr.ID
	for s := range p.leaf {
		if far[s] = most; p.leafs[s] > 0 {
			far[s] = p.away(s, p.last(s)).Scale(uint32(n), 4*uint32(p.leafs[s]))
		}
	}
	if sum := far[0].Add(far[1]); !sum.Less(far[0]) {
		return sum
	}
	return most
}

// Beside implements kbr.Guard: on both sides, where leaf sets still reach the key.
func (p *Pastry) Beside(key kbr.ID, i int) kbr.ID {
	far := p.Reach(p.ring.Leafs / 2)
	if i%2 == 0 {
		return key.Add(far)
	}
	return key.Sub(far)
}

// Sparse implements kbr.Guard. Named are the leafs of a node, of which the key may be at the edge.
func (p *Pastry) Sparse(reach func(n int) kbr.ID, key kbr.ID, named []kbr.Node) bool {
	var room [kbr.MaxNodes + 1]kbr.ID
	at, begin := room[:0], key.Sub(kbr.Power(kbr.Bits-1)) // on the other side of the ring
	for _, n := range named {
		at = append(at, p.ring.id(n).Sub(begin))
	}
	return kbr.Sparse(reach, append(at, key.Sub(begin)), 2)
}
