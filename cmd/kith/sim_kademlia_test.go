package main

import (
	"strings"
	"testing"

	"kith"
)

func TestSimKademlia(t *testing.T) {
	few := []string{"kademlia", "--nodes", "200", "--lookups", "300", "--fail", "0.3"}
	a, b, c := simulateJSON(t, few...), simulateJSON(t, few...), simulateJSON(t, append(few, "--alpha", "1", "--beta", "1", "--recursive", "--nodewise")...)
	if a.Engine != "kademlia" || a.Nodes != 200 || a.Failed != 60 || a.Right != 300 || a.Path.Mean < 1 || a.Timeouts.Mean == 0 {
		t.Errorf("%+v", a)
	}
	if a.TraceHash != b.TraceHash || a.TraceHash == c.TraceHash || len(a.TraceHash) != 16 {
		t.Errorf("traces %s, %s, and with other flags %s", a.TraceHash, b.TraceHash, c.TraceHash)
	}
	if c.Right < 290 || c.Path.Mean > a.Path.Mean-1 {
		t.Errorf("one at a time, %d are right, and the path is %.2f; three at a time it is %.2f", c.Right, c.Path.Mean, a.Path.Mean)
	}
	out, errs, exit := simulate(t, few...)
	if exit != 0 || errs != "" || !strings.Contains(out, "kademlia, 200 nodes, of which 60 failed") || !strings.Contains(out, "trace "+a.TraceHash) {
		t.Errorf("ended with %d: %s%s", exit, out, errs)
	}
}

// Hostile nodes make searches go wrong, and disjoint paths make them right again.
func TestSimKademliaHostile(t *testing.T) {
	few := []string{"kademlia", "--nodes", "1000", "--lookups", "300", "--hostile", "0.3", "--alpha", "1", "--beta", "1", "--nodewise"}
	one, four, drop := simulateJSON(t, few...), simulateJSON(t, append(few, "--paths", "4")...), simulateJSON(t, append(few, "--attack", "drop")...)
	if one.Right > 270 || four.Right < 280 || drop.Right != 300 || drop.Timeouts.Mean == 0 || one.Timeouts.Mean > 0 {
		t.Errorf("%d of 300 are right on one path, %d on four, and %d where they do not answer", one.Right, four.Right, drop.Right)
	}
}

func TestSimKademliaChurn(t *testing.T) {
	o := simulateJSON(t, "kademlia", "--nodes", "100", "--churn", "exponential:median=10m", "--hours", "0.1", "--latency", "3d")
	if o.Lookups != 360 || o.Joined < 20 || o.Failed != o.Joined || o.Right < 350 || o.Bandwidth == 0 {
		t.Errorf("%+v", o)
	}
}

func TestSimKademliaMakesNoSense(t *testing.T) {
	for _, args := range []string{"--k 0", "--k 33", "--alpha 0", "--alpha 17", "--beta 0", "--beta 33", "--k 4 --beta 5", "--tell 0", "--cache -1", "--round 1ms", "--refresh 1s", "--alternates 0",
		"--paths 0", "--paths 9",
		"--successors 8", "--fail 1", "--hostile 1", "--hostile -0.1", "--attack drop", "--hostile 0.2 --attack nothing", "--sybils 1000", "--eclipse", "--wary 9", "--wary 4 --recursive", "--non-transitive 1"} {
		out, errs, exit := simulate(t, append([]string{"kademlia"}, strings.Fields(args)...)...)
		if exit != kith.Invalid.ExitCode() || out != "" || len(strings.Split(strings.TrimSpace(errs), "\n")) < 2 {
			t.Errorf("%s ended with %d: %s%s", args, exit, out, errs)
		}
	}
}
