// Package nat makes homes behind real NATs: a small internet of network namespaces, in which programs can be tried from behind the
// routers that people have.
//
// The internet is one bridge with public addresses (11.0.0.0/8 and 2a00::/16: what looks private is ignored by AutoNAT, hole punching
// and relays) and no way out of the machine. A home is a host behind one router, or two; a public host sits on the bridge itself. The
// routers are Linux' own, told by nftables how to map and what to let through; all of them drop what nobody inside has asked for.
// It has no slow lines (lab/link has), and no lies: packets go through the kernel's NAT as they would in a router.
package nat

import (
	"fmt"
	"net/netip"

	"kith"
)

// A Kind is what stands between a host and the internet.
type Kind string

// The kinds.
const (
	Public     Kind = "public"      // nothing: IPv4 and IPv6
	Cone       Kind = "cone"        // IPv4; keeps ports, so that a socket has one address for the whole world; lets in answers only
	Symmetric  Kind = "symmetric"   // IPv4; another, random port for each address and port that a socket talks to
	UDPBlocked Kind = "udp-blocked" // IPv4, as Cone, but without UDP
	TCPOnly    Kind = "tcp-only"    // IPv4, as Symmetric, but with nothing except TCP: no UDP, no ICMP
	IPv6Only   Kind = "ipv6-only"   // IPv6, an address of its own, and a firewall that lets in answers only
	Double     Kind = "double"      // IPv4, Cone behind Cone, as with a provider's NAT
	UPnP       Kind = "upnp"        // IPv4, as Cone, and gives ports to who asks by UPnP or NAT-PMP: Debian's miniupnpd runs on it
)

// Kinds is all that need nothing but the kernel.
var Kinds = []Kind{Public, Cone, Symmetric, UDPBlocked, TCPOnly, IPv6Only, Double}

// MaxHosts is how many hosts a Net may have.
const MaxHosts = 200

// A Spec describes a host.
type Spec struct {
	Name string
	Kind Kind
}

func check(specs []Spec) error {
	if n := len(specs); n < 1 || n > MaxHosts {
		return fmt.Errorf("nat: %d hosts, not 1 to %d: %w", n, MaxHosts, kith.Invalid)
	}
	names := map[string]bool{}
	for _, s := range specs {
		if s.Name == "" || names[s.Name] {
			return fmt.Errorf("nat: host name %q is empty or taken: %w", s.Name, kith.Invalid)
		}
		if _, ok := rules[s.Kind]; !ok && s.Kind != Public {
			return fmt.Errorf("nat: host %s: no kind %q: %w", s.Name, s.Kind, kith.Invalid)
		}
		names[s.Name] = true
	}
	return nil
}

// rules is what a router of each kind adds to the rules that all have: nat chains and what may go out.
var rules = map[Kind]string{
	Cone:       `table ip nat { chain out { type nat hook postrouting priority srcnat; oifname "wan0" masquerade; }; }`,
	Double:     `table ip nat { chain out { type nat hook postrouting priority srcnat; oifname "wan0" masquerade; }; }`,
	Symmetric:  `table ip nat { chain out { type nat hook postrouting priority srcnat; oifname "wan0" masquerade random,fully-random; }; }`,
	UDPBlocked: `table ip nat { chain out { type nat hook postrouting priority srcnat; oifname "wan0" masquerade; }; }; table inet cut { chain forward { type filter hook forward priority -1; meta l4proto udp drop; }; }`,
	TCPOnly:    `table ip nat { chain out { type nat hook postrouting priority srcnat; oifname "wan0" masquerade random,fully-random; }; }; table inet cut { chain forward { type filter hook forward priority -1; meta l4proto != tcp drop; }; }`,
	IPv6Only:   ``,
	UPnP: `table inet nat {
		chain in { type nat hook prerouting priority dstnat; jump given_in; }
		chain out { type nat hook postrouting priority srcnat; jump given_out; oifname "wan0" masquerade; }
		chain given_in { }
		chain given_out { }
	}
	table inet filter { chain given { }; chain forward { jump given; }; }`,
}

// giving is the configuration of miniupnpd for these rules.
const giving = `ext_ifname=wan0
listening_ip=lan0
port=0
enable_natpmp=yes
enable_upnp=yes
secure_mode=yes
uuid=2ef7e2c0-6e5a-4a4e-9d3b-5a1f1d2b7c00
upnp_table_name=filter
upnp_nat_table_name=nat
upnp_forward_chain=given
upnp_nat_chain=given_in
upnp_nat_postrouting_chain=given_out
allow 1024-65535 0.0.0.0/0 1024-65535
`

// closed is what all routers have: a way out, the way back, and silence for everybody else.
const closed = `table inet filter {
	chain forward { type filter hook forward priority 0; policy drop; ct state established,related accept; iifname "lan0" oifname "wan0" accept; }
	chain input { type filter hook input priority 0; policy drop; ct state established,related accept; iifname != "wan0" accept; icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept; }
}
`

// quiet is what public hosts have: they share a bridge, not a home, so that nothing local is heard there.
const quiet = `table inet filter { chain input { type filter hook input priority 0; udp dport 5353 drop; }; }`

// Addresses. Member i of the bridge is a public host or the outermost router of a home.
func wan4(i int) netip.Addr { return netip.AddrFrom4([4]byte{11, 0, 1, byte(i + 1)}) }
func wan6(i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("2a00:ffff::%x", i+1)) }
func lan6(i int) string     { return fmt.Sprintf("2a00:0:%x:", i+1) } // a /48, without its end
