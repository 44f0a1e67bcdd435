package sim

import (
	"fmt"
	"slices"

	"kith"
	"kith/overlay/kbr"
)

// Timeline is a network with upkeep in which things happen at set times, while others search.
type Timeline struct {
	Options
	Length kbr.Ticks // how long it goes on
	Every  kbr.Ticks // the mean time between two searches of anybody's, which come at random times
	Deeds  []Deed
	Keys   int // values that are kept in the network, and that searches are for; 0 for random keys
	Copies int // of each of them
}

// A Deed is something that happens at a time.
type Deed struct {
	What    DeedKind
	At      kbr.Ticks
	Until   kbr.Ticks // of Split and Shift; 0 for the end
	Part    float64   // of the nodes: that fail, or that are on the smaller side
	Rate    float64   // of Shift, as in Churn
	Session Session
	Meet    int // of Split: so many nodes, drawn at random, hear of one on the other side once the parts can hear each other again
}

// A DeedKind is what happens.
type DeedKind uint8

// The deeds.
const (
	Fail  DeedKind = iota // a part of the nodes crashes in one moment
	Split                 // the network is parted in two, which hear nothing of each other
	Shift                 // nodes come and go
)

var deedNames = [...]string{"fail", "split", "churn"}

// String returns how a scenario names it.
func (d DeedKind) String() string { return deedNames[d] }

// maxDeeds is how many deeds a timeline can have.
const maxDeeds = 1000

// maxKeys is how many values it can have.
const maxKeys = 100_000

// Check says what is wrong with the scenario. Its error is Invalid.
func (t Timeline) Check() error {
	seconds := func(at kbr.Ticks) float64 { return float64(at) / float64(kbr.Second) }
	switch {
	case t.Nodes < 2:
		return kith.Hint(fmt.Errorf("sim: a timeline of %d nodes: %w", t.Nodes, kith.Invalid), "2 at least")
	case t.Length < kbr.Second || t.Length > 10_000*60*kbr.Minute:
		return kith.Hint(fmt.Errorf("sim: a timeline of %v s: %w", seconds(t.Length), kith.Invalid), "a second to 10000 hours")
	case t.Every < 1 || t.Every > t.Length || float64(t.Length)/float64(t.Every) > MaxLookups:
		return kith.Hint(fmt.Errorf("sim: a search every %v s in %v s: %w", seconds(t.Every), seconds(t.Length), kith.Invalid), "from 1 to %d searches in all", MaxLookups)
	case t.Keys < 0 || t.Keys > maxKeys || t.Keys > 0 && t.Nodewise:
		return kith.Hint(fmt.Errorf("sim: %d values: %w", t.Keys, kith.Invalid), "0 to %d, and searches for nodes are for no values", maxKeys)
	case t.Keys > 0 && (t.Copies < 1 || t.Copies > kbr.MaxNodes):
		return kith.Hint(fmt.Errorf("sim: %d copies of a value: %w", t.Copies, kith.Invalid), "1 to %d", kbr.MaxNodes)
	case len(t.Deeds) > maxDeeds:
		return kith.Hint(fmt.Errorf("sim: %d things happen: %w", len(t.Deeds), kith.Invalid), "at most %d", maxDeeds)
	}
	left, ends := t.Nodes, [len(deedNames)]kbr.Ticks{}
	for _, d := range t.sorted() {
		until := d.until(t.Length)
		switch {
		case d.At < 0 || d.At >= t.Length || until <= d.At || until > t.Length:
			return kith.Hint(fmt.Errorf("sim: %s from %v to %v s of %v: %w", d.What, seconds(d.At), seconds(until), seconds(t.Length), kith.Invalid), "it must begin before it ends, and end with the rest")
		case d.What == Fail:
			if !(d.Part > 0 && d.Part < 1) {
				return kith.Hint(fmt.Errorf("sim: a part of %v fails: %w", d.Part, kith.Invalid), "more than 0 and less than 1, such as 0.5")
			}
			if left -= int(d.Part*float64(left) + 0.5); left < 1 {
				return kith.Hint(fmt.Errorf("sim: all of %d nodes fail: %w", t.Nodes, kith.Invalid), "leave one, or nobody can search")
			}
			continue
		case d.What == Split && !(d.Part > 0 && d.Part < 1):
			return kith.Hint(fmt.Errorf("sim: a part of %v on one side: %w", d.Part, kith.Invalid), "more than 0 and less than 1, such as 0.5")
		case d.Meet < 0 || d.Meet > t.Nodes:
			return kith.Hint(fmt.Errorf("sim: %d nodes meet: %w", d.Meet, kith.Invalid), "0 up to as many as there are")
		case ends[d.What] > d.At:
			return kith.Hint(fmt.Errorf("sim: %s twice at %v s: %w", d.What, seconds(d.At), kith.Invalid), "let the first one end before")
		case d.What == Shift && d.Rate == 0 && ends[Shift] > 0:
			return kith.Hint(fmt.Errorf("sim: sessions are drawn twice: %w", kith.Invalid), "one churn with sessions in a timeline; others can be rates")
		case d.What == Shift:
			c := t.churn(d)
			if err := c.Check(); err != nil {
				return err
			}
		}
		ends[d.What] = until
	}
	o := t.Options
	o.Nodes = t.Total()
	return o.Check()
}

func (d Deed) until(length kbr.Ticks) kbr.Ticks {
	if d.Until == 0 {
		return length
	}
	return d.Until
}

// sorted returns the deeds in the order of time.
func (t Timeline) sorted() []Deed {
	deeds := slices.Clone(t.Deeds)
	slices.SortStableFunc(deeds, func(a, b Deed) int { return int(a.At/kbr.Millisecond - b.At/kbr.Millisecond) })
	return deeds
}

// churn returns the churn of a deed as a scenario of its own, with one search.
func (t Timeline) churn(d Deed) Churn {
	return Churn{Options: t.Options, Rate: d.Rate, Session: d.Session, Lookups: 1, Every: d.until(t.Length) - d.At}
}

// Lookups returns how many searches there will be, about.
func (t Timeline) Lookups() int { return int(t.Length / t.Every) }

// Total returns how many nodes there are, with those that come later.
func (t Timeline) Total() int {
	n := t.Nodes
	for _, d := range t.Deeds {
		if d.What == Shift {
			n += t.churn(d).more()
		}
	}
	return n
}

// A Slice is a part of a timeline: what came of the searches that began in it.
type Slice struct {
	From      float64 `json:"from_seconds"`
	Up        int     `json:"up"` // nodes, when it began
	Lookups   int     `json:"lookups"`
	Right     int     `json:"right"`
	Wrong     int     `json:"wrong"`
	Lost      int     `json:"lost"`
	Latency   float64 `json:"latency_ms"` // mean of those that were right
	Timeouts  float64 `json:"timeouts"`   // mean of those that were right
	Bandwidth float64 `json:"bytes_per_node_and_second"`
	Left      int     `json:"left,omitempty"`  // searches for values of which a copy was left
	Found     int     `json:"found,omitempty"` // and those that found one
}

// slices of a timeline.
const slicesOf = 60

// A playing is a run of Timeline. How nodes come and go is churning's.
type playing struct {
	churning
	t      Timeline
	deeds  []Deed
	width  kbr.Ticks // of a slice
	bytes  uint64    // sent before the slice that goes on
	draws  uint64
	heal   kbr.Ticks
	healed Deed
	calm   kbr.Ticks // when nodes stop to come and go
	shelf  *shelf    // nil if there are no values
	hand   kbr.Ticks // when it is handed on
}

// Run runs the scenario, as Static.Run does. While the network is parted a search is right when it ends at whose the key is among the nodes on its side.
func (t Timeline) Run(make func(*kbr.Table) Kind, progress func(done int) error) (Report, error) {
	if err := t.Check(); err != nil {
		return Report{}, err
	}
	o := t.Options
	o.Nodes, o.founders = t.Total(), t.Nodes
	n, err := New(o, make)
	if err != nil {
		return Report{}, err
	}
	p := &playing{t: t, deeds: t.sorted(), width: max(kbr.Second, t.Length/slicesOf), heal: never, calm: never, hand: never}
	p.churning = churning{o: Churn{Options: t.Options}, n: n, fresh: t.Nodes}
	p.report = Report{Nodes: t.Nodes, Seed: t.Seed, Model: n.o.Latency.String()}
	p.tally.each = p.tell
	n.judge = func() { p.tally.add(n, &p.report) }
	n.departed = func(x kbr.Node) {
		if p.o.Session.Median > 0 {
			p.gone(x, false)
			p.join()
		}
	}
	n.Settle(t.Nodes, true)
	if t.Keys > 0 {
		p.shelf, p.hand = n.stock(t.Keys, t.Copies), handOn
	}
	err = p.play(progress)
	p.report.finish(n, &p.tally)
	p.report.Bandwidth = 0
	for _, s := range p.report.Series {
		p.report.Bandwidth += s.Bandwidth / float64(len(p.report.Series))
	}
	return p.report, err
}

func (p *playing) play(progress func(int) error) error {
	next := [3]kbr.Ticks{never, never, p.in(drawSearch, float64(p.t.Every))} // join, leave, search
	p.slice()
	for {
		deed := never
		if len(p.deeds) > 0 {
			deed = p.deeds[0].At
		}
		cut := kbr.Ticks(len(p.report.Series)) * p.width
		p.n.Run(min(next[0], next[1], next[2], deed, cut, p.heal, p.calm, p.hand, p.t.Length), nil)
		switch now := p.n.Now(); now {
		case p.t.Length:
			p.end(now)
			p.n.Run(now+kbr.Minute, nil) // for the last ones
			p.report.Abandoned = p.report.Lookups - p.report.done()
			return nil
		case deed:
			p.begin(&next)
		case p.hand:
			p.shelf.pass(p.n)
			p.hand += handOn
		case p.heal:
			p.mend()
		case p.calm:
			p.o.Rate, p.o.Session = 0, Session{}
			next[0], next[1], p.calm = never, never, never
		case cut:
			p.slice()
			if err := tell(progress, int(now/p.t.Every)); err != nil {
				return err
			}
		case next[0]:
			p.join()
			next[0] = p.in(drawJoin, float64(kbr.Second)/p.o.Rate)
		case next[1]:
			p.gone(p.anybody(), true)
			next[1] = p.in(drawLeave, float64(kbr.Second)/p.o.Rate)
		default:
			p.search(now)
			next[2] = p.in(drawSearch, float64(p.t.Every))
		}
	}
}

// search lets anybody search.
func (p *playing) search(now kbr.Ticks) {
	p.report.Lookups++
	p.report.Series[len(p.report.Series)-1].Lookups++
	if who := p.anybody(); who != kbr.None {
		p.n.Search(now, who, kbr.Tag(p.report.Lookups))
	} else {
		p.report.Lost++
	}
}

// begin lets the next deed happen.
func (p *playing) begin(next *[3]kbr.Ticks) {
	d := p.deeds[0]
	p.deeds = p.deeds[1:]
	switch d.What {
	case Fail:
		p.report.Failed += p.n.Fail(d.Part)
	case Split:
		p.draws++
		turn := p.draws
		side := func(x kbr.Node) bool { return Unit(p.n.draw(forTimeline, x, turn)) < d.Part }
		p.n.Part(func(a, b kbr.Node) bool { return side(a) != side(b) })
		if p.healed = d; d.Until > 0 {
			p.heal = d.Until
		}
	case Shift:
		p.o.Rate, p.o.Session, p.calm = d.Rate, d.Session, d.until(p.t.Length)
		if d.Rate > 0 {
			mean := float64(kbr.Second) / d.Rate
			next[0], next[1] = p.in(drawJoin, mean), p.in(drawLeave, mean)
			return
		}
		for _, x := range p.n.Up() {
			p.live(x)
		}
	}
}

// mend lets the two parts of the network hear each other again, and some of their nodes meet.
func (p *playing) mend() {
	parted := p.n.parted
	p.n.Part(nil)
	p.heal = never
	for met := 0; met < p.healed.Meet; met++ {
		for range 64 { // somebody on the other side
			if a, b := p.anybody(), p.anybody(); a != kbr.None && b != kbr.None && parted(a, b) {
				p.n.Meet(a, b)
				break
			}
		}
	}
}

// slice ends the slice that goes on, and begins the next.
func (p *playing) slice() {
	now := p.n.Now()
	p.end(now)
	p.report.Series = append(p.report.Series, Slice{From: float64(now) / float64(kbr.Second), Up: p.n.alive})
}

// end fills in what was sent in the slice that goes on.
func (p *playing) end(now kbr.Ticks) {
	sent := p.n.Bytes()
	if i := len(p.report.Series) - 1; i >= 0 {
		s := &p.report.Series[i]
		if seconds := float64(now)/float64(kbr.Second) - s.From; seconds > 0 {
			s.Bandwidth = float64(sent-p.bytes) / seconds / float64(max(1, s.Up))
		}
	}
	p.bytes = sent
}

// tell takes a result into the slice in which the search began.
func (p *playing) tell(x *kbr.Result, right bool) {
	s := &p.report.Series[min(int(x.Began/p.width), len(p.report.Series)-1)]
	if p.shelf != nil {
		left, found := p.shelf.found(p.n, x)
		if left {
			s.Left++
		}
		if found {
			s.Found++
		}
	}
	switch {
	case x.Node == kbr.None:
		s.Lost++
	case !right:
		s.Wrong++
	default:
		s.Right++
		s.Latency += (float64(x.Ended-x.Began)/float64(kbr.Millisecond) - s.Latency) / float64(s.Right)
		s.Timeouts += (float64(x.Timeouts) - s.Timeouts) / float64(s.Right)
	}
}
