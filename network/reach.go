package network

import (
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
)

// reachable tells what still listens to AutoNAT v1 (the overlay's mode, relays) what AutoNAT v2 has found out of each address. Nobody here
// serves v1, and in go-libp2p v0.51 nothing else bridges the two.
func (n *Network) reachable(e event.EvtHostReachableAddrsChanged) {
	r := network.ReachabilityUnknown
	switch {
	case len(e.Reachable) > 0:
		r = network.ReachabilityPublic
	case len(e.Unreachable) > 0 && len(e.Unknown) == 0:
		r = network.ReachabilityPrivate
	}
	em, err := n.host.EventBus().Emitter(new(event.EvtLocalReachabilityChanged), eventbus.Stateful)
	if err != nil {
		n.log.Warn("reachability not told", "err", err)
		return
	}
	defer em.Close()
	if err := em.Emit(event.EvtLocalReachabilityChanged{Reachability: r}); err != nil {
		n.log.Warn("reachability not told", "err", err)
	}
}
