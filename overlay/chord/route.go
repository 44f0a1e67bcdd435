package chord

import "kith/overlay/kbr"

// Route implements kbr.Engine. Where the key is within reach of the successor list the search ends at the first node behind it; where this node was itself
// taken for that one, and its predecessor is behind the key too, at that.
func (c *Chord) Route(m *kbr.Message) {
	if c.phase != member {
		m.Flags |= kbr.Outside
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
	reach := 0 // successors before the key
	for reach < int(c.succs) && kbr.Between(self, c.ring.id(c.succ[reach]), m.Key) {
		reach++
	}
	for _, n := range c.succ[reach:min(reach+atTheEnd, int(c.succs))] {
		m.Add(n)
	}
	m.Ends = m.Count
	c.before(m, reach)
}

// before adds the nodes that most closely precede the key, of the fingers, the farthest of which come first, and of the first so many successors.
func (c *Chord) before(m *kbr.Message, reach int) {
	self, last := c.id(), kbr.None
	room := onTheWay
	if m.Flags&kbr.AtHome != 0 {
		room = kbr.MaxNodes - int(m.Count)
	}
	for f, s := 0, reach-1; room > 0; {
		for f < Fingers && (c.finger[f] == kbr.None || !kbr.Between(self, c.ring.id(c.finger[f]), m.Key)) {
			f++
		}
		var next kbr.Node
		switch {
		case f == Fingers && s < 0:
			return
		case s < 0, f < Fingers && c.between(c.succ[s], c.finger[f], c.self):
			next = c.finger[f]
			f++
		default:
			next = c.succ[s]
			s--
		}
		if next != last {
			m.Add(next)
			last = next
			room--
		}
	}
}

// Distance implements kbr.Engine: ends count from the key on, nodes on the way back from it.
func (c *Chord) Distance(key kbr.ID, end bool, n kbr.Node) kbr.ID {
	if end {
		return c.ring.id(n).Sub(key)
	}
	return key.Sub(c.ring.id(n))
}
