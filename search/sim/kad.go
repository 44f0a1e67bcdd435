package sim

import (
	"cmp"
	"math"
	"slices"

	"kith/overlay/kbr"
	"kith/overlay/sim"
)

// Kad is the keyword search of eMule's Kad: each word of a name is a key, under which who shares it publishes it to ten nodes near it, once a day, and a search asks nodes near the word that it
// takes to be the rarest. Kang, Chan-Tin, Hopper and Kim ("Why Kad Lookup Fails", P2P 2009) found that a search reaches 18 % of the ten, because nodes near a key know the same others, and so name the
// same two again and again: here it reaches two.
//
// It is better than it was: what nodes know of each other is up to date, nobody is full, and it is known which word is rarest.
type Kad struct{ r *run }

// Of aMule's Defines.h, SearchManager.cpp and Search.cpp.
const (
	kadBucket    = 10 // nodes
	kadAlpha     = 3
	kadPublishes = 10             // copies
	kadReached   = 2              // of these, by a search
	kadSearches  = 2              // nodes that are named to who searches …
	kadStores    = 4              // … and to who publishes
	kadStall     = 3 * kbr.Second // that pass without a nearer node, before those that are nearest are asked for what they have, one a second
	kadResults   = 300            // of an answer
	kadRenew     = 24 * hour
	kadLevels    = 3 // bits of a key by which a node knows ten of those that are near it
)

// A kadNet is nodes, in the order of their places.
type kadNet struct {
	seed  uint64
	ids   []uint64
	nodes []kbr.Node
}

// within returns which nodes begin with the same bits as key.
func (n *kadNet) within(key uint64, bits int) (from, to int) {
	low := key &^ (math.MaxUint64 >> bits)
	from, _ = slices.BinarySearch(n.ids, low)
	if high := low + 1<<(64-bits); bits == 0 || high == 0 {
		to = len(n.ids)
	} else {
		to, _ = slices.BinarySearch(n.ids, high)
	}
	return from, to
}

// contacts returns the nodes nearest to key that p knows: of each part of the network it knows ten, the same each time.
func (n *kadNet) contacts(p int, key uint64, want int) (list []int) {
	common := 0
	for x := n.ids[p] ^ key; common < 64 && x<<common>>63 == 0; common++ {
	}
	for bits := min(common+kadLevels, 63); bits >= 0 && len(list) < want; bits-- {
		from, to := n.within(key, bits)
		for i := range min(kadBucket, to-from) {
			c := from + i
			if to-from > kadBucket {
				c = from + int(sim.Draw(n.seed, forMesh, n.ids[p]^uint64(from), uint64(to)<<8|uint64(i))%uint64(to-from))
			}
			if c != p && !slices.Contains(list, c) {
				list = append(list, c)
			}
		}
	}
	n.sort(list, key)
	return list[:min(want, len(list))]
}

func (n *kadNet) sort(list []int, key uint64) {
	slices.SortFunc(list, func(a, b int) int { return cmp.Compare(n.ids[a]^key, n.ids[b]^key) })
}

// A lookup is on its way to the nodes near a key.
type lookup struct {
	n     *kadNet
	key   uint64
	named int   // nodes that each is asked to name
	list  []int // those it knows, nearest first
	asked []int
	used  []int // those that were asked for what they have, or given something
	ways  int   // questions that were asked one after the other at first
}

func (n *kadNet) lookup(p int, key uint64, named int) *lookup {
	l := &lookup{n: n, key: key, named: named, list: n.contacts(p, key, 5*kadBucket)}
	queue := slices.Clone(l.list[:min(kadAlpha, len(l.list))])
	for len(queue) > 0 {
		l.ways++
		var next []int
		for _, c := range queue {
			next = append(next, l.ask(c)...)
		}
		queue = slices.DeleteFunc(next, func(c int) bool { return !slices.Contains(l.list[:min(kadAlpha, len(l.list))], c) })
	}
	return l
}

// ask asks one node, and returns whom it names that is new.
func (l *lookup) ask(c int) (fresh []int) {
	l.asked = append(l.asked, c)
	for _, x := range l.n.contacts(c, l.key, l.named) {
		if !slices.Contains(l.list, x) {
			l.list, fresh = append(l.list, x), append(fresh, x)
		}
	}
	l.n.sort(l.list, l.key)
	return fresh
}

// next returns the next node that is used, which was asked before, or that is asked now; -1 if there is none.
func (l *lookup) next() int {
	for _, c := range l.list {
		if !slices.Contains(l.used, c) {
			if !slices.Contains(l.asked, c) {
				l.ask(c)
			}
			l.used = append(l.used, c)
			return c
		}
	}
	return -1
}

// roots returns where somebody publishes under a key.
func (n *kadNet) roots(p int, key uint64) []int {
	l := n.lookup(p, key, kadStores)
	for len(l.used) < kadPublishes && l.next() >= 0 {
	}
	return l.used
}

// String implements Way.
func (*Kad) String() string { return "Kad, keyword search" }

func (k *Kad) start(r *run)    { k.r = r }
func (k *Kad) joined(kbr.Node) {}
func (k *Kad) left(kbr.Node)   {}

// net returns the nodes that are up.
func (k *Kad) net() (*kadNet, map[kbr.Node]int) {
	n := &kadNet{seed: k.r.o.Seed, nodes: slices.Clone(k.r.alive)}
	place := func(p kbr.Node) uint64 { return k.r.draw(forPlace, int(p), 3) }
	slices.SortFunc(n.nodes, func(a, b kbr.Node) int { return cmp.Compare(place(a), place(b)) })
	at := map[kbr.Node]int{}
	for i, p := range n.nodes {
		n.ids, at[p] = append(n.ids, place(p)), i
	}
	return n, at
}

// came returns when a node came, which may be before the world began.
func (k *Kad) came(p kbr.Node) kbr.Ticks {
	if int(p) > k.r.o.Nodes {
		return k.r.moves[int(p)-k.r.o.Nodes-1].at
	}
	if k.r.o.Churn == 0 {
		return math.MinInt64
	}
	return kbr.Ticks(math.Log(1-k.r.unit(forChurn, 2, int(p))) * float64(hour) / k.r.o.Churn)
}

func (k *Kad) search(s *search) {
	n, at := k.net()
	key := k.r.draw(forName, -1, int(s.terms[0]))
	l := n.lookup(at[s.from], key, kadSearches)
	has := map[int][]item{} // what nodes near the key have been told, by those that are up
	for i, p := range n.nodes {
		items := s.hits[p]
		if len(items) == 0 {
			continue
		}
		published := k.r.now
		if came := k.came(p); came > math.MinInt64 {
			published -= (k.r.now - came) % kadRenew
		}
		for _, root := range n.roots(i, key) {
			if k.came(n.nodes[root]) <= published {
				has[root] = append(has[root], items...)
			}
		}
	}
	s.asked = len(l.asked)
	for i := range kadReached {
		c := l.next()
		if c < 0 {
			break
		}
		s.asked++
		items := has[c]
		k.r.send(kbr.Ticks(l.ways)*meanTrip+kadStall+kbr.Ticks(i)*kbr.Second, s.from, n.nodes[c], func() {
			s.answered++
			k.r.send(0, n.nodes[c], s.from, func() { s.results(items[:min(len(items), kadResults)]) })
		})
	}
}
