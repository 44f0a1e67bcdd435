package sim

import "kith/overlay/kbr"

// handle lets one event happen.
func (n *Net) handle(e *event) {
	n.steps++
	switch e.what {
	case deliver:
		n.deliver(e)
	case answers, gives, comesLate:
		n.close(e)
	case rings:
		if n.here(e.node, e.life) {
			n.step(e.node, &kbr.Event{What: kbr.Timer, Tag: e.tag, Draw: n.nextDraw(e.node)})
		}
	case departs:
		if n.here(e.node, e.life) {
			n.departed(e.node)
		}
	case searches:
		if n.here(e.node, e.life) {
			key := n.key(e.node, uint64(e.tag))
			n.note(e.node, kbr.None, uint64(e.what))
			n.host.Find(n.wheel.now, e.node, key, e.tag, &n.out)
			n.act(e.node)
		}
	}
}

// key returns the i-th key that a node searches for.
func (n *Net) key(p kbr.Node, i uint64) kbr.ID {
	if n.o.Nodewise && n.alive > 0 {
		for k := range uint64(64 * len(n.peers) / n.alive) { // nobody is missed that often
			if to := kbr.Node(1 + n.draw(forTarget, p, i<<20|k)%uint64(len(n.peers)-1)); n.honest(to) {
				return n.Table.ID(to)
			}
		}
	}
	return n.place(forKey, p, i)
}

// here reports whether a node is up in the life that is meant.
func (n *Net) here(p kbr.Node, life uint16) bool { return n.peers[p].up && n.peers[p].life == life }

// deliver lets a question or a notice arrive.
func (n *Net) deliver(e *event) {
	t := &n.talks[e.talk]
	if !n.peers[t.to].up || n.loses(t.from, t.to) {
		n.unheard(e.talk)
		return
	}
	ev := kbr.Event{What: kbr.Notice, From: t.from, Msg: &t.msg}
	if !t.asked {
		n.step(t.to, &ev)
		n.release(e.talk)
		return
	}
	ev.What = kbr.Request
	if lie, did := n.attack(t.to, &t.msg); did {
		if n.note(t.to, t.from, uint64(ev.What)|uint64(t.msg.Kind)<<8); lie == nil {
			n.unheard(e.talk)
		} else {
			n.answer(e.talk, lie)
		}
		return
	}
	n.note(t.to, t.from, uint64(ev.What)|uint64(t.msg.Kind)<<8)
	n.host.Step(n.wheel.now, t.to, &ev, &n.out)
	var reply *kbr.Message
	for i := range n.out.Acts {
		if n.out.Acts[i].Do == kbr.Reply {
			reply = &n.out.Acts[i].Msg
		}
	}
	to := t.to
	if reply == nil {
		n.unheard(e.talk)
	} else {
		n.answer(e.talk, reply)
	}
	n.act(to)
}

// answer sends an answer on its way.
func (n *Net) answer(i uint32, reply *kbr.Message) {
	t := &n.talks[i]
	n.count(t.to, reply)
	at := n.wheel.now + n.o.Latency.Between(n, t.to, t.from)
	if n.loses(t.to, t.from) {
		n.unheard(i)
		return
	}
	if t.over || at > t.sent+t.wait {
		late := n.talk(*t)
		n.wheel.put(event{at: at, what: comesLate, node: n.talks[late].from, life: n.talks[late].life, talk: late})
		n.unheard(i)
		return
	}
	t.msg = *reply
	n.wheel.put(event{at: at, what: answers, node: t.from, life: t.life, talk: i})
}

// unheard ends a talk of which who asked will hear nothing.
func (n *Net) unheard(i uint32) {
	t := &n.talks[i]
	if !t.asked || t.over {
		n.release(i)
		return
	}
	n.wheel.put(event{at: t.sent + t.wait, what: gives, node: t.from, life: t.life, talk: i})
}

// close ends a question: with its answer, or because who asked gives up.
func (n *Net) close(e *event) {
	t := &n.talks[e.talk]
	arrives := e.what == gives && t.over // later, and ends it then
	ev := kbr.Event{What: kbr.Answer, From: t.to, Tag: t.tag, Took: n.wheel.now - t.sent, Msg: &t.msg}
	switch e.what {
	case comesLate:
		ev.What, ev.Msg = kbr.Late, nil
	case gives:
		ev = kbr.Event{What: kbr.Failed, From: t.to, Tag: t.tag, Try: t.try, Msg: &t.msg}
	}
	if n.here(e.node, e.life) {
		n.step(e.node, &ev)
	}
	if !arrives {
		n.release(e.talk)
	}
}

// step lets something happen to a node, and carries out what it wants done.
func (n *Net) step(p kbr.Node, ev *kbr.Event) {
	kind := uint64(ev.What)
	if ev.Msg != nil {
		kind |= uint64(ev.Msg.Kind)<<8 | uint64(ev.Msg.Count)<<16
	}
	n.note(p, ev.From, kind)
	n.host.Step(n.wheel.now, p, ev, &n.out)
	n.act(p)
}

// note takes an event into the trace.
func (n *Net) note(p, from kbr.Node, kind uint64) {
	h := &n.peers[p].hash
	*h = mix(*h ^ mix(uint64(n.wheel.now)) ^ uint64(from)<<32 ^ kind)
}

// act carries out what a node wants done.
func (n *Net) act(p kbr.Node) {
	for i := range n.out.Acts {
		switch a := &n.out.Acts[i]; a.Do {
		case kbr.Ask, kbr.Tell:
			n.send(p, a)
		case kbr.After:
			n.wheel.put(event{at: n.wheel.now + a.Wait, what: rings, node: p, life: n.peers[p].life, tag: a.Tag})
		}
	}
	n.out.Acts = n.out.Acts[:0]
}

// send sends a question or a notice on its way.
func (n *Net) send(p kbr.Node, a *kbr.Act) {
	now := n.wheel.now
	i := n.talk(talk{msg: a.Msg, tag: a.Tag, sent: now, wait: a.Wait, try: a.Try, from: p, to: a.To, life: n.peers[p].life, asked: a.Do == kbr.Ask})
	t := &n.talks[i]
	n.count(p, &a.Msg)
	arrives := now + n.o.Latency.Between(n, p, a.To)
	if t.over = t.asked && arrives > now+a.Wait; t.over { // who asks gives up before it is even heard
		n.wheel.put(event{at: now + a.Wait, what: gives, node: p, life: t.life, talk: i})
	}
	n.wheel.put(event{at: arrives, what: deliver, talk: i})
}

// talk keeps a talk, and returns where.
func (n *Net) talk(t talk) uint32 {
	i := n.free
	if i == 0 {
		i = uint32(len(n.talks))
		n.talks = append(n.talks, t)
		return i
	}
	n.free = n.talks[i].next
	n.talks[i] = t
	return i
}

func (n *Net) release(i uint32) {
	n.talks[i] = talk{next: n.free}
	n.free = i
}

// Sizes of messages, as p2psim counts them (Li et al., INFOCOM 2005).
const (
	headerSize  = 20
	addressSize = 4
)

func (n *Net) count(p kbr.Node, m *kbr.Message) {
	n.peers[p].bytes += headerSize + addressSize*uint64(m.Count)
}

// loses reports whether a message does not arrive.
func (n *Net) loses(from, to kbr.Node) bool {
	if n.parted != nil && n.parted(from, to) {
		return true
	}
	if n.o.Loss == 0 {
		return false
	}
	n.lost++
	return unit(n.draw(forLoss, 0, n.lost)) < n.o.Loss
}

func (n *Net) nextDraw(p kbr.Node) uint64 {
	n.peers[p].draws++
	return n.draw(forStep, p, n.peers[p].draws)
}
