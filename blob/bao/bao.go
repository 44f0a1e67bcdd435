// Package bao keeps the BLAKE3 hash tree of a blob, so that any 16 KiB of it can be checked alone, by whoever knows the
// root.
//
// BLAKE3 is a tree of hashes by nature: its digest is the root. This package keeps the tree down to groups of 16 KiB,
// beside the blob ("outboard"), at 1/256 of its size. A node that has the blob sends groups, and with them the parents
// on the way from the root ([Tree.Proof]); one that fetches checks the parents first ([Tree.AddProof]) and then each
// group as it comes ([Tree.Verify]). So a wrong byte is found within 16 KiB, it is clear who sent it, and what was
// fetched can be served on before the rest is there.
//
// It is not a store, and not a protocol: it does not know where blobs are or who has them; which groups are there, others say with [Bits]. Its
// one idea is that a tree has its place for every parent from the start. A complete tree and one that has only begun to
// come are the same file; what is zero in it is not known yet. (A parent that is truly zero would be a preimage of a
// chosen digest.)
//
// # The tree
//
// The parents are in pre-order: the root first, then all of the left subtree, then all of the right one. A subtree of n
// groups has n-1 parents, without a gap. A parent is 64 bytes: the chaining values of its left and right child, 32
// bytes each. The left subtree of n groups has as many as the largest power of two below n. This is the outboard format
// of Bao (github.com/oconnor663/bao, docs/spec.md) with groups of 2^4 chunks, without its 8 bytes of length in front.
//
// # What a proof proves
//
// A proof of groups has every parent that covers one of them, from the root on, in pre-order. Its length follows from
// the size of the blob and the range ([ProofSize]), so a peer cannot make it longer. Nothing that does not lead to the
// root is ever kept.
//
// The size of a blob is a claim at first. It is proven together with the last group: a tree of another size has another
// shape at its right edge, and BLAKE3 hashes leaves, parents and the root each in their own way. So once the last group
// has passed [Tree.Verify], the size is as sure as the digest; until then, the groups before it are sure and the size
// is not.
//
// After a crash of the machine, a tree on disk may have lost parents that were not synced, or have torn ones. The
// former are asked for again. The latter make good data look wrong, until AddProof is called again for its range: it
// starts from the root every time, trusts nothing in the storage, and writes all anew.
package bao

import (
	"encoding/binary"
	"math/bits"
	"sync"

	"lukechampine.com/blake3/guts"
)

const (
	// GroupSize is the number of bytes that one leaf of the tree covers: 16 KiB, that is 16 BLAKE3 chunks.
	// The last group of a blob may be shorter, and is empty for an empty blob.
	GroupSize = 16 << 10

	parentSize = 64 // bytes of a parent: two chaining values
	cvSize     = 32
)

// A Sum is a BLAKE3-256 digest: the root of a tree.
type Sum = [32]byte

// A Range is the groups [First, First+N).
type Range struct{ First, N int64 }

// Groups returns how many groups size bytes make: at least 1.
func Groups(size int64) int64 {
	if size <= 0 {
		return 1
	}
	return (size-1)/GroupSize + 1
}

// OutboardSize returns the bytes of the tree of a blob of size bytes: one parent of 64 bytes less than it has groups.
func OutboardSize(size int64) int64 { return parentSize * (Groups(size) - 1) }

// Hash returns the digest of data. It works on one core; Build is for what is large.
func Hash(data []byte) Sum {
	if len(data) <= GroupSize {
		return toBytes(hashGroup(data, 0, guts.FlagRoot))
	}
	return toBytes(hashTree(data, 0, guts.FlagRoot))
}

// hashTree hashes more than one group, the first of which has the given number.
func hashTree(data []byte, group int64, flags uint32) cv {
	if len(data) <= GroupSize {
		return hashGroup(data, group, flags)
	}
	left := split(Groups(int64(len(data))))
	l := hashTree(data[:left*GroupSize], group, 0)
	r := hashTree(data[left*GroupSize:], group+left, 0)
	return guts.ChainingValue(guts.ParentNode(l, r, &guts.IV, flags))
}

// A cv is a chaining value: the digest of a subtree.
type cv = [8]uint32

type groupBuffer = [GroupSize]byte

// groupBuffers holds room for groups that are short: the vector code reads a full group, whatever its length.
var groupBuffers = sync.Pool{New: func() any { return new(groupBuffer) }}

// hashGroup returns the chaining value of the group with the given number.
func hashGroup(data []byte, group int64, flags uint32) cv {
	if len(data) == GroupSize {
		return compressGroup((*groupBuffer)(data), GroupSize, group, flags)
	}
	buf := groupBuffers.Get().(*groupBuffer)
	defer groupBuffers.Put(buf)
	return compressGroup(buf, copy(buf[:], data), group, flags)
}

func compressGroup(buf *groupBuffer, n int, group int64, flags uint32) cv {
	node := guts.CompressBuffer(buf, n, &guts.IV, uint64(group)*guts.MaxSIMD, 0)
	node.Flags |= flags
	return guts.ChainingValue(node)
}

func toBytes(v cv) (b Sum) {
	for i, w := range v {
		binary.LittleEndian.PutUint32(b[4*i:], w)
	}
	return b
}

func toCV(b []byte) (v cv) {
	_ = b[cvSize-1]
	for i := range v {
		v[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return v
}

// split returns how many of n groups, n > 1, are in the left subtree: the largest power of two below n.
func split(n int64) int64 { return 1 << (bits.Len64(uint64(n-1)) - 1) }
