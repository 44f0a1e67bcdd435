package network

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	ma "github.com/multiformats/go-multiaddr"

	"kith/lab/nat"
	"kith/lab/sim"
	"kith/network/motion"
	"kith/network/relay"
)

// TestSleepForADay closes the lid of a laptop for a day of a fake clock. What expires has expired meanwhile: its connections, its place at a
// relay, and its hour there. Ten seconds after the lid is opened it has its people back, one of whom has moved.
func TestSleepForADay(t *testing.T) {
	if testing.Short() {
		t.Skip("a day's sleep was not tested: -short")
	}
	synctest.Test(t, func(t *testing.T) {
		net := sim.New(3)
		defer net.Close()
		defer time.Sleep(time.Minute) // libp2p's AutoNAT ends later than its host
		start := func(kind nat.Kind, change ...func(*Config)) (*Network, *sim.Host) {
			h, err := net.Add(sim.Spec{Name: "host", Kind: kind, Delay: 20 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			return newNode(t, append(change, func(c *Config) { c.Listen, c.Packets = h.Listen(), h.ListenUDP })...), h
		}
		relay, _ := start(nat.Public, func(c *Config) { c.Relay = relay.Settings{For: relay.Contacts} })
		friend, _ := start(nat.Public)
		mobile, phone := start(nat.Cone)
		laptop, lid := start(nat.Cone)
		for _, n := range []*Network{relay, friend, mobile, laptop} {
			defer n.Close()
		}
		relay.Befriend(func(peer.ID) bool { return true })
		for _, n := range []*Network{friend, mobile, laptop} {
			if err := n.Connect(t.Context(), info(relay)); err != nil {
				t.Fatal(err)
			}
		}
		if err := laptop.Connect(t.Context(), info(friend)); err != nil {
			t.Fatal(err)
		}
		relay.relay.Serve(true)
		if _, err := client.Reserve(t.Context(), laptop.Host(), info(relay)); err != nil {
			t.Fatal(err)
		}
		place, circuit := laptop.host.Network().ConnsToPeer(relay.ID())[0], laptop.host.Network().ConnsToPeer(friend.ID())[0]
		time.Sleep(time.Minute)

		lid.Plug(false)
		phone.Move()
		time.Sleep(24 * time.Hour)
		if !place.IsClosed() || !circuit.IsClosed() || relay.Direct(laptop.ID()) {
			t.Error("after a day, connections are believed to live")
		}
		via := peer.AddrInfo{ID: laptop.ID(), Addrs: []ma.Multiaddr{relay.Addrs()[0].Encapsulate(ma.StringCast("/p2p-circuit"))}}
		if err := friend.Connect(t.Context(), via); err == nil || !strings.Contains(err.Error(), "it is not at its relay") {
			t.Errorf("after a day, its place at the relay is kept: %v", err)
		}
		lid.Plug(true)
		opened := time.Now()
		laptop.mover.moved(motion.Change{Slept: 24 * time.Hour}, laptop.mover.addrs())
		for !laptop.Direct(relay.ID()) || !laptop.Direct(friend.ID()) {
			if time.Since(opened) > 10*time.Second {
				t.Fatalf("ten seconds after the lid was opened it has the relay %v, its friend %v", laptop.Direct(relay.ID()), laptop.Direct(friend.ID()))
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Logf("all are back after %v", time.Since(opened))
		if !mobile.Direct(relay.ID()) {
			t.Error("who moved meanwhile did not find the relay again")
		}
	})
}
