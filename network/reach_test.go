package network

import (
	"errors"
	"testing"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	ma "github.com/multiformats/go-multiaddr"

	"kith"
	"kith/network/relay"
)

// TestBridge: what AutoNAT v2 finds reaches those who listen to v1, and decides whether this node relays.
func TestBridge(t *testing.T) {
	n := newNode(t)
	sub, err := n.host.EventBus().Subscribe(new(event.EvtLocalReachabilityChanged))
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	a := []ma.Multiaddr{ma.StringCast("/ip4/11.0.1.1/tcp/1")}
	for _, step := range []struct {
		found event.EvtHostReachableAddrsChanged
		want  network.Reachability
	}{
		{event.EvtHostReachableAddrsChanged{Reachable: a}, network.ReachabilityPublic},
		{event.EvtHostReachableAddrsChanged{Unreachable: a}, network.ReachabilityPrivate},
		{event.EvtHostReachableAddrsChanged{Unreachable: a, Unknown: a}, network.ReachabilityUnknown},
	} {
		n.reachable(step.found)
		for told := false; !told; { // sooner or later: what was said before may still be on its way
			select {
			case e := <-sub.Out():
				told = e.(event.EvtLocalReachabilityChanged).Reachability == step.want
			case <-soon(t).Done():
				t.Fatalf("%v is not told", step.want)
			}
		}
		if on := n.Relaying().On; on != (step.want == network.ReachabilityPublic) {
			t.Errorf("%v: it relays: %v", step.want, on)
		}
	}
}

// TestRelaySettings: what was set holds at the next start, unless the configuration says otherwise; off is off.
func TestRelaySettings(t *testing.T) {
	keep := kept(t)
	n := newNode(t, keep)
	if err := n.SetRelay(relay.Settings{For: "nobody"}); !errors.Is(err, kith.Invalid) {
		t.Errorf("settings that make no sense: %v", err)
	}
	n.reachable(event.EvtHostReachableAddrsChanged{Reachable: []ma.Multiaddr{ma.StringCast("/ip4/11.0.1.1/tcp/1")}})
	for _, s := range []relay.Settings{{For: relay.Off}, {For: relay.Contacts, Metered: true, Data: 2 << 20}} {
		if err := n.SetRelay(s); err != nil {
			t.Fatal(err)
		}
		if on := n.Relaying().On; on != (s.For != relay.Off) {
			t.Errorf("%v: it relays: %v", s.For, on)
		}
	}
	n.Close()
	n = newNode(t, keep)
	want := relay.Settings{For: relay.Contacts, Metered: true, Data: 2 << 20}.WithDefaults()
	if got := n.Relaying().Settings; got != want {
		t.Errorf("after a restart: %+v", got)
	}
	n.Close()
	want.For = relay.Strangers
	n = newNode(t, keep, func(c *Config) { c.Relay.For = relay.Strangers })
	if got := n.Relaying().Settings; got != want {
		t.Errorf("with a configuration: %+v", got)
	}
}
