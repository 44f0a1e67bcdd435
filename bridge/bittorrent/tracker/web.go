package tracker

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

// webPeer is a peer of a swarm that is reached over WebRTC only: a browser, which sends and gets offers through the tracker.
type webPeer struct {
	id    PeerID
	conn  *conn
	seed  bool
	seen  int32
	place int // in webPeers.list
}

// webPeers are those of one swarm.
type webPeers struct {
	byID  map[PeerID]*webPeer
	list  []*webPeer // in random order, as the rings
	seeds int        // of them
}

// webAnnounce is what a browser says of itself.
type webAnnounce struct {
	hash   Hash
	id     PeerID
	conn   *conn
	from   netip.Addr
	seed   bool
	event  event
	offers int // how many it made: as many others shall be chosen, at most
}

// announceWeb takes down what a says, and returns whom its offers go to. It is not ok if the peer is somebody else's.
func (e *engine) announceWeb(now time.Time, a webAnnounce) (r reply, to []*webPeer, ok bool) {
	s := e.swarms[a.hash]
	if a.event == stopped {
		if s != nil {
			if p := s.web.byID[a.id]; p != nil && p.conn == a.conn {
				e.dropWeb(s, p)
				e.tidy(s)
			}
		}
		return e.count(a.hash), nil, true
	}
	if s == nil {
		if len(e.swarms) >= e.limits.Swarms || e.peers >= e.limits.Peers {
			return reply{}, nil, true
		}
		s = e.open(a.hash)
	}
	defer e.tidy(s)
	p := s.web.byID[a.id]
	if p != nil && p.conn != a.conn {
		if p.conn.from != a.from {
			return reply{}, nil, false
		}
		e.dropWeb(s, p) // it has come back over another connection
		p = nil
	}
	if p == nil {
		if p = e.keepWeb(s, a); p == nil {
			return e.count(a.hash), nil, true
		}
	} else if a.event == completed && a.seed && !p.seed {
		s.done++
	}
	if p.seed != a.seed {
		p.seed = a.seed
		s.web.seeds += seedDelta(p.seed)
	}
	p.seen = e.seconds(now)
	return e.count(a.hash), s.web.choose(e.rand, p, a.offers), true
}

// keepWeb makes a's peer one of the swarm, or returns nil if it is one too many.
func (e *engine) keepWeb(s *swarm, a webAnnounce) *webPeer {
	if len(s.web.list) >= e.limits.SwarmPeers || e.peers >= e.limits.Peers || len(a.conn.in) >= e.limits.SocketSwarms || e.hosts[hostOf(a.from)] >= e.limits.HostPeers {
		return nil
	}
	p := &webPeer{id: a.id, conn: a.conn}
	e.peers++
	e.hosts[hostOf(a.from)]++
	a.conn.in[a.hash] = append(a.conn.in[a.hash], a.id)
	if s.web.byID == nil {
		s.web.byID = map[PeerID]*webPeer{}
	}
	s.web.byID[a.id] = p
	list := append(s.web.list, p)
	s.web.list = list
	i, end := e.rand.IntN(len(list)), len(list)-1
	list[i], list[end] = list[end], list[i]
	list[end].place, list[i].place = end, i
	return p
}

func seedDelta(seed bool) int {
	if seed {
		return 1
	}
	return -1
}

func (e *engine) dropWeb(s *swarm, p *webPeer) {
	if p.seed {
		s.web.seeds--
	}
	list := s.web.list
	last := list[len(list)-1]
	list[p.place], last.place = last, p.place
	list[len(list)-1] = nil
	s.web.list = shrink(list[:len(list)-1])
	delete(s.web.byID, p.id)
	if in := slices.DeleteFunc(p.conn.in[s.hash], func(id PeerID) bool { return id == p.id }); len(in) > 0 {
		p.conn.in[s.hash] = in
	} else {
		delete(p.conn.in, s.hash)
	}
	e.left(p.conn.from)
}

// choose returns at most n others of p's swarm, no seeds for a seed, from a random place on.
func (w *webPeers) choose(r *rand.Rand, p *webPeer, n int) (to []*webPeer) {
	if n <= 0 {
		return nil
	}
	for i, left := r.IntN(len(w.list)), min(len(w.list), n+scanned); left > 0 && len(to) < n; left-- {
		if q := w.list[i]; q.conn != p.conn && !(p.seed && q.seed) {
			to = append(to, q)
		}
		if i++; i == len(w.list) {
			i = 0
		}
	}
	return to
}

// hangUp forgets all peers of a connection that has ended.
func (e *engine) hangUp(c *conn) {
	for h, ids := range c.in {
		s := e.swarms[h]
		if s == nil {
			continue
		}
		for _, id := range slices.Clone(ids) {
			if p := s.web.byID[id]; p != nil && p.conn == c {
				e.dropWeb(s, p)
			}
		}
		e.tidy(s)
	}
	for _, o := range c.offers {
		delete(e.offers, o)
	}
	c.offers = nil
}

// An offer that was passed on, and may be answered once.
type offer struct {
	hash Hash
	by   PeerID // who made it
	id   PeerID // as who made it calls it: 20 bytes too
	to   PeerID // who was given it
}

// offers that wait for an answer, with who made them and when they end.
type offers map[offer]pending

type pending struct {
	conn *conn
	end  int32
}

// offered remembers that o went out, made on c. Of a connection's offers the oldest is forgotten for one too many.
func (e *engine) offered(now time.Time, c *conn, o offer) {
	if _, again := e.offers[o]; !again {
		if len(c.offers) >= e.limits.Offers {
			delete(e.offers, c.offers[0])
			c.offers = append(c.offers[:0], c.offers[1:]...)
		}
		c.offers = append(c.offers, o)
	}
	e.offers[o] = pending{c, e.seconds(now) + int32(e.limits.OfferLife/time.Second)}
}

// answered returns the connection that an answer to o goes to, nil if no such offer waits for one.
func (e *engine) answered(now time.Time, o offer) *conn {
	p, ok := e.offers[o]
	if !ok {
		return nil
	}
	delete(e.offers, o)
	p.conn.offers = slices.DeleteFunc(p.conn.offers, func(q offer) bool { return q == o })
	if p.end < e.seconds(now) {
		return nil
	}
	return p.conn
}
