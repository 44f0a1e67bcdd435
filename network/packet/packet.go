// Package packet lets a libp2p host live on another network than the machine's: one whose UDP sockets somebody else makes.
//
// It is for nodes that are tried on a pretended internet, and carries QUIC alone. Its one idea: libp2p's own way to replace sockets (QUICReuse) does
// not reach the second host, with which a node dials back for AutoNAT v2; so the transport brings its sockets along.
package packet

import (
	"net"

	libp2plib "github.com/libp2p/go-libp2p"
	libp2pconfig "github.com/libp2p/go-libp2p/config"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// A Listener makes the UDP sockets of a node. It is given the address to listen on, or an unspecified one with port 0 for a socket that only dials.
type Listener func(local *net.UDPAddr) (net.PacketConn, error)

// Sockets are those of one host. They are closed after it.
type Sockets struct {
	Open   Listener
	Listen []string // multiaddrs on which the host listens
	open   []*quicreuse.ConnManager
}

// A Transport makes a QUIC transport on sockets.
type Transport func(crypto.PrivKey, *quicreuse.ConnManager, connmgr.ConnectionGater, network.ResourceManager) (transport.Transport, error)

// Option makes the transport of a host on these sockets; it is to have no other.
func (s *Sockets) Option(make Transport) libp2plib.Option {
	var from source
	for _, text := range s.Listen {
		if a, err := ma.NewMultiaddr(text); err == nil {
			from.add(a)
		}
	}
	one := func(key crypto.PrivKey, gater connmgr.ConnectionGater, rm network.ResourceManager) (transport.Transport, error) {
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
			quicreuse.OverrideListenUDP(func(_ string, local *net.UDPAddr) (net.PacketConn, error) { return s.Open(local) }))
		if err != nil {
			return nil, err
		}
		s.open = append(s.open, m)
		return make(key, m, gater, rm)
	}
	return libp2plib.Transport(one)
}

// Close closes the sockets.
func (s *Sockets) Close() (err error) {
	for _, m := range s.open {
		if e := m.Close(); err == nil {
			err = e
		}
	}
	return err
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
