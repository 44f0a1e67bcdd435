package plan

import (
	"cmp"
	"slices"

	"kith/overlay/kbr"
)

// MaxHelpers is how many volunteers one search asks, beside all others that it asks: they take nobody's place.
const MaxHelpers = 2

// A Helper is a volunteer that a search asks. What one that proved itself has found can end the search; what another has found does not.
type Helper struct {
	Node   kbr.Node // no peer of the search has the same
	Proven bool
}

type helper struct {
	Helper
	open bool
}

// Help says which volunteers are asked too, at most MaxHelpers, before Begin.
func (s *Search) Help(list []Helper) {
	for _, h := range list[:min(len(list), MaxHelpers)] {
		s.helpers = append(s.helpers, helper{Helper: h})
	}
}

// lend asks them all.
func (s *Search) lend(out []Act) []Act {
	for i := range s.helpers {
		s.helpers[i].open = true
		out = append(out, Act{Do: Lend, To: s.helpers[i].Node, Wait: s.wait})
	}
	return out
}

// help takes in what became of a question to a volunteer, and reports whether it was one.
func (s *Search) help(ev *Event) bool {
	if ev.What == Begin {
		return false
	}
	for i := range s.helpers {
		h := &s.helpers[i]
		if h.Node != ev.From {
			continue
		}
		h.open = false
		if h.Proven {
			s.lent += ev.Fresh
		}
		return true
	}
	return false
}

// lending reports whether a volunteer may still answer in time.
func (s *Search) lending() bool {
	return slices.ContainsFunc(s.helpers, func(h helper) bool { return h.open })
}

// How volunteers are remembered.
const (
	maxMemory = 512             // volunteers
	avoidFor  = 60 * kbr.Minute // one that was of no use, twice as long each time …
	maxAvoid  = 4               // … so many times
	half      = 2               // one in so many of what others found, at least, is to be with a volunteer too
)

// An Outcome is how a volunteer did in one search, beside peers who were asked for what they have themselves.
type Outcome struct {
	Silent  bool // it did not answer in time, or what made no sense
	Full    bool // its answer had as much as an answer may have: there may be more
	Others  int  // contents that peers of the same shard found
	Brought int  // those of these that the volunteer found too
}

// Proves reports whether the volunteer has at least half of what others found, or, of more than an answer holds, some of it.
func (o Outcome) Proves() bool {
	return !o.Silent && o.Brought > 0 && (o.Brought*half >= o.Others || o.Full)
}

// Volunteers remembers who of those who say that they have everything has proved to. P is how they are called. Nobody is believed: a volunteer is judged by what others, who were asked too, have found.
// It is for one goroutine at a time.
type Volunteers[P cmp.Ordered] struct {
	all []volunteer[P] // in the order in which they were met
}

type volunteer[P cmp.Ordered] struct {
	who    P
	proven bool
	tries  int       // searches since it was met that proved nothing
	bad    int       // those in which it was of no use, one after the other
	until  kbr.Ticks // when it may be asked again
}

// Choose returns whom of those who volunteer a search is to ask, at most MaxHelpers: one that proved itself, so that liars, however many they are, do not keep it away, and one that has yet to, or two of these. Of
// several draw decides, so that all have their turn.
func (v *Volunteers[P]) Choose(there []P, now kbr.Ticks, draw uint64) (list []P, proven int) {
	var good, untried []P
	least := int(^uint(0) >> 1)
	for _, p := range there {
		k := v.of(p)
		switch {
		case k != nil && now < k.until:
		case k != nil && k.proven:
			good = append(good, p)
		default:
			tries := 0
			if k != nil {
				tries = k.tries + k.bad
			}
			if tries < least {
				least, untried = tries, untried[:0]
			}
			if tries == least {
				untried = append(untried, p)
			}
		}
	}
	take := func(from []P) []P {
		if len(from) == 0 || len(list) == MaxHelpers {
			return from
		}
		i := int(draw % uint64(len(from)))
		draw /= uint64(len(from))
		list = append(list, from[i])
		return slices.Delete(from, i, i+1)
	}
	take(good)
	proven = len(list)
	untried = take(untried)
	if proven == 0 {
		take(untried)
	}
	return list, proven
}

// Learn takes in how a volunteer did.
func (v *Volunteers[P]) Learn(p P, now kbr.Ticks, o Outcome) {
	k := v.of(p)
	if k == nil {
		if len(v.all) >= maxMemory {
			i := max(0, slices.IndexFunc(v.all, func(k volunteer[P]) bool { return !k.proven }))
			v.all = slices.Delete(v.all, i, i+1)
		}
		v.all = append(v.all, volunteer[P]{who: p})
		k = &v.all[len(v.all)-1]
	}
	switch {
	case o.Silent || o.Others > 0 && o.Brought*half < o.Others && !o.Full:
		k.until = now + avoidFor<<min(k.bad, maxAvoid)
		k.bad++
		k.proven = false
	case o.Proves():
		k.proven, k.bad, k.tries = true, 0, 0
	default: // there was nothing to compare with
		k.tries++
	}
}

func (v *Volunteers[P]) of(p P) *volunteer[P] {
	i := slices.IndexFunc(v.all, func(k volunteer[P]) bool { return k.who == p })
	if i < 0 {
		return nil
	}
	return &v.all[i]
}
