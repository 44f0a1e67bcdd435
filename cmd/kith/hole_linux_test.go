package main

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"kith/lab/nat"
)

// TestUDPSwallowed: a node whose network lets no UDP pass notices after a few dials, tells, and leaves UDP alone; in another network it uses UDP at once.
func TestUDPSwallowed(t *testing.T) {
	if testing.Short() {
		t.Skip("a network that swallows UDP was not tested: -short")
	}
	i := homes(t, nat.Spec{Name: "udp-blocked", Kind: nat.UDPBlocked}, nat.Spec{Name: "cone", Kind: nat.Cone})
	flags := i.peers
	for range 4 { // who is not there, at eight addresses each
		_, pub, err := crypto.GenerateEd25519Key(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		id, err := peer.IDFromPublicKey(pub)
		if err != nil {
			t.Fatal(err)
		}
		for port := range 8 {
			flags = append(flags, "--peer", fmt.Sprintf("/ip4/%v/udp/%d/quic-v1/p2p/%s", i.net.Host("relay-1").Addr, 9000+port, id))
		}
	}
	c := i.boot("udp-blocked", flags...)
	udp := func() string {
		var out struct {
			Findings []struct{ Check, State, Says string }
		}
		c.ask(&out, "doctor")
		k := slices.IndexFunc(out.Findings, func(f struct{ Check, State, Says string }) bool { return f.Check == "udp" })
		return out.Findings[k].State + ": " + out.Findings[k].Says
	}
	within := func(limit time.Duration, what string, ok func() bool) {
		t.Helper()
		start := time.Now()
		for ; !ok(); time.Sleep(100 * time.Millisecond) {
			if time.Since(start) > limit {
				t.Fatalf("after %v not %s; doctor: %s", limit, what, udp())
			}
		}
		t.Logf("%s after %.1f s", what, time.Since(start).Seconds())
	}
	within(time.Minute, "told", func() bool { return strings.HasPrefix(udp(), "weak: no answer comes over UDP") })
	if err := i.net.Move(c.host, i.net.Host("cone")); err != nil {
		t.Fatal(err)
	}
	within(recoverTime, "over QUIC", func() bool { return strings.HasPrefix(udp(), "ok") })
}
