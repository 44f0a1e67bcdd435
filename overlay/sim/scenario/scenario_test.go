package scenario

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"kith"
)

// Every scenario that is shipped makes sense, says what it shows, and goes back to its name.
func TestShipped(t *testing.T) {
	if len(Names()) < 5 || Shipped("../scenario") != nil || Shipped("") != nil {
		t.Errorf("%v", Names())
	}
	for _, name := range Names() {
		s, err := Parse(Shipped(name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if s.Title == "" || s.About == "" || len(s.Points) == 0 {
			t.Errorf("%s: %q, %q, %d runs", name, s.Title, s.About, len(s.Points))
		}
	}
}

func parse(t *testing.T, text string) *Scenario {
	t.Helper()
	s, err := Parse([]byte(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return s
}

func TestSweep(t *testing.T) {
	s := parse(t, `
engine = "chord"
lookups = 10
[sweep]
nodes = [10, 20]
engine = ["chord", "kademlia"]
[sweep.chord]
successors = [1, 2, 3]
`)
	if strings.Join(s.Swept, " ") != "nodes engine chord.successors" || len(s.Points) != 2*3+2 {
		t.Fatalf("%v, %d runs", s.Swept, len(s.Points))
	}
	if p := s.Points[1]; p.Engine != "chord" || len(p.Set) != 3 || p.Set[0].Value != int64(10) || p.Set[2].Value != int64(2) || p.Simulation(nil).Total() != 10 {
		t.Errorf("%+v", p)
	}
	if p := s.Points[7]; p.Engine != "kademlia" || len(p.Set) != 2 || p.Simulation(nil).Total() != 20 {
		t.Errorf("%+v", p)
	}
	for seed, want := range map[string]int{"1": 4, "2": 4} {
		s := parse(t, "engine = \"chord\"\nsample = 4\nseed = "+seed+"\n[sweep]\nnodes = [10, 20]\nfail = [0, 0.1, 0.2, 0.3, 0.4]")
		seen := map[string]bool{}
		for _, p := range s.Points {
			seen[fmt.Sprint(p.Set)] = true
		}
		if len(s.Points) != want || len(seen) != want {
			t.Errorf("%d runs, %d of them different", len(s.Points), len(seen))
		}
	}
}

// What makes no sense is told with its line, and with what would.
func TestMakesNoSense(t *testing.T) {
	for name, tt := range map[string]struct {
		text, line, what string
	}{
		"unknown key":        {"engine = \"chord\"\nnodez = 5", "line 2", "nodez"},
		"unknown in a table": {"engine = \"chord\"\n[chord]\nk = 5", "line 3", "chord.k"},
		"no engine":          {"nodes = 5", "", "no engine"},
		"wrong engine":       {"engine = \"gnutella\"", "line 1", "gnutella"},
		"a word":             {"engine = \"chord\"\nnodes = \"many\"", "line 2", "Nodes"},
		"no successors":      {"engine = \"chord\"\n\n[chord]\neager = true\nsuccessors = 0", "line 5", "successor list of 0"},
		"all fail":           {"engine = \"chord\"\nnodes = 10\nfail = 0.97", "line 3", "all of 10 nodes fail"},
		"more than all":      {"engine = \"chord\"\nnodes = 10\nfail = 11", "line 3", "a part of 11"},
		"too many nodes":     {"engine = \"chord\"\nnodes = 50000000", "line 2", "50000000 nodes"},
		"latency":            {"engine = \"chord\"\nlatency = \"far\"", "line 2", "far"},
		"swept":              {"engine = \"chord\"\n[sweep]\nseed = [1, 2]\nnodes = [10, 0]", "line 4", "0 nodes"},
		"swept unknown":      {"engine = \"chord\"\n[sweep]\nnodez = [10, 0]", "line 3", "nodez"},
		"swept in a table":   {"engine = \"chord\"\n[sweep.chord]\nsuccessors = [10, 40]", "line 3", "successor list of 40"},
		"no list":            {"engine = \"chord\"\n[sweep]\nnodes = 10", "line 3", "no list"},
		"not this":           {"engine = \"chord\"\n[sweep]\ntitle = [\"a\", \"b\"]", "line 3", "title"},
		"too many":           {"engine = \"chord\"\n[sweep]\nseed = [" + strings.Repeat("1,", 100) + "]\nnodes = [" + strings.Repeat("5,", 100) + "]", "line 4", "10000 runs"},
		"a time":             {"engine = \"chord\"\nlength = \"soon\"", "line 2", "soon"},
		"no length":          {"engine = \"chord\"\n[[at]]\ntime = \"5m\"\nfail = 0.5", "line 2", "no length"},
		"values at rest":     {"engine = \"chord\"\nkeys = 5", "line 2", "no length"},
		"two things":         {"engine = \"chord\"\nlength = \"10m\"\n[[at]]\ntime = \"5m\"\nfail = 0.5\n[[at]]\ntime = \"6m\"\nfail = 0.5\nsplit = 0.5", "line 6", "2 things"},
		"too late":           {"engine = \"chord\"\nlength = \"10m\"\n[[at]]\ntime = \"11m\"\nfail = 0.5", "line 3", "660"},
		"back":               {"engine = \"chord\"\nlength = \"10m\"\n[[at]]\ntime = \"5m\"\nuntil = \"6m\"\nfail = 0.5", "line 3", "until"},
		"meets":              {"engine = \"chord\"\nlength = \"10m\"\n[[at]]\ntime = \"5m\"\nsplit = 0.5\nmeet = 1", "line 3", "heals"},
		"when":               {"engine = \"chord\"\nlength = \"10m\"\nfail = 0.5", "line 3", "when"},
		"churn and fail":     {"engine = \"chord\"\nchurn = \"rate:1\"\nfail = 0.5", "line 3", "churn"},
		"churn":              {"engine = \"chord\"\nchurn = \"some\"", "line 2", "some"},
		"nobody hostile":     {"engine = \"chord\"\nattack = \"drop\"", "line 2", "hostile"},
		"no such attack":     {"engine = \"chord\"\nhostile = 0.2\nattack = \"shout\"", "line 3", "shout"},
		"wary and recursive": {"engine = \"chord\"\nrecursive = true\nwary = 4", "line 3", "wary"},
		"a sample":           {"engine = \"chord\"\nsample = -1", "line 2", "sample"},
		"beta":               {"engine = \"kademlia\"\n[kademlia]\nk = 4\nbeta = 0", "line 4", "answered"},
		"no TOML":            {"engine = chord", "line 1", ""},
	} {
		_, err := Parse([]byte(tt.text))
		if !errors.Is(err, kith.Invalid) || kith.HintOf(err) == "" || !strings.Contains(err.Error(), tt.line) || !strings.Contains(err.Error(), tt.what) || tt.line == "" && strings.Contains(err.Error(), "line ") {
			t.Errorf("%s: %v (%s), want %q and %q", name, err, kith.HintOf(err), tt.line, tt.what)
		}
	}
	if _, err := Parse(make([]byte, MaxFile+1)); !errors.Is(err, kith.TooLarge) {
		t.Error(err)
	}
}

// Whatever a file says, it is refused as Invalid or TooLarge, or each of its runs makes sense.
func FuzzParse(f *testing.F) {
	for _, name := range Names() {
		f.Add(Shipped(name))
	}
	f.Add([]byte("engine = \"kademlia\"\nlength = \"1h\"\nchurn = \"weibull:0.5,median=23m\"\n[[at]]\ntime = \"5m\"\nuntil = \"7m\"\nsplit = 0.3\nmeet = 2\n[kademlia]\nk = 3\ntell = 2"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse(data)
		if err != nil {
			if !errors.Is(err, kith.Invalid) && !errors.Is(err, kith.TooLarge) {
				t.Errorf("%v", err)
			}
			return
		}
		if len(s.Points) == 0 || len(s.Points) > MaxPoints {
			t.Errorf("%d runs", len(s.Points))
		}
		for _, p := range s.Points {
			if r := p.Simulation(nil); r.Check() != nil || r.Total() < 1 || p.PerNode < 1 || p.Lookups < 1 || p.Kind == nil {
				t.Errorf("%+v: %v", p, r.Check())
			}
		}
	})
}
