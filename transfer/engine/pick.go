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
	p, ok := e.pick(s, now)
	if ok {
		fresh := s.all && !e.sequential && len(e.readers) == 0 && e.rarity(p) == 0
		return e.ask(s, p, e.extend(s, p, now), fresh, now), true
	}
	if q := e.rescue(s, now); q != nil {
		from, to := e.within(bao.Range{First: q.First, N: q.N})
		for from < to-1 && e.done[from] {
			from++
		}
		return e.ask(s, from, to-from, false, now), true
	}
	return Request{}, false
}

// ask notes that n pieces from p on are asked of s.
func (e *Engine) ask(s *source, p, n int, fresh bool, now time.Duration) Request {
	e.lastID++
	first := int64(p) << e.shift
	q := &Request{ID: e.lastID, Source: s.id, First: first, N: min(int64(n)<<e.shift, e.groups-first), Fresh: fresh, sent: now, live: true, holds: true}
	e.requests[q.ID] = q
	s.live += q.N
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
	for _, g := range e.readers {
		from := int(g >> e.shift)
		if p, ok := e.firstOpen(s, from, min(e.pieces, from+readAhead>>e.shift)); ok {
			return p, true
		}
	}
	if e.sequential {
		for e.low < e.pieces && !e.isOpen(e.low) {
			e.low++
		}
		return e.firstOpen(s, e.low, e.pieces)
	}
	p, ok := e.rarest(s)
	if !ok {
		return 0, false
	}
	for block := int(s.requestGroups(now) >> e.shift); block > 1 && p%block > 0 && e.fits(s, p-1, p); p-- {
	} // so that no gaps are left before it
	return p, true
}

// fits reports whether piece p may be asked of s together with piece with.
func (e *Engine) fits(s *source, p, with int) bool {
	return e.isOpen(p) && e.hasPiece(s, p) && e.rarity(p) <= e.rarity(with)
}

func (e *Engine) isOpen(p int) bool { return !e.done[p] && e.asked[p] == 0 }

func (e *Engine) firstOpen(s *source, from, to int) (int, bool) {
	for p := from; p < to; p++ {
		if e.isOpen(p) && e.hasPiece(s, p) {
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
	for e.head < e.pieces && !e.isOpen(int(e.order[e.head])) {
		e.head++
	}
	least := 1 // no piece that s has can be rarer
	if s.all {
		least = 0
	}
	best, bestRarity := -1, int(^uint(0)>>1)
	for _, o := range e.order[e.head:] {
		p := int(o)
		if !e.isOpen(p) || !e.hasPiece(s, p) {
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

// extend returns how many pieces from p on are asked for at once: as many as s sends in requestTime, within one stretch of MaxRequest groups,
// and none that is commoner than p.
func (e *Engine) extend(s *source, p int, now time.Duration) int {
	want := int(s.requestGroups(now) >> e.shift)
	end := min(e.pieces, (p|(MaxRequest>>e.shift-1))+1)
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
	mine := s.expect(s.live+MaxRequest, now)
	for _, q := range e.requests {
		if !q.live || !q.holds || q.Source == s.id || e.open > 0 && !e.awaited(q) || !e.couldServe(s, q) {
			continue
		}
		theirs := e.sources[q.Source].expect(e.sources[q.Source].live, now) // from now on: all that it owes
		if g := theirs - mine; g > 0 && (worst == nil || g > gain || g == gain && q.ID < worst.ID) {
			worst, gain = q, g
		}
	}
	return worst
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

// couldServe reports whether s has all of q that is missing, and nobody else was asked for it a second time.
func (e *Engine) couldServe(s *source, q *Request) bool {
	for p, to := e.within(bao.Range{First: q.First, N: q.N}); p < to; p++ {
		if !e.done[p] && (e.asked[p] > 1 || !e.hasPiece(s, p)) {
			return false
		}
	}
	return true
}

// requestGroups returns how many groups to ask s for at once: a power of two.
func (s *source) requestGroups(now time.Duration) int64 {
	n := int64(startRequest)
	for want := s.meter.At(now) * requestTime.Seconds(); n < MaxRequest && float64(n) < want; {
		n *= 2
	}
	return n
}

// expect returns how long s will probably take to send n groups.
func (s *source) expect(n int64, now time.Duration) time.Duration {
	rate := s.meter.At(now)
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
	if s.ramping && took < s.delay+queueTime {
		s.window = min(s.window+n, maxWindow)
		return
	}
	s.ramping = false
	want := int64(s.meter.At(now) * (s.delay + queueTime).Seconds())
	s.window = min(max(want, 2*startRequest), maxWindow)
}
