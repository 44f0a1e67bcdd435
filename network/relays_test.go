package network

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	ma "github.com/multiformats/go-multiaddr"

	"kith/lab/nat"
	"kith/lab/sim"
	"kith/network/maddr"
	"kith/network/relay"
)

// simulated starts a node on a host of a simulated network.
func simulated(t *testing.T, net *sim.Net, kind nat.Kind, carries relay.Settings) *Network {
	t.Helper()
	h, err := net.Add(sim.Spec{Name: "host", Kind: kind, Delay: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return newNode(t, func(c *Config) { c.Listen, c.Packets, c.Relay = h.Listen(), h.ListenUDP, carries })
}

// TestFriendsRelayFirst: a node that cannot be reached holds places at strangers while there is nobody else, and at a friend, who carries more, when one is there.
func TestFriendsRelayFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := sim.New(4)
		defer net.Close()
		defer time.Sleep(time.Minute) // libp2p's AutoNAT ends later than its host
		start := func(kind nat.Kind) *Network { return simulated(t, net, kind, relay.Settings{}) }
		strangers, friend, home := []*Network{start(nat.Public), start(nat.Public)}, start(nat.Public), start(nat.Cone)
		for _, n := range append(strangers, friend, home) {
			defer n.Close()
		}
		home.Befriend(func(p peer.ID) bool { return p == friend.ID() })
		through := func(n *Network) bool {
			return slices.ContainsFunc(home.Addrs(), func(a ma.Multiaddr) bool { return maddr.Transport(a) == "relay" && relayOf(a) == n.ID() })
		}
		within := func(limit time.Duration, what string, ok func() bool) {
			t.Helper()
			for start := time.Now(); !ok(); time.Sleep(100 * time.Millisecond) {
				if time.Since(start) > limit {
					t.Fatalf("not within %v: %s; it is reached at %v", limit, what, home.Addrs())
				}
			}
		}
		meet := func(n *Network) {
			if err := home.Connect(t.Context(), info(n)); err != nil {
				t.Fatal(err)
			}
			within(time.Second, "who was reached from outside relays", func() bool { return n.Relaying().On })
		}
		for _, s := range strangers {
			meet(s)
		}
		within(time.Minute, "both strangers hold a place", func() bool { return through(strangers[0]) && through(strangers[1]) })
		meet(friend)
		within(time.Minute, "the friend holds a place", func() bool { return through(friend) })
		time.Sleep(2 * relayRetry)
		if !through(friend) || through(strangers[0]) == through(strangers[1]) {
			t.Errorf("later it is reached at %v", home.Addrs())
		}
	})
}

// TestLostHole: two homes whose direct connection is lost as soon as it is there have another soon, while they are still connected through the relay.
func TestLostHole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := sim.New(6)
		defer net.Close()
		defer time.Sleep(time.Minute) // libp2p's AutoNAT ends later than its host
		start := func(kind nat.Kind) *Network { return simulated(t, net, kind, relay.Settings{}) }
		public, there, here := start(nat.Public), start(nat.Cone), start(nat.Cone)
		for _, n := range []*Network{public, there, here} {
			defer n.Close()
		}
		within := func(limit time.Duration, what string, ok func() bool) {
			t.Helper()
			for start := time.Now(); !ok(); time.Sleep(10 * time.Millisecond) {
				if time.Since(start) > limit {
					t.Fatalf("not within %v: %s: %v, %+v", limit, what, there.host.Network().ConnsToPeer(here.ID()), there.punch.of(here.ID()))
				}
			}
		}
		for _, n := range []*Network{there, here} {
			if err := n.Connect(t.Context(), info(public)); err != nil {
				t.Fatal(err)
			}
		}
		circuit := func(a ma.Multiaddr) bool { return maddr.Transport(a) != "relay" }
		within(time.Minute, "a place at the relay", func() bool { return len(slices.DeleteFunc(there.Addrs(), circuit)) > 0 })
		if err := here.Connect(t.Context(), peer.AddrInfo{ID: there.ID(), Addrs: slices.DeleteFunc(there.Addrs(), circuit)}); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			within(15*time.Second, "a direct way", func() bool { return there.Direct(here.ID()) && here.Direct(there.ID()) })
			for _, c := range there.host.Network().ConnsToPeer(here.ID()) {
				if !relayed(c) {
					c.Close()
				}
			}
		}
		within(15*time.Second, "a direct way at last", func() bool { return there.Direct(here.ID()) })
	})
}

// TestCloseLeavesASilentRelay: a node that stops does not wait for a relay that never answers, nor for its connection to time out.
func TestCloseLeavesASilentRelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := sim.New(5)
		defer net.Close()
		defer time.Sleep(time.Minute) // libp2p's AutoNAT ends later than its host
		start := func(kind nat.Kind) *Network { return simulated(t, net, kind, relay.Settings{For: relay.Off}) }
		silent, home := start(nat.Public), start(nat.Cone)
		defer silent.Close()
		defer home.Close()
		asked, end := make(chan struct{}, 10), make(chan struct{})
		defer close(end)
		silent.host.SetStreamHandler(proto.ProtoIDv2Hop, func(s network.Stream) {
			asked <- struct{}{}
			<-end
		})
		if err := home.Connect(t.Context(), info(silent)); err != nil {
			t.Fatal(err)
		}
		<-asked
		began := time.Now()
		if err := home.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it stopped after %v", took)
		}
	})
}
