// Package sets finds out in which members two sets differ that are nearly the same, for a cost that goes with the difference and not with the sets.
//
// It is range-based set reconciliation (Meyer, "Range-Based Set Reconciliation", SRDS 2023; the protocol Negentropy, NIP-77): who has the same fingerprint of all
// members in a range has the same members there; a range in which they differ is divided, until what is in it is told. Its one idea beyond that: members are
// digests, and so spread evenly by themselves. Ranges are therefore those that begin with the same digits, of which nothing need be said but the digits, and a
// tree of them has each fingerprint ready.
//
// It is pure: no stream, no clock, no disk. A conversation is Begin on one side, then Answer on both in turn, until one has nothing to answer.
package sets

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"slices"
)

// An ID is a member of a set: a digest, or the beginning of one, that nobody can choose freely.
type ID [16]byte

// Shape of the tree.
const (
	kids     = 16 // a digit of an ID is four bits
	maxDepth = 32 // digits of an ID
	leaf     = 32 // members that are told rather than divided further
)

// A Set is a set of IDs. The zero Set is empty. It is for one goroutine at a time.
type Set struct{ root node }

// A node is all members that begin with the same digits.
type node struct {
	sum  sum
	n    int
	kids *[kids]node // nil: it is a leaf
	ids  []ID        // of a leaf
}

// A sum is that of the digests of members, modulo 2^256: it does not depend on their order, and members can be added and taken away.
type sum [4]uint64

func digest(id ID) (s sum) {
	d := sha256.Sum256(id[:])
	for i := range s {
		s[i] = binary.LittleEndian.Uint64(d[8*i:])
	}
	return s
}

func (s *sum) add(t sum) {
	var carry uint64
	for i := range s {
		s[i], carry = bits.Add64(s[i], t[i], carry)
	}
}

func (s *sum) sub(t sum) {
	var borrow uint64
	for i := range s {
		s[i], borrow = bits.Sub64(s[i], t[i], borrow)
	}
}

// digit returns the i-th digit of an ID.
func (id ID) digit(i int) int {
	if i%2 == 0 {
		return int(id[i/2] >> 4)
	}
	return int(id[i/2] & 15)
}

// Len returns how many members there are.
func (s *Set) Len() int { return s.root.n }

// Has reports whether id is a member.
func (s *Set) Has(id ID) bool {
	n, _ := s.leafOf(id)
	return slices.Contains(n.ids, id)
}

// leafOf returns the leaf in which id is or would be, and its depth.
func (s *Set) leafOf(id ID) (*node, int) {
	n, depth := &s.root, 0
	for n.kids != nil {
		n, depth = &n.kids[id.digit(depth)], depth+1
	}
	return n, depth
}

// Add makes id a member, and reports whether it was none.
func (s *Set) Add(id ID) bool {
	if s.Has(id) {
		return false
	}
	s.along(id, func(n *node, d sum) {
		n.sum.add(d)
		n.n++
	})
	n, depth := s.leafOf(id)
	n.ids = append(n.ids, id)
	if len(n.ids) > leaf && depth < maxDepth-1 {
		n.split(depth)
	}
	return true
}

// Remove takes id out, and reports whether it was a member.
func (s *Set) Remove(id ID) bool {
	n, _ := s.leafOf(id)
	i := slices.Index(n.ids, id)
	if i < 0 {
		return false
	}
	n.ids = slices.Delete(n.ids, i, i+1)
	s.along(id, func(n *node, d sum) {
		n.sum.sub(d)
		n.n--
	})
	return true
}

// along does something to each node in which id is.
func (s *Set) along(id ID, do func(n *node, d sum)) {
	d := digest(id)
	for n, depth := &s.root, 0; ; depth++ {
		do(n, d)
		if n.kids == nil {
			return
		}
		n = &n.kids[id.digit(depth)]
	}
}

// split divides a leaf. It stays divided when members go: they come again.
func (n *node) split(depth int) {
	n.kids = new([kids]node)
	for _, id := range n.ids {
		k := &n.kids[id.digit(depth)]
		k.ids = append(k.ids, id)
		k.n++
		k.sum.add(digest(id))
	}
	n.ids = nil
}

// members appends members of n to list, until it has so many.
func (n *node) members(list []ID, most int) []ID {
	if n.kids == nil {
		return append(list, n.ids[:min(len(n.ids), max(0, most-len(list)))]...)
	}
	for i := 0; i < kids && len(list) < most; i++ {
		list = n.kids[i].members(list, most)
	}
	return list
}

// kid returns what of n, which is so deep, has digit as the next one. Of a leaf it is made.
func (n *node) kid(depth, digit int) *node {
	if n.kids != nil {
		return &n.kids[digit]
	}
	k := &node{}
	for _, id := range n.ids {
		if id.digit(depth) == digit {
			k.ids = append(k.ids, id)
			k.n++
			k.sum.add(digest(id))
		}
	}
	return k
}

// at returns what begins with the digits of a prefix.
func (s *Set) at(p Prefix) *node {
	n := &s.root
	for depth := range int(p.Depth) {
		n = n.kid(depth, p.ID.digit(depth))
	}
	return n
}

// print returns the fingerprint of n in a conversation. The salt makes that two different sets that have one in common have another in the next.
func (n *node) print(salt uint64) uint64 {
	var data [8 + 32 + 8]byte
	binary.LittleEndian.PutUint64(data[:], salt)
	for i, w := range n.sum {
		binary.LittleEndian.PutUint64(data[8+8*i:], w)
	}
	binary.LittleEndian.PutUint64(data[40:], uint64(n.n))
	d := sha256.Sum256(data[:])
	return binary.LittleEndian.Uint64(d[:])
}
