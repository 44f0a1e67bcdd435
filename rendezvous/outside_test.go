package rendezvous

import (
	"net"
	"testing"

	ma "github.com/multiformats/go-multiaddr"

	"kith/network"
)

func TestOutside(t *testing.T) {
	list := func(texts ...string) (out []ma.Multiaddr) {
		for _, s := range texts {
			out = append(out, ma.StringCast(s))
		}
		return out
	}
	const quic4, quic6 = "/ip4/11.0.0.7/udp/4001/quic-v1", "/ip6/2a00::7/udp/4001/quic-v1"
	own := []net.IP{net.ParseIP("11.0.0.7"), net.ParseIP("192.168.1.7"), net.ParseIP("2a00::7")}
	local := list("/ip4/192.168.1.7/udp/4001/quic-v1", "/ip4/127.0.0.1/udp/4001/quic-v1")
	for _, c := range []struct {
		what string
		h    network.Health
		all  []ma.Multiaddr
		ip6  bool
		want string // "": not to be reached
		own  bool
	}{
		{"at home, nothing known", network.Health{}, local, false, "", false},
		{"a public address that nobody has tried", network.Health{}, list(quic4), false, "11.0.0.7:4001", true},
		{"IPv6 that nobody has tried", network.Health{}, list(quic6), true, "", false},
		{"found unreachable", network.Health{Unreachable: list(quic4)}, list(quic4), false, "", false},
		{"found reachable", network.Health{Reachable: list(quic4, quic6)}, list(quic4, quic6), false, "11.0.0.7:4001", true},
		{"found reachable over IPv6", network.Health{Reachable: list(quic4, quic6)}, nil, true, "[2a00::7]:4001", true},
		{"a port of the router's", network.Health{}, list("/ip4/11.0.0.9/udp/5001/quic-v1"), false, "11.0.0.9:5001", false},
		{"reachable over TCP only", network.Health{Reachable: list("/ip4/11.0.0.7/tcp/4001"), Unreachable: list(quic4)}, list(quic4), false, "", false},
		{"only what browsers use", network.Health{}, list("/ip4/11.0.0.7/udp/4001/webrtc-direct", quic4+"/webtransport", "/ip4/11.0.0.7/tcp/4001/ws"), false, "", false},
		{"through a relay", network.Health{}, list(quic4 + "/p2p/12D3KooWPA6ax6t3jqTyGq73Zm1RmwppYqxaXzrtarfcTWGp5Wzx/p2p-circuit"), false, "", false},
	} {
		at, isOwn, ok := outside(c.h, c.all, own, c.ip6)
		if ok != (c.want != "") || ok && at.String() != c.want || isOwn != c.own {
			t.Errorf("%s: %s, own %v, %v", c.what, at, isOwn, ok)
		}
	}
}
