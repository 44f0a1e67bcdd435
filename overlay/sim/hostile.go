package sim

import "kith/overlay/kbr"

// An Attack is what hostile nodes do when they are asked about a key. Of upkeep they do their part, so that they stay in everybody's tables; a recursive search that
// is handed to them goes no further.
type Attack uint8

// The attacks.
const (
	Misroute Attack = iota // they name the one of them that is nearest to the key, and that one says that it is its own
	Drop                   // they do not answer
)

// attack lets a hostile node answer, and reports whether it did that instead of its engine: with nil it does not answer.
func (n *Net) attack(p kbr.Node, m *kbr.Message) (reply *kbr.Message, did bool) {
	switch {
	case !n.peers[p].bad || m.Kind != kbr.Find && m.Kind != kbr.Carry:
		return nil, false
	case n.o.Attack == Drop:
		return nil, true
	}
	n.lie = kbr.Message{Kind: m.Kind, Key: m.Key}
	if m.Kind == kbr.Find {
		if near := n.kind.Owner(n.order, n.hostile, m.Key); near == p {
			n.lie.Flags = kbr.Mine
		} else if near != kbr.None {
			n.lie.Add(near)
			n.lie.Ends = 1
		}
	}
	return &n.lie, true
}

// hostile reports whether a node is up and hostile.
func (n *Net) hostile(p kbr.Node) bool { return n.peers[p].up && n.peers[p].bad }
