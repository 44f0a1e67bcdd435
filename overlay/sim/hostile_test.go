package sim_test

import (
	"testing"

	"kith/overlay/chord"
	"kith/overlay/kademlia"
	"kith/overlay/kbr"
	"kith/overlay/pastry"
	"kith/overlay/sim"
)

// trails is how many a wary search must do with.
const trails = 4

// besieged are the engines: where twenty Sybils may be right behind a key, a successor list must be longer than that.
func besieged() map[string]func(*kbr.Table) sim.Kind {
	c := chord.Default()
	c.Successors = 32
	return map[string]func(*kbr.Table) sim.Kind{"chord": ring(c), "pastry": prefixes(pastry.Default()), "kademlia": tree(kademlia.Default())}
}

// attacks are what is done to a network of each test.
var attacks = []struct {
	name    string
	hostile float64
	sybils  int
	eclipse bool
	attack  sim.Attack
	least   float64 // part of the searches that must be right
}{
	{name: "nobody is hostile", least: 1},
	{name: "10 % misroute", hostile: 0.1, least: 0.99},
	{name: "20 % misroute", hostile: 0.2, least: 0.99},
	{name: "30 % misroute", hostile: 0.3, least: 0.99},
	{name: "20 % drop", hostile: 0.2, attack: sim.Drop, least: 0.99},
	{name: "20 % collude", hostile: 0.2, attack: sim.Collude, least: 0.99},
	{name: "30 % collude", hostile: 0.3, attack: sim.Collude},
	{name: "20 Sybils misroute", sybils: 20, least: 0.99},
	{name: "20 Sybils collude", sybils: 20, attack: sim.Collude, least: 0.99},
	{name: "20 % and 20 Sybils collude", hostile: 0.2, sybils: 20, attack: sim.Collude},
	{name: "40 Sybils around who searches collude", sybils: 40, eclipse: true, attack: sim.Collude},
}

// What is asked of an engine under attack: 99 % of the searches find the honest owner, one node in five being hostile, or 20 Sybils around the key. The others are for the
// table in docs/overlays.md.
func TestHostile(t *testing.T) {
	nodes, lookups, networks := 1000, 300, uint64(1)
	if full {
		nodes, lookups, networks = 4000, 1000, 3
	}
	for _, a := range attacks {
		if !full && (a.least == 0 || a.hostile == 0.1 || a.hostile == 0.3) {
			continue
		}
		for name, kind := range besieged() {
			for _, wary := range []int{0, 2, trails} {
				if !full && wary != trails {
					continue
				}
				right, asked, bytes, median := 0, 0.0, 0.0, 0.0
				for seed := range networks {
					o := sim.Options{Nodes: nodes, Seed: 1 + seed, Wary: wary, Hostile: a.hostile, Sybils: a.sybils, Eclipse: a.eclipse, Attack: a.attack}
					r, err := sim.Static{Options: o, Lookups: lookups}.Run(kind, nil)
					if err != nil {
						t.Fatal(err)
					}
					n := float64(networks)
					right += r.Right
					asked, bytes, median = asked+(r.Path.Mean+r.Timeouts.Mean)/n, bytes+r.Bytes/n, median+r.Latency.P50/n
				}
				part := float64(right) / float64(lookups) / float64(networks)
				t.Logf("%s, %s, %d trails: %.2f %% right, %.1f asked, %.0f bytes, median %.0f ms", name, a.name, wary, 100*part, asked, bytes, median)
				if wary == trails && part < a.least {
					t.Errorf("%s, %s: %.2f %% right, want %.0f %%", name, a.name, 100*part, 100*a.least)
				}
			}
		}
	}
}

// One node in five leaves honest ones out of what it says in upkeep, while nodes come and go. In a ring that believes it nobody finds whoever has joined since then; one that
// doubts it is right in 99 of 100 searches.
func TestChordDoubts(t *testing.T) {
	c := chord.Config{Successors: 24, Round: 15 * kbr.Second, Repair: 1, Alternates: 1, Doubts: true}
	s := sim.Churn{
		Options: sim.Options{Nodes: 1000, Seed: 1, Wary: trails, Hostile: 0.2, Attack: sim.Lie}, Session: sim.Session{Shape: 1, Median: 60 * kbr.Minute},
		Lookups: 900, Every: 800 * kbr.Millisecond,
	}
	if full {
		s.Nodes, s.Lookups, s.Every = 4000, 3000, 400*kbr.Millisecond
	}
	for _, doubts := range []bool{true, false} {
		if c.Doubts = doubts; !doubts && !full {
			continue
		}
		r, err := s.Run(ring(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		part := float64(r.Right) / float64(r.Lookups-r.Abandoned)
		t.Logf("doubts %v: %.2f %% right, %.1f asked, %.0f bytes a node and second", doubts, 100*part, r.Path.Mean, r.Bandwidth)
		if doubts && part < 0.99 {
			t.Errorf("%.2f %% right, want 99 %%", 100*part)
		}
	}
}
