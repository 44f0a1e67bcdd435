package sim

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"kith"
	"kith/overlay/kbr"
)

// Churn is a network in which nodes come and go while others search. There are two ways: as many new ones join a second as others leave, both at random times
// (ToN'03, section VI.D); or each node has a session, and a new one joins when it ends, so that there are always as many.
type Churn struct {
	Options
	Rate    float64   // joins a second, and as many that take leave; 0 for sessions
	Session Session   // of each node, which crashes then
	Lookups int       // how many searches in all
	Every   kbr.Ticks // the mean time between two searches of anybody's, which come at random times
}

// A Session is how long nodes stay: a Weibull distribution, which is the exponential one for a shape of 1 and has many short and a few very long ones for a
// smaller shape. Stutzbach and Rejaie (IMC 2006) found 0.34 to 0.59 in BitTorrent.
type Session struct {
	Shape  float64
	Median kbr.Ticks
}

func (s Session) draw(x uint64) kbr.Ticks {
	scale := float64(s.Median) / math.Pow(math.Ln2, 1/s.Shape)
	return kbr.Ticks(scale * math.Pow(-math.Log(1-Unit(x)), 1/s.Shape))
}

// ParseChurn reads how nodes come and go: rate:0.4, exponential:median=60m or weibull:0.5,median=23m. Its error is Invalid.
func ParseChurn(text string) (rate float64, s Session, err error) {
	bad := kith.Hint(fmt.Errorf("sim: churn %q: %w", text, kith.Invalid), "rate:0.4 (joins a second, and as many leave), exponential:median=60m, or weibull:0.5,median=23m (shape, and median session)")
	kind, rest, _ := strings.Cut(text, ":")
	if kind == "rate" {
		if rate, err = strconv.ParseFloat(rest, 64); err != nil || !(rate > 0) {
			return 0, s, bad
		}
		return rate, s, nil
	}
	s.Shape = 1
	if kind == "weibull" {
		var shape string
		shape, rest, _ = strings.Cut(rest, ",")
		if s.Shape, err = strconv.ParseFloat(shape, 64); err != nil {
			return 0, s, bad
		}
	} else if kind != "exponential" {
		return 0, s, bad
	}
	median, ok := strings.CutPrefix(rest, "median=")
	d, err := time.ParseDuration(median)
	if !ok || err != nil || d <= 0 {
		return 0, s, bad
	}
	s.Median = kbr.Ticks(d.Microseconds())
	return 0, s, nil
}

// exponential returns a time with a mean.
func exponential(x uint64, mean float64) kbr.Ticks { return kbr.Ticks(-math.Log(1-Unit(x)) * mean) }

// Check says what is wrong with the scenario. Its error is Invalid.
func (c Churn) Check() error {
	switch s := c.Session; {
	case c.Nodes < 2:
		return kith.Hint(fmt.Errorf("sim: churn of %d nodes: %w", c.Nodes, kith.Invalid), "2 at least, so that there is somebody to join through")
	case c.Lookups < 1 || c.Lookups > MaxLookups:
		return kith.Hint(fmt.Errorf("sim: %d lookups: %w", c.Lookups, kith.Invalid), "1 to %d", MaxLookups)
	case c.Every < 1:
		return kith.Hint(fmt.Errorf("sim: searches every %d microseconds: %w", c.Every, kith.Invalid), "1 at least")
	case c.Rate != 0 && s != (Session{}):
		return kith.Hint(fmt.Errorf("sim: a rate and sessions: %w", kith.Invalid), "one of both says how nodes come and go")
	case c.Rate == 0 && !(s.Shape >= 0.1 && s.Shape <= 10):
		return kith.Hint(fmt.Errorf("sim: sessions of shape %v: %w", s.Shape, kith.Invalid), "0.1 to 10; 1 is exponential")
	case c.Rate == 0 && s.Median < kbr.Second:
		return kith.Hint(fmt.Errorf("sim: a median session of %d ms: %w", s.Median/kbr.Millisecond, kith.Invalid), "one second at least")
	case c.Rate != 0 && !(c.Rate > 0 && c.Rate <= float64(c.Nodes)):
		return kith.Hint(fmt.Errorf("sim: %v joins a second: %w", c.Rate, kith.Invalid), "more than 0, and at most as many as there are nodes")
	}
	o := c.Options
	o.Nodes = c.Total()
	return o.Check()
}

// Total returns how many nodes there are, with those that come later.
func (c Churn) Total() int { return c.Nodes + c.more() }

// more returns how many nodes will join at most, with room for chance.
func (c Churn) more() int {
	seconds := float64(c.Lookups) * float64(c.Every) / float64(kbr.Second) * 1.1
	joins := c.Rate * seconds
	if c.Rate == 0 {
		mean := float64(c.Session.Median) / float64(kbr.Second) / math.Pow(math.Ln2, 1/c.Session.Shape) * math.Gamma(1+1/c.Session.Shape)
		joins = 2 * float64(c.Nodes) * (1 + seconds/mean) // a young network has more short sessions than an old one
	}
	return int(min(joins+10*math.Sqrt(joins)+100, MaxNodes))
}

// Purposes of the draws of a churn.
const (
	drawJoin = iota
	drawLeave
	drawSearch
	drawWho
	draws
)

// churning is a run of Churn.
type churning struct {
	o      Churn
	n      *Net
	counts [draws]uint64
	fresh  int // how many have been up
	report Report
	tally  tally
}

// Run runs the scenario, as Static.Run does.
func (c Churn) Run(make func(*kbr.Table) Kind, progress func(done int) error) (Report, error) {
	if err := c.Check(); err != nil {
		return Report{}, err
	}
	o := c.Options
	o.Nodes, o.founders = c.Total(), c.Nodes
	n, err := New(o, make)
	if err != nil {
		return Report{}, err
	}
	r := &churning{o: c, n: n, fresh: c.Nodes}
	r.report = Report{Nodes: c.Nodes, Lookups: c.Lookups, Seed: c.Seed, Model: n.o.Latency.String()}
	n.judge = func() { r.tally.add(n, &r.report) }
	n.departed = func(p kbr.Node) {
		r.gone(p, false)
		r.join()
	}
	n.Settle(c.Nodes, true)
	err = r.run(progress)
	r.report.finish(n, &r.tally)
	return r.report, err
}

func (c *churning) next(what int) uint64 {
	c.counts[what]++
	return c.n.draw(forChurn, kbr.Node(what), c.counts[what])
}

// in returns when something happens that happens at random times with a mean.
func (c *churning) in(what int, mean float64) kbr.Ticks {
	return c.n.Now() + exponential(c.next(what), mean)
}

// anybody draws a member of the network; None if there hardly is one.
func (c *churning) anybody() kbr.Node {
	for range 100 * c.fresh {
		if p := kbr.Node(1 + c.next(drawWho)%uint64(c.fresh)); c.n.Member(p) && !c.n.peers[p].bad {
			return p
		}
	}
	return kbr.None
}

func (c *churning) run(progress func(int) error) error {
	join, leave, mean := never, never, float64(kbr.Second)/c.o.Rate
	if c.o.Rate > 0 {
		join, leave = c.in(drawJoin, mean), c.in(drawLeave, mean)
	} else {
		for p := range c.o.Nodes {
			c.live(kbr.Node(p + 1))
		}
	}
	search := c.in(drawSearch, float64(c.o.Every))
	for done := 0; done < c.o.Lookups; {
		c.n.Run(min(join, leave, search), nil)
		switch c.n.Now() {
		case join:
			c.join()
			join = c.in(drawJoin, mean)
		case leave:
			c.gone(c.anybody(), true)
			leave = c.in(drawLeave, mean)
		default:
			if p := c.anybody(); p != kbr.None {
				c.n.Search(search, p, kbr.Tag(done))
			} else {
				c.report.Lost++
			}
			search = c.in(drawSearch, float64(c.o.Every))
			done++
			if progress != nil && done%100 == 0 {
				if err := progress(done); err != nil {
					return err
				}
			}
		}
	}
	c.n.Run(c.n.Now()+kbr.Minute, nil) // for the last ones
	c.report.Abandoned = c.o.Lookups - c.report.done()
	return nil
}

// join lets a new node join through anybody.
func (c *churning) join() {
	via := c.anybody()
	if c.fresh == c.n.Table.Len() || via == kbr.None {
		return // ten deviations beyond what is likely, or nothing to join
	}
	c.fresh++
	p := kbr.Node(c.fresh)
	c.n.Join(p, via)
	c.report.Joined++
	c.live(p)
}

// live gives a node its session.
func (c *churning) live(p kbr.Node) {
	if c.o.Session.Median > 0 {
		c.n.depart(c.n.Now()+c.o.Session.draw(c.n.draw(forChurn, p, 0)), p)
	}
}

// gone takes a node away, unless it is the last but one.
func (c *churning) gone(p kbr.Node, withLeave bool) {
	if c.n.alive <= 2 || p == kbr.None {
		return
	}
	c.report.Failed++
	if withLeave {
		c.n.Leave(p)
	} else {
		c.n.Crash(p)
	}
}
