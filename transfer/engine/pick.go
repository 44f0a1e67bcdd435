package engine

import (
	"time"

	"kith/blob/bao"
)

// Next decides what to ask a source for now, if anything. Call it until it returns false.
func (e *Engine) Next(id SourceID, now time.Duration) (Request, bool) {
	s := e.sources[id]
	if s == nil || s.slow || s.live >= s.window || e.missing == 0 {
		return Request{}, false
	}
	if s.unit > 0 {
		return e.nextUnit(s, now)
	}
	p, ok := e.pick(s, now)
	if ok {
		fresh := s.all && !e.sequential && len(e.readers) == 0 && e.rarity(p) == 0
		return e.ask(s, p, e.extend(s, p, now), fresh, now), true
	}
	if q := e.rescue(s, now); q != nil {
		from, to := e.rescuable(s, q)
		return e.ask(s, from, to-from, false, now), true
	}
	return Request{}, false
}

// ask notes that n pieces from p on are asked of s.
func (e *Engine) ask(s *source, p, n int, fresh bool, now time.Duration) Request {
	e.lastID++
	r := e.span(p, p+n)
	q := &Request{ID: e.lastID, Source: s.id, First: r.First, N: r.N, Fresh: fresh, sent: now, live: true, holds: true}
	e.requests[q.ID] = q
	s.live += q.N
	e.owe(s, q, true)
	for ; n > 0; n-- {
		if e.asked[p] == 0 && !e.done[p] {
			e.open--
		}
		e.asked[p]++
		p++
	}
	return *q
}

// pick chooses the open piece that s is asked for next: what a reader waits for, what comes next in sequence, what follows the last request as long as it is
// no commoner, or the rarest.
func (e *Engine) pick(s *source, now time.Duration) (int, bool) {
	if e.open == 0 {
		return 0, false
	}
	if p, ok := e.awaitedOpen(s); ok {
		return p, true
	}
	if e.sequential {
		return e.firstOpen(s, e.lowest(), e.count)
	}
	p, ok := e.rarest(s)
	if !ok {
		return 0, false
	}
	first, _, _ := e.segmentOf(p)
	for block := int(s.requestGroups(now) >> e.shift); block > 1 && (p-first)%block > 0 && e.fits(s, p-1, p); p-- {
	} // so that no gaps are left before it
	return p, true
}

// awaitedOpen returns the first open piece that a reader waits for, or soon will.
func (e *Engine) awaitedOpen(s *source) (int, bool) {
	for _, g := range e.readers {
		if p, ok := e.firstOpen(s, e.piece(g), min(e.count, e.piece(g+readAhead))); ok {
			return p, true
		}
	}
	return 0, false
}

// lowest returns a piece before which none is open.
func (e *Engine) lowest() int {
	for e.low < e.count && !e.isOpen(e.low) {
		e.low++
	}
	return e.low
}

// fits reports whether piece p may be asked of s together with piece with.
func (e *Engine) fits(s *source, p, with int) bool {
	return e.isOpenTo(s, p) && e.hasPiece(s, p) && e.rarity(p) <= e.rarity(with)
}

func (e *Engine) isOpen(p int) bool { return !e.done[p] && e.asked[p] == 0 }

// isOpenTo reports whether p is open, and s does not owe it.
func (e *Engine) isOpenTo(s *source, p int) bool { return e.isOpen(p) && !s.owesPiece(p) }

func (e *Engine) firstOpen(s *source, from, to int) (int, bool) {
	for p := from; p < to; p++ {
		if e.isOpenTo(s, p) && e.hasPiece(s, p) {
			return p, true
		}
	}
	return 0, false
}

// rarity is how many have a piece, or are about to, beside those that have everything.
func (e *Engine) rarity(p int) int {
	n := int(e.holders[p])
	if n == 0 && e.spread[p] {
		n = 1
	}
	return n
}

// rarest returns the open piece that fewest sources have; among equals the first in the shuffled order.
func (e *Engine) rarest(s *source) (int, bool) {
	least := s.least()
	best, bestRarity := -1, int(^uint(0)>>1)
	for _, o := range e.rest() {
		p := int(o)
		if !e.isOpenTo(s, p) || !e.hasPiece(s, p) {
			continue
		}
		if r := e.rarity(p); r < bestRarity {
			if best, bestRarity = p, r; r <= least {
				break
			}
		}
	}
	return best, best >= 0
}

// rest returns the order from the first open piece on.
func (e *Engine) rest() []int32 {
	for e.head < e.count && !e.isOpen(int(e.order[e.head])) {
		e.head++
	}
	return e.order[e.head:]
}

// least returns how rare a piece that s has can be at most.
func (s *source) least() int {
	if s.all {
		return 0
	}
	return 1
}

// extend returns how many pieces from p on are asked for at once: as many as s sends in requestTime, within one stretch of MaxRequest groups,
// and none that is commoner than p.
func (e *Engine) extend(s *source, p int, now time.Duration) int {
	want := int(s.requestGroups(now) >> e.shift)
	first, last, _ := e.segmentOf(p)
	end := first + ((p - first) | (MaxRequest>>e.shift - 1)) + 1
	if end > last {
		end = e.count // small files go together
	}
	n := 1
	for n < want && p+n < end && e.fits(s, p+n, p) {
		n++
	}
	return n
}

// rescue returns a request to another source that s would probably answer sooner, when nothing else is left to ask of s, or a reader waits for it.
func (e *Engine) rescue(s *source, now time.Duration) *Request {
	var worst *Request
	var gain time.Duration
	mine := s.expect(s.live+max(MaxRequest, int64(s.unit)<<e.shift), now)
	left := e.open > e.late()
	for _, q := range e.requests {
		if !q.live || !q.holds || q.Source == s.id || left && !e.awaited(q) {
			continue
		}
		if from, to := e.rescuable(s, q); from >= to {
			continue
		}
		other := e.sources[q.Source]
		theirs := other.expect(other.live, now)                                                    // from now on: all that it owes
		later := worst != nil && (q.ID < worst.ID) != (other.unit > 0 && q.Source == worst.Source) // of units, those asked for last have come least far
		if g := theirs - mine; g > 0 && (worst == nil || g > gain || g == gain && later) {
			worst, gain = q, g
		}
	}
	return worst
}

// late returns how many open pieces are owed, by sources that were not asked for them again.
func (e *Engine) late() (n int) {
	if e.open == 0 {
		return 0
	}
	var seen map[int]bool
	for _, q := range e.requests {
		if q.holds {
			continue
		}
		for p, to := e.within(bao.Range{First: q.First, N: q.N}); p < to; p++ {
			if e.isOpen(p) && !seen[p] {
				if seen == nil {
					seen = map[int]bool{}
				}
				seen[p] = true
			}
		}
	}
	return len(seen)
}

// awaited reports whether a reader waits for a part of q.
func (e *Engine) awaited(q *Request) bool {
	for _, g := range e.readers {
		if q.First <= g && g < q.First+q.N {
			return true
		}
	}
	return false
}

// rescuable returns the first pieces of q that are missing, that s has and that nobody else was asked for a second time, as many as are asked for at
// once: [from, to), empty if there are none. Of a request that is no larger, all must be so.
func (e *Engine) rescuable(s *source, q *Request) (from, to int) {
	first, end := e.within(bao.Range{First: q.First, N: q.N})
	limit := max(MaxRequest>>e.shift, s.unit)
	from = -1
	for p := first; p < end; p++ {
		can := !e.done[p] && e.asked[p] <= 1 && !s.owesPiece(p) && e.hasPiece(s, p)
		switch {
		case from < 0 && can:
			from = p
		case from >= 0 && !can && !e.done[p], from >= 0 && p-from >= limit:
			return from, p
		case from < 0 && !e.done[p] && end-first <= limit:
			return 0, 0
		}
	}
	if from < 0 {
		return 0, 0
	}
	return from, end
}

// requestGroups returns how many groups to ask s for at once: a power of two.
func (s *source) requestGroups(now time.Duration) int64 {
	n := int64(startRequest)
	for want := s.rate(now) * requestTime.Seconds(); n < MaxRequest && float64(n) < want; {
		n *= 2
	}
	return n
}

// expect returns how long s will probably take to send n groups.
func (s *source) expect(n int64, now time.Duration) time.Duration {
	rate := s.rate(now)
	if rate <= 0 && s.unit > 0 {
		return s.delay + 2*slowAfter // nobody may be there
	}
	if rate <= 0 {
		return s.delay + slowAfter
	}
	return s.delay + time.Duration(float64(n)/rate*float64(time.Second))
}

// resize sets the window of s after an answer of n groups that took so long: bandwidth times (delay + queueTime). Until
// the first answer that had to queue for so long, it doubles in each round trip.
func (s *source) resize(n int64, took, now time.Duration) {
	if s.delay == 0 || took < s.delay {
		s.delay = max(took, 1)
	}
	if s.unit > 0 {
		s.resizeUnits(n, took, now)
		return
	}
	if s.ramping && took < s.delay+queueTime {
		s.window = min(s.window+n, maxWindow)
		return
	}
	s.ramping = false
	want := int64(s.rate(now) * (s.delay + queueTime).Seconds())
	s.window = min(max(want, 2*startRequest), maxWindow)
}
