package pastry_test

import (
	"testing"

	"kith/overlay/kbr"
	"kith/overlay/pastry"
	"kith/overlay/sim"
)

func network(t *testing.T, nodes int, seed uint64) (*sim.Net, *pastry.Ring) {
	t.Helper()
	var ring *pastry.Ring
	n, err := sim.New(sim.Options{Nodes: nodes, Seed: seed, Latency: sim.Space(200 * kbr.Millisecond)}, func(t *kbr.Table) sim.Kind {
		ring = pastry.New(pastry.Default(), t)
		return ring
	})
	if err != nil {
		t.Fatal(err)
	}
	return n, ring
}

// within returns how long it takes until all is as it should be, and fails the test when it takes too long.
func within(t *testing.T, n *sim.Net, limit kbr.Ticks) kbr.Ticks {
	t.Helper()
	began := n.Now()
	for n.Ideal() != nil {
		if n.Now()-began > limit {
			t.Fatalf("after %d s: %v", (n.Now()-began)/kbr.Second, n.Ideal())
		}
		n.Run(n.Now()+kbr.Second, nil)
	}
	return n.Now() - began
}

// right fails the test unless searches of all nodes end at whose the keys are.
func right(t *testing.T, n *sim.Net) {
	t.Helper()
	n.Results()
	for i, p := range n.Up() {
		n.Search(n.Now(), p, kbr.Tag(i))
	}
	n.Run(n.Now()+kbr.Minute, nil)
	results := n.Results()
	if len(results) != len(n.Up()) {
		t.Errorf("%d searches of %d ended", len(results), len(n.Up()))
	}
	for _, r := range results {
		if r.Node != n.Owner(r.Key) {
			t.Fatalf("a search ended at %d, want %d", r.Node, n.Owner(r.Key))
		}
	}
}

// Nodes that were each a ring of their own, and meet, are one ring.
func TestMeet(t *testing.T) {
	for seed := range uint64(2) {
		for _, nodes := range []int{2, 3, 12, 100} {
			n, _ := network(t, nodes, seed)
			for i := 1; i <= nodes; i++ {
				n.Start(kbr.Node(i))
				n.Run(n.Now()+300*kbr.Millisecond, nil)
				if i > 1 {
					n.Meet(kbr.Node(i), 1)
				}
			}
			took := within(t, n, 40*kbr.Minute)
			t.Logf("%d nodes: %d s", nodes, took/kbr.Second)
			right(t, n)
		}
	}
}

// Two rings that have nothing in common are one after one node of the one has met one of the other, once; or where one has one of the other in its routing table.
func TestMerge(t *testing.T) {
	const nodes = 100
	for name, touch := range map[string]func(n *sim.Net, r *pastry.Ring) bool{
		"met":   func(n *sim.Net, _ *pastry.Ring) bool { n.Meet(2, 1); return true },
		"knows": func(_ *sim.Net, r *pastry.Ring) bool { return aCell(r, nodes) },
	} {
		for seed := range uint64(1) {
			n, r := network(t, nodes, seed)
			n.Start(1)
			n.Start(2)
			for i := 3; i <= nodes; i++ {
				n.Run(n.Now()+kbr.Second, nil)
				n.Join(kbr.Node(i), kbr.Node(1+(i-1)%2))
			}
			n.Run(n.Now()+10*kbr.Minute, nil)
			if n.Ideal() == nil {
				t.Fatal("the rings are one before anybody has met")
			}
			if !touch(n, r) {
				t.Fatal("nobody has room in its routing table")
			}
			t.Logf("%s: %d s", name, within(t, n, 90*kbr.Minute)/kbr.Second)
			right(t, n)
		}
	}
}

// aCell lets one node of the first ring have one of the second in its routing table.
func aCell(r *pastry.Ring, nodes int) bool {
	for i := 1; i <= nodes; i += 2 {
		for k := 2; k <= nodes; k += 2 {
			if r.Knows(kbr.Node(i), kbr.Node(k)) {
				return true
			}
		}
	}
	return false
}

// Two halves that did not hear of each other for a while are one again by upkeep alone, whether that was so short that tables still name the others or so long that
// these are only among those who did not answer last.
func TestParted(t *testing.T) {
	for _, minutes := range []kbr.Ticks{1, 60} {
		n, _ := network(t, 100, uint64(minutes))
		n.Settle(100, true)
		n.Part(func(a, b kbr.Node) bool { return a%2 != b%2 })
		n.Run(n.Now()+minutes*kbr.Minute, nil)
		apart := n.Ideal()
		n.Part(nil)
		t.Logf("parted for %d min (%v): one after %d s", minutes, apart, within(t, n, 90*kbr.Minute)/kbr.Second)
		right(t, n)
	}
}
