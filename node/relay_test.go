package node

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"kith"
	"kith/network"
	"kith/network/relay"
)

// What is set is shown, in numbers and in words; what makes no sense changes nothing.
func TestRelayOp(t *testing.T) {
	n := open(t, t.TempDir())
	out, err := n.setRelay(t.Context(), RelayIn{For: "strangers", Data: "128MiB", Rate: "2MiB"})
	if err != nil || out.For != "strangers" || out.Data != 128<<20 || out.Rate != 2<<20 || out.On {
		t.Fatalf("%+v, %v", out, err)
	}
	if out, err = n.setRelay(t.Context(), RelayIn{Metered: "yes"}); err != nil || !out.Metered || out.For != "strangers" || !strings.HasPrefix(out.Says, "contacts: 128 MiB") {
		t.Errorf("%+v, %v", out, err)
	}
	for _, in := range []RelayIn{{Data: "much"}, {Rate: "1"}, {For: "all"}} {
		if _, err := n.setRelay(t.Context(), in); !errors.Is(err, kith.Invalid) {
			t.Errorf("%+v: %v", in, err)
		}
	}
	if now, err := n.setRelay(t.Context(), RelayIn{}); err != nil || now.Data != out.Data || now.Metered != out.Metered {
		t.Errorf("%+v, %v", now, err)
	}
	var text strings.Builder
	if err := out.WriteText(&text, 80); err != nil || !strings.Contains(text.String(), "has not been found reachable") {
		t.Errorf("%s%v", text.String(), err)
	}
}

// Who waits for a relay is told of a contact who could relay too, once there is one, and not of one who has refused.
func TestHeldUp(t *testing.T) {
	a, b := open(t, t.TempDir()), open(t, t.TempDir())
	held := &network.Refused{Relay: a.net.ID(), Verdict: relay.Spent, Until: time.Now().Add(23 * time.Minute), Tried: []peer.ID{a.net.ID()}}
	if says := a.heldUp(held); !strings.HasPrefix(says, "relayed through …") || strings.Contains(says, "could relay") {
		t.Error(says)
	}
	reach, err := b.net.Host().EventBus().Emitter(new(event.EvtHostReachableAddrsChanged))
	if err != nil {
		t.Fatal(err)
	}
	defer reach.Close()
	if err := reach.Emit(event.EvtHostReachableAddrsChanged{Reachable: []ma.Multiaddr{ma.StringCast("/ip4/11.0.1.1/tcp/1")}}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.addPerson(t.Context(), ContactIn{Name: "Rolf", Peer: b.net.ID().String()}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.connect(t.Context(), ConnectIn{Addr: b.net.Addrs()[0].String()}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); !strings.HasSuffix(a.heldUp(held), "; the node of Rolf could relay: ask them to keep it up"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(a.heldUp(held))
		}
	}
	held.Tried = append(held.Tried, b.net.ID())
	if says := a.heldUp(held); strings.Contains(says, "Rolf") {
		t.Error(says)
	}
}
