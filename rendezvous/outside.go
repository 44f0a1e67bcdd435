package rendezvous

import (
	"net"
	"net/netip"
	"slices"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"kith/network"
)

// Outside returns where a node can be reached from the internet over QUIC, with IPv4 or IPv6, and whether that is an address of this computer itself; ok is false
// if it cannot. What others found (AutoNAT v2) counts most. While nobody has tried, a public IPv4 address among all is believed, the router's if it gave a port,
// and no IPv6 address: most routers let nothing in to those.
func Outside(h network.Health, all []ma.Multiaddr, ip6 bool) (at netip.AddrPort, own, ok bool) {
	var interfaces []net.IP
	if addrs, err := net.InterfaceAddrs(); err == nil {
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok {
				interfaces = append(interfaces, n.IP)
			}
		}
	}
	return outside(h, all, interfaces, ip6)
}

func outside(h network.Health, all []ma.Multiaddr, interfaces []net.IP, ip6 bool) (at netip.AddrPort, own, ok bool) {
	find := func(list []ma.Multiaddr) bool {
		for _, a := range list {
			if at, ok = quicAt(a); ok && at.Addr().Is6() == ip6 {
				return true
			}
		}
		return false
	}
	ok = find(h.Reachable) || !find(h.Unreachable) && !ip6 && find(all)
	if !ok {
		return netip.AddrPort{}, false, false
	}
	return at, slices.ContainsFunc(interfaces, net.IP(at.Addr().AsSlice()).Equal), true
}

// quicAt returns the address and port of a public address that is plain QUIC.
func quicAt(a ma.Multiaddr) (netip.AddrPort, bool) {
	if len(a) != 3 || a[2].Code() != ma.P_QUIC_V1 || !manet.IsPublicAddr(a) {
		return netip.AddrPort{}, false
	}
	to, err := manet.ToNetAddr(a[:2])
	u, isUDP := to.(*net.UDPAddr)
	if err != nil || !isUDP {
		return netip.AddrPort{}, false
	}
	at := u.AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), true
}
