package kbr

// A recursive search goes from hand to hand: each node carries it to the next one, which says that it has it, and the last one tells whoever searched. It takes
// half as long as an iterative one, whose every answer comes back first, and who searched cannot see where it stays.

// searchLimit is how long a recursive search may be on its way.
const searchLimit = 30 * Second

// carried is what a node must know of a search that it carries.
type carried struct {
	origin Node // who searches
	tag    Tag  // of the search there
	hops   uint8
	vain   uint8 // how many were asked in vain before
	asEnd  bool  // the carrier was named as where the search ends
}

// send begins a recursive search.
func (h *Host) send(now Ticks, self Node, key ID, tag Tag, out *Outbox) {
	slot, s := h.open(self)
	*s = search{key: key, began: now, tag: tag, self: self, gen: s.gen, waits: true}
	out.After(searchLimit, s.asTag(slot))
	h.carry(now, self, &Message{Kind: Carry, Key: key, Node: self, Tag: s.asTag(slot)}, out)
}

// take answers whether this node takes a search over, and does.
func (h *Host) take(now Ticks, self Node, m *Message, out *Outbox) {
	h.route = Message{Kind: Find, Key: m.Key}
	h.Engine(self).Route(&h.route)
	a := out.Reply(Carry)
	if a.Flags = h.route.Flags & Outside; a.Flags == 0 && m.Node != None {
		h.carry(now, self, m, out)
	}
}

// carry takes a search over, and brings it on or to its end.
func (h *Host) carry(now Ticks, self Node, m *Message, out *Outbox) {
	e := h.Engine(self)
	c := carried{origin: m.Node, tag: m.Tag, hops: m.Hops, vain: m.Vain, asEnd: m.Flags&AsEnd != 0}
	h.route = Message{Kind: Find, Key: m.Key, Flags: m.Flags&AsEnd | AtHome}
	e.Route(&h.route)
	if h.route.Flags&Mine != 0 || c.asEnd && h.route.Ends == 0 {
		h.arrive(now, self, m.Key, c, out)
		return
	}
	slot, s := h.open(self)
	*s = search{key: m.Key, began: now, self: self, gen: s.gen, metric: h.Metric, want: 1, carried: c}
	s.hear(now, e, None, &h.route)
	h.pass(now, slot, out)
}

// pass asks the next one to carry a search.
func (h *Host) pass(now Ticks, slot uint32, out *Outbox) {
	s := &h.searches[slot]
	end, ask := s.next(h.Engine(s.self))
	switch c := s.carried; {
	case end != None: // it is this node itself, that another one had on its list
		h.close(slot)
		h.arrive(now, s.self, s.key, c, out)
	case ask < 0 && (c.asEnd || s.metric): // whoever was nearer is gone
		c.vain += s.timeouts
		h.close(slot)
		h.arrive(now, s.self, s.key, c, out)
	case ask < 0 || c.hops >= maxAsks:
		h.close(slot) // nobody is left to carry it to
	default:
		s.list[ask].state = asked
		s.flying++
		m := out.Ask(s.list[ask].node, Carry, s.asTag(slot))
		m.Key, m.Node, m.Tag, m.Hops, m.Vain = s.key, c.origin, c.tag, c.hops+1, c.vain+s.timeouts
		if s.list[ask].sure {
			m.Flags = AsEnd
		}
	}
}

// arrive ends a recursive search at the node whose the key is.
func (h *Host) arrive(now Ticks, self Node, key ID, c carried, out *Outbox) {
	if c.origin == self {
		h.arrived(now, self, self, h.arrival(self, key, c, &h.route), out)
		return
	}
	h.arrival(self, key, c, out.Ask(c.origin, Arrived, searchTag)) // of no search: only that it is asked again, if need be, matters
}

// arrival fills in a message about the end of a search.
func (h *Host) arrival(self Node, key ID, c carried, m *Message) *Message {
	*m = Message{Kind: Arrived, Flags: AsEnd, Key: key, Tag: c.tag, Hops: c.hops, Vain: c.vain}
	if h.Ends > 1 {
		m.Count = uint8(len(h.Engine(self).Replicas(min(h.Ends, MaxNodes), m.Nodes[:0])))
	}
	return m
}

// arrived hears that a search of self's has ended at a node.
func (h *Host) arrived(now Ticks, self, at Node, m *Message, out *Outbox) {
	if slot, s := h.find(m.Tag, self); s != nil && s.waits {
		s.path, s.timeouts = m.Hops, m.Vain
		for _, n := range m.Told() {
			if n != None && n != at && s.find(n) < 0 {
				s.list[s.count] = candidate{node: n, named: s.since(now), sure: true}
				s.meet(n)
				s.count++
			}
		}
		s.ends = s.count
		h.end(now, slot, at, out)
	}
}
