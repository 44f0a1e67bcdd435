package network

import (
	"net"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"kith/network/maddr"
)

// Health is what the host knows of how it can be reached, now. It asks nobody anything.
type Health struct {
	Reachable, Unreachable, Unknown []ma.Multiaddr // public addresses, as others found them when they dialled them (AutoNAT v2)

	Mapped []ma.Multiaddr  // public addresses that are on no interface: a router's, by UPnP or as others see them
	Given  []ma.Multiaddr  // TCP and UDP ports that the router gave, by UPnP or NAT-PMP, at its own address; bulk streams' among them
	NoUDP  bool            // dials over UDP beyond the local network get no answer: something swallows it
	NoIPv6 bool            // and so over IPv6
	IPv6   bool            // an interface has a public IPv6 address
	Hard   map[string]bool // "TCP", "UDP": whether the NAT gives each destination another port (RFC 4787, 4.1); missing: not known
	Relays []peer.ID       // that hold a place for this node

	Transports map[string]int  // peers beyond the local network, by what they are connected over
	UPnP       bool            // the router was to be asked
	Ahead      []time.Duration // by how much what connected peers signed was from the future when they came, if more than SkewAllowed
	Signed     int             // connected peers that signed something with a time
}

// SkewAllowed is how far clocks may be apart without being remarked upon.
const SkewAllowed = 2 * time.Minute

// Health returns how the host is.
func (n *Network) Health() Health {
	h := Health{Transports: map[string]int{}, Hard: map[string]bool{}, UPnP: !n.cfg.NoUPnP, NoUDP: n.swallow.NoUDP(), NoIPv6: n.swallow.NoIPv6()}
	h.Reachable, h.Unreachable, h.Unknown = n.confirmed()
	for _, l := range n.Listening() {
		a, err := ma.NewMultiaddr(l.Addr)
		if err != nil || l.For == "mdns" {
			continue
		}
		if given := n.given(a[:min(2, len(a))]); given != nil && !slices.ContainsFunc(h.Given, given.Equal) {
			h.Given = append(h.Given, given)
		}
	}
	own := interfaceAddrs()
	h.IPv6 = slices.ContainsFunc(own, func(ip net.IP) bool {
		return ip.To4() == nil && ip.IsGlobalUnicast() && !ip.IsPrivate()
	})
	for _, a := range n.host.Addrs() {
		if maddr.Transport(a) == "relay" {
			if id, err := a.ValueForProtocol(ma.P_P2P); err == nil {
				if p, err := peer.Decode(id); err == nil && !slices.Contains(h.Relays, p) {
					h.Relays = append(h.Relays, p)
				}
			}
			continue
		}
		if ip, err := manet.ToIP(a); err == nil && manet.IsPublicAddr(a) && !slices.ContainsFunc(own, ip.Equal) {
			h.Mapped = append(h.Mapped, a)
		}
	}
	n.mu.Lock()
	for name, hard := range n.hard {
		h.Hard[name] = hard
	}
	n.mu.Unlock()
	for _, p := range n.host.Network().Peers() {
		n.examine(&h, p)
	}
	return h
}

// confirmed returns the public addresses as others found them when they dialled them (AutoNAT v2).
func (n *Network) confirmed() (reachable, unreachable, unknown []ma.Multiaddr) {
	c, ok := n.host.(interface {
		ConfirmedAddrs() (reachable, unreachable, unknown []ma.Multiaddr)
	})
	if !ok {
		return nil, nil, nil
	}
	return c.ConfirmedAddrs()
}

// examine adds what the connection to a peer, and what it signed, tells.
func (n *Network) examine(h *Health, p peer.ID) {
	for _, c := range n.host.Network().ConnsToPeer(p) {
		if a := c.RemoteMultiaddr(); !manet.IsPrivateAddr(a) && !manet.IsIPLoopback(a) {
			h.Transports[maddr.Transport(a)]++
		}
	}
	book, ok := peerstore.GetCertifiedAddrBook(n.host.Peerstore())
	if !ok {
		return
	}
	signed := book.GetPeerRecord(p)
	if signed == nil {
		return
	}
	r, err := signed.Record()
	if err != nil {
		return
	}
	if record, ok := r.(*peer.PeerRecord); ok { // its number is the time at which it was made, in nanoseconds (libp2p RFC 0003)
		h.Signed++
		if ahead := time.Until(time.Unix(0, int64(record.Seq))); ahead > SkewAllowed {
			h.Ahead = append(h.Ahead, ahead)
		}
	}
}

func interfaceAddrs() (ips []net.IP) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			ips = append(ips, n.IP)
		}
	}
	return ips
}

// mapping notes what was found out of the NAT from how others see this node.
func (n *Network) mapping(e event.EvtNATDeviceTypeChanged) {
	name := "TCP"
	if e.TransportProtocol == network.NATTransportUDP {
		name = "UDP"
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if e.NatDeviceType == network.NATDeviceTypeUnknown {
		delete(n.hard, name)
	} else {
		n.hard[name] = e.NatDeviceType == network.NATDeviceTypeEndpointDependent
	}
}
