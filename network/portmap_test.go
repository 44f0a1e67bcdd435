package network

import (
	"net"
	"testing"

	ma "github.com/multiformats/go-multiaddr"
)

// TestShut: who cannot get in is not told a port, so that they do not wait for it.
func TestShut(t *testing.T) {
	four, six := ma.StringCast("/ip4/11.0.1.9/udp/1/quic-v1"), ma.StringCast("/ip6/2a00::9/udp/1/quic-v1")
	tcp4, tcp6, quic6 := ma.StringCast("/ip4/11.0.1.1/tcp/1"), ma.StringCast("/ip6/2a00::1/tcp/1"), ma.StringCast("/ip6/2a00::1/udp/1/quic-v1")
	home, public := net.ParseIP("192.168.1.2"), net.ParseIP("11.0.1.1")
	for _, c := range []struct {
		says            string
		from            ma.Multiaddr
		reached, missed ma.Multiaddr
		own             net.IP
		want            bool
	}{
		{"behind a router", four, nil, nil, home, true},
		{"behind a router that forwards the ports", four, tcp4, nil, home, false},
		{"a public address", four, nil, nil, public, false},
		{"a public address and a firewall", four, nil, tcp4, public, true},
		{"IPv6, and nobody has tried", six, nil, nil, home, false},
		{"IPv6 and a firewall", six, nil, tcp6, home, true},
		{"IPv6, where only QUIC was tried", six, nil, quic6, home, false},
		{"what is known of IPv4 says nothing of IPv6", six, nil, tcp4, home, false},
	} {
		var reached, missed []ma.Multiaddr
		if c.reached != nil {
			reached = append(reached, c.reached)
		}
		if c.missed != nil {
			missed = append(missed, c.missed)
		}
		if got := shut(c.from, reached, missed, []net.IP{c.own}); got != c.want {
			t.Errorf("%s: %v", c.says, got)
		}
	}
}
