// Package engine decides what is asked of whom, when groups of many blobs are to come from many sources at once.
//
// It is no transfer: it knows neither clock nor stream nor disk. Its one idea: times are given to it, answers are reported to it, and what it decides can be
// played from a script.
package engine

import (
	"cmp"
	"math/bits"
	"slices"
	"time"

	"kith/blob/bao"
)

// How the engine asks. Groups are those of bao: 16 KiB.
const (
	MaxRequest   = 64 // groups asked for at once: 1 MiB
	startRequest = 4  // while nothing is known of a source
	maxWindow    = 16 * MaxRequest
	minPieces    = 2048 // pieces are smaller than MaxRequest only where that gives fewer

	requestTime = 50 * time.Millisecond  // a request is about what a source sends in this time
	queueTime   = 100 * time.Millisecond // a source shall always have this much to do, beside its delay
	slowAfter   = 8 * time.Second        // an answer that is this late is asked of others
	DropAfter   = 30 * time.Second       // a source that owes an answer for so long is left
	readAhead   = 16 << 20 / bao.GroupSize
)

// A SourceID names a source to the engine.
type SourceID int

// A Request is groups that one source is asked for: [First, First+N), whole pieces but at the end.
type Request struct {
	ID     uint64
	Source SourceID
	First  int64
	N      int64
	Fresh  bool // as far as is known, nobody else has it or will soon: the source may decline

	sent  time.Duration
	live  bool // its answer is not here: it counts for its source's window
	holds bool // its pieces are not asked of others but at the end
}

// An Engine decides what is asked of whom, over one row of groups (a blob, or all files of a folder in their order), divided into
// pieces of a power of two of groups. It knows no clock, stream or disk: times are given to it, and answers are reported to it. It is not
// safe for concurrent use.
type Engine struct {
	pieces

	done    []bool
	asked   []uint8  // live requests that cover a piece
	holders []uint16 // sources that have a piece, but not all
	spread  []bool   // a source that has everything is sending the piece to somebody else
	order   []int32  // pieces, shuffled: how ties are broken
	place   []int32  // of a piece in order
	head    int      // no open piece stands before it in order
	low     int      // no open piece has a lower number
	open    int      // pieces neither done nor asked for
	missing int      // pieces not done

	sequential bool
	readers    []int64 // groups that are being waited for, in order
	sources    map[SourceID]*source
	requests   map[uint64]*Request
	lastID     uint64
}

// A source is what the engine knows of a source.
type source struct {
	id      SourceID
	all     bool
	has     []uint64 // bit per group, nil while none
	owes    []uint64 // bit per piece: it was asked for it, and its answer may still come
	live    int64    // groups of live requests
	window  int64    // groups that may be live
	ramping bool     // the window still grows with every answer
	delay   time.Duration
	meter   Meter // groups
	slow    bool
	heard   time.Duration

	unit  int   // pieces that it brings whole; 0: it brings any group
	start int64 // groups that may be live before its speed is known
	pace  pace  // in place of meter: units may come seconds apart
}

// Options say what an Engine is made for.
type Options struct {
	Groups     int64
	Starts     []int64 // in order: where a file begins; pieces, and units of sources, are counted from there. None: it is one
	Cluster    int64   // groups that stay together where ties are broken, so that few units are begun at once; 0: none do
	Seed       uint64  // equal seeds choose equally
	Sequential bool    // from the beginning to the end
	LastID     uint64  // requests are numbered from the next on
}

// New returns an Engine of which nothing is done.
func New(o Options) *Engine {
	e := &Engine{pieces: divide(o.Groups, o.Starts), sequential: o.Sequential, lastID: o.LastID, sources: map[SourceID]*source{}, requests: map[uint64]*Request{}}
	e.done, e.asked = make([]bool, e.count), make([]uint8, e.count)
	e.holders, e.spread = make([]uint16, e.count), make([]bool, e.count)
	e.order, e.place = e.shuffle(o.Seed, o.Cluster), make([]int32, e.count)
	e.open, e.missing = e.count, e.count
	for i, p := range e.order {
		e.place[p] = int32(i)
	}
	return e
}

// Have says that groups are here, without having been asked for.
func (e *Engine) Have(r bao.Range) {
	for p, to := e.within(r); p < to; p++ {
		e.finish(p)
	}
}

func (e *Engine) finish(p int) {
	if e.done[p] {
		return
	}
	if e.asked[p] == 0 {
		e.open--
	}
	e.done[p] = true
	e.missing--
}

// Lost says that groups are no longer here: they are to be fetched again.
func (e *Engine) Lost(r bao.Range) {
	for p, to := e.touched(r); p < to; p++ {
		if e.done[p] {
			e.done[p] = false
			e.missing++
			if e.asked[p] == 0 {
				e.reopen(p)
			}
		}
	}
}

// reopen counts p, which is neither done nor asked for, among the open pieces again.
func (e *Engine) reopen(p int) {
	e.open++
	e.head = min(e.head, int(e.place[p]))
	e.low = min(e.low, p)
}

// Complete reports whether all is here.
func (e *Engine) Complete() bool { return e.missing == 0 }

// Join adds a source, of which nothing is known yet.
func (e *Engine) Join(id SourceID, now time.Duration) {
	e.sources[id] = &source{id: id, owes: make([]uint64, (e.count+63)/64), window: 4 * startRequest, ramping: true, heard: now}
}

// HasAll says that a source has everything.
func (e *Engine) HasAll(id SourceID) {
	if s := e.sources[id]; s != nil && !s.all {
		e.tally(s, -1)
		s.all, s.has = true, nil
	}
}

// Has says that a source has groups, beside those it had.
func (e *Engine) Has(id SourceID, r bao.Range) {
	s := e.sources[id]
	if s == nil || s.all {
		return
	}
	if s.has == nil {
		s.has = make([]uint64, (e.groups+63)/64)
	}
	e.change(s, r, func(word *uint64, mask uint64) { *word |= mask })
}

// Lacks says that a source does not have groups after all.
func (e *Engine) Lacks(id SourceID, r bao.Range) {
	s := e.sources[id]
	if s == nil {
		return
	}
	if s.all {
		s.all, s.has = false, make([]uint64, (e.groups+63)/64)
		for i := range s.has {
			s.has[i] = ^uint64(0)
		}
		e.tally(s, +1)
	}
	if s.has != nil {
		e.change(s, r, func(word *uint64, mask uint64) { *word &^= mask })
	}
}

// change applies set to the bits of r in s.has, and keeps count of who has which piece.
func (e *Engine) change(s *source, r bao.Range, set func(word *uint64, mask uint64)) {
	first, end := max(r.First, 0), min(r.First+r.N, e.groups)
	for g := first; g < end; {
		n := min(64-g%64, end-g)
		mask := ^uint64(0) >> (64 - n) << (g % 64)
		from, to := e.touched(bao.Range{First: g, N: n})
		for p := from; p < to; p++ {
			if e.hasPiece(s, p) {
				e.holders[p]--
			}
		}
		set(&s.has[g/64], mask)
		for p := from; p < to; p++ {
			if e.hasPiece(s, p) {
				e.holders[p]++
			}
		}
		g += n
	}
}

// tally adds d to the holders of all pieces that s, which has not everything, has.
func (e *Engine) tally(s *source, d int) {
	if s.has == nil {
		return
	}
	for p := range e.count {
		if e.hasPiece(s, p) {
			e.holders[p] = uint16(int(e.holders[p]) + d)
		}
	}
}

func (e *Engine) hasPiece(s *source, p int) bool {
	if s.all {
		return true
	}
	if s.has == nil {
		return false
	}
	r := e.at(p)
	word, bit := r.First/64, r.First%64
	mask := ^uint64(0) >> (64 - r.N) << bit
	if s.has[word]&mask != mask {
		return false
	}
	if over := bit + r.N - 64; over > 0 { // it is in two words
		mask = ^uint64(0) >> (64 - over)
		return s.has[word+1]&mask == mask
	}
	return true
}

// Part returns how much of everything a source has, 0 to 1.
func (e *Engine) Part(id SourceID) float64 {
	s := e.sources[id]
	switch {
	case s == nil || e.groups == 0:
		return 0
	case s.all:
		return 1
	}
	n := 0
	for _, w := range s.has {
		n += bits.OnesCount64(w)
	}
	return min(1, float64(n)/float64(e.groups))
}

// Leave forgets a source. What it was asked for may be asked of others.
func (e *Engine) Leave(id SourceID) {
	s := e.sources[id]
	if s == nil {
		return
	}
	for _, q := range e.of(id) {
		e.forget(q)
	}
	if !s.all {
		e.tally(s, -1)
	}
	delete(e.sources, id)
}

// of returns the requests to a source, oldest first.
func (e *Engine) of(id SourceID) (list []*Request) {
	for _, q := range e.requests {
		if q.Source == id {
			list = append(list, q)
		}
	}
	slices.SortFunc(list, func(a, b *Request) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// forget takes a request out of all counts.
func (e *Engine) forget(q *Request) {
	e.unload(q)
	e.release(q)
	e.owe(e.sources[q.Source], q, false)
	delete(e.requests, q.ID)
}

// owe notes whether s owes the pieces of a request.
func (e *Engine) owe(s *source, q *Request, owes bool) {
	for p, to := e.within(bao.Range{First: q.First, N: q.N}); p < to; p++ {
		if bit := uint64(1) << (p % 64); owes {
			s.owes[p/64] |= bit
		} else {
			s.owes[p/64] &^= bit
		}
	}
}

// owesPiece reports whether s was asked for piece p, and its answer may still come: also one that is late, and that others may be asked for.
func (s *source) owesPiece(p int) bool { return s.owes[p/64]>>(p%64)&1 == 1 }

// release lets the pieces of a request be asked of others, but not of its source; its answer may still come.
func (e *Engine) release(q *Request) {
	if !q.holds {
		return
	}
	q.holds = false
	for p, to := e.within(bao.Range{First: q.First, N: q.N}); p < to; p++ {
		if e.asked[p]--; e.asked[p] == 0 && !e.done[p] {
			e.reopen(p)
		}
	}
}

// unload takes a request out of its source's window.
func (e *Engine) unload(q *Request) {
	if q.live {
		q.live = false
		e.sources[q.Source].live -= q.N
	}
}

// Arrived says that the answer to a request is here, whole but not verified: its source may be asked for more.
func (e *Engine) Arrived(id uint64, now time.Duration) {
	q := e.requests[id]
	if q == nil {
		return
	}
	s := e.sources[q.Source]
	s.heard, s.slow = now, false
	s.came(q, now)
	e.unload(q)
	s.resize(q.N, now-q.sent, now)
}

// Verified says that the groups of a request are here. It returns the requests that need no answer any more.
func (e *Engine) Verified(id uint64) (needless []*Request) {
	q := e.requests[id]
	if q == nil {
		return nil
	}
	r := bao.Range{First: q.First, N: q.N}
	e.Have(r)
	e.forget(q)
	for _, other := range e.requests {
		if other.live && other.First < r.First+r.N && r.First < other.First+other.N && e.allDone(other) {
			needless = append(needless, other)
		}
	}
	slices.SortFunc(needless, func(a, b *Request) int { return cmp.Compare(a.ID, b.ID) })
	for _, other := range needless {
		e.forget(other)
	}
	return needless
}

func (e *Engine) allDone(q *Request) bool {
	for p, to := e.within(bao.Range{First: q.First, N: q.N}); p < to; p++ {
		if !e.done[p] {
			return false
		}
	}
	return true
}

// Failed says that a request brought nothing. Its groups may be asked for again; Lacks keeps them from being asked of the same source.
func (e *Engine) Failed(id uint64) {
	if q := e.requests[id]; q != nil {
		e.forget(q)
	}
}

// Declined says that the source of a fresh request is sending a part of it to somebody else, where it will soon be had. It is no longer
// fresh: while there is something rarer that is asked for, and after that it cannot be declined.
func (e *Engine) Declined(id uint64, now time.Duration) {
	q := e.requests[id]
	if q == nil {
		return
	}
	for p, to := e.within(bao.Range{First: q.First, N: q.N}); p < to; p++ {
		e.spread[p] = true
	}
	e.Heard(q.Source, now)
	e.forget(q)
}

// Stalled says that nothing comes of a request, though its source is not silent otherwise: its source may be asked for other things, and others for this. Its answer may still come, so
// its source is not asked for it once more: it would bring it twice.
func (e *Engine) Stalled(id uint64) {
	if q := e.requests[id]; q != nil {
		e.unload(q)
		e.release(q)
	}
}

// Heard says that a source is alive, though no answer is here yet.
func (e *Engine) Heard(id SourceID, now time.Duration) {
	if s := e.sources[id]; s != nil {
		s.heard, s.slow = now, false
	}
}

// Tick looks for sources that owe an answer and are silent. What a slow one owes may be asked of others; those in dead have been silent
// for too long, and shall Leave. Those that bring whole units are other networks, and never dead.
func (e *Engine) Tick(now time.Duration) (dead []SourceID) {
	for _, s := range e.sources {
		owed := e.of(s.id)
		owed = slices.DeleteFunc(owed, func(q *Request) bool { return !q.live })
		if len(owed) == 0 {
			continue
		}
		silent := now - max(s.heard, owed[0].sent)
		if silent >= slowAfter {
			s.slow = true
			for _, q := range owed {
				e.release(q)
			}
		}
		if silent >= DropAfter && s.unit == 0 {
			dead = append(dead, s.id)
		}
	}
	slices.Sort(dead)
	return dead
}

// Read says which groups are being waited for: they, and what follows them, go before all others.
func (e *Engine) Read(groups []int64) {
	e.readers = e.readers[:0]
	for _, g := range groups {
		if g < e.groups {
			e.readers = append(e.readers, g)
		}
	}
	slices.Sort(e.readers)
}

// Reading reports whether something is being waited for.
func (e *Engine) Reading() bool { return len(e.readers) > 0 }

// Asked returns how many requests there are.
func (e *Engine) Asked() int { return len(e.requests) }

// Doing says what a source does: whether it owes an answer, and whether that is overdue.
func (e *Engine) Doing(id SourceID) (owes, slow bool) {
	s := e.sources[id]
	return s != nil && s.live > 0, s != nil && s.slow
}

// Map divides the row into n equal stretches (fewer if it is small) and returns how much of each is here (0 none, 255 all) and how many sources have each.
func (e *Engine) Map(n int) (have, rarity []byte) {
	n = min(n, e.count)
	have, rarity = make([]byte, n), make([]byte, n)
	all := 0
	for _, s := range e.sources {
		if s.all {
			all++
		}
	}
	for i := range n {
		from, to := i*e.count/n, (i+1)*e.count/n
		done, least := 0, 255
		for p := from; p < to; p++ {
			if e.done[p] {
				done++
			}
			least = min(least, int(e.holders[p])+all)
		}
		have[i], rarity[i] = byte(255*done/(to-from)), byte(least)
	}
	return have, rarity
}

// Had returns which part of the row is here, or had by a source, 0 to 1.
func (e *Engine) Had() float64 {
	n := 0
	for p := range e.count {
		had := e.done[p] || e.holders[p] > 0
		for _, s := range e.sources {
			had = had || s.all
		}
		if had {
			n++
		}
	}
	return float64(n) / float64(max(e.count, 1))
}

// Holds reports whether a source has groups.
func (e *Engine) Holds(id SourceID, r bao.Range) bool {
	s := e.sources[id]
	if s == nil || s.all {
		return s != nil
	}
	for g := r.First; s.has != nil && g < r.First+r.N; g++ {
		if s.has[g/64]>>(g%64)&1 == 0 {
			return false
		}
	}
	return s.has != nil
}
