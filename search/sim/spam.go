package sim

import (
	"cmp"
	"slices"

	"kith/overlay/kbr"
	"kith/search/filter"
	"kith/search/plan"
)

// A Spammer is a kind of spammer. All of them know the catalogue and what is looked for most, name each other when they are asked for a shard, and agree on what they tell, so that what one says another confirms.
type Spammer uint8

// The kinds.
const (
	// Eager has a million records, made as they are asked for: it answers every question with maxResults of them, whose names have all its words. Its filter claims as much as a filter may.
	Eager Spammer = iota
	// Sly is as Eager, but its filter claims just less than is too much.
	Sly
	// Patient has made its records before, with bytes and work for each, as many as are kept of a stranger, and answers only what one of them is called. Nothing that it does is different from what
	// others do.
	Patient
	spammers
)

// A Guard is what stands against spam.
type Guard uint8

// The guards. Kith is all of them.
const (
	Bounded   Guard = 1 << iota // who claims more than Broad comes last, and not first
	Worth                       // what several have found comes first, and what one has found alone counts little
	Decoys                      // beside each question stands one to which there is no answer
	AllGuards = Bounded | Worth | Decoys
)

const (
	liesEager   = 16    // different filters of eager spammers
	liesPatient = 1000  // records of a patient one
	agreed      = 10    // results on which eager ones have agreed
	decoys      = 12    // beside each question
	rareWord    = 3     // names that have a word of a decoy, at most
	decoyTries  = 10000 // pairs of words that are tried
	usual       = 3     // times as many pairs as by chance may fit of who is tested
)

// recruit decides who is a spammer, and what names each copies: of what is there as often as people look for it.
func (w *World) recruit() {
	w.spam, w.claims = make([]bool, len(w.shares)), make([][]item, len(w.shares))
	popular := newZipf(len(w.names), itemZipf)
	for p := 1; p < len(w.spam); p++ {
		if w.spam[p] = w.unit(forSpam, p, 0) < w.o.Spam; !w.spam[p] || w.o.Spammer != Patient {
			continue
		}
		for i := range liesPatient {
			w.claims[p] = append(w.claims[p], item(popular.rank(w.unit(forSpam, p, i+1))))
		}
		slices.Sort(w.claims[p])
	}
}

// lie returns the filter of a spammer. Eager ones share some, each as large as there are.
func (w *World) lie(p int, terms []filter.Key, lies *[]*filter.Filter) *filter.Filter {
	limit := filter.MaxKeys - mostTerms*mostTerms
	if w.o.Spammer == Sly {
		limit = plan.Broad - mostTerms*mostTerms
	}
	made := func(most int, items func(i int) item) *filter.Filter {
		var keys, name []filter.Key
		for i, seen := 0, map[item]bool{}; i < most && len(keys) <= limit; i++ {
			x := items(i)
			if seen[x] {
				continue
			}
			seen[x], name = true, name[:0]
			for _, t := range w.names[x] {
				name = append(name, terms[t])
			}
			if keys = filter.Name(keys, name); len(keys) > limit {
				slices.Sort(keys)
				keys = slices.Compact(keys)
			}
		}
		f, err := filter.New(keys)
		if err != nil {
			panic(err) // there was room for one more name
		}
		return f
	}
	if w.o.Spammer == Patient {
		return made(liesPatient, func(i int) item { return w.claims[p][i] })
	}
	if len(*lies) < liesEager {
		popular, which := newZipf(len(w.names), itemZipf), len(*lies)
		*lies = append(*lies, made(len(w.names), func(i int) item { return item(popular.rank(w.unit(forSpam, -1-which, i))) }))
	}
	return (*lies)[w.draw(forSpam, p, 1)%uint64(len(*lies))]
}

// junk returns what a spammer answers. Items below 0 are junk.
func (w *World) junk(s *query, p kbr.Node) (list []item) {
	if w.o.Spammer != Patient {
		for i := range item(maxResults) {
			if i < agreed {
				list = append(list, -1-i)
			} else {
				list = append(list, -1-agreed-item(p)*maxResults-i)
			}
		}
		return list
	}
	for i, x := range w.claims[p] {
		if slices.ContainsFunc(s.terms, func(t uint32) bool { return !slices.Contains(w.names[x], t) }) {
			continue
		}
		y := -1 - x // they have agreed on the first of a name
		if i > 0 && w.claims[p][i-1] == x {
			y = -1 - item(len(w.names)) - item(p)*liesPatient - item(i)
		}
		list = append(list, y)
	}
	return list
}

// items returns what a node answers.
func (k *Kith) items(s *search, p kbr.Node) []item {
	if k.r.spam[p] {
		return k.r.junk(s.query, p)
	}
	return s.hits[p]
}

// told returns whom a guide names.
func (k *Kith) told(p kbr.Node, s filter.Sought) []plan.Candidate {
	if !k.r.spam[p] {
		return k.rank(p, s)
	}
	var list []plan.Candidate
	for _, q := range k.r.alive {
		if k.r.spam[q] && k.shard(q) == k.shard(p) && len(list) < maxTold {
			list = append(list, plan.Candidate{Node: q, Fit: filter.Together, Score: plan.Broad})
		}
	}
	return list
}

// lies reports whether a node answers all of some decoys, which depend on its filter alone.
func (k *Kith) lies(p kbr.Node) bool {
	lied, ok := k.lied[p]
	if !ok {
		list := k.decoys(p)
		lied = len(list) == decoys && !slices.ContainsFunc(list, func(d [2]uint32) bool { return !k.has(p, d) })
		k.lied[p] = lied
	}
	return lied
}

// decoys returns pairs of words that the filter of a node says stand together, as it says of one pair in FalseOnes that do not. They are of rare words, which seldom do. There are none if more of such
// pairs fit than can be by chance: then it is likely that it has them.
func (k *Kith) decoys(p kbr.Node) (list [][2]uint32) {
	w, f := k.r.World, k.filters[p]
	var has []uint32
	for t, items := range w.byTerm {
		if len(items) <= rareWord && f.Has(term(uint32(t))) {
			has = append(has, uint32(t))
		}
	}
	fit := 0
	for i := range decoyTries {
		if len(has) < 2 {
			return nil
		}
		x := w.draw(forSpam, int(p), -1-i)
		a, b := has[x%uint64(len(has))], has[x>>32%uint64(len(has))]
		if a == b || !f.Has(filter.Pair(term(a), term(b))) {
			continue
		}
		fit++
		if d := [2]uint32{min(a, b), max(a, b)}; len(list) < decoys && !slices.Contains(list, d) {
			list = append(list, d)
		}
	}
	if fit > usual*decoyTries/filter.FalseOnes {
		return nil
	}
	return list
}

// has reports whether a node says that it has something with both words in its name.
func (k *Kith) has(p kbr.Node, pair [2]uint32) bool {
	have := k.r.shares[p]
	if k.r.spam[p] {
		if have = k.r.claims[p]; k.r.o.Spammer != Patient {
			return true
		}
	}
	return slices.ContainsFunc(have, func(x item) bool {
		return slices.Contains(k.r.names[x], pair[0]) && slices.Contains(k.r.names[x], pair[1])
	})
}

// rankByClaim is plan.Rank without a guard: who claims most comes first.
func rankByClaim(known []plan.Known, s filter.Sought) (list []plan.Candidate) {
	of := func(p kbr.Node) int {
		i := slices.IndexFunc(known, func(k plan.Known) bool { return k.Node == p })
		return known[i].Filter.Len()
	}
	list = plan.Rank(known, s)
	for i := range list {
		list[i].Score = uint32(of(list[i].Node))
	}
	slices.SortFunc(list, func(a, b plan.Candidate) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Node, b.Node))
	})
	return list
}
