package bao

import (
	"errors"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"kith"
)

// TestBitsAgainstModel runs random changes against a map, and compares everything that a Bits tells.
func TestBitsAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(0, 300).Draw(t, "n")
		b, model := NewBits(n), map[int64]bool{}
		for range rapid.IntRange(0, 12).Draw(t, "steps") {
			r := Range{First: rapid.Int64Range(0, 310).Draw(t, "first"), N: rapid.Int64Range(0, 130).Draw(t, "n")}
			set := rapid.Bool().Draw(t, "set")
			for i := r.First; i < min(r.First+r.N, n); i++ {
				model[i] = set
			}
			if set {
				b.Set(r)
			} else {
				b.Clear(r)
			}
		}
		var want []int64
		for i := range n {
			if b.Get(i) != model[i] {
				t.Fatalf("group %d: %v, want %v", i, b.Get(i), model[i])
			}
			if model[i] {
				want = append(want, i)
			}
		}
		var got []int64
		end := int64(-1)
		for r := range b.Ranges() {
			if r.N <= 0 || r.First <= end {
				t.Fatalf("run %v after %d: runs must be in order, with gaps", r, end)
			}
			end = r.First + r.N
			for i := r.First; i < end; i++ {
				got = append(got, i)
			}
		}
		if !slices.Equal(got, want) || b.Count() != int64(len(want)) || b.All() != (int64(len(want)) == n) {
			t.Fatalf("ranges %v, count %d, all %v; want %v of %d", got, b.Count(), b.All(), want, n)
		}
		code := b.Encode()
		if int64(len(code)) > 1+(n+7)/8 {
			t.Errorf("%d bytes for %d groups", len(code), n)
		}
		back, err := DecodeBits(code, n)
		if err != nil || !slices.Equal(back.words, b.words) {
			t.Fatalf("decoded %v, %v; want %v", back, err, b)
		}
	})
}

func TestBitsRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		data []byte
		n    int64
	}{
		"empty":         {nil, 8},
		"unknown form":  {[]byte{2, 1}, 8},
		"too long":      {[]byte{0, 0, 9}, 8},
		"overflow":      {[]byte{0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, 8},
		"cut varint":    {[]byte{0, 0x80}, 8},
		"empty run":     {[]byte{0, 1, 0}, 8},
		"packed short":  {[]byte{1}, 8},
		"packed behind": {[]byte{1, 0x10}, 4},
		"absurd":        {[]byte{0}, math.MaxInt64},
		"negative":      {[]byte{0}, -1},
	} {
		if _, err := DecodeBits(c.data, c.n); !errors.Is(err, kith.Corrupt) {
			t.Errorf("%s: %v, want Corrupt", name, err)
		}
	}
}

func FuzzDecodeBits(f *testing.F) {
	b := NewBits(100)
	f.Add(b.Encode(), int64(100))
	b.Set(Range{First: 3, N: 90})
	f.Add(b.Encode(), int64(100))
	for i := int64(0); i < 100; i += 2 {
		b.Clear(Range{First: i, N: 1})
	}
	f.Add(b.Encode(), int64(100))
	f.Fuzz(func(t *testing.T, data []byte, n int64) {
		if n > 1<<20 {
			return // memory, not meaning
		}
		b, err := DecodeBits(data, n)
		if err != nil {
			return
		}
		again, err := DecodeBits(b.Encode(), n)
		if err != nil || !slices.Equal(again.words, b.words) || b.Count() > n {
			t.Errorf("%x: %v, %v", data, b, err)
		}
	})
}
