package shard

import (
	"math"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"

	"kith/search/filter"
	"kith/search/sets"
)

// What others may make this node take in.
const (
	paceEvery   = 4 * time.Minute // a new stamp of a device, but for the first few
	paceBurst   = 8
	budgetBurst = MaxBytes // bytes of filters of one peer at once …
	budgetRate  = 16 << 10 // … and a second afterwards
	maxRefused  = 1 << 14  // IDs of stamps that were not kept, so that they are not asked for again and again
	maxBudgets  = 1 << 10  // peers
)

// say stamps what this device has, and tells it.
func (s *Shard) say(now time.Time) {
	s.mu.Lock()
	f, count := s.mine, s.count
	old := s.kept[s.me]
	if f == nil {
		s.drop(s.me)
		s.mu.Unlock()
		return
	}
	data := f.Append(nil)
	st := stamp{s.me, now.Truncate(time.Millisecond), digestOf(data), uint32(min(count, math.MaxUint32))}
	if old != nil && !st.at.After(old.at) { // the clock was set back
		st.at = old.at.Add(time.Millisecond)
	}
	value, err := seal(s.o.Key, st)
	if err != nil {
		s.mu.Unlock()
		s.o.Log.Warn("the filter of what is published could not be signed", "err", err)
		return
	}
	e := &entry{stamp: st, id: idOf(value), value: value, heard: now, filter: f}
	s.put(e)
	s.mu.Unlock()
	s.news.Add(s.me, e.id)
}

// put makes an entry the one of its device. mu is held.
func (s *Shard) put(e *entry) {
	s.drop(e.device)
	s.kept[e.device], s.byID[e.id] = e, e.device
	s.bytes += e.size
	if e.filter != nil {
		s.set.Add(e.id)
	}
}

// drop forgets a device. mu is held.
func (s *Shard) drop(p peer.ID) {
	e := s.kept[p]
	if e == nil {
		return
	}
	delete(s.kept, p)
	delete(s.byID, e.id)
	s.bytes -= e.size
	s.set.Remove(e.id)
}

// A verdict is what becomes of a stamp.
type verdict uint8

const (
	no      verdict = iota // it is not kept
	whole                  // it is, as it is
	lacking                // it is when its filter is here
)

// judge says what becomes of a stamp that was told, and takes it in if it needs no filter.
func (s *Shard) judge(st stamp, value []byte, heard, now time.Time) verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, old := idOf(value), s.kept[st.device]
	off := now.Sub(st.at)
	switch {
	case st.device == s.me, old != nil && !st.at.After(old.at), off > clockTolerance+Life, off < -clockTolerance, now.Sub(heard) > Life:
		s.refuse(id)
		return no
	case old == nil && !s.room(st.device):
		s.refuse(id)
		return no
	case s.pace(st.device).TokensAt(now) < 1: // it comes again with the next comparison
		return no
	}
	e := &entry{stamp: st, id: id, value: value, heard: heard}
	switch {
	case !s.inside(st.device): // a guide needs none
	case old != nil && old.filter != nil && old.digest == st.digest:
		e.filter, e.size = old.filter, old.size
	default:
		return lacking
	}
	s.pace(st.device).AllowN(now, 1)
	s.put(e)
	return whole
}

// accept takes in a stamp with its filter. It is false if there is no room.
func (s *Shard) accept(st stamp, value []byte, heard time.Time, f *filter.Filter, size int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, before := s.kept[st.device], 0
	if old != nil {
		if !st.at.After(old.at) {
			return false
		}
		before = old.size
	}
	id := idOf(value)
	if old == nil && !s.room(st.device) || !s.inside(st.device) || s.bytes-before+size > MaxBytes {
		s.refuse(id)
		return false
	}
	s.pace(st.device).Allow()
	s.put(&entry{stamp: st, id: id, value: value, heard: heard, filter: f, size: size})
	return true
}

// inside reports whether a device is of the shard. mu is held.
func (s *Shard) inside(p peer.ID) bool { return digits(p, s.depth) == digits(s.me, s.depth) }

// room reports whether a device that is not known can be kept, after the shard was divided if it is full. mu is held.
func (s *Shard) room(p peer.ID) bool {
	for s.set.Len() >= s.o.Most && s.depth < maxDepth && s.inside(p) {
		s.divide()
	}
	if s.inside(p) {
		return s.set.Len() < s.o.Most
	}
	return s.guides(p) < maxGuides
}

// divide makes the shard half as large. Of those that are in it no more some are kept as guides. mu is held.
func (s *Shard) divide() {
	s.depth++
	var out []*entry
	for q, e := range s.kept {
		if !s.inside(q) {
			out = append(out, e)
		}
	}
	for _, e := range out {
		s.drop(e.device)
	}
	for _, e := range out {
		if s.guides(e.device) < maxGuides {
			e.filter, e.size = nil, 0
			s.put(e)
		}
	}
}

// guides returns how many devices of the shard of p, which is another one, are kept. mu is held.
func (s *Shard) guides(p peer.ID) (n int) {
	for q := range s.kept {
		if digits(q, s.depth) == digits(p, s.depth) {
			n++
		}
	}
	return n
}

// guidesOf returns the stamps of devices of the shard of p, which is another one.
func (s *Shard) guidesOf(p peer.ID) (list []sets.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for q, e := range s.kept {
		if q != p && digits(q, s.depth) == digits(p, s.depth) {
			list = append(list, e.id)
		}
	}
	return list
}

// pace returns how often a device may still be stamped anew. mu is held.
func (s *Shard) pace(p peer.ID) *rate.Limiter {
	l := s.paces[p]
	if l == nil {
		if len(s.paces) >= 2*MaxDevices {
			clear(s.paces)
		}
		l = rate.NewLimiter(rate.Every(paceEvery), paceBurst)
		s.paces[p] = l
	}
	return l
}

// budget returns how many bytes of filters a peer may still give.
func (s *Shard) budget(p peer.ID) *rate.Limiter {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.budgets[p]
	if l == nil {
		if len(s.budgets) >= maxBudgets {
			clear(s.budgets)
		}
		l = rate.NewLimiter(budgetRate, budgetBurst)
		s.budgets[p] = l
	}
	return l
}

// refuse notes that a stamp is not kept, unless it is. mu is held.
func (s *Shard) refuse(id sets.ID) {
	if _, kept := s.byID[id]; kept {
		return
	}
	if len(s.refused) >= maxRefused {
		clear(s.refused)
	}
	s.refused[id] = true
}

// forget drops devices that were not stamped for long, and makes the shard larger again when few are left.
func (s *Shard) forget(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, e := range s.kept {
		if p != s.me && now.Sub(e.heard) > Life {
			s.drop(p)
		}
	}
	if s.depth > 0 && s.set.Len() < s.o.Most/4 { // what is in the other half comes when it is compared
		s.depth--
		clear(s.refused)
		for p, e := range s.kept {
			if e.filter == nil && s.inside(p) {
				s.drop(p)
			}
		}
	}
}
