package kaddht_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"testing"

	record "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"kith/network"
	"kith/overlay/kaddht"
	"kith/overlay/overlaytest"
)

// start starts a node on loopback.
func start(t *testing.T, name, dir string, key crypto.PrivKey) (*network.Network, *kaddht.Router, overlaytest.Node) {
	t.Helper()
	if key == nil {
		key, _, _ = crypto.GenerateEd25519Key(rand.Reader)
	}
	n, err := network.New(t.Context(), network.Config{
		Key: key, Name: name, Dir: dir, Listen: []string{"/ip4/127.0.0.1/tcp/0"}, NoMDNS: true, NoUPnP: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := kaddht.New(t.Context(), kaddht.Options{
		Host: n.Host(), Network: n.Name(), DS: n.Store(), Validators: map[string]record.Validator{"v": overlaytest.Validator{}},
	})
	if err != nil {
		n.Close()
		t.Fatal(err)
	}
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return n, r, overlaytest.Node{
		Router: r, Info: peer.AddrInfo{ID: n.ID(), Addrs: n.Host().Addrs()}, Connect: n.Connect, Stop: stop,
	}
}

func nearer(key []byte, a, b peer.ID) bool {
	distance := func(p peer.ID) []byte {
		x, y := sha256.Sum256(key), sha256.Sum256([]byte(p))
		for i := range x {
			x[i] ^= y[i]
		}
		return x[:]
	}
	return bytes.Compare(distance(a), distance(b)) < 0
}

func TestOverlay(t *testing.T) {
	overlaytest.Overlay{
		Start: func(t *testing.T) overlaytest.Node {
			_, _, n := start(t, "", "", nil)
			return n
		},
		Nearer: nearer,
	}.Test(t)
}

// A node is a server from the start, and its peers get into the table.
func TestModeAndSize(t *testing.T) {
	_, a, na := start(t, "", "", nil)
	_, b, nb := start(t, "", "", nil)
	if a.Mode() != "server" || a.Size() != 0 {
		t.Fatalf("mode %s, size %d", a.Mode(), a.Size())
	}
	if err := na.Connect(t.Context(), nb.Info); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Closest(t.Context(), []byte("x"), 1); err != nil || a.Size() != 1 {
		t.Fatalf("size %d, %v", a.Size(), err)
	}
	_ = b
}

// Nodes of different networks that are connected have no overlay in common.
func TestNetworksApart(t *testing.T) {
	_, a, na := start(t, "one", "", nil)
	_, _, nb := start(t, "two", "", nil)
	key := overlaytest.Key(t, 0)
	if err := nb.Provide(t.Context(), key, true); err != nil {
		t.Fatal(err)
	}
	if err := na.Connect(t.Context(), nb.Info); err != nil {
		t.Fatal(err)
	}
	for p := range a.FindProvidersAsync(t.Context(), key, 0) {
		t.Errorf("found %s", p)
	}
	if a.Size() != 0 {
		t.Errorf("%d peers of another network in the table", a.Size())
	}
}

// What was provided alone is still announced after a restart.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	key, _, _ := crypto.GenerateEd25519Key(rand.Reader)
	_, _, a := start(t, "", dir, key)
	what := overlaytest.Key(t, 0)
	if err := a.Provide(t.Context(), what, true); err != nil {
		t.Fatal(err)
	}
	a.Stop()
	_, _, a = start(t, "", dir, key)
	_, _, b := start(t, "", "", nil)
	if err := b.Connect(t.Context(), a.Info); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for p := range b.FindProvidersAsync(ctx, what, 1) {
		if p.ID == a.Info.ID {
			return
		}
	}
	t.Error("not found after the restart")
}
