// Package bao keeps BLAKE3 hash trees, so that any part of a blob can be checked alone.
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

// Hash returns the digest of data.
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
