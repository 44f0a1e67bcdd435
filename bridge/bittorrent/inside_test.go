//go:build linux

package bittorrent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"kith"
	"kith/bridge/bittorrent/tracker"
	"kith/lab/space"
)

// Addresses in the namespace in which programs of others run: some of them refuse peers on loopback.
var (
	kithAt    = netip.MustParseAddr("10.77.0.1")
	otherAt   = netip.MustParseAddr("10.77.0.2")
	trackerAt = netip.MustParseAddr("10.77.0.3")
)

const insideEnv = "KITH_TEST_INSIDE"

// inside runs the test, which may be one of a test's, again in a network namespace that has nothing but the addresses above, and reports whether this is that run.
func inside(t *testing.T, limit time.Duration, programs ...string) bool {
	t.Helper()
	if os.Getenv(insideEnv) == t.Name() {
		return true
	}
	if testing.Short() && len(programs) > 0 {
		t.Skip("not tested against programs of others: -short")
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("not tested against %s, which is not installed (.ci/install does)", p)
		}
	}
	sp, err := space.New(func() error {
		for _, args := range []string{
			"addr add 10.77.0.1/24 dev lo", "addr add 10.77.0.2/24 dev lo", "addr add 10.77.0.3/24 dev lo", "addr add 10.77.0.4/24 dev lo", "link set lo up", "link set lo multicast on",
			"route add 239.192.0.0/16 dev lo", // local peer discovery
		} {
			if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
				return fmt.Errorf("ip %s: %w: %s", args, err, out)
			}
		}
		return nil
	})
	if errors.Is(err, kith.Unavailable) {
		t.Skip("not tested against programs of others: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer sp.Close()
	defer sp.Kill()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var names []string
	for n := range strings.SplitSeq(t.Name(), "/") {
		names = append(names, "^"+regexp.QuoteMeta(n)+"$")
	}
	args := []string{"-test.run", strings.Join(names, "/"), "-test.timeout", limit.String()}
	if testing.Verbose() {
		args = append(args, "-test.v")
	}
	cmd := sp.Command(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), insideEnv+"="+t.Name())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("in the namespace: %v\n%s", err, out)
	}
	t.Logf("%s", out)
	return false
}

// newTracker runs a tracker, and returns its URL.
func newTracker(t *testing.T) string {
	t.Helper()
	tr, err := tracker.Listen(tracker.Options{At: []netip.Addr{trackerAt}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { tr.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); tr.Close(); <-done })
	return "http://" + tr.Addrs()[0].String() + "/announce"
}

// program starts a program of others, which ends with the test.
func program(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "LC_ALL=C.UTF-8")
	out, err := os.CreateTemp(t.TempDir(), "out")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(out.Name())
			if len(text) > 4000 {
				text = text[len(text)-4000:]
			}
			t.Logf("%s said:\n%s", name, text)
		}
		out.Close()
	})
	return cmd
}

// TestLocalPeers: nodes of one network find each other with no tracker, DHT or address, by the infohash of version 2 of what has both.
func TestLocalPeers(t *testing.T) {
	if !inside(t, 2*time.Minute) {
		return
	}
	ctx := timed(t, time.Minute)
	at := func(ip netip.Addr) func(*Options) {
		return func(o *Options) { o.Bind, o.Multicast, o.Config.Hybrid = ip, true, true }
	}
	a, b := newNode(t, at(kithAt)), newNode(t, at(otherAt))
	files := folder()
	both, err := a.Publish(ctx, a.share("Ordner", files))
	if err != nil {
		t.Fatal(err)
	}
	d := b.get(ctx, kith.Link{Names: kith.Names{V2: both.V2}})
	d.all(ctx)
	d.mustBe(ctx, files)
}

// TestLocalPeersHere: nodes of one computer find each other, though a network card sends nothing back to it.
func TestLocalPeersHere(t *testing.T) {
	if !inside(t, 2*time.Minute) {
		return
	}
	const at = "10.78.0.1"
	for _, args := range []string{"link add card type veth peer name wall", "addr add " + at + "/24 dev card", "link set card up multicast on", "link set wall up"} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", args, err, out)
		}
	}
	ctx := timed(t, time.Minute)
	there := func(o *Options) { o.Bind, o.Multicast = netip.MustParseAddr(at), true }
	a, b := newNode(t, there), newNode(t, there)
	files := folder()
	names, err := a.Publish(ctx, a.share("Ordner", files))
	if err != nil {
		t.Fatal(err)
	}
	d := b.get(ctx, kith.Link{Names: names})
	d.all(ctx)
	d.mustBe(ctx, files)
}

// TestLocalPeersLater: nodes that begin where there is no multicast say so, and find each other when there is: with the next address that comes, or by themselves.
func TestLocalPeersLater(t *testing.T) {
	if !inside(t, 2*time.Minute) {
		return
	}
	ip := func(args string) {
		t.Helper()
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", args, err, out)
		}
	}
	ctx := timed(t, time.Minute)
	ip("link set lo down")
	ip("link set lo multicast off")
	a, b := newNode(t, func(o *Options) { o.Multicast, o.Bind = true, netip.Addr{} }), newNode(t, func(o *Options) { o.Multicast, o.Bind = true, netip.Addr{} })
	files := folder()
	both, err := a.Publish(ctx, a.share("Ordner", files))
	if err != nil {
		t.Fatal(err)
	}
	until(t, 10*time.Second, "it is said", func() bool {
		st, err := a.StatusOf(both)
		return err == nil && strings.Contains(st.Said, "local network")
	})
	ip("link set lo up")
	ip("link set lo multicast on")
	ip("route add 239.192.0.0/16 dev lo")
	ip("addr add 10.77.0.5/24 dev lo")
	d := b.get(ctx, kith.Link{Names: both})
	d.all(ctx)
	d.mustBe(ctx, files)
	if st, err := a.StatusOf(both); err != nil || strings.Contains(st.Said, "local network") {
		t.Errorf("%q, %v", st.Said, err)
	}
}
