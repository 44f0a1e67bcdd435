package sim

import (
	"slices"

	"kith/overlay/kbr"
)

// A shelf is where copies of values are: at whose the key is and at those that it says keep copies, and handed on as these change. What that costs is not counted.
type shelf struct {
	copies int
	at     map[kbr.ID][]kbr.Node
}

// handOn is how often who has a copy looks whether others should.
const handOn = 10 * kbr.Second

// stock puts values on the shelf, each at its owner and those that keep copies.
func (n *Net) stock(keys, copies int) *shelf {
	s := &shelf{copies: copies, at: make(map[kbr.ID][]kbr.Node, keys)}
	for i := range uint64(keys) {
		key := n.place(forTimeline, kbr.None, i)
		n.keys = append(n.keys, key)
		s.at[key] = n.kind.Engine(n.Owner(key)).Replicas(copies, nil)
	}
	return s
}

// pass hands every value on: who holds a key for its own gives copies to those that keep some, and who does not to those that it knows for its owners.
func (s *shelf) pass(n *Net) {
	for _, key := range n.keys {
		held := s.left(n, key)
		for _, p := range slices.Clone(held) {
			m := kbr.Message{Kind: kbr.Find, Key: key, Flags: kbr.AtHome}
			n.kind.Engine(p).Route(&m)
			to := m.Told()[:min(m.Ends, m.Count)]
			if m.Flags&kbr.Mine != 0 {
				to = n.kind.Engine(p).Replicas(s.copies, nil)
			}
			for _, q := range to {
				if n.peers[q].up && !slices.Contains(held, q) && (n.parted == nil || !n.parted(p, q)) {
					held = append(held, q)
				}
			}
		}
		s.at[key] = held
	}
}

// left returns who has a copy and is up.
func (s *shelf) left(n *Net, key kbr.ID) []kbr.Node {
	return slices.DeleteFunc(slices.Clone(s.at[key]), func(p kbr.Node) bool { return !n.peers[p].up })
}

// found reports whether a copy is left that whoever searched can reach, and whether the search found one: at its end, or at those that this one says keep copies.
func (s *shelf) found(n *Net, x *kbr.Result) (left, found bool) {
	held := slices.DeleteFunc(s.left(n, x.Key), func(p kbr.Node) bool { return n.parted != nil && n.parted(x.Self, p) })
	if len(held) == 0 || x.Node == kbr.None {
		return len(held) > 0, false
	}
	asked := n.kind.Engine(x.Node).Replicas(s.copies, slices.Clone(x.Nodes[:x.Count]))
	return true, slices.ContainsFunc(asked, func(p kbr.Node) bool { return slices.Contains(held, p) })
}
