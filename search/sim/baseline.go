package sim

import (
	"kith/overlay/kbr"
)

// Flood is Gnutella 0.4: each node hands a query on to all it is connected with, until it has gone so many hops, and what is found goes back the way the query came.
type Flood struct {
	m    *mesh
	seen []*search // which search a node has seen last
}

// The topology that gives the messages of Zeilemaker et al. (P2P 2014), 13,379 for 1,000 peers, each of which sends the query to all of its neighbours but one; and the hops of the
// protocol.
const (
	floodLinks = 14.4 / 2
	floodHops  = 7
)

func anyone(kbr.Node) bool { return true }

// String implements Way.
func (*Flood) String() string { return "Gnutella, flooding" }

func (f *Flood) start(r *run) {
	f.m, f.seen = newMesh(r, floodLinks, anyone, func(a, b kbr.Node) bool { return true }), make([]*search, len(r.up))
}

func (f *Flood) joined(p kbr.Node) { f.m.join(p) }
func (f *Flood) left(p kbr.Node)   { f.m.leave(p) }

func (f *Flood) search(s *search) {
	f.seen[s.from] = s
	f.pass(s, s.from, kbr.None, floodHops, 0)
}

// pass hands a query on; back is how long an answer needs from here to who asked.
func (f *Flood) pass(s *search, p, whence kbr.Node, hops int, back kbr.Ticks) {
	for _, q := range f.m.links[p] {
		if q == whence {
			continue
		}
		s.asked++
		back := back + s.r.line(p, q)
		s.r.send(0, p, q, func() {
			if f.seen[q] == s {
				return
			}
			f.seen[q] = s
			if items := s.hits[q]; len(items) > 0 {
				s.answered += floodHops - hops + 1
				s.r.after(back, func() { s.results(items) })
			}
			if hops > 1 {
				f.pass(s, q, p, hops-1, back)
			}
		})
	}
}

// Twenty is Tribler's search beside its local database: twenty random peers are asked at once.
type Twenty struct{ r *run }

// String implements Way.
func (*Twenty) String() string { return "Tribler, 20 random peers" }

func (t *Twenty) start(r *run)    { t.r = r }
func (t *Twenty) joined(kbr.Node) {}
func (t *Twenty) left(kbr.Node)   {}

const twenty = 20

func (t *Twenty) search(s *search) {
	asked := map[kbr.Node]bool{s.from: true}
	for len(asked) <= twenty {
		p := t.r.anybody()
		if asked[p] {
			continue
		}
		asked[p] = true
		s.asked++
		t.r.send(0, s.from, p, func() {
			s.answered++
			t.r.send(0, p, s.from, func() { s.results(s.hits[p]) })
		})
	}
}
