// Package scenario reads files that say what a simulator is to run: an engine and its parameters, a network, what happens in it and when, and lists of values of which
// each combination is a run of its own, so that one file makes one figure.
//
// It runs nothing. Its one idea: a swept value is put where the file would have said it, and what comes of that is read and checked as any file is.
package scenario

import (
	"fmt"
	"math"
	"time"

	"kith"
	"kith/overlay/chord"
	"kith/overlay/kademlia"
	"kith/overlay/kbr"
	"kith/overlay/pastry"
	"kith/overlay/sim"
)

// A Simulation is what a simulator can run.
type Simulation interface {
	Check() error
	Total() int // nodes, those that come later included
	Run(kind func(*kbr.Table) sim.Kind, progress func(done int) error) (sim.Report, error)
}

// A Point is one run.
type Point struct {
	Engine  string    // chord, kademlia or pastry
	Set     []Setting // what the sweep has set
	Lookups int       // how many searches, about
	Deeds   []sim.Deed
	PerNode int // bytes that the engine takes for a node
	Kind    func(*kbr.Table) sim.Kind
	Expect  Expectation

	// Simulation makes what is to be run; look, unless it is nil, is given the network at the end.
	Simulation func(look func(*sim.Net)) Simulation
}

// An Expectation is how long a path is to be, by the number of nodes, as the engine's paper predicts it. Path is nil where it does not.
type Expectation struct {
	Name string
	Path func(nodes float64) float64
}

// A Setting is a value of a sweep.
type Setting struct {
	Name  string `json:"name"`
	Value any    `json:"value"` // bool, int64, float64 or string
}

// settings is a file, without its sweep. Times are as Go writes them: 90s, 5m, 6h.
type settings struct {
	Title  string `toml:"title"`
	About  string `toml:"about"`
	Sample int    `toml:"sample"` // so many combinations of each engine, drawn at random
	Sweep  any    `toml:"sweep"`

	Engine        string   `toml:"engine"`
	Nodes         int      `toml:"nodes"`
	Seed          uint64   `toml:"seed"`
	Latency       string   `toml:"latency"`
	Loss          float64  `toml:"loss"`
	Hostile       float64  `toml:"hostile"`
	Attack        string   `toml:"attack"`
	Sybils        int      `toml:"sybils"`
	Eclipse       bool     `toml:"eclipse"`
	Wary          int      `toml:"wary"`
	NonTransitive float64  `toml:"non_transitive"`
	Recursive     bool     `toml:"recursive"`
	Nodewise      bool     `toml:"nodewise"`
	Round         duration `toml:"round"`
	Lookups       int      `toml:"lookups"`
	Every         duration `toml:"every"`
	Length        duration `toml:"length"`
	Fail          float64  `toml:"fail"`
	Churn         string   `toml:"churn"`
	At            []at     `toml:"at"`
	Keys          int      `toml:"keys"`
	Copies        int      `toml:"copies"`

	Chord struct {
		Successors int  `toml:"successors"`
		Repair     int  `toml:"repair"`
		Alternates int  `toml:"alternates"`
		Eager      bool `toml:"eager"`
		Doubts     bool `toml:"doubts"`
	} `toml:"chord"`
	Kademlia struct {
		K          int      `toml:"k"`
		Alpha      int      `toml:"alpha"`
		Beta       *int     `toml:"beta"`
		Paths      int      `toml:"paths"`
		Tell       *int     `toml:"tell"`
		Cache      int      `toml:"cache"`
		Refresh    duration `toml:"refresh"`
		Alternates int      `toml:"alternates"`
	} `toml:"kademlia"`
	Pastry struct {
		B          int `toml:"b"`
		Leafs      int `toml:"leafs"`
		Neighbours int `toml:"neighbours"`
		Probes     int `toml:"probes"`
	} `toml:"pastry"`
}

// at is something that happens. One of Fail, Split and Churn says what.
type at struct {
	Time  duration `toml:"time"`
	Until duration `toml:"until"`
	Fail  float64  `toml:"fail"`
	Split float64  `toml:"split"`
	Meet  int      `toml:"meet"`
	Churn string   `toml:"churn"`
}

type duration kbr.Ticks

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is no time, such as 90s, 5m or 6h", text)
	}
	*d = duration(v.Microseconds())
	return nil
}

// usual returns what holds where a file says nothing.
func usual() settings {
	c, k, p := chord.Default(), kademlia.Default(), pastry.Default()
	s := settings{Nodes: 1000, Seed: 1, Round: duration(c.Round), Lookups: 10_000, Every: duration(kbr.Second), Copies: 8}
	s.Chord.Successors, s.Chord.Repair, s.Chord.Alternates = c.Successors, c.Repair, c.Alternates
	s.Kademlia.K, s.Kademlia.Alpha, s.Kademlia.Paths, s.Kademlia.Cache, s.Kademlia.Refresh, s.Kademlia.Alternates = k.K, k.Alpha, k.Paths, k.Cache, duration(k.Refresh), k.Alternates
	s.Pastry.B, s.Pastry.Leafs, s.Pastry.Neighbours, s.Pastry.Probes = p.Digit, p.Leafs, p.Neighbours, p.Probes
	return s
}

// point makes a run of settings. Its error is Invalid.
func (s *settings) point() (p Point, err error) {
	if err := s.simulation(&p); err != nil {
		return p, err
	}
	p.Engine = s.Engine
	round := kbr.Ticks(s.Round)
	switch s.Engine {
	case "chord":
		c := chord.Config{Successors: s.Chord.Successors, Round: round, Repair: s.Chord.Repair, Alternates: s.Chord.Alternates, Eager: s.Chord.Eager, Doubts: s.Chord.Doubts}
		p.PerNode, p.Kind = chord.BytesPerNode, func(t *kbr.Table) sim.Kind { return chord.New(c, t) }
		p.Expect = Expectation{"½ log₂ N + 1", func(n float64) float64 { return math.Log2(n/float64(c.Successors))/2 + 1 }} // ToN'03, section VI.C, which counts the last step
		if c.Successors > 1 {
			p.Expect.Name = fmt.Sprintf("½ log₂ N − ½ log₂ %d + 1", c.Successors)
		}
		return p, c.Check()
	case "kademlia":
		k := s.Kademlia
		c := kademlia.Config{K: k.K, Alpha: k.Alpha, Beta: min(kademlia.Default().Beta, k.K), Paths: k.Paths, Tell: k.K, Cache: k.Cache, Round: round,
			Refresh: kbr.Ticks(k.Refresh), Alternates: k.Alternates}
		if k.Beta != nil {
			c.Beta = *k.Beta
		}
		if k.Tell != nil {
			c.Tell = *k.Tell
		}
		if err := c.Check(); err != nil {
			return p, err
		}
		p.PerNode, p.Kind = c.BytesPerNode(p.Simulation(nil).Total()), func(t *kbr.Table) sim.Kind { return kademlia.New(c, t) }
		return p, nil
	case "pastry":
		c := pastry.Config{Digit: s.Pastry.B, Leafs: s.Pastry.Leafs, Neighbours: s.Pastry.Neighbours, Round: round, Probes: s.Pastry.Probes}
		if err := c.Check(); err != nil {
			return p, err
		}
		p.PerNode, p.Kind = c.BytesPerNode(), func(t *kbr.Table) sim.Kind { return pastry.New(c, t) }
		base := 1 << max(0, c.Digit)
		p.Expect = Expectation{fmt.Sprintf("log N to the base %d", base), func(n float64) float64 { return math.Log2(n) / float64(c.Digit) }}
		return p, nil
	}
	return p, kith.Hint(fmt.Errorf("scenario: no engine %q: %w", s.Engine, kith.Invalid), "engine = \"chord\", \"kademlia\" or \"pastry\"")
}

// simulation fills in what is to be run, without the engine.
func (s *settings) simulation(p *Point) error {
	latency, err := sim.ParseLatency(s.Latency)
	if err != nil {
		return err
	}
	o := sim.Options{Nodes: s.Nodes, Seed: s.Seed, Latency: latency, Loss: s.Loss, Carried: s.Recursive, Nodewise: s.Nodewise,
		Hostile: s.Hostile, Sybils: s.Sybils, Eclipse: s.Eclipse, Wary: s.Wary, Severed: s.NonTransitive}
	if s.Attack != "" {
		if s.Hostile == 0 && s.Sybils == 0 {
			return kith.Hint(fmt.Errorf("scenario: an attack without hostile or sybils: %w", kith.Invalid), "nobody is hostile; say hostile = 0.2, for one")
		}
		if o.Attack, err = sim.ParseAttack(s.Attack); err != nil {
			return err
		}
	}
	switch {
	case s.Length == 0 && len(s.At) > 0:
		return kith.Hint(fmt.Errorf("scenario: things happen, and no length: %w", kith.Invalid), "say how long it goes on: length = \"1h\"")
	case s.Length == 0 && s.Keys != 0:
		return kith.Hint(fmt.Errorf("scenario: values are kept, and no length: %w", kith.Invalid), "say how long it goes on: length = \"1h\"")
	case s.Length != 0:
		return s.timeline(o, p)
	case s.Churn != "":
		return s.churn(o, p)
	}
	st := sim.Static{Options: o, Lookups: s.Lookups, Fail: s.Fail}
	p.Lookups = st.Lookups
	p.Simulation = func(look func(*sim.Net)) Simulation {
		st.Look = look
		return st
	}
	return st.Check()
}

func (s *settings) churn(o sim.Options, p *Point) (err error) {
	if s.Fail != 0 {
		return kith.Hint(fmt.Errorf("scenario: fail and churn: %w", kith.Invalid), "one of both says who goes; or say when it happens: length, and [[at]] with time and fail")
	}
	c := sim.Churn{Options: o, Lookups: s.Lookups, Every: kbr.Ticks(s.Every)}
	if c.Rate, c.Session, err = sim.ParseChurn(s.Churn); err != nil {
		return err
	}
	p.Lookups = c.Lookups
	p.Simulation = func(look func(*sim.Net)) Simulation {
		c.Look = look
		return c
	}
	return c.Check()
}

func (s *settings) timeline(o sim.Options, p *Point) error {
	t := sim.Timeline{Options: o, Length: kbr.Ticks(s.Length), Every: kbr.Ticks(s.Every), Keys: s.Keys, Copies: s.Copies}
	happens := s.At
	switch {
	case s.Fail != 0:
		return kith.Hint(fmt.Errorf("scenario: fail, and when? %w", kith.Invalid), "where there is a length, say it so: [[at]], time = \"5m\", fail = %v", s.Fail)
	case s.Churn != "":
		happens = append([]at{{Churn: s.Churn}}, happens...)
	}
	for _, a := range happens {
		d, err := a.deed()
		if err != nil {
			return err
		}
		t.Deeds = append(t.Deeds, d)
	}
	if err := t.Check(); err != nil {
		return err
	}
	p.Lookups, p.Deeds = t.Lookups(), t.Deeds
	p.Simulation = func(look func(*sim.Net)) Simulation {
		t.Look = look
		return t
	}
	return nil
}

func (a at) deed() (d sim.Deed, err error) {
	d = sim.Deed{At: kbr.Ticks(a.Time), Until: kbr.Ticks(a.Until), Meet: a.Meet}
	said := 0
	for _, is := range []bool{a.Fail != 0, a.Split != 0, a.Churn != ""} {
		if is {
			said++
		}
	}
	switch {
	case said != 1:
		return d, kith.Hint(fmt.Errorf("scenario: %d things happen in one [[at]]: %w", said, kith.Invalid), "one of: fail = 0.5, split = 0.5, churn = \"exponential:median=60m\"")
	case a.Meet != 0 && (a.Split == 0 || a.Until == 0):
		return d, kith.Hint(fmt.Errorf("scenario: meet, and nothing heals: %w", kith.Invalid), "it belongs to a split with until")
	case a.Fail != 0 && a.Until != 0:
		return d, kith.Hint(fmt.Errorf("scenario: nodes fail until %v: %w", time.Duration(a.Until)*time.Microsecond, kith.Invalid), "who has failed does not come back; new ones come with churn")
	case a.Fail != 0:
		d.What, d.Part = sim.Fail, a.Fail
	case a.Split != 0:
		d.What, d.Part = sim.Split, a.Split
	default:
		d.What = sim.Shift
		d.Rate, d.Session, err = sim.ParseChurn(a.Churn)
	}
	return d, err
}
