package chord

import "kith/overlay/kbr"

// Route implements kbr.Engine. Where the key is within reach of the successor list the search ends at the first node behind it; where this node was itself
// taken for that one, and its predecessor is behind the key too, at that.
func (c *Chord) Route(m *kbr.Message) {
	if c.phase != member {
		m.Flags |= kbr.Outside
		if m.Flags&kbr.AtHome != 0 && c.phase == joining && c.succs > 0 {
			m.Add(c.via)
			for _, n := range c.successors() {
				m.Add(n)
			}
		}
		return
	}
	self := c.id()
	if c.succs == 0 && c.pred == kbr.None || c.pred != kbr.None && kbr.Follows(c.ring.id(c.pred), m.Key, self) {
		m.Flags |= kbr.Mine
		return
	}
	if m.Flags&kbr.AsEnd != 0 && c.pred != kbr.None {
		m.Add(c.pred)
		m.Ends = m.Count
		return
	}
	reach := c.reach(m.Key)
	for _, n := range c.succ[reach:min(reach+atTheEnd, int(c.succs))] {
		m.Add(n)
	}
	m.Ends = m.Count
	c.before(m, reach)
}

// reach returns how many successors come before a key. Most often that is all of them.
func (c *Chord) reach(key kbr.ID) int {
	self, lo, hi := c.id(), 0, int(c.succs)
	for m := hi - 1; lo < hi; m = (lo + hi) / 2 {
		if kbr.Between(self, c.ring.id(c.succ[m]), key) {
			lo = m + 1
		} else {
			hi = m
		}
	}
	return lo
}

// before adds the nodes that most closely precede the key, of the fingers, the farthest of which come first, and of the first so many successors.
func (c *Chord) before(m *kbr.Message, reach int) {
	room := onTheWay
	if m.Flags&kbr.AtHome != 0 {
		room = kbr.MaxNodes - int(m.Count)
	}
	self, last, s := c.id(), kbr.None, reach-1
	for _, f := range c.finger[min(m.Key.Sub(self).Zeros(), Fingers):] { // those before are behind the key
		if f == kbr.None || f == last {
			continue
		}
		id := c.ring.id(f)
		if !kbr.Between(self, id, m.Key) {
			continue
		}
		for ; room > 0 && s >= 0 && kbr.Between(id, c.ring.id(c.succ[s]), self); s-- { // never, unless a finger is out of date
			m.Add(c.succ[s])
			room--
		}
		if room == 0 {
			return
		}
		if s < 0 || f != c.succ[s] {
			m.Add(f)
			room--
		}
		last = f
	}
	for ; room > 0 && s >= 0; s-- {
		m.Add(c.succ[s])
		room--
	}
}

// Distance implements kbr.Engine: ends count from the key on, nodes on the way back from it.
func (c *Chord) Distance(key kbr.ID, end bool, n kbr.Node) kbr.ID {
	if end {
		return c.ring.id(n).Sub(key)
	}
	return key.Sub(c.ring.id(n))
}

// Reach implements kbr.Guard: n nodes come after a key within what n successors take.
func (c *Chord) Reach(n int) kbr.ID {
	if c.succs == 0 {
		return kbr.ID{}.Sub(kbr.Power(0))
	}
	from := c.id()
	if c.phase == joining {
		from = c.ring.id(c.via)
	}
	return c.ring.id(c.succ[c.succs-1]).Sub(from).Scale(uint32(n), uint32(c.succs))
}

// Beside implements kbr.Guard. Whoever comes after a key is known to those before it, and to nobody else.
func (c *Chord) Beside(key kbr.ID, _ int) kbr.ID { return key }

// Sparse implements kbr.Guard.
func (c *Chord) Sparse(reach func(n int) kbr.ID, key kbr.ID, named []kbr.Node) bool {
	var room [kbr.MaxNodes + 1]kbr.ID
	return kbr.Sparse(reach, kbr.Away(c, key, named, room[:0]), 1)
}
