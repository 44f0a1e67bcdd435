package bittorrent

import (
	"net/http/httptest"
	"testing"
	"time"

	"kith"
	"kith/bridge/bittorrent/metainfo"
)

// TestOwnTracker: what is served and what is fetched, before and after, is told to the tracker that this node is itself, but for what is private; and is not any more when it is none.
func TestOwnTracker(t *testing.T) {
	ctx := timed(t, time.Minute)
	told := &names{}
	srv := httptest.NewServer(told)
	defer srv.Close()
	n := newNode(t, nil)
	publish := func(name string) kith.InfoHash {
		t.Helper()
		got, err := n.Publish(ctx, n.share(name, map[string][]byte{"": sample(byte(len(name)), 1<<16)}))
		if err != nil {
			t.Fatal(err)
		}
		return got.V1
	}
	before := publish("before")
	private := n.share("private", map[string][]byte{"": sample(7, 1<<16)})
	if _, err := n.Publish(ctx, private); err != nil {
		t.Fatal(err)
	}
	_, tor, err := n.store0(ctx, private.Root)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Withdraw(ctx, private.Root); err != nil {
		t.Fatal(err)
	}
	secret, err := metainfo.Parse(append(tor.Raw[:len(tor.Raw)-1:len(tor.Raw)-1], "7:privatei1ee"...))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Bridge.store.keepTorrent(ctx, &metainfo.Torrent{Info: secret}); err != nil {
		t.Fatal(err)
	}
	private.Names.V1 = secret.V1
	if got, err := n.Publish(ctx, private); err != nil || got.V1 != secret.V1 {
		t.Fatalf("%v, %v", got, err)
	}
	n.Announce(srv.URL + "/announce")
	after := publish("after it")
	fetched := kith.InfoHash{1, 2, 3}
	o, err := n.Open(kith.Link{Names: kith.Names{V1: fetched}})(ctx, &memory{})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	until(t, 20*time.Second, "the tracker is told", func() bool { return told.has(before, after) })
	last := publish("and last") // told after all others
	until(t, 20*time.Second, "the tracker is told", func() bool { return told.has(last) })
	if told.has(secret.V1) {
		t.Error("it is told of what is private")
	}
	n.Announce("")
	publish("nobody is told")
	if answer, ok := n.away(srv.URL + "/announce"); !ok || answer.Interval != int64(ownAway.Seconds()) {
		t.Errorf("%+v, %v", answer, ok)
	}
}
