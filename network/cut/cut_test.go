package cut

import (
	"fmt"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

var t0 = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)

func id(i int) peer.ID { return peer.ID(fmt.Sprint("peer ", i)) }

// Peers who leave one by one are let go; a quarter of them within a minute, and two at least, are looked for.
func TestWhatIsACut(t *testing.T) {
	for _, c := range []struct {
		what       string
		lost, stay int
		every      time.Duration
		cut        bool
	}{
		{"half of twenty", 10, 9, 0, true},
		{"a quarter", 5, 15, time.Second, true},
		{"a few of many", 5, 60, 0, false},
		{"one of two", 1, 1, 0, false},
		{"both of two", 2, 0, 0, true},
		{"all, but over hours", 20, 4, 10 * time.Minute, false},
	} {
		var w Watch
		now := t0
		for i := range c.lost {
			w.Gone(id(i), c.stay+c.lost-i-1, now)
			now = now.Add(c.every)
		}
		if got := !w.Next().IsZero(); got != c.cut {
			t.Errorf("%s: a cut: %v", c.what, got)
		}
	}
}

// Those beyond the cut are dialled every ten seconds, each in its turn, ever more rarely later, and at last not any more; who is back is left alone.
func TestWhoIsDialled(t *testing.T) {
	var w Watch
	const n = 40
	for i := range n {
		w.Gone(id(i), n-i-1, t0)
	}
	tried := map[peer.ID]int{}
	rounds := 0
	for now := t0; now.Before(t0.Add(lately)); now = w.Next() {
		for _, p := range w.Due(now) {
			tried[p]++
		}
		rounds++
	}
	if want := int(lately / again); rounds < want*3/4 || rounds > want*3/2 {
		t.Errorf("%d rounds in %v", rounds, lately)
	}
	for i := range n {
		if k := tried[id(i)]; k < rounds*round/n-2 || k > rounds*round/n+2 {
			t.Errorf("peer %d was dialled %d times in %d rounds", i, k, rounds)
		}
	}
	for i := range n - 1 {
		w.Back(id(i))
	}
	if due := w.Due(w.Next()); len(due) != 1 || due[0] != id(n-1) {
		t.Errorf("with one missing, %v are dialled", due)
	}
	rounds = 0
	for now := w.Next(); !now.IsZero() && rounds < 10000; now = w.Next() {
		w.Due(now)
		rounds++
	}
	if rounds > 500 || !w.Next().IsZero() {
		t.Errorf("for a day one was dialled %d times", rounds)
	}
	for i := range 1000 {
		w.Gone(id(i), 0, t0)
	}
	if len(w.missing) > maxMissing || len(w.lost) > maxMissing {
		t.Errorf("%d are missing, %d lost", len(w.missing), len(w.lost))
	}
}
