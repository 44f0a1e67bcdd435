package host

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strconv"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/autorelay"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"kith"
	"kith/internal/atomicfile"
)

// What the host may take.
const (
	lowConns   = 64 // connections are closed down to this
	highConns  = 160
	connGrace  = 30 * time.Second
	hostMemory = 256 << 20
	hostFiles  = 1024
	lowPort    = 20000
	highPort   = 60000
	portTries  = 50
)

// listen starts the host.
func (on *Host) listen() (host.Host, error) {
	key, err := on.key()
	if err != nil {
		return nil, err
	}
	limits := rcmgr.DefaultLimits
	libp2p.SetDefaultServiceLimits(&limits)
	rm, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits.Scale(hostMemory, hostFiles)), rcmgr.WithMetricsDisabled())
	if err != nil {
		return nil, err
	}
	cm, err := connmgr.NewConnManager(lowConns, highConns, connmgr.WithGracePeriod(connGrace))
	if err != nil {
		return nil, err
	}
	addrs := on.o.Listen
	if len(addrs) == 0 {
		if addrs, err = on.choosePort(); err != nil {
			return nil, err
		}
	}
	opts := []libp2p.Option{
		libp2p.Identity(key), libp2p.UserAgent("kith"), libp2p.ListenAddrStrings(addrs...), libp2p.ShareTCPListener(),
		libp2p.ResourceManager(rm), libp2p.ConnectionManager(cm), libp2p.WithDialTimeout(dialTime), libp2p.DisableMetrics(),
		libp2p.EnableRelay(), libp2p.EnableHolePunching(), libp2p.EnableAutoNATv2(),
		libp2p.EnableAutoRelayWithPeerSource(func(ctx context.Context, n int) <-chan peer.AddrInfo { return on.relays(ctx, n) }, autorelay.WithBootDelay(time.Minute)),
	}
	if on.o.UPnP {
		opts = append(opts, libp2p.NATPortMap())
	}
	if !on.o.Loopback {
		opts = append(opts, libp2p.AddrsFactory(func(as []ma.Multiaddr) []ma.Multiaddr {
			return ma.FilterAddrs(as, func(a ma.Multiaddr) bool { return !manet.IsIPLoopback(a) })
		}))
	}
	h, err := libp2p.New(opts...)
	if err != nil {
		return nil, kith.Hint(fmt.Errorf("listen on %v: %w: %w", addrs, err, kith.Unavailable), "choose other addresses as listen in section [ipfs] of the configuration")
	}
	return h, nil
}

// relays proposes peers of the DHT as relays, where this computer cannot be reached.
func (on *Host) relays(ctx context.Context, n int) <-chan peer.AddrInfo {
	out := make(chan peer.AddrInfo)
	go func() {
		defer close(out)
		if on.dht == nil {
			return
		}
		for _, p := range on.dht.WAN.RoutingTable().ListPeers() {
			if n--; n < 0 {
				return
			}
			select {
			case out <- on.libp2p.Peerstore().PeerInfo(p):
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// choosePort returns all transports on a port that is free for TCP and UDP, the one of the last time if it can be had.
func (on *Host) choosePort() ([]string, error) {
	was := on.port()
	port := was
	for try := 0; port == 0 || !free(port); try++ {
		if try == portTries {
			return nil, fmt.Errorf("no free port: %w", kith.Unavailable)
		}
		port = lowPort + rand.IntN(highPort-lowPort)
	}
	if port != was {
		if err := atomicfile.Write(filepath.Join(on.o.Dir, "port"), fmt.Appendln(nil, port), 0o600); err != nil {
			return nil, err
		}
	}
	var all []string
	for _, ip := range []string{"/ip4/0.0.0.0", "/ip6/::"} {
		for _, t := range []string{"/tcp/%d", "/tcp/%d/ws", "/udp/%d/quic-v1", "/udp/%d/quic-v1/webtransport", "/udp/%d/webrtc-direct"} {
			all = append(all, ip+fmt.Sprintf(t, port))
		}
	}
	return all, nil
}

func free(port int) bool {
	at := net.JoinHostPort("", strconv.Itoa(port))
	l, err := net.Listen("tcp", at)
	if err != nil {
		return false
	}
	defer l.Close()
	p, err := net.ListenPacket("udp", at)
	if err != nil {
		return false
	}
	p.Close()
	return true
}
