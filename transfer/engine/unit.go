package engine

import (
	"time"

	"kith/blob/bao"
)

// How sources are asked that bring whole units: other networks, behind each of which many peers may be.
const (
	unitQueue     = time.Second               // such a source shall have this much to do, beside its delay
	unitSpread    = 4 * time.Second           // and, up to its first window, this much in any case: its peers work beside each other
	minUnits      = 2                         // and never less than so many units
	maxUnitWindow = 128 << 20 / bao.GroupSize // and no more than this, or minUnits
)

// JoinUnits adds a source that brings whole units of so many groups, counted from the beginning of each file. Until its speed is known, window groups may be asked
// of it at once.
func (e *Engine) JoinUnits(id SourceID, now time.Duration, unit, window int64) {
	e.Join(id, now)
	s := e.sources[id]
	s.unit = int(max(1, (unit+1<<e.shift-1)>>e.shift))
	s.start = max(window, minUnits*e.groupsOf(s.unit))
	s.window = s.start
}

// nextUnit is Next for a source that brings whole units: best one of which nothing is done or asked elsewhere.
func (e *Engine) nextUnit(s *source, now time.Duration) (Request, bool) {
	if p, from, to, ok := e.pickUnit(s, now); ok {
		from, to = e.narrow(s, p, from, to)
		return e.ask(s, from, to-from, false, now), true
	}
	if s.live > 0 && s.live+e.groupsOf(s.unit) > e.share(s, e.groupsOf(e.missing), now) {
		return Request{}, false
	}
	if q := e.rescue(s, now); q != nil {
		from, to := e.rescuable(s, q)
		_, end := e.unitOf(from, s.unit)
		return e.ask(s, from, min(to, end)-from, false, now), true
	}
	return Request{}, false
}

// narrow leaves out of [from, to), around the open piece p, what s does not have or owes already and, at both ends, what is not open.
func (e *Engine) narrow(s *source, p, from, to int) (int, int) {
	first, end := p, p+1
	goes := func(i int) bool { return !s.owesPiece(i) && (e.done[i] || e.hasPiece(s, i)) }
	for i := p - 1; i >= from && goes(i); i-- {
		if e.isOpen(i) {
			first = i
		}
	}
	for i := p + 1; i < to && goes(i); i++ {
		if e.isOpen(i) {
			end = i + 1
		}
	}
	return first, end
}

// pickUnit chooses the open piece p that s is asked for next, and the pieces [from, to) that it brings with it.
func (e *Engine) pickUnit(s *source, now time.Duration) (p, from, to int, ok bool) {
	if e.open == 0 {
		return 0, 0, 0, false
	}
	if p, ok := e.awaitedOpen(s); ok {
		from, to = e.unitOf(p, s.unit)
		return p, from, to, true
	}
	if s.live >= max(e.share(s, e.groupsOf(e.open)+s.live, now), minUnits*e.groupsOf(s.unit)) {
		return 0, 0, 0, false
	}
	p, whole := -1, false
	if e.sequential {
		p, whole = e.lowestUnit(s)
	} else {
		p, whole = e.rarestUnit(s)
	}
	switch {
	case p < 0:
		return 0, 0, 0, false
	case whole:
		return p, p, e.extendUnits(s, p, now), true
	case e.worthPart(s, now):
		from, to = e.unitOf(p, s.unit)
		return p, from, to, true
	}
	return 0, 0, 0, false
}

// share returns the part of so many groups that s would bring if all sources ended at the same time.
func (e *Engine) share(s *source, groups int64, now time.Duration) int64 {
	mine, all := s.rate(now), 0.0
	for _, o := range e.sources {
		if !o.slow {
			all += o.rate(now)
		}
	}
	if mine <= 0 || all <= 0 {
		return groups
	}
	return int64(float64(groups) * mine / all)
}

// groupsOf returns how many groups so many pieces have.
func (e *Engine) groupsOf(pieces int) int64 { return int64(pieces) << e.shift }

// look says how a unit stands: how many of its pieces are open, whether all are, and how rare the rarest of them is. Where s lacks an open piece, none is.
func (e *Engine) look(s *source, from, to int) (open int, whole bool, rarity int) {
	rarity = int(^uint(0) >> 1)
	for p := from; p < to; p++ {
		if !e.isOpenTo(s, p) {
			continue
		}
		if !e.hasPiece(s, p) {
			return 0, false, 0
		}
		open++
		rarity = min(rarity, e.rarity(p))
	}
	return open, open == to-from, rarity
}

// lowestUnit returns the first piece of the first unit that is wholly open, or else the first open one of the first of which a part is; -1 for none.
func (e *Engine) lowestUnit(s *source) (from int, whole bool) {
	part := -1
	for p := e.lowest(); p < e.count; {
		from, to := e.unitOf(p, s.unit)
		open, whole, _ := e.look(s, from, to)
		if whole {
			return from, true
		}
		if open > 0 && part < 0 {
			for part = from; !e.isOpenTo(s, part); part++ {
			}
		}
		p = to
	}
	return part, false
}

// rarestUnit returns the first piece of the rarest unit that is wholly open, the first in the shuffled order among equals; or else an open one of that of which most is.
func (e *Engine) rarestUnit(s *source) (best int, whole bool) {
	least, most, rarest, seen := s.least(), 0, 0, -1
	best = -1
	for _, o := range e.rest() {
		p := int(o)
		if !e.isOpenTo(s, p) {
			continue
		}
		from, to := e.unitOf(p, s.unit)
		if from == seen {
			continue
		}
		seen = from
		open, all, rarity := e.look(s, from, to)
		switch {
		case open == 0 || whole && !all:
		case all && (!whole || rarity < rarest):
			if best, whole, rarest = from, true, rarity; rarity <= least {
				return best, true
			}
		case !all && open > most:
			best, most = p, open
		}
	}
	return best, whole
}

// extendUnits returns the end of what is asked of s together with the unit that begins at piece from: more units as long as s sends them in requestTime, they are wholly
// open, and no commoner.
func (e *Engine) extendUnits(s *source, from int, now time.Duration) int {
	_, to := e.unitOf(from, s.unit)
	_, _, rarity := e.look(s, from, to)
	for most := from + int(max(s.requestGroups(now), MaxRequest/4)>>e.shift); to < most && to < e.count; {
		_, next := e.unitOf(to, s.unit)
		if _, whole, other := e.look(s, to, next); !whole || other > rarity || next > most {
			break
		}
		to = next
	}
	return to
}

// worthPart reports whether s is asked for a unit of which others have brought, or are bringing, a part: it would be there with it before they have brought the rest.
func (e *Engine) worthPart(s *source, now time.Duration) bool {
	rate := 0.0
	for _, o := range e.sources {
		if o != s && !o.slow && o.live > 0 { // who is asked for nothing will bring nothing
			rate += o.rate(now)
		}
	}
	return rate <= 0 || float64(e.groupsOf(e.open))/rate > s.expect(s.live+e.groupsOf(s.unit), now).Seconds()
}

// resizeUnits is resize for a source that brings units. Its delay is that of the quickest peer behind it, and follows when that one is gone.
func (s *source) resizeUnits(n int64, took, now time.Duration) {
	if s.delay == 0 || took < s.delay {
		s.delay = max(took, 1)
	} else {
		s.delay += (took - s.delay) / 32
	}
	rate := s.rate(now)
	least := max(min(s.start, int64(rate*unitSpread.Seconds())), minUnits*n)
	most := max(maxUnitWindow, minUnits*n)
	if s.ramping && took < s.delay+unitQueue {
		s.window = min(s.window+n, most)
		return
	}
	s.ramping = false
	s.window = min(max(int64(rate*(s.delay+unitQueue).Seconds()), least), most)
}

// A pace measures the rate of what comes in large units: over the last paceSlots times at which something came.
type pace struct {
	at []time.Duration // when it was first asked, and when something came
	n  []int64
}

const (
	paceSlots = 16
	paceSlot  = 250 * time.Millisecond
)

// Add counts n that were asked for at the time sent and came now.
func (p *pace) Add(sent, now time.Duration, n int64) {
	if len(p.at) == 0 || sent > p.at[len(p.at)-1]+paceSlots*paceSlot { // nothing was asked of it for long
		p.at, p.n = append(p.at[:0], min(sent, now-paceSlot)), append(p.n[:0], 0)
	}
	if last := len(p.at) - 1; last > 0 && now-p.at[last] < paceSlot {
		p.n[last] += n
		return
	}
	if p.at, p.n = append(p.at, now), append(p.n, n); len(p.at) > paceSlots {
		p.at, p.n = p.at[1:], p.n[1:]
	}
}

// At returns the rate a second at the time now.
func (p *pace) At(now time.Duration) float64 {
	if len(p.at) == 0 {
		return 0
	}
	var sum int64
	for _, n := range p.n[1:] {
		sum += n
	}
	return float64(sum) / max(now-p.at[0], paceSlot).Seconds()
}

// came counts an answer.
func (s *source) came(q *Request, now time.Duration) {
	if s.unit > 0 {
		s.pace.Add(q.sent, now, q.N)
	} else {
		s.meter.Add(now, q.N)
	}
}

// rate returns the groups a second that come from s, lately.
func (s *source) rate(now time.Duration) float64 {
	if s.unit > 0 {
		return s.pace.At(now)
	}
	return s.meter.At(now)
}
