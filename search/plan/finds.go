package plan

import (
	"cmp"
	"slices"

	"kith/overlay/kbr"
)

// perPeer is how many contents that one peer alone has found count as results.
const perPeer = 5

// Finds is what a search has found, and from whom. What several peers have found, independently of each other, comes first; of what one alone has found no more counts than perPeer, however much it is: so
// neither does one peer fill what is shown first, nor does it end the search.
type Finds[C comparable] struct {
	all []find[C] // as they came
}

type find[C comparable] struct {
	content C
	peers   []kbr.Node
	home    bool
	turn    int // it is the so many-th that its first peer has found
	counts  bool
}

// Home takes in what was found at home, or by a contact, and returns how much of it counts as a result that was not there before.
func (f *Finds[C]) Home(contents ...C) (fresh int) {
	for _, c := range contents {
		x := f.find(c)
		x.home = true
		fresh += x.count()
	}
	return fresh
}

// Take takes in what one peer has found, once, and returns how much counts as a result that was not there before.
func (f *Finds[C]) Take(peer kbr.Node, contents ...C) (fresh int) {
	alone := 0
	for i, c := range contents {
		x := f.find(c)
		if slices.Contains(x.peers, peer) {
			continue
		}
		if len(x.peers) == 0 {
			x.turn = i
		}
		x.peers = append(x.peers, peer)
		switch {
		case len(x.peers) > 1:
			fresh += x.count()
		case !x.counts && alone < perPeer:
			alone++
			fresh += x.count()
		}
	}
	return fresh
}

// find returns what is known of a content, until the next is found.
func (f *Finds[C]) find(c C) *find[C] {
	i := slices.IndexFunc(f.all, func(x find[C]) bool { return x.content == c })
	if i < 0 {
		i = len(f.all)
		f.all = append(f.all, find[C]{content: c})
	}
	return &f.all[i]
}

// count lets a content count as a result, and returns 1 if it did not before.
func (x *find[C]) count() int {
	if x.counts {
		return 0
	}
	x.counts = true
	return 1
}

// First returns the first n of what was found: what is at home or a contact's, then what most peers have found, and of what one alone has found a first one of each, a second one, and so on.
func (f *Finds[C]) First(n int) (list []C) {
	order := slices.Clone(f.all)
	slices.SortStableFunc(order, func(a, b find[C]) int {
		switch {
		case a.home != b.home:
			return one(b.home) - one(a.home)
		case len(a.peers) != len(b.peers):
			return cmp.Compare(len(b.peers), len(a.peers))
		case len(a.peers) < 2:
			return cmp.Compare(a.turn, b.turn)
		}
		return 0
	})
	for _, x := range order[:min(n, len(order))] {
		list = append(list, x.content)
	}
	return list
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}
