//go:build linux

package main

import (
	"path/filepath"
	"strings"
	"testing"

	"kith/lab/nat"
	"kith/network/member"
)

// A private network across routers: its public members find out from each other that they can be reached (AutoNAT dials back with a key of its own), relay for
// the members behind routers, and for nobody else; one member fetches from another through them.
func TestPrivateNetworkBehindRouters(t *testing.T) {
	if testing.Short() {
		t.Skip("a private network across routers was not tested: -short")
	}
	i := homes(t, nat.Spec{Name: "public-1", Kind: nat.Public}, nat.Spec{Name: "public-2", Kind: nat.Public}, nat.Spec{Name: "symmetric-1", Kind: nat.Symmetric},
		nat.Spec{Name: "symmetric-2", Kind: nat.Symmetric})
	family, err := member.New("family", "")
	if err != nil {
		t.Fatal(err)
	}
	flags := []string{"--network", family.Link()}
	var public []*computer
	for _, name := range []string{"public-1", "public-2"} {
		c := i.boot(name, flags...)
		public = append(public, c)
		for _, a := range c.identity().Addrs {
			if strings.Contains(a, "/ip4/11.") && strings.Contains(a, "/quic-v1/p2p/") {
				flags = append(flags, "--peer", a)
			}
		}
	}
	seed := i.boot("symmetric-1", flags...)
	seed.relayed()
	path := filepath.Join(t.TempDir(), "film")
	want := file(t, path, 64<<10) // strangers to the relay have no more
	var shared struct{ Link string }
	seed.ask(&shared, "share", path)
	r, err := i.fetchAs(flags[:2], "symmetric-2", seed, shared.Link, want, false)
	if err != nil {
		t.Error(err)
	}
	if r.transport != "relay" {
		t.Errorf("fetched over %s (%s), want a relay", r.transport, r.why)
	}
	stranger := i.public[0]
	for _, c := range append(public, seed) {
		for _, a := range c.identity().Addrs {
			if !strings.Contains(a, "/ip4/11.") {
				continue
			}
			if out, errs, exit := stranger.run("connect", a); exit == 0 {
				t.Errorf("a stranger is connected to %s: %s%s", a, out, errs)
			}
		}
	}
}
