package chord

import (
	"slices"

	"kith/overlay/kbr"
)

// What a node knows of those that come after it its first successor told it, so that a successor which lies hides whoever is behind it from all before it; and who joins
// through a search that was led astray is in a ring of liars for good. With Config.Doubts
//
//   - who joins asks whom it joins through for its successor list. How far those lie apart says whether what the search for its place finds can be true, and they are where
//     a wary one begins if not (kbr.Host.Checks); whom that has found are its first successors, beside those that the first of them names,
//   - whoever was a successor and is named no more stays one as long as it answers,
//   - each round any of the successors is asked, too, who comes after it,
//   - and every sixteenth round, and when it has joined, a node searches for those that come before it and tells them that it is there, whoever hides it.

// tellEvery is every how many rounds a node tells those before it that it is there.
const tellEvery = 16

// seek begins a join.
func (c *Chord) seek(o *kbr.Outbox) {
	if c.ring.Doubts {
		o.Ask(c.via, state, askVia)
		return
	}
	o.Search(c.id(), c.via, findPlace)
}

// begin hears who comes after the one that this node joins through.
func (c *Chord) begin(ev *kbr.Event, o *kbr.Outbox) {
	if ev.What == kbr.Failed || ev.Msg.Kind != state || ev.Msg.Flags&isMember == 0 {
		c.again(o)
		return
	}
	c.note(ev.Msg.Told())
	o.Search(c.id(), c.via, findPlace).Flags = kbr.Around
}

// move joins the ring of another node, of which it is told who comes after that one, if this node is alone, and reports whether it does.
func (c *Chord) move(via kbr.Node, told []kbr.Node, o *kbr.Outbox) bool {
	if !c.ring.Doubts || c.succs > 0 || c.pred != kbr.None {
		return false
	}
	if c.note(told); c.succs == 0 {
		return false
	}
	c.phase, c.via, c.walked, c.alone = joining, via, 0, true
	c.turn++
	o.Search(c.id(), via, findPlace).Flags = kbr.Around
	return true
}

// note keeps some nodes while this one joins.
func (c *Chord) note(nodes []kbr.Node) {
	c.succs = 0
	for _, n := range nodes {
		if n != kbr.None && n != c.self {
			c.succ[c.succs] = n
			c.succs++
		}
	}
}

// doubt does what there is to do each round.
func (c *Chord) doubt(draw uint64, o *kbr.Outbox) {
	if c.succs > 1 {
		o.Ask(c.succ[1+(draw>>32)%uint64(c.succs-1)], state, askOther)
	}
	if c.hidden++; c.hidden >= tellEvery {
		c.announce(o)
	}
}

// announce looks for those that come before this node.
func (c *Chord) announce(o *kbr.Outbox) {
	if c.hidden = 0; c.succs > 0 && c.phase == member {
		o.Search(c.behind(), kbr.None, findBefore)
	}
}

// behind returns from where on those that come before this node have it in their successor lists.
func (c *Chord) behind() kbr.ID { return c.id().Sub(c.Reach(c.ring.Successors)) }

// tellThose tells those of some nodes that come before this one that it is there.
func (c *Chord) tellThose(nodes []kbr.Node, o *kbr.Outbox) {
	for _, n := range nodes {
		if n != kbr.None && n != c.self && kbr.Between(c.behind(), c.ring.id(n), c.id()) {
			o.Tell(n, present)
		}
	}
}

// renew takes over the successor list of who comes next, and with Doubts keeps those that are not named there.
func (c *Chord) renew(next kbr.Node, told []kbr.Node, o *kbr.Outbox) {
	old, count := c.succ, c.succs
	if c.adopt(next, told); c.ring.Doubts {
		c.extend(old[:count], o)
	}
}

// extend takes in those of some nodes that come next as well, and asks whether they are there.
func (c *Chord) extend(nodes []kbr.Node, o *kbr.Outbox) {
	for _, n := range nodes {
		if c.insert(n) {
			o.Ask(n, ping, askAlive)
		}
	}
}

// insert puts a node into the successor list, of which the last one may go, and reports whether it was not there before.
func (c *Chord) insert(n kbr.Node) bool {
	at := 0
	for at < int(c.succs) && c.between(c.self, c.succ[at], n) {
		at++
	}
	if n == kbr.None || n == c.self || at == c.ring.Successors || slices.Contains(c.successors(), n) {
		return false
	}
	c.succs = uint8(min(int(c.succs)+1, c.ring.Successors))
	copy(c.succ[at+1:c.succs], c.succ[at:])
	c.succ[at] = n
	return true
}
