package sim

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"kith/overlay/kbr"
)

// A wheel gives what a sorted list would: the earliest first, and those at the same time in the order in which they were done.
func TestWheelIsASortedQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w wheel
		type entry struct {
			at  kbr.Ticks
			tag kbr.Tag
		}
		var model []entry
		tag := kbr.Tag(0)
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				d := kbr.Ticks(rapid.Uint64Range(0, 1<<rapid.IntRange(0, 40).Draw(t, "bits")).Draw(t, "delay"))
				if rapid.Bool().Draw(t, "same time as another") && len(model) > 0 {
					d = model[rapid.IntRange(0, len(model)-1).Draw(t, "which")].at - w.now
				}
				tag++
				w.put(event{at: w.now + d, tag: tag, turn: uint32(tag)})
				model = append(model, entry{w.now + d, tag})
				slices.SortStableFunc(model, func(a, b entry) int { return int(a.at - b.at) })
			},
			"take": func(t *rapid.T) {
				until := w.now + kbr.Ticks(rapid.Uint64Range(0, 1<<rapid.IntRange(0, 40).Draw(t, "bits")).Draw(t, "time"))
				for {
					e, ok := w.take(until)
					if want := len(model) > 0 && model[0].at <= until; ok != want {
						t.Fatalf("took %v, want %v", ok, want)
					}
					if !ok {
						w.advance(until)
						return
					}
					if e.at != model[0].at || e.tag != model[0].tag || w.now != e.at {
						t.Fatalf("took %d at %d, want %v", e.tag, e.at, model[0])
					}
					model = model[1:]
				}
			},
		})
	})
}

func TestSpread(t *testing.T) {
	if s := spread(nil); s != (Spread{}) {
		t.Errorf("of nothing: %+v", s)
	}
	var v []float64
	for i := range 100 {
		v = append(v, float64(100-i))
	}
	if s := spread(v); s != (Spread{Mean: 50.5, P1: 1, P10: 10, P50: 50, P90: 90, P99: 99, Max: 100}) {
		t.Errorf("of 1 to 100: %+v", s)
	}
}
