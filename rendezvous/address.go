package rendezvous

import "net/netip"

// unwanted are the addresses that nobody on the internet can have (RFC 6890), and those that are but another way to write an IPv4 address.
var unwanted = func() (list []netip.Prefix) {
	for _, s := range []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24",
		"192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
		"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
	} {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}()

var global6 = netip.MustParsePrefix("2000::/3")

// public reports whether a packet may be sent to an address that somebody named who need not be honest: it can be one of the internet's, and its port
// is none of those on which servers listen that have never heard of us.
func public(a netip.AddrPort) bool {
	ip := a.Addr().Unmap()
	if a.Port() < 1024 && a.Port() != 443 || !ip.IsValid() || ip.Zone() != "" || ip.Is6() && !global6.Contains(ip) {
		return false
	}
	for _, p := range unwanted {
		if p.Contains(ip) {
			return false
		}
	}
	return true
}

// wanted is public, or, for tests on one computer, whether the address is one of its loopback.
func wanted(a netip.AddrPort, loopback bool) bool {
	if loopback {
		return a.Addr().Unmap().IsLoopback() && a.Port() >= 1024
	}
	return public(a)
}

// plain writes an IPv4 address as one, however it came.
func plain(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// home is what one household has: an IPv4 address, or an IPv6 /64.
func home(ip netip.Addr) netip.Addr {
	if ip.Is4() {
		return ip
	}
	p, err := ip.Prefix(64)
	if err != nil {
		return ip
	}
	return p.Addr()
}
