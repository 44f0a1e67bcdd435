package kademlia

import "kith/overlay/kbr"

// Route implements kbr.Engine. Where this node knows everybody around the key, it names ends; else who is nearer to it than itself.
func (c *Kademlia) Route(m *kbr.Message) {
	if c.phase != member {
		m.Flags |= kbr.Outside
		return
	}
	want, asEnd := c.tree.Tell, m.Flags&kbr.AsEnd != 0
	if m.Flags&kbr.AtHome != 0 {
		want = kbr.MaxNodes
	}
	told, self := c.nearest(m.Key, want, m.Nodes[:0])
	m.Count = uint8(len(told))
	switch x := c.id().Xor(m.Key); {
	case self == 0:
		m.Flags |= kbr.Mine
		m.Count = 0
	case asEnd:
		m.Count = uint8(self)
		m.Ends = m.Count
	case c.complete(min(last, x.Zeros())):
		m.Ends = m.Count
	default:
		m.Count = uint8(self)
	}
}

// Distance implements kbr.Engine.
func (c *Kademlia) Distance(key kbr.ID, _ bool, n kbr.Node) kbr.ID { return c.tree.id(n).Xor(key) }

// nearest appends to dst the nodes nearest to a key, this one included, at most want, and returns how many are nearer than this one.
//
// It goes through the buckets in the order of distance: where a bit of the key is not this node's, who is in that bucket is nearer than all behind it, which
// are this node and its neighbourhood; where it is, farther.
func (c *Kademlia) nearest(key kbr.ID, want int, dst []kbr.Node) (_ []kbr.Node, self int) {
	x, top := c.id().Xor(key), min(int(c.top), last)
	for l := min(x.Zeros(), top); l < top && len(dst) < want; l++ {
		if x.Bit(l) {
			dst = c.sorted(key, l, want, dst)
		}
	}
	first := len(dst)
	if first < want {
		dst = c.sorted(key, last, want, dst)
	}
	self = len(dst)
	for i := first; i < len(dst); i++ {
		if dst[i] == c.self {
			self = i
		}
	}
	for l := top - 1; l >= 0 && len(dst) < want; l-- {
		if !x.Bit(l) {
			dst = c.sorted(key, l, want, dst)
		}
	}
	return dst, self
}

// sorted appends to dst, up to want nodes, who is in a bucket, nearest to the key first. In the last one this node itself is too.
func (c *Kademlia) sorted(key kbr.ID, level, want int, dst []kbr.Node) []kbr.Node {
	var far [MaxK + 1]kbr.ID
	var near [MaxK + 1]kbr.Node
	n := 0
	put := func(node kbr.Node) {
		d := c.tree.id(node).Xor(key)
		i := n
		for ; i > 0 && d.Less(far[i-1]); i-- {
			far[i], near[i] = far[i-1], near[i-1]
		}
		far[i], near[i] = d, node
		n++
	}
	for _, x := range c.contacts(level) {
		put(x.node)
	}
	if level == last {
		put(c.self)
	}
	return append(dst, near[:min(n, want-len(dst))]...)
}

// Reach implements kbr.Guard.
func (c *Kademlia) Reach(n int) kbr.ID {
	var room [MaxK + 1]kbr.Node
	around, _ := c.nearest(c.id(), c.tree.K+1, room[:0])
	if len(around) < 2 {
		return kbr.ID{}.Sub(kbr.Power(0))
	}
	return c.id().Xor(c.tree.id(around[len(around)-1])).Scale(uint32(n), uint32(len(around)-1))
}

// Beside implements kbr.Guard: in the subtrees beside the key's, of about four nodes, of two, and of eight.
func (c *Kademlia) Beside(key kbr.ID, i int) kbr.ID {
	level := c.Reach(8).Zeros()
	switch i % 4 {
	case 0:
		return key
	case 2:
		level++
	case 3:
		level--
	}
	return key.Xor(kbr.Power(kbr.Bits - 1 - max(0, min(level, last))))
}

// Sparse implements kbr.Guard.
func (c *Kademlia) Sparse(reach func(n int) kbr.ID, key kbr.ID, named []kbr.Node) bool {
	var room [kbr.MaxNodes + 1]kbr.ID
	return kbr.Sparse(reach, kbr.Away(c, key, named, room[:0]), 1)
}
