package rendezvous

import (
	"bytes"
	"cmp"
	"net/netip"
	"slices"
)

const (
	wide       = 32  // nodes closest to an infohash that everybody knows that a walk is after, for most may lie
	narrow     = 8   // and to a secret one, at which nobody can place themselves: BEP 5's
	maxAsked   = 200 // nodes that one walk asks
	maxNamed   = 8   // nodes that are taken of one answer, as many as BEP 5 has in one
	maxWalk    = 2048
	perHome    = 2 // nodes at one address (see home)
	worthless  = 4 // so many of the nodes that somebody named did not answer, and none did: the others are not asked
	maxPending = 16
	spareShare = 4 // to one in so many of width more is announced: to those farther off whose word was good, since all that are close may lie
)

// A dhtNode is a node of the mainline DHT.
type dhtNode struct {
	id   Infohash
	addr netip.AddrPort
}

// A walk finds the nodes of the DHT that are closest to an infohash (Kademlia, section 2.3; BEP 5). It is pure: whoever runs it asks whom next names, and
// tells what came of it. Who names nodes that do not answer is believed less with each: else one liar, who may name any number that seem
// close, would be all that a walk ever sees.
type walk struct {
	target   Infohash
	width    int  // how many of the nodes closest to it are wanted
	loopback bool // all nodes may be at one address

	steps   map[netip.AddrPort]*step
	homes   map[netip.Addr]int
	trust   map[netip.AddrPort]*trust
	asked   int
	pending int
	heard   []*step // who answered, the closest first
}

type step struct {
	dhtNode
	anonymous bool // its id is not known yet: it is a host to start from
	via       netip.AddrPort
	asked     bool
	token     string // what it wants to be shown with an announcement; "": it takes none
}

// trust is what came of the nodes that somebody named.
type trust struct{ good, bad int }

func newWalk(target Infohash, width int, loopback bool) *walk {
	return &walk{target: target, width: width, loopback: loopback, steps: map[netip.AddrPort]*step{}, homes: map[netip.Addr]int{}, trust: map[netip.AddrPort]*trust{}}
}

// start tells where to begin. A node without an id is asked first.
func (w *walk) start(list []dhtNode) {
	for _, n := range list {
		w.add(n, netip.AddrPort{})
	}
}

func (w *walk) add(n dhtNode, via netip.AddrPort) {
	n.addr = plain(n.addr)
	at := home(n.addr.Addr())
	if w.steps[n.addr] != nil || len(w.steps) >= maxWalk || !wanted(n.addr, w.loopback) || !w.loopback && w.homes[at] >= perHome {
		return
	}
	w.homes[at]++
	w.steps[n.addr] = &step{dhtNode: n, anonymous: n.id == Infohash{}, via: via}
}

// next returns whom to ask now; false if nobody, for now or, once over, for good.
func (w *walk) next() (netip.AddrPort, bool) {
	s := w.choose()
	if s == nil || w.pending >= maxPending {
		return netip.AddrPort{}, false
	}
	s.asked = true
	w.asked++
	w.pending++
	return s.addr, true
}

// choose returns who is best asked next, or nil if nobody is worth it.
func (w *walk) choose() (best *step) {
	if w.asked >= maxAsked {
		return nil
	}
	for _, s := range w.steps {
		if !s.asked && w.doubt(s) < worthless && (best == nil || w.compare(s, best) < 0) {
			best = s
		}
	}
	if best != nil && len(w.heard) >= w.width && w.closer(w.heard[w.width-1].id, best.id) <= 0 {
		return nil
	}
	return best
}

// doubt is how little the word of who named a node counts.
func (w *walk) doubt(s *step) int {
	if !s.via.IsValid() {
		return 0
	}
	return max(0, w.balance(s.via))
}

// balance is the lower, the more of the nodes that somebody named are there.
func (w *walk) balance(via netip.AddrPort) int {
	t := w.trust[via]
	if t == nil {
		return 0
	}
	return t.bad - 2*t.good
}

// compare orders nodes by who is to be asked first.
func (w *walk) compare(a, b *step) int {
	if a.anonymous != b.anonymous {
		if a.anonymous {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(w.doubt(a), w.doubt(b)), w.closer(a.id, b.id), a.addr.Compare(b.addr))
}

// closer compares the distances of two ids to the target.
func (w *walk) closer(a, b Infohash) int {
	for i := range a {
		a[i] ^= w.target[i]
		b[i] ^= w.target[i]
	}
	return bytes.Compare(a[:], b[:])
}

// answered takes the answer of a node that was asked: who it says that it is, and whom it names. Whoever has an id that its address does not
// allow it to have (BEP 42) may name others, but does not count as close.
func (w *walk) answered(addr netip.AddrPort, id Infohash, allowed bool, token string, named []dhtNode) {
	s := w.steps[plain(addr)]
	if s == nil || !s.asked {
		return
	}
	w.pending--
	w.credit(s).good++
	s.id, s.token = id, token
	if allowed {
		at, _ := slices.BinarySearchFunc(w.heard, s, func(a, b *step) int { return cmp.Or(w.closer(a.id, b.id), a.addr.Compare(b.addr)) })
		w.heard = slices.Insert(w.heard, at, s)
	}
	for _, n := range named[:min(len(named), maxNamed)] {
		if n.id != (Infohash{}) {
			w.add(n, s.addr)
		}
	}
}

// silent takes that a node that was asked did not answer.
func (w *walk) silent(addr netip.AddrPort) {
	s := w.steps[plain(addr)]
	if s == nil || !s.asked {
		return
	}
	w.pending--
	w.credit(s).bad++
}

func (w *walk) credit(s *step) *trust {
	t := w.trust[s.via]
	if t == nil {
		t = &trust{}
		w.trust[s.via] = t
	}
	return t
}

// over reports whether there is nobody left to ask, nor to wait for.
func (w *walk) over() bool { return w.pending == 0 && w.choose() == nil }

// keepers returns to whom to announce: the nodes closest to the target that answered, and some more of the others, whose word was best.
func (w *walk) keepers() []*step {
	n := min(len(w.heard), w.width)
	others := slices.Clone(w.heard[n:])
	slices.SortStableFunc(others, func(a, b *step) int { return cmp.Compare(w.balance(a.addr), w.balance(b.addr)) })
	return append(slices.Clone(w.heard[:n]), others[:min(len(others), w.width/spareShare)]...)
}
