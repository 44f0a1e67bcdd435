package kbr

// Tags of a host's own, and of searches that no engine asked for.
const (
	searchTag Tag = 1 << 63
	userTag   Tag = 1 << 62

	generations = 1 << 29 // of a slot for searches, so that answers to an earlier one are known for such
)

// A Host carries engines: it answers Find for them, runs their searches, and knows how long to wait for an answer. It serves all nodes of a process, one in a
// real node, and is called by one at a time. Its driver brings events and carries out the acts, but for Search, which is the host's.
type Host struct {
	Engine   func(Node) Engine
	RTT      func(Node) *RTT
	Parallel int  // how many nodes an iterative search asks at once; 0 is 1
	Ends     int  // how many of the nearest ends an iterative search of a user must have heard from; 0 is 1
	Paths    int  // disjoint paths of an iterative search of a user, of which each asks Parallel at once; 0 is 1; only with Metric
	Wary     int  // trails of the searches of Find, which then mistrust what they are told, and for which Ends counts but not Paths; 0 is none; not with Carried; see wary.go
	Checks   int  // trails of the wary search that follows one of an engine, which is in the network, when that has not ended among those around the key; 0 is none; see wary.go
	Carried  bool // searches of users are recursive; those of engines are not, since they need to go right more than fast
	Silent   bool // engines are not told whom searches ask in vain, as where a table is to stay as it is
	Learns   bool // engines are told Heard, unless Silent
	Metric   bool // Distance is the same for ends and for nodes on the way: no search is over while anybody nearer than its end may answer

	// Results of the searches that Find started; the driver empties it.
	Results []Result

	searches []search
	owners   []Node // of the searches that go on, by slot, beside them: there may be many, and Forget reads all of these
	free     []uint32
	event    Event
	route    Message
	ends     Message // of Found
}

// Suit sets what a kind of overlay, with all its nodes, has to say of how its engines are carried: Learns, Metric, and of its users' searches Parallel, Ends and Paths.
func (h *Host) Suit(kind any) {
	if k, ok := kind.(interface{ Learns() bool }); ok {
		h.Learns = k.Learns()
	}
	if k, ok := kind.(interface{ Metric() bool }); ok {
		h.Metric = k.Metric()
	}
	if k, ok := kind.(interface {
		Searches() (parallel, ends, paths int)
	}); ok {
		h.Parallel, h.Ends, h.Paths = k.Searches()
	}
}

// Find starts a search of self's user for a key. It ends in Results, with the tag.
func (h *Host) Find(now Ticks, self Node, key ID, tag Tag, out *Outbox) {
	first := len(out.Acts)
	switch {
	case h.Carried:
		h.send(now, self, key, tag|userTag, out)
	case h.Wary > 0:
		h.fork(now, self, key, tag|userTag, h.Wary, false, out)
	default:
		h.start(now, self, key, None, tag|userTag, h.Ends, false, out)
	}
	h.finish(now, self, out, first)
}

// FindWarily is Find with a search that is wary on so many trails, whatever Wary says; not with Carried.
func (h *Host) FindWarily(now Ticks, self Node, key ID, tag Tag, trails int, out *Outbox) {
	first := len(out.Acts)
	h.fork(now, self, key, tag|userTag, trails, false, out)
	h.finish(now, self, out, first)
}

// Step lets something happen to a node.
func (h *Host) Step(now Ticks, self Node, ev *Event, out *Outbox) {
	e := h.Engine(self)
	first := len(out.Acts)
	if (ev.What == Answer || ev.What == Late) && ev.Tag&searchTag != 0 { // not upkeep, which asks the same neighbours again and again
		h.RTT(self).Measure(ev.Took)
	}
	if h.Learns && !h.Silent && ev.heard() {
		h.event = Event{What: Heard, From: ev.From, Took: ev.Took}
		e.Step(now, &h.event, out)
	}
	switch {
	case ev.What == Late:
	case ev.What == Failed && ev.Try+1 < tries && !h.hasty(ev):
		out.Acts = append(out.Acts, Act{Do: Ask, To: ev.From, Tag: ev.Tag, Try: ev.Try + 1, Msg: *ev.Msg})
	case ev.What == Request && ev.Msg.Kind == Find:
		m := out.Reply(Find)
		m.Key, m.Flags = ev.Msg.Key, ev.Msg.Flags&(AsEnd|Around)
		h.fill(e, m)
		m.Flags &= Mine | Outside
	case ev.What == Request && ev.Msg.Kind == Carry:
		h.take(now, self, ev.Msg, out)
	case ev.What == Request && ev.Msg.Kind == Arrived:
		out.Reply(Arrived)
		h.arrived(now, self, ev.From, ev.Msg, out)
	case ev.What == Timer && ev.Tag&searchTag != 0:
		if slot, s := h.find(ev.Tag, self); s != nil {
			h.end(now, slot, None, out)
		}
	case ev.Tag&searchTag != 0 && (ev.What == Answer || ev.What == Failed):
		h.advance(now, self, ev, out)
	default:
		e.Step(now, ev, out)
	}
	h.finish(now, self, out, first)
}

// Warm reads what Step will read of a search. A driver that does so for several events, and then lets them happen, waits for its memory once and not as often as there
// are events: a processor fetches many places at the same time when none says where the next one is. Nothing depends on the sum that it returns.
func (h *Host) Warm(tag Tag) uint64 {
	slot := uint32(tag)
	if tag&searchTag == 0 || int(slot) >= len(h.searches) {
		return 0
	}
	s := &h.searches[slot]
	x := uint64(s.gen) + s.met[3]
	for i := 0; i < shortlist; i += 8 { // a line of a cache, or two
		x += uint64(s.list[i].node) + s.far[i]
	}
	return x
}

// heard reports whether the event shows that its From is in the network, and is none that the engine gets itself.
func (ev *Event) heard() bool {
	return (ev.What == Request && ev.Msg.Kind < Own || ev.What == Answer && ev.Tag&searchTag != 0) && ev.Msg.Flags&Outside == 0
}

// fill makes m an answer to Find. Where searches want several ends, or the one that asks is wary, whose the key is names who keeps copies.
func (h *Host) fill(e Engine, m *Message) {
	ends := min(h.Ends, MaxNodes)
	if m.Flags&Around != 0 {
		ends = max(ends, waryNamed)
	}
	e.Route(m)
	if m.Flags&Mine != 0 && ends > 1 && m.Count == 0 {
		m.Count = uint8(len(e.Replicas(ends, m.Nodes[:0])))
		m.Ends = m.Count
	}
}

// Forget ends the searches of a node that is gone, without a word to anybody.
func (h *Host) Forget(self Node) {
	for slot, p := range h.owners {
		if p == self {
			h.close(uint32(slot))
		}
	}
}

// open returns a free slot for a search of a node, of a new generation.
func (h *Host) open(self Node) (uint32, *search) {
	if len(h.free) == 0 {
		h.free = append(h.free, uint32(len(h.searches)))
		h.searches = append(h.searches, search{})
		h.owners = append(h.owners, None)
	}
	slot := h.free[len(h.free)-1]
	h.free = h.free[:len(h.free)-1]
	h.owners[slot] = self
	s := &h.searches[slot]
	s.gen = s.gen%(generations-1) + 1 // never 0
	return slot, s
}

func (h *Host) close(slot uint32) {
	h.owners[slot] = None
	h.free = append(h.free, slot)
}

// find returns the search that a tag is of, or nil if that is over.
func (h *Host) find(tag Tag, self Node) (slot uint32, s *search) {
	if slot = uint32(tag); tag&searchTag == 0 || int(slot) >= len(h.searches) {
		return 0, nil
	}
	if s = &h.searches[slot]; h.owners[slot] != self || s.asTag(slot) != tag {
		return 0, nil
	}
	return slot, s
}

// hasty reports whether it was a question of a search to one on the way: a search does not wait for it twice.
func (h *Host) hasty(ev *Event) bool {
	return ev.Tag&searchTag != 0 && ev.Msg.Flags&AsEnd == 0
}

// finish starts the searches that are asked for, and gives every question its time.
func (h *Host) finish(now Ticks, self Node, out *Outbox, first int) {
	wait := h.RTT(self).Wait()
	for i := first; i < len(out.Acts); i++ { // which grows
		switch a := &out.Acts[i]; a.Do {
		case Ask:
			a.Wait = min(mostWait, wait<<min(a.Try, tries))
		case Search:
			h.start(now, self, a.Msg.Key, a.To, a.Tag, int(a.Msg.Ends), a.Msg.Flags&Around != 0, out)
		}
	}
}

func (h *Host) start(now Ticks, self Node, key ID, via Node, tag Tag, ends int, around bool, out *Outbox) {
	slot, s := h.open(self)
	*s = search{key: key, began: now, tag: tag, self: self, gen: s.gen, joins: via != None, checked: h.Checks > 0 && tag&userTag == 0 && (via == None || around), metric: h.Metric, want: uint8(min(max(1, ends), MaxNodes))}
	if h.Metric && tag&userTag != 0 && h.Paths > 1 {
		s.paths = uint8(min(h.Paths, MaxPaths))
	}
	e := h.Engine(self)
	if via != None {
		s.learn(now, e, via, false)
	} else {
		h.route = Message{Kind: Find, Key: key, Flags: AtHome}
		h.fill(e, &h.route)
		s.hear(now, e, self, &h.route)
	}
	h.proceed(now, slot, out)
}

// advance takes in what came of asking somebody.
func (h *Host) advance(now Ticks, self Node, ev *Event, out *Outbox) {
	slot, s := h.find(ev.Tag, self)
	if s == nil || s.waits {
		return
	}
	if s.wary.untrod > 0 {
		if slot, s = h.trail(s, ev.From); s == nil {
			return
		}
	}
	s.flying--
	carries := s.carried.origin != None
	if ev.What == Answer && ev.Msg.Flags&Outside == 0 {
		if carries {
			h.close(slot)
			return
		}
		s.path++
		if s.wary.side {
			h.weigh(now, s, h.Engine(self).(Guard), ev.From, ev.Msg)
		} else {
			s.hear(now, h.Engine(self), ev.From, ev.Msg)
		}
	} else {
		s.timeouts++
		if i := s.find(ev.From); i >= 0 {
			s.list[i].state = s.silent(i, ev.What == Failed && h.hasty(ev))
		}
		if !h.Silent && ev.What == Failed {
			h.event = Event{What: Failed, From: ev.From}
			if h.hasty(ev) {
				h.event.What = Slow
			}
			h.Engine(self).Step(now, &h.event, out)
		}
	}
	if carries {
		h.pass(now, slot, out)
	} else {
		h.proceed(now, slot, out)
	}
}

// proceed asks whom there is to ask, or ends the search.
func (h *Host) proceed(now Ticks, slot uint32, out *Outbox) {
	s := &h.searches[slot]
	switch {
	case s.wary.side:
		h.follow(now, slot, out)
		return
	case s.paths > 1:
		h.spread(now, slot, out)
		return
	}
	parallel := max(1, h.Parallel)
	if s.wary.region != (ID{}) {
		parallel = max(parallel, waryAtOnce)
	}
	for int(s.flying) < parallel {
		end, ask := s.next(h.Engine(s.self))
		if ask < 0 && (end != None || s.flying == 0) {
			h.end(now, slot, end, out)
			return
		}
		if ask < 0 {
			return
		}
		h.ask(s, slot, ask, out)
	}
}

// ask asks a candidate.
func (h *Host) ask(s *search, slot uint32, ask int, out *Outbox) {
	c := &s.list[ask]
	c.state = asked
	s.flying++
	tag := s.asTag(slot)
	if s.wary.side {
		tag = h.searches[s.wary.trunk].asTag(s.wary.trunk)
	}
	m := out.Ask(c.node, Find, tag)
	m.Key = s.key
	if c.sure {
		m.Flags = AsEnd
	}
	if s.joins {
		m.Flags |= Outside
	}
	if s.wary.on || s.checked && c.sure && s.ends < waryLeast {
		m.Flags |= Around
	}
}

func (h *Host) end(now Ticks, slot uint32, end Node, out *Outbox) {
	s := &h.searches[slot]
	h.close(slot)
	if s.checked && end != None && end != s.self && !h.plausible(s) {
		h.fork(now, s.self, s.key, s.tag, h.Checks, s.joins, out)
		return
	}
	if s.tag&userTag != 0 {
		h.Results = append(h.Results, *s.result(now, end))
		return
	}
	h.event = Event{What: Found, From: end, Tag: s.tag}
	if end == None {
		h.event.What = Lost
	} else {
		h.named(now, s, end)
	}
	h.Engine(s.self).Step(now, &h.event, out)
}
