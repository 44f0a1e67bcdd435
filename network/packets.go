package network

import (
	"net"

	libp2plib "github.com/libp2p/go-libp2p"
	libp2pconfig "github.com/libp2p/go-libp2p/config"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/transport"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// Packets makes the UDP sockets of a node that lives on another network than the machine's. It is given the address to listen on, or
// an unspecified one with port 0 for a socket that only dials.
type Packets func(local *net.UDPAddr) (net.PacketConn, error)

// overPackets is the one transport of a host that has cfg.Packets: QUIC. libp2p's own way to replace sockets (QUICReuse) does not
// reach the second host, with which it dials back for AutoNAT v2; so the transport brings its sockets along.
func (n *Network) overPackets(cert libp2ptls.IdentityOption) libp2plib.Option {
	var from source
	for _, s := range n.cfg.Listen {
		if a, err := ma.NewMultiaddr(s); err == nil {
			from.add(a)
		}
	}
	return libp2plib.Transport(func(key crypto.PrivKey, gater connmgr.ConnectionGater, rm network.ResourceManager) (transport.Transport, error) {
		reset, err := libp2pconfig.PrivKeyToStatelessResetKey(key)
		if err != nil {
			return nil, err
		}
		token, err := libp2pconfig.PrivKeyToTokenGeneratorKey(key)
		if err != nil {
			return nil, err
		}
		m, err := quicreuse.NewConnManager(reset, token,
			quicreuse.VerifySourceAddress(rm.VerifySourceAddress),
			quicreuse.OverrideSourceIPSelector(func() (quicreuse.SourceIPSelector, error) { return from, nil }),
			quicreuse.OverrideListenUDP(func(_ string, local *net.UDPAddr) (net.PacketConn, error) { return n.cfg.Packets(local) }))
		if err != nil {
			return nil, err
		}
		n.quic = append(n.quic, m)
		return n.overQUIC(key, m, gater, rm, cert)
	})
}

// A source says from which of the addresses that a host listens on it dials: the last of the same family.
type source struct{ ip4, ip6 net.IP }

func (s *source) add(a ma.Multiaddr) {
	ip, err := manet.ToIP(a)
	switch {
	case err != nil:
	case ip.To4() != nil:
		s.ip4 = ip
	default:
		s.ip6 = ip
	}
}

// PreferredSourceIPForDestination implements quicreuse.SourceIPSelector.
func (s source) PreferredSourceIPForDestination(to *net.UDPAddr) (net.IP, error) {
	switch {
	case to.IP.To4() != nil && s.ip4 != nil:
		return s.ip4, nil
	case to.IP.To4() == nil && s.ip6 != nil:
		return s.ip6, nil
	}
	return net.IPv6unspecified, nil
}
