package sim

import "kith/overlay/kbr"

// what an event is to the simulation.
type what uint8

const (
	deliver   what = iota // a question or a notice arrives
	answers               // an answer arrives
	gives                 // who asked gives up
	comesLate             // an answer arrives after that
	rings                 // a timer
	searches              // a search of the node's user begins
	closes                // a connection to one that is gone
)

// A talk is a message on its way, with what who asked must know when an answer comes or none does.
type talk struct {
	tag   kbr.Tag
	sent  kbr.Ticks
	wait  kbr.Ticks
	from  kbr.Node
	to    kbr.Node
	next  uint32 // free ones
	life  uint16 // of from
	try   uint8
	asked bool // it is a question
	over  bool // who asked gives up before it arrives
	msg   kbr.Message
	_     [32]byte // so that it begins with a line of a cache, and a message of eight nodes ends in the next one
}

// handle lets one event happen.
func (s *shard) handle(e *event) {
	s.steps++
	switch e.what {
	case deliver:
		s.deliver(uint32(e.tag))
	case answers, gives, comesLate:
		s.close(e)
	case rings:
		if s.net.here(e.node, e.life) {
			s.event = kbr.Event{What: kbr.Timer, Tag: e.tag, Draw: s.net.nextDraw(e.node)}
			s.step(e.node, &s.event)
		}
	case closes:
		delete(s.net.dialled, pair(e.node, e.from))
		if s.net.here(e.node, e.life) {
			s.step(e.node, &kbr.Event{What: kbr.Slow, From: e.from})
		}
	case searches:
		if s.net.here(e.node, e.life) {
			s.find(e.node, s.net.key(e.node, uint64(e.tag)), e.tag)
		}
	}
}

// key returns the i-th key that a node searches for.
func (n *Net) key(p kbr.Node, i uint64) kbr.ID {
	if n.o.Sybils > 0 && !n.o.Eclipse {
		return n.target(i)
	}
	if n.o.Nodewise && n.alive > 0 {
		for k := range uint64(64 * len(n.peers) / n.alive) { // nobody is missed that often
			if to := kbr.Node(1 + n.draw(forTarget, p, i<<20|k)%uint64(len(n.peers)-1)); n.honest(to) {
				return n.Table.ID(to)
			}
		}
	}
	if len(n.keys) > 0 {
		return n.keys[n.draw(forTarget, p, i)%uint64(len(n.keys))]
	}
	return n.place(forKey, p, i)
}

// here reports whether a node is up in the life that is meant.
func (n *Net) here(p kbr.Node, life uint16) bool { return n.peers[p].up && n.peers[p].life == life }

// deliver lets a question or a notice arrive.
func (s *shard) deliver(i uint32) {
	t := &s.talks[i]
	to := t.to
	if !s.net.peers[to].up || s.net.loses(to, t.from) {
		s.unheard(i)
		return
	}
	ev := &s.event
	*ev = kbr.Event{What: kbr.Notice, From: t.from, Msg: &t.msg}
	if !t.asked {
		s.step(to, ev)
		s.release(i)
		return
	}
	ev.What = kbr.Request
	s.note(to, t.from, uint64(ev.What)|uint64(t.msg.Kind)<<8)
	reply, did := s.net.attack(to, &t.msg)
	if !did {
		s.host.Step(s.wheel.now, to, ev, &s.out)
		for k := range s.out.Acts {
			if s.out.Acts[k].Do == kbr.Reply {
				reply = &s.out.Acts[k].Msg
			}
		}
	}
	if reply == nil {
		s.unheard(i)
	} else {
		s.net.hush(to, reply)
		s.answer(i, reply)
	}
	s.act(to)
}

// answer sends an answer on its way.
func (s *shard) answer(i uint32, reply *kbr.Message) {
	t := &s.talks[i]
	s.net.count(t.to, reply)
	at := s.wheel.now + s.net.line(t.to, t.from)
	if s.net.loses(t.to, t.from) {
		s.unheard(i)
		return
	}
	if t.over || at > t.sent+t.wait {
		late := s.talk()
		t = &s.talks[i] // which may have moved
		s.talks[late].envelope(t)
		s.post(at, comesLate, t.to, late)
		s.unheard(i)
		return
	}
	t.msg.Set(reply)
	s.post(at, answers, t.to, i)
}

// unheard ends a talk of which who asked will hear nothing. That one gives up in its time, or as soon as it can be told.
func (s *shard) unheard(i uint32) {
	t := &s.talks[i]
	if !t.asked || t.over {
		s.release(i)
		return
	}
	s.post(max(t.sent+t.wait, s.wheel.now+s.net.least), gives, t.to, i)
}

// close ends a question: with its answer, or because who asked gives up.
func (s *shard) close(e *event) {
	i := uint32(e.tag)
	t := &s.talks[i]
	ev := &s.event
	*ev = kbr.Event{What: kbr.Answer, From: t.to, Tag: t.tag, Took: s.wheel.now - t.sent, Msg: &t.msg}
	switch e.what {
	case comesLate:
		ev.What, ev.Msg = kbr.Late, nil
	case gives:
		*ev = kbr.Event{What: kbr.Failed, From: t.to, Tag: t.tag, Try: t.try, Msg: &t.msg}
	}
	if s.net.here(e.node, e.life) {
		s.step(e.node, ev)
	}
	s.release(i)
}

// step lets something happen to a node, and carries out what it wants done.
func (s *shard) step(p kbr.Node, ev *kbr.Event) {
	kind := uint64(ev.What)
	if ev.Msg != nil {
		kind |= uint64(ev.Msg.Kind)<<8 | uint64(ev.Msg.Count)<<16
	}
	s.note(p, ev.From, kind)
	s.host.Step(s.wheel.now, p, ev, &s.out)
	s.act(p)
}

// note takes an event into the trace.
func (s *shard) note(p, from kbr.Node, kind uint64) {
	h := &s.net.peers[p].hash
	*h = Mix(*h ^ Mix(uint64(s.wheel.now)) ^ uint64(from)<<32 ^ kind)
}

// act carries out what a node wants done.
func (s *shard) act(p kbr.Node) {
	for i := range s.out.Acts {
		switch a := &s.out.Acts[i]; a.Do {
		case kbr.Ask, kbr.Tell:
			s.net.hush(p, &a.Msg)
			s.send(p, a)
		case kbr.After:
			s.wheel.put(event{at: s.wheel.now + a.Wait, what: rings, node: p, from: p, turn: s.net.turn(p), life: s.net.peers[p].life, tag: a.Tag})
		}
	}
	s.out.Acts = s.out.Acts[:0]
}

// send sends a question or a notice on its way.
func (s *shard) send(p kbr.Node, a *kbr.Act) {
	s.follow(p, a)
	now, connected := s.net.dial(s.wheel.now, p, a.To)
	if !connected {
		if a.Do == kbr.Ask {
			a.Try = dialTry
			s.post(now+dialTime, gives, p, s.ask(now, p, a))
		}
		return
	}
	s.net.count(p, &a.Msg)
	arrives := now + s.net.line(p, a.To)
	over := a.Do == kbr.Ask && arrives > now+a.Wait
	if over { // who asks gives up before it is even heard
		s.post(now+a.Wait, gives, p, s.ask(now, p, a))
	}
	i := s.ask(now, p, a)
	s.talks[i].over = over
	s.post(arrives, deliver, p, i)
}

// ask makes a talk of an act, which begins at a time, and returns where.
func (s *shard) ask(sent kbr.Ticks, p kbr.Node, a *kbr.Act) uint32 {
	i := s.talk()
	t := &s.talks[i]
	t.tag, t.sent, t.wait, t.from, t.to, t.try, t.life, t.asked, t.over = a.Tag, sent, a.Wait, p, a.To, a.Try, s.net.peers[p].life, a.Do == kbr.Ask, false
	t.msg.Set(&a.Msg)
	return i
}

// envelope makes t a copy of another one, without its message.
func (t *talk) envelope(u *talk) {
	t.tag, t.sent, t.wait, t.from, t.to, t.try, t.life, t.asked, t.over = u.tag, u.sent, u.wait, u.from, u.to, u.try, u.life, u.asked, u.over
}

// talk returns where there is room for a talk.
func (s *shard) talk() uint32 {
	i := s.free
	if i == 0 {
		s.talks = append(s.talks, talk{})
		return uint32(len(s.talks) - 1)
	}
	s.free = s.talks[i].next
	return i
}

func (s *shard) release(i uint32) {
	s.talks[i].next = s.free
	s.free = i
}

// Sizes of messages, as p2psim counts them (Li et al., INFOCOM 2005).
const (
	headerSize  = 20
	addressSize = 4
)

func (n *Net) count(p kbr.Node, m *kbr.Message) {
	n.peers[p].bytes += headerSize + addressSize*uint64(m.Count)
}

// loses reports whether a message between a node, whose doing it is, and another one does not arrive.
func (n *Net) loses(here, there kbr.Node) bool {
	if n.parted != nil && n.parted(here, there) || n.o.Severed > 0 && n.severed(here, there) {
		return true
	}
	if n.o.Loss == 0 {
		return false
	}
	n.peers[here].losses++
	return Unit(n.draw(forLoss, here, uint64(n.peers[here].losses))) < n.o.Loss
}

// severed reports whether two nodes never hear of each other.
func (n *Net) severed(a, b kbr.Node) bool {
	return Unit(n.draw(forSevered, min(a, b), uint64(max(a, b)))) < n.o.Severed
}

func (n *Net) nextDraw(p kbr.Node) uint64 {
	n.peers[p].draws++
	return n.draw(forStep, p, uint64(n.peers[p].draws))
}

// turn counts what is a node's doing.
func (n *Net) turn(p kbr.Node) uint32 {
	n.peers[p].turns++
	return n.peers[p].turns
}

// line returns how long a message is on its way.
func (n *Net) line(a, b kbr.Node) kbr.Ticks { return max(n.least, n.o.Latency.Between(n, a, b)) }
