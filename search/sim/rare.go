package sim

import (
	"encoding/binary"
	"math"
	"slices"

	"kith/overlay/kbr"
	"kith/search/rare"
)

// Of the overlay as an index: what is announced is kept by as many nodes as of go-libp2p-kad-dht, is announced again as often, and is not handed on; a lookup takes its ways one after the
// other, each with a connection that has to be made.
const (
	rareFew    = 10 // results: with fewer others are looked for
	rareAsks   = 10
	rareMost   = 3_000 // keys of a node
	rareCopies = 20
	rareRenew  = 22 * hour
	lookWays   = 5
	lookAsks   = 10                           // questions of a lookup
	lookTime   = 2 * lookWays * meanTrip      // of three at once
	putAsks    = 25                           // nodes that are asked to announce one key, when all are announced alone
	putSize    = putAsks*500 + rareCopies*300 // bytes of that
)

// A rareIndex is who is announced under what.
type rareIndex struct {
	k      *Kith
	counts [][]uint32 // devices with a term, of each shard
	under  map[rare.Key][]kbr.Node
	keys   []int // of each node
}

func word(t uint32) string { return string(binary.BigEndian.AppendUint32(nil, t)) }

func newRareIndex(k *Kith) *rareIndex {
	x := &rareIndex{k: k, under: map[rare.Key][]kbr.Node{}, keys: make([]int, len(k.r.up)), counts: make([][]uint32, k.shards)}
	for i := range x.counts {
		x.counts[i] = make([]uint32, len(k.r.byTerm))
	}
	for p := range x.keys {
		has := map[uint32]bool{}
		for _, it := range k.r.shares[p] {
			for _, t := range k.r.names[it] {
				if !has[t] {
					has[t] = true
					x.counts[k.shard(kbr.Node(p))][t]++
				}
			}
		}
	}
	for p := range x.keys {
		x.announce(kbr.Node(p))
	}
	return x
}

// scaled returns of how many devices that are up so many of one shard, up or not, are.
func (x *rareIndex) scaled(n int) int {
	return n * x.k.shards * x.k.r.o.Nodes / len(x.k.r.up)
}

// reach is what a node counts: what is in the shard, of all.
func (x *rareIndex) reach(p kbr.Node) rare.Reach {
	shard := x.k.shard(p)
	return func(words ...string) int {
		a := binary.BigEndian.Uint32([]byte(words[0]))
		if len(words) == 1 {
			return x.scaled(int(x.counts[shard][a]))
		}
		b := binary.BigEndian.Uint32([]byte(words[1]))
		if len(x.k.r.byTerm[b]) < len(x.k.r.byTerm[a]) {
			a, b = b, a
		}
		has := map[kbr.Node]bool{}
		for _, it := range x.k.r.byTerm[a] {
			if slices.Contains(x.k.r.names[it], b) {
				for _, q := range x.k.r.holders[it] {
					if x.k.shard(q) == shard {
						has[q] = true
					}
				}
			}
			if x.scaled(len(has)) > rare.Hot {
				break
			}
		}
		return x.scaled(len(has))
	}
}

func (x *rareIndex) announce(p kbr.Node) {
	reach := x.reach(p)
	known := map[rare.Key]bool{}
	for _, it := range x.k.r.shares[p] {
		if len(x.k.r.holders[it])*x.k.r.o.Nodes/len(x.k.r.up) >= rare.Hot {
			continue
		}
		var words []string
		for _, t := range x.k.r.names[it] {
			words = append(words, word(t))
		}
		for _, key := range rare.Keys(words, reach) {
			if !known[key] && len(known) < rareMost {
				known[key] = true
				x.under[key] = append(x.under[key], p)
			}
		}
	}
	x.keys[p] = len(known)
}

// named returns who is found under a key: those who were there, gone or not, of whose announcement a copy is left, in no order.
func (x *rareIndex) named(key rare.Key) (list []kbr.Node) {
	r := x.k.r
	for _, p := range x.under[key] {
		if !x.k.met.has(p) {
			continue
		}
		came := (&Kad{r: r}).came(p)
		age := float64(0)
		if came > math.MinInt64 {
			age = float64((r.now-came)%rareRenew) / float64(hour)
		}
		left := 1 - math.Pow(1-math.Exp(-r.o.Churn*age), rareCopies)
		if float64(r.random()%1e6)/1e6 < left {
			list = append(list, p)
		}
	}
	for i := range list {
		j := i + int(r.random()%uint64(len(list)-i))
		list[i], list[j] = list[j], list[i]
	}
	return list
}

// further looks up in the overlay what is rare, and asks who is named there.
func (a *asking) further() {
	s, x := a.s, a.k.rare
	silent := slices.ContainsFunc(a.guides, func(g []kbr.Node) bool {
		return !slices.ContainsFunc(g, func(p kbr.Node) bool { return slices.Contains(a.told, p) })
	})
	if x == nil || len(s.found) >= rareFew || !silent && !a.k.Alone && !a.k.Always {
		return
	}
	var words []string
	for _, t := range s.terms {
		words = append(words, word(t))
	}
	looks := rare.Looks(words, x.reach(s.from))
	s.asked += lookAsks * len(looks)
	for i, key := range looks {
		a.k.r.after(kbr.Ticks(1+i/3)*lookTime, func() {
			for _, p := range x.named(key) {
				if p == s.from || slices.Contains(a.asked, p) || a.named == rareAsks {
					continue
				}
				a.named++
				a.asked = append(a.asked, p)
				s.asked++
				a.k.r.send(2*a.k.r.line(s.from, p), s.from, p, func() {
					s.answered++
					a.k.r.send(0, p, s.from, func() { s.results(s.hits[p][:min(len(s.hits[p]), maxResults)]) })
				})
			}
		})
	}
}

// cost returns how many keys a node has, in the mean and at most, and how many bytes a second it sends for them: all when it comes, and then as often as they are announced again.
func (x *rareIndex) cost() (mean, most, bytes float64) {
	var sum float64
	for _, p := range x.k.r.alive {
		n := float64(x.keys[p])
		sum, most = sum+n, max(most, n)
	}
	mean = sum / float64(len(x.k.r.alive))
	anHour := mean * (x.k.r.o.Churn + float64(hour)/float64(rareRenew))
	return mean, most, anHour * putSize / float64(hour/kbr.Second)
}
