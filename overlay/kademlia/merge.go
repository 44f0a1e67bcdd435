package kademlia

import "kith/overlay/kbr"

// Two networks that have nothing in common grow together when a node of one meets a node of the other: it looks for its own place there, and when that tells it of
// neighbours that it did not know, it makes itself known to them, and tells one contact of each bucket to do the same. Where nobody new is near, it ends.

// meet looks for this node's place in the network that another node is in, once a round.
func (c *Kademlia) meet(other kbr.Node, o *kbr.Outbox) {
	if c.phase != member || c.met || other == kbr.None || other == c.self {
		return
	}
	c.met, c.before = true, c.fold()
	c.look(other, findMet, o)
}

// fold returns a number that changes when the neighbourhood does.
func (c *Kademlia) fold() (x uint32) {
	var room [MaxK + 1]kbr.Node
	around, _ := c.nearest(c.id(), c.tree.K+1, room[:0])
	for _, n := range around {
		x = x*16777619 ^ uint32(n)
	}
	return x
}

// spread tells contacts of a node of another network.
func (c *Kademlia) spread(other kbr.Node, o *kbr.Outbox) {
	for l := range int(c.top) {
		if s := c.contacts(l); len(s) > 0 {
			o.Tell(s[int(c.asks)%len(s)].node, meet).Node = other
		}
	}
	c.asks++
}
