package sim

import (
	"math/bits"

	"kith/overlay/kbr"
)

// Shape of a wheel: levels of slots, each slot of a level as long as the whole level below.
const (
	slotBits = 8
	slots    = 1 << slotBits
	levels   = 7 // 2^56 microseconds are two thousand years
)

// An event is what waits for its time: 32 bytes without a pointer.
type event struct {
	at   kbr.Ticks
	tag  kbr.Tag
	node kbr.Node // to whom it happens
	talk uint32   // the talk that it is part of, 0 for none
	next uint32   // of the same slot, 0 for none
	life uint16   // of the node, for which it is meant
	what what
}

// A wheel is a queue of events by time, and of those at the same time by when they were put in: a hierarchical timing wheel (Varghese, Lauck: "Hashed and
// Hierarchical Timing Wheels", SOSP 1987). An event stands at the level of the highest digit in which its time differs from now, in base 256. The zero wheel is
// empty and at time 0.
type wheel struct {
	now    kbr.Ticks
	count  int
	events []event // 0 is none
	free   uint32
	heads  [levels][slots]uint32
	tails  [levels][slots]uint32
	used   [levels][slots / 64]uint64
}

// put adds an event, which is not earlier than now.
func (w *wheel) put(e event) {
	i := w.free
	if i != 0 {
		w.free = w.events[i].next
	} else {
		if len(w.events) == 0 {
			w.events = append(w.events, event{})
		}
		i = uint32(len(w.events))
		w.events = append(w.events, event{})
	}
	e.at, e.next = max(e.at, w.now), 0
	w.events[i] = e
	w.count++
	w.link(i)
}

func (w *wheel) link(i uint32) {
	at := w.events[i].at
	level := 0
	if d := uint64(at ^ w.now); d != 0 {
		level = (bits.Len64(d) - 1) / slotBits
	}
	slot := int(at>>(slotBits*level)) % slots
	if tail := w.tails[level][slot]; tail != 0 {
		w.events[tail].next = i
	} else {
		w.heads[level][slot] = i
		w.used[level][slot/64] |= 1 << (slot % 64)
	}
	w.tails[level][slot] = i
}

// take removes the earliest event, if it is not later than until, and goes on to its time.
func (w *wheel) take(until kbr.Ticks) (e event, ok bool) {
	for w.count > 0 {
		level, slot := w.first()
		start := w.now>>(slotBits*(level+1))<<(slotBits*(level+1)) | kbr.Ticks(slot)<<(slotBits*level)
		if start > until {
			return e, false
		}
		i := w.heads[level][slot]
		if level == 0 {
			w.now = start
			e = w.events[i]
			w.heads[0][slot] = e.next
			if e.next == 0 {
				w.clear(0, slot)
			}
			w.events[i].next, w.free = w.free, i
			w.count--
			return e, true
		}
		w.clear(level, slot)
		w.now = start // its events now differ from it in lower digits only
		for i != 0 {
			next := w.events[i].next
			w.events[i].next = 0
			w.link(i)
			i = next
		}
	}
	return e, false
}

// advance goes on to a time up to which nothing is left.
func (w *wheel) advance(to kbr.Ticks) { w.now = max(w.now, to) }

func (w *wheel) clear(level, slot int) {
	w.heads[level][slot], w.tails[level][slot] = 0, 0
	w.used[level][slot/64] &^= 1 << (slot % 64)
}

// first returns the slot with the earliest events. All that is used comes at or after now.
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
