package network

import (
	libp2plib "github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
)

// When a network is taken to swallow what is sent over UDP, or over IPv6: when of so many dials to public addresses so few succeeded. A node dials less than
// libp2p's defaults are made for (100), and many of its dials end because another was faster.
const (
	holeDials     = 24
	holeSuccesses = 1
)

// holes notices when the network swallows a kind of packet. libp2p then leaves such addresses out, but for every holeDials-th dial, so that nobody
// waits for them; a dial that succeeds all the same, or another network, ends it.
type holes struct {
	udp, ipv6 *swarm.BlackHoleSuccessCounter
}

func newHoles() holes {
	return holes{
		&swarm.BlackHoleSuccessCounter{N: holeDials, MinSuccesses: holeSuccesses, Name: "UDP"},
		&swarm.BlackHoleSuccessCounter{N: holeDials, MinSuccesses: holeSuccesses, Name: "IPv6"},
	}
}

// options has libp2p use them; over packets nothing but UDP is there, so that it is no question whether that passes, and who is not sure of it would dial nobody back (AutoNAT v2).
func (h holes) options(packets bool) []libp2plib.Option {
	if packets {
		return []libp2plib.Option{libp2plib.UDPBlackHoleSuccessCounter(nil), libp2plib.IPv6BlackHoleSuccessCounter(h.ipv6)}
	}
	return []libp2plib.Option{libp2plib.UDPBlackHoleSuccessCounter(h.udp), libp2plib.IPv6BlackHoleSuccessCounter(h.ipv6)}
}

// forget lets everything be tried again: the network is another one.
func (h holes) forget() {
	for _, c := range []*swarm.BlackHoleSuccessCounter{h.udp, h.ipv6} {
		if swallowed(c) {
			c.RecordResult(true)
		}
	}
}

func swallowed(c *swarm.BlackHoleSuccessCounter) bool { return c.State().String() == "Blocked" }
