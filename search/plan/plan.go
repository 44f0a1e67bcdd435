// Package plan decides whom a search asks, and when it has asked enough: what is at home first, then the five peers whose filters fit best, at once, then 15 and then 40
// in all, until there are fifty results or nobody is left.
//
// It finds nothing and sends nothing. Its one idea: a search is a pure machine, as those of overlay/kbr are: it is told what happened and says what is to be done, with no clock,
// goroutine, chance or map, so that the same code runs in a node and in a simulation of ten thousand.
//
// Of shards other than its own a node has no filters. Members of each, guides, are asked who of that shard fits, as the first thing.
package plan

import (
	"cmp"
	"slices"

	"kith/overlay/kbr"
	"kith/search/filter"
)

// Limits of a search.
const (
	Enough   = 50 // results
	MaxAsks  = 60 // questions, guides and those asked in vain among them
	MaxPeers = 64 // candidates that are kept in mind

	guidesEach = 3 // of one shard, in case some of them lie
)

// steps is how many peers are asked in all, in three steps.
var steps = [...]int{5, 15, 40}

// A Candidate is a peer that may have what is looked for. Those whose filters fit less well than those of others are not asked. Of one list those of a greater score are asked first, and the first of each list
// before the second of any: who makes a list can say what it likes of its own, and has its turn.
type Candidate struct {
	Node  kbr.Node
	Fit   filter.Fit
	Score uint32
}

// before compares two candidates of one list by who is asked first.
func before(a, b Candidate) int {
	return cmp.Or(cmp.Compare(b.Fit, a.Fit), cmp.Compare(b.Score, a.Score), cmp.Compare(a.Node, b.Node))
}

// What happens to a search.
type What uint8

// The events.
const (
	Begin  What = iota // once, with Fresh of what was found at home
	Answer             // From answers: with Fresh new results, or as a guide with Peers
	Failed             // From cannot be reached, or answers what makes no sense
	Slow               // From has not answered for the Wait of what it was asked; it still may
)

// An Event is what happens to a search. Of Peers, best first, MaxPeers are taken in; they are the driver's again after the step.
type Event struct {
	What  What
	From  kbr.Node
	Fresh int // results, of contents that were not found before
	Peers []Candidate
}

// What is to be done.
type Do uint8

// The acts.
const (
	Ask   Do = iota // ask To what is looked for: Answer, Failed or Slow follows
	Guide           // ask To who of its shard fits: the same
	Done            // the search is over: what still comes is of no use
	Lend            // ask To, a volunteer, for what it has of all others: the same
)

// An Act is what a search wants done.
type Act struct {
	Do   Do
	To   kbr.Node
	Wait kbr.Ticks // how long to wait for an answer
}

// A Search is one search of one node. It is called by one at a time.
type Search struct {
	wait   kbr.Ticks
	peers  []peer // best first
	guides []guide
	found  int
	asks   int // of both kinds
	asked  int // peers
	vain   int // of these those that failed or were slow
	open   int // and those that may answer in time
	step   int // of steps
	done   bool

	helpers []helper
	lent    int // results of those who proved themselves, beyond found
}

type peer struct {
	Candidate
	turn  int // it is the so many-th of its list
	state state
}

type state uint8

const (
	fresh state = iota
	open
	over // it has answered, or failed, or is slow
)

// A guide is the members of one shard that can be asked.
type guide struct {
	left  []kbr.Node           // those that were not asked
	asked [guidesEach]kbr.Node // who may still answer, or None
	heard int                  // how many have answered
}

// New returns a search of a node that waits so long for an answer, as it has measured (kbr.RTT). Peers are those of its shard whose filters fit, and each list of guides is members
// of another shard, of which so many are asked until guidesEach have answered.
func New(wait kbr.Ticks, peers []Candidate, guides [][]kbr.Node) *Search {
	s := &Search{wait: wait}
	for _, g := range guides {
		s.guides = append(s.guides, guide{left: g})
		for i := range guidesEach {
			s.guides[len(s.guides)-1].asked[i] = kbr.None
		}
	}
	s.learn(peers)
	return s
}

// learn takes in candidates.
func (s *Search) learn(peers []Candidate) {
	peers = slices.Clone(peers)
	slices.SortFunc(peers, before)
	for i, p := range peers {
		if s.find(p.Node) == nil {
			s.peers = append(s.peers, peer{Candidate: p, turn: i})
		}
	}
	slices.SortFunc(s.peers, func(a, b peer) int { // those that were asked are kept
		return cmp.Or(cmp.Compare(min(b.state, open), min(a.state, open)), cmp.Compare(b.Fit, a.Fit), cmp.Compare(a.turn, b.turn), before(a.Candidate, b.Candidate))
	})
	s.peers = s.peers[:min(len(s.peers), MaxPeers)]
}

func (s *Search) find(n kbr.Node) *peer {
	for i := range s.peers {
		if s.peers[i].Node == n {
			return &s.peers[i]
		}
	}
	return nil
}

// Step lets something happen to the search, and appends to out what is to be done about it.
func (s *Search) Step(ev *Event, out []Act) []Act {
	if s.done {
		return out
	}
	helped := s.help(ev)
	if !helped {
		s.found += ev.Fresh
	}
	if ev.What != Begin && !helped {
		s.close(ev)
	}
	if ev.What == Begin && s.found < Enough {
		out = s.lend(out)
	}
	if !s.enough() {
		for i := range s.guides {
			out = s.next(&s.guides[i], out)
		}
		out = s.widen(out)
	}
	if s.enough() || s.open == 0 && !s.guided() && !s.lending() {
		s.done = true
		out = append(out, Act{Do: Done})
	}
	return out
}

// enough reports whether the search has enough results. Those of volunteers count when peers of the first step have had their time.
func (s *Search) enough() bool {
	heard := !s.guided() && (s.step > 0 || s.open*few <= s.asked)
	return s.found >= Enough || heard && s.found+s.lent >= Enough
}

// few: one in so many who may still answer is not waited for.
const few = 5

// close takes in what became of a question.
func (s *Search) close(ev *Event) {
	for i := range s.guides {
		g := &s.guides[i]
		for k, n := range g.asked {
			if n != ev.From || n == kbr.None {
				continue
			}
			g.asked[k] = kbr.None
			if ev.What == Answer {
				g.heard++
			}
		}
	}
	if p := s.find(ev.From); p != nil && p.state == open {
		p.state = over
		s.open--
		if ev.What != Answer {
			s.vain++
		}
	}
	s.learn(ev.Peers[:min(len(ev.Peers), MaxPeers)])
}

// next asks the next guides of a shard, until so many have answered as are to.
func (s *Search) next(g *guide, out []Act) []Act {
	for k := range g.asked {
		if g.heard+g.open() >= guidesEach || len(g.left) == 0 || s.asks == MaxAsks {
			break
		}
		if g.asked[k] == kbr.None {
			g.asked[k], g.left = g.left[0], g.left[1:]
			s.asks++
			out = append(out, Act{Do: Guide, To: g.asked[k], Wait: s.wait})
		}
	}
	return out
}

// open returns how many guides of a shard may still answer.
func (g *guide) open() (n int) {
	for _, p := range g.asked {
		if p != kbr.None {
			n++
		}
	}
	return n
}

// guided reports whether a guide may still answer.
func (s *Search) guided() bool {
	return slices.ContainsFunc(s.guides, func(g guide) bool { return g.open() > 0 })
}

// widen asks as many as this step wants, and goes on to the next when at most one in five of those that were asked is still to answer. Who was asked in vain does not count. While a guide may know of a peer
// in whose filter the words stand together, others wait.
func (s *Search) widen(out []Act) []Act {
	var best filter.Fit
	for i := range s.peers {
		best = max(best, s.peers[i].Fit)
	}
	if best < filter.Together && s.guided() {
		return out
	}
	for i := range s.peers {
		p := &s.peers[i]
		if p.state != fresh || p.Fit < best {
			continue
		}
		for s.asked-s.vain >= steps[s.step] {
			if s.step+1 == len(steps) || s.open*few > s.asked {
				return out
			}
			s.step++
		}
		if s.asks == MaxAsks {
			return out
		}
		p.state = open
		s.asks++
		s.asked++
		s.open++
		out = append(out, Act{Do: Ask, To: p.Node, Wait: s.wait})
	}
	return out
}
