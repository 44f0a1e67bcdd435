package mirror

import (
	"context"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
)

// TestAsk: the answer is the port that the node listens on, and the two are not connected afterwards.
func TestAsk(t *testing.T) {
	var hosts [2]host.Host
	for i := range hosts {
		h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableMetrics())
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		hosts[i] = h
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	a, b := hosts[0], hosts[1]
	at := b.Addrs()[0]
	local, seen, err := Ask(ctx, a.Network().(*swarm.Swarm).TransportForDialing(at), at, b.ID())
	if err != nil {
		t.Fatal(err)
	}
	if mine := a.Addrs()[0]; !seen.Equal(mine) || !local.Equal(mine) {
		t.Errorf("%s was dialled from %s and seen as %s", mine, local, seen)
	}
	if len(a.Network().Peers()) != 0 {
		t.Error("who asked stays connected")
	}
	if _, _, err := Ask(ctx, a.Network().(*swarm.Swarm).TransportForDialing(at), at, peer.ID("another")); err == nil {
		t.Error("somebody else's answer was taken")
	}
}
