package lab_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kith"
	"kith/api"
	"kith/app"
	"kith/apps"
	"kith/lab"
	"kith/lab/nat"
	"kith/lab/scenario"
)

// TestLab: neighbours who know nobody else get each other's samples, the page is told so, and nothing is left when they move out.
func TestLab(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	l, err := lab.Open(ctx, lab.Options{Nodes: 3, Network: "lab-test", Apps: apps.New})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := l.Summary()
	if len(s.Neighbours) != 3 || len(s.Samples) != 3 || !strings.HasPrefix(s.Connect, "/ip4/127.0.0.1/") {
		t.Fatalf("%+v", s)
	}
	for _, sample := range s.Samples {
		if link, err := kith.ParseLink(sample.Link); err != nil || len(link.Peers) == 0 {
			t.Errorf("link %q works not alone: %v", sample.Link, err)
		}
	}
	base := s.URL[:strings.Index(s.URL, "/#")]
	if r, err := http.Get(base + "/api/lab/watch"); err != nil || r.StatusCode != http.StatusUnauthorized {
		t.Errorf("watched by who may not: %v %v", r, err)
	}
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), "kith-lab-*"))
	if len(dirs) != 1 {
		t.Fatalf("folders %q", dirs)
	}
	client, err := api.Dial(dirs[0])
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	watchUntilAllHaveAll(ctx, t, client)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "*")); len(left) != 0 {
		t.Errorf("%q is left", left)
	}
	if r, err := http.Get(base + "/"); err == nil {
		t.Errorf("the page still answers: %s", r.Status)
	}
}

func watchUntilAllHaveAll(ctx context.Context, t *testing.T, client *api.Client) {
	op := app.NewStreamOp[struct{}, lab.State]("watch", "", nil)
	op.Query = true
	var best string
	for v, err := range client.Call(ctx, "lab", op, struct{}{}) {
		if err != nil {
			t.Fatalf("%v; it came to %s", err, best)
		}
		var s lab.State
		data, _ := json.Marshal(v)
		if err := json.Unmarshal(data, &s); err != nil {
			t.Fatal(err)
		}
		full := 0
		for _, n := range s.Neighbours {
			for _, have := range n.Have {
				if have == 1 {
					full++
				}
			}
		}
		if full == 9 && s.Moved > 0 && len(s.Wires) == 3 && s.Wires[0].How == "direct" {
			return
		}
		best = fmt.Sprintf("%d of 9 copies, %d bytes, %d wires", full, s.Moved, len(s.Wires))
	}
	t.Fatalf("the stream ended; it came to %s", best)
}

func TestRefuses(t *testing.T) {
	node := t.TempDir()
	if err := os.Mkdir(filepath.Join(node, "identity"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		o    lab.Options
		want error
	}{
		"one":   {lab.Options{Nodes: 1, Apps: apps.New}, kith.Invalid},
		"many":  {lab.Options{Nodes: lab.MaxNodes + 1, Apps: apps.New}, kith.Invalid},
		"home":  {lab.Options{Dir: node, Apps: apps.New}, kith.Exists},
		"alone": {lab.Options{Scenario: &scenario.Scenario{Nodes: 1}, Apps: apps.New}, kith.Invalid},
	} {
		if l, err := lab.Open(t.Context(), c.o); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
			if err == nil {
				l.Close()
			}
		}
	}
}

// play runs a scenario to its end, and fails the test when something does not come about.
func play(t *testing.T, s scenario.Scenario) *lab.Result {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	l, err := lab.Open(t.Context(), lab.Options{Scenario: &s, Network: "lab-test", Apps: apps.New, Tell: func(h lab.Happening) { t.Logf("%5.1f s  %s", h.Seconds, h) }})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	<-l.Done()
	r := l.Result()
	if r == nil {
		t.Fatal("it ended without a result")
	}
	for _, line := range r.Lines {
		if line.Is != "done" && line.Is != "met" {
			t.Errorf("%s: %s %s", line.Text, line.Is, line.Not)
		}
	}
	return r
}

// TestThroughNATs: ten neighbours on long and lossy lines, half of them behind NATs, all get what one of these shares.
func TestThroughNATs(t *testing.T) {
	s := scenario.Scenario{
		Seed: 4, Nodes: 10,
		Line:  scenario.Line{Latency: scenario.Range{Low: 20 * time.Millisecond, High: 100 * time.Millisecond}, Loss: 0.01, NAT: scenario.NAT{Part: 0.5}},
		Event: []scenario.Event{{Do: "share", What: "film", Size: 300_000}, {At: 1e9, Do: "get", Who: "all", What: "film"}},
		Want:  []scenario.Expect{{By: 60e9, Has: "film"}},
	}
	s.Event[0].Who = "1"
	plan, err := scenario.Make(s)
	if err != nil {
		t.Fatal(err)
	}
	for i, h := range plan.Hosts {
		if h.Kind == nat.Cone {
			s.Event[0].Who = fmt.Sprint(i + 1)
		}
	}
	play(t, s)
}

// TestKillAndRevive: who is killed is away and is missed by nobody for long; who is revived goes on with what it was fetching.
func TestKillAndRevive(t *testing.T) {
	play(t, scenario.Scenario{
		Nodes: 4, Seed: 2,
		Event: []scenario.Event{
			{Do: "share", Who: "1", What: "film", Size: 2e6}, {At: 1e9, Do: "get", Who: "2", What: "film"},
			{At: 2e9, Do: "kill", Who: "2"}, {At: 4e9, Do: "revive", Who: "2"},
		},
		Want: []scenario.Expect{{By: 60e9, Who: "2", Has: "film"}, {By: 60e9, Who: "2", Reaches: "all"}},
	})
}

// TestMissed: an expectation that does not come about is told so, with who is the matter.
func TestMissed(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	l, err := lab.Open(t.Context(), lab.Options{Apps: apps.New, Network: "lab-test", Scenario: &scenario.Scenario{
		Nodes: 2, Event: []scenario.Event{{Do: "share", Who: "1", What: "film", Size: 1000}}, Want: []scenario.Expect{{By: 2e9, Has: "film"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	<-l.Done()
	if r := l.Result(); r == nil || r.OK || r.Lines[1].Is != "missed" || r.Lines[1].Not != "Bao" {
		t.Errorf("%+v", r)
	}
}

// TestPartition: twenty neighbours fall apart for two minutes, live on in two halves, and are whole again when somebody wants something from the other side.
func TestPartition(t *testing.T) {
	if testing.Short() {
		t.Skip("a partition of twenty was not tested: -short")
	}
	s, err := scenario.Load("partition")
	if err != nil {
		t.Fatal(err)
	}
	play(t, s)
}
