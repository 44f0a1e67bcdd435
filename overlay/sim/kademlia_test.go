package sim_test

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"kith/overlay/kademlia"
	"kith/overlay/kbr"
	"kith/overlay/sim"
)

func tree(c kademlia.Config) func(*kbr.Table) sim.Kind {
	return func(t *kbr.Table) sim.Kind { return kademlia.New(c, t) }
}

// oneWay is the XOR geometry as it is: one contact for each bit.
func oneWay() kademlia.Config {
	c := kademlia.Default()
	c.K, c.Alpha, c.Beta, c.Tell, c.Cache = 1, 1, 1, 1, 0
	return c
}

func runTree(t *testing.T, s sim.Static, c kademlia.Config) sim.Report {
	t.Helper()
	r, err := s.Run(tree(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Static resilience of the XOR geometry (Gummadi et al., "The Impact of DHT Routing Geometry on Resilience and Proximity", SIGCOMM 2003): 65,536 nodes, one contact
// for each bit, recursive searches for nodes that are up, nothing is mended. The path is 7.7 long there in the mean, 8 in the median and 10 in the 90th
// percentile, which is 9 of 16,384 nodes; these run with -short. The part of the ways that fail is held to what the geometry gives, worked out apart from
// the engine, and not to the 20 % at 30 % of the nodes that is published: docs/overlays.md says more.
func TestKademliaStaticResilience(t *testing.T) {
	nodes, mean, median, p90, lookups, networks := 65_536, 7.7, 8.0, 10.0, 6000, 1
	if testing.Short() { // one step less, as many nodes in all
		nodes, mean, median, p90, lookups, networks = 16_384, 7.7-1, 7, 9, 1500, 4
	}
	if full {
		lookups = 20_000
	}
	for _, fail := range []float64{0, 0.1, 0.3, 0.5} {
		var r sim.Report
		failed := 1.0
		want, _ := geometry(nodes, 48, fail)
		for seed := range uint64(networks) {
			r = runTree(t, sim.Static{Options: sim.Options{Nodes: nodes, Seed: 1 + seed, Carried: true, Nodewise: true}, Lookups: lookups, Fail: fail}, oneWay())
			failed -= float64(r.Right) / float64(lookups*networks)
		}
		t.Logf("%d nodes, %.0f %% failed: path %.2f, median %.0f, 90th percentile %.0f; %.1f %% of the ways fail, predicted %.1f %%", nodes, 100*fail, r.Path.Mean, r.Path.P50, r.Path.P90, 100*failed, 100*want)
		if fail == 0 {
			if failed > 1e-9 || off(r.Path.Mean, mean) > far || off(r.Path.P50, median) > far || off(r.Path.P90, p90) > far {
				t.Errorf("%.3f failed, path %.2f, median %.0f, 90th percentile %.0f; published %.1f, %.0f and %.0f", failed, r.Path.Mean, r.Path.P50, r.Path.P90, mean, median, p90)
			}
		} else if off(failed, want) > far {
			t.Errorf("%.0f %% failed: %.3f of the ways fail, want %.3f", 100*fail, failed, want)
		}
	}
}

// What is published of the XOR geometry is near what it gives where 65,536 nodes draw places of sixteen bits, so that a third of the places has several nodes, any of
// which does.
func TestSharedPlaces(t *testing.T) {
	_, path := geometry(65_536, 16, 0)
	failed, _ := geometry(65_536, 16, 0.3)
	t.Logf("places of 16 bits: path %.2f, published 7.7; with 30 %% failed %.1f %% of the ways fail, published about 20", path, 100*failed)
	if off(path, 7.7) > 0.02 || off(failed, 0.2) > far {
		t.Errorf("path %.2f, and %.3f of the ways fail", path, failed)
	}
}

// geometry returns which part of the ways between two live nodes fails, and the mean length of the others, where nodes are at random places of so many bits, a part of them is
// dead, and each knows one random place of each subtree beside its own. Nodes at one place stand in for each other.
func geometry(nodes, length int, dead float64) (failed, path float64) {
	const ways = 20_000
	rnd := rand.New(rand.NewPCG(1, 2))
	places, alive := make([]uint64, nodes), map[uint64]bool{}
	for i := range places {
		places[i] = rnd.Uint64() >> (64 - length)
		alive[places[i]] = rnd.Float64() >= dead || alive[places[i]]
	}
	slices.Sort(places)
	places = slices.Compact(places)
	live := func() uint64 {
		for {
			if p := places[rnd.IntN(len(places))]; alive[p] {
				return p
			}
		}
	}
	contacts := map[[2]uint64]uint64{}
	contact := func(at, bit uint64) uint64 { // itself if there is none
		c, ok := contacts[[2]uint64{at, bit}]
		if !ok {
			first := (at ^ bit) &^ (bit - 1)
			lo, _ := slices.BinarySearch(places, first)
			hi, _ := slices.BinarySearch(places, first+bit)
			if c = at; lo < hi {
				c = places[lo+rnd.IntN(hi-lo)]
			}
			contacts[[2]uint64{at, bit}] = c
		}
		return c
	}
	hops, lost := 0, 0
	for range ways {
		at, to, steps := live(), live(), 0
		for next := at; at != to; at = next {
			for far := at ^ to; far != 0 && next == at; { // the highest bit first
				bit := uint64(1) << (bits.Len64(far) - 1)
				far ^= bit
				if c := contact(at, bit); alive[c] {
					next = c
				}
			}
			if next == at {
				lost++
				steps = 0
				break
			}
			steps++
		}
		hops += steps
	}
	return float64(lost) / ways, float64(hops) / float64(ways-lost)
}

// The curve of S/Kademlia (Baumgart and Mies, ICPADS 2007): 10,000 nodes, buckets of 16, searches for nodes on d disjoint paths, of which each is lost with the first
// hostile node on it. What is expected is their formula, the sum over the lengths i of a path of h(i) * (1 - (1-(1-m)^i)^d), with the lengths that
// one path has here; the node that is searched for does not count, since it is honest.
func TestSKademlia(t *testing.T) {
	nodes, lookups, hostile := 4000, 1000, []float64{0.1, 0.2, 0.4}
	if os.Getenv("KITH_SIM_FULL") != "" {
		nodes, lookups, hostile = 10_000, 10_000, []float64{0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9}
	}
	c := kademlia.Default()
	c.K, c.Tell, c.Alpha, c.Beta = 16, 16, 1, 1
	o := sim.Options{Nodes: nodes, Seed: 1, Nodewise: true}
	lengths := runTree(t, sim.Static{Options: o, Lookups: lookups}, c).Hops
	for _, d := range []int{1, 2, 4, 8} {
		for _, m := range hostile {
			c.Paths, o.Hostile = d, m
			r := runTree(t, sim.Static{Options: o, Lookups: lookups}, c)
			want := 0.0
			for i, n := range lengths {
				want += float64(n) / float64(lookups) * (1 - math.Pow(1-math.Pow(1-m, float64(max(0, i-1))), float64(d)))
			}
			got := float64(r.Right) / float64(lookups)
			t.Logf("d = %d, %.0f %% hostile: %.1f %% right, by the formula %.1f %% (%+.1f %%); %.2f asked, %.0f bytes", d, 100*m, 100*got, 100*want, 100*(got/want-1), r.Path.Mean, r.Bytes)
			if m <= 0.5 && off(got, want) > far {
				t.Errorf("d = %d, %.0f %% hostile: %.3f right, want %.3f", d, 100*m, got, want)
			}
			if d == 8 && m == 0.2 && got < 0.99 {
				t.Errorf("20 %% hostile, eight paths: %.3f right, published 99 %%", got)
			}
		}
	}
}

// One node in five is hostile: with four paths 99 % of the searches for any key find whose it is among the honest.
func TestKademliaHostile(t *testing.T) {
	c := kademlia.Default()
	c.Paths = 4
	for attack, name := range []string{"misroutes", "drops"} {
		r := runTree(t, sim.Static{Options: sim.Options{Nodes: 4000, Seed: 1, Hostile: 0.2, Attack: sim.Attack(attack)}, Lookups: 1000}, c)
		t.Logf("it %s: %d of %d right, %d wrong, %d lost", name, r.Right, r.Lookups, r.Wrong, r.Lost)
		if r.Right < 990 {
			t.Errorf("it %s: %d of %d right", name, r.Right, r.Lookups)
		}
	}
}

// What is asked of an engine under churn, as of Chord.
func TestKademliaSessions(t *testing.T) {
	for _, row := range []struct {
		median, shape float64
		round         kbr.Ticks
		right         float64
	}{{60, 1, 15, 0.999}, {23, 1, 15, 0.99}, {23, 0.5, 15, 0.99}, {1.4, 1, 5, 0.95}} {
		c := kademlia.Default()
		c.Alpha, c.Beta = 1, 1
		c.Round = row.round * kbr.Second
		s := sim.Session{Shape: row.shape, Median: kbr.Ticks(row.median * float64(kbr.Minute))}
		r, err := sim.Churn{Options: sim.Options{Nodes: 500, Seed: 1, Latency: sim.Space(200 * kbr.Millisecond)}, Session: s, Lookups: 2000, Every: 200 * kbr.Millisecond}.Run(tree(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		right := float64(r.Right) / float64(r.Lookups-r.Abandoned)
		t.Logf("median %v min, shape %v, a round in %d s: %.2f %% right, path %.2f, timeouts %.2f, median %.0f ms, %.0f bytes a node and second, %d joined", row.median, row.shape, row.round,
			100*right, r.Path.Mean, r.Timeouts.Mean, r.Latency.P50, r.Bandwidth, r.Joined)
		if right < row.right {
			t.Errorf("median %v min, shape %v: %.2f %% right, want %.1f %%", row.median, row.shape, 100*right, 100*row.right)
		}
	}
}
