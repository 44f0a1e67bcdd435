// Package scenario says what happens in a lab: how many nodes there are, what their lines and routers are like, what is done when, and
// what must have come of it. A scenario is a TOML file, a seed is part of it, and Make turns the two into a Plan.
//
// It starts no node and reads no clock; lab does what a plan says. Its one idea: every draw is made here, from the seed, before anything
// runs, so that the same file gives the same plan: who stands behind which router, which line is how long, who goes away when.
package scenario

import (
	"cmp"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"kith"
	"kith/config"
	"kith/lab/nat"
)

// Bounds of a scenario.
const (
	MaxNodes  = 200
	MaxEvents = 1000
	MaxSize   = 1 << 30 // bytes of one file that is shared
	maxFile   = 1 << 20 // bytes of a scenario
	maxLast   = 24 * time.Hour
)

// A Scenario is what one file says. Zero is the default of every field, and a lab without anything is one, too.
type Scenario struct {
	Title string   `toml:"title" json:"title,omitempty"`
	About string   `toml:"about" json:"about,omitempty"`
	Seed  uint64   `toml:"seed" json:"seed"`
	Nodes int      `toml:"nodes" json:"nodes,omitempty"` // without [[group]]: how many
	Life  bool     `toml:"life" json:"life,omitempty"`   // they share samples and want each other's, of their own accord
	Last  Time     `toml:"last" json:"last,omitempty"`   // when it is over; 0: after the last event and the last expectation, never with Life or Churn
	Line           // of nodes that no group says more of
	Churn Rate     `toml:"churn" json:"churn,omitempty"` // how many go away, each without a word, and come back
	Away  Time     `toml:"away" json:"away,omitempty"`   // for which they stay away, on average; 0: 30 s
	Group []Group  `toml:"group" json:"group,omitempty"`
	Event []Event  `toml:"event" json:"event,omitempty"`
	Want  []Expect `toml:"expect" json:"expect,omitempty"`
}

// A Line is how nodes are connected.
type Line struct {
	Latency Range `toml:"latency" json:"latency"` // round trip between two; each draws its half
	Loss    Part  `toml:"loss" json:"loss"`       // of the packets; of two nodes the worse counts
	NAT     NAT   `toml:"nat" json:"nat"`         // how many stand behind a router, or which one all stand behind
	Up      Size  `toml:"up" json:"up,omitempty"` // bytes a second that a node sends at most; 0: some hundred thousand
}

// A Group is a number of nodes that are alike. What it leaves out is as for all.
type Group struct {
	Name    string `toml:"name"`
	Count   int    `toml:"count"`
	Latency *Range `toml:"latency"`
	Loss    *Part  `toml:"loss"`
	NAT     *NAT   `toml:"nat"`
	Up      *Size  `toml:"up"`
}

// What an event may be.
const (
	Share     = "share"     // of a file that is made for it
	Get       = "get"       // of one that was shared
	Kill      = "kill"      // pulls the plug
	Revive    = "revive"    // puts it in
	Move      = "move"      // to another router of the same kind
	Partition = "partition" // into sides that do not reach each other
	Heal      = "heal"      // of a partition
)

// Verbs is what an event may be.
var Verbs = []string{Share, Get, Kill, Revive, Move, Partition, Heal}

// An Event is something that is done.
type Event struct {
	At    Time     `toml:"at"`    // since all have moved in
	Do    string   `toml:"do"`    // one of Verbs
	Who   string   `toml:"who"`   // does it, or has it done to them; see Plan
	What  string   `toml:"what"`  // share, get: name of the file
	Size  Size     `toml:"size"`  // share: bytes; 0: 1 MB
	Sides []string `toml:"sides"` // partition: who is on each; the others are on one of their own
}

// An Expect is something that must come about. Exactly one of Has, Lacks, Reaches and Apart says what.
type Expect struct {
	From    Time   `toml:"from"`    // when it counts; 0: from the last event before By
	By      Time   `toml:"by"`      // until when it must have
	Who     string `toml:"who"`     // those of them that are alive then
	Has     string `toml:"has"`     // each has the whole file
	Lacks   string `toml:"lacks"`   // nobody has
	Reaches string `toml:"reaches"` // each is connected to one of those
	Apart   string `toml:"apart"`   // nobody is
}

// String says what is expected, in words.
func (e Expect) String() string {
	who := cmp.Or(e.Who, "all")
	by := fmt.Sprintf(" by %s", e.By)
	switch {
	case e.Has != "":
		return who + " have " + e.Has + by
	case e.Lacks != "":
		return "none of " + who + " have " + e.Lacks + by
	case e.Reaches != "":
		return "each of " + who + " reaches one of " + e.Reaches + by
	}
	return "none of " + who + " reaches one of " + e.Apart + by
}

// Parse reads a scenario. Its error is Invalid, and names the line if the file is wrong at one.
func Parse(data []byte) (Scenario, error) {
	if len(data) > maxFile {
		return Scenario{}, fmt.Errorf("%d bytes, at most %d: %w", len(data), maxFile, kith.TooLarge)
	}
	var s Scenario
	if err := config.Decode(data, &s); err != nil {
		return Scenario{}, err
	}
	return s, s.check()
}

//go:embed *.toml
var shipped embed.FS

// Names returns the scenarios that the program brings along.
func Names() (names []string) {
	files, _ := fs.Glob(shipped, "*.toml")
	for _, f := range files {
		names = append(names, strings.TrimSuffix(f, ".toml"))
	}
	return names
}

// Load reads a scenario that the program brings along, or a file.
func Load(name string) (Scenario, error) {
	data, err := shipped.ReadFile(path.Base(name) + ".toml")
	if err != nil || path.Base(name) != name {
		if data, err = os.ReadFile(name); err != nil {
			return Scenario{}, kith.Hint(fmt.Errorf("scenario: %w: %w", err, kith.NotFound), "there are %s; kith lab --scenario list tells of them", strings.Join(Names(), ", "))
		}
	}
	s, err := Parse(data)
	if err != nil {
		return Scenario{}, kith.Hint(fmt.Errorf("scenario: %s: %w", name, err), "docs/lab.md lists what a scenario may say")
	}
	return s, nil
}

// Size returns how many nodes there are.
func (s Scenario) Size() int {
	n := 0
	for _, g := range s.Group {
		n += g.Count
	}
	return cmp.Or(n, s.Nodes)
}

// Bounded reports whether it ends by itself.
func (s Scenario) Bounded() bool {
	return s.Last > 0 || len(s.Want) > 0 || !s.Life && s.Churn == 0 && len(s.Event) > 0
}

// End returns when it is over; 0: never.
func (s Scenario) End() time.Duration {
	if !s.Bounded() || s.Last > 0 {
		return time.Duration(s.Last)
	}
	var end Time
	for _, e := range s.Event {
		end = max(end, e.At)
	}
	for _, e := range s.Want {
		end = max(end, e.By)
	}
	return time.Duration(end)
}

// check refuses what cannot be carried out, as far as the text alone tells.
func (s Scenario) check() error {
	if n := s.Size(); n < 2 || n > MaxNodes {
		return invalid("%d nodes, not 2 to %d", n, MaxNodes)
	}
	if s.Nodes != 0 && len(s.Group) > 0 {
		return invalid("nodes and groups: the groups say how many there are")
	}
	if len(s.Event)+len(s.Want) > MaxEvents {
		return invalid("%d events and expectations, at most %d", len(s.Event)+len(s.Want), MaxEvents)
	}
	if s.Churn < 0 || float64(s.Churn) > float64(10*s.Size()) {
		return invalid("churn of %s: at most ten times a minute for each node", s.Churn)
	}
	names := map[string]bool{}
	for i, g := range s.Group {
		if g.Count < 1 || g.Count > MaxNodes || !word(g.Name) || g.Name == all || names[g.Name] {
			return invalid("group %d %q: want a count from 1 and a name of its own, of letters, digits and -, that begins with a letter", i+1, g.Name)
		}
		names[g.Name] = true
	}
	for i, e := range s.Event {
		if err := e.check(); err != nil {
			return fmt.Errorf("event %d at %s: %w", i+1, e.At, err)
		}
	}
	for i, e := range s.Want {
		if err := e.check(); err != nil {
			return fmt.Errorf("expectation %d by %s: %w", i+1, e.By, err)
		}
	}
	if s.Last < 0 || s.End() > maxLast {
		return invalid("it lasts %s, at most %s", s.End(), maxLast)
	}
	return nil
}

func (e Event) check() error {
	switch {
	case !slices.Contains(Verbs, e.Do):
		return invalid("do = %.40q: want one of %s", e.Do, strings.Join(Verbs, ", "))
	case (e.Do == Share || e.Do == Get) != (e.What != "") || e.What != "" && !word(e.What):
		return invalid("%s: what = %.40q: share and get, and nothing else, name a file, of letters, digits and -", e.Do, e.What)
	case e.Do != Share && e.Size != 0 || e.Size < 0 || e.Size > MaxSize:
		return invalid("%s: only what is shared has a size, of at most 1 GiB", e.Do)
	case (e.Do == Partition) != (len(e.Sides) > 0):
		return invalid("%s: a partition, and nothing else, has sides", e.Do)
	case (e.Do == Partition || e.Do == Heal) == (e.Who != ""):
		return invalid("%s: who = %.40q: all but partition and heal say who", e.Do, e.Who)
	}
	return nil
}

func (e Expect) check() error {
	n := 0
	for _, s := range []string{e.Has, e.Lacks, e.Reaches, e.Apart} {
		if s != "" {
			n++
		}
	}
	if n != 1 {
		return invalid("want exactly one of has, lacks, reaches and apart")
	}
	if e.By == 0 || e.From > e.By {
		return invalid("want a time by, and from none that is later")
	}
	return nil
}

// word reports whether s can name something in a scenario.
func word(s string) bool {
	for i, c := range s {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c != '-' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != "" && len(s) <= 40
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %w", fmt.Errorf(format, args...), kith.Invalid)
}

// Behind returns the kinds of router that a part of the nodes stand behind: three cones to one that is symmetric.
var behind = []nat.Kind{nat.Cone, nat.Cone, nat.Cone, nat.Symmetric}
