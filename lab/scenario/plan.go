package scenario

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"iter"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"kith/lab/nat"
)

const (
	all    = "all"
	know   = 3                // nodes that one knows when it comes for the first time
	away   = 30 * time.Second // default of Scenario.Away
	maxOut = 5 * time.Minute  // nobody stays away for longer

	slowest = 220 << 10 // bytes a second that a node sends at most, if nothing is said of it: from here …
	faster  = 260 << 10 // … to so many more
)

// A Plan is a scenario with all draws made.
type Plan struct {
	Scenario Scenario
	Hosts    []Host
	Steps    []Step // by time
	Wants    []Want
}

// A Host is one node of a plan.
type Host struct {
	Group string
	Kind  nat.Kind
	Delay time.Duration // one way, from the host to the middle
	Loss  float64
	Up    int64 // bytes a second
	Knows []int // indexes of nodes that can be reached from anywhere
}

// A Step is an Event, or a part of churn, of which it is known who it concerns.
type Step struct {
	At    time.Duration
	Do    string
	Who   []int
	What  string
	Size  int64
	Sides [][]int
}

// A Want is an Expect of which it is known who it concerns.
type Want struct {
	Expect
	From  time.Duration
	Who   []int
	Other []int // of Reaches and Apart
}

// Make draws what a scenario leaves open, from its seed. Who is written as "all", a group, the number of a node (from 1), or
// "3 of GROUP", who are drawn; several are joined by commas.
func Make(s Scenario) (*Plan, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	p := &Plan{Scenario: s}
	p.hosts()
	if err := p.steps(); err != nil {
		return nil, err
	}
	return p, p.wants()
}

// draw returns a source of its own for one purpose, so that a change of one thing leaves the others as they are.
func (p *Plan) draw(purpose string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(purpose))
	return rand.New(rand.NewPCG(p.Scenario.Seed, h.Sum64()))
}

func (p *Plan) hosts() {
	s := p.Scenario
	groups := s.Group
	if len(groups) == 0 {
		groups = []Group{{Count: s.Nodes}}
	}
	for _, g := range groups {
		line := s.Line
		override(&line.Latency, g.Latency)
		override(&line.Loss, g.Loss)
		override(&line.NAT, g.NAT)
		override(&line.Up, g.Up)
		r := p.draw("group " + g.Name)
		kinds := routers(r, line.NAT, g.Count)
		for i := range g.Count {
			half := line.Latency.Low/2 + time.Duration(r.Float64()*float64(line.Latency.High-line.Latency.Low)/2)
			p.Hosts = append(p.Hosts, Host{Group: g.Name, Kind: kinds[i], Delay: half / 2, Loss: float64(line.Loss), Up: cmp.Or(int64(line.Up), slowest+r.Int64N(faster))})
		}
	}
	if len(p.open()) == 0 { // somebody must be there whom the others can find
		p.Hosts[0].Kind = nat.Public
	}
	open, r := p.open(), p.draw("knows")
	for i := range p.Hosts {
		for _, j := range r.Perm(len(open)) {
			if other := open[j]; other != i && len(p.Hosts[i].Knows) < know {
				p.Hosts[i].Knows = append(p.Hosts[i].Knows, other)
			}
		}
	}
}

func override[T any](field *T, with *T) {
	if with != nil {
		*field = *with
	}
}

// routers returns what count nodes stand behind.
func routers(r *rand.Rand, n NAT, count int) []nat.Kind {
	kinds := make([]nat.Kind, count)
	hidden := int(float64(n.Part)*float64(count) + 0.5)
	for i := range kinds {
		switch {
		case i >= hidden:
			kinds[i] = nat.Public
		case n.Kind != "":
			kinds[i] = n.Kind
		default:
			kinds[i] = behind[i%len(behind)]
		}
	}
	r.Shuffle(count, func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
	return kinds
}

// open returns those whom everybody can reach.
func (p *Plan) open() (list []int) {
	for i, h := range p.Hosts {
		if h.Kind == nat.Public {
			list = append(list, i)
		}
	}
	return list
}

func (p *Plan) steps() error {
	shared := map[string]time.Duration{}
	r := p.draw("who")
	for i, e := range p.Scenario.Event {
		s := Step{At: time.Duration(e.At), Do: e.Do, What: e.What, Size: int64(cmp.Or(e.Size, 1e6))}
		var err error
		if s.Who, err = p.who(r, e.Who); err != nil && e.Who != "" {
			return fmt.Errorf("event %d: %w", i+1, err)
		}
		if e.Do == Share {
			if _, twice := shared[e.What]; twice || len(s.Who) != 1 {
				return invalid("event %d: %s is shared once, by one", i+1, e.What)
			}
			shared[e.What] = s.At
		}
		if e.Do == Move && slices.ContainsFunc(s.Who, func(i int) bool { k := p.Hosts[i].Kind; return k == nat.Public || k == nat.IPv6Only }) {
			return invalid("event %d: %s: only who is behind a NAT can move to another", i+1, e.Who)
		}
		for _, side := range e.Sides {
			who, err := p.who(r, side)
			if err != nil {
				return fmt.Errorf("event %d: %w", i+1, err)
			}
			s.Sides = append(s.Sides, who)
		}
		p.Steps = append(p.Steps, s)
	}
	slices.SortStableFunc(p.Steps, func(a, b Step) int { return cmp.Compare(a.At, b.At) })
	for _, s := range p.Steps {
		if at, ok := shared[s.What]; s.Do == Get && (!ok || at > s.At) {
			return invalid("at %s, %s is got that nobody has shared by then", s.At, s.What)
		}
	}
	return nil
}

func (p *Plan) wants() error {
	r := p.draw("wants")
	for i, e := range p.Scenario.Want {
		w := Want{Expect: e, From: time.Duration(e.From)}
		var err error
		if w.Who, err = p.who(r, cmp.Or(e.Who, all)); err == nil && e.Has+e.Lacks == "" {
			w.Other, err = p.who(r, e.Reaches+e.Apart)
		}
		if err != nil {
			return fmt.Errorf("expectation %d: %w", i+1, err)
		}
		if file := e.Has + e.Lacks; file != "" && !slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Do == Share && s.What == file }) {
			return invalid("expectation %d: nobody shares %s", i+1, file)
		}
		if e.From == 0 {
			for _, s := range p.Steps {
				if s.At < time.Duration(e.By) {
					w.From = s.At
				}
			}
		}
		p.Wants = append(p.Wants, w)
	}
	return nil
}

// who returns the indexes of those that a text names, in order and each once.
func (p *Plan) who(r *rand.Rand, text string) (list []int, err error) {
	for _, part := range strings.Split(text, ",") {
		count, group, some := strings.Cut(strings.TrimSpace(part), " of ")
		if !some {
			group = count
		}
		var members []int
		number, notNumber := strconv.Atoi(group)
		for i, h := range p.Hosts {
			if group == all || group != "" && h.Group == group || notNumber == nil && number == i+1 {
				members = append(members, i)
			}
		}
		if some {
			n, err := strconv.Atoi(count)
			if err != nil || n < 1 || n > len(members) {
				return nil, invalid("who: %.60q: %d of %d cannot be drawn", part, n, len(members))
			}
			r.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
			members = members[:n]
		}
		if len(members) == 0 {
			return nil, invalid("who: there is no %.60q: want all, a group, a number from 1 to %d, or 3 of one", part, len(p.Hosts))
		}
		list = append(list, members...)
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

// Churn yields the kills and revivals of the scenario's churn, without end: the sessions of a node last for an exponential time, and so do its
// absences. There is always somebody there whom everybody can reach.
func (p *Plan) Churn() iter.Seq[Step] {
	return func(yield func(Step) bool) {
		if p.Scenario.Churn <= 0 {
			return
		}
		r := p.draw("churn")
		between := float64(time.Minute) / float64(p.Scenario.Churn)
		mean := float64(cmp.Or(time.Duration(p.Scenario.Away), away))
		back := map[int]time.Duration{} // who is away, and until when
		open := len(p.open())
		next := time.Duration(r.ExpFloat64() * between)
		for {
			who, at := -1, next
			for i := range p.Hosts { // in order: a map would not be the same each time
				if t, ok := back[i]; ok && t <= at {
					who, at = i, t
				}
			}
			if who >= 0 {
				delete(back, who)
				if p.Hosts[who].Kind == nat.Public {
					open++
				}
				if !yield(Step{At: at, Do: Revive, Who: []int{who}}) {
					return
				}
				continue
			}
			next += time.Duration(r.ExpFloat64() * between)
			who = r.IntN(len(p.Hosts))
			out := min(time.Duration(r.ExpFloat64()*mean), maxOut)
			if _, gone := back[who]; gone || p.Hosts[who].Kind == nat.Public && open == 1 {
				continue
			}
			if p.Hosts[who].Kind == nat.Public {
				open--
			}
			back[who] = at + out
			if !yield(Step{At: at, Do: Kill, Who: []int{who}}) {
				return
			}
		}
	}
}

// All yields the steps and the churn, by time. With churn it has no end.
func (p *Plan) All() iter.Seq[Step] {
	return func(yield func(Step) bool) {
		steps := p.Steps
		for c := range p.Churn() {
			for len(steps) > 0 && steps[0].At <= c.At {
				if !yield(steps[0]) {
					return
				}
				steps = steps[1:]
			}
			if !yield(c) {
				return
			}
		}
		for _, s := range steps {
			if !yield(s) {
				return
			}
		}
	}
}
