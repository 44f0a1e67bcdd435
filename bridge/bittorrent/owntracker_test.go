package bittorrent

import (
	"context"
	"net/http/httptest"
	"slices"
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
	secret := n.private(ctx)
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
	if told.has(secret) {
		t.Error("it is told of what is private")
	}
	n.Announce("")
	publish("nobody is told")
	if answer, ok := n.away(srv.URL + "/announce"); !ok || answer.Interval != int64(ownAway.Seconds()) {
		t.Errorf("%+v, %v", answer, ok)
	}
}

// private publishes what is private by a torrent with trackers of its own.
func (n *node) private(ctx context.Context, trackers ...string) kith.InfoHash {
	n.t.Helper()
	share := n.share("private", map[string][]byte{"": sample(7, 1<<16)})
	if _, err := n.Publish(ctx, share); err != nil {
		n.t.Fatal(err)
	}
	_, t, err := n.store0(ctx, share.Root)
	if err != nil {
		n.t.Fatal(err)
	}
	if err := n.Withdraw(ctx, share.Root); err != nil {
		n.t.Fatal(err)
	}
	secret, err := metainfo.Parse(append(slices.Clip(t.Raw[:len(t.Raw)-1]), "7:privatei1ee"...))
	if err != nil {
		n.t.Fatal(err)
	}
	if _, err := n.Bridge.store.keepTorrent(ctx, &metainfo.Torrent{Info: secret, Trackers: tiers(trackers)}); err != nil {
		n.t.Fatal(err)
	}
	share.Names.V1 = secret.V1
	if got, err := n.Publish(ctx, share); err != nil || got.V1 != secret.V1 || !slices.Equal(got.Trackers, trackers) {
		n.t.Fatalf("%v, %v", got, err)
	}
	return secret.V1
}

// TestPrivate: what is private is told to its own trackers, and to no others: when it is published, after a restart, after one with a database of an older version, and where it is fetched by a magnet link.
func TestPrivate(t *testing.T) {
	ctx := timed(t, time.Minute)
	its, ours, theirs := &names{}, &names{}, &names{}
	at := func(told *names) string {
		srv := httptest.NewServer(told)
		t.Cleanup(srv.Close)
		return srv.URL + "/announce"
	}
	own := at(its)
	a := newNode(t, func(o *Options) { o.Config.Trackers = []string{at(ours)} })
	secret := a.private(ctx, own)
	open, err := a.Publish(ctx, a.share("open", map[string][]byte{"": sample(8, 1<<16)}))
	if err != nil {
		t.Fatal(err)
	}
	told := func(step string) {
		t.Helper()
		until(t, 20*time.Second, "trackers are told "+step, func() bool { return ours.has(open.V1) })
		until(t, 20*time.Second, "its tracker is told "+step, func() bool { return its.has(secret) })
		if ours.has(secret) {
			t.Errorf("%s: a tracker of the configuration is told of what is private", step)
		}
	}
	told("at first")
	a.close()
	a.open()
	told("after a restart")
	if _, err := a.Bridge.store.db.ExecContext(ctx, "UPDATE torrent SET audience = NULL"); err != nil {
		t.Fatal(err)
	}
	a.close()
	a.open()
	told("after a restart of an older version")
	if !a.swarmOf(secret).private() || a.swarmOf(open.V1).private() {
		t.Error("what is private is not known before somebody asks for it")
	}

	b := newNode(t, func(o *Options) { o.Config.Trackers = []string{at(theirs)} })
	d := b.get(ctx, kith.Link{Names: kith.Names{V1: secret, Trackers: []string{own}}, Swarm: a.link(kith.Names{V1: secret}).Swarm})
	d.all(ctx)
	fetched, err := b.Publish(ctx, b.share("another", map[string][]byte{"": sample(9, 1<<16)}))
	if err != nil {
		t.Fatal(err)
	}
	until(t, 20*time.Second, "trackers are told by who fetches", func() bool { return theirs.has(fetched.V1) })
	if theirs.has(secret) {
		t.Error("a tracker of the configuration of who fetches is told of what is private")
	}
}
