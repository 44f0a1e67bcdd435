package sim

import (
	"cmp"
	"math/bits"
	"slices"

	"kith/overlay/kbr"
)

// Shape of a wheel: levels of slots, each slot of a level as long as the whole level below.
const (
	tickBits = 10 // a slot of the lowest level is a millisecond
	slotBits = 8
	slots    = 1 << slotBits
	levels   = 6

	farthest = kbr.Ticks(1) << (tickBits + levels*slotBits - 1) // nine thousand years
)

// An event is what waits for its time: 32 bytes without a pointer.
type event struct {
	at   kbr.Ticks
	tag  kbr.Tag  // of a timer or a search; of a message where its talk is
	node kbr.Node // to whom it happens
	from kbr.Node // whose doing it is
	turn uint32   // of all that is from's doing, the how manieth
	life uint16   // of the node, for which it is meant
	what what
}

// compare orders events by time, and those of the same time by what is the same on any number of cores.
func (e *event) compare(f *event) int {
	if e.at != f.at {
		return cmp.Compare(e.at, f.at)
	}
	return cmp.Or(cmp.Compare(e.node, f.node), cmp.Compare(e.from, f.from), cmp.Compare(e.turn, f.turn))
}

// A wheel is a queue of events: a hierarchical timing wheel (Varghese, Lauck: "Hashed and Hierarchical Timing Wheels", SOSP 1987). An event stands at the level of
// the highest digit in which its millisecond differs from the one that is open, in base 256; those of the open one are sorted. The zero wheel is empty and at time 0.
type wheel struct {
	now    kbr.Ticks
	count  int
	tick   kbr.Ticks // the slot that is open
	open   []event   // its events
	next   int       // of these
	slots  [levels][slots][]event
	used   [levels][slots / 64]uint64
	sorted []event // of sort, as the next one
	order  [2][]entry
}

// put adds an event, which is not earlier than now.
func (w *wheel) put(e event) {
	e.at = min(max(e.at, w.now), farthest)
	w.count++
	if e.at>>tickBits == w.tick {
		i, _ := slices.BinarySearchFunc(w.open[w.next:], e, func(a, b event) int { return a.compare(&b) })
		w.open = slices.Insert(w.open, w.next+i, e)
		return
	}
	w.link(e)
}

func (w *wheel) link(e event) {
	tick := e.at >> tickBits
	level := (bits.Len64(uint64(tick^w.tick)) - 1) / slotBits
	slot := int(tick>>(slotBits*level)) % slots
	w.slots[level][slot] = append(w.slots[level][slot], e)
	w.used[level][slot/64] |= 1 << (slot % 64)
}

// take removes the earliest event, if it is not later than until, and goes on to its time.
func (w *wheel) take(until kbr.Ticks) (e event, ok bool) {
	if w.next == len(w.open) && !w.turn(until) {
		return e, false
	}
	if e = w.open[w.next]; e.at > until {
		return e, false
	}
	w.next++
	w.count--
	w.now = e.at
	return e, true
}

// ahead returns the next events of the open slot, at most so many.
func (w *wheel) ahead(most int) []event { return w.open[w.next:min(len(w.open), w.next+most)] }

// turn opens the next slot with events, if it does not begin after until.
func (w *wheel) turn(until kbr.Ticks) bool {
	w.open, w.next = w.open[:0], 0
	for w.count > 0 {
		level, slot := w.first()
		start := w.tick>>(slotBits*(level+1))<<(slotBits*(level+1)) | kbr.Ticks(slot)<<(slotBits*level)
		if start > until>>tickBits {
			return false
		}
		events := w.slots[level][slot]
		w.used[level][slot/64] &^= 1 << (slot % 64)
		w.tick = start
		if level == 0 {
			w.slots[0][slot], w.open = w.open, events
			w.sort()
			return true
		}
		w.slots[level][slot] = nil
		for i := range events { // which differ from the open one in lower digits only, or not at all
			if events[i].at>>tickBits == start {
				w.open = append(w.open, events[i])
			} else {
				w.link(events[i])
			}
		}
		if level == 1 {
			w.slots[level][slot] = events[:0]
		}
		if len(w.open) > 0 {
			w.sort()
			return true
		}
	}
	return false
}

// soon returns a time before which nothing happens, which is exact when the slot is open; if nothing ever does, never.
func (w *wheel) soon() kbr.Ticks {
	if w.next < len(w.open) {
		return w.open[w.next].at
	}
	if w.count == 0 {
		return never
	}
	level, slot := w.first()
	return (w.tick>>(slotBits*(level+1))<<(slotBits*(level+1)) | kbr.Ticks(slot)<<(slotBits*level)) << tickBits
}

// advance goes on to a time up to which nothing is left.
func (w *wheel) advance(to kbr.Ticks) {
	w.now = max(w.now, to)
	if w.next == len(w.open) {
		w.open, w.next, w.tick = w.open[:0], 0, w.now>>tickBits
	}
}

// first returns the slot with the earliest events that is not open. All that is used comes after that.
func (w *wheel) first() (level, slot int) {
	for level := range levels {
		for k, word := range w.used[level] {
			if word != 0 {
				return level, 64*k + bits.TrailingZeros64(word)
			}
		}
	}
	panic("sim: a queue with events and no slot")
}

// An entry is where an event stands in a slot, and when in that.
type entry struct{ at, i uint32 }

// sort sorts the open slot: by digits of the time (a radix sort), and what has the same time by comparing.
func (w *wheel) sort() {
	const few, digit = 12, tickBits / 2
	if len(w.open) > few {
		from, to := w.order[0][:0], slices.Grow(w.order[1][:0], len(w.open))[:len(w.open)]
		for i := range w.open {
			from = append(from, entry{uint32(w.open[i].at) % (1 << tickBits), uint32(i)})
		}
		for shift := 0; shift < tickBits; shift += digit {
			var starts [1 << digit]uint32
			for _, e := range from {
				starts[e.at>>shift%(1<<digit)]++
			}
			sum := uint32(0)
			for d, n := range starts {
				starts[d] = sum
				sum += n
			}
			for _, e := range from {
				d := e.at >> shift % (1 << digit)
				to[starts[d]] = e
				starts[d]++
			}
			from, to = to, from
		}
		w.order = [2][]entry{from, to}
		w.sorted = w.sorted[:0]
		for _, e := range from {
			w.sorted = append(w.sorted, w.open[e.i])
		}
		w.open, w.sorted = w.sorted, w.open
	}
	for i := 1; i < len(w.open); i++ { // an insertion sort, which hardly moves anything now
		e := w.open[i]
		k := i
		for ; k > 0 && e.compare(&w.open[k-1]) < 0; k-- {
			w.open[k] = w.open[k-1]
		}
		w.open[k] = e
	}
}
