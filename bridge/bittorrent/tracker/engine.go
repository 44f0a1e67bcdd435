package tracker

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"time"
)

// A Hash names a torrent: the SHA-1 of its info dictionary, or the first 20 bytes of the SHA-256 (BEP 52).
type Hash [20]byte

// String returns h in hex.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// A PeerID is what a client calls itself (BEP 20).
type PeerID [20]byte

// endpoint is an address of 16 bytes, IPv4 mapped (RFC 4291), and a port, big endian: it has no pointers, so that a million cost the collector nothing.
type endpoint [18]byte

func endpointOf(a netip.AddrPort) (e endpoint) {
	ip := a.Addr().As16()
	copy(e[:], ip[:])
	binary.BigEndian.PutUint16(e[16:], a.Port())
	return e
}

func (e endpoint) addr() netip.Addr { return netip.AddrFrom16([16]byte(e[:16])).Unmap() }
func (e endpoint) port() uint16     { return binary.BigEndian.Uint16(e[16:]) }
func (e endpoint) is4() bool        { return [12]byte(e[:12]) == [12]byte{10: 0xff, 11: 0xff} }

// compact returns e as BEP 23 (6 bytes) or BEP 7 (18 bytes) want it.
func (e *endpoint) compact() []byte {
	if e.is4() {
		return e[12:]
	}
	return e[:]
}

// An event of an announce, as UDP numbers them (BEP 15).
type event uint32

const (
	update event = iota
	completed
	started
	stopped
	paused // BEP 21
)

// announce is what a peer says of itself, however it came.
type announce struct {
	hash  Hash
	id    PeerID
	at    endpoint   // where it can be reached
	from  netip.Addr // where the request came from
	here  netip.Addr // at which address of this computer it came in; zero: not known
	seed  bool
	event event
	want4 int // peers that it would like, at most
	want6 int
}

// peer is one peer of a swarm that is reached over TCP or uTP.
type peer struct {
	at   endpoint
	id   PeerID
	near scope // of its address
	seen int32 // seconds of the engine's time
}

// The rings of a swarm; a place in the index has the ring in its upper two bits.
const (
	leech4 = iota
	seed4
	leech6
	seed6
	rings
)

// swarm is who has said to have, or to want, one torrent.
type swarm struct {
	hash  Hash
	index map[endpoint]uint32
	rings [rings][]peer // each in random order: who comes takes a random place
	web   webPeers
	done  uint32 // completions seen
	place int    // in engine.order
}

// engine is all swarms. It has no clock, socket or lock: time comes in, and whoever calls sees to it that calls do not meet.
type engine struct {
	limits Limits
	rand   *rand.Rand
	zero   time.Time
	swarms map[Hash]*swarm
	order  []*swarm // for sweep
	cursor int
	peers  int // in all, browsers too
	hosts  map[host]int
	offers offers
}

func newEngine(l Limits, now time.Time, r *rand.Rand) *engine {
	return &engine{limits: l, rand: r, zero: now, swarms: map[Hash]*swarm{}, hosts: map[host]int{}, offers: offers{}}
}

func (e *engine) seconds(now time.Time) int32 { return int32(now.Sub(e.zero) / time.Second) }

// reply is what who announces is told.
type reply struct {
	seeds, leeches int
	peers          []peer // of IPv4 first
}

// announce takes down what a says, and appends peers for it to into. One too many is told of others, and not kept.
func (e *engine) announce(now time.Time, a announce, into []peer) reply {
	s := e.swarms[a.hash]
	if a.event == stopped {
		if s != nil {
			e.drop(s, a.at)
			e.tidy(s)
		}
		return e.count(a.hash)
	}
	if s == nil {
		if len(e.swarms) >= e.limits.Swarms || e.peers >= e.limits.Peers {
			return reply{}
		}
		s = e.open(a.hash)
	}
	e.keep(s, e.seconds(now), a)
	r := e.count(a.hash)
	r.peers = s.choose(e.rand, a, into)
	e.tidy(s)
	return r
}

func (e *engine) open(h Hash) *swarm {
	s := &swarm{hash: h, index: map[endpoint]uint32{}, place: len(e.order)}
	e.swarms[h] = s
	e.order = append(e.order, s)
	return s
}

// tidy forgets a swarm that nobody is in.
func (e *engine) tidy(s *swarm) {
	if len(s.index)+len(s.web.list) > 0 {
		return
	}
	last := e.order[len(e.order)-1]
	e.order[s.place], last.place = last, s.place
	e.order[len(e.order)-1] = nil
	e.order = e.order[:len(e.order)-1]
	delete(e.swarms, s.hash)
}

// keep makes a's peer one of the swarm, in the ring where it belongs.
func (e *engine) keep(s *swarm, now int32, a announce) {
	ring := uint32(leech4)
	if !a.at.is4() {
		ring = leech6
	}
	if a.seed {
		ring++
	}
	p := peer{a.at, a.id, scopeOf(a.at.addr()), now}
	old, known := s.index[a.at]
	switch {
	case known && old>>30 == ring:
		s.rings[ring][old&(1<<30-1)] = p
		return
	case known:
		if a.event == completed && a.seed {
			s.done++
		}
		e.drop(s, a.at)
	case len(s.index) >= e.limits.SwarmPeers, e.peers >= e.limits.Peers, e.hosts[hostOf(a.at.addr())] >= e.limits.HostPeers:
		return
	}
	e.peers++
	e.hosts[hostOf(a.at.addr())]++
	s.insert(ring, p, e.rand)
}

// insert puts p at a random place of a ring; who was there goes to its end.
func (s *swarm) insert(ring uint32, p peer, r *rand.Rand) {
	list := append(s.rings[ring], p)
	s.rings[ring] = list
	end := len(list) - 1
	i := r.IntN(len(list))
	list[i], list[end] = list[end], list[i]
	s.index[list[end].at] = ring<<30 | uint32(end)
	s.index[list[i].at] = ring<<30 | uint32(i)
}

// drop forgets a peer, if it is there.
func (e *engine) drop(s *swarm, at endpoint) {
	old, ok := s.index[at]
	if !ok {
		return
	}
	ring, i := old>>30, old&(1<<30-1)
	list := s.rings[ring]
	last := len(list) - 1
	list[i] = list[last]
	s.index[list[i].at] = ring<<30 | i
	s.rings[ring] = shrink(list[:last])
	delete(s.index, at)
	e.left(at.addr())
}

// left takes one peer at a off the counts.
func (e *engine) left(a netip.Addr) {
	e.peers--
	h := hostOf(a)
	if e.hosts[h]--; e.hosts[h] <= 0 {
		delete(e.hosts, h)
	}
}

// shrink gives memory back that a swarm which was large once does not need any more.
func shrink[T any](list []T) []T {
	if cap(list) > 32 && len(list) < cap(list)/4 {
		return append(make([]T, 0, cap(list)/2), list...)
	}
	return list
}

// choose appends peers that a can use to into: none that it cannot reach, no seeds for a seed; of seeds and others half each, if there are enough.
func (s *swarm) choose(r *rand.Rand, a announce, into []peer) []peer {
	return s.from(r, leech6, a, a.want6, s.from(r, leech4, a, a.want4, into))
}

// from appends at most want peers of a pair of rings.
func (s *swarm) from(r *rand.Rand, ring int, a announce, want int, into []peer) []peer {
	if want <= 0 {
		return into
	}
	leeches, seeds := s.rings[ring], s.rings[ring+1]
	if a.seed {
		return window(r, leeches, a, want, into)
	}
	half := max(want/2, want-len(seeds))
	begin := len(into)
	into = window(r, leeches, a, half, into)
	return window(r, seeds, a, want-(len(into)-begin), into)
}

const scanned = 1000 // peers at most that are looked at for who asks, beyond those wanted

// window appends at most want peers of a ring from a random place on, which is a random choice since the ring is in random order.
func window(r *rand.Rand, list []peer, a announce, want int, into []peer) []peer {
	if len(list) == 0 || want <= 0 {
		return into
	}
	asker := scopeOf(a.from)
	for i, n, left := r.IntN(len(list)), 0, min(len(list), want+scanned); left > 0 && n < want; left-- {
		p := &list[i]
		if i++; i == len(list) {
			i = 0
		}
		switch {
		case p.at == a.at:
		case asker <= p.near:
			into = append(into, *p)
			n++
		case p.near == machine && a.here.IsValid() && !a.here.IsLoopback() && a.here.Unmap().Is4() == p.at.is4():
			// It announced itself over loopback, from beside the tracker: others reach it at the address at which they asked.
			q := *p
			q.at = endpointOf(netip.AddrPortFrom(a.here, p.at.port()))
			into = append(into, q)
			n++
		}
	}
	return into
}

// Scopes of addresses: within which a peer at it can be reached.
type scope uint8

const (
	machine scope = iota // loopback
	home                 // a local network
	public
)

func scopeOf(a netip.Addr) scope {
	switch a = a.Unmap(); {
	case a.IsLoopback():
		return machine
	case a.IsPrivate(), a.IsLinkLocalUnicast(), carrier.Contains(a):
		return home
	}
	return public
}

var carrier = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598: behind a provider's NAT

// tally is what a scrape tells of a swarm (BEP 48).
type tally struct{ seeds, leeches, done int }

func (e *engine) scrape(h Hash) tally {
	s := e.swarms[h]
	if s == nil {
		return tally{}
	}
	return tally{
		seeds:   len(s.rings[seed4]) + len(s.rings[seed6]) + s.web.seeds,
		leeches: len(s.rings[leech4]) + len(s.rings[leech6]) + len(s.web.list) - s.web.seeds,
		done:    int(s.done),
	}
}

func (e *engine) count(h Hash) reply {
	t := e.scrape(h)
	return reply{seeds: t.seeds, leeches: t.leeches}
}

// sweep looks at about budget peers and forgets those that have not been heard of for the limit's time. Called again it goes on where it was.
func (e *engine) sweep(now time.Time, budget int) {
	limit := e.seconds(now) - int32(e.limits.Expiry/time.Second)
	for looked := 0; looked < budget && len(e.order) > 0; {
		if e.cursor >= len(e.order) {
			e.cursor = 0
			if looked > 0 {
				return // each at most once
			}
		}
		s := e.order[e.cursor]
		looked += 1 + len(s.index) + len(s.web.list)
		for _, ring := range s.rings {
			for i := len(ring) - 1; i >= 0; i-- { // from the end: drop fills the gap from there
				if p := ring[i]; p.seen < limit {
					e.drop(s, p.at)
				}
			}
		}
		for i := len(s.web.list) - 1; i >= 0; i-- {
			if p := s.web.list[i]; p.seen < limit {
				e.dropWeb(s, p)
			}
		}
		if e.tidy(s); e.cursor < len(e.order) && e.order[e.cursor] == s {
			e.cursor++
		}
	}
}
