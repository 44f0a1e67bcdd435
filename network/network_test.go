package network

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
)

// newNode starts a node on loopback.
func newNode(t testing.TB, change ...func(*Config)) *Network {
	t.Helper()
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Key: key, Version: "test", Listen: []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"},
		NoMDNS: true, NoUPnP: true, Log: slog.New(slog.DiscardHandler),
	}
	for _, c := range change {
		c(&cfg)
	}
	n, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func info(n *Network) peer.AddrInfo { return peer.AddrInfo{ID: n.ID(), Addrs: n.Host().Addrs()} }

// soon returns a context that ends before a test that hangs is killed.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func echo(_ context.Context, s Stream) error {
	_, err := io.Copy(s, s)
	return err
}

// exchange says something on a stream and wants it back.
func exchange(t testing.TB, s Stream) {
	t.Helper()
	said := make([]byte, 300<<10)
	rand.Read(said)
	go func() {
		s.Write(said)
		s.CloseWrite()
	}()
	heard, err := io.ReadAll(s)
	if err != nil || !bytes.Equal(said, heard) {
		t.Fatalf("heard %d bytes of %d, %v", len(heard), len(said), err)
	}
	s.Close()
}

func TestStreams(t *testing.T) {
	a, b := newNode(t), newNode(t)
	ctx := soon(t)
	b.Handle("/echo/1", echo)
	if err := a.Connect(ctx, info(b)); err != nil {
		t.Fatal(err)
	}
	s, err := a.Open(ctx, b.ID(), "/echo/1")
	if err != nil {
		t.Fatal(err)
	}
	if s.Bulk() || s.Peer() != b.ID() {
		t.Fatal("not an ordinary stream to b")
	}
	exchange(t, s)
	s, err = a.OpenBulk(ctx, b.ID(), "/echo/1")
	if err != nil {
		t.Fatal(err)
	}
	if !s.Bulk() || s.Peer() != b.ID() {
		t.Fatal("not a bulk stream to b")
	}
	exchange(t, s)
	for _, n := range []*Network{a, b} {
		p := n.Peers()
		if len(p) != 1 || p[0].Up < 600<<10 || p[0].Down < 600<<10 || !p[0].Direct || p[0].Why != "direct over TCP, same computer" {
			t.Fatalf("peers %+v", p)
		}
	}
}

// A neighbour that was dialled a moment before it listened is reached by the next call, not seconds later.
func TestConnectsRightAfterAFailure(t *testing.T) {
	overTCP := func(c *Config) { c.Listen = []string{"/ip4/127.0.0.1/tcp/0"} } // QUIC needs longer to give up than libp2p's backoff lasts
	a, b := newNode(t, overTCP), newNode(t, overTCP)
	ctx := soon(t)
	there := info(b)
	key := b.cfg.Key
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := a.Connect(ctx, there); !errors.Is(err, kith.Unavailable) {
		t.Fatalf("connected to a closed node: %v", err)
	}
	newNode(t, func(c *Config) { c.Key, c.Listen = key, []string{there.Addrs[0].String()} })
	if err := a.Connect(ctx, there); err != nil {
		t.Fatal(err)
	}
}
