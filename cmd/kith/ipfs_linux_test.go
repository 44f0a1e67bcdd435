//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"kith"
	"kith/blob/bao"
	"kith/blob/draft"
	"kith/lab/nat"
)

// TestKilledWhileKuboGives: a CID is fetched from a Kubo, Kith is killed half way, and what was durable is not asked of Kubo again.
func TestKilledWhileKuboGives(t *testing.T) {
	const size = 96<<20 + 4321
	needKubo(t)
	n, err := nat.New(nat.Spec{Name: "kubo", Kind: nat.Public}, nat.Spec{Name: "here", Kind: nat.Public})
	if errors.Is(err, kith.Unavailable) {
		t.Skip("kill -9 while Kubo gives was not tested: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	film := filepath.Join(t.TempDir(), "film.mkv")
	file(t, film, size)
	repo, id := kuboRepo(t, "public", nil)
	added, err := kuboCommand(exec.Command("ipfs", "add", "-Q", "--cid-version=1", film), repo).Output()
	if err != nil {
		t.Fatal(err)
	}
	link := "ipfs://" + strings.TrimSpace(string(added))
	kuboDaemon(t, n.Host("kubo"), repo, "Daemon is ready")
	sent := func() (bytes int64) {
		t.Helper()
		said, err := kuboCommand(n.Host("kubo").Command(t.Context(), "ipfs", "stats", "bitswap"), repo).Output()
		if err != nil {
			t.Fatal(err)
		}
		m := dataSent.FindSubmatch(said)
		if m == nil {
			t.Fatalf("Kubo says %s", said)
		}
		bytes, _ = strconv.ParseInt(string(m[1]), 10, 64)
		return bytes
	}

	c := &computer{t: t, dir: t.TempDir(), host: n.Host("here")}
	conf := fmt.Sprintf("down = \"8MiB/s\"\n[ipfs]\npeers = [\"/ip4/%s/tcp/4001/p2p/%s\"]\n", n.Host("kubo").Addr, id)
	if err := os.WriteFile(filepath.Join(c.dir, "config.toml"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.end(os.Interrupt) })
	c.up()
	to := filepath.Join(t.TempDir(), "film.mkv")
	var begun struct{ Ref string }
	c.ask(&begun, "get", link, "-o", to, "--detach")
	var was cameFrom
	eventually(t, 2*time.Minute, "half of it is here", func() bool {
		was = cameFrom{}
		c.ask(&was, "show", begun.Ref)
		return was.Done >= size/2
	})
	c.end(os.Kill)
	if was.Done >= size {
		t.Fatal("all of it was here before")
	}
	drafts, err := filepath.Glob(filepath.Join(c.dir, "drafts", "*.draft"))
	if err != nil || len(drafts) != 1 {
		t.Fatalf("drafts: %v, %v", drafts, err)
	}
	d, err := draft.Open(t.Context(), draft.Options{State: drafts[0]})
	if err != nil {
		t.Fatal(err)
	}
	kept := int64(d.Have(0).Count()) * bao.GroupSize
	d.Close()
	before := sent()
	t.Logf("killed: %s; kept: %d; Kubo gave %d", was, kept, before)
	if kept == 0 || kept >= size {
		t.Fatalf("%d bytes were kept of %d", kept, was.Done)
	}
	c.up()
	if _, errs, exit := c.run("get", link, "-o", to); exit != 0 {
		t.Fatal(errs)
	}
	if out, err := exec.Command("cmp", to, film).CombinedOutput(); err != nil {
		t.Errorf("what was fetched is not the film: %v: %s", err, out)
	}
	again := sent() - before
	t.Logf("after: Kubo gave %d", again)
	if again > size-kept+onItsWay {
		t.Errorf("Kubo gave %d bytes after %d of %d were kept: some came twice", again, kept, size)
	}
}
