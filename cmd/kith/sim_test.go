package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"kith"
	"kith/cli"
	"kith/overlay/chord"
	"kith/overlay/sim"
)

// simulate runs kith sim as it would be typed.
func simulate(t *testing.T, args ...string) (out, errs string, exit int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	exit = cli.Run(t.Context(), cli.Program{Commands: []*cobra.Command{simCommand()}, Stdout: &stdout, Stderr: &stderr}, append([]string{"sim"}, args...))
	return stdout.String(), stderr.String(), exit
}

func simulateJSON(t *testing.T, args ...string) (o simOut) {
	t.Helper()
	out, errs, exit := simulate(t, append(args, "--json")...)
	if exit != 0 || errs != "" {
		t.Fatalf("kith sim %s ended with %d: %s", strings.Join(args, " "), exit, errs)
	}
	if err := json.Unmarshal([]byte(out), &o); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return o
}

func TestSimChord(t *testing.T) {
	few := []string{"chord", "--nodes", "200", "--lookups", "300", "--fail", "0.3"}
	a, b, c := simulateJSON(t, few...), simulateJSON(t, few...), simulateJSON(t, append(few, "--seed", "2")...)
	if a.Engine != "chord" || a.Nodes != 200 || a.Failed != 60 || a.Right != 300 || a.Path.Mean < 1 || a.Timeouts.Mean == 0 {
		t.Errorf("%+v", a)
	}
	if a.TraceHash != b.TraceHash || a.TraceHash == c.TraceHash || len(a.TraceHash) != 16 {
		t.Errorf("traces %s, %s, and with another seed %s", a.TraceHash, b.TraceHash, c.TraceHash)
	}
	out, errs, exit := simulate(t, few...)
	if exit != 0 || errs != "" { // no progress where there is no terminal
		t.Errorf("ended with %d: %s", exit, errs)
	}
	for _, want := range []string{"200 nodes, of which 60 failed", "100.000 %  ended at whose", "timeouts", "latency, ms", "trace " + a.TraceHash} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestSimChordChurn(t *testing.T) {
	o := simulateJSON(t, "chord", "--nodes", "100", "--churn", "exponential:median=10m", "--hours", "0.1", "--latency", "3d")
	if o.Lookups != 360 || o.Joined < 20 || o.Failed != o.Joined || o.Right < 350 || o.Bandwidth == 0 {
		t.Errorf("%+v", o)
	}
	if out, _, _ := simulate(t, "chord", "--nodes", "100", "--churn", "rate:0.1", "--lookups", "100"); !strings.Contains(out, "gone and") || !strings.Contains(out, "bytes a node and second") {
		t.Errorf("%s", out)
	}
}

// What makes no sense ends with the number for that, and says what would.
func TestSimMakesNoSense(t *testing.T) {
	for _, args := range []string{"--successors 0", "--successors 33", "--fail 1", "--nodes 0", "--nodes 5000000", "--lookups 0", "--latency far", "--loss 2", "--hours 3", "--churn maybe",
		"--churn rate:1 --fail 0.1", "--churn rate:1 --hours 1 --lookups 5", "--churn rate:1 --every 0s", "--round 1ms", "--repair 0", "--seed x"} {
		out, errs, exit := simulate(t, append([]string{"chord"}, strings.Fields(args)...)...)
		if exit != kith.Invalid.ExitCode() || out != "" || len(strings.Split(strings.TrimSpace(errs), "\n")) < 2 {
			t.Errorf("%s ended with %d: %s%s", args, exit, out, errs)
		}
	}
	if _, errs, exit := simulate(t, "gnutella"); exit != kith.Invalid.ExitCode() {
		t.Errorf("an overlay that is not there ended with %d: %s", exit, errs)
	}
}

// What does not fit into memory is told before it starts.
func TestSimNeedsMemory(t *testing.T) {
	s := sim.Static{Options: sim.Options{Nodes: sim.MaxNodes}, Lookups: sim.MaxLookups}
	need, upkeep := sim.Memory(s.Total(), s.Lookups, chord.BytesPerNode, false), sim.Memory(s.Total(), s.Lookups, chord.BytesPerNode, true)
	if need < 10<<30 || upkeep < need+8<<30 || upkeep > 100<<30 {
		t.Errorf("the largest needs %d bytes, and %d with upkeep", need, upkeep)
	}
	if err := fits(s.Total(), need, need-1); !errors.Is(err, kith.TooLarge) || kith.HintOf(err) == "" {
		t.Errorf("%v", err)
	}
	if err := fits(s.Total(), need, need); err != nil {
		t.Error(err)
	}
	if err := fits(s.Total(), need, 0); err != nil { // the system does not say
		t.Error(err)
	}
}
