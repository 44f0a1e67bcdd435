package kademlia

import (
	"fmt"
	"slices"

	"kith/overlay/kbr"
)

// A span is a run of nodes in the order of their IDs that share a prefix.
type span []kbr.Node

// split parts those whose next bit is 0 from those whose is 1.
func (t *Tree) split(s span, bit int) (zero, one span) {
	i, _ := slices.BinarySearchFunc(s, true, func(n kbr.Node, _ bool) int {
		if t.id(n).Bit(bit) {
			return 1
		}
		return -1
	})
	return s[:i], s[i:]
}

// near appends to dst the nodes of a span nearest to a key for which ok holds, at most want.
func (t *Tree) near(s span, bit int, key kbr.ID, want int, ok func(kbr.Node) bool, dst []kbr.Node) []kbr.Node {
	if len(s) == 0 || len(dst) >= want {
		return dst
	}
	if len(s) == 1 || bit == kbr.Bits {
		if ok == nil || ok(s[0]) {
			dst = append(dst, s[0])
		}
		return dst
	}
	first, then := t.split(s, bit)
	if key.Bit(bit) {
		first, then = then, first
	}
	dst = t.near(first, bit+1, key, want, ok, dst)
	return t.near(then, bit+1, key, want, ok, dst)
}

// Owner returns whose a key is: the nearest member that is up, of nodes in the order of their IDs, or None if there is none.
func (t *Tree) Owner(order []kbr.Node, up func(kbr.Node) bool, key kbr.ID) kbr.Node {
	var room [1]kbr.Node
	got := t.near(order, 0, key, 1, func(n kbr.Node) bool { return up(n) && t.nodes[n].phase == member }, room[:0])
	if len(got) == 0 {
		return kbr.None
	}
	return got[0]
}

// Settle gives nodes of a part the state that upkeep ends with when nothing happens for long: of its neighbourhood each knows everybody, and for each bucket farther away
// some nodes, spread evenly, which are the nearest in time where there are alternates. They must be all nodes that are up, in the order of their IDs; rtt is the
// round trip between two.
func (t *Tree) Settle(part int, up []kbr.Node, rtt func(a, b kbr.Node) kbr.Ticks) {
	var picked []kbr.Node
	for at, n := range up {
		if n.Part() != part {
			continue
		}
		c := &t.nodes[n]
		c.reset(member)
		mine := span(up)
		draw := uint64(at) << 16
		for l := 0; l < last && len(mine) > 1; l++ {
			zero, one := t.split(mine, l)
			other := one
			if mine = zero; c.id().Bit(l) {
				other, mine = zero, one
			}
			picked = picked[:0]
			switch want := t.K * t.Alternates; {
			case len(other) <= t.K:
				picked = append(picked, other...)
			case len(mine) <= t.K: // and this node itself
				picked = t.near(other, l+1, c.id(), t.K, nil, picked)
			default:
				want = min(want, len(other))
				draw++
				first := int(mix(draw) >> 33)
				for i := range want {
					picked = append(picked, other[(first%len(other)+i*len(other)/want)%len(other)])
				}
				if t.Alternates > 1 {
					slices.SortFunc(picked, func(a, b kbr.Node) int { return int(rtt(n, a) - rtt(n, b)) })
				}
				picked = picked[:min(len(picked), t.K)]
			}
			c.fill(l, picked, rtt)
		}
		for _, p := range mine { // in the last bucket
			c.heard(0, p, 0)
		}
	}
}

// mix is the finalizer of SplitMix64, as in the simulator: whom nodes beside each other have in their buckets has nothing to do with each other.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// fill fills an empty bucket with nodes that belong in it; that they do is not checked, since a large simulation would wait for that.
func (c *Kademlia) fill(level int, nodes []kbr.Node, rtt func(a, b kbr.Node) kbr.Ticks) {
	if len(nodes) == 0 {
		return
	}
	c.bucket[level] = c.open()
	c.top = max(c.top, uint8(level+1))
	b := c.block(c.bucket[level])
	b.setCount(len(nodes))
	for i, n := range nodes {
		b[1+i] = contact{node: n}
		if c.tree.Alternates > 1 {
			b[1+i].rtt = asUnits(rtt(c.self, n))
		}
	}
}

// Audit checks what must hold at all times: each contact is in the bucket in which it belongs, once, and none has more than its size; and, where there is more than
// one member, each has a contact that is one and is up. That is all that holds for certain: whether there is a live contact in each bucket for which there is a
// live node, by which a search is sure to end at whose the key is, depends on who has been heard from.
func (t *Tree) Audit(up []kbr.Node) error {
	t.collect(up)
	for _, n := range t.members {
		if !t.nodes[n].knowsOne() && len(t.members) > 1 {
			return fmt.Errorf("kademlia: node %d knows nobody who is up", n)
		}
	}
	var room [kbr.Parts * maxStepped]kbr.Node
	check, all := room[:0], false
	for i := range t.slabs {
		s := &t.slabs[i]
		check, all = append(check, s.stepped...), all || len(s.stepped) == maxStepped // or more: not all are noted
		s.stepped = s.stepped[:0]
	}
	if all {
		check = t.members
	}
	for _, n := range check {
		c := &t.nodes[n]
		for l := range c.bucket {
			if c.bucket[l] == 0 {
				continue
			}
			b := c.block(c.bucket[l])
			s, m := b.in(), c.mind(b)
			if len(s) > t.K || len(m) > t.Cache || len(s) > 0 && l >= int(c.top) {
				return fmt.Errorf("kademlia: node %d has %d contacts and %d in mind in bucket %d", n, len(s), len(m), l)
			}
			for _, list := range [][]contact{s, m} {
				for _, x := range list {
					if x.node == kbr.None || x.node == n || c.level(x.node) != l {
						return fmt.Errorf("kademlia: node %d has %d in bucket %d", n, x.node, l)
					}
					if t.seen[x.node] == n {
						return fmt.Errorf("kademlia: node %d has %d twice", n, x.node)
					}
					t.seen[x.node] = n
				}
			}
			for _, x := range s {
				t.seen[x.node] = kbr.None
			}
			for _, x := range m {
				t.seen[x.node] = kbr.None
			}
		}
	}
	return nil
}

// knowsOne reports whether one of the contacts, or of those in mind, is a member that is up.
func (c *Kademlia) knowsOne() bool {
	for l := range int(c.top) {
		if c.bucket[l] == 0 {
			continue
		}
		b := c.block(c.bucket[l])
		for _, list := range [][]contact{b.in(), c.mind(b)} {
			for _, x := range list {
				if c.tree.in[x.node] {
					return true
				}
			}
		}
	}
	return false
}

// collect fills in members, in the order of their IDs, and in.
func (t *Tree) collect(up []kbr.Node) {
	if len(t.in) != len(t.nodes) {
		t.in, t.seen = make([]bool, len(t.nodes)), make([]kbr.Node, len(t.nodes))
	}
	clear(t.in)
	t.members = t.members[:0]
	for _, n := range up {
		if t.nodes[n].phase == member {
			t.members = append(t.members, n)
			t.in[n] = true
		}
	}
}

// Ideal says where a node does not yet know all of its neighbourhood, which is the K nodes nearest to it, and nobody else nearer than these, or knows nobody for a
// bucket for which there is somebody.
func (t *Tree) Ideal(up []kbr.Node) error {
	t.collect(up)
	var room [MaxK + 1]kbr.Node
	for _, n := range up {
		c := &t.nodes[n]
		if c.phase != member {
			return fmt.Errorf("kademlia: node %d is no member", n)
		}
		want := t.near(up, 0, c.id(), t.K+1, nil, nil)
		if got, _ := c.nearest(c.id(), t.K+1, room[:0]); !slices.Equal(got, want) {
			return fmt.Errorf("kademlia: node %d has %v around it, want %v", n, got, want)
		}
		mine := span(up)
		for l := 0; l < last && len(mine) > 1; l++ {
			zero, one := t.split(mine, l)
			other := one
			if mine = zero; c.id().Bit(l) {
				other, mine = zero, one
			}
			if len(other) > 0 && !slices.ContainsFunc(c.contacts(l), func(x contact) bool { return t.in[x.node] }) {
				return fmt.Errorf("kademlia: node %d knows none of %d in bucket %d", n, len(other), l)
			}
		}
	}
	return nil
}
