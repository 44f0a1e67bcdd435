package sim

import (
	"errors"
	"math"
	"os"
	"slices"
	"testing"

	"kith"
	"kith/overlay/sim"
)

// full runs what is in docs/search.md, in minutes.
var full = os.Getenv("KITH_SEARCH_FULL") != ""

func world(t *testing.T, o Options) *World {
	t.Helper()
	w, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// Zeilemaker et al. (P2P 2014): among 1,000 peers, flooding finds 98 % with 13,379 messages.
func TestFloodPublished(t *testing.T) {
	r := world(t, Options{Nodes: 1000, Seed: 1, Queries: 3}).Run(&Flood{})
	t.Logf("%.0f messages, published 13379; recall %.3f, published 0.98", r.Messages.Mean, r.Recall)
	if math.Abs(r.Messages.Mean/13379-1) > 0.05 || r.Recall < 0.98 {
		t.Errorf("%.0f messages, recall %.3f", r.Messages.Mean, r.Recall)
	}
}

// Twenty random ones of N peers have what exists once with a chance of 20/N.
func TestTwentyPublished(t *testing.T) {
	const nodes = 200
	r := world(t, Options{Nodes: nodes, Seed: 1, Queries: 2000}).Run(&Twenty{})
	want := twenty / float64(nodes-1)
	t.Logf("%.4f found what exists once, published %.4f", r.Once, want)
	if math.Abs(r.Once/want-1) > 0.15 { // two deviations
		t.Errorf("%.4f found what exists once, want %.4f", r.Once, want)
	}
}

// Kang et al. (P2P 2009): a search reaches 18 % of the nodes at which something was published.
func TestKadPublished(t *testing.T) {
	const nodes, tries = 100_000, 200
	n := &kadNet{seed: 1}
	for i := range uint64(nodes) {
		n.ids = append(n.ids, sim.Draw(1, forPlace, i, 0))
	}
	slices.Sort(n.ids)
	var reached, copies int
	for i := range uint64(tries) {
		key := sim.Draw(1, forName, i, 0)
		roots := n.roots(int(sim.Draw(1, forAsker, i, 0)%nodes), key)
		l := n.lookup(int(sim.Draw(1, forAsker, i, 1)%nodes), key, kadSearches)
		for range kadReached {
			if slices.Contains(roots, l.next()) {
				reached++
			}
		}
		copies += len(roots)
	}
	part := float64(reached) / float64(copies)
	t.Logf("%.3f of the copies are reached, published 0.18", part)
	if math.Abs(part/0.18-1) > 0.15 {
		t.Errorf("%.3f of the copies are reached", part)
	}
}

// What Kith's search is to be, among 200 nodes, or, in full length, as in docs/search.md. The seeds were not used while anything was chosen.
func TestTable(t *testing.T) {
	worlds := []Options{{Nodes: 200, Seed: 1959, Queries: 60, Churn: 0.2}}
	if full {
		worlds = []Options{{Nodes: 10_000, Seed: 1959, Queries: 300, Churn: 0.2}, {Nodes: 1000, Seed: 1959, Queries: 500, Churn: 0.2}}
	}
	for _, o := range worlds {
		w := world(t, o)
		t.Logf("%d nodes\n%s", o.Nodes, Heading)
		for i, way := range ways() {
			if o.Nodes > 1000 && i > 2 {
				break // the others flood, which takes long
			}
			r := w.Run(way)
			t.Log(r)
			if i == 0 && (r.Recall < 0.95 || r.Popular < 0.95 || r.Once < 0.9 || r.Messages.P50 > 30 || r.Messages.Max > 60 || r.Tenth.P50 > 150 || r.Tenth.P95 > 500 || r.Upkeep > 1000) {
				t.Errorf("that is not what it should be: %+v", r)
			}
		}
	}
}

// What spam does, without a guard and with each: among 200 nodes, or, in full length, as in docs/search.md. Guards were chosen with other seeds.
func TestSpam(t *testing.T) {
	worlds := []Options{{Nodes: 200, Seed: 1977, Queries: 60, Churn: 0.2}}
	if full {
		worlds = []Options{{Nodes: 1000, Seed: 1977, Queries: 500, Churn: 0.2}, {Nodes: 10_000, Seed: 1977, Queries: 300, Churn: 0.2}}
	}
	for _, o := range worlds {
		t.Logf("%d nodes\n%s", o.Nodes, SpamHeading)
		none := world(t, o).Run(&Kith{Guard: AllGuards})
		t.Log(none.Spam("nobody, all guards"))
		t.Log(none)
		o.Spam = 0.2
		eager := world(t, o)
		naked := eager.Run(&Kith{})
		t.Log(naked.Spam("eager, no guard"))
		if o.Nodes <= 1000 {
			t.Log(eager.Run(&Kith{Guard: Bounded}).Spam("eager, bounded"))
			t.Log(eager.Run(&Kith{Guard: Bounded | Worth}).Spam("eager, bounded, worth"))
		}
		r := eager.Run(&Kith{Guard: AllGuards})
		t.Log(r.Spam("eager, all guards"))
		if naked.Once > 0.5 || naked.Junk < 0.5 {
			t.Errorf("spam does nothing without a guard: %+v", naked)
		}
		if none.Recall-r.Recall > 0.03 || none.Popular-r.Popular > 0.03 || none.Once-r.Once > 0.03 || r.Junk > 0.05 || r.Messages.Max > 60 {
			t.Errorf("that is not what it should be: %+v\nwithout spammers %+v", r, none)
		}
		o.Spammer = Sly
		r = world(t, o).Run(&Kith{Guard: AllGuards})
		t.Log(r.Spam("sly, all guards"))
		if r.Junk > 0.05 {
			t.Errorf("that is not what it should be: %+v", r)
		}
		o.Spammer = Patient
		patient := world(t, o)
		t.Log(patient.Run(&Kith{}).Spam("patient, no guard"))
		t.Log(patient.Run(&Kith{Guard: AllGuards}).Spam("patient, all guards")) // nothing is asked of it: docs/search.md says how it is
	}
}

// What the overlay as an index of what is rare brings, and costs, in a network of several shards; and where no guide of another shard is known.
func TestRare(t *testing.T) {
	if !full {
		t.Skip("takes minutes: KITH_SEARCH_FULL=1 go test ./search/sim -run Rare -v -timeout 1h")
	}
	w := world(t, Options{Nodes: 10_000, Seed: 1960, Queries: 300, Churn: 0.2})
	t.Logf("%d nodes\n%s", w.o.Nodes, Heading)
	var once []float64
	for _, k := range []*Kith{{Rare: true}, {Alone: true, Rare: true}, {Alone: true}, {Rare: true, Always: true}, {}} {
		r := w.Run(k)
		t.Log(r)
		if once = append(once, r.Once); k.Rare {
			mean, most, bytes := k.rare.cost()
			t.Logf("%.0f keys of a node in the mean, %.0f at most, %.1f B/s when each is announced alone", mean, most, bytes)
		}
	}
	if once[0] < once[4] || once[1] < once[2]+0.3 {
		t.Errorf("the overlay does not help: %v", once)
	}
}

// ways returns all ways of searching, ours first.
func ways() []Way { return []Way{&Kith{Guard: AllGuards}, &Kad{}, &Twenty{}, &Dynamic{}, &Flood{}} }

// The same options give the same report to the bit, another seed another trace.
func TestSameSeedSameReport(t *testing.T) {
	o := Options{Nodes: 100, Seed: 1, Queries: 30, Churn: 2}
	for _, way := range append(ways(), &Kith{Rare: true}) {
		a, b := world(t, o).Run(way), world(t, o).Run(way)
		if a != b {
			t.Errorf("%+v\n%+v", a, b)
		}
		other := o
		other.Seed++
		if c := world(t, other).Run(way); c.TraceHash == a.TraceHash {
			t.Errorf("%s: two seeds have one trace", a.Way)
		}
	}
}

// What makes no sense is told so.
func TestInvalid(t *testing.T) {
	for _, o := range []Options{{}, {Nodes: MaxNodes + 1, Queries: 1}, {Nodes: 100}, {Nodes: 100, Queries: 1, Churn: -1}, {Nodes: 100, Queries: 1, Churn: math.NaN()}, {Nodes: 100, Queries: 1, Spam: 1}, {Nodes: 100, Queries: 1, Spammer: spammers}} {
		if _, err := New(o); !errors.Is(err, kith.Invalid) || kith.HintOf(err) == "" {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// What volunteers do, and what those do who say that they are some and lie: among 200 nodes, or, in full length, as in docs/search.md.
func TestVolunteers(t *testing.T) {
	o := Options{Nodes: 200, Seed: 1999, Queries: 60, Churn: 0.2}
	if full {
		o.Nodes, o.Queries = 1000, 500
	}
	t.Logf("%d nodes\n%s", o.Nodes, VolunteersHeading)
	none := world(t, o).Run(&Kith{Guard: AllGuards})
	t.Log(none.Volunteers("no volunteer"))
	for _, c := range []struct {
		what   string
		honest int
		lying  float64
		liar   Liar
	}{{"1 volunteer", 1, 0, 0}, {"5 volunteers", 5, 0, 0}, {"none, and 20 % lie: nothing", 0, 0.2, Idle}, {"5, and 20 % lie: nothing", 5, 0.2, Idle}, {"5, and 20 % lie: silent", 5, 0.2, Mute}, {"5, and 20 % lie: made up", 5, 0.2, Faker}} {
		o.Volunteers, o.Lying, o.Liar = c.honest, c.lying, c.liar
		k := &Kith{Guard: AllGuards}
		r := world(t, o).Run(k)
		most, all, honest := 0, 0, 0
		for p, n := range k.helpers.asked {
			all += n
			if k.helpers.honest[p] {
				most, honest = max(most, n), honest+n
			}
		}
		t.Logf("%s %d of %d questions to volunteers went to honest ones, %d to one of them", r.Volunteers(c.what), honest, all, most)
		if r.Recall < none.Recall-0.005 || r.Popular < none.Popular-0.01 || r.Once < none.Once-0.005 || r.Messages.P50 > none.Messages.P50+2 || r.Messages.Max > 62 {
			t.Errorf("%s is worse than without: %+v\nwithout %+v", c.what, r, none)
		}
	}
}
