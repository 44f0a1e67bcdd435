package pastry

import (
	"kith/overlay/kbr"
)

// found takes in the end of a search.
func (p *Pastry) found(ev *kbr.Event, o *kbr.Outbox) {
	switch what := ev.Tag & 0xff; {
	case what == findPlace && p.phase != joining:
	case what == findPlace && ev.What == kbr.Found && ev.From != p.self:
		o.Ask(ev.From, leafs, askOwner)
	case what == findPlace:
		p.again(o)
	case p.phase != member || ev.What != kbr.Found:
	case what == findSelf && ev.From != p.self && !p.isLeaf(ev.From):
		p.tell(o.Ask(ev.From, leafs, askLeaf))
	case what == findCell && p.lacks(ev.From):
		p.probe(ev.From, o)
	}
}

// again tries to join once more, later.
func (p *Pastry) again(o *kbr.Outbox) { o.After(p.ring.Round, p.timer(timeJoin)) }

// join goes on with a join: the nearest node has told its leaf set, and each of that is asked whether it is there. When all have answered, or not, this node is a
// member, and tells all of them, as in M'01, but that only who is there is taken in.
func (p *Pastry) join(what kbr.Tag, in bool, ev *kbr.Event, o *kbr.Outbox) {
	if what == askOwner {
		if !in || ev.Msg.Kind != leafs {
			p.again(o)
			return
		}
		p.small = ev.Msg.Flags&isWhole != 0
		for _, n := range ev.Msg.Told() {
			p.probe(n, o)
		}
	}
	if in {
		p.meet(ev.From, ev.Took)
		p.put(ev.From, p.small)
	}
	for _, n := range p.flying {
		if n != kbr.None {
			return
		}
	}
	if p.leafs[0]+p.leafs[1] == 0 {
		p.again(o)
		return
	}
	p.phase = member
	p.turn++
	o.After(p.ring.Round/2, p.timer(timeRound))
	var m kbr.Message
	p.tell(&m)
	for _, n := range m.Told() {
		p.tell(o.Ask(n, leafs, askLeaf))
	}
	o.Ask(p.via, hood, askHood)
	p.walk(0, []kbr.Node{p.via}, o)
}

// walk collects the rows of the routing table: each from somebody who shares as many digits with this node, whom the one before has named. In M'01 these are the nodes on
// the way of the join's own message.
func (p *Pastry) walk(r int, told []kbr.Node, o *kbr.Outbox) {
	if r >= p.ring.rows() {
		return
	}
	for _, from := range [][]kbr.Node{told, p.on(0), p.on(1)} {
		for _, n := range from {
			if n != kbr.None && n != p.self && p.ring.shared(p.id(), p.ring.id(n)) >= r {
				o.Ask(n, row, about(askWalk, r)).Hops = uint8(r)
				return
			}
		}
	}
}
