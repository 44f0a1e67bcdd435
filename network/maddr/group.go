package maddr

import (
	"net/netip"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// Group names the part of the internet that an address is in: who has one address there has many for little money, and counts no more
// there than one (Heilman et al. 2015, section 6). It is an IPv4 /16 or an IPv6 /32, which providers are given. It is "" for addresses that are not on
// the internet, and for what leads through a relay: there nobody is counted.
func Group(a ma.Multiaddr) string {
	ip, ok := PublicIP(a)
	if !ok {
		return ""
	}
	bits := 32
	if ip.Is4() {
		bits = 16
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return ""
	}
	return p.String()
}

// PublicIP returns the address on the internet that a leads to, unless through a relay.
func PublicIP(a ma.Multiaddr) (ip netip.Addr, ok bool) {
	if a == nil || Transport(a) == "relay" || !manet.IsPublicAddr(a) {
		return netip.Addr{}, false
	}
	std, err := manet.ToIP(a)
	if err != nil {
		return netip.Addr{}, false
	}
	ip, ok = netip.AddrFromSlice(std)
	return ip.Unmap(), ok
}
