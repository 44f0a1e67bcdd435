package kbr

import "math"

// Bounds of a search.
const (
	shortlist = 48  // nodes that it keeps in mind
	maxAsks   = 128 // nodes that it asks before it gives up; halfway dead networks of a million need 40
)

// A search is one lookup. In an iterative one, who started it asks everybody on the way itself, always the nearest that it has heard of. Of a recursive one it only
// waits for the end, and each node on the way has a search for the next one; see carry.go.
// What every answer needs comes first, since a simulation has more searches than fit into a cache.
type search struct {
	key      ID
	began    Ticks
	tag      Tag
	self     Node
	gen      uint32 // of the slot
	joins    bool   // self is not in the network yet
	metric   bool   // see Host
	paths    uint8  // disjoint ones; 0 and 1 are one
	named    uint8  // as known, of nodes that are named now; 0 deals them out
	want     uint8  // how many ends must answer before it is over
	waits    bool   // it is recursive, and others have it
	checked  bool   // what it finds is to be judged; see wary.go
	flying   uint8  // asked, and nothing came yet
	path     uint8  // asked, and answered
	timeouts uint8  // asked in vain
	ends     uint8  // how many of the candidates are ends: the first ones
	count    uint8
	met      [4]uint64 // a bit for some nodes each; those that have none are not in the list
	carried  carried
	wary     wary
	list     [shortlist]candidate // nearest first
	far      [shortlist]uint64    // how far each of them is from the key: the first 64 bits of that, which seldom are the same
}

type candidate struct {
	node  Node
	named uint32 // when it was, as an end, in ticks since the search began
	state state
	sure  bool  // it was named as an end: it is asked with patience
	known uint8 // of disjoint paths: those on which it was named, a bit each
	by    uint8 // and the one on which it is asked
}

type state uint8

const (
	fresh state = iota
	asked
	answered
	slow // let the search wait, on the way: it is asked once more if it turns out to be an end
	dead
)

// A Result is how a search ended.
type Result struct {
	Key      ID
	Tag      Tag
	Self     Node // who searched
	Node     Node // whose the key is; None if the search ended nowhere
	Count    int  // how many of Nodes there are; 0 if the search ended nowhere
	Path     int  // nodes that were asked and answered, the last one included
	Timeouts int  // nodes that were asked in vain
	Began    Ticks
	Named    Ticks // when who searched first heard of Node as the end, before Node itself was asked; of iterative searches
	Ended    Ticks
	Heard    int // how many of Nodes have answered; of a recursive search that is Node alone

	// The ends, nearest first: Node, others that answered, and behind them those that were only named.
	Nodes [MaxNodes]Node
}

// add names one more end.
func (r *Result) add(n Node) {
	if r.Count < MaxNodes {
		r.Nodes[r.Count] = n
		r.Count++
	}
}

// asTag returns the tag of what a search asks.
func (s *search) asTag(slot uint32) Tag { return searchTag | Tag(s.gen)<<32 | Tag(slot) }

// since returns how long the search has gone on, which is not more than an hour.
func (s *search) since(now Ticks) uint32 { return uint32(min(now-s.began, math.MaxUint32)) }

// meet notes that a node is in the list now.
func (s *search) meet(n Node) { s.met[n/64%4] |= 1 << (n % 64) }

func (s *search) find(n Node) int {
	if s.met[n/64%4]&(1<<(n%64)) == 0 {
		return -1
	}
	for i := range s.list[:s.count] {
		if s.list[i].node == n {
			return i
		}
	}
	return -1
}

// learn takes in a node, as an end or as one on the way. Of what it has heard before it only learns that it is an end. Where there is one metric all are kept as
// ends, and one on the way that did not answer and is named as an end is asked once more.
func (s *search) learn(now Ticks, e Engine, n Node, end bool) {
	c := candidate{node: n, sure: end}
	if s.metric {
		if i := s.find(n); i >= 0 {
			s.list[i].known |= s.named
			if c := &s.list[i]; end && !c.sure {
				c.sure, c.named = true, s.since(now)
				if c.state == slow {
					c.state = fresh
				}
			}
			return
		}
		end, c.known = true, s.named
		if s.paths > 1 && s.named == 0 {
			c.known = 1 << (s.count % s.paths)
		}
	} else if i := s.find(n); i >= 0 {
		if !end || i < int(s.ends) {
			return
		}
		if c = s.list[i]; c.state == slow {
			c.state = fresh
		}
		c.sure = true
		copy(s.list[i:], s.list[i+1:s.count])
		copy(s.far[i:], s.far[i+1:s.count])
		s.count--
	}
	c.named = s.since(now)
	d := e.Distance(s.key, end, n)
	lo, hi := int(s.ends), int(s.count)
	if end {
		lo, hi = 0, int(s.ends)
	}
	for lo < hi {
		if m := (lo + hi) / 2; s.far[m] < d.hi || s.far[m] == d.hi && !d.Less(e.Distance(s.key, end, s.list[m].node)) {
			lo = m + 1
		} else {
			hi = m
		}
	}
	if lo == shortlist {
		return
	}
	s.count = min(s.count+1, shortlist) // the last one may go
	copy(s.list[lo+1:s.count], s.list[lo:])
	copy(s.far[lo+1:s.count], s.far[lo:])
	s.list[lo], s.far[lo] = c, d.hi
	s.meet(n)
	if end {
		s.ends = min(s.ends+1, shortlist)
	}
}

// hear takes in an answer to Find.
func (s *search) hear(now Ticks, e Engine, from Node, m *Message) {
	if s.named = 0; s.paths > 1 && from != s.self {
		i := s.find(from)
		if i < 0 {
			return // nearer ones have taken its place
		}
		s.named = 1 << s.list[i].by
	}
	if m.Flags&Mine != 0 {
		s.learn(now, e, from, true)
	}
	if i := s.find(from); i >= 0 {
		s.list[i].state = answered
	}
	for i, n := range m.Told() {
		if end := i < int(m.Ends); n != None && (n != s.self || end && !s.joins) {
			s.learn(now, e, n, end)
		}
	}
	if i := s.find(s.self); i >= 0 { // which need not be asked
		s.list[i].state = answered
	}
}

// silent returns the state of a candidate that was asked in vain, and only once if that was hasty.
func (s *search) silent(i int, hasty bool) state {
	switch {
	case !hasty:
		return dead
	case s.list[i].sure: // it was named as an end in the meantime
		return fresh
	}
	return slow
}

// next returns where the search ended, or whom to ask now, or neither, which is the end too when nothing is flying.
func (s *search) next(e Engine) (end Node, ask int) {
	waits, heard := false, uint8(0) // for an end that may still answer; from so many
	for i := range s.list[:s.count] {
		switch c := s.list[i]; {
		case c.state == fresh && s.path+s.timeouts+s.flying >= maxAsks:
			return s.rest(end), -1
		case c.state == fresh:
			return None, i
		case i >= int(s.ends):
		case c.state == asked:
			waits = true
		case c.state == answered:
			if end == None {
				end = c.node
			}
			if heard++; heard < s.want || s.wary.region != (ID{}) && heard < MaxNodes && e.Distance(s.key, true, c.node).Less(s.wary.region) {
				continue
			}
			if waits {
				return None, -1
			}
			return end, -1
		}
	}
	return s.rest(end), -1
}

// rest returns where a search ended that has nobody left to ask: at end, once nobody can answer any more.
func (s *search) rest(end Node) Node {
	if s.flying > 0 {
		return None
	}
	return end
}

// result returns how the search ended.
func (s *search) result(now Ticks, end Node) *Result {
	r := &Result{Key: s.key, Tag: s.tag &^ userTag, Self: s.self, Node: end, Path: int(s.path) + int(s.wary.trod), Timeouts: int(s.timeouts) + int(s.wary.vain), Began: s.began, Named: now, Ended: now}
	if end == None {
		return r
	}
	r.add(end)
	if i := s.find(end); i >= 0 {
		r.Named = s.began + Ticks(s.list[i].named)
	}
	for _, heard := range []bool{true, false} {
		for _, c := range s.list[:s.ends] {
			if (c.sure || heard && r.Count < int(s.want)) && c.node != end && c.state != dead && (c.state == answered) == heard {
				r.add(c.node)
			}
		}
		if heard {
			r.Heard = r.Count
		}
	}
	return r
}

// named puts all ends of a search into h.event.
func (h *Host) named(now Ticks, s *search, end Node) {
	r := s.result(now, end)
	h.ends = Message{Kind: Find, Key: s.key}
	h.ends.Count = uint8(copy(h.ends.Nodes[:], r.Nodes[:r.Count]))
	h.event.Msg = &h.ends
}
