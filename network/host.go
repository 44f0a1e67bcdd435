package network

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	libp2plib "github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	webrtc "github.com/libp2p/go-libp2p/p2p/transport/webrtc"
	ws "github.com/libp2p/go-libp2p/p2p/transport/websocket"
	webtransport "github.com/libp2p/go-libp2p/p2p/transport/webtransport"
	ma "github.com/multiformats/go-multiaddr"

	"kith"
	"kith/internal/secure"
	"kith/network/maddr"
	"kith/network/packet"
)

const (
	maxAddrs     = 32   // addresses that are kept of one peer (defect 9: lists without end)
	maxAllAddrs  = 8192 // addresses that are kept of peers that are not connected, in all
	maxRecords   = 2048 // signed address records that are kept
	maxProtocols = 256  // protocols that are kept of one peer
	dialTimeout  = 10 * time.Second
	streamWindow = 16 << 20 // bytes a yamux stream may have in flight: 1.3 Gbit/s at 100 ms
)

// startHost makes the host and the bulk listener, on the ports that ports chooses.
func (n *Network) startHost(ctx context.Context) error {
	rm, err := n.cfg.Limits.resources()
	if err != nil {
		return fmt.Errorf("network: limits: %w", err)
	}
	cm, err := n.cfg.Limits.connections()
	if err != nil {
		return fmt.Errorf("network: limits: %w", err)
	}
	ps, err := pstoremem.NewPeerstore(
		pstoremem.WithMaxAddressesPerPeer(maxAddrs), pstoremem.WithMaxAddresses(maxAllAddrs),
		pstoremem.WithMaxSignedPeerRecords(maxRecords), pstoremem.WithMaxProtocols(maxProtocols))
	if err != nil {
		return fmt.Errorf("network: peerstore: %w", err)
	}
	cert, err := secure.Ageless()
	if err != nil {
		return err
	}
	ports, err := n.choosePorts()
	if err != nil {
		return err
	}
	paced := n.cfg.Limits.pace(n.ctx, rm)
	opts := []libp2plib.Option{
		libp2plib.Identity(n.cfg.Key),
		libp2plib.UserAgent("kith/" + n.cfg.Version), // says nothing of the person or the machine
		libp2plib.ProtocolVersion("kith/1"),
		libp2plib.Muxer(yamux.ID, muxer()),
		libp2plib.Peerstore(ps),
		libp2plib.ResourceManager(paced),
		libp2plib.ConnectionManager(cm),
		libp2plib.ConnectionGater(n.gater),
		libp2plib.SwarmOpts(swarm.WithDialRanker(maddr.Rank)),
		libp2plib.WithDialTimeout(dialTimeout),
		libp2plib.EnableRelay(),
		libp2plib.AddrsFactory(func(addrs []ma.Multiaddr) []ma.Multiaddr { return announced(n.mover.correct(addrs)) }),
		libp2plib.EnableAutoNATv2(),
		libp2plib.DisableMetrics(),
		libp2plib.ListenAddrStrings(ports.addrs...),
	}
	opts = append(opts, n.secured(cert)...)
	opts = append(opts, n.transports(cert)...)
	opts = append(opts, n.swallow.Options(n.cfg.Packets != nil)...)
	if !n.cfg.NoUPnP {
		opts = append(opts, libp2plib.NATManager(n.mapPorts(ports.bulk)))
	}
	h, err := libp2plib.New(opts...)
	if err != nil {
		ports.close()
		err = fmt.Errorf("network: listen on %.200s: %v: %w", strings.Join(ports.addrs, " "), firstCause(err), kith.Invalid)
		return kith.Hint(err, "choose other addresses with --listen, as in /ip4/0.0.0.0/tcp/4001")
	}
	n.host = h
	back := n.dialledBack
	n.gater.back.Store(&back)
	if n.Private() { // who was let in while the list changed
		h.Network().Notify(&network.NotifyBundle{ConnectedF: func(_ network.Network, c network.Conn) {
			if !n.gater.allows(c.RemotePeer()) {
				n.run(func() { c.Close() })
			}
		}})
	}
	if got := len(n.listening()); got < len(ports.addrs) { // libp2p is content with one
		n.note("only %d of the %d addresses to listen on could be used", got, len(ports.addrs))
	}
	return n.startBulk(paced, ports, cert)
}

// secured returns how connections are secured. In a private network it is only what can carry the proof of a member: TLS.
func (n *Network) secured(cert libp2ptls.IdentityOption) []libp2plib.Option {
	if d := n.cfg.Door; d != nil {
		return []libp2plib.Option{libp2plib.Security(libp2ptls.ID, d.Security(cert))}
	}
	return []libp2plib.Option{
		libp2plib.Security(libp2ptls.ID, secure.New(cert, nil, dialTimeout)), // first: half the time of Noise on a fast path
		libp2plib.Security(noise.ID, noise.New),
	}
}

// transports returns what connections are made of. Those that secure themselves are in a private network only the one whose certificates can carry the
// proof of a member: QUIC.
func (n *Network) transports(cert libp2ptls.IdentityOption) []libp2plib.Option {
	if n.cfg.Packets != nil {
		n.sockets = &packet.Sockets{Open: n.cfg.Packets, Listen: n.cfg.Listen}
		return []libp2plib.Option{n.sockets.Option(func(key crypto.PrivKey, m *quicreuse.ConnManager, gater connmgr.ConnectionGater, rm network.ResourceManager) (transport.Transport, error) {
			return n.overQUIC(key, m, gater, rm, cert)
		})}
	}
	list := []libp2plib.Option{libp2plib.ShareTCPListener(), libp2plib.Transport(tcp.NewTCPTransport), libp2plib.Transport(ws.New)}
	if n.cfg.Door != nil {
		return append(list,
			libp2plib.Transport(func(key crypto.PrivKey, cm *quicreuse.ConnManager, gater connmgr.ConnectionGater, rm network.ResourceManager) (transport.Transport, error) {
				return n.overQUIC(key, cm, gater, rm, cert)
			}))
	}
	return append(list,
		libp2plib.Transport(quic.NewTransport, quic.WithTLSIdentityOption(cert)),
		libp2plib.Transport(webtransport.New),
		libp2plib.Transport(webrtc.New))
}

// overQUIC is a QUIC transport that proves membership if the network is private.
func (n *Network) overQUIC(key crypto.PrivKey, m *quicreuse.ConnManager, gater connmgr.ConnectionGater, rm network.ResourceManager,
	cert libp2ptls.IdentityOption) (_ transport.Transport, err error) {
	if d := n.cfg.Door; d != nil {
		if cert, err = d.Identity(key, cert); err != nil {
			return nil, err
		}
	}
	return quic.NewTransport(key, m, nil, gater, rm, quic.WithTLSIdentityOption(cert)) // who is there is for the gater to ask
}

// muxer is yamux with windows for a fast path.
func muxer() *yamux.Transport {
	c := *yamux.DefaultTransport.Config()
	c.MaxStreamWindowSize = streamWindow
	c.MaxIncomingStreams = math.MaxUint32 // the resource manager counts them
	return (*yamux.Transport)(&c)
}

// bounded keeps the first maxAddrs addresses.
func bounded(addrs []ma.Multiaddr) []ma.Multiaddr { return addrs[:min(len(addrs), maxAddrs)] }
