package kbr

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"

	"kith"
)

// Bits is the length of an ID, that of Chord's, Pastry's and Kademlia's papers up to a factor.
const Bits = 160

// An ID is a place on a ring of 2^160 places, big-endian: that of a node, or of a key.
type ID [Bits / 8]byte

// Hash returns where data has its place: the first 160 bits of its SHA2-256.
func Hash(data []byte) (id ID) {
	sum := sha256.Sum256(data)
	copy(id[:], sum[:])
	return id
}

// ParseID reads an ID as String writes it. Its error is Invalid.
func ParseID(s string) (id ID, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(id) {
		return id, kith.Hint(fmt.Errorf("kbr: %q is no key: %w", s, kith.Invalid), "a key has %d hexadecimal digits", 2*len(id))
	}
	return ID(b), nil
}

// Power returns 2^k, for k from 0 to 159.
func Power(k int) (id ID) {
	id[len(id)-1-k/8] = 1 << (k % 8)
	return id
}

func (a ID) words() (hi, mid, lo uint64) {
	return binary.BigEndian.Uint64(a[:]), binary.BigEndian.Uint64(a[8:]), uint64(binary.BigEndian.Uint32(a[16:]))
}

func fromWords(hi, mid, lo uint64) (id ID) {
	binary.BigEndian.PutUint64(id[:], hi)
	binary.BigEndian.PutUint64(id[8:], mid)
	binary.BigEndian.PutUint32(id[16:], uint32(lo))
	return id
}

// Add returns a+b modulo 2^160.
func (a ID) Add(b ID) ID {
	ah, am, al := a.words()
	bh, bm, bl := b.words()
	lo := al + bl
	mid, carry := bits.Add64(am, bm, lo>>32)
	hi, _ := bits.Add64(ah, bh, carry)
	return fromWords(hi, mid, lo)
}

// Sub returns a-b modulo 2^160: how far it is, clockwise, from b to a.
func (a ID) Sub(b ID) ID {
	ah, am, al := a.words()
	bh, bm, bl := b.words()
	lo := al - bl
	mid, borrow := bits.Sub64(am, bm, lo>>63)
	hi, _ := bits.Sub64(ah, bh, borrow)
	return fromWords(hi, mid, lo)
}

// Compare is -1, 0 or 1 as a is less than, equal to or greater than b, as numbers.
func (a ID) Compare(b ID) int { return bytes.Compare(a[:], b[:]) }

// String returns the ID in hexadecimal.
func (a ID) String() string { return hex.EncodeToString(a[:]) }

// Between reports whether x lies on the way clockwise from a to b, neither of them included. From a to a the way is the whole ring.
func Between(a, x, b ID) bool {
	if a.Compare(b) < 0 {
		return a.Compare(x) < 0 && x.Compare(b) < 0
	}
	return a.Compare(x) < 0 || x.Compare(b) < 0
}

// Follows reports whether x lies on the way clockwise from a to b, b included: whether b comes next after x where there is nobody between a and b.
func Follows(a, x, b ID) bool { return x == b || Between(a, x, b) }
