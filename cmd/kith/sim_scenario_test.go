package main

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kith"
)

const fewRuns = `
title = "Few"
engine = "chord"
lookups = 100
[sweep]
nodes = [50, 100]
`

// A scenario is run, told on the terminal and as JSON, and written as a table and a page; one that is shipped can be printed, and run as a file.
func TestSimScenario(t *testing.T) {
	dir := t.TempDir()
	file, page, table := filepath.Join(dir, "few.toml"), filepath.Join(dir, "few.html"), filepath.Join(dir, "few.csv")
	if err := os.WriteFile(file, []byte(fewRuns), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, exit := simulate(t, "--scenario", file, "--html", page, "--csv", table)
	if exit != 0 || errs != "" {
		t.Fatalf("ended with %d: %s", exit, errs)
	}
	for _, want := range []string{"Few", "nodes", "100.00 %", "stretch", "load 99th"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	data, err := os.ReadFile(page)
	if err != nil || !strings.Contains(string(data), "Path length by size") || !strings.Contains(string(data), "lookups = 100") {
		t.Errorf("%v, %s", err, data)
	}
	f, err := os.Open(table)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if rows, err := csv.NewReader(f).ReadAll(); err != nil || len(rows) != 3 {
		t.Errorf("%v %v", rows, err)
	}
	var o studyOut
	out, _, _ = simulate(t, "--scenario", file, "--json")
	if err := json.Unmarshal([]byte(out), &o); err != nil || len(o.Runs) != 2 || o.Runs[1].Nodes != 100 || o.Runs[1].Set[0].Name != "nodes" || o.Runs[1].TraceHash == "" {
		t.Errorf("%v in %s", err, out)
	}
}

// What is kept is not run again, and what is not there is.
func TestSimKeeps(t *testing.T) {
	dir := t.TempDir()
	file, folder := filepath.Join(dir, "few.toml"), filepath.Join(dir, "kept")
	if err := os.WriteFile(file, []byte(fewRuns), 0o600); err != nil {
		t.Fatal(err)
	}
	runs := func() (o studyOut) {
		out, errs, _ := simulate(t, "--scenario", file, "--keep", folder, "--json")
		if err := json.Unmarshal([]byte(out), &o); err != nil || len(o.Runs) != 2 {
			t.Fatalf("%v: %s%s", err, out, errs)
		}
		return o
	}
	first := runs()
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil || len(files) != 2 {
		t.Fatalf("%v, %v", files, err)
	}
	if err := os.Remove(files[1]); err != nil {
		t.Fatal(err)
	}
	again := runs()
	if a, b := first.Runs[0], again.Runs[0]; a.Seconds != b.Seconds || a.TraceHash != b.TraceHash || len(b.Set) != 1 {
		t.Errorf("%+v, and then %+v", a, b)
	}
	if a, b := first.Runs[1], again.Runs[1]; a.Seconds == b.Seconds || a.TraceHash != b.TraceHash {
		t.Errorf("%+v, and then %+v", a, b)
	}
}

// The same flags as a scenario are the same run.
func TestSimScenarioIsFlags(t *testing.T) {
	file := filepath.Join(t.TempDir(), "one.toml")
	if err := os.WriteFile(file, []byte("engine = \"kademlia\"\nnodes = 200\nlookups = 100\nfail = 0.2\nlatency = \"king\"\n[kademlia]\nk = 2"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, _ := simulate(t, "--scenario", file, "--json")
	var a studyOut
	if err := json.Unmarshal([]byte(out), &a); err != nil {
		t.Fatalf("%v: %s%s", err, out, errs)
	}
	if b := simulateJSON(t, "kademlia", "--nodes", "200", "--lookups", "100", "--fail", "0.2", "--latency", "king", "--k", "2"); len(a.Runs) != 1 || a.Runs[0].TraceHash != b.TraceHash {
		t.Errorf("%+v, and by flags %+v", a.Runs, b)
	}
}

// A timeline is told as it went.
func TestSimTimeline(t *testing.T) {
	file := filepath.Join(t.TempDir(), "half.toml")
	if err := os.WriteFile(file, []byte("engine = \"pastry\"\nnodes = 60\nlength = \"10m\"\n[[at]]\ntime = \"5m\"\nfail = 0.5"), 0o600); err != nil {
		t.Fatal(err)
	}
	page := filepath.Join(t.TempDir(), "half.html")
	out, errs, exit := simulate(t, "--scenario", file, "--html", page)
	if exit != 0 || !strings.Contains(out, "minute") || strings.Count(out, "█") < 20 {
		t.Errorf("ended with %d: %s%s", exit, out, errs)
	}
	if data, err := os.ReadFile(page); err != nil || !strings.Contains(string(data), "50 % of the nodes fail at 5 min") {
		t.Errorf("%v, %s", err, data)
	}
}

func TestSimList(t *testing.T) {
	out, _, exit := simulate(t, "--list")
	if exit != 0 || !strings.Contains(out, "partition ") || !strings.Contains(out, "half ") {
		t.Errorf("ended with %d: %s", exit, out)
	}
	text, _, exit := simulate(t, "--scenario", "partition", "--show")
	if exit != 0 || !strings.Contains(text, "[[at]]") {
		t.Errorf("ended with %d: %s", exit, text)
	}
}

// What makes no sense is told before anything runs, with what would.
func TestSimScenarioMakesNoSense(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "x.toml")
	if err := os.WriteFile(file, []byte("engine = \"chord\"\n[chord]\nsuccessors = 0"), 0o600); err != nil {
		t.Fatal(err)
	}
	large := filepath.Join(dir, "large.toml")
	if err := os.WriteFile(large, []byte("engine = \"pastry\"\nnodes = 4000000\nlookups = 100000000\n[pastry]\nb = 5"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args, want string
		kind       kith.Kind
	}{
		{"--scenario " + file, "line 3: chord: a successor list of 0", kith.Invalid},
		{"--scenario nowhere", "partition", kith.NotFound},
		{"--scenario partition --html " + dir, "is a folder", kith.Invalid},
		{"--scenario partition --csv " + filepath.Join(dir, "not", "there.csv"), "no such folder", kith.NotFound},
		{"--show", "--list", kith.Invalid},
		{"--scenario " + large, "of memory", kith.TooLarge},
	} {
		if free := freeMemory(); tt.kind == kith.TooLarge && (free == 0 || free > 20<<30) {
			t.Logf("%d bytes are free: what needs too much was not tested", free)
			continue
		}
		out, errs, exit := simulate(t, strings.Fields(tt.args)...)
		if exit != tt.kind.ExitCode() || out != "" || !strings.Contains(errs, tt.want) || len(strings.Split(strings.TrimSpace(errs), "\n")) < 2 {
			t.Errorf("%s ended with %d: %s%s", tt.args, exit, out, errs)
		}
	}
}
