package network

import (
	"errors"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"kith"
)

func listen(addrs ...string) func(*Config) { return func(c *Config) { c.Listen = addrs } }

// Every transport reaches a node that listens on it alone, and the words for it are right.
func TestTransports(t *testing.T) {
	for name, addr := range map[string]string{
		"tcp": "/ip4/127.0.0.1/tcp/0", "quic": "/ip4/127.0.0.1/udp/0/quic-v1", "ws": "/ip4/127.0.0.1/tcp/0/ws",
		"webtransport": "/ip4/127.0.0.1/udp/0/quic-v1/webtransport", "webrtc-direct": "/ip4/127.0.0.1/udp/0/webrtc-direct", "tcp6": "/ip6/::1/tcp/0",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := newNode(t), newNode(t, listen(addr))
			b.Handle("/echo/1", echo)
			ctx := soon(t)
			if err := a.Connect(ctx, info(b)); err != nil {
				t.Fatal(err)
			}
			s, err := a.Open(ctx, b.ID(), "/echo/1")
			if err != nil {
				t.Fatal(err)
			}
			exchange(t, s)
			s, err = a.OpenBulk(ctx, b.ID(), "/echo/1")
			if err != nil {
				t.Fatal(err)
			}
			exchange(t, s)
			p, _ := a.Peer(b.ID())
			want := strings.TrimSuffix(name, "6")
			if p.Transport != want || p.Why != "direct over "+transportNames[want]+", same computer" || p.Agent != "kith/test" {
				t.Errorf("%+v", p)
			}
			if listensTCP := strings.Contains(addr, "/tcp/"); s.Bulk() != listensTCP {
				t.Errorf("bulk %v, listens on TCP %v", s.Bulk(), listensTCP)
			}
		})
	}
}

// On the kept port all transports listen side by side, and each can be dialled there.
func TestSharedPort(t *testing.T) {
	b := newNode(t, listen(), func(c *Config) { c.Dir = t.TempDir() })
	b.Handle("/echo/1", echo)
	seen := map[string]bool{}
	for _, addr := range b.Host().Addrs() {
		if v, err := addr.ValueForProtocol(ma.P_IP4); err != nil || v != "127.0.0.1" {
			continue
		}
		a := newNode(t, listen("/ip4/127.0.0.1/udp/0/quic-v1"))
		if err := a.Connect(soon(t), peer.AddrInfo{ID: b.ID(), Addrs: []ma.Multiaddr{addr}}); err != nil {
			t.Errorf("%s: %v", addr, err)
			continue
		}
		s, err := a.Open(soon(t), b.ID(), "/echo/1")
		if err != nil {
			t.Errorf("%s: %v", addr, err)
			continue
		}
		exchange(t, s)
		p, _ := a.Peer(b.ID())
		seen[p.Transport] = true
	}
	for name := range transportNames {
		if !seen[name] {
			t.Errorf("not reached over %s", name)
		}
	}
}

// Where a peer has both, TCP is what a local connection uses. QUIC, which waits for it 60 ms, may win now and then on a busy machine, but not ten times.
func TestTCPFirst(t *testing.T) {
	a := newNode(t)
	for range 10 {
		b := newNode(t)
		if err := a.Connect(soon(t), info(b)); err != nil {
			t.Fatal(err)
		}
		if p, _ := a.Peer(b.ID()); p.Transport == "tcp" {
			return
		}
	}
	t.Error("ten local connections, and none over TCP")
}

// Whoever is of another network is connected, but speaks nothing that this one does.
func TestNetworksApart(t *testing.T) {
	named := func(name string) func(*Config) { return func(c *Config) { c.Name = name } }
	a, b, c := newNode(t, named("one")), newNode(t, named("two")), newNode(t, named("one"))
	for _, n := range []*Network{b, c} {
		n.Handle("/echo/1", echo)
		if err := a.Connect(soon(t), info(n)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.Open(soon(t), b.ID(), "/echo/1"); !errors.Is(err, kith.NotFound) {
		t.Errorf("open: %v, want not found", err)
	}
	if _, err := a.OpenBulk(soon(t), b.ID(), "/echo/1"); !errors.Is(err, kith.NotFound) {
		t.Errorf("open bulk: %v, want not found", err)
	}
	s, err := a.OpenBulk(soon(t), c.ID(), "/echo/1")
	if err != nil || !s.Bulk() {
		t.Fatal(err)
	}
	exchange(t, s)
}

// Errors say what a person can act on.
func TestErrors(t *testing.T) {
	a, b, c := newNode(t), newNode(t), newNode(t)
	if err := a.Connect(soon(t), peer.AddrInfo{ID: b.ID()}); !errors.Is(err, kith.Unavailable) {
		t.Errorf("no address: %v, want unavailable", err)
	}
	gone := info(b)
	b.Close()
	if err := a.Connect(soon(t), gone); !errors.Is(err, kith.Unavailable) {
		t.Errorf("nobody there: %v, want unavailable", err)
	}
	if err := a.Connect(soon(t), peer.AddrInfo{ID: b.ID(), Addrs: c.Host().Addrs()}); !errors.Is(err, kith.Denied) {
		t.Errorf("somebody else there: %v, want denied", err)
	}
	if err := a.Connect(soon(t), info(c)); err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func() (Stream, error){
		"open":      func() (Stream, error) { return a.Open(soon(t), c.ID(), "/nothing/1") },
		"open bulk": func() (Stream, error) { return a.OpenBulk(soon(t), c.ID(), "/nothing/1") },
	} {
		if _, err := open(); !errors.Is(err, kith.NotFound) {
			t.Errorf("%s of what it does not speak: %v, want not found", name, err)
		}
	}
	for _, bad := range []func(*Config){
		listen("/ip4/127.0.0.1"), listen("nonsense"), func(c *Config) { c.Name = "Grüße" }, func(c *Config) { c.Peers = []string{"/ip4/127.0.0.1/tcp/1"} },
	} {
		cfg := Config{Key: a.cfg.Key, NoMDNS: true, NoUPnP: true}
		bad(&cfg)
		if n, err := New(t.Context(), cfg); !errors.Is(err, kith.Invalid) {
			t.Errorf("%+v: %v, want invalid", cfg.Listen, err)
			if n != nil {
				n.Close()
			}
		}
	}
}
