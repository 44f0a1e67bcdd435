package network

import (
	"testing"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
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
		for e := range sub.Out() {
			if e.(event.EvtLocalReachabilityChanged).Reachability == step.want {
				break // sooner or later: what was said before may still be on its way
			}
		}
		n.relay.mu.Lock()
		if on := n.relay.service != nil; on != (step.want == network.ReachabilityPublic) {
			t.Errorf("%v: it relays: %v", step.want, on)
		}
		n.relay.mu.Unlock()
	}
}

// TestRelayAllows: friends are served until their hour is used up; strangers never take all places.
func TestRelayAllows(t *testing.T) {
	n := newNode(t)
	n.Befriend(func(p peer.ID) bool { return p == "anna" })
	r := n.relay
	for i := range maxStrangers {
		if !r.AllowReserve(peer.ID(rune('A'+i)), nil) {
			t.Fatalf("stranger %d was refused", i)
		}
	}
	if r.AllowReserve("one more", nil) || !r.AllowReserve("anna", nil) {
		t.Error("a stranger got the place of a friend")
	}
	r.mu.Lock()
	r.pair("anna", "bob").used = RelayPairData
	r.mu.Unlock()
	if r.AllowConnect("bob", nil, "anna") || !r.AllowConnect("carl", nil, "anna") {
		t.Error("a pair that has used its hour is served, or another is not")
	}
	spent := &carried{r: r, begun: true, left: 10}
	if spent.spend(10) != nil || spent.spend(1) == nil {
		t.Error("strangers are not held to what they may send")
	}
}
