package bao

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math/bits"
	"slices"

	"kith"
)

const maxBits = 1 << 30 // groups of a set that is decoded: a blob of 16 TiB

// Bits is a set of groups of one blob. Copies share the set; it may not be changed while others use it.
type Bits struct {
	n     int64
	words []uint64
}

// NewBits returns the empty set of groups 0 to n-1.
func NewBits(n int64) Bits { return Bits{n, make([]uint64, (n+63)/64)} }

// Len returns how many groups there are, in the set or not.
func (b Bits) Len() int64 { return b.n }

// Get reports whether group i is in the set.
func (b Bits) Get(i int64) bool {
	return i >= 0 && i < b.n && b.words[i/64]>>(i%64)&1 == 1
}

// Set adds the groups r, as far as they exist.
func (b Bits) Set(r Range) {
	b.each(r, func(word *uint64, mask uint64) { *word |= mask })
}

// Clear removes the groups r.
func (b Bits) Clear(r Range) {
	b.each(r, func(word *uint64, mask uint64) { *word &^= mask })
}

// each calls f for every word that r touches, with the bits of r in it.
func (b Bits) each(r Range, f func(word *uint64, mask uint64)) {
	first, end := max(r.First, 0), b.n
	if r.N < b.n-r.First { // so that First+N cannot overflow
		end = r.First + r.N
	}
	for i := first; i < end; {
		n := min(64-i%64, end-i)
		f(&b.words[i/64], ^uint64(0)>>(64-n)<<(i%64))
		i += n
	}
}

// Count returns how many groups are in the set.
func (b Bits) Count() int64 {
	n := 0
	for _, w := range b.words {
		n += bits.OnesCount64(w)
	}
	return int64(n)
}

// All reports whether all groups are in the set.
func (b Bits) All() bool { return b.Next(0, false) == b.n }

// Next returns the first group from i on that is in the set (or, if !in, is not), or Len.
func (b Bits) Next(i int64, in bool) int64 {
	for i < b.n {
		w := b.words[i/64]
		if !in {
			w = ^w
		}
		if w >>= i % 64; w != 0 {
			return min(i+int64(bits.TrailingZeros64(w)), b.n)
		}
		i += 64 - i%64
	}
	return b.n
}

// Ranges yields the runs of groups that are in the set, in order.
func (b Bits) Ranges() iter.Seq[Range] {
	return func(yield func(Range) bool) {
		for first := b.Next(0, true); first < b.n; {
			end := b.Next(first, false)
			if !yield(Range{First: first, N: end - first}) {
				return
			}
			first = b.Next(end, true)
		}
	}
}

// Clone returns a copy that shares nothing.
func (b Bits) Clone() Bits { return Bits{b.n, slices.Clone(b.words)} }

// The two forms of an encoded set; the first byte says which it is.
const (
	formRuns   = 0 // uvarints: how many groups are not in the set, then how many are, and so on; what is left at the end is not
	formPacked = 1 // one bit for each group, the lowest of a byte first
)

// Encode returns the set as bytes: run lengths, or one bit for each group if that is shorter.
func (b Bits) Encode() []byte {
	packed := 1 + (b.n+7)/8
	runs := []byte{formRuns}
	var end int64
	for r := range b.Ranges() {
		runs = binary.AppendUvarint(runs, uint64(r.First-end))
		runs = binary.AppendUvarint(runs, uint64(r.N))
		if end = r.First + r.N; int64(len(runs)) > packed {
			return b.pack(packed)
		}
	}
	return runs
}

func (b Bits) pack(size int64) []byte {
	out := make([]byte, 1, size+8)
	out[0] = formPacked
	for _, w := range b.words {
		out = binary.LittleEndian.AppendUint64(out, w)
	}
	return out[:size]
}

// DecodeBits reads what Encode wrote for a set of n groups. It takes no more memory than n bits. Errors: Corrupt.
func DecodeBits(data []byte, n int64) (Bits, error) {
	if n < 0 || n > maxBits {
		return Bits{}, fmt.Errorf("bao: decode bits: %d groups: %w", n, kith.Corrupt)
	}
	b, err := decodeBits(data, n)
	if err != nil {
		return Bits{}, fmt.Errorf("bao: decode bits: %w", err)
	}
	return b, nil
}

func decodeBits(data []byte, n int64) (Bits, error) {
	if len(data) == 0 {
		return Bits{}, fmt.Errorf("nothing: %w", kith.Corrupt)
	}
	form, data := data[0], data[1:]
	switch form {
	case formPacked:
		return unpack(data, n)
	case formRuns:
		b := NewBits(n)
		var at uint64
		for in := false; len(data) > 0; in = !in {
			run, size := binary.Uvarint(data)
			if size <= 0 || run > uint64(n)-at || run == 0 && (in || at > 0) {
				return Bits{}, fmt.Errorf("a run that cannot be: %w", kith.Corrupt)
			}
			if in {
				b.Set(Range{First: int64(at), N: int64(run)})
			}
			at, data = at+run, data[size:]
		}
		return b, nil
	}
	return Bits{}, fmt.Errorf("form %d is not known: %w", form, kith.Corrupt)
}

func unpack(data []byte, n int64) (Bits, error) {
	if int64(len(data)) != (n+7)/8 {
		return Bits{}, fmt.Errorf("%d bytes for %d groups: %w", len(data), n, kith.Corrupt)
	}
	b := NewBits(n)
	for i, c := range data {
		b.words[i/8] |= uint64(c) << (i % 8 * 8)
	}
	if n%64 != 0 && b.words[n/64]>>(n%64) != 0 {
		return Bits{}, fmt.Errorf("groups behind the end: %w", kith.Corrupt)
	}
	return b, nil
}
