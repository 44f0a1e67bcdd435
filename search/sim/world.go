// Package sim measures searches: those of Kith (search/plan and search/filter, which a node runs as they are) beside those of Gnutella, Tribler and Kad, among nodes that come and go,
// in one made-up world that is the same for all of them.
//
// It opens no socket, and simulates no overlay; that is overlay/sim's, from which it has its random numbers. Its one idea: who shares what, who comes and goes, and what is looked for
// is decided before anybody searches, by draws that depend on a seed and on what they are for, so that what differs between two reports is the way of searching, and the same
// options give the same report to the bit, which TraceHash shows.
package sim

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"kith"
	"kith/overlay/kbr"
	"kith/overlay/sim"
	"kith/search/plan"
)

// MaxNodes is how many nodes can be up at once.
const MaxNodes = 20_000

// Options of a world.
type Options struct {
	Nodes   int // that are up at once
	Seed    uint64
	Queries int     // of each of the two classes: as people ask, and for what exists once
	Churn   float64 // the part of the nodes that leaves in an hour, without a word, while as many new ones come
	Spam    float64 // the part of the nodes that are spammers
	Spammer Spammer // and of which kind

	Volunteers int     // nodes that are up at once and volunteer
	Lying      float64 // the part of the nodes that say so too, and do not
	Liar       Liar    // and what they do
}

// Check says what is wrong with the options. Its error is Invalid.
func (o Options) Check() error {
	switch {
	case o.Nodes < 50 || o.Nodes > MaxNodes:
		return kith.Hint(fmt.Errorf("search: simulate %d nodes: %w", o.Nodes, kith.Invalid), "50 to %d", MaxNodes)
	case o.Queries < 1 || o.Queries > 100_000:
		return kith.Hint(fmt.Errorf("search: simulate %d queries: %w", o.Queries, kith.Invalid), "1 to 100000")
	case !(o.Spam >= 0 && o.Spam <= 0.9) || o.Spammer >= spammers:
		return kith.Hint(fmt.Errorf("search: simulate %v spammers: %w", o.Spam, kith.Invalid), "the part of the nodes, such as 0.2")
	case o.Volunteers < 0 || o.Volunteers > o.Nodes/4 || !(o.Lying >= 0 && o.Lying <= 0.9) || o.Liar >= liars:
		return kith.Hint(fmt.Errorf("search: simulate %d volunteers, and %v that lie: %w", o.Volunteers, o.Lying, kith.Invalid), "a quarter of the nodes at most, and a part of them, such as 0.2")
	case !(o.Churn >= 0 && o.Churn <= 10):
		return kith.Hint(fmt.Errorf("search: simulate a churn of %v: %w", o.Churn, kith.Invalid), "the part that leaves in an hour, such as 0.2")
	}
	return nil
}

// What is shared. A quarter of all nodes shares nothing, and the upper 7 % share half of all (Saroiu, Gummadi, Gribble, MMCN 2002, of Gnutella): lognormal, with the deviation that gives
// this. How often an item is there goes by Zipf; so do words in names, with the exponent of natural language.
const (
	freeRiders   = 0.25
	meanShares   = 100 // of those that share anything
	shareSpread  = 1.32
	maxShares    = 3000
	itemsPerNode = 30 // of the catalogue; some of them nobody has
	itemZipf     = 0.8
	wordZipf     = 1.0
	wordsPerNode = 20 // of the vocabulary, which has at least leastWords
	leastWords   = 20_000
	leastTerms   = 3 // of a name
	mostTerms    = 8
)

// hour is how long a world goes on before there are queries, and how long there are.
const hour = 60 * kbr.Minute

// What draws are for.
const (
	forShares uint64 = iota + 1
	forItem
	forName
	forPlace
	forChurn
	forTarget
	forWords
	forAsker
	forMesh
	forRandom
	forSpam
	forVolunteer
)

type item int32

// A move is a node that leaves, and one that comes in its place.
type move struct {
	at          kbr.Ticks
	leave, join kbr.Node
}

// A query is what somebody looks for.
type query struct {
	at     kbr.Ticks
	from   kbr.Node
	target item
	terms  []uint32
	rare   bool                // the target exists once, or, else, it was drawn as people ask
	copies int                 // of the target, that are up
	hits   map[kbr.Node][]item // what nodes have that matches, whether they are up or not
	exist  int                 // how many different items match, on nodes that are up
}

// A World is who shares what, who comes and goes, and what is looked for. It is read only once it is made.
type World struct {
	o       Options
	names   [][]uint32   // the terms of each item, by number
	holders [][]kbr.Node // of each item
	shares  [][]item     // of each node; node 0 is nobody
	moves   []move
	queries []query
	byTerm  [][]item
	spam    []bool   // which nodes are spammers
	claims  [][]item // what each of them lies about
}

// New makes a world. Its error is Invalid.
func New(o Options) (*World, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	w := &World{o: o}
	w.name(itemsPerNode * o.Nodes)
	w.churn()
	w.recruit()
	w.share()
	w.ask()
	return w, nil
}

func (w *World) draw(purpose uint64, who, i int) uint64 {
	return sim.Draw(w.o.Seed, purpose, uint64(who), uint64(i))
}

func (w *World) unit(purpose uint64, who, i int) float64 { return sim.Unit(w.draw(purpose, who, i)) }

// A zipf draws ranks from 0 up: that of rank r with a weight of 1/(r+1)^s.
type zipf []float64

func newZipf(n int, s float64) zipf {
	z := make(zipf, n)
	var sum float64
	for i := range z {
		sum += math.Pow(float64(i+1), -s)
		z[i] = sum
	}
	return z
}

func (z zipf) rank(u float64) int {
	i, _ := slices.BinarySearch(z, u*z[len(z)-1])
	return min(i, len(z)-1)
}

// name gives every item its terms.
func (w *World) name(items int) {
	vocabulary := max(leastWords, wordsPerNode*w.o.Nodes)
	words := newZipf(vocabulary, wordZipf)
	w.names, w.byTerm, w.holders = make([][]uint32, items), make([][]item, vocabulary), make([][]kbr.Node, items)
	for i := range w.names {
		n := leastTerms + int(w.draw(forName, i, 0)%(mostTerms-leastTerms+1))
		for d := 1; len(w.names[i]) < n; d++ {
			if t := uint32(words.rank(w.unit(forName, i, d))); !slices.Contains(w.names[i], t) {
				w.names[i] = append(w.names[i], t)
				w.byTerm[t] = append(w.byTerm[t], item(i))
			}
		}
	}
}

// churn decides who comes and goes when. Nodes that come were never there before.
func (w *World) churn() {
	up := make([]kbr.Node, w.o.Nodes)
	for i := range up {
		up[i] = kbr.Node(i + 1)
	}
	next, at := kbr.Node(w.o.Nodes+1), kbr.Ticks(0)
	for i := 0; w.o.Churn > 0; i++ {
		at += kbr.Ticks(-math.Log(1-w.unit(forChurn, 0, i)) * float64(hour) / (w.o.Churn * float64(w.o.Nodes)))
		if at > 2*hour {
			break
		}
		k := w.draw(forChurn, 1, i) % uint64(len(up))
		w.moves = append(w.moves, move{at: at, leave: up[k], join: next})
		up[k] = next
		next++
	}
	w.shares = make([][]item, next)
}

// share decides who has what.
func (w *World) share() {
	popular := newZipf(len(w.names), itemZipf)
	mu := math.Log(meanShares) - shareSpread*shareSpread/2
	for p := 1; p < len(w.shares); p++ {
		if w.spam[p] || w.unit(forShares, p, 0) < freeRiders {
			continue
		}
		normal := math.Sqrt(-2*math.Log(1-w.unit(forShares, p, 1))) * math.Cos(2*math.Pi*w.unit(forShares, p, 2)) // Box-Muller
		n := min(max(1, int(math.Exp(mu+shareSpread*normal)+0.5)), maxShares)
		have := make([]item, n)
		for i := range have {
			have[i] = item(popular.rank(w.unit(forItem, p, i)))
		}
		slices.Sort(have)
		w.shares[p] = slices.Compact(have)
		for _, x := range w.shares[p] {
			w.holders[x] = append(w.holders[x], kbr.Node(p))
		}
	}
}

// ask decides what is looked for: all in the second hour, when those that came and went are as many as ever.
func (w *World) ask() {
	up := make([]bool, len(w.shares))
	alive := make([]kbr.Node, w.o.Nodes)
	for i := range alive {
		alive[i], up[i+1] = kbr.Node(i+1), true
	}
	popular := newZipf(len(w.names), itemZipf)
	moves := w.moves
	for i := range 2 * w.o.Queries {
		at := hour + kbr.Ticks(i)*hour/kbr.Ticks(2*w.o.Queries)
		for ; len(moves) > 0 && moves[0].at <= at; moves = moves[1:] {
			m := moves[0]
			up[m.leave], up[m.join] = false, true
			alive[slices.Index(alive, m.leave)] = m.join
		}
		q := query{at: at, from: alive[w.draw(forAsker, i, 0)%uint64(len(alive))], rare: i%2 == 1}
		for d := 1; w.spam[q.from]; d++ {
			q.from = alive[w.draw(forAsker, i, d)%uint64(len(alive))]
		}
		for d := 0; q.terms == nil; d++ {
			x := item(w.draw(forTarget, i, d) % uint64(len(w.names)))
			if !q.rare {
				x = item(popular.rank(w.unit(forTarget, i, d)))
			}
			w.seek(&q, x, i, d, up)
		}
		w.queries = append(w.queries, q)
	}
}

// seek makes q a query for an item, unless that is not up, or it is to be rare and there are others, or the words match more than a search shows.
func (w *World) seek(q *query, x item, i, d int, up []bool) {
	copies := 0
	for _, p := range w.holders[x] {
		if p == q.from {
			return // one does not look for what one has
		}
		if up[p] {
			copies++
		}
	}
	if copies == 0 || q.rare && copies > 1 {
		return
	}
	name := slices.Clone(w.names[x])
	n := min(len(name), 2+int(w.draw(forWords, i, 2*d)%3)) // two to four words
	for k := range n {
		j := k + int(w.draw(forWords, i, 2*d+1)>>(8*k)%uint64(len(name)-k))
		name[k], name[j] = name[j], name[k]
	}
	terms := name[:n]
	slices.SortFunc(terms, func(a, b uint32) int { return cmp.Compare(len(w.byTerm[a]), len(w.byTerm[b])) })
	hits, exist := map[kbr.Node][]item{}, 0
	for _, y := range w.byTerm[terms[0]] {
		if slices.ContainsFunc(terms[1:], func(t uint32) bool { return !slices.Contains(w.names[y], t) }) {
			continue
		}
		there := false
		for _, p := range w.holders[y] {
			hits[p] = append(hits[p], y)
			there = there || up[p]
		}
		if there {
			exist++
		}
	}
	if q.rare && exist > plan.Enough {
		return
	}
	q.target, q.terms, q.copies, q.hits, q.exist = x, terms, copies, hits, exist
}
