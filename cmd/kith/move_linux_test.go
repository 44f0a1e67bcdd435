package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"kith/lab/nat"
)

// recoverTime is how long a node that has moved to another network may take to go on.
const recoverTime = 10 * time.Second

// TestMoves carries a laptop to another network in the middle of a fetch, first the one who fetches, then the one who shares. What was under way goes on within ten
// seconds, also where UDP is blocked, and arrives whole, and a contact sees where the laptop is.
func TestMoves(t *testing.T) {
	if testing.Short() {
		t.Skip("moving to another network was not tested: -short")
	}
	i := homes(t, nat.Spec{Name: "cone", Kind: nat.Cone}, nat.Spec{Name: "café", Kind: nat.Symmetric}, nat.Spec{Name: "office", Kind: nat.Cone},
		nat.Spec{Name: "hotel", Kind: nat.UDPBlocked})
	seed, laptop := i.boot("office", append(i.peers, "--debug")...), i.boot("cone", append(i.peers, "--debug", "--down", "1M")...)
	var none any
	seed.ask(&none, "people", "add", "laptop", laptop.identity().Peer_ID)
	laptop.ask(&none, "people", "add", "office", seed.identity().Peer_ID)
	i.befriend(seed)
	i.befriend(laptop)
	seed.relayed()
	laptop.relayed()
	path := filepath.Join(t.TempDir(), "film")
	want := file(t, path, 40<<20)
	var shared struct{ Link string }
	seed.ask(&shared, "share", path)
	to := t.TempDir()
	laptop.ask(&none, "get", shared.Link, "-o", to, "--detach")

	type item struct {
		State, Reason string
		Done          int64
	}
	state := func() item {
		var out struct{ Items []item }
		laptop.ask(&out, "ls")
		return out.Items[0]
	}
	saw := map[*computer]int{} // their journals, before the last move
	grows := func(from int64, by int64, within time.Duration) time.Duration {
		t.Helper()
		start := time.Now()
		for {
			now := state()
			switch {
			case now.Done >= from+by || now.State == "done":
				return time.Since(start)
			case time.Since(start) > within:
				p, ok := laptop.peer(seed.identity().Peer_ID)
				t.Fatalf("after %v: %+v; connected %v: %+v\nthe laptop since it or the other moved:\n%s\nthe other:\n%s", within, now, ok, p,
					laptop.log.since(saw[laptop]), seed.log.since(saw[seed]))
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	grows(0, 2<<20, time.Minute)
	for _, m := range []struct {
		who *computer
		to  string
	}{{laptop, "café"}, {seed, "hotel"}} {
		saw[laptop], saw[seed] = laptop.log.end(), seed.log.end()
		if err := i.net.Move(m.who.host, i.net.Host(m.to)); err != nil {
			t.Fatal(err)
		}
		// What was on its way still arrives in the first moment, so that it is what comes after it that counts.
		at := state().Done
		t.Logf("%s is in the %s: %d bytes more after %.1f s", m.who.host.Name, m.to, 1<<20, grows(at, 1<<20, recoverTime).Seconds())
		m.who.relayed() // it is to be found by the next who moves
	}
	laptop.ask(&none, "limit", "--down", "0")
	grows(0, 1<<40, 2*time.Minute)
	got, err := os.ReadFile(filepath.Join(to, "film"))
	if err != nil || string(got) != string(want) {
		t.Errorf("what came is not what was shared: %d bytes, %v", len(got), err)
	}
}
