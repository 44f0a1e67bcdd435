package kbr_test

import (
	"errors"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"kith"
	"kith/overlay/kbr"
)

func number(id kbr.ID) *big.Int {
	b := id.Bytes()
	return new(big.Int).SetBytes(b[:])
}

var (
	whole = new(big.Int).Lsh(big.NewInt(1), kbr.Bits)
	// place draws IDs among which equal ones and carries are not rare.
	place = rapid.Custom(func(t *rapid.T) kbr.ID {
		return kbr.FromBytes([20]byte(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 0x7f, 0x80, 0xff}), 20, 20).Draw(t, "id")))
	})
)

func TestArithmetic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := place.Draw(t, "a"), place.Draw(t, "b")
		sum := new(big.Int).Add(number(a), number(b))
		if got, want := number(a.Add(b)), sum.Mod(sum, whole); got.Cmp(want) != 0 {
			t.Errorf("%v + %v is %x, want %x", a, b, got, want)
		}
		diff := new(big.Int).Sub(number(a), number(b))
		if got, want := number(a.Sub(b)), diff.Mod(diff, whole); got.Cmp(want) != 0 {
			t.Errorf("%v - %v is %x, want %x", a, b, got, want)
		}
		if got, want := a.Compare(b), number(a).Cmp(number(b)); got != want || a.Less(b) != (want < 0) {
			t.Errorf("%v against %v is %d, want %d", a, b, got, want)
		}
	})
	for k := range kbr.Bits {
		if got, want := number(kbr.Power(k)), new(big.Int).Lsh(big.NewInt(1), uint(k)); got.Cmp(want) != 0 {
			t.Errorf("2^%d is %x", k, got)
		}
	}
}

// Between is what distances say: x is nearer to a, clockwise, than b is, and is not a. From a to a it is a whole turn.
func TestBetween(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, x, b := place.Draw(t, "a"), place.Draw(t, "x"), place.Draw(t, "b")
		want := x != a && (a == b || x.Sub(a).Compare(b.Sub(a)) < 0)
		if got := kbr.Between(a, x, b); got != want {
			t.Errorf("%v between %v and %v: %v", x, a, b, got)
		}
		if got := kbr.Follows(a, x, b); got != (want || x == b) {
			t.Errorf("%v follows %v from %v: %v", b, x, a, got)
		}
	})
}

func TestParse(t *testing.T) {
	id := kbr.Hash([]byte("kith"))
	if got, err := kbr.ParseID(id.String()); err != nil || got != id {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "12", id.String() + "00", id.String()[1:] + "g"} {
		if _, err := kbr.ParseID(bad); !errors.Is(err, kith.Invalid) || kith.HintOf(err) == "" {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// The time to wait covers round trips that differ, and comes back down when they do not.
func TestRTT(t *testing.T) {
	var r kbr.RTT
	if r.Wait() != 3*kbr.Second {
		t.Errorf("nothing was measured, and it waits %d", r.Wait())
	}
	for i := range 100 {
		r.Measure(kbr.Ticks(20+i*73%260) * kbr.Millisecond)
	}
	if w := r.Wait(); w < 280*kbr.Millisecond || w > 800*kbr.Millisecond {
		t.Errorf("round trips of 20 to 280 ms, and it waits %d us", w)
	}
	for range 100 {
		r.Measure(50 * kbr.Millisecond)
	}
	if w := r.Wait(); w < 140*kbr.Millisecond || w > 160*kbr.Millisecond {
		t.Errorf("round trips of 50 ms, and it waits %d us", w)
	}
}
