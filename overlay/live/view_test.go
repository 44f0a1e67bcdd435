package live_test

import (
	"slices"
	"testing"
	"time"

	libnet "github.com/libp2p/go-libp2p/core/network"

	"kith/overlay"
	"kith/overlay/live"
)

// Of who is asked and does not answer a search says so, and goes on to its end.
func TestSearchSilent(t *testing.T) {
	all := crew(t, "kademlia", 4)
	a, b := all[1], all[3]
	until(t, "they know each other", func() bool { return a.Size() == 3 })
	hung := func(s libnet.Stream) {
		<-t.Context().Done()
		s.Reset()
	}
	b.net.Host().SetStreamHandler(live.Protocol(b.net.Name(), "kademlia"), hung)
	var steps []overlay.Step
	for s, err := range a.Router.Search(t.Context(), overlay.Target{Key: []byte(b.Info.ID)}) {
		if err != nil {
			t.Fatal(err)
		}
		steps = append(steps, s)
	}
	said := func(what overlay.What) func(overlay.Step) bool {
		return func(s overlay.Step) bool { return s.What == what && s.Peer == b.Info.ID }
	}
	asked, silent := slices.IndexFunc(steps, said(overlay.Asks)), slices.IndexFunc(steps, said(overlay.Silent))
	if asked < 0 || silent < asked || slices.ContainsFunc(steps, said(overlay.Answers)) {
		t.Fatalf("it says %+v", steps)
	}
	if waited := steps[silent].After - steps[asked].After; waited < 500*time.Millisecond {
		t.Errorf("it has waited for %v", waited)
	}
	if last := steps[len(steps)-1]; last.What != overlay.Ends || len(last.Names) == 0 || last.Names[0] == b.Info.ID {
		t.Errorf("it ends with %+v", last)
	}
}

// Who stops reading ends a search.
func TestSearchLeft(t *testing.T) {
	each(t, func(t *testing.T, kind string) {
		a := crew(t, kind, 2)[0]
		until(t, "they know each other", func() bool { return a.Size() == 1 })
		for s, err := range a.Router.Search(t.Context(), overlay.Target{Place: a.Place([]byte("key"))}) {
			if err != nil || s.What != overlay.Begins {
				t.Errorf("it begins with %+v, %v", s, err)
			}
			break
		}
	})
}
