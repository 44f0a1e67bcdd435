package overlaytest

import (
	"testing"

	"kith/overlay/kbr"
	"kith/overlay/sim"
)

// Alternates is one kind of overlay that chooses whom it knows by latency, of so many that fit.
type Alternates struct {
	New   func(t *kbr.Table, given, wanted int) sim.Kind // whose nodes are given a state with so many alternates, and look for others
	Quiet kbr.Ticks                                      // after which they have found them
}

// Test: alternates make recursive searches faster, whether they were given or found by upkeep, and the way no longer.
func (a Alternates) Test(t *testing.T) {
	const nodes, searches = 600, 1000
	run := func(alternates int, upkeep bool) (latency, path float64) {
		n, err := sim.New(sim.Options{Nodes: nodes, Seed: 2, Carried: true, Latency: sim.Space(200 * kbr.Millisecond)}, func(t *kbr.Table) sim.Kind {
			given := alternates
			if upkeep { // from a state without alternates, which upkeep then finds
				given = 1
			}
			return a.New(t, given, alternates)
		})
		if err != nil {
			t.Fatal(err)
		}
		n.Settle(nodes, upkeep)
		if upkeep {
			n.Run(a.Quiet, nil)
		}
		for i := range searches {
			n.Search(n.Now(), kbr.Node(1+i%nodes), kbr.Tag(i))
		}
		n.Run(n.Now()+kbr.Minute, nil)
		right := 0
		for _, r := range n.Results() {
			if r.Node == n.Owner(r.Key) {
				right++
			}
			latency += float64(r.Ended-r.Began) / float64(kbr.Millisecond) / searches
			path += float64(r.Path) / searches
		}
		if right != searches {
			t.Errorf("%d alternates, upkeep %v: %d of %d searches were right", alternates, upkeep, right, searches)
		}
		return latency, path
	}
	without, way := run(1, false)
	given, wayGiven := run(8, false)
	found, wayFound := run(8, true)
	t.Logf("without: %.0f ms, path %.2f; given: %.0f ms, path %.2f; found: %.0f ms, path %.2f", without, way, given, wayGiven, found, wayFound)
	if given > 0.85*without || found > 0.85*without {
		t.Errorf("searches take %.0f ms without alternates, %.0f with those that were given and %.0f with those that were found", without, given, found)
	}
	if wayGiven > way+0.5 || wayFound > way+0.5 {
		t.Errorf("the way is %.2f without alternates, and %.2f and %.2f with them", way, wayGiven, wayFound)
	}
}
