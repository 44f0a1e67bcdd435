// Package filter says which words stand in what a node shares, in so few bytes that every node of a shard can keep that of every other, and ask only those that can
// have what is looked for (PlanetP: Cuenca-Acuna, Peery, Martin, Nguyen, HPDC 2003).
//
// It is no index: it knows no names and no order, and sometimes says yes where there is nothing. Its one idea: words that stand in one name are in it as pairs too, so that
// who has one word here and another there is not asked for both. A filter is a set of keys in Elias-Fano form, 10 bits for each, which is as many as a Bloom filter
// needs for twice as many false answers: of keys that are not in it, it holds one in [FalseOnes].
//
// It is pure: how filters come to others is not its business.
package filter

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"

	"kith"
)

// Limits.
const (
	MaxKeys = 1 << 17                   // of a filter
	MaxSize = 4 + 2*MaxKeys/8 + MaxKeys // bytes of a filter as it is sent, 160 kB

	// MaxPaired is how many terms of a name, the first ones, are in a filter as pairs too.
	MaxPaired = 12

	// FalseOnes: one in so many keys that nobody put in is said to be there.
	FalseOnes = 256
)

const version = 1

// A Key is the hash of a term, or of two.
type Key uint64

// Term returns the key of a term, as search/words makes them: the first eight bytes of its SHA-256.
func Term(term string) Key {
	sum := sha256.Sum256([]byte(term))
	return Key(binary.BigEndian.Uint64(sum[:]))
}

// Pair returns the key of two terms that stand in one name, in any order.
func Pair(a, b Key) Key { return mix(min(a, b) ^ mix(max(a, b))) }

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
func mix(x Key) Key {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Name appends to dst the keys of one name, whose terms are given: all of them, and the pairs of the first MaxPaired.
func Name(dst []Key, terms []Key) []Key {
	dst = append(dst, terms...)
	for i, a := range terms[:min(len(terms), MaxPaired)] {
		for _, b := range terms[:i] {
			dst = append(dst, Pair(a, b))
		}
	}
	return dst
}

// A Filter is the keys of a node. The zero Filter has none. Who only reads it may do so at once with others.
type Filter struct {
	n      int      // keys, and as many buckets
	high   []uint64 // for each bucket a one for each key in it, and a zero behind them
	low    []byte   // the lowest byte of each key, by bucket and size
	starts []uint32 // where in high the bucket begins, of every stride-th
}

const stride = 64 // buckets

// New returns the filter of keys, which it sorts. Its error is TooLarge.
func New(keys []Key) (*Filter, error) {
	slices.Sort(keys)
	keys = slices.Compact(keys)
	if len(keys) > MaxKeys {
		return nil, kith.Hint(fmt.Errorf("filter: %d words and pairs: %w", len(keys), kith.TooLarge), "at most %d", MaxKeys)
	}
	f := &Filter{n: len(keys)}
	slices.SortFunc(keys, func(a, b Key) int {
		return cmp.Or(cmp.Compare(f.bucket(a), f.bucket(b)), cmp.Compare(byte(a), byte(b)))
	})
	f.high, f.low = make([]uint64, (2*f.n+63)/64), make([]byte, f.n)
	for i, k := range keys {
		f.low[i] = byte(k)
		at := i + f.bucket(k)
		f.high[at/64] |= 1 << (at % 64)
	}
	f.index()
	return f, nil
}

// bucket returns in which bucket a key is.
func (f *Filter) bucket(k Key) int {
	b, _ := bits.Mul64(uint64(k), uint64(f.n))
	return int(b)
}

// index fills in starts.
func (f *Filter) index() {
	f.starts = make([]uint32, 0, f.n/stride+1)
	bucket := 0
	for at := range 2 * f.n {
		if at == 0 || f.high[(at-1)/64]>>((at-1)%64)&1 == 0 {
			if bucket%stride == 0 {
				f.starts = append(f.starts, uint32(at))
			}
			bucket++
		}
	}
}

// Len returns how many keys were put in.
func (f *Filter) Len() int { return f.n }

// Has reports whether k was put in; it may say so of one that was not.
func (f *Filter) Has(k Key) bool {
	if f.n == 0 {
		return false
	}
	bucket := f.bucket(k)
	at, skip := int(f.starts[bucket/stride]), bucket%stride
	for skip > 0 { // to behind the skip-th zero
		zeros := ^f.high[at/64] >> (at % 64)
		if count := bits.OnesCount64(zeros); count < skip {
			skip -= count
			at += 64 - at%64
			continue
		}
		for range skip - 1 {
			zeros &= zeros - 1
		}
		at += bits.TrailingZeros64(zeros) + 1
		break
	}
	for ; f.high[at/64]>>(at%64)&1 == 1; at++ {
		if f.low[at-bucket] == byte(k) {
			return true
		}
	}
	return false
}

// Sought is what is looked for: for each word the keys any of which will do, as its stems.
type Sought [][]Key

// A Fit is how well a filter fits what is looked for; a greater one is better.
type Fit uint8

// The fits.
const (
	Unfit    Fit = iota // a word is missing
	Apart               // all words are there, and nothing says that they stand together
	Together            // every two words stand in one name
)

// Fit returns how well f fits s. Nothing fits what has no words.
func (f *Filter) Fit(s Sought) Fit {
	for _, word := range s {
		if !slices.ContainsFunc(word, f.Has) {
			return Unfit
		}
	}
	if len(s) == 0 {
		return Unfit
	}
	for i := range s {
		for j := range i {
			if !f.pair(s[i], s[j]) {
				return Apart
			}
		}
	}
	return Together
}

func (f *Filter) pair(as, bs []Key) bool {
	for _, a := range as {
		for _, b := range bs {
			if a == b || f.Has(Pair(a, b)) {
				return true
			}
		}
	}
	return false
}

// Size returns how many bytes f has as it is sent.
func (f *Filter) Size() int {
	return 1 + len(binary.AppendUvarint(nil, uint64(f.n))) + (2*f.n+7)/8 + f.n
}

// Append appends f as it is sent: a byte of version, how many keys there are as a varint, high in as many bytes as it needs, little-endian, and low.
func (f *Filter) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(append(dst, version), uint64(f.n))
	end := len(dst) + (2*f.n+7)/8
	for _, word := range f.high {
		dst = binary.LittleEndian.AppendUint64(dst, word)
	}
	return append(dst[:end], f.low...)
}

// Parse reads what Append made. The same keys have one form only. Its errors are Invalid and TooLarge.
func Parse(data []byte) (*Filter, error) {
	bad := fmt.Errorf("filter: parse: %w", kith.Invalid)
	if len(data) < 2 || data[0] != version {
		return nil, bad
	}
	n, size := binary.Uvarint(data[1:])
	switch {
	case n > MaxKeys:
		return nil, fmt.Errorf("filter: parse %d keys: %w", n, kith.TooLarge)
	case size <= 0 || size > 1 && data[size] == 0:
		return nil, bad
	}
	f := &Filter{n: int(n)}
	high := data[1+size:]
	if len(high) != (2*f.n+7)/8+f.n {
		return nil, bad
	}
	high, f.low = high[:len(high)-f.n], slices.Clone(high[len(high)-f.n:])
	f.high = make([]uint64, (2*f.n+63)/64)
	ones := 0
	for i, b := range high {
		f.high[i/8] |= uint64(b) << (i % 8 * 8)
		ones += bits.OnesCount8(b)
	}
	if ones != f.n || f.n > 0 && (high[len(high)-1]>>((2*f.n-1)%8) != 0 || !f.sorted()) { // a zero is last, and what is behind it
		return nil, bad
	}
	f.index()
	return f, nil
}

// sorted reports whether the keys of each bucket are in order.
func (f *Filter) sorted() bool {
	i := 0
	for at := range 2*f.n - 1 {
		one, next := f.high[at/64]>>(at%64)&1 == 1, f.high[(at+1)/64]>>((at+1)%64)&1 == 1
		if one && next && f.low[i] > f.low[i+1] {
			return false
		}
		if one {
			i++
		}
	}
	return true
}
