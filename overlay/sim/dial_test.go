package sim_test

import (
	"testing"

	"kith/overlay/chord"
	"kith/overlay/kbr"
	"kith/overlay/sim"
)

// The first question to a node waits for a connection, and who is gone is noticed when that is closed.
func TestDials(t *testing.T) {
	n, err := sim.New(sim.Options{Nodes: 2, Seed: 1, Dials: true}, ring(chord.Default()))
	if err != nil {
		t.Fatal(err)
	}
	n.Settle(2, false)
	search := func(tag kbr.Tag) kbr.Result {
		n.SearchFor(1, n.Table.ID(2), tag)
		n.Run(n.Now()+10*kbr.Second, nil)
		all := n.Results()
		if len(all) != 1 {
			t.Fatalf("%d searches have ended", len(all))
		}
		return all[0]
	}
	for i, want := range []kbr.Ticks{300 * kbr.Millisecond, 100 * kbr.Millisecond} {
		if r := search(kbr.Tag(i)); r.Node != 2 || r.Ended-r.Began != want {
			t.Errorf("search %d ended at %d after %d µs, want 2 after %d", i, r.Node, r.Ended-r.Began, want)
		}
	}
	n.Crash(2)
	n.Run(n.Now()+30*kbr.Second, nil)
	if r := search(2); n.Connected(1, 2) || r.Node != 1 || r.Timeouts != 0 {
		t.Errorf("a search ended at %d and asked %d in vain, connected %v", r.Node, r.Timeouts, n.Connected(1, 2))
	}
}
