// Package maddr reads addresses: over which transport, in which part of the internet, and which of several is tried first.
package maddr

import (
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// How long a kind of address waits for the kinds that are better.
const (
	behindFamily = 30 * time.Millisecond  // IPv6 for IPv4, on the local network
	behindTCP    = 60 * time.Millisecond  // QUIC for TCP, there
	behindAll    = 250 * time.Millisecond // what browsers use, there
	behindLocal  = 50 * time.Millisecond  // public addresses for local ones
)

// Rank says in which order the addresses of a peer are tried. On the machine and the local network TCP goes first: there QUIC, which is
// made in user space, costs 2.5 times as much for each byte. Elsewhere it is libp2p's order, QUIC first, which crosses
// more routers. All are tried in the end, so that who has only one of them is reached.
func Rank(addrs []ma.Multiaddr) []network.AddrDelay {
	var ranked []network.AddrDelay
	var others []ma.Multiaddr
	for _, a := range addrs {
		if _, err := a.ValueForProtocol(ma.P_CIRCUIT); err == nil || !manet.IsPrivateAddr(a) {
			others = append(others, a)
			continue
		}
		delay := behindAll
		switch Transport(a) {
		case "tcp":
			delay = 0
		case "quic":
			delay = behindTCP
		}
		if _, err := a.ValueForProtocol(ma.P_IP6); err == nil {
			delay += behindFamily
		}
		ranked = append(ranked, network.AddrDelay{Addr: a, Delay: delay})
	}
	rest := swarm.DefaultDialRanker(others)
	for i := range rest {
		if len(ranked) > 0 {
			rest[i].Delay += behindLocal
		}
	}
	return append(ranked, rest...)
}

// Transport names the transport of an address: tcp, quic, ws, webtransport, webrtc-direct, or relay.
func Transport(a ma.Multiaddr) string {
	name := ""
	ma.ForEach(a, func(c ma.Component) bool {
		switch c.Protocol().Code {
		case ma.P_CIRCUIT:
			name = "relay"
			return false
		case ma.P_TCP:
			name = "tcp"
		case ma.P_WS, ma.P_WSS:
			name = "ws"
		case ma.P_QUIC_V1:
			name = "quic"
		case ma.P_WEBTRANSPORT:
			name = "webtransport"
		case ma.P_WEBRTC_DIRECT:
			name = "webrtc-direct"
		}
		return true
	})
	return name
}
