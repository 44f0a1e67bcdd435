package sim

import (
	"cmp"
	"fmt"
	"slices"

	"kith"
	"kith/overlay/kbr"
)

// An Attack is what hostile nodes do when they are asked about a key. A recursive search that is handed to them goes no further. Of upkeep they do their part, so
// that they stay in everybody's tables, but for Lie.
type Attack uint8

// The attacks.
const (
	Misroute Attack = iota // they name the one of them that is nearest to the key, and that one says that it is its own
	Drop                   // they do not answer
	Collude                // they answer as if there were nobody but them: each names those of them that are nearest to the key
	Lie                    // and of all honest nodes that they ought to name in upkeep they say nothing either
)

var attacks = []string{"misroute", "drop", "collude", "lie"}

// ParseAttack reads the name of an attack. Its error is Invalid.
func ParseAttack(name string) (Attack, error) {
	if i := slices.Index(attacks, name); i >= 0 {
		return Attack(i), nil
	}
	return 0, kith.Hint(fmt.Errorf("sim: attack %q: %w", name, kith.Invalid), "misroute, drop, collude or lie")
}

// Targets is how many keys, or nodes, Sybils are placed around.
const Targets = 10

// attacked reports whether there are hostile nodes.
func (o Options) attacked() bool { return o.Hostile > 0 || o.Sybils > 0 }

// placed returns how many of the first nodes are where they are on purpose, or have Sybils around themselves.
func (o Options) placed() int {
	if o.Eclipse {
		return (o.Sybils + 1) * Targets
	}
	return o.Sybils * Targets
}

func (o Options) checkHostile() error {
	switch {
	case o.Wary < 0 || o.Wary > kbr.MaxTrails:
		return kith.Hint(fmt.Errorf("sim: %d trails of a wary search: %w", o.Wary, kith.Invalid), "1 to %d, or 0 for searches that are not", kbr.MaxTrails)
	case o.Wary > 0 && o.Carried:
		return kith.Hint(fmt.Errorf("sim: recursive searches that are wary: %w", kith.Invalid), "who hands a search on sees nothing of it; take one of both")
	case !(o.Hostile >= 0 && o.Hostile < 1):
		return kith.Hint(fmt.Errorf("sim: a part of %v is hostile: %w", o.Hostile, kith.Invalid), "from 0 up to 1, such as 0.2 for one of five")
	case o.Attack > Lie:
		return kith.Hint(fmt.Errorf("sim: attack %d: %w", o.Attack, kith.Invalid), "%d to %d", Misroute, Lie)
	case o.Sybils < 0 || o.Sybils > 1000 || o.Sybils > 0 && (o.Sybils+1)*Targets >= o.Nodes:
		return kith.Hint(fmt.Errorf("sim: %d Sybils at each of %d places among %d nodes: %w", o.Sybils, Targets, o.Nodes, kith.Invalid), "0 to 1000, and fewer than there are nodes in all")
	case o.Eclipse && o.Sybils == 0:
		return kith.Hint(fmt.Errorf("sim: nodes are eclipsed by 0 Sybils: %w", kith.Invalid), "say how many there are around each, such as 20")
	}
	return nil
}

// where returns where a node is. The first ones are Sybils: within a 2^32nd of the ring behind their target, and of a node's surroundings every other one where its
// fingers begin, half the ring away, a quarter, an eighth.
func (n *Net) where(p kbr.Node) kbr.ID {
	i := int(p) - 1
	if i >= n.o.Sybils*Targets {
		return n.o.Place(int(p))
	}
	near := n.place(forPlace, p, 0).Bytes()
	clear(near[:4])
	near[len(near)-1] |= 1 // behind it, and not at it
	at := n.target(uint64(i))
	if k := i / Targets; n.o.Eclipse && k%2 == 1 {
		at = at.Add(kbr.Power(kbr.Bits - 1 - k/2%32))
	}
	return at.Add(kbr.FromBytes(near))
}

// target returns a place that Sybils are around.
func (n *Net) target(i uint64) kbr.ID {
	if n.o.Eclipse {
		return n.o.Place(int(n.victim(i)))
	}
	return n.place(forTarget, kbr.None, i%Targets)
}

// victim returns a node whose surroundings are Sybils'.
func (n *Net) victim(i uint64) kbr.Node { return kbr.Node(uint64(n.o.Sybils)*Targets + 1 + i%Targets) }

// attack lets a hostile node answer, and reports whether it did that instead of its engine: with nil it does not answer.
func (n *Net) attack(p kbr.Node, m *kbr.Message) (reply *kbr.Message, did bool) {
	if !n.peers[p].bad || m.Kind != kbr.Find && m.Kind != kbr.Carry {
		return nil, false
	}
	n.lie = kbr.Message{Kind: m.Kind, Key: m.Key}
	switch near := kbr.None; {
	case n.o.Attack == Drop:
		return nil, true
	case m.Kind == kbr.Carry:
	case n.o.Attack == Misroute:
		if near = n.kind.Owner(n.order, n.hostile, m.Key); near == p {
			n.lie.Flags = kbr.Mine
		} else if near != kbr.None {
			n.lie.Add(near)
			n.lie.Ends = 1
		}
	default:
		n.collude(p, &n.lie)
	}
	return &n.lie, true
}

// colluders is how many of their kind hostile nodes name as the ends of a search; the others are on the way there.
const colluders = 24

// collude names the hostile nodes around a key as an honest node would all nodes.
func (n *Net) collude(p kbr.Node, m *kbr.Message) {
	var around []kbr.Node
	first, _ := slices.BinarySearchFunc(n.order, m.Key, func(q kbr.Node, key kbr.ID) int { return n.Table.ID(q).Compare(key) })
	for _, step := range []int{1, -1} {
		at := first
		if step < 0 {
			at--
		}
		for left, steps := colluders, 0; left > 0 && steps < len(n.order)/2; steps++ {
			if q := n.order[((at+step*steps)%len(n.order)+len(n.order))%len(n.order)]; n.hostile(q) {
				around = append(around, q)
				left--
			}
		}
	}
	e := n.kind.Engine(p)
	slices.SortFunc(around, func(a, b kbr.Node) int { return e.Distance(m.Key, true, a).Compare(e.Distance(m.Key, true, b)) })
	for _, q := range around[:min(colluders, len(around))] {
		m.Add(q)
	}
	if m.Ends = m.Count; m.Count > 0 && m.Nodes[0] == p {
		m.Flags = kbr.Mine
	}
	way := around[m.Ends:]
	slices.SortFunc(way, func(a, b kbr.Node) int {
		return cmp.Or(e.Distance(m.Key, false, a).Compare(e.Distance(m.Key, false, b)), int(a)-int(b))
	})
	for _, q := range way[:min(kbr.MaxNodes-int(m.Count), len(way))] {
		m.Add(q)
	}
}

// hush takes out of what a hostile node says of upkeep whoever is honest, where it lies there.
func (n *Net) hush(p kbr.Node, m *kbr.Message) {
	if n.o.Attack != Lie || !n.peers[p].bad || m.Kind < kbr.Own {
		return
	}
	told := slices.Clone(m.Told())
	m.Count = 0
	for _, q := range told {
		if n.peers[q].bad {
			m.Add(q)
		}
	}
	m.Ends = min(m.Ends, m.Count)
	if !n.peers[m.Node].bad {
		m.Node = kbr.None
	}
}

// hostile reports whether a node is up and hostile.
func (n *Net) hostile(p kbr.Node) bool { return n.peers[p].up && n.peers[p].bad }
