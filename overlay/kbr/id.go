package kbr

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"

	"kith"
)

// Bits is the length of an ID: that of SHA-1, as in the papers of Chord and Kademlia.
const Bits = 160

const idSize = Bits / 8

// An ID is a place on a ring of 2^160 places: that of a node, or of a key. IDs are compared a hundred million times in a large simulation, so they are kept in words
// and not in bytes.
type ID struct {
	hi, mid uint64
	lo      uint32
}

// FromBytes returns the ID that Bytes gives.
func FromBytes(b [idSize]byte) ID {
	return ID{binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint32(b[16:])}
}

// Bytes returns the ID, big-endian.
func (a ID) Bytes() (b [idSize]byte) {
	binary.BigEndian.PutUint64(b[:], a.hi)
	binary.BigEndian.PutUint64(b[8:], a.mid)
	binary.BigEndian.PutUint32(b[16:], a.lo)
	return b
}

// Hash returns where data has its place: the first 160 bits of its SHA2-256.
func Hash(data []byte) ID {
	sum := sha256.Sum256(data)
	return FromBytes([idSize]byte(sum[:]))
}

// ParseID reads an ID as String writes it. Its error is Invalid.
func ParseID(s string) (ID, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != idSize {
		return ID{}, kith.Hint(fmt.Errorf("kbr: %q is no key: %w", s, kith.Invalid), "a key has %d hexadecimal digits", 2*idSize)
	}
	return FromBytes([idSize]byte(b)), nil
}

// Power returns 2^k, for k from 0 to 159.
func Power(k int) (id ID) {
	switch {
	case k < 32:
		id.lo = 1 << k
	case k < 96:
		id.mid = 1 << (k - 32)
	default:
		id.hi = 1 << (k - 96)
	}
	return id
}

// Add returns a+b modulo 2^160.
func (a ID) Add(b ID) ID {
	lo, carry := bits.Add32(a.lo, b.lo, 0)
	mid, carry64 := bits.Add64(a.mid, b.mid, uint64(carry))
	hi, _ := bits.Add64(a.hi, b.hi, carry64)
	return ID{hi, mid, lo}
}

// Sub returns a-b modulo 2^160: how far it is, clockwise, from b to a.
func (a ID) Sub(b ID) ID {
	lo, borrow := bits.Sub32(a.lo, b.lo, 0)
	mid, borrow64 := bits.Sub64(a.mid, b.mid, uint64(borrow))
	hi, _ := bits.Sub64(a.hi, b.hi, borrow64)
	return ID{hi, mid, lo}
}

// Scale returns a*by/of, or the greatest ID if that is more; of is not 0.
func (a ID) Scale(by, of uint32) ID {
	lo := uint64(a.lo) * uint64(by)
	up, mid := bits.Mul64(a.mid, uint64(by))
	mid, carry := bits.Add64(mid, lo>>32, 0)
	top, hi := bits.Mul64(a.hi, uint64(by))
	hi, carry = bits.Add64(hi, up+carry, 0)
	if top += carry; top >= uint64(of) {
		return ID{}.Sub(ID{lo: 1})
	}
	var q ID
	var rest uint64
	q.hi, rest = bits.Div64(top, hi, uint64(of))
	q.mid, rest = bits.Div64(rest, mid, uint64(of))
	q.lo = uint32((rest<<32 | lo&0xffffffff) / uint64(of))
	return q
}

// Xor returns how far it is from a to b as Kademlia counts.
func (a ID) Xor(b ID) ID { return ID{a.hi ^ b.hi, a.mid ^ b.mid, a.lo ^ b.lo} }

// Zeros returns how many bits are 0 before the first that is 1; of a Xor b that is how long a prefix they share.
func (a ID) Zeros() int {
	switch {
	case a.hi != 0:
		return bits.LeadingZeros64(a.hi)
	case a.mid != 0:
		return 64 + bits.LeadingZeros64(a.mid)
	}
	return 128 + bits.LeadingZeros32(a.lo)
}

// Bit reports whether the i-th bit is 1; the first is 0.
func (a ID) Bit(i int) bool {
	switch {
	case i < 64:
		return a.hi>>(63-i)&1 != 0
	case i < 128:
		return a.mid>>(127-i)&1 != 0
	}
	return a.lo>>(159-i)&1 != 0
}

// Less reports whether a is less than b, as numbers.
func (a ID) Less(b ID) bool {
	if a.hi != b.hi {
		return a.hi < b.hi
	}
	if a.mid != b.mid {
		return a.mid < b.mid
	}
	return a.lo < b.lo
}

// Compare is -1, 0 or 1 as a is less than, equal to or greater than b, as numbers.
func (a ID) Compare(b ID) int {
	switch {
	case a.hi != b.hi:
		return cmp.Compare(a.hi, b.hi)
	case a.mid != b.mid:
		return cmp.Compare(a.mid, b.mid)
	}
	return cmp.Compare(a.lo, b.lo)
}

// String returns the ID in hexadecimal.
func (a ID) String() string {
	b := a.Bytes()
	return hex.EncodeToString(b[:])
}

// Between reports whether x lies on the way clockwise from a to b, neither of them included. From a to a the way is the whole ring.
func Between(a, x, b ID) bool {
	if a.Less(b) {
		return a.Less(x) && x.Less(b)
	}
	return a.Less(x) || x.Less(b)
}

// Follows reports whether x lies on the way clockwise from a to b, b included: whether b comes next after x where there is nobody between a and b.
func Follows(a, x, b ID) bool { return x == b || Between(a, x, b) }
