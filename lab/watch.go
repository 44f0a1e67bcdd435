package lab

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/app"
)

const (
	watchEvery = 500 * time.Millisecond
	maxFeed    = 12 // happenings that are remembered
	maxGuests  = 8  // nodes of others that are shown
)

// State is the lab at one moment.
type State struct {
	Neighbours []Neighbour `json:"neighbours"`
	Guests     []string    `json:"guests" doc:"peer ids of nodes that joined from outside; in wires they come after the neighbours"`
	Samples    []Sample    `json:"samples"`
	Wires      []Wire      `json:"wires" doc:"who is connected to whom"`
	Feed       []Happening `json:"feed" doc:"what has happened lately, the newest first"`
	Moved      int64       `json:"moved" doc:"bytes that went from one to another since the start"`
	Connect    string      `json:"connect" doc:"address of a neighbour, for kith connect"`
}

// Neighbour is what one neighbour has.
type Neighbour struct {
	Name string    `json:"name"`
	Peer string    `json:"peer"`
	Have []float64 `json:"have" doc:"part of each sample that is here, 0 to 1; -1: not wanted yet"`
	From []int     `json:"from" doc:"number of neighbours that each sample is coming from now"`
	Down float64   `json:"down" doc:"bytes a second coming in"`
}

// Wire connects two, named by their index.
type Wire struct {
	A    int     `json:"a"`
	B    int     `json:"b"`
	AtoB float64 `json:"a_to_b" doc:"bytes a second"`
	BtoA float64 `json:"b_to_a"`
}

// Happening is something worth telling.
type Happening struct {
	At      time.Time `json:"at"`
	Who     int       `json:"who"`
	Verb    string    `json:"verb" enum:"wants,has,forgot"`
	Sample  int       `json:"sample"`
	Sources int       `json:"sources,omitempty" doc:"neighbours that it came from at once"`
	Took    float64   `json:"took,omitempty" doc:"seconds"`
}

// flow is a direction from one to another.
type flow struct{ from, to int }

// OpenIn names a sample that a neighbour has.
type OpenIn struct {
	Neighbour int `json:"neighbour"`
	Sample    int `json:"sample"`
}

// OpenOut is where a browser can see it.
type OpenOut struct {
	URL   string `json:"url"`
	Media string `json:"media"`
}

// app is what the page can ask of the lab.
func (l *Lab) app() app.App {
	watch := app.NewStreamOp("watch", "show the lab again and again", l.watch)
	watch.Query = true
	return app.App{Name: "lab", Help: "pretend neighbours", Ops: []app.Op{watch, app.NewOp("open", "look at what a neighbour has", l.open)}}
}

func (l *Lab) watch(ctx context.Context, _ struct{}) iter.Seq2[State, error] {
	return func(yield func(State, error) bool) {
		l.watched(1)
		defer l.watched(-1)
		for {
			s, err := l.state(ctx)
			if err != nil {
				yield(State{}, err)
				return
			}
			if !yield(*s, nil) || !sleep(ctx, watchEvery) {
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

func (l *Lab) open(ctx context.Context, in OpenIn) (OpenOut, error) {
	if in.Neighbour < 0 || in.Neighbour >= len(l.people) || in.Sample < 0 || in.Sample >= len(l.samples) {
		return OpenOut{}, fmt.Errorf("lab: open: no such neighbour or sample: %w", kith.NotFound)
	}
	return ask[OpenOut](ctx, l.people[in.Neighbour], "open", map[string]any{"ref": l.samples[in.Sample].Ref})
}

// tell remembers what has happened.
func (l *Lab) tell(h Happening) {
	h.At = time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.feed = slices.Insert(l.feed, 0, h)
	l.feed = l.feed[:min(len(l.feed), maxFeed)]
}

// state asks all nodes how they are. Watchers that come at the same time are given the same answer, which they must not change.
func (l *Lab) state(ctx context.Context) (*State, error) {
	l.mu.Lock()
	if l.last != nil && time.Since(l.lastTime) < watchEvery/2 {
		defer l.mu.Unlock()
		return l.last, nil
	}
	feed := slices.Clone(l.feed)
	l.mu.Unlock()

	s := &State{Samples: l.samples, Feed: feed, Guests: []string{}, Wires: []Wire{}}
	index := map[peer.ID]int{}
	for _, p := range l.people {
		n, err := p.view(ctx)
		if err != nil {
			return nil, err
		}
		s.Neighbours = append(s.Neighbours, n)
		index[p.node.Network().ID()] = p.index
	}
	s.Connect = l.people[0].person().Addrs[0]
	total := l.wire(s, index)

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
	return s, nil
}

// wire adds to s who is connected to whom, and returns how much went each way since they are.
func (l *Lab) wire(s *State, index map[peer.ID]int) map[flow]int64 {
	total := map[flow]int64{}
	for _, p := range l.people {
		for _, other := range p.node.Network().Peers() {
			i, known := index[other.ID]
			if !known {
				if len(s.Guests) == maxGuests {
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
			if p.index < i {
				s.Wires = append(s.Wires, Wire{A: p.index, B: i})
			}
		}
	}
	return total
}

// view returns what the neighbour has.
func (p *neighbour) view(ctx context.Context) (Neighbour, error) {
	held, err := p.holdings(ctx)
	if err != nil {
		return Neighbour{}, err
	}
	n := Neighbour{Name: p.name, Peer: p.node.Network().ID().String(), From: make([]int, len(p.lab.samples))}
	for i, s := range p.lab.samples {
		have := -1.0
		if j := slices.IndexFunc(held, func(h holding) bool { return h.Ref == s.Ref }); j >= 0 {
			h := held[j]
			switch {
			case h.complete():
				have = 1
			case h.Size > 0:
				have = float64(h.Done) / float64(h.Size)
			default:
				have = 0
			}
			n.From[i] = h.Sources
			n.Down += h.Rate
		}
		n.Have = append(n.Have, have)
	}
	return n, nil
}
