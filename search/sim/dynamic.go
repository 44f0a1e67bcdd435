package sim

import (
	"slices"

	"kith/overlay/kbr"
	"kith/search/filter"
)

// Dynamic is the dynamic query of Gnutella 0.6 (Fisk, "Gnutella Dynamic Query Protocol v0.1", 2003) with query routing tables (Rohrs 2002): leaves hang on ultrapeers, who know which
// words a leaf has, and which their neighbours and those neighbours' leaves have. An ultrapeer asks its neighbours one after the other, as far as it must to find so many results.
type Dynamic struct {
	r       *run
	filters []*filter.Filter
	ups     *mesh // among ultrapeers
	leaves  *mesh // of leaves to ultrapeers
	seen    []*search
}

// As LimeWire had it.
const (
	ultraLinks  = 32 // connections of an ultrapeer with others
	ultraLeaves = 30
	leafLinks   = 3
	probes      = 3                      // neighbours that are asked first, one hop far
	hopTime     = 2400 * kbr.Millisecond // that is waited for each hop
	mostHops    = 3
	satisfied   = 150     // results
	horizon     = 200_000 // nodes that are asked
)

// String implements Way.
func (*Dynamic) String() string { return "Gnutella, dynamic query with QRP" }

// ultra reports whether a node is an ultrapeer.
func (d *Dynamic) ultra(p kbr.Node) bool {
	return d.r.draw(forMesh, int(p), 2)%(ultraLeaves/leafLinks+1) == 0
}

func (d *Dynamic) start(r *run) {
	d.r, d.filters, d.seen = r, r.filters(), make([]*search, len(r.up))
	leaf := func(p kbr.Node) bool { return !d.ultra(p) }
	d.ups = newMesh(r, ultraLinks/2, d.ultra, func(a, b kbr.Node) bool { return d.ultra(a) && d.ultra(b) })
	d.leaves = newMesh(r, leafLinks, leaf, func(a, b kbr.Node) bool { return d.ultra(a) != d.ultra(b) })
}

func (d *Dynamic) joined(p kbr.Node) {
	d.ups.join(p)
	d.leaves.join(p)
}

func (d *Dynamic) left(p kbr.Node) {
	d.ups.leave(p)
	d.leaves.leave(p)
}

// hasWords reports whether one of nodes has each word of a search, as their tables have it.
func (d *Dynamic) hasWords(s *search, nodes ...kbr.Node) bool {
	for _, t := range s.terms {
		key := term(t)
		if !slices.ContainsFunc(nodes, func(p kbr.Node) bool { return d.filters[p].Has(key) }) {
			return false
		}
	}
	return true
}

// has reports whether an ultrapeer or its leaves have each word.
func (d *Dynamic) has(s *search, up kbr.Node) bool {
	return d.hasWords(s, append([]kbr.Node{up}, d.leaves.links[up]...)...)
}

func (d *Dynamic) search(s *search) {
	up := s.from
	if !d.ultra(up) {
		if len(d.leaves.links[up]) == 0 {
			return
		}
		up = d.leaves.links[up][0]
		s.asked++
	}
	d.r.send(0, s.from, up, func() {
		back := d.r.line(s.from, up)
		d.seen[up] = s
		d.here(s, up, back)
		q := &dynamic{d: d, s: s, up: up, back: back, left: slices.Clone(d.ups.links[up])}
		q.hosts = 1 + len(d.leaves.links[up])
		for range probes {
			if i := q.fits(); i >= 0 {
				q.ask(i, 1)
			}
		}
		d.r.after(hopTime, q.next)
	})
}

// here looks at an ultrapeer and at those of its leaves whose words fit.
func (d *Dynamic) here(s *search, up kbr.Node, back kbr.Ticks) {
	answer := func(p kbr.Node, back kbr.Ticks) {
		if items := s.hits[p]; len(items) > 0 && p != s.from {
			s.answered++
			d.r.after(back, func() { s.results(items) })
		}
	}
	answer(up, back)
	for _, leaf := range d.leaves.links[up] {
		if leaf != s.from && d.hasWords(s, leaf) {
			s.asked++
			d.r.send(0, up, leaf, func() { answer(leaf, back+d.r.line(up, leaf)) })
		}
	}
}

// pass lets an ultrapeer have a query, which it hands on for so many hops; to the last only if the words fit.
func (d *Dynamic) pass(s *search, from, up kbr.Node, hops int, back kbr.Ticks) {
	s.asked++
	back += d.r.line(from, up)
	d.r.send(0, from, up, func() {
		if d.seen[up] == s {
			return
		}
		d.seen[up] = s
		d.here(s, up, back)
		for _, next := range d.ups.links[up] {
			if hops > 1 && next != from && (hops > 2 || d.has(s, next)) {
				d.pass(s, up, next, hops-1, back)
			}
		}
	})
}

// dynamic is a query under way at the ultrapeer that leads it.
type dynamic struct {
	d     *Dynamic
	s     *search
	up    kbr.Node
	back  kbr.Ticks
	left  []kbr.Node // neighbours that were not asked
	hosts int        // that were reached, as it believes
}

// reach returns how many nodes a query reaches in so many hops, if no two ways meet.
func reach(hops int) int {
	hosts, level := 0, 1
	for range hops {
		hosts += level * (1 + ultraLeaves)
		level *= ultraLinks - 1
	}
	return hosts
}

// fits returns which of the neighbours that are left has the words, or -1.
func (q *dynamic) fits() int {
	return slices.IndexFunc(q.left, func(p kbr.Node) bool { return q.d.has(q.s, p) })
}

// ask sends the query to the i-th of the neighbours that are left.
func (q *dynamic) ask(i, hops int) {
	to := q.left[i]
	q.left = slices.Delete(q.left, i, i+1)
	q.hosts += reach(hops)
	q.d.pass(q.s, q.up, to, hops, q.back)
}

// next asks one more neighbour, as far as the results that are still wanted need at the rate of those that came.
func (q *dynamic) next() {
	r := q.d.r
	found := len(q.s.found)
	if found >= satisfied || q.hosts >= horizon || len(q.left) == 0 || !r.up[q.up] {
		return
	}
	wanted := float64(satisfied-found) * float64(q.hosts) / max(float64(found), 0.5) / float64(len(q.left))
	hops := 1
	for hops < mostHops && float64(reach(hops)) < wanted {
		hops++
	}
	i := 0
	if hops == 1 { // the last hop goes where the words fit
		if i = q.fits(); i < 0 {
			return
		}
	}
	q.ask(i, hops)
	r.after(kbr.Ticks(hops)*hopTime, q.next)
}
