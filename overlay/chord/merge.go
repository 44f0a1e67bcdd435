package chord

import (
	"slices"

	"kith/overlay/kbr"
)

// Two rings that have nothing in common grow together when a node of one meets a node of the other (after Shafaat, Ghodsi, Haridi, "Handling Network Partitions and
// Mergers in Structured Overlay Networks", P2P 2007). Who has met somebody looks, through them, for the node that would come next after itself in their ring. If that is
// nearer than its successor, it is its successor from now on, and the old one is told to look for its place in the other ring in its turn; if not, the one that was found
// is told to look. So it goes around the ring, one node of the one and one of the other, until somebody finds its own successor: there the rings are one.

// maxMet is how many nodes a node looks into in one round; the next time is soon enough for others.
const maxMet = 8

// meet looks for the place of this node in the ring of another one.
func (c *Chord) meet(via kbr.Node, o *kbr.Outbox) {
	if via == kbr.None || via == c.self || c.met >= maxMet {
		return
	}
	c.met++
	if c.succs == 0 || c.between(c.self, via, c.succ[0]) {
		o.Ask(via, state, askMet)
		return
	}
	o.Search(c.id(), via, findMet)
}

// told hears that a node, or the one that says so, may be of another ring.
func (c *Chord) told(from, node kbr.Node, o *kbr.Outbox) {
	if node != kbr.None {
		c.meet(node, o)
		return
	}
	if old := c.pred; old != kbr.None && old != from && from != c.self && c.between(old, from, c.self) {
		c.pred = from
		o.Tell(old, meet).Node = from
	}
	c.meet(from, o)
}

// merge hears of the node that comes next after this one in a ring that may be another.
func (c *Chord) merge(next kbr.Node, rest []kbr.Node, o *kbr.Outbox) {
	switch {
	case c.move(next, rest, o):
	case next == c.self || c.succs > 0 && next == c.succ[0]: // it is one ring
	case c.succs == 0 || c.between(c.self, next, c.succ[0]):
		old, alone := c.succ[0], c.succs == 0
		c.renew(next, rest, o)
		if !alone && !slices.Contains(rest, old) {
			o.Tell(old, meet).Node = next
		}
		c.stabilize(o)
	default:
		o.Tell(next, meet)
	}
}
