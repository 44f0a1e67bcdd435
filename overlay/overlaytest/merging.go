package overlaytest

import (
	"testing"

	"kith/overlay/kbr"
	"kith/overlay/sim"
)

// Merging makes one kind of overlay whose networks grow together, perhaps another one for each seed.
type Merging func(seed uint64, t *kbr.Table) sim.Kind

// Test runs the suite.
func (m Merging) Test(t *testing.T) {
	t.Run("meet", m.meet)
	t.Run("merge", m.merge)
}

func (m Merging) apart(t *testing.T, nodes int, seed uint64) *sim.Net {
	t.Helper()
	n, err := sim.New(sim.Options{Nodes: nodes, Seed: seed, Latency: sim.Space(200 * kbr.Millisecond)}, func(t *kbr.Table) sim.Kind { return m(seed, t) })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// untilIdeal returns how long it takes until the network is as it should be, and fails the test when it takes too long.
func untilIdeal(t *testing.T, n *sim.Net, limit kbr.Ticks, each func()) kbr.Ticks {
	t.Helper()
	began := n.Now()
	for n.Ideal() != nil {
		if n.Now()-began > limit {
			t.Fatalf("after %d s: %v", (n.Now()-began)/kbr.Second, n.Ideal())
		}
		each()
		n.Run(n.Now()+kbr.Second, nil)
	}
	return n.Now() - began
}

// meet: nodes that were each a network of their own, and meet, are one.
func (m Merging) meet(t *testing.T) {
	for seed := range uint64(5) {
		for _, nodes := range []int{2, 3, 12, 100} {
			n := m.apart(t, nodes, seed)
			for i := 1; i <= nodes; i++ {
				n.Start(kbr.Node(i))
				n.Run(n.Now()+300*kbr.Millisecond, nil)
				if i > 1 {
					n.Meet(kbr.Node(i), 1)
					n.Meet(1, kbr.Node(i))
				}
			}
			took := untilIdeal(t, n, 40*kbr.Minute, func() {})
			t.Logf("%d nodes: %d s", nodes, took/kbr.Second)
		}
	}
}

// merge: two networks that have nothing in common are one when some of the one have met some of the other, or when the same two meet now and then.
func (m Merging) merge(t *testing.T) {
	for seed := range uint64(3) {
		for name, meet := range map[string]func(n *sim.Net, i int){
			"all":  func(n *sim.Net, i int) { n.Meet(kbr.Node(1+i*7%200), kbr.Node(1+(i*11+1)%200)) },
			"two":  func(n *sim.Net, i int) { meetEvery(n, i, 60) },
			"once": func(n *sim.Net, i int) { meetEvery(n, i, 1<<30) },
		} {
			n := m.apart(t, 200, seed)
			n.Start(1)
			n.Start(2)
			for i := 3; i <= 200; i++ {
				n.Run(n.Now()+kbr.Second, nil)
				n.Join(kbr.Node(i), kbr.Node(1+(i-1)%2))
			}
			n.Run(n.Now()+10*kbr.Minute, nil)
			if n.Ideal() == nil {
				t.Fatal("the networks are one before anybody has met")
			}
			i := 0
			took := untilIdeal(t, n, 90*kbr.Minute, func() { meet(n, i); i++ })
			t.Logf("%s: %d s", name, took/kbr.Second)
			n.Results()
			for i := range 500 {
				n.Search(n.Now(), kbr.Node(1+i%200), kbr.Tag(i))
			}
			n.Run(n.Now()+kbr.Minute, nil)
			for _, r := range n.Results() {
				if r.Node != n.Owner(r.Key) {
					t.Fatalf("%s: a search ended at %d, want %d", name, r.Node, n.Owner(r.Key))
				}
			}
		}
	}
}

// meetEvery lets node 2 hear of node 1 now and then.
func meetEvery(n *sim.Net, i, every int) {
	if i%every == 0 {
		n.Meet(2, 1)
	}
}
