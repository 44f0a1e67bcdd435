package pastry

import (
	"slices"

	"kith/overlay/kbr"
)

// What nodes say to each other, beside kbr.Find.
const (
	leafs   = kbr.Own + iota // tells a leaf set, and asks for one
	row                      // asks for a row of the routing table, in Hops
	hood                     // asks for a neighbourhood set
	ping                     // asks whether somebody is there
	leaving                  // says: I go
)

// Flags of these.
const (
	isMember uint8 = 1 << iota // who says it is in the network
	isWhole                    // and its leaf set goes all around the ring
)

// A tag says which question, search or timer it is in the lowest byte, and about what above it.
const (
	askNothing   kbr.Tag = iota // what a search asked
	askClockwise                // for the leaf set of the nearest on that side
	askCounter                  // and on the other
	askLeaf                     // for that of any other leaf
	askOwner                    // of a join: for that of the nearest
	askProbe                    // whether somebody is there whom another one named
	askRow                      // for a row of an entry's of the routing table
	askWalk                     // of a join: for a row
	askHood                     // for a neighbourhood set
	findPlace                   // of a join: where I belong
	findCell                    // somebody for an empty place in the routing table
	findSelf                    // whom others hold for the nearest to me
	timeRound
	timeJoin
)

func about(what kbr.Tag, n int) kbr.Tag { return what | kbr.Tag(n)<<8 }

// timer returns the tag of a timer that counts in this life of the node, and not in the next.
func (p *Pastry) timer(what kbr.Tag) kbr.Tag { return about(what, int(p.turn)) }

// What rounds do beside the rest, in turn.
const (
	roundHood = iota
	roundCell
	roundGone
	kinds
)

// Step implements kbr.Engine.
func (p *Pastry) Step(_ kbr.Ticks, ev *kbr.Event, o *kbr.Outbox) {
	p.same = false
	switch ev.What {
	case kbr.Start:
		p.reset(member, kbr.None)
		o.After(p.round(ev.Draw), p.timer(timeRound))
	case kbr.Join:
		p.reset(joining, ev.From)
		o.Search(p.id(), p.via, findPlace)
	case kbr.Resume:
		o.After(kbr.Ticks(ev.Draw%uint64(p.ring.Round)), p.timer(timeRound))
	case kbr.Leave:
		p.leave(o)
	case kbr.Meet:
		if p.phase == member && ev.From != p.self { // two rings grow into one from where their leaf sets touch
			o.Search(p.id(), ev.From, findSelf)
		}
	case kbr.Request:
		p.reply(ev, o)
	case kbr.Notice:
		if ev.Msg.Kind == leaving {
			p.drop(ev.From)
		}
	case kbr.Timer:
		p.wake(ev, o)
	case kbr.Found, kbr.Lost:
		p.found(ev, o)
	case kbr.Slow:
		if p.phase == member {
			p.probe(ev.From, o)
		}
	case kbr.Answer, kbr.Failed:
		p.hear(ev, o)
	}
}

// round returns how long it is to the next round.
func (p *Pastry) round(draw uint64) kbr.Ticks {
	r := p.ring.Round
	return r/2 + kbr.Ticks(draw%uint64(r))
}

func (p *Pastry) reply(ev *kbr.Event, o *kbr.Outbox) {
	m := ev.Msg
	a := o.Reply(ping)
	if p.phase != member {
		return
	}
	a.Flags = isMember
	switch m.Kind {
	case leafs:
		a.Kind = leafs
		p.tell(a)
	case row:
		a.Kind = row
		if int(m.Hops) < p.ring.rows() {
			for _, n := range p.row(int(m.Hops)) {
				if n != kbr.None {
					a.Add(n)
				}
			}
		}
	case hood:
		a.Kind = hood
		for _, n := range p.nears()[p.ring.cells():] {
			if n != kbr.None {
				a.Add(n)
			}
		}
	}
	if m.Kind != leafs || m.Flags&isMember == 0 {
		return
	}
	if slices.Contains(p.gone[:], ev.From) { // it may have asked before it went: what is said last need not come last
		p.probe(ev.From, o)
	} else { // who asks is there
		p.meet(ev.From, 0)
		p.put(ev.From, p.around())
	}
	p.learn(m, o)
}

func (p *Pastry) wake(ev *kbr.Event, o *kbr.Outbox) {
	switch what := ev.Tag & 0xff; {
	case ev.Tag>>8 != kbr.Tag(p.turn): // of an earlier life
	case what == timeJoin && p.phase == joining:
		o.Search(p.id(), p.via, findPlace)
	case what == timeRound && p.phase == member:
		o.After(p.round(ev.Draw), p.timer(timeRound))
		p.upkeep(ev.Draw, o)
	}
}

// upkeep is a round: leaf sets are exchanged with the nearest on both sides and with another leaf in turn, some entries of the routing table are asked for
// their rows, and something more happens, each time something else.
func (p *Pastry) upkeep(draw uint64, o *kbr.Outbox) {
	p.rounds++
	p.exchange(0, o)
	if p.at(1, 0) != p.at(0, 0) {
		p.exchange(1, o)
	}
	if count := int(p.leafs[0]) + int(p.leafs[1]); count > 2 {
		side, i := 0, int(p.rounds)%count
		if i >= int(p.leafs[0]) {
			side, i = 1, i-int(p.leafs[0])
		}
		if i > 0 {
			p.tell(o.Ask(p.at(side, i), leafs, askLeaf))
		}
	}
	for range p.ring.Probes {
		p.tune(o)
	}
	switch p.rounds % kinds {
	case roundHood:
		if n := anyOf(p.nears()[p.ring.cells():], uint64(p.rounds)/kinds); n != kbr.None {
			o.Ask(n, hood, askHood)
		}
	case roundCell:
		p.fill(draw, o)
	case roundGone:
		if n := anyOf(p.gone[:], draw); n != kbr.None { // it may have been the line, and there may be two rings now
			p.probe(n, o)
		}
	}
}

// anyOf draws one of some nodes, or None if there are none.
func anyOf(nodes []kbr.Node, draw uint64) kbr.Node {
	for i := range nodes {
		if n := nodes[(draw%uint64(len(nodes))+uint64(i))%uint64(len(nodes))]; n != kbr.None {
			return n
		}
	}
	return kbr.None
}

// exchange tells the leaf set to the nearest on a side, and asks for its own.
func (p *Pastry) exchange(side int, o *kbr.Outbox) {
	if n := p.at(side, 0); n != kbr.None {
		p.tell(o.Ask(n, leafs, askClockwise+kbr.Tag(side)))
	}
}

// tune asks the next entry of the routing table whether it is there, and for its row.
func (p *Pastry) tune(o *kbr.Outbox) {
	cells := p.nears()[:p.ring.cells()]
	for range cells {
		at := int(p.cell) % len(cells)
		p.cell = uint16(at + 1)
		if n := cells[at]; n != kbr.None {
			r := at >> p.ring.Digit
			o.Ask(n, row, about(askRow, r)).Hops = uint8(r)
			return
		}
	}
}

// fill looks for somebody for an empty place in a row of the routing table that has others.
func (p *Pastry) fill(draw uint64, o *kbr.Outbox) {
	last := 0
	for r := range p.ring.rows() {
		if anyOf(p.row(r), 0) != kbr.None {
			last = r
		}
	}
	r := int(draw % uint64(last+1))
	cells := p.row(r)
	for i := range cells {
		d := (int(draw>>8%uint64(len(cells))) + i) % len(cells)
		if cells[d] == kbr.None && d != p.ring.digit(p.id(), r) {
			key := p.id()
			shift := kbr.Bits - (r+1)*p.ring.Digit
			for d := (d - p.ring.digit(key, r)) & (len(cells) - 1); d > 0; d-- { // further on by so many digits, and what carries over goes back
				key = key.Add(kbr.Power(shift))
			}
			if p.ring.shared(key, p.id()) != r {
				key = key.Sub(kbr.Power(shift + p.ring.Digit))
			}
			o.Search(key, kbr.None, about(findCell, r))
			return
		}
	}
}

// probe asks a node whether it is there, unless that is being asked.
func (p *Pastry) probe(n kbr.Node, o *kbr.Outbox) {
	if n == kbr.None || n == p.self || slices.Contains(p.flying[:], n) {
		return
	}
	if i := slices.Index(p.flying[:], kbr.None); i >= 0 {
		p.flying[i] = n
		o.Ask(n, ping, askProbe)
	}
}

// learn hears of leafs of another one's: who belongs into the leaf set, or into an empty place of the routing table, is asked whether it is there.
func (p *Pastry) learn(m *kbr.Message, o *kbr.Outbox) {
	fresh := false
	for _, n := range m.Told() {
		if n == kbr.None || n == p.self || p.isLeaf(n) {
			continue
		}
		fresh = fresh || !slices.Contains(p.gone[:], n)
		if p.wants(n) || p.lacks(n) {
			p.probe(n, o)
		}
	}
	if p.known++; fresh {
		p.known = 0
	} else if int(p.known) > 2*int(p.leafs[0]+p.leafs[1]) { // all leafs have been asked, and know of nobody else: this is the whole ring
		p.known = 0
		p.close()
	}
}

// compare hears of a row of another one's: who belongs into an empty place is asked whether it is there; and one of those whose place is taken, since it may be nearer.
func (p *Pastry) compare(m *kbr.Message, o *kbr.Outbox) {
	told := m.Told()
	nearer := true
	for i := range told {
		n := told[(int(p.rounds)+i)%len(told)]
		if n == kbr.None || n == p.self {
			continue
		}
		at := p.cellOf(n)
		if at < 0 || p.nears()[at] == n {
			continue
		}
		if p.nears()[at] == kbr.None || nearer || p.wants(n) {
			nearer = nearer && p.nears()[at] == kbr.None
			p.probe(n, o)
		}
	}
}

// drop forgets a node that does not answer or has left, but not at once that it was there.
func (p *Pastry) drop(n kbr.Node) {
	if !slices.Contains(p.gone[:], n) {
		p.gone[p.miss%missed] = n
		p.miss++
	}
	p.forget(n) // first: an empty side of the leaf set is filled from the tables
	p.unleaf(n)
}

// hear takes in what came of a question.
func (p *Pastry) hear(ev *kbr.Event, o *kbr.Outbox) {
	what, arg := ev.Tag&0xff, int(ev.Tag>>8)
	in := ev.What == kbr.Answer && ev.Msg.Flags&isMember != 0
	if what == askProbe {
		if i := slices.Index(p.flying[:], ev.From); i >= 0 {
			p.flying[i] = kbr.None
		}
	}
	if p.phase == joining && (what == askOwner || what == askProbe) {
		p.join(what, in, ev, o)
		return
	}
	if p.phase != member {
		return
	}
	if !in {
		p.drop(ev.From)
		switch what {
		case askClockwise, askCounter:
			p.exchange(int(what-askClockwise), o) // with the next one
		case askWalk:
			p.walk(arg, nil, o)
		}
		return
	}
	if i := slices.Index(p.gone[:], ev.From); i >= 0 {
		p.gone[i] = kbr.None
	}
	p.meet(ev.From, ev.Took)
	nearest := p.put(ev.From, p.around())
	switch what {
	case askProbe:
		for s, is := range nearest {
			if is {
				p.exchange(s, o) // at once: there may be more between, when many have joined in one place
			}
		}
	case askClockwise, askCounter, askLeaf:
		p.learn(ev.Msg, o)
	case askRow, askHood:
		p.compare(ev.Msg, o)
	case askWalk:
		p.compare(ev.Msg, o)
		p.walk(arg+1, ev.Msg.Told(), o)
	}
}

// leave tells the leafs that this node goes.
func (p *Pastry) leave(o *kbr.Outbox) {
	if p.phase == member {
		var m kbr.Message
		p.tell(&m)
		for _, n := range m.Told() {
			o.Tell(n, leaving)
		}
	}
	p.reset(out, kbr.None)
}
