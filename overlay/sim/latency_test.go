package sim

import (
	"math"
	"testing"

	"kith/overlay/kbr"
)

// The matrix that is drawn has the statistics that are published of the one that was measured, and is the same from both ends.
func TestKing(t *testing.T) {
	k := NewKing()
	for seed := range uint64(3) {
		n := &Net{o: Options{Seed: seed}}
		var rtts []float64
		for a := kbr.Node(1); a <= 1024; a++ {
			for b := a + 1; b <= 1024; b += 3 {
				there, back := k.Between(n, a, b), k.Between(n, b, a)
				if there != back {
					t.Fatalf("%d from %d to %d, %d back", there, a, b, back)
				}
				rtts = append(rtts, float64(there+back)/float64(kbr.Millisecond))
			}
		}
		s := spread(rtts)
		t.Logf("seed %d: median %.1f ms, mean %.1f ms, 10th percentile %.0f, 90th %.0f, 99th %.0f, most %.0f", seed, s.P50, s.Mean, s.P10, s.P90, s.P99, s.Max)
		if math.Abs(s.P50/156-1) > 0.03 || math.Abs(s.Mean/178-1) > 0.03 {
			t.Errorf("seed %d: median %.1f ms and mean %.1f ms; published 156 and 178", seed, s.P50, s.Mean)
		}
		if same := k.Between(n, 5, 5+kingHosts); same != leastLatency {
			t.Errorf("two nodes of one host are %d apart", same)
		}
	}
}

// Who is near to one and the same host is near to each other, as far as lines allow.
func TestKingIsAPlace(t *testing.T) {
	k, n := NewKing(), &Net{}
	var near, all float64
	count := 0
	for a := kbr.Node(1); a < 80; a++ {
		for b := kbr.Node(1); b < 80; b++ {
			for c := kbr.Node(1); c < b; c++ {
				all += float64(k.Between(n, b, c))
				if a != b && a != c && k.Between(n, a, b) < 35*kbr.Millisecond && k.Between(n, a, c) < 35*kbr.Millisecond {
					near += float64(k.Between(n, b, c))
					count++
				}
			}
		}
	}
	all /= 79 * 79 * 78 / 2
	if near /= float64(count); count < 100 || near > 0.75*all {
		t.Errorf("neighbours of one host are %.0f µs apart, any two %.0f (%d pairs)", near, all, count)
	}
}

func TestTransitStub(t *testing.T) {
	m, n := NewTransitStub(), &Net{}
	seen := map[kbr.Ticks]int{}
	for a := kbr.Node(1); a <= 500; a++ {
		for b := a + 1; b <= 500; b++ {
			d := m.Between(n, a, b)
			if d != m.Between(n, b, a) {
				t.Fatalf("%d from %d to %d, %d back", d, a, b, m.Between(n, b, a))
			}
			seen[d/kbr.Millisecond]++
		}
	}
	t.Logf("milliseconds, and pairs: %v", seen)
	for d, pairs := range seen {
		if d != 1 && (d < 42 || d > 42+8*50 || (d-42)%50 != 0) {
			t.Errorf("%d pairs are %d ms apart", pairs, d)
		}
	}
	if seen[1] == 0 || seen[42] == 0 || seen[92] < seen[42] {
		t.Errorf("milliseconds, and pairs: %v", seen)
	}
}
