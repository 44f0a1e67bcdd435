package book

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A device of the model: a book, and how far it has read the others.
type device struct {
	*Book
	by   [8]byte
	read map[int]uint64
}

func (d *device) entries() map[string]Entry {
	out := map[string]Entry{}
	list, _ := d.Since(0, MaxEntries)
	for _, e := range list {
		out[e.Key] = e.Entry
	}
	return out
}

// pull has d ask another once, as a runner does, for a page of that size; lost: the answer does not arrive; the same page may be asked for again.
func (d *device) pull(from *device, i, page int, lost bool) (more bool) {
	list, more := from.Since(d.read[i], page)
	if lost {
		return true
	}
	for _, e := range list {
		d.Merge(e.Entry)
		d.read[i] = e.Number
	}
	return more
}

// Devices decide, ask each other in any order, lose answers and are restarted; some have clocks that are off. In the end, once each has asked each until nothing is new, all have the
// same entries, and for each contact one of the last decisions, with what anybody saw before deciding never counting again.
func TestDevicesAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 4).Draw(t, "devices")
		var all []*device
		skew := make([]uint64, n)
		for i := range n {
			by := [8]byte{byte(i)}
			all = append(all, &device{New(by, nil), by, map[int]uint64{}})
			skew[i] = uint64(rapid.IntRange(0, 50).Draw(t, "skew"))
		}
		now := uint64(0)
		latest := map[string][]Entry{} // decisions that were overtaken by none that knew of them
		t.Repeat(map[string]func(*rapid.T){
			"decide": func(t *rapid.T) {
				now++
				i := rapid.IntRange(0, n-1).Draw(t, "device")
				key := rapid.SampledFrom([]string{"anna", "ben", "carla"}).Draw(t, "key")
				had, known := all[i].Get(key)
				kept, _, ok := all[i].Decide(Entry{Key: key, Gone: rapid.Bool().Draw(t, "gone"), Name: fmt.Sprint(now)}, now+skew[i])
				if !ok || known && kept.Stamp.Compare(had.Stamp) <= 0 {
					t.Fatalf("decided %+v after %+v", kept, had)
				}
				latest[key] = append(slices.DeleteFunc(latest[key], func(e Entry) bool { return known && e == had }), kept.Entry)
			},
			"pull": func(t *rapid.T) {
				i, j := rapid.IntRange(0, n-1).Draw(t, "asks"), rapid.IntRange(0, n-1).Draw(t, "is asked")
				all[i].pull(all[j], j, rapid.IntRange(1, 3).Draw(t, "page"), rapid.Bool().Draw(t, "lost"))
			},
			"restart": func(t *rapid.T) {
				i := rapid.IntRange(0, n-1).Draw(t, "device")
				kept, _ := all[i].Since(0, MaxEntries)
				all[i].Book = New(all[i].by, kept)
				if rapid.Bool().Draw(t, "forgets how far it read") {
					all[i].read = map[int]uint64{}
				}
			},
		})
		for range n {
			for _, d := range all {
				for j, from := range all {
					for d.pull(from, j, 2, false) {
					}
				}
			}
		}
		want := all[0].entries()
		for i, d := range all {
			if got := d.entries(); !maps.Equal(got, want) {
				t.Fatalf("device %d has %+v, device 0 %+v", i, got, want)
			}
		}
		for key, candidates := range latest {
			if !slices.Contains(candidates, want[key]) {
				t.Fatalf("%s: all have %+v, which was overtaken; last were %+v", key, want[key], candidates)
			}
		}
	})
}

func TestAFullBook(t *testing.T) {
	b := New([8]byte{1}, nil)
	for i := range MaxEntries {
		if _, dropped, ok := b.Decide(Entry{Key: fmt.Sprint(i), Gone: i == 7 || i == 9}, uint64(100+i)); !ok || dropped != "" {
			t.Fatalf("entry %d: %q, %v", i, dropped, ok)
		}
	}
	for i, want := range []string{"7", "9"} {
		if _, dropped, ok := b.Decide(Entry{Key: fmt.Sprintf("new %d", i)}, 1); !ok || dropped != want {
			t.Errorf("one more: %q made room, want %q; %v", dropped, want, ok)
		}
	}
	if _, _, ok := b.Decide(Entry{Key: "and another"}, 1); ok {
		t.Error("there was room")
	}
	if _, _, ok := b.Merge(Entry{Key: "0", Stamp: Stamp{Time: 1 << 50}}); !ok {
		t.Error("what is known cannot change")
	}
	if e, ok := b.Touch("5"); !ok || e.Number != b.Last() || e.Stamp.Time != 105 {
		t.Errorf("touched: %+v, %v", e, ok)
	}
	if _, ok := b.Touch("nobody"); ok {
		t.Error("touched what is not there")
	}
}
