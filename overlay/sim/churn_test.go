package sim_test

import (
	"errors"
	"math"
	"os"
	"testing"

	"kith"
	"kith/overlay/chord"
	"kith/overlay/kbr"
	"kith/overlay/sim"
)

func churn(t *testing.T, c sim.Churn, config chord.Config) sim.Report {
	t.Helper()
	r, err := c.Run(ring(config), nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Right+r.Wrong+r.Lost+r.Abandoned != c.Lookups || float64(r.Abandoned) > 0.03*float64(c.Lookups) {
		t.Errorf("%d right, %d wrong, %d lost and %d abandoned of %d", r.Right, r.Wrong, r.Lost, r.Abandoned, c.Lookups)
	}
	return r
}

// Table III of ToN'03: about 1,000 nodes, as many of which join a second as take leave, and a search a second. Three of its rows, each a run of a fifth of the
// length, unless KITH_SIM_FULL is set. What a search asks in vain and how often one fails must not be more than published; it is less, and docs/overlays.md says why.
func TestChordTable3(t *testing.T) {
	rows, lookups := []table3{{0.05, 3.90, 0.05, 0}, {0.20, 3.81, 0.23, 5}, {0.40, 4.06, 0.46, 15}}, 2000
	if os.Getenv("KITH_SIM_FULL") != "" {
		lookups = 10_000
		rows = []table3{{0.05, 3.90, 0.05, 0}, {0.10, 3.83, 0.11, 0}, {0.15, 3.84, 0.16, 2}, {0.20, 3.81, 0.23, 5}, {0.25, 3.83, 0.30, 6}, {0.30, 3.91, 0.34, 8}, {0.35, 3.94, 0.42, 16},
			{0.40, 4.06, 0.46, 15}}
	}
	var failures, published float64
	for _, row := range rows {
		r := churn(t, sim.Churn{Options: sim.Options{Nodes: 1000, Seed: 1}, Rate: row.rate, Lookups: lookups, Every: kbr.Second}, chord.Default())
		t.Logf("%.2f a second: path %.2f, published %.2f (%+.1f %%); timeouts %.2f, published %.2f; %d of %d failed, published %.0f of 10,000", row.rate,
			r.Path.Mean, row.path, 100*(r.Path.Mean/row.path-1), r.Timeouts.Mean, row.timeouts, r.Wrong+r.Lost, lookups, row.failures)
		if off(r.Path.Mean, row.path) > far {
			t.Errorf("%.2f a second: path %.2f, published %.2f", row.rate, r.Path.Mean, row.path)
		}
		if r.Timeouts.Mean > row.timeouts*(1+far) || r.Timeouts.Mean == 0 {
			t.Errorf("%.2f a second: timeouts %.3f, published %.2f", row.rate, r.Timeouts.Mean, row.timeouts)
		}
		if got, want := float64(r.Joined), row.rate*r.Simulated; off(got, want) > 0.3 {
			t.Errorf("%.2f a second: %v joined, want about %v", row.rate, got, want)
		}
		failures += float64(r.Wrong + r.Lost)
		published += row.failures * float64(lookups) / 10_000
	}
	if failures > published*(1+far) {
		t.Errorf("%.0f searches failed, published %.0f", failures, published)
	}
}

// A table3 is a row: joins a second, and what is published of it.
type table3 struct{ rate, path, timeouts, failures float64 }

// What is asked of an engine under churn: 99.9 % of searches right where half of all sessions are shorter than an hour, 99 % at 23 minutes, and 95 % at 1.4, with
// more upkeep.
func TestChordSessions(t *testing.T) {
	for _, row := range []struct {
		median, shape float64
		round         kbr.Ticks
		right         float64
	}{{60, 1, 15, 0.999}, {23, 1, 15, 0.99}, {23, 0.5, 15, 0.99}, {1.4, 1, 5, 0.95}} {
		c := chord.Default()
		c.Round = row.round * kbr.Second
		s := sim.Session{Shape: row.shape, Median: kbr.Ticks(row.median * float64(kbr.Minute))}
		r := churn(t, sim.Churn{Options: sim.Options{Nodes: 500, Seed: 1, Latency: sim.Space(200 * kbr.Millisecond)}, Session: s, Lookups: 2000, Every: 200 * kbr.Millisecond}, c)
		right := float64(r.Right) / float64(r.Lookups-r.Abandoned)
		t.Logf("median %v min, shape %v, a round in %d s: %.2f %% right, path %.2f, timeouts %.2f, %.0f bytes a node and second, %d joined", row.median, row.shape, row.round, 100*right,
			r.Path.Mean, r.Timeouts.Mean, r.Bandwidth, r.Joined)
		if right < row.right {
			t.Errorf("median %v min, shape %v: %.2f %% right, want %.1f %%", row.median, row.shape, 100*right, 100*row.right)
		}
	}
}

func TestSameSeedSameChurn(t *testing.T) {
	c := sim.Churn{Options: sim.Options{Nodes: 100, Seed: 5, Loss: 0.01}, Session: sim.Session{Shape: 0.5, Median: 10 * kbr.Minute}, Lookups: 200, Every: kbr.Second}
	a, b := churn(t, c, chord.Default()), churn(t, c, chord.Default())
	c.Seed++
	if other := churn(t, c, chord.Default()); a.TraceHash != b.TraceHash || a.TraceHash == other.TraceHash {
		t.Errorf("traces %s and %s, with another seed %s", a.TraceHash, b.TraceHash, other.TraceHash)
	}
}

func TestInvalidChurn(t *testing.T) {
	good := sim.Churn{Options: sim.Options{Nodes: 10}, Rate: 1, Lookups: 10, Every: kbr.Second}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*sim.Churn){
		"one node":      func(c *sim.Churn) { c.Nodes = 1 },
		"no lookups":    func(c *sim.Churn) { c.Lookups = 0 },
		"at once":       func(c *sim.Churn) { c.Every = 0 },
		"both":          func(c *sim.Churn) { c.Session = sim.Session{Shape: 1, Median: kbr.Minute} },
		"neither":       func(c *sim.Churn) { c.Rate = 0 },
		"shape":         func(c *sim.Churn) { c.Rate, c.Session = 0, sim.Session{Shape: math.NaN(), Median: kbr.Minute} },
		"no session":    func(c *sim.Churn) { c.Rate, c.Session = 0, sim.Session{Shape: 1} },
		"all at once":   func(c *sim.Churn) { c.Rate = 11 },
		"backwards":     func(c *sim.Churn) { c.Rate = -1 },
		"too many join": func(c *sim.Churn) { c.Rate, c.Lookups = 10, 100_000_000 },
	} {
		c := good
		change(&c)
		if err := c.Check(); !errors.Is(err, kith.Invalid) || kith.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseChurn(t *testing.T) {
	for text, want := range map[string]struct {
		rate float64
		s    sim.Session
	}{
		"rate:0.4":               {rate: 0.4},
		"exponential:median=1h":  {s: sim.Session{Shape: 1, Median: 60 * kbr.Minute}},
		"weibull:0.5,median=23m": {s: sim.Session{Shape: 0.5, Median: 23 * kbr.Minute}},
	} {
		rate, s, err := sim.ParseChurn(text)
		if err != nil || rate != want.rate || s != want.s {
			t.Errorf("%q: %v %v %v", text, rate, s, err)
		}
	}
	for _, bad := range []string{"", "rate", "rate:x", "rate:-1", "rate:NaN", "weibull:median=3m", "weibull:0.5", "weibull:x,median=3m", "exponential:3m", "exponential:median=-3m", "pareto:median=3m"} {
		if _, _, err := sim.ParseChurn(bad); !errors.Is(err, kith.Invalid) || kith.HintOf(err) == "" {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
