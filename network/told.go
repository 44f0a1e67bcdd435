package network

import (
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

const (
	maxTold       = 8 // addresses that others are told
	maxToldRelays = 4 // of which so many lead through relays
)

// Told returns those of Addrs that others are told, in links, invites and cards: plain TCP and QUIC, which every node speaks, through relays
// one of each kind, and loopback only if there is nothing else. A node that has no other kind of address tells what it has.
func (n *Network) Told() []ma.Multiaddr { return told(n.Addrs()) }

func told(addrs []ma.Multiaddr) []ma.Multiaddr {
	var far, near []ma.Multiaddr
	via := map[string]bool{}
	for _, a := range addrs {
		to, _ := peer.SplitAddr(a)
		if n := len(to); n > 3 && to[n-1].Code() == ma.P_CIRCUIT { // /ip4/…/p2p/RELAY/p2p-circuit
			kind := to[0].Protocol().Name + to[n-3].Protocol().Name
			if plainTransport(to[:n-2]) && !via[kind] && len(via) < maxToldRelays {
				via[kind] = true
				far = append(far, a)
			}
			continue
		}
		switch {
		case !plainTransport(to):
		case manet.IsIPLoopback(a):
			near = append(near, a)
		default:
			far = append(far, a)
		}
	}
	for _, set := range [][]ma.Multiaddr{far, near, addrs} {
		if len(set) > 0 {
			return set[:min(len(set), maxTold)]
		}
	}
	return nil
}

// plainTransport reports whether an address ends in TCP or QUIC, with nothing on top.
func plainTransport(a ma.Multiaddr) bool {
	last := len(a) - 1
	return last > 0 && (a[last].Code() == ma.P_TCP || a[last].Code() == ma.P_QUIC_V1)
}
