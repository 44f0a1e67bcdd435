package swallow

import (
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	ma "github.com/multiformats/go-multiaddr"
)

// An end is a connection of which only the other end's address is asked.
type end struct {
	network.Conn
	at ma.Multiaddr
}

func (e end) RemoteMultiaddr() ma.Multiaddr { return e.at }

// Holes that are not punched do not make a network seem to swallow UDP while there is a connection over UDP, and do where there is none.
func TestFailedHolesAreNoBlackHole(t *testing.T) {
	for name, c := range map[string]struct {
		addr string
		udp  bool
		ipv6 bool // is swallowed in the end
	}{
		"over TCP":               {"/ip4/11.0.0.1/tcp/4001", true, true},
		"over QUIC":              {"/ip4/11.0.0.1/udp/4001/quic-v1", false, true},
		"over QUIC and IPv6":     {"/ip6/2a00::1/udp/4001/quic-v1", false, false},
		"over TCP and IPv6":      {"/ip6/2a00::1/tcp/4001", true, false},
		"on this network":        {"/ip4/192.168.1.2/udp/4001/quic-v1", true, true},
		"relayed, itself QUIC":   {"/ip4/11.0.0.1/udp/4001/quic-v1/p2p/12D3KooWGRUfoTP8PRS1fVrGCz8rEHeKMs1EURwvyhmqAXjVLmoP/p2p-circuit", true, true},
		"WebTransport, over UDP": {"/ip4/11.0.0.1/udp/4001/quic-v1/webtransport", false, true},
	} {
		w := New()
		for range 2 * Dials {
			w.UDP.RecordResult(false) // a round of attempts
			w.IPv6.RecordResult(false)
			w.Passes([]network.Conn{end{at: ma.StringCast(c.addr)}})
		}
		if w.NoUDP() != c.udp || w.NoIPv6() != c.ipv6 {
			t.Errorf("a connection %s: UDP swallowed %v, IPv6 %v", name, w.NoUDP(), w.NoIPv6())
		}
	}
}
