package kademlia

import "kith/overlay/kbr"

// What nodes say to each other, beside kbr.Find.
const (
	near    = kbr.Own + iota // asks who is nearest to Key
	ping                     // asks whether somebody is there
	leaving                  // says: I go
	meet                     // says: Node may be in another network; see merge.go
)

// isMember is the flag of an answer to near and to ping: who answers is in the network.
const isMember uint8 = 1

// A tag says which question, search or timer it is in the lowest byte, and for a timer in which life of the node above it.
const (
	_         kbr.Tag = iota // what searches ask in vain has none
	askNear                  // a neighbour
	askOthers                // somebody, for nodes that may be nearer in time
	askAlive                 // somebody who let a search wait, or was not heard from for long
	askNamed                 // somebody whom another one named
	findPlace                // of a join: where I belong
	findMet                  // where I would belong in another network
	findAny                  // anybody in a bucket
	timeRound
	timeJoin
)

// Bounds of upkeep.
const (
	hellos    = 3  // of the neighbours of a node that is new, so many are asked who else is near, and the others only told of it
	tries     = 2  // of nodes that may be nearer in time, so many are asked in a round
	someEnds  = 5  // that must have answered when a bucket is searched in
	mostWary  = 31 // half as many contacts are checked in a round
	thinAfter = 8  // rounds, after which a bucket that is not full is searched in again
)

func (c *Kademlia) timer(what kbr.Tag) kbr.Tag { return what | kbr.Tag(c.turn)<<8 }

// Step implements kbr.Engine.
func (c *Kademlia) Step(now kbr.Ticks, ev *kbr.Event, o *kbr.Outbox) {
	if s := c.slab(); len(s.stepped) < cap(s.stepped) {
		s.stepped = append(s.stepped, c.self)
	}
	switch ev.What {
	case kbr.Start:
		c.reset(member)
		o.After(c.round(ev.Draw), c.timer(timeRound))
	case kbr.Join:
		c.reset(joining)
		c.via = ev.From
		c.look(ev.From, findPlace, o)
	case kbr.Resume:
		o.After(kbr.Ticks(ev.Draw%uint64(c.tree.Round)), c.timer(timeRound))
	case kbr.Meet:
		c.meet(ev.From, o)
	case kbr.Leave:
		c.leave(o)
	case kbr.Heard:
		if c.phase != out {
			c.heard(now, ev.From, ev.Took)
		}
	case kbr.Request:
		c.reply(now, ev, o)
	case kbr.Notice:
		if ev.Msg.Kind == leaving && c.phase != out {
			c.drop(ev.From)
		}
		if ev.Msg.Kind == meet {
			c.meet(ev.Msg.Node, o)
		}
	case kbr.Timer:
		c.wake(now, ev, o)
	case kbr.Found, kbr.Lost:
		c.found(ev, o)
	case kbr.Slow:
		if x := c.contact(ev.From); x != nil && x.rtt&suspect == 0 && c.phase != out {
			x.rtt |= suspect
			o.Ask(ev.From, ping, askAlive)
		}
	case kbr.Answer, kbr.Failed:
		if c.phase != out {
			c.answer(now, ev, o)
		}
	}
}

// round returns how long it is to the next round.
func (c *Kademlia) round(draw uint64) kbr.Ticks {
	r := c.tree.Round
	return r/2 + kbr.Ticks(draw%uint64(r))
}

// look searches for this node's own place.
func (c *Kademlia) look(via kbr.Node, tag kbr.Tag, o *kbr.Outbox) {
	o.Search(c.id(), via, tag).Ends = uint8(c.tree.K)
}

func (c *Kademlia) reply(now kbr.Ticks, ev *kbr.Event, o *kbr.Outbox) {
	if c.phase != member {
		o.Reply(ping)
		return
	}
	if ev.Msg.Kind != near {
		o.Reply(ping).Flags = isMember
	} else {
		a := o.Reply(near)
		a.Flags = isMember
		told, _ := c.nearest(ev.Msg.Key, min(c.tree.K+2, kbr.MaxNodes), a.Nodes[:0]) // with this node and the other
		for _, n := range told {
			if n != c.self && n != ev.From {
				a.Add(n)
			}
		}
	}
	c.heard(now, ev.From, 0)
}

func (c *Kademlia) wake(now kbr.Ticks, ev *kbr.Event, o *kbr.Outbox) {
	switch what := ev.Tag & 0xff; {
	case ev.Tag>>8 != kbr.Tag(c.turn): // of an earlier life
	case what == timeJoin && c.phase == joining:
		c.look(c.via, findPlace, o)
	case what == timeRound && c.phase == member:
		o.After(c.round(ev.Draw), c.timer(timeRound))
		c.met = false
		c.neighbour(o)
		for range 1 + c.wary/2 {
			c.check(now, o)
		}
		c.measure(ev.Draw, o)
		c.refresh(now, ev.Draw, o)
	}
}

// neighbour asks one of the neighbours, in turn, who is near.
func (c *Kademlia) neighbour(o *kbr.Outbox) {
	var room [MaxK + 1]kbr.Node
	around, _ := c.nearest(c.id(), c.tree.K+1, room[:0])
	if n := len(around) - 1; n > 0 { // the first is this node itself
		o.Ask(around[1+int(c.asks)%n], near, askNear).Key = c.id()
		c.asks++
	}
}

// check asks one contact whether it is there: whoever was not heard from for the longest time of all.
func (c *Kademlia) check(now kbr.Ticks, o *kbr.Outbox) {
	var oldest *contact
	age := c.tree.Round
	for l := range int(c.top) {
		for i, s := 0, c.contacts(l); i < len(s); i++ {
			if s[i].rtt&suspect != 0 { // it is asked already
				continue
			}
			if a := since(now, s[i].seen); a >= age && (oldest == nil || a > age) {
				oldest, age = &s[i], a
			}
			break // the others of this bucket were heard from later
		}
	}
	if oldest != nil {
		oldest.rtt |= suspect
		o.Ask(oldest.node, ping, askAlive)
	}
}

// measure looks for nodes that are nearer in time, where these are wanted, for a bucket in turn: it asks how far one is that is in mind and was not measured, or if there
// is none, a contact for others.
func (c *Kademlia) measure(draw uint64, o *kbr.Outbox) {
	if c.tree.Alternates == 1 {
		return
	}
	for range c.top {
		l := int(c.probe) % int(c.top)
		c.probe = uint8(l + 1)
		s := c.contacts(l)
		if len(s) < c.tree.K || c.deeper(l) < c.tree.K {
			continue
		}
		if m := c.mind(c.block(c.bucket[l])); len(m) > 0 && m[len(m)-1].rtt == 0 {
			o.Ask(m[len(m)-1].node, ping, askNamed)
		} else {
			o.Ask(s[draw%uint64(len(s))].node, near, askOthers).Key = c.within(l, draw)
		}
		return
	}
}

// refresh searches in a bucket, if there is one for which it is time: of whose contacts one was not heard from for long, or that has room though there should be
// more than a few nodes for it.
func (c *Kademlia) refresh(now kbr.Ticks, draw uint64, o *kbr.Outbox) {
	for range c.top {
		l := int(c.sweep) % int(c.top)
		c.sweep = uint8(l + 1)
		if c.deeper(l) < c.tree.K { // the neighbours say
			continue
		}
		s, wait := c.contacts(l), c.tree.Refresh
		if len(s) < c.tree.K {
			wait = min(wait, thinAfter*c.tree.Round)
		} else if since(now, s[0].seen) < wait {
			continue
		}
		if c.swept[l] == 0 || since(now, c.swept[l]) >= wait {
			c.swept[l] = max(1, stampOf(now))
			o.Search(c.within(l, draw), kbr.None, findAny).Ends = uint8(min(someEnds, c.tree.K))
			return
		}
	}
}

// within returns a place that belongs in a bucket.
func (c *Kademlia) within(level int, draw uint64) kbr.ID {
	var b [kbr.Bits / 8]byte
	for i := range b {
		draw = draw*6364136223846793005 + 1442695040888963407 // any will do
		b[i] = byte(draw >> 56)
	}
	id, self := kbr.FromBytes(b), c.id()
	for l := range level {
		if id.Bit(l) != self.Bit(l) {
			id = id.Xor(kbr.Power(kbr.Bits - 1 - l))
		}
	}
	if id.Bit(level) == self.Bit(level) {
		id = id.Xor(kbr.Power(kbr.Bits - 1 - level))
	}
	return id
}

// found takes in the end of a search, by which those that were asked have become known.
func (c *Kademlia) found(ev *kbr.Event, o *kbr.Outbox) {
	switch {
	case ev.Tag == findPlace && c.phase == joining && (ev.What == kbr.Lost || c.top == 0):
		o.After(c.tree.Round, c.timer(timeJoin))
	case ev.Tag == findPlace && c.phase == joining:
		c.phase = member
		o.After(0, c.timer(timeRound))
		c.greet(c.tree.K, o)
	case ev.Tag == findMet && ev.What == kbr.Found && c.phase == member && c.fold() != c.before:
		c.greet(c.tree.K, o)
		c.spread(ev.From, o)
	}
}

// greet tells the neighbours of this node, and asks the nearest who else is near.
func (c *Kademlia) greet(count int, o *kbr.Outbox) {
	var room [MaxK + 1]kbr.Node
	around, _ := c.nearest(c.id(), count+1, room[:0])
	for i, n := range around[1:] {
		if i < hellos {
			o.Ask(n, near, askNear).Key = c.id()
		} else {
			o.Ask(n, ping, askAlive)
		}
	}
}

// answer takes in what came of a question.
func (c *Kademlia) answer(now kbr.Ticks, ev *kbr.Event, o *kbr.Outbox) {
	if ev.What == kbr.Failed || ev.Msg.Flags&isMember == 0 {
		c.drop(ev.From)
		switch {
		case c.phase != member:
		case ev.Tag == askNear:
			c.neighbour(o) // the next one
		case ev.Tag == askAlive: // where one is gone there are more
			c.wary = min(mostWary, 1+2*c.wary)
			c.check(now, o)
			c.check(now, o)
		}
		return
	}
	c.heard(now, ev.From, ev.Took)
	if ev.Tag == askAlive && c.wary > 0 {
		c.wary--
	}
	if ev.Msg.Kind != near {
		return
	}
	for left, told := tries, ev.Msg.Told(); len(told) > 0 && left > 0; told = told[1:] {
		switch n := told[0]; {
		case n == kbr.None || n == c.self:
		case ev.Tag == askNear && c.wants(n):
			o.Ask(n, ping, askNamed)
		case ev.Tag == askOthers && c.contact(n) == nil:
			o.Ask(n, ping, askNamed)
			left--
		}
	}
}

// wants reports whether a node that another one named would get into its bucket, if it is there.
func (c *Kademlia) wants(n kbr.Node) bool {
	l := c.level(n)
	s := c.contacts(l)
	if index(s, n) >= 0 {
		return false
	}
	return len(s) < c.tree.K || c.worst(l, s, contact{node: n}) >= 0
}

// leave tells the neighbours that this node goes.
func (c *Kademlia) leave(o *kbr.Outbox) {
	if c.phase == member {
		var room [MaxK + 1]kbr.Node
		around, _ := c.nearest(c.id(), c.tree.K+1, room[:0])
		for _, n := range around[1:] {
			o.Tell(n, leaving)
		}
	}
	c.reset(out)
}
