// Package book is what the devices of one person agree on of their list of contacts: who is on it, under which name, and who was taken off.
//
// It is not the contacts themselves, nor how devices talk: it has no clock, no disk and no network. Its one idea: every decision of the person is an entry with a
// stamp, of two about the same contact the later one counts, and each device numbers what it learns in the order in which it learns it, so that another need only
// ask for what is behind the number where it stopped. Whatever is lost, repeated or overtaken on the way, those who ask each other long enough have the same entries.
package book

import (
	"bytes"
	"cmp"
	"slices"
)

// MaxEntries is how many entries a book has at most. When it is full, the oldest that says that somebody is gone makes room.
const MaxEntries = 20000

// A Stamp orders decisions: by the clock of the device that was used, or later than what it replaces, then by the device.
type Stamp struct {
	Time uint64 // milliseconds since 1970, or more
	By   [8]byte
}

// Compare returns -1, 0 or 1 as s is earlier than, the same as, or later than o.
func (s Stamp) Compare(o Stamp) int {
	return cmp.Or(cmp.Compare(s.Time, o.Time), bytes.Compare(s.By[:], o.By[:]))
}

// An Entry is the last decision about something that Key names.
type Entry struct {
	Key   string
	Stamp Stamp
	Gone  bool   // it was taken off the list
	Name  string // what it is called
	Added int64  // seconds since 1970
	Sum   string // digest of what else belongs to it; "": nothing
}

// compare orders entries of one key. Two with the same stamp are the same unless a device lies; then what sorts last counts, everywhere.
func (e Entry) compare(o Entry) int {
	gone := func(e Entry) int {
		if e.Gone {
			return 1
		}
		return 0
	}
	return cmp.Or(e.Stamp.Compare(o.Stamp), cmp.Compare(gone(e), gone(o)), cmp.Compare(e.Name, o.Name), cmp.Compare(e.Added, o.Added), cmp.Compare(e.Sum, o.Sum))
}

// A Numbered entry has the number under which this device learnt it, or last learnt something that belongs to it.
type Numbered struct {
	Entry
	Number uint64
}

// Book holds the entries of one device.
type Book struct {
	by      [8]byte
	entries map[string]Numbered
	last    uint64
}

// New returns the book of a device, with the entries that it had.
func New(by [8]byte, had []Numbered) *Book {
	b := &Book{by: by, entries: map[string]Numbered{}}
	for _, e := range had {
		b.entries[e.Key] = e
		b.last = max(b.last, e.Number)
	}
	return b
}

// Last returns the number of the newest entry; 0 if there is none.
func (b *Book) Last() uint64 { return b.last }

// Get returns the entry of a key.
func (b *Book) Get(key string) (Entry, bool) {
	e, ok := b.entries[key]
	return e.Entry, ok
}

// Decide takes in what the person decides on this device at the time now, in milliseconds since 1970. Its stamp is later than that of all that is known of the
// key. dropped is the key of an entry that made room, "" if none did; ok is false if there is no room.
func (b *Book) Decide(e Entry, now uint64) (kept Numbered, dropped string, ok bool) {
	e.Stamp = Stamp{max(now, b.entries[e.Key].Stamp.Time+1), b.by}
	return b.put(e)
}

// Merge takes in an entry of another device; ok is false if it is no news, or there is no room.
func (b *Book) Merge(e Entry) (kept Numbered, dropped string, ok bool) {
	if had, known := b.entries[e.Key]; known && e.compare(had.Entry) <= 0 {
		return had, "", false
	}
	return b.put(e)
}

// Touch numbers an entry anew, since something that belongs to it has changed. ok is false if there is none.
func (b *Book) Touch(key string) (kept Numbered, ok bool) {
	e, ok := b.entries[key]
	if ok {
		e, _, _ = b.put(e.Entry)
	}
	return e, ok
}

func (b *Book) put(e Entry) (kept Numbered, dropped string, ok bool) {
	if _, known := b.entries[e.Key]; !known && len(b.entries) >= MaxEntries {
		if dropped, ok = b.oldestGone(); !ok {
			return Numbered{}, "", false
		}
		delete(b.entries, dropped)
	}
	b.last++
	kept = Numbered{e, b.last}
	b.entries[e.Key] = kept
	return kept, dropped, true
}

func (b *Book) oldestGone() (key string, ok bool) {
	var oldest Entry
	for k, e := range b.entries {
		if e.Gone && (!ok || e.compare(oldest) < 0 || e.Stamp == oldest.Stamp && k < key) {
			key, oldest, ok = k, e.Entry, true
		}
	}
	return key, ok
}

// Since returns the first entries behind a number, at most so many, in the order of their numbers; more reports whether there are others behind them.
func (b *Book) Since(number uint64, limit int) (list []Numbered, more bool) {
	for _, e := range b.entries {
		if e.Number > number {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b Numbered) int { return cmp.Compare(a.Number, b.Number) })
	if len(list) > limit {
		return list[:limit], true
	}
	return list, false
}
