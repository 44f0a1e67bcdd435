package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kith/overlay/live"
)

// Five people, each with a process of its own, on one of Kith's own overlays: what one shares another finds, also while who shared it is gone, and who was killed provides
// after a restart all that it did before. A person is found by an invite. KITH_SIM_FULL does it on each overlay.
func TestOwnOverlayAsTheyWouldType(t *testing.T) {
	names := live.Names()
	if os.Getenv("KITH_SIM_FULL") == "" {
		names = names[:1]
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) { ownOverlay(t, name) })
	}
}

func ownOverlay(t *testing.T, name string) {
	var all []*computer
	var none any
	for range 5 {
		all = append(all, boot(t, "--overlay", name))
	}
	for _, c := range all[1:] {
		c.ask(&none, "connect", all[0].identity().Addrs[0])
	}
	var status struct{ Overlay string }
	if all[4].ask(&status, "status"); !strings.HasPrefix(status.Overlay, name+", server") {
		t.Errorf("its overlay is %q", status.Overlay)
	}
	a, b, c, d := all[1], all[2], all[3], all[4]
	share := func(name string, n int) (link string, want []byte) {
		t.Helper()
		path := filepath.Join(t.TempDir(), name)
		want = file(t, path, n)
		var out struct{ Link string }
		a.ask(&out, "share", path)
		return out.Link, want
	}
	get := func(who *computer, link string, want []byte) {
		t.Helper()
		var got struct{ Path string }
		who.ask(&got, "get", link, "-o", t.TempDir(), "--timeout", "90s")
		same(t, got.Path, want)
	}
	first, one := share("one.bin", 1<<20)
	second, two := share("two.bin", 1<<20)
	get(d, first, one)
	a.ask(&none, "id", "profile", "--name", "Anna")
	var invite struct{ Link string }
	a.ask(&invite, "invite", "--name", "Chris")
	c.ask(&none, "join", invite.Link)
	if got := c.contacts(); len(got) != 1 || got[0].Name != "Anna" || !got[0].Proven {
		t.Errorf("contacts %+v", got)
	}

	a.end(syscall.SIGKILL)
	get(b, first, one) // of who fetched it
	a.up("--overlay", name)
	eventually(t, time.Minute, "it is in the network again", func() bool {
		var peers []struct{ ID string }
		a.ask(&peers, "peers")
		return len(peers) > 0
	})
	get(c, second, two)
	get(d, second, two)
}
