//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/lab/nat"
)

// TestSite: a folder is published as a site on one computer, and fetched by its name on another, where nobody but Kith's own record and the publisher can tell what
// the name stands for; and so again after the site was changed.
func TestSite(t *testing.T) {
	n, err := nat.New(nat.Spec{Name: "publisher", Kind: nat.Public}, nat.Spec{Name: "reader", Kind: nat.Public})
	if errors.Is(err, kith.Unavailable) {
		t.Skip("a site on another computer was not tested: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	start := func(host, conf string, flags ...string) *computer {
		c := &computer{t: t, dir: t.TempDir(), host: n.Host(host)}
		if err := os.WriteFile(filepath.Join(c.dir, "config.toml"), []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
		c.up(flags...)
		t.Cleanup(func() { c.end(os.Interrupt) })
		return c
	}
	publisher := start("publisher", "[ipfs]\nlisten = ['/ip4/0.0.0.0/tcp/4001']\n")
	site := filepath.Join(t.TempDir(), "page")
	if err := os.MkdirAll(filepath.Join(site, "pictures"), 0o700); err != nil {
		t.Fatal(err)
	}
	picture := file(t, filepath.Join(site, "pictures", "me.jpg"), 3<<20)
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(site, "index.html"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("<h1>first</h1>")
	began := time.Now()
	out, errs, exit := publisher.run("site", "publish", site, "--name", "diary")
	if exit != 0 {
		t.Fatal(out, errs)
	}
	alone := time.Since(began)
	var sites struct {
		Sites []struct{ URL string }
	}
	if publisher.ask(&sites, "site", "ls"); len(sites.Sites) != 1 {
		t.Fatalf("%+v", sites)
	}
	url := sites.Sites[0].URL
	if !strings.HasPrefix(url, "ipns://") || !strings.Contains(out, url) {
		t.Fatalf("it is published as %q, and the person was told\n%s", url, out)
	}

	key, err := os.ReadFile(filepath.Join(publisher.dir, "bridges", "ipfs", "peer.key"))
	if err != nil {
		t.Fatal(err)
	}
	private, err := crypto.UnmarshalPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	addr := publisher.tcp()
	for _, a := range publisher.identity().Addrs {
		if strings.Contains(a, n.Host("publisher").Addr.String()) && strings.Contains(a, "/tcp/") {
			addr = a
		}
	}
	reader := start("reader", fmt.Sprintf("[ipfs]\npeers = ['/ip4/%s/tcp/4001/p2p/%s']\n", n.Host("publisher").Addr, id), "--peer", addr)
	for i, text := range []string{"<h1>first</h1>", "<h1>second, longer</h1>"} {
		if i > 0 {
			write(text)
			began = time.Now()
			if out, errs, exit := publisher.run("site", "update", "diary"); exit != 0 {
				t.Fatal(out, errs)
			}
			t.Logf("updated in %.2f s, with another node (published alone in %.2f s)", time.Since(began).Seconds(), alone.Seconds())
		}
		to := filepath.Join(t.TempDir(), "copy")
		began = time.Now()
		if out, errs, exit := reader.run("get", url, "-o", to); exit != 0 {
			t.Fatalf("%s%s\n%s", out, errs, reader.log.since(0))
		}
		t.Logf("asked, resolved and fetched in %.2f s", time.Since(began).Seconds())
		same(t, filepath.Join(to, "index.html"), []byte(text))
		same(t, filepath.Join(to, "pictures", "me.jpg"), picture)
	}
}
