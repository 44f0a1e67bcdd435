package report

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"slices"
	"strings"

	"kith/overlay/kbr"
	"kith/overlay/sim"
)

// How much of a network is drawn.
const (
	onRing = 240 // nodes, those of the search aside
	onTree = 26
	tries  = 15 // searches, of which the one of median length is drawn
)

// A Picture is what is drawn of a network: some of its nodes, and a search. Numbers are of Nodes.
type Picture struct {
	Tree  bool // by prefix, and not around a ring
	Up    int  // how many nodes were up
	Nodes []kbr.ID
	Key   kbr.ID
	From  int
	End   int // -1 if the search ended nowhere
	Right bool
	Way   []Asked
	Took  kbr.Ticks
}

// Asked is a node that the search asked, in order.
type Asked struct {
	Node int
	Gone bool
}

// Look lets nodes of a network search, as a run has left it, and takes a picture of one of median length.
func Look(tree bool, n *sim.Net) *Picture {
	type search struct {
		way []sim.Question
		end kbr.Result
	}
	up := slices.Clone(n.Up())
	if len(up) == 0 {
		return nil
	}
	var searches []search
	right := map[kbr.Tag]bool{}
	for i := range tries {
		tag := kbr.Tag(1<<40 + i)
		way, end := n.Follow(up[i*len(up)/tries], tag)
		right[tag] = n.Right(&end)
		searches = append(searches, search{way, end})
	}
	slices.SortStableFunc(searches, func(a, b search) int { return len(a.way) - len(b.way) })
	chosen := searches[tries/2]
	if chosen.end.Self == kbr.None {
		return nil
	}
	p := &Picture{Tree: tree, Up: len(up), Key: chosen.end.Key, End: -1, Right: right[chosen.end.Tag], Took: chosen.end.Ended - chosen.end.Began}
	at := p.sample(n, up, chosen.way, chosen.end.Self)
	p.From = at(chosen.end.Self)
	if chosen.end.Node != kbr.None {
		p.End = at(chosen.end.Node)
	}
	for _, q := range chosen.way {
		if k := len(p.Way); k == 0 || p.Way[k-1].Node != at(q.To) { // and not once more
			p.Way = append(p.Way, Asked{at(q.To), q.Gone})
		}
	}
	return p
}

// sample chooses the nodes that are drawn, and returns a function that says where one of them is.
func (p *Picture) sample(n *sim.Net, up []kbr.Node, way []sim.Question, self kbr.Node) func(kbr.Node) int {
	most := onRing
	if p.Tree {
		most = onTree
	}
	chosen := []kbr.Node{self}
	for _, q := range way {
		chosen = append(chosen, q.From, q.To)
	}
	for i := range min(most, len(up)) {
		chosen = append(chosen, up[i*len(up)/min(most, len(up))])
	}
	slices.SortFunc(chosen, func(a, b kbr.Node) int { return n.Table.ID(a).Compare(n.Table.ID(b)) })
	chosen = slices.Compact(chosen)
	for _, c := range chosen {
		p.Nodes = append(p.Nodes, n.Table.ID(c))
	}
	return func(c kbr.Node) int { return slices.Index(chosen, c) }
}

// Caption says what is drawn.
func (p *Picture) Caption() string {
	what := "Around the ring of places, clockwise from the top"
	if p.Tree {
		what = "The tree of places, 0 to the left at each fork and 1 to the right"
	}
	end := "It ended at whose the key is"
	switch {
	case p.End < 0:
		end = "It ended nowhere"
	case !p.Right:
		end = "It ended at somebody whose the key is not"
	}
	return fmt.Sprintf("%s: %d of %d nodes, and a search for a key (◆), numbered as nodes were asked; of %d searches the one of median length. %s, after %d ms.", what, len(p.Nodes), p.Up, tries, end,
		p.Took/kbr.Millisecond)
}

// SVG draws the picture.
func (p *Picture) SVG() template.HTML {
	var b strings.Builder
	high := plotWide
	if p.Tree {
		high = p.high()
	}
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" role="img" aria-label="%s">`, plotWide, high, html.EscapeString(p.Caption()))
	if p.Tree {
		p.tree(&b)
	} else {
		p.ring(&b)
	}
	b.WriteString("</svg>")
	return template.HTML(b.String())
}

// turn returns where on the ring a place is, from 0 to 1.
func turn(id kbr.ID) float64 {
	b := id.Bytes()
	return (float64(b[0]) + float64(b[1])/256 + float64(b[2])/65536 + float64(b[3])/(1<<24)) / 256
}

// distances returns how far from the key, as a part of the ring, those are who answered, the one who searches first.
func (p *Picture) distances() (far []float64) {
	of := func(n int) float64 {
		id := p.Nodes[n]
		if p.Tree {
			return turn(id.Xor(p.Key))
		}
		return min(turn(id.Sub(p.Key)), turn(p.Key.Sub(id)))
	}
	far = append(far, max(of(p.From), nearest))
	for _, a := range p.Way {
		if !a.Gone {
			far = append(far, max(of(a.Node), nearest))
		}
	}
	return far
}

// nearest is what a plot of distances begins with.
const nearest = 1e-9

// ring draws the nodes on a circle, and the search in bows inside of it.
func (p *Picture) ring(b *strings.Builder) {
	const middle, radius = plotWide / 2, 168
	at := func(id kbr.ID, r float64) (x, y float64) {
		sin, cos := math.Sincos(2 * math.Pi * turn(id))
		return middle + r*sin, middle - r*cos
	}
	fmt.Fprintf(b, `<circle class="orbit" cx="%d" cy="%d" r="%d"/>`, middle, middle, radius)
	for _, id := range p.Nodes {
		x, y := at(id, radius)
		fmt.Fprintf(b, `<circle class="node" cx="%.1f" cy="%.1f" r="2"/>`, x, y)
	}
	bend := func(x0, y0, x1, y1 float64) string { // toward the middle, the more the farther
		in := min(0.5, math.Hypot(x1-x0, y1-y0)/radius/2)
		return fmt.Sprintf("M%.1f %.1fQ%.1f %.1f %.1f %.1f", x0, y0, (x0+x1)/2*(1-in)+middle*in, (y0+y1)/2*(1-in)+middle*in, x1, y1)
	}
	p.way(b, func(n int) (float64, float64) { return at(p.Nodes[n], radius) }, func(n, turn int) (float64, float64) { return at(p.Nodes[n], radius+15+float64(turn)) }, bend)
	x, y := at(p.Key, radius-1)
	diamond(b, x, y, "the key "+p.Key.String())
}

// rows of numbers beside nodes that are near each other; for more there is no room.
const rows = 4

// way draws the search: from whom it was at to whom it asked next; who did not answer is a branch that ends there.
func (p *Picture) way(b *strings.Builder, at func(n int) (x, y float64), beside func(n, row int) (x, y float64), bend func(x0, y0, x1, y1 float64) string) {
	here := p.From
	for _, a := range p.Way {
		x0, y0 := at(here)
		x1, y1 := at(a.Node)
		class := "way"
		if a.Gone {
			class = "way gone"
		} else {
			here = a.Node
		}
		fmt.Fprintf(b, `<path class="%s" d="%s"/>`, class, bend(x0, y0, x1, y1))
	}
	x, y := at(p.From)
	fmt.Fprintf(b, `<circle class="from" cx="%.1f" cy="%.1f" r="6"><title>who searches: %s</title></circle>`, x, y, p.Nodes[p.From])
	type spot struct{ x, y float64 }
	var used []spot
	for i, a := range p.Way {
		x, y := at(a.Node)
		class, say := "asked", "answered"
		switch {
		case a.Gone:
			class, say = "asked gone", "is gone"
		case a.Node == p.End:
			class, say = "asked end", "ended here"
		}
		fmt.Fprintf(b, `<circle class="%s" cx="%.1f" cy="%.1f" r="5"><title>%d: %s, %s</title></circle>`, class, x, y, i+1, p.Nodes[a.Node], say)
		near := func(s spot) bool { return math.Hypot(s.x-x, s.y-y) < 13 }
		for row := range rows {
			if x, y = beside(a.Node, 13*row); !slices.ContainsFunc(used, near) {
				used = append(used, spot{x, y})
				fmt.Fprintf(b, `<text class="%s" x="%.1f" y="%.1f" text-anchor="middle">%d</text>`, class, x, y+4, i+1)
				break
			}
		}
	}
}

func diamond(b *strings.Builder, x, y float64, say string) {
	fmt.Fprintf(b, `<path class="key" d="M%.1f %.1fl6 6l-6 6l-6 -6z"><title>%s</title></path>`, x, y-6, html.EscapeString(say))
}

// Size of the tree.
const (
	treeTop = 22
	leafs   = 205 // where nodes are, from the top
)

// across returns where in the tree a node is.
func (p *Picture) across(n int) float64 {
	return 14 + (plotWide-28)*(float64(n)+0.5)/float64(len(p.Nodes))
}

// down returns how far below the nodes an arc goes.
func down(x0, x1 float64) float64 { return 12 + 0.21*math.Abs(x1-x0) }

// high returns how high the tree is: up to the lowest arc.
func (p *Picture) high() int {
	low, here := 0.0, p.From
	for _, a := range p.Way {
		low = max(low, down(p.across(here), p.across(a.Node)))
		if !a.Gone {
			here = a.Node
		}
	}
	return leafs + int(max(22, low+4))
}

// tree draws forks of the nodes' places, where there are some on both sides; below are the nodes, in order, and the search goes in arcs below them.
func (p *Picture) tree(b *strings.Builder) {
	deepest := p.forks(0, len(p.Nodes), 0, nil)
	level := func(depth int) float64 { return treeTop + (leafs-treeTop)*float64(depth)/float64(deepest+1) }
	p.forks(0, len(p.Nodes), 0, func(lo, mid, hi, depth int) {
		y := level(depth)
		left, right := p.middle(lo, mid), p.middle(mid, hi)
		for side, part := range [2][2]int{{lo, mid}, {mid, hi}} {
			down := float64(leafs)
			if part[1]-part[0] > 1 {
				down = level(depth + 1)
			}
			to := [2]float64{left, right}[side]
			fmt.Fprintf(b, `<path class="branch" d="M%.1f %.1fH%.1fV%.1f"/>`, (left+right)/2, y, to, down)
			if depth < 3 {
				fmt.Fprintf(b, `<text class="bit" x="%.1f" y="%.1f" text-anchor="middle">%d</text>`, to, y-4, side)
			}
		}
	})
	for n := range p.Nodes {
		fmt.Fprintf(b, `<circle class="node" cx="%.1f" cy="%d" r="3"/>`, p.across(n), leafs)
	}
	bend := func(x0, y0, x1, y1 float64) string {
		return fmt.Sprintf("M%.1f %.1fQ%.1f %.1f %.1f %.1f", x0, y0, (x0+x1)/2, y0+2*down(x0, x1), x1, y1)
	}
	p.way(b, func(n int) (float64, float64) { return p.across(n), leafs }, func(n, row int) (float64, float64) { return p.across(n), leafs - 14 - float64(row) }, bend)
	after := 0
	for after < len(p.Nodes) && p.Nodes[after].Less(p.Key) {
		after++
	}
	diamond(b, (p.across(after-1)+p.across(after))/2, leafs+12, "the key "+p.Key.String())
}

// middle returns where a subtree hangs: over the middle of its own fork, or at its node.
func (p *Picture) middle(lo, hi int) float64 {
	if hi-lo == 1 {
		return p.across(lo)
	}
	mid := p.fork(lo, hi)
	return (p.middle(lo, mid) + p.middle(mid, hi)) / 2
}

// fork returns the first of some nodes in order that has a 1 at the first bit in which they differ.
func (p *Picture) fork(lo, hi int) int {
	bit := p.Nodes[lo].Xor(p.Nodes[hi-1]).Zeros()
	for n := lo; n < hi; n++ {
		if p.Nodes[n].Bit(bit) {
			return n
		}
	}
	return hi - 1 // two nodes of one place
}

// forks tells each of the forks of some nodes, and returns how deep the deepest is.
func (p *Picture) forks(lo, hi, depth int, each func(lo, mid, hi, depth int)) (deepest int) {
	if hi-lo < 2 {
		return depth - 1
	}
	mid := p.fork(lo, hi)
	if each != nil {
		each(lo, mid, hi, depth)
	}
	return max(p.forks(lo, mid, depth+1, each), p.forks(mid, hi, depth+1, each))
}
