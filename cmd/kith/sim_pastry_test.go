package main

import (
	"strings"
	"testing"

	"kith"
)

func TestSimPastry(t *testing.T) {
	few := []string{"pastry", "--nodes", "200", "--lookups", "300", "--fail", "0.3"}
	a, b, c := simulateJSON(t, few...), simulateJSON(t, few...), simulateJSON(t, append(few, "--b", "2", "--leafs", "8", "--neighbours", "0", "--recursive")...)
	if a.Engine != "pastry" || a.Nodes != 200 || a.Failed != 60 || a.Right != 300 || a.Path.Mean < 1 || a.Timeouts.Mean == 0 {
		t.Errorf("%+v", a)
	}
	if a.TraceHash != b.TraceHash || a.TraceHash == c.TraceHash || len(a.TraceHash) != 16 {
		t.Errorf("traces %s, %s, and with other flags %s", a.TraceHash, b.TraceHash, c.TraceHash)
	}
	if c.Path.Mean < a.Path.Mean+0.5 {
		t.Errorf("path %.2f with digits of two bits, %.2f with four", c.Path.Mean, a.Path.Mean)
	}
	out, errs, exit := simulate(t, few...)
	if exit != 0 || errs != "" || !strings.Contains(out, "pastry, 200 nodes, of which 60 failed") || !strings.Contains(out, "trace "+a.TraceHash) {
		t.Errorf("ended with %d: %s%s", exit, out, errs)
	}
}

func TestSimPastryChurn(t *testing.T) {
	o := simulateJSON(t, "pastry", "--nodes", "100", "--churn", "exponential:median=10m", "--hours", "0.1", "--latency", "3d")
	if o.Lookups != 360 || o.Joined < 20 || o.Failed != o.Joined || o.Right < 350 || o.Bandwidth == 0 {
		t.Errorf("%+v", o)
	}
}

func TestSimPastryMakesNoSense(t *testing.T) {
	for _, args := range []string{"--b 0", "--b 6", "--leafs 0", "--leafs 5", "--leafs 34", "--neighbours -1", "--neighbours 33", "--round 1ms", "--probes 0", "--successors 8", "--fail 1"} {
		out, errs, exit := simulate(t, append([]string{"pastry"}, strings.Fields(args)...)...)
		if exit != kith.Invalid.ExitCode() || out != "" || len(strings.Split(strings.TrimSpace(errs), "\n")) < 2 {
			t.Errorf("%s ended with %d: %s%s", args, exit, out, errs)
		}
	}
}
