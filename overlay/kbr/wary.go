package kbr

import "slices"

// A wary search of a user goes by what can be checked of what strangers say (after Castro, Druschel, Ganesh, Rowstron, Wallach: "Secure Routing for Structured
// Peer-to-Peer Overlay Networks", OSDI 2002). Several searches, its trails, begin at different nodes, and no two ask the same one. A trail is over when somebody names
// those around the key, and these do not lie so much farther apart than those around the node that searches, that others must have been left out (their test for
// routing failure, section 5.2); who does not pass is a liar, or far away, and the trail goes on without that one. In the end the nearest that any has named are asked
// themselves, each of which names whom it knows that is nearer, until as many have answered as are wanted, and all that are as near as honest nodes must be: whoever
// crowds around a key is passed by.

const (
	// MaxTrails is how many trails a wary search can have.
	MaxTrails = 8

	trailAsks  = 20 // nodes that a trail asks before it gives up
	waryEnds   = 8  // ends that must have answered, at least
	waryRegion = 8  // and all that are named within what so many honest nodes take: none is in there once in 3,000 times
	waryNamed  = 16 // nodes that whoever holds a key for its own names around it
	waryLeast  = 8  // nodes that must be named to be judged, or half of what this node would name itself
	waryAtOnce = 4  // ends that are asked at once
)

// Doubt is how many times as far apart as those around an engine's node others may lie: 2 rejects one list of 16 honest nodes in 60, and lets one in 200 pass of which
// four of five were left out.
const Doubt = 2

// Sparse is Guard.Sparse for nodes at some distances from one place, itself included; each side of a place has one of so many parts of those that reach counts.
// Of nodes that are closer to each other than an eighth of what they should be one counts: others may be there to make up for whoever is left out.
func Sparse(reach func(n int) ID, at []ID, sides int) bool {
	slices.SortFunc(at, ID.Compare)
	apart, count, last := reach(sides).Scale(1, 8), 1, at[0]
	for _, a := range at[1:] {
		if !a.Sub(last).Less(apart) {
			last = a
			count++
		}
	}
	return reach(sides * Doubt * count).Less(at[len(at)-1].Sub(at[0]))
}

// Away returns how far nodes are from a key, as ends, the key itself included, in dst.
func Away(e Engine, key ID, nodes []Node, dst []ID) []ID {
	dst = append(dst, ID{})
	for _, n := range nodes {
		dst = append(dst, e.Distance(key, true, n))
	}
	return dst
}

// wary is what a wary search has beside others.
type wary struct {
	trails uint8
	untrod uint8  // trails that are not over
	on     bool   // it is wary, or a trail of one that is
	side   bool   // it is a trail itself
	over   bool   // of a trail: somebody has named those around the key
	trod   uint16 // as path of its trails, when these are over
	vain   uint16 // and as timeouts
	trunk  uint32 // of a trail: whose it is
	region ID     // ends within which must all have answered
	trail  [MaxTrails]uint32
}

// fork begins a wary search, if the engine is one for that. One that joins begins at whomever it knows of.
func (h *Host) fork(now Ticks, self Node, key ID, tag Tag, trails int, joins bool, out *Outbox) {
	e, ok := h.Engine(self).(Guard)
	if !ok {
		h.start(now, self, key, None, tag, h.Ends, false, out)
		return
	}
	slot, s := h.open(self)
	*s = search{key: key, began: now, tag: tag, self: self, gen: s.gen, joins: joins, metric: h.Metric, want: uint8(min(max(waryEnds, h.Ends), MaxNodes)), wary: wary{on: true, region: e.Reach(waryRegion)}}
	h.route = Message{Kind: Find, Key: key, Flags: AtHome | Around}
	h.fill(e, &h.route)
	home := h.route
	if home.Flags&Mine != 0 || home.Count == 0 {
		s.hear(now, e, self, &home)
		h.proceed(now, slot, out)
		return
	}
	count := min(trails, MaxTrails, int(home.Count))
	s.wary.trails, s.wary.untrod = uint8(count), uint8(count)
	for i := range count {
		trail, s := h.open(self)
		*s = search{key: e.Beside(key, i), began: now, self: self, gen: s.gen, joins: joins, metric: h.Metric, want: 1, wary: wary{on: true, side: true, trunk: slot}}
		for j := i; j < int(home.Count); j += count {
			s.learn(now, e, home.Nodes[j], false)
		}
		h.searches[slot].wary.trail[i] = trail
	}
	for _, trail := range h.searches[slot].wary.trail[:count] {
		h.follow(now, trail, out)
	}
}

// follow goes on with a trail, or ends it, and with the last one that they are trails.
func (h *Host) follow(now Ticks, slot uint32, out *Outbox) {
	s := &h.searches[slot]
	trunk := &h.searches[s.wary.trunk]
	if ask := h.onward(s, trunk); !s.wary.over && ask >= 0 {
		h.ask(s, slot, ask, out)
		return
	}
	if trunk.wary.untrod--; trunk.wary.untrod == 0 {
		h.join(now, s.wary.trunk, out)
	}
}

// trail returns that of a wary search on which a node was asked; what all of them ask has the tag of the search.
func (h *Host) trail(trunk *search, asks Node) (uint32, *search) {
	for _, slot := range trunk.wary.trail[:trunk.wary.trails] {
		s := &h.searches[slot]
		if i := s.find(asks); i >= 0 && s.list[i].state == asked {
			return slot, s
		}
	}
	return 0, nil
}

// onward returns whom a trail asks next, or less than 0. Whom another one has asked it passes by: that may be a liar, who hides whoever is behind.
func (h *Host) onward(s, trunk *search) int {
	if s.path+s.timeouts >= trailAsks {
		return -1
	}
	first := int(s.ends)
	if s.metric {
		first = 0
	}
next:
	for i := first; i < int(s.count); i++ {
		if s.list[i].state != fresh {
			continue
		}
		for _, other := range trunk.wary.trail[:trunk.wary.trails] {
			o := &h.searches[other]
			if j := o.find(s.list[i].node); j >= 0 && o.list[j].state != fresh {
				continue next
			}
		}
		return i
	}
	return -1
}

// weigh takes in an answer on a trail.
func (h *Host) weigh(now Ticks, s *search, e Guard, from Node, m *Message) {
	s.hear(now, e, from, m)
	s.wary.over = Plausible(e, s.key, m.Told()[:min(int(m.Ends), len(m.Told()))])
}

// Plausible reports whether nodes can be those around a key, going by those around the engine's node: they are enough, lie no farther apart, and do not all crowd there.
func Plausible(e Guard, key ID, named []Node) bool {
	var own [MaxNodes]Node
	least := max(1, min(waryLeast, len(e.Replicas(MaxNodes, own[:0]))/2))
	return len(named) >= least && !crowded(e, key, named) && !e.Sparse(e.Reach, key, named)
}

// plausible reports whether the ends of a search can be those around the key.
func (h *Host) plausible(s *search) bool {
	e, ok := h.Engine(s.self).(Guard)
	var room [MaxNodes]Node
	named := room[:0]
	for _, c := range s.list[:s.ends] {
		if (c.sure || c.state == answered) && c.state != dead && len(named) < MaxNodes {
			named = append(named, c.node)
		}
	}
	return !ok || Plausible(e, s.key, named)
}

// crowded reports whether nodes around a place all are so near to it that others, who are honest, may be behind them.
func crowded(e Guard, key ID, named []Node) bool {
	region := e.Reach(waryRegion)
	for _, n := range named {
		if !e.Distance(key, true, n).Less(region) {
			return false
		}
	}
	return true
}

// join goes on with the ends that the trails have found.
func (h *Host) join(now Ticks, slot uint32, out *Outbox) {
	s := &h.searches[slot]
	e := h.Engine(s.self)
	for _, trail := range s.wary.trail[:s.wary.trails] {
		t := &h.searches[trail]
		s.wary.trod += uint16(t.path)
		s.wary.vain += uint16(t.timeouts)
		for _, c := range t.list[:t.ends] {
			if c.sure || s.metric {
				s.learn(now, e, c.node, true)
			}
		}
		h.close(trail)
	}
	if i := s.find(s.self); i >= 0 {
		s.list[i].state = answered
	}
	h.proceed(now, slot, out)
}
