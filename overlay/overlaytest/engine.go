package overlaytest

import (
	"testing"

	"kith/overlay/kbr"
	"kith/overlay/sim"
)

// Engines is one kind of overlay as pure engines, which are put into simulated networks.
type Engines struct {
	New   func(*kbr.Table) sim.Kind
	Plain func(*kbr.Table) sim.Kind // as New, with searches that ask one node at a time and are over with the first end; nil if those of New do
	Quiet kbr.Ticks                 // after which upkeep has mended all, however it was before
}

// small is how large networks are in which all is checked after every event.
const small = 60

// Test runs the suite.
func (e Engines) Test(t *testing.T) {
	t.Run("lookups", e.lookups)
	t.Run("carried", e.carried)
	t.Run("join", e.join)
	t.Run("crowd", e.crowd)
	t.Run("failures", e.failures)
	t.Run("half", e.half)
	t.Run("come back", e.comeBack)
	t.Run("loss", e.loss)
	t.Run("churn", e.churn)
	t.Run("same seed", e.sameSeed)
	t.Run("sizes", e.sizes)
}

func (e Engines) net(t *testing.T, o sim.Options) *sim.Net {
	t.Helper()
	n, err := sim.New(o, e.New)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// plain returns the suite for plain searches.
func (e Engines) plain() Engines {
	if e.Plain != nil {
		e.New = e.Plain
	}
	return e
}

// search lets nodes that are up search for count keys, and fails the test unless each search ends at whose the key is.
func search(t *testing.T, n *sim.Net, count int) (results []kbr.Result) {
	t.Helper()
	n.Results()
	up := n.Up()
	for i := range count {
		n.Search(n.Now(), up[i*7919%len(up)], kbr.Tag(i))
	}
	for range 60 {
		n.Run(n.Now()+kbr.Second, nil)
		results = append(results, n.Results()...)
	}
	if len(results) != count {
		t.Errorf("%d of %d searches ended", len(results), count)
	}
	for _, r := range results {
		if want := n.Owner(r.Key); r.Node != want {
			t.Errorf("a search of node %d for %v ended at node %d, want %d", r.Self, r.Key, r.Node, want)
			return results
		}
	}
	return results
}

// audited lets time pass, and fails the test as soon as something does not hold that must.
func audited(t *testing.T, n *sim.Net, d kbr.Ticks) {
	t.Helper()
	until := n.Now() + d
	var err error
	n.Run(until, func() bool {
		err = n.Audit()
		return err == nil
	})
	if err != nil {
		t.Fatalf("at %d ms: %v", n.Now()/kbr.Millisecond, err)
	}
}

// lookups: in networks at rest of any size every search is right, and takes no time limit.
func (e Engines) lookups(t *testing.T) {
	for _, nodes := range []int{1, 2, 3, 5, 21, 22, 100, 1000} {
		n := e.net(t, sim.Options{Nodes: nodes, Seed: uint64(nodes)})
		n.Settle(nodes, false)
		if err := n.Audit(); err != nil {
			t.Errorf("%d nodes: %v", nodes, err)
		}
		if err := n.Ideal(); err != nil {
			t.Errorf("%d nodes: %v", nodes, err)
		}
		for _, r := range search(t, n, 500) {
			if r.Timeouts > 0 {
				t.Errorf("%d nodes: a search asked %d in vain", nodes, r.Timeouts)
				break
			}
		}
	}
}

// carried: recursive searches are right too, in networks at rest of any size and after a third of the nodes has failed, and the way is as long.
func (e Engines) carried(t *testing.T) {
	for _, nodes := range []int{1, 2, 3, 22, 1000} {
		var mean [2]float64
		for i := range mean {
			n := e.plain().net(t, sim.Options{Nodes: nodes, Seed: uint64(nodes), Carried: i == 1})
			n.Settle(nodes, false)
			for _, r := range search(t, n, 500) {
				mean[i] += float64(r.Path) / 500
				if r.Timeouts > 0 {
					t.Fatalf("%d nodes: a search asked %d in vain", nodes, r.Timeouts)
				}
			}
		}
		if d := mean[1] - mean[0]; d > 0.2 || d < -0.2 {
			t.Errorf("%d nodes: iterative searches ask %.2f, recursive ones %.2f", nodes, mean[0], mean[1])
		}
	}
	n := e.net(t, sim.Options{Nodes: 1000, Seed: 8, Carried: true, Silent: true, Latency: sim.Space(200 * kbr.Millisecond)})
	n.Settle(1000, false)
	n.Fail(0.33)
	search(t, n, 500)
}

// join: nodes that join one after the other end up as in a network at rest.
func (e Engines) join(t *testing.T) {
	for _, nodes := range []int{2, 3, 40} {
		n := e.net(t, sim.Options{Nodes: nodes, Seed: 3, Latency: sim.Space(200 * kbr.Millisecond)})
		n.Start(1)
		for i := 2; i <= nodes; i++ {
			n.Run(n.Now()+5*kbr.Second, nil)
			n.Join(kbr.Node(i), kbr.Node(i/2))
		}
		n.Run(n.Now()+e.Quiet, nil)
		if err := n.Ideal(); err != nil {
			t.Errorf("%d nodes: %v", nodes, err)
		}
		search(t, n, 500)
	}
}

// grown returns a network with room for more nodes, of which the first have joined and are at rest.
func (e Engines) grown(t *testing.T, seed uint64, nodes, room int) *sim.Net {
	t.Helper()
	n := e.net(t, sim.Options{Nodes: room, Seed: seed, Latency: sim.Space(200 * kbr.Millisecond)})
	n.Start(1)
	for i := 2; i <= nodes; i++ {
		n.Join(kbr.Node(i), kbr.Node(i/2))
		n.Run(n.Now()+kbr.Second, nil)
	}
	n.Run(n.Now()+e.Quiet, nil)
	if err := n.Ideal(); err != nil {
		t.Fatal(err)
	}
	return n
}

// crowd: when as many again join in one moment, what must hold holds after every event, and in the end all is as it should be.
func (e Engines) crowd(t *testing.T) {
	n := e.grown(t, 4, small/2, small)
	for i := small/2 + 1; i <= small; i++ {
		n.Join(kbr.Node(i), kbr.Node(1+i%3))
	}
	audited(t, n, e.Quiet)
	if err := n.Ideal(); err != nil {
		t.Error(err)
	}
	search(t, n, 500)
}

// failures: when a third of the nodes fails at once, what must hold holds, searches are right at once, and all is mended in the end.
func (e Engines) failures(t *testing.T) {
	n := e.grown(t, 5, small, small)
	if got := n.Fail(0.33); got != 20 {
		t.Fatalf("%d nodes failed", got)
	}
	if err := n.Audit(); err != nil {
		t.Fatal(err)
	}
	search(t, n, 200)
	audited(t, n, e.Quiet)
	if err := n.Ideal(); err != nil {
		t.Error(err)
	}
	vain := 0
	for _, r := range search(t, n, 500) {
		vain += r.Timeouts
	}
	if vain > 10 { // a few are asked that are farther away than any before
		t.Errorf("500 searches asked %d in vain, after all was mended", vain)
	}
}

// half: five minutes after half of a thousand nodes have crashed at once, every search is right, and few are asked in vain.
func (e Engines) half(t *testing.T) {
	n := e.plain().net(t, sim.Options{Nodes: 1000, Seed: 9, Latency: sim.Space(200 * kbr.Millisecond)})
	n.Settle(1000, true)
	n.Run(n.Now()+kbr.Minute, nil)
	if n.Fail(0.5) != 500 {
		t.Fatal("not half")
	}
	n.Run(n.Now()+5*kbr.Minute, nil)
	if err := n.Audit(); err != nil {
		t.Error(err)
	}
	vain := 0
	for _, r := range search(t, n, 1000) {
		vain += r.Timeouts
	}
	if vain > 300 { // successor lists still name some of the dead at their far ends
		t.Errorf("1000 searches asked %d in vain", vain)
	}
}

// comeBack: nodes that were away for a moment, and for long, are members as before.
func (e Engines) comeBack(t *testing.T) {
	n := e.grown(t, 6, small, small)
	for i := 10; i < 16; i++ {
		n.Crash(kbr.Node(i))
	}
	n.Run(n.Now()+kbr.Second, nil)
	for i := 10; i < 13; i++ {
		n.Join(kbr.Node(i), 1)
	}
	audited(t, n, e.Quiet)
	for i := 13; i < 16; i++ {
		n.Join(kbr.Node(i), 2)
	}
	audited(t, n, e.Quiet)
	if err := n.Ideal(); err != nil {
		t.Error(err)
	}
	search(t, n, 200)
}

// loss: where one message in twenty is lost, nobody is taken for gone for long, and hardly a search goes wrong, iterative or recursive.
func (e Engines) loss(t *testing.T) {
	for _, carried := range []bool{false, true} {
		n := e.net(t, sim.Options{Nodes: 200, Seed: 11, Loss: 0.05, Carried: carried, Latency: sim.Space(200 * kbr.Millisecond)})
		n.Settle(200, true)
		n.Run(n.Now()+10*kbr.Minute, nil)
		if err := n.Audit(); err != nil {
			t.Error(err)
		}
		right, lost := 0, 0
		for i := range 1000 {
			n.Search(n.Now(), n.Up()[i%200], kbr.Tag(i))
		}
		n.Run(n.Now()+kbr.Minute, nil)
		for _, r := range n.Results() {
			switch r.Node {
			case n.Owner(r.Key):
				right++
			case kbr.None:
				lost++
			}
		}
		if right < 990 {
			t.Errorf("recursive %v: %d of 1000 searches were right, %d ended nowhere", carried, right, lost)
		}
	}
}

// churn: nodes crash and come back every ten seconds, and what must hold holds after every event.
func (e Engines) churn(t *testing.T) {
	for seed := range uint64(3) {
		n := e.grown(t, seed, small, small)
		for i := range 200 {
			p := kbr.Node(2 + i*37%(small-1))
			n.Crash(p)
			audited(t, n, 3*kbr.Second)
			n.Join(p, 1)
			audited(t, n, 7*kbr.Second)
		}
		audited(t, n, e.Quiet)
		if err := n.Ideal(); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		search(t, n, 200)
	}
}

// sameSeed: the same seed gives the same run, another one another.
func (e Engines) sameSeed(t *testing.T) {
	run := func(seed uint64) uint64 {
		n := e.net(t, sim.Options{Nodes: 50, Seed: seed, Latency: sim.Space(200 * kbr.Millisecond), Loss: 0.01})
		n.Start(1)
		for i := 2; i <= 50; i++ {
			n.Join(kbr.Node(i), 1)
			n.Run(n.Now()+kbr.Second, nil)
			n.Search(n.Now(), kbr.Node(i/2), kbr.Tag(i))
		}
		n.Fail(0.2)
		n.Run(n.Now()+5*kbr.Minute, nil)
		return n.TraceHash()
	}
	a, b, c := run(1), run(1), run(2)
	if a != b {
		t.Errorf("one seed gave %x and %x", a, b)
	}
	if a == c {
		t.Errorf("two seeds gave %x", a)
	}
}

// sizes: ten times the nodes are a few steps more.
func (e Engines) sizes(t *testing.T) {
	mean := func(nodes int) (sum float64) {
		n := e.net(t, sim.Options{Nodes: nodes, Seed: 7})
		n.Settle(nodes, false)
		results := search(t, n, 1000)
		for _, r := range results {
			sum += float64(r.Path) / float64(len(results))
		}
		return sum
	}
	if few, many := mean(400), mean(4000); many > few+2 {
		t.Errorf("a search asks %.2f of 400 nodes, and %.2f of 4000", few, many)
	}
}
