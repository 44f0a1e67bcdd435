package sim

import "kith/overlay/kbr"

// What a connection costs, as libp2p has it over QUIC: before anything is said both shake hands and say what they speak, a round trip each.
const (
	dialRounds = 2
	dialTime   = 5 * kbr.Second               // after which who was dialled in vain has failed
	dialTry    = 1 << 7                       // as which: no other follows
	closeTime  = 22*kbr.Second + kbr.Second/2 // after which one to a node that is gone is closed: half a minute after a word that comes every 15 s
)

// dial returns from when on one node can say something to another; ok is false if it never can.
func (n *Net) dial(now kbr.Ticks, from, to kbr.Node) (ready kbr.Ticks, ok bool) {
	if !n.o.Dials {
		return now, true
	}
	ready, ok = n.dialled[pair(from, to)]
	if !ok && n.peers[to].up {
		ready, ok = now+dialRounds*n.rtt(from, to), true
		n.dialled[pair(from, to)] = ready
	}
	return max(now, ready), ok
}

// pair is how the connection of two nodes is known.
func pair(a, b kbr.Node) [2]kbr.Node { return [2]kbr.Node{min(a, b), max(a, b)} }

// Connected reports whether two nodes have a connection; without Dials all have.
func (n *Net) Connected(a, b kbr.Node) bool {
	_, ok := n.dialled[pair(a, b)]
	return ok || !n.o.Dials
}

// Connect has a node dial another one, for something that is not the engine's.
func (n *Net) Connect(p, to kbr.Node) { n.dial(n.now, p, to) }

// hangUp closes the connections of a node that is gone, in a while, and those who had one ask themselves whether it is.
func (n *Net) hangUp(gone kbr.Node) {
	for i := range n.peers {
		if p := kbr.Node(i); n.Connected(p, gone) {
			n.shard(p).wheel.put(event{at: n.now + closeTime, what: closes, node: p, from: gone, turn: n.turn(gone), life: n.peers[p].life})
		}
	}
}
