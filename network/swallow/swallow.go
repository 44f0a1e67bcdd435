// Package swallow notices when the network swallows what is sent over UDP, or over IPv6.
//
// It is libp2p's detection, which then leaves such addresses out, but for every 24th dial, so that nobody waits for them; a dial that succeeds all the same, or another
// network, ends it. Its one idea beyond that: a dial that fails says nothing of the network while a connection of the same kind lives.
package swallow

import (
	libp2plib "github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// When a network is taken to swallow a kind of packet: when of so many dials to public addresses so few succeeded. A node dials less than libp2p's defaults are made for
// (100), and many of its dials end because another was faster.
const (
	Dials     = 24
	successes = 1
)

// A Watch looks out for it. Its methods may be called at once.
type Watch struct {
	UDP, IPv6 *swarm.BlackHoleSuccessCounter
}

// New begins to look out.
func New() Watch {
	return Watch{
		&swarm.BlackHoleSuccessCounter{N: Dials, MinSuccesses: successes, Name: "UDP"},
		&swarm.BlackHoleSuccessCounter{N: Dials, MinSuccesses: successes, Name: "IPv6"},
	}
}

// Options has libp2p use it; over packets nothing but UDP is there, so that it is no question whether that passes, and who is not sure of it would dial nobody back (AutoNAT v2).
func (w Watch) Options(packets bool) []libp2plib.Option {
	udp := w.UDP
	if packets {
		udp = nil
	}
	return []libp2plib.Option{libp2plib.UDPBlackHoleSuccessCounter(udp), libp2plib.IPv6BlackHoleSuccessCounter(w.IPv6)}
}

// Forget lets everything be tried again: the network is another one.
func (w Watch) Forget() {
	for _, c := range []*swarm.BlackHoleSuccessCounter{w.UDP, w.IPv6} {
		if swallowed(c) {
			c.RecordResult(true)
		}
	}
}

// Passes counts connections to public addresses that live as successes: dials that fail for another reason, such as those that try to punch a hole, do not add up to a network
// that swallows packets while others are seen to pass.
func (w Watch) Passes(conns []network.Conn) {
	var udp, ipv6 bool
	for _, c := range conns {
		a := c.RemoteMultiaddr()
		if _, err := a.ValueForProtocol(ma.P_CIRCUIT); err == nil || !manet.IsPublicAddr(a) {
			continue
		}
		_, err := a.ValueForProtocol(ma.P_UDP)
		udp = udp || err == nil
		_, err = a.ValueForProtocol(ma.P_IP6)
		ipv6 = ipv6 || err == nil
	}
	if udp {
		w.UDP.RecordResult(true)
	}
	if ipv6 {
		w.IPv6.RecordResult(true)
	}
}

// NoUDP reports whether UDP is swallowed, and NoIPv6 whether IPv6 is.
func (w Watch) NoUDP() bool  { return swallowed(w.UDP) }
func (w Watch) NoIPv6() bool { return swallowed(w.IPv6) }

func swallowed(c *swarm.BlackHoleSuccessCounter) bool { return c.State().String() == "Blocked" }
