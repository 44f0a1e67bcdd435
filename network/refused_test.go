package network

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	ma "github.com/multiformats/go-multiaddr"

	"kith"
	"kith/network/relay"
)

// behind makes a node that is reached through a relay alone, and the address that leads there.
func behind(t *testing.T, at *Network) (*Network, peer.AddrInfo) {
	t.Helper()
	n := newNode(t)
	if err := n.Connect(soon(t), info(at)); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Reserve(soon(t), n.Host(), info(at)); err != nil {
		t.Fatal(err)
	}
	sw := n.host.Network().(interface{ ListenClose(...ma.Multiaddr) })
	sw.ListenClose(n.listening()...)
	via := at.Addrs()[0].Encapsulate(ma.StringCast("/p2p-circuit"))
	return n, peer.AddrInfo{ID: n.ID(), Addrs: []ma.Multiaddr{via}}
}

// relaying makes a node that relays, as one would that has been found reachable.
func relaying(t *testing.T, s relay.Settings) *Network {
	n := newNode(t, func(c *Config) { c.Relay = s })
	n.reachable(event.EvtHostReachableAddrsChanged{Reachable: []ma.Multiaddr{ma.StringCast("/ip4/11.0.1.1/tcp/1")}})
	return n
}

// TestSpentRelay: a relay that has carried all it may for a pair cuts the circuit, and whoever dials again learns from it when it goes on; another pair is served.
func TestSpentRelay(t *testing.T) {
	r := relaying(t, relay.Settings{Data: 1 << 20, Rate: 1 << 30})
	r.Befriend(func(peer.ID) bool { return true })
	b, to := behind(t, r)
	b.Handle("/echo/1", echo)
	a, c := newNode(t), newNode(t)
	if err := a.Connect(soon(t), to); err != nil {
		t.Fatal(err)
	}
	if p, _ := a.Peer(b.ID()); p.Direct || p.Relay != r.ID() {
		t.Fatalf("it is connected as %+v", p)
	}
	s, err := a.Open(soon(t), b.ID(), "/echo/1")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for err := error(nil); err == nil; {
			_, err = s.Write(make([]byte, 64<<10))
		}
	}()
	got := 0
	for buf, err := make([]byte, 64<<10), error(nil); err == nil; {
		var n int
		n, err = s.Read(buf)
		got += n
	}
	if got == 0 || got > 1<<20 {
		t.Errorf("%d bytes came back", got)
	}
	until(t, "the circuit is cut", func() bool { return len(a.host.Network().ConnsToPeer(b.ID())) == 0 })

	var refused *Refused
	err = a.Connect(soon(t), to)
	if !errors.As(err, &refused) || refused.Relay != r.ID() || refused.Verdict != relay.Spent || !errors.Is(err, kith.Unavailable) || kith.HintOf(err) == "" {
		t.Fatalf("dialled again: %v", err)
	}
	if wait := time.Until(refused.Until); wait < 58*time.Minute || wait > time.Hour || !strings.Contains(err.Error(), "its limit is reached, it goes on in") {
		t.Errorf("it goes on in %v: %v", wait, err)
	}
	if _, err := a.OpenBulk(soon(t), b.ID(), "/echo/1"); !errors.As(err, &refused) {
		t.Errorf("opened again: %v", err)
	}
	if err := c.Connect(soon(t), to); err != nil {
		t.Errorf("another pair: %v", err)
	}
}

// TestRefusedWords: what is said when a relay serves contacts only, when none has room, and of several the one that goes on first.
func TestRefusedWords(t *testing.T) {
	r := relaying(t, relay.Settings{For: relay.Contacts})
	r.Befriend(func(peer.ID) bool { return true })
	b, to := behind(t, r)
	r.Befriend(func(peer.ID) bool { return false })
	a := newNode(t)
	if err := a.Connect(soon(t), to); err == nil || !strings.Contains(err.Error(), "carries for its contacts only") || kith.HintOf(err) == "" {
		t.Errorf("a stranger: %v", err)
	}
	r.Befriend(func(p peer.ID) bool { return p == b.ID() })
	if err := a.Connect(soon(t), to); err != nil {
		t.Errorf("a contact of the relay's: %v", err)
	}
	b.host.Network().ClosePeer(r.ID())
	until(t, "b is gone", func() bool { return !r.Direct(b.ID()) })
	if err := newNode(t).Connect(soon(t), to); err == nil || !strings.Contains(err.Error(), "it is not at its relay …"+short(r.ID())) || kith.HintOf(err) == "" {
		t.Errorf("who is away: %v", err)
	}
	full := Refused{Relay: r.ID(), Verdict: relay.Full, Tried: []peer.ID{"a", "b", "c"}}
	if got := full.Error(); got != "no direct way, and all 3 relays that lead there are full" {
		t.Error(got)
	}
	soonest := Refused{Relay: b.ID(), Verdict: relay.Spent, Until: time.Now().Add(time.Minute)}
	later := Refused{Relay: b.ID(), Verdict: relay.Spent, Until: time.Now().Add(time.Hour)}
	if !better(&soonest, &later) || !better(&later, &full) || better(&full, &soonest) {
		t.Error("of several, not the one that goes on first is named")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.whyNot(ended, b.ID(), errors.New("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("whoever gave up is told %v", err)
	}
}

// TestRelayOff: who holds a place at a relay that is switched off learns it at once; a change of limits costs nobody their place.
func TestRelayOff(t *testing.T) {
	r := relaying(t, relay.Settings{})
	b, to := behind(t, r)
	a := newNode(t)
	if err := errors.Join(r.SetRelay(relay.Settings{Data: 128 << 20}), a.Connect(soon(t), to)); err != nil {
		t.Errorf("after a change of limits: %v", err)
	}
	if err := r.SetRelay(relay.Settings{For: relay.Off}); err != nil {
		t.Fatal(err)
	}
	until(t, "both are gone", func() bool { return !b.Direct(r.ID()) && len(a.host.Network().ConnsToPeer(b.ID())) == 0 })
	if rep := r.Relaying(); rep.On || rep.Circuits != 0 || rep.Places != 0 {
		t.Errorf("%+v", rep)
	}
}
