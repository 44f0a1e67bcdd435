package network

import (
	"net"
	"slices"

	"github.com/libp2p/go-libp2p/core/network"
	basichost "github.com/libp2p/go-libp2p/p2p/host/basic"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"kith/network/maddr"
	"kith/network/router"
)

// mapPorts asks the router for ports (UPnP, NAT-PMP): those that libp2p listens on, and that of bulk streams.
func (n *Network) mapPorts(bulk net.Listener) func(network.Network) basichost.NATManager {
	return func(of network.Network) basichost.NATManager {
		n.router = router.New(alsoBulk{of, bulk})
		return n.router
	}
}

// An alsoBulk is the host's network as who asks for ports sees it: it listens for bulk streams too.
type alsoBulk struct {
	network.Network
	bulk net.Listener // nil: none
}

// ListenAddresses implements network.Network.
func (a alsoBulk) ListenAddresses() []ma.Multiaddr {
	list := a.Network.ListenAddresses()
	if a.bulk != nil {
		if at, err := manet.FromNetAddr(a.bulk.Addr()); err == nil {
			list = append(list, at)
		}
	}
	return list
}

// given returns what comes in at an address that this node listens on, if the router gave a port for it; else nil.
func (n *Network) given(at ma.Multiaddr) ma.Multiaddr {
	if n.router == nil {
		return nil
	}
	return n.router.GetMapping(at)
}

// bulkPort returns the port at which who is at the other end of a connection can open bulk streams; 0: most likely none.
func (n *Network) bulkPort(c network.Conn) uint16 {
	l := n.bulk.listener
	if l == nil {
		return 0
	}
	at, err := manet.FromNetAddr(l.Addr())
	if err != nil {
		return 0
	}
	from := c.RemoteMultiaddr()
	if relayed(c) || !manet.IsPublicAddr(from) {
		return portOf(at)
	}
	if given := n.given(at); given != nil {
		return portOf(given)
	}
	if reachable, unreachable, _ := n.confirmed(); shut(from, reachable, unreachable, interfaceAddrs()) {
		return 0
	}
	return portOf(at)
}

// shut reports whether nobody at an address gets through to a TCP port that the router did not give: others have tried in vain in its family (AutoNAT), or
// it is IPv4 and no interface has a public address.
func shut(from ma.Multiaddr, reachable, unreachable []ma.Multiaddr, own []net.IP) bool {
	ip, err := manet.ToIP(from)
	if err != nil {
		return false
	}
	four := ip.To4() != nil
	alike := func(a ma.Multiaddr) bool {
		ip, err := manet.ToIP(a)
		return err == nil && (ip.To4() != nil) == four && maddr.Transport(a) == "tcp"
	}
	switch {
	case slices.ContainsFunc(reachable, alike):
		return false
	case slices.ContainsFunc(unreachable, alike):
		return true
	}
	return four && !slices.ContainsFunc(own, func(ip net.IP) bool {
		a, err := manet.FromIP(ip)
		return err == nil && ip.To4() != nil && manet.IsPublicAddr(a)
	})
}
