package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kith/lab/nat"
)

// TestRelayLimit: past what a relay carries for two in an hour, the fetch waits, says through whom, and for how long; once there is more, it goes on
// where it was. The relays say whom they carried what for.
func TestRelayLimit(t *testing.T) {
	if testing.Short() {
		t.Skip("the limit of a relay was not tested behind real NATs: -short")
	}
	i := homes(t, nat.Spec{Name: "symmetric", Kind: nat.Symmetric}, nat.Spec{Name: "symmetric-2", Kind: nat.Symmetric})
	var none any
	for _, r := range i.public {
		r.ask(&none, "relay", "--data", "2MiB")
	}
	seed, fetcher := i.boot("symmetric", i.peers...), i.boot("symmetric-2", i.peers...)
	i.befriend(seed)
	fetcher.ask(&none, "people", "add", "Rita", i.public[0].identity().Peer_ID)
	fetcher.ask(&none, "people", "add", "Rolf", i.public[1].identity().Peer_ID)
	seed.relayed()
	path := filepath.Join(t.TempDir(), "film")
	want := file(t, path, 10<<20)
	var shared struct{ Link, Ref string }
	seed.ask(&shared, "share", path)
	to := t.TempDir()
	fetcher.ask(&none, "get", shared.Link, "-o", to, "--detach")

	type item struct {
		State, Reason string
		Done          int64
	}
	state := func() item {
		var out struct{ Items []item }
		fetcher.ask(&out, "ls")
		return out.Items[0]
	}
	now := state()
	for deadline := time.Now().Add(time.Minute); now.State != "waiting"; now = state() {
		if time.Now().After(deadline) {
			t.Fatalf("it does not wait: %+v", now)
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Logf("%d bytes came, then: %s", now.Done, now.Reason)
	if now.Done < 1<<20 || now.Done >= 10<<20 || !strings.Contains(now.Reason, "relayed through R") || !strings.Contains(now.Reason, "its limit is reached, it goes on in") {
		t.Errorf("it waits: %+v", now)
	}
	said, _, _ := i.public[0].run("relay")
	other, _, _ := i.public[1].run("relay")
	if !strings.Contains(said+other, "friend-symmetric") {
		t.Errorf("the relays do not say for whom they relayed:\n%s%s", said, other)
	}
	for _, r := range i.public {
		r.ask(&none, "relay", "--data", "64MiB")
	}
	for deadline := time.Now().Add(time.Minute); state().State != "done"; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it does not go on: %+v", state())
		}
	}
	got, err := os.ReadFile(filepath.Join(to, "film"))
	if err != nil || string(got) != string(want) {
		t.Errorf("what came is not what was shared: %d bytes, %v", len(got), err)
	}
}

// TestJoinThroughRelay: an invite of somebody behind a router works for somebody behind another, who has nothing but the link; what is then sent arrives.
func TestJoinThroughRelay(t *testing.T) {
	if testing.Short() {
		t.Skip("joining through a relay was not tested behind real NATs: -short")
	}
	i := homes(t, nat.Spec{Name: "symmetric", Kind: nat.Symmetric}, nat.Spec{Name: "tcp-only", Kind: nat.TCPOnly})
	anna, ben := i.boot("symmetric", i.peers...), i.boot("tcp-only")
	var none any
	anna.ask(&none, "id", "profile", "--name", "Anna")
	ben.ask(&none, "id", "profile", "--name", "Ben")
	anna.relayed()
	var invite struct{ Link string }
	anna.ask(&invite, "invite")
	start := time.Now()
	if out, errs, exit := ben.run("join", invite.Link, "--timeout", "30s"); exit != 0 || !strings.Contains(out, "Anna is a contact of yours now") {
		t.Fatalf("kith join ended with %d: %s%s", exit, out, errs)
	}
	t.Logf("joined after %v", time.Since(start))
	if got := anna.contacts(); len(got) != 1 || got[0].Name != "Ben" || !got[0].Proven {
		t.Errorf("the inviter's contacts: %+v", got)
	}
	p, ok := ben.peer(anna.identity().Peer_ID)
	if !ok || p.Direct || !strings.HasPrefix(p.Why, "relayed through ") {
		t.Errorf("they are connected %v: %+v", ok, p)
	}
}
