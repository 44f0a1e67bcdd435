package chord

import (
	"slices"

	"kith/overlay/kbr"
)

// What nodes say to each other, beside kbr.Find.
const (
	state   = kbr.Own + iota // asks for a node's predecessor, in Node, and its successor list
	notify                   // says: I hold you for my successor
	leaving                  // says: I go, and my predecessor, in Node, and my successors have me no more
	ping                     // asks whether somebody is there
	meet                     // says: Node, or I, may be in another ring; see merge.go
	changed                  // says: you hold me for your successor, and I have other neighbours than before; see Config.Eager
	present                  // says: I come soon after you; see doubts.go
)

// isMember is the flag of an answer to state and to ping: who answers is in the ring.
const isMember uint8 = 1

// A tag says which question, search or timer it is in the lowest byte, and about which node, or finger, above it.
const (
	askSuccessor   kbr.Tag = iota // Zave: stabilize from successor
	askBetween                    // Zave: stabilize from predecessor, that is, from the one that my successor has for its predecessor
	askPredecessor                // Zave: rectify
	askAlive                      // whether somebody is gone who let a search wait
	askFinger                     // of a new finger: who comes after it
	askAlternate                  // of one of those: how far it is
	askOwner                      // of a join: who will come after me
	askBefore                     // of a join: who comes before me
	askLast                       // of a join: who will come after me, and has nobody before it
	findPlace                     // of a join: where I belong
	findFinger
	findMet    // where I would belong in another ring
	findBefore // who comes before me; see doubts.go
	askOther   // how things stand further on; see doubts.go
	askVia     // of a join: what it is like around whom I join through
	askMet     // the one that comes after me there
	timeRound
	timeJoin
)

func about(what kbr.Tag, n kbr.Node) kbr.Tag { return what | kbr.Tag(n)<<8 }
func split(tag kbr.Tag) (kbr.Tag, kbr.Node)  { return tag & 0xff, kbr.Node(tag >> 8) }

// timer returns the tag of a timer that counts in this life of the node, and not in the next.
func (c *Chord) timer(what kbr.Tag) kbr.Tag { return what | kbr.Tag(c.turn)<<8 }

// maxWalk is how many nodes a join goes along the ring from where its search ended, when others join at the same place.
const maxWalk = 16

// Step implements kbr.Engine.
func (c *Chord) Step(_ kbr.Ticks, ev *kbr.Event, o *kbr.Outbox) {
	if !c.ring.Eager {
		c.step(ev, o)
		return
	}
	pred, succ, succs := c.pred, c.succ, c.succs
	c.step(ev, o)
	if c.phase != member {
		return
	}
	if c.pred != kbr.None && !slices.Equal(succ[:succs], c.successors()) {
		o.Tell(c.pred, changed)
	}
	if pred != kbr.None && pred != c.pred && c.pred != kbr.None { // somebody has come between
		o.Tell(pred, changed)
	}
}

func (c *Chord) step(ev *kbr.Event, o *kbr.Outbox) {
	switch ev.What {
	case kbr.Start:
		*c = Chord{ring: c.ring, self: c.self, turn: c.turn + 1, phase: member}
		o.After(c.round(ev.Draw), c.timer(timeRound))
	case kbr.Join:
		*c = Chord{ring: c.ring, self: c.self, turn: c.turn + 1, phase: joining, via: ev.From}
		c.seek(o)
	case kbr.Resume:
		o.After(kbr.Ticks(ev.Draw%uint64(c.ring.Round)), c.timer(timeRound))
	case kbr.Leave:
		c.leave(o)
	case kbr.Meet:
		if c.phase == member {
			c.meet(ev.From, o)
		}
	case kbr.Request:
		c.reply(ev.Msg, o)
	case kbr.Notice:
		if ev.Msg.Kind == notify && c.phase == member {
			c.rectify(ev.From, o)
		}
		if ev.Msg.Kind == leaving && c.phase == member {
			c.left(ev.From, ev.Msg, o)
		}
		if ev.Msg.Kind == present && c.phase == member && c.ring.Doubts {
			c.insert(ev.From)
		}
		if ev.Msg.Kind == changed && c.phase == member && c.succs > 0 && ev.From == c.succ[0] {
			o.Ask(ev.From, state, askSuccessor)
		}
		if ev.Msg.Kind == meet && c.phase == member {
			c.told(ev.From, ev.Msg.Node, o)
		}
	case kbr.Timer:
		c.wake(ev, o)
	case kbr.Found, kbr.Lost:
		c.found(ev, o)
	case kbr.Slow:
		if c.phase == member && c.knows(ev.From) {
			o.Ask(ev.From, ping, askAlive)
		}
	case kbr.Answer, kbr.Failed:
		if ev.What == kbr.Failed {
			c.drop(ev.From)
		}
		if what, _ := split(ev.Tag); what == askOwner || what == askBefore || what == askLast || what == askVia {
			c.join(ev, o)
		} else if c.phase == member {
			c.answer(ev, o)
		}
	}
}

// round returns how long it is to the next round.
func (c *Chord) round(draw uint64) kbr.Ticks {
	r := c.ring.Round
	return r/2 + kbr.Ticks(draw%uint64(r))
}

func (c *Chord) reply(m *kbr.Message, o *kbr.Outbox) {
	switch m.Kind {
	case state:
		a := o.Reply(state)
		if c.phase == member {
			a.Flags, a.Node, a.Count = isMember, c.pred, c.succs
			copy(a.Nodes[:], c.successors())
		}
	default:
		if a := o.Reply(ping); c.phase == member {
			a.Flags = isMember
		}
	}
}

func (c *Chord) wake(ev *kbr.Event, o *kbr.Outbox) {
	switch what := ev.Tag & 0xff; {
	case ev.Tag>>8 != kbr.Tag(c.turn): // of an earlier life
	case what == timeJoin && c.phase == joining:
		c.seek(o)
	case what == timeRound && c.phase == member:
		o.After(c.round(ev.Draw), c.timer(timeRound))
		c.met = 0
		c.stabilize(o)
		if c.ring.Doubts {
			c.doubt(ev.Draw, o)
		}
		if c.rounds++; int(c.rounds) >= c.ring.Repair {
			c.rounds = 0
			c.repair(o)
		}
	}
}

// stabilize asks the successor how things stand; where there is none, who holds this node for its own successor.
func (c *Chord) stabilize(o *kbr.Outbox) {
	switch {
	case c.succs > 0:
		o.Ask(c.succ[0], state, askSuccessor)
	case c.pred != kbr.None:
		o.Ask(c.pred, state, askBetween)
	default:
		for _, f := range c.finger { // all successors are gone at once: in again, through whom is left
			if f != kbr.None {
				c.phase, c.via, c.walked = joining, f, 0
				c.turn++
				c.seek(o)
				return
			}
		}
	}
}

// answer takes in what came of a question.
func (c *Chord) answer(ev *kbr.Event, o *kbr.Outbox) {
	in := ev.What == kbr.Answer && ev.Msg.Flags&isMember != 0
	ok := in && ev.Msg.Kind == state
	switch what, n := split(ev.Tag); what {
	case askSuccessor:
		switch {
		case ev.What == kbr.Failed:
			c.stabilize(o) // with the next one
		case !ok:
			c.drop(ev.From)
			c.stabilize(o)
		case c.succs > 0 && ev.From == c.succ[0]: // else another answer was there before
			c.renew(ev.From, ev.Msg.Told(), o)
			if p := ev.Msg.Node; p != kbr.None && p != c.self && c.between(c.self, p, ev.From) {
				o.Ask(p, state, askBetween)
				return
			}
			o.Tell(ev.From, notify)
		}
	case askBetween:
		if ok && (c.succs == 0 || c.between(c.self, ev.From, c.succ[0])) {
			c.renew(ev.From, ev.Msg.Told(), o)
			c.stabilize(o) // at once: there may be more between, when many have joined in one place
		} else if c.succs > 0 {
			o.Tell(c.succ[0], notify)
		}
	case askPredecessor:
		if !in && (c.pred == kbr.None || c.pred == ev.From) {
			c.pred = n
		}
	case askFinger, askAlternate:
		if in && int(n) < Fingers && kbr.Node(c.fix) == n+1 { // else another finger is looked for now
			c.consider(what, int(n), ev, o)
		}
	case askOther:
		if ok {
			c.extend(ev.Msg.Told(), o)
		}
	case askMet:
		if ok {
			c.merge(ev.From, ev.Msg.Told(), o)
		}
	case askAlive:
		if !in {
			c.drop(ev.From)
		}
	}
}

// rectify hears that a node holds this one for its successor.
func (c *Chord) rectify(from kbr.Node, o *kbr.Outbox) {
	switch {
	case from == c.self || from == c.pred:
	case c.pred == kbr.None || c.between(c.pred, from, c.self):
		c.pred = from
	default:
		o.Ask(c.pred, ping, about(askPredecessor, from))
	}
	if c.succs == 0 && c.pred != kbr.None { // it was alone: on a ring of two who comes before comes after too
		o.Ask(c.pred, state, askBetween)
	}
}

// leave tells the neighbours that this node goes (ToN'03, section IV.E).
func (c *Chord) leave(o *kbr.Outbox) {
	if c.phase == member {
		for i, to := range []kbr.Node{c.pred, c.succ[0]} {
			if to == kbr.None || i == 1 && (c.succs == 0 || to == c.pred) {
				continue
			}
			m := o.Tell(to, leaving)
			m.Node, m.Count = c.pred, c.succs
			copy(m.Nodes[:], c.successors())
		}
	}
	*c = Chord{ring: c.ring, self: c.self, turn: c.turn + 1}
}

// left hears that a node goes, which tells who stands behind it.
func (c *Chord) left(from kbr.Node, m *kbr.Message, o *kbr.Outbox) {
	next, told := c.succs > 0 && c.succ[0] == from, m.Told()
	before := c.pred == from
	c.drop(from)
	if next && len(told) > 0 {
		c.renew(told[0], told[1:], o)
	}
	if before && m.Node != c.self {
		c.pred = m.Node
	}
}

// repair looks for one finger anew: the next one that is farther than the successor list reaches.
func (c *Chord) repair(o *kbr.Outbox) {
	if c.succs == 0 || c.phase != member {
		return
	}
	if int(c.fix) >= Fingers {
		c.fix = 0
	}
	start := c.start(int(c.fix))
	if kbr.Follows(c.id(), start, c.ring.id(c.succ[c.succs-1])) {
		for i := int(c.fix); i < Fingers; i++ {
			c.finger[i] = kbr.None
		}
		c.fix = 0
		if start = c.start(0); kbr.Follows(c.id(), start, c.ring.id(c.succ[c.succs-1])) {
			return
		}
	}
	o.Search(start, kbr.None, about(findFinger, kbr.Node(c.fix)))
	c.fix++
}

// never is a round trip longer than all.
const never = kbr.Ticks(1<<63 - 1)

// consider takes a node for a finger if it is the nearest so far, in time, and after the first asks those that come after it.
func (c *Chord) consider(what kbr.Tag, finger int, ev *kbr.Event, o *kbr.Outbox) {
	if ev.Took < c.best {
		c.best, c.finger[finger] = ev.Took, ev.From
	}
	if what == askAlternate || ev.Msg.Kind != state {
		return
	}
	told := ev.Msg.Told()
	for _, n := range told[:min(len(told), c.ring.Alternates-1)] {
		if n != kbr.None && n != c.self {
			o.Ask(n, ping, about(askAlternate, kbr.Node(finger)))
		}
	}
}

// start returns from where on the i-th finger is the first node.
func (c *Chord) start(i int) kbr.ID { return c.id().Add(kbr.Power(kbr.Bits - 1 - i)) }

// found takes in the end of a search.
func (c *Chord) found(ev *kbr.Event, o *kbr.Outbox) {
	switch what, n := split(ev.Tag); {
	case what == findFinger && ev.What == kbr.Found && n < Fingers && c.phase == member:
		c.finger[n] = ev.From
		if ev.From == c.self {
			c.finger[n] = kbr.None
		} else if c.best = never; c.ring.Alternates > 1 {
			o.Ask(ev.From, state, about(askFinger, n))
		}
	case what == findMet:
		if ev.What == kbr.Found && ev.From != c.self && c.phase == member {
			o.Ask(ev.From, state, askMet)
		}
	case what == findPlace && c.phase != joining:
	case what == findBefore:
		if ev.What == kbr.Found && c.phase == member {
			c.tellThose(ev.Msg.Told(), o)
		}
	case what == findPlace && ev.What == kbr.Found && ev.From != c.self:
		if c.ring.Doubts {
			c.note(ev.Msg.Told())
		}
		o.Ask(ev.From, state, askOwner)
	case what == findPlace:
		c.again(o)
	}
}

// again tries to join once more, later.
func (c *Chord) again(o *kbr.Outbox) {
	c.walked = 0
	if c.alone {
		c.phase, c.pred, c.succs, c.alone = member, kbr.None, 0, false
		c.turn++
		o.After(c.ring.Round, c.timer(timeRound))
		return
	}
	o.After(c.ring.Round, c.timer(timeJoin))
}

// join goes on with a join: the one that will come after this node says who comes before, and whoever has this node between itself and its successor gives it its
// successor list.
func (c *Chord) join(ev *kbr.Event, o *kbr.Outbox) {
	if c.phase != joining {
		return
	}
	what, owner := split(ev.Tag)
	if what == askVia {
		c.begin(ev, o)
		return
	}
	if ev.What == kbr.Failed || ev.Msg.Kind != state || ev.Msg.Flags&isMember == 0 {
		if what == askBefore {
			o.Ask(owner, state, askLast)
		} else {
			c.again(o)
		}
		return
	}
	told := ev.Msg.Told()
	if len(told) > 0 && told[0] == c.self { // it was here before
		told = told[1:]
	}
	pred := ev.Msg.Node
	switch {
	case what == askOwner && pred != kbr.None && pred != c.self:
		o.Ask(pred, state, about(askBefore, ev.From))
	case what == askOwner && pred == kbr.None && len(told) == 0: // it is alone
		c.enter(ev.From, ev.From, nil, o)
	case what == askOwner, what == askLast:
		c.enter(kbr.None, ev.From, told, o)
	case len(told) == 0 || c.between(ev.From, c.self, told[0]):
		if len(told) > 0 {
			c.enter(ev.From, told[0], told[1:], o)
		} else {
			c.enter(ev.From, ev.From, nil, o)
		}
	case c.walked < maxWalk && c.between(ev.From, told[0], c.self):
		c.walked++
		o.Ask(told[0], state, about(askBefore, owner))
	default:
		c.again(o)
	}
}

// enter makes this node a member of the ring.
func (c *Chord) enter(pred, succ kbr.Node, rest []kbr.Node, o *kbr.Outbox) {
	c.phase, c.pred, c.alone = member, pred, false
	c.renew(succ, rest, o)
	c.turn++
	o.After(0, c.timer(timeRound))
	if c.ring.Doubts {
		c.announce(o)
	}
}
