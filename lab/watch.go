package lab

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith/lab/nat"
	"kith/network"
)

const (
	watchEvery = 500 * time.Millisecond
	watchMany  = time.Second // of a lab with many neighbours
	many       = 30
	maxFeed    = 12 // happenings that are remembered
	maxGuests  = 8  // nodes of others that are shown
)

// State is the lab at one moment.
type State struct {
	Title      string      `json:"title,omitempty" doc:"of the scenario"`
	About      string      `json:"about,omitempty"`
	Seconds    float64     `json:"seconds" doc:"since all had moved in"`
	Neighbours []Neighbour `json:"neighbours"`
	Guests     []string    `json:"guests" doc:"peer ids of nodes that joined from outside; in wires they come after the neighbours"`
	Samples    []Sample    `json:"samples"`
	Wires      []Wire      `json:"wires" doc:"who is connected to whom"`
	Feed       []Happening `json:"feed" doc:"what has happened lately, the newest first"`
	Script     []Line      `json:"script,omitempty" doc:"what is to happen, and what is expected"`
	Result     *Result     `json:"result,omitempty" doc:"when the scenario is over"`
	Moved      int64       `json:"moved" doc:"bytes that went from one to another since the start"`
	Connect    string      `json:"connect,omitempty" doc:"address of a neighbour, for kith connect; none if they have an internet of their own"`
	Pages      bool        `json:"pages,omitempty" doc:"each neighbour's own page can be opened"`
}

// Neighbour is what one neighbour has, and where it is.
type Neighbour struct {
	Name  string    `json:"name"`
	Group string    `json:"group,omitempty"`
	NAT   nat.Kind  `json:"nat,omitempty" doc:"what it stands behind"`
	Side  int       `json:"side,omitempty" doc:"of a partition; those with different ones do not reach each other"`
	Away  bool      `json:"away,omitempty" doc:"it has been killed; have is what it had"`
	Peer  string    `json:"peer"`
	Have  []float64 `json:"have" doc:"part of each sample that is here, 0 to 1; -1: not wanted yet"`
	From  []int     `json:"from" doc:"number of neighbours that each sample is coming from now"`
	Down  float64   `json:"down" doc:"bytes a second coming in"`
}

// Wire connects two, named by their index.
type Wire struct {
	A    int     `json:"a"`
	B    int     `json:"b"`
	How  string  `json:"how" enum:"direct,relayed,lost" doc:"lost: one of them is away, and the other does not know it yet"`
	Via  int     `json:"via" doc:"the neighbour who relays; -1: nobody"`
	Why  string  `json:"why,omitempty" doc:"in words"`
	RTT  float64 `json:"rtt_ms,omitempty"`
	AtoB float64 `json:"a_to_b" doc:"bytes a second"`
	BtoA float64 `json:"b_to_a"`
}

// Happening is something worth telling.
type Happening struct {
	At      time.Time `json:"at"`
	Seconds float64   `json:"seconds" doc:"since all had moved in"`
	Who     int       `json:"who" doc:"-1: nobody"`
	Name    string    `json:"name,omitempty"`
	Verb    string    `json:"verb" enum:"wants,has,forgot,shared,killed,revived,moved,parted,healed,met,missed,failed"`
	Sample  int       `json:"sample" doc:"-1: none"`
	What    string    `json:"what,omitempty" doc:"the sample's name, or what was expected, or what went wrong"`
	Sources int       `json:"sources,omitempty" doc:"neighbours that it came from at once"`
	Took    float64   `json:"took,omitempty" doc:"seconds"`
}

// flow is a direction from one to another.
type flow struct{ from, to int }

// every returns how often the lab is looked at.
func (l *Lab) every() time.Duration {
	if len(l.people) > many {
		return watchMany
	}
	return watchEvery
}

func (l *Lab) watch(ctx context.Context, _ struct{}) iter.Seq2[State, error] {
	return func(yield func(State, error) bool) {
		l.watched(1)
		defer l.watched(-1)
		for {
			if !yield(*l.state(ctx), nil) || !sleep(ctx, l.every()) {
				return
			}
		}
	}
}

func (l *Lab) watched(change int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watchers += change
	l.quiet = time.Now()
}

// shared returns what is shared now; who gets it must not change it.
func (l *Lab) shared() []Sample {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.samples[:len(l.samples):len(l.samples)]
}

// has reports whether a node is one of the lab's.
func (l *Lab) has(id peer.ID) bool {
	return slices.ContainsFunc(l.people, func(p *neighbour) bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.id == id
	})
}

// tell remembers what has happened, and tells it on.
func (l *Lab) tell(h Happening) {
	h.At = time.Now()
	l.telling.Lock()
	defer l.telling.Unlock()
	l.mu.Lock()
	if h.Who >= 0 {
		h.Name = l.people[h.Who].name
	}
	if h.Sample >= 0 && h.What == "" {
		h.What = l.samples[h.Sample].Name
	}
	if !l.begun.IsZero() {
		h.Seconds = time.Since(l.begun).Seconds()
	}
	l.feed = slices.Insert(l.feed, 0, h)
	l.feed = l.feed[:min(len(l.feed), maxFeed)]
	l.mu.Unlock()
	if l.o.Tell != nil {
		l.o.Tell(h)
	}
}

// state asks all nodes how they are. Watchers that come at the same time are given the same answer, which they must not change.
func (l *Lab) state(ctx context.Context) *State {
	l.mu.Lock()
	if l.last != nil && time.Since(l.lastTime) < watchEvery/2 {
		defer l.mu.Unlock()
		return l.last
	}
	s := &State{
		Samples: slices.Clone(l.samples), Feed: slices.Clone(l.feed), Script: slices.Clone(l.script), Result: l.result,
		Seconds: time.Since(l.begun).Seconds(), Guests: []string{}, Wires: []Wire{}, Connect: "", Pages: l.o.Page != nil,
	}
	l.mu.Unlock()
	if l.plan != nil {
		s.Title, s.About = l.plan.Scenario.Title, l.plan.Scenario.About
	}
	s.Neighbours = make([]Neighbour, len(l.people))
	peers := make([][]network.PeerInfo, len(l.people))
	l.each(len(l.people), func(p *neighbour) error { // at once: where many nodes share few cores, each answer takes a while
		s.Neighbours[p.index] = p.view(ctx, s.Samples)
		if n := p.running(); n != nil {
			peers[p.index] = n.Network().Peers()
		}
		return nil
	})
	s.Connect = l.connect()
	total := l.wire(s, peers)

	l.mu.Lock()
	defer l.mu.Unlock()
	passed := time.Since(l.lastTime).Seconds()
	for i, w := range s.Wires {
		for _, d := range []struct {
			flow
			rate *float64
		}{{flow{w.A, w.B}, &s.Wires[i].AtoB}, {flow{w.B, w.A}, &s.Wires[i].BtoA}} {
			before, ok := l.counted[d.flow]
			gone := total[d.flow] - before
			if gone < 0 { // they have hung up since, and connected again
				gone = total[d.flow]
			}
			l.moved += gone
			if ok {
				*d.rate = float64(gone) / passed
			}
		}
	}
	s.Moved = l.moved
	l.last, l.lastTime, l.counted = s, time.Now(), total
	return s
}

// wire adds to s who is connected to whom, and returns how much went each way since they are. Of two neighbours the one that comes first
// is believed, or the other if that one is away.
func (l *Lab) wire(s *State, peers [][]network.PeerInfo) map[flow]int64 {
	total := map[flow]int64{}
	index := map[peer.ID]int{}
	for _, p := range l.people {
		index[p.peer()] = p.index
	}
	for _, p := range l.people {
		for _, other := range peers[p.index] {
			i, known := index[other.ID]
			if !known {
				if len(s.Guests) == maxGuests || l.net != nil { // on their own internet these are hosts with which neighbours try how others are reached
					continue
				}
				i = len(l.people) + len(s.Guests)
				index[other.ID] = i
				s.Guests = append(s.Guests, other.ID.String())
			}
			total[flow{p.index, i}] = other.Up
			if i >= len(l.people) {
				total[flow{i, p.index}] = other.Down
			}
			away := i < len(l.people) && s.Neighbours[i].Away
			if p.index > i && !away {
				continue
			}
			w := Wire{A: p.index, B: i, How: "direct", Via: -1, Why: other.Why, RTT: float64(other.RTT) / 1e6}
			if !other.Direct {
				w.How = "relayed"
				if via, ok := index[other.Relay]; ok {
					w.Via = via
				}
			}
			if away {
				w.How = "lost"
			}
			s.Wires = append(s.Wires, w)
		}
	}
	return total
}

func (p *neighbour) peer() peer.ID {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.id
}

// view returns what the neighbour has; while it is away, or too busy to say, what it had.
func (p *neighbour) view(ctx context.Context, samples []Sample) Neighbour {
	n := Neighbour{Name: p.name, Group: p.place.Group, NAT: p.place.Kind, Peer: p.peer().String(), From: make([]int, len(samples))}
	if p.host != nil {
		n.Side = p.host.Side()
	}
	p.mu.Lock()
	had := p.had
	p.mu.Unlock()
	held, err := p.holdings(ctx)
	n.Away = p.running() == nil
	for i, s := range samples {
		have := -1.0
		j := slices.IndexFunc(held, func(h holding) bool { return h.Ref == s.Ref })
		switch {
		case err != nil && i < len(had):
			have = had[i]
		case j >= 0:
			have = held[j].part()
			n.From[i] = held[j].Sources
			n.Down += held[j].Rate
		}
		n.Have = append(n.Have, have)
	}
	p.mu.Lock()
	p.had = n.Have
	p.mu.Unlock()
	return n
}

// part returns how much of the item is here, 0 to 1.
func (h holding) part() float64 {
	switch {
	case h.complete():
		return 1
	case h.Size > 0:
		return float64(h.Done) / float64(h.Size)
	}
	return 0
}
