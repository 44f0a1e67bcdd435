package scenario_test

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"kith"
	"kith/lab/nat"
	"kith/lab/scenario"
)

const whole = `
title = "Everything"
about = "every key there is"
seed = 5
last = "10m"
life = true
latency = "20ms..150ms"
loss = "1%"
nat = "40%"
up = "500K/s"
churn = "10/min"
away = "20s"

[[group]]
name = "home"
count = 20

[[group]]
name = "phones"
count = 10
latency = "80ms"
loss = "3.5%"
nat = "symmetric"
up = "1MB"

[[event]]
at = "1s"
do = "share"
who = "1"
what = "film"
size = "4MB"

[[event]]
at = "1m"
do = "partition"
sides = ["home", "3 of phones"]

[[event]]
at = "2s"
do = "get"
who = "phones, 2, 5 of home"
what = "film"

[[event]]
at = "90s"
do = "heal"

[[event]]
at = "91s"
do = "move"
who = "phones"

[[expect]]
by = "80s"
who = "phones"
has = "film"

[[expect]]
from = "70s"
by = "80s"
who = "home"
apart = "phones"
`

func parsed(t testing.TB, text string) scenario.Scenario {
	t.Helper()
	s, err := scenario.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSameSeedSamePlan: who, when and which latency come from the seed alone; another seed gives another plan.
func TestSameSeedSamePlan(t *testing.T) {
	plan := func(seed uint64) (*scenario.Plan, []scenario.Step) {
		s := parsed(t, whole)
		s.Seed = seed
		p, err := scenario.Make(s)
		if err != nil {
			t.Fatal(err)
		}
		var steps []scenario.Step
		for step := range p.All() {
			if steps = append(steps, step); len(steps) == 200 {
				break
			}
		}
		return p, steps
	}
	a, stepsA := plan(5)
	b, stepsB := plan(5)
	if !reflect.DeepEqual(a, b) || !reflect.DeepEqual(stepsA, stepsB) {
		t.Error("the same seed gives two plans")
	}
	c, stepsC := plan(6)
	if reflect.DeepEqual(a.Hosts, c.Hosts) || reflect.DeepEqual(stepsA, stepsC) {
		t.Error("another seed gives the same plan")
	}
}

// TestPlan: what the file says holds for every node, and for the churn as a whole.
func TestPlan(t *testing.T) {
	p, err := scenario.Make(parsed(t, whole))
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]map[nat.Kind]int{}
	for i, h := range p.Hosts {
		if kinds[h.Group] == nil {
			kinds[h.Group] = map[nat.Kind]int{}
		}
		kinds[h.Group][h.Kind]++
		for _, j := range h.Knows {
			if j == i || p.Hosts[j].Kind != nat.Public {
				t.Errorf("%d knows %d, who is %s", i, j, p.Hosts[j].Kind)
			}
		}
		phone := h.Group == "phones"
		if len(h.Knows) != 3 || phone && (h.Delay != 20*time.Millisecond || h.Loss != 0.035 || h.Up != 1e6) ||
			!phone && (h.Delay < 5*time.Millisecond || h.Delay > 37500*time.Microsecond || h.Loss != 0.01 || h.Up != 5e5) {
			t.Errorf("host %d: %+v", i, h)
		}
	}
	want := map[string]map[nat.Kind]int{"home": {nat.Public: 12, nat.Cone: 6, nat.Symmetric: 2}, "phones": {nat.Symmetric: 10}}
	if !reflect.DeepEqual(kinds, want) {
		t.Errorf("kinds %v, want %v", kinds, want)
	}
	var order []string
	for _, s := range p.Steps {
		order = append(order, fmt.Sprint(s.Do, " ", len(s.Who), len(s.Sides)))
	}
	if got := strings.Join(order, ", "); got != "share 1 0, get 16 0, partition 0 2, heal 0 0, move 10 0" && got != "share 1 0, get 15 0, partition 0 2, heal 0 0, move 10 0" {
		t.Errorf("steps: %s", got) // neighbour 2 may be one of the five
	}
	if w := p.Wants[0]; w.From != time.Minute || len(w.Who) != 10 {
		t.Errorf("want %+v: it counts from the last event before", w)
	}
	kills, last, here := 0, time.Duration(0), map[int]bool{}
	for s := range p.Churn() {
		if s.At > time.Hour {
			break
		}
		if s.At < last || here[s.Who[0]] == (s.Do == scenario.Kill) {
			t.Fatalf("%+v after %s: it was so already", s, last)
		}
		last, here[s.Who[0]] = s.At, s.Do == scenario.Kill
		if s.Do == scenario.Kill {
			kills++
		}
	}
	if kills < 450 || kills > 660 {
		t.Errorf("%d killed in an hour, at 10 a minute", kills)
	}
}

func TestRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"nodes = 1":                 "1 nodes",
		"nodes = 1000":              "1000 nodes",
		"nodes = 5\nlatncy = '1ms'": `line 2: there is no setting "latncy"`,
		"nodes = 5\n\n[[event]]\nat='1'\nwhen = 3":                   "line 5",
		"nodes = 5\nlatency = '9ms..3ms'":                            "line 2",
		"nodes = 5\nloss = '101%'":                                   "line 2",
		"nodes = 5\nnat = 'tcp-only'":                                "UDP only",
		"nodes = 5\nnat = 'fence'":                                   "cone",
		"nodes = 5\nchurn = 'often'":                                 "like 10/min",
		"nodes = 5\nchurn = '1000/min'":                              "ten times a minute",
		"nodes = 5\nlast = '2d'":                                     "line 2",
		"nodes = 5\n[[group]]\nname='a'\ncount=3":                    "groups say",
		"[[group]]\nname='all'\ncount=3":                             "a name of its own",
		"nodes = 5\n[[event]]\ndo='fly'":                             "share, get",
		"nodes = 5\n[[event]]\ndo='share'\nwho='1'":                  "name a file",
		"nodes = 5\n[[event]]\ndo='share'\nwho='1'\nwhat='../x'":     "letters, digits",
		"nodes = 5\n[[event]]\ndo='kill'":                            "say who",
		"nodes = 5\n[[event]]\ndo='partition'":                       "has sides",
		"nodes = 5\n[[expect]]\nby='5s'":                             "exactly one",
		"nodes = 5\n[[expect]]\nhas='x'":                             "a time by",
		"nodes = 5\n[[expect]]\nby='5s'\nfrom='6s'\nhas='x'":         "a time by",
		"nodes = 5\n[[event]]\nat='1s'\ndo='kill'\nwho='6'":          `there is no "6"`,
		"nodes = 5\n[[event]]\nat='1s'\ndo='kill'\nwho='6 of all'":   "cannot be drawn",
		"nodes = 5\n[[event]]\nat='1s'\ndo='get'\nwho='1'\nwhat='x'": "nobody has shared",
		"nodes = 5\n[[event]]\nat='1s'\ndo='move'\nwho='1'":          "behind a NAT",
		"nodes = 5\n[[expect]]\nby='5s'\nhas='x'":                    "nobody shares x",
		"nodes = 5\n[[event]]\ndo='share'\nwho='all'\nwhat='x'":      "shared once, by one",
	} {
		s, err := scenario.Parse([]byte(text))
		if err == nil {
			_, err = scenario.Make(s)
		}
		if !errors.Is(err, kith.Invalid) || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, err := scenario.Load("no-such"); !errors.Is(err, kith.NotFound) || !strings.Contains(kith.HintOf(err), "flash-crowd") {
		t.Errorf("%v: %s", err, kith.HintOf(err))
	}
}

// TestShipped: the scenarios that come with the program can be carried out, end, and expect something.
func TestShipped(t *testing.T) {
	if len(scenario.Names()) < 5 {
		t.Errorf("only %q", scenario.Names())
	}
	for _, name := range scenario.Names() {
		s, err := scenario.Load(name)
		if err == nil {
			_, err = scenario.Make(s)
		}
		if err != nil || s.Title == "" || s.About == "" || len(s.Want) == 0 || !s.Bounded() {
			t.Errorf("%s: %v %+v", name, err, s)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(whole))
	for _, name := range scenario.Names() {
		data, err := os.ReadFile(name + ".toml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("nodes = 3\nlatency = '..'\n"))
	f.Add([]byte("nodes = 3\nnat = 'nan%'\nchurn = '1e300/s'\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := scenario.Parse(data)
		if err != nil {
			return
		}
		p, err := scenario.Make(s)
		if err != nil {
			return
		}
		if len(p.Hosts) != s.Size() || slices.ContainsFunc(p.Hosts, func(h scenario.Host) bool { return h.Delay < 0 || h.Up <= 0 }) {
			t.Errorf("%+v", p.Hosts)
		}
		n := 0
		for range p.All() {
			if n++; n > 100 {
				break
			}
		}
	})
}
