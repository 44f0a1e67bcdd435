package live_test

import (
	"context"
	"crypto/rand"
	"testing"

	record "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"kith/network"
	"kith/overlay/kbr"
	"kith/overlay/live"
	"kith/overlay/overlaytest"
)

func newKey(t *testing.T) crypto.PrivKey {
	t.Helper()
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// start starts a node on loopback.
func start(t *testing.T, kind, name, dir string, key crypto.PrivKey) (*network.Network, *live.Router, overlaytest.Node) {
	t.Helper()
	if key == nil {
		key = newKey(t)
	}
	n, err := network.New(t.Context(), network.Config{
		Key: key, Name: name, Dir: dir, Listen: []string{"/ip4/127.0.0.1/tcp/0"}, NoMDNS: true, NoUPnP: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := live.New(t.Context(), live.Options{
		Host: n.Host(), Network: n.Name(), Overlay: kind, DS: n.Store(), Validators: map[string]record.Validator{"v": overlaytest.Validator{}},
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

// nearer says of each overlay which of two peers is nearer to a place.
var nearer = map[string]func(k kbr.ID, a, b peer.ID) bool{
	"chord": func(k kbr.ID, a, b peer.ID) bool { return live.Place(a).Sub(k).Less(live.Place(b).Sub(k)) },
	"pastry": func(k kbr.ID, a, b peer.ID) bool {
		far := func(p peer.ID) kbr.ID {
			x, y := live.Place(p).Sub(k), k.Sub(live.Place(p))
			if y.Less(x) {
				return y
			}
			return x
		}
		return far(a).Less(far(b))
	},
	"kademlia": func(k kbr.ID, a, b peer.ID) bool { return live.Place(a).Xor(k).Less(live.Place(b).Xor(k)) },
}

func each(t *testing.T, f func(t *testing.T, kind string)) {
	for _, kind := range live.Names() {
		t.Run(kind, func(t *testing.T) { f(t, kind) })
	}
}

func TestOverlay(t *testing.T) {
	each(t, func(t *testing.T, kind string) {
		overlaytest.Overlay{
			Start: func(t *testing.T) overlaytest.Node {
				_, _, n := start(t, kind, "", "", nil)
				return n
			},
			Nearer: func(key []byte, a, b peer.ID) bool { return nearer[kind](kbr.Hash(key), a, b) },
		}.Test(t)
	})
}

// What was provided alone is still announced after a restart.
func TestRestart(t *testing.T) {
	each(t, func(t *testing.T, kind string) {
		dir := t.TempDir()
		key := newKey(t)
		_, _, a := start(t, kind, "", dir, key)
		what := overlaytest.Key(t, 0)
		if err := a.Provide(t.Context(), what, true); err != nil {
			t.Fatal(err)
		}
		a.Stop()
		_, _, a = start(t, kind, "", dir, key)
		_, _, b := start(t, kind, "", "", nil)
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
	})
}
