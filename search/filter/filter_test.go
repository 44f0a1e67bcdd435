package filter

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"kith"
)

// Whatever the keys are, a filter has them, and is the same when it was sent.
func TestHas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := make([]Key, rapid.IntRange(0, 3000).Draw(t, "n"))
		first, crowd := Key(rapid.Uint64().Draw(t, "first")), rapid.IntRange(0, 60).Draw(t, "crowd")
		for i := range keys {
			keys[i] = mix(first+Key(i)) >> crowd // few buckets, if crowd is large
		}
		f, err := New(append([]Key{}, keys...))
		if err != nil {
			t.Fatal(err)
		}
		data := f.Append(nil)
		g, err := Parse(data)
		if err != nil || !bytes.Equal(g.Append(nil), data) || f.Size() != len(data) {
			t.Fatalf("%d keys, %d bytes: %v", f.Len(), len(data), err)
		}
		for _, k := range keys {
			if !f.Has(k) || !g.Has(k) {
				t.Fatalf("%x is not there", k)
			}
		}
	})
}

// A filter has 10 bits for each key, and one false answer in 256.
func TestFalse(t *testing.T) {
	const n, tries = 50_000, 200_000
	keys := make([]Key, n)
	for i := range keys {
		keys[i] = mix(Key(i))
	}
	f, err := New(keys)
	if err != nil {
		t.Fatal(err)
	}
	wrong := 0
	for i := range Key(tries) {
		if f.Has(mix(n + i)) {
			wrong++
		}
	}
	size := 8 * float64(f.Size()) / n
	t.Logf("%.2f bits a key, one false answer in %.0f", size, tries/float64(wrong))
	if size > 10.01 || wrong > tries*11/10/FalseOnes || wrong < tries*9/10/FalseOnes {
		t.Errorf("%.2f bits a key, %d of %d answers are false", size, wrong, tries)
	}
}

func TestTooLarge(t *testing.T) {
	keys := make([]Key, MaxKeys+1)
	for i := range keys {
		keys[i] = mix(Key(i))
	}
	if _, err := New(keys); !errors.Is(err, kith.TooLarge) || kith.HintOf(err) == "" {
		t.Error(err)
	}
	if f, err := New(keys[1:]); err != nil || f.Size() > MaxSize {
		t.Error(err)
	}
	if _, err := Parse([]byte{version, 0xff, 0xff, 0xff, 0x7f}); !errors.Is(err, kith.TooLarge) {
		t.Error(err)
	}
}

func names(t *testing.T, names ...[]string) *Filter {
	var keys []Key
	for _, words := range names {
		var terms []Key
		for _, w := range words {
			terms = append(terms, Term(w))
		}
		keys = Name(keys, terms)
	}
	f, err := New(keys)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFit(t *testing.T) {
	f := names(t, []string{"kind", "of", "blue"}, []string{"birth", "of", "cool"})
	for _, x := range []struct {
		words [][]string
		want  Fit
	}{
		{nil, Unfit},
		{[][]string{{"blue"}}, Together},
		{[][]string{{"blue"}, {"kind"}}, Together},
		{[][]string{{"blue"}, {"cool"}}, Apart},
		{[][]string{{"blue"}, {"red"}}, Unfit},
		{[][]string{{"red", "blue"}, {"kind"}}, Together},
		{[][]string{{"cool", "blue"}, {"kind"}}, Together},
		{[][]string{{"blue"}, {"blue"}}, Together},
		{[][]string{{}}, Unfit},
	} {
		var s Sought
		for _, any := range x.words {
			var keys []Key
			for _, w := range any {
				keys = append(keys, Term(w))
			}
			s = append(s, keys)
		}
		if got := f.Fit(s); got != x.want {
			t.Errorf("%q: %d, want %d", x.words, got, x.want)
		}
	}
	if (&Filter{}).Fit(Sought{{Term("blue")}}) != Unfit {
		t.Error("what is empty has blue")
	}
}

// FuzzParse: what is read is what would be written, and answers.
func FuzzParse(f *testing.F) {
	for _, n := range []int{0, 1, 3, 4, 5, 63, 64, 65, 200} {
		keys := make([]Key, n)
		for i := range keys {
			keys[i] = mix(Key(i))
		}
		x, err := New(keys)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(x.Append(nil))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		x, err := Parse(data)
		if err != nil {
			return
		}
		if !bytes.Equal(x.Append(nil), data) {
			t.Fatal("written otherwise")
		}
		for i := range Key(300) {
			x.Has(mix(i))
		}
		x.Has(^Key(0))
	})
}

func BenchmarkFit(b *testing.B) {
	keys := make([]Key, 1500)
	for i := range keys {
		keys[i] = mix(Key(i))
	}
	f, _ := New(keys)
	s := Sought{{mix(1)}, {mix(2)}, {mix(3)}}
	for b.Loop() {
		f.Fit(s)
	}
}
