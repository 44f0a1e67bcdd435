// Package told chooses which of a node's addresses go into links, invites and cards.
//
// It is for what is written down and sent to people, where room is short. It is not for what connected peers tell each other (identify). Its one idea:
// a few addresses that every node can use, and what leads through one relay stays together.
package told

import (
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

const (
	maxTold       = 8 // addresses that others are told
	maxToldRelays = 6 // of which so many lead through relays
)

// Of returns those of a node's addresses, the most useful first, that others are told: plain TCP and QUIC, which every node speaks, through each relay
// one of each kind, one relay after the other, and loopback only if there is nothing else. A node that has no other kind of address tells what it has.
func Of(addrs []ma.Multiaddr) []ma.Multiaddr {
	var far, near []ma.Multiaddr
	through := throughRelays(addrs)
	for _, a := range addrs {
		to, _ := peer.SplitAddr(a)
		switch {
		case circuit(to):
			far, through = append(far, through...), nil
		case !Plain(to):
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

// throughRelays returns those of addrs that others are told and that lead through relays: one relay's are together, so that a short link, which has room for
// one relay, holds all of them.
func throughRelays(addrs []ma.Multiaddr) (list []ma.Multiaddr) {
	var relays []peer.ID
	by := map[peer.ID][]ma.Multiaddr{}
	told := map[string]bool{}
	for _, a := range addrs {
		to, _ := peer.SplitAddr(a)
		n := len(to)
		if n < 4 || !circuit(to) || !Plain(to[:n-2]) { // /ip4/…/p2p/RELAY/p2p-circuit
			continue
		}
		_, r := peer.SplitAddr(to[:n-1])
		kind := string(r) + to[0].Protocol().Name + to[n-3].Protocol().Name
		if told[kind] {
			continue
		}
		if told[kind] = true; by[r] == nil {
			relays = append(relays, r)
		}
		by[r] = append(by[r], a)
	}
	for _, r := range relays {
		list = append(list, by[r]...)
	}
	return list[:min(len(list), maxToldRelays)]
}

// circuit reports whether an address, without whom it leads to, leads through a relay.
func circuit(to ma.Multiaddr) bool { return len(to) > 0 && to[len(to)-1].Code() == ma.P_CIRCUIT }

// Plain reports whether an address ends in TCP or QUIC, with nothing on top.
func Plain(a ma.Multiaddr) bool {
	last := len(a) - 1
	return last > 0 && (a[last].Code() == ma.P_TCP || a[last].Code() == ma.P_QUIC_V1)
}
