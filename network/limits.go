package network

import (
	"context"
	"errors"
	"math"
	"net/netip"
	"time"

	libp2plib "github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	librate "github.com/libp2p/go-libp2p/x/rate"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"golang.org/x/time/rate"
)

// Limits is how much of the machine and of the router peers may take up. Zero fields have their defaults.
//
// They answer what has hurt others (overlay research 3.3): home routers that die from dial floods (5) by Dials and Outbound;
// watermarks that are no limits (6) by Inbound, Outbound and PerIP, which the resource manager enforces before a handshake; accounting that
// leaks (7) by a test that opens and breaks connections of every kind and finds every count back at zero; memory that grows with
// QUIC (8) by Memory and by the window limits that count against it; address and protocol lists without end (9) by the bounds
// of the peerstore (maxAddrs, maxProtocols).
type Limits struct {
	Low, High int           // connections: above High, the least useful are closed until Low are left
	Inbound   int           // connections that others opened, never more, those in their handshake included
	Outbound  int           // connections that this node opened or is opening, never more
	PerIP     int           // connections from or to one IPv4 address or one IPv6 /64
	Rate      float64       // new connections a second from one such address; bursts of twice PerIP
	Dials     float64       // new connections a second that this node tries beyond its own machine and local network
	Burst     int           // such tries at once
	Memory    int64         // bytes of buffers
	Loopback  bool          // count this machine's own addresses too, for tests; libp2p exempts them
	Grace     time.Duration // a new connection is not closed for that long
}

// DefaultLimits is what a home router stands.
var DefaultLimits = Limits{
	Low: 64, High: 128, Inbound: 192, Outbound: 128, PerIP: 24, Rate: 2, Dials: 8, Burst: 32, Memory: 256 << 20, Grace: 30 * time.Second,
}

func (l Limits) orDefault() Limits {
	d := DefaultLimits
	set(&l.Low, d.Low)
	set(&l.High, d.High)
	set(&l.Inbound, d.Inbound)
	set(&l.Outbound, d.Outbound)
	set(&l.PerIP, d.PerIP)
	set(&l.Rate, d.Rate)
	set(&l.Dials, d.Dials)
	set(&l.Burst, d.Burst)
	set(&l.Memory, d.Memory)
	set(&l.Grace, d.Grace)
	return l
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

const (
	perPeerConns   = 24  // to one peer: bulk streams have one each
	perPeerStreams = 512 // of one peer, in all protocols
	maxStreams     = 4096
)

// connections returns the manager that closes what is least useful.
func (l Limits) connections() (*connmgr.BasicConnMgr, error) {
	return connmgr.NewConnManager(l.Low, l.High, connmgr.WithGracePeriod(l.Grace))
}

// resources returns the manager that refuses what is too much.
func (l Limits) resources() (network.ResourceManager, error) {
	scaling := rcmgr.DefaultLimits
	libp2plib.SetDefaultServiceLimits(&scaling)
	part := rcmgr.PartialLimitConfig{
		System: rcmgr.ResourceLimits{
			Conns: rcmgr.LimitVal(l.Inbound + l.Outbound), ConnsInbound: rcmgr.LimitVal(l.Inbound), ConnsOutbound: rcmgr.LimitVal(l.Outbound),
			FD: rcmgr.LimitVal(l.Inbound + l.Outbound), Memory: rcmgr.LimitVal64(l.Memory),
			Streams: maxStreams, StreamsInbound: maxStreams, StreamsOutbound: maxStreams,
		},
		PeerDefault: rcmgr.ResourceLimits{
			Conns: perPeerConns, ConnsInbound: perPeerConns, ConnsOutbound: perPeerConns, FD: perPeerConns,
			Streams: perPeerStreams, StreamsInbound: perPeerStreams, StreamsOutbound: perPeerStreams, Memory: rcmgr.LimitVal64(l.Memory / 2),
		},
		ProtocolPeerDefault: rcmgr.ResourceLimits{
			Streams: perPeerStreams, StreamsInbound: perPeerStreams, StreamsOutbound: perPeerStreams, Memory: rcmgr.LimitVal64(l.Memory / 2),
		},
	}
	limits := part.Build(scaling.Scale(l.Memory, l.Inbound+l.Outbound))
	v4 := []rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: l.PerIP}}
	v6 := []rcmgr.ConnLimitPerSubnet{{PrefixLength: 64, ConnCount: l.PerIP}, {PrefixLength: 48, ConnCount: 4 * l.PerIP}}
	free4, free6, freeRate := rcmgr.DefaultNetworkPrefixLimitV4, rcmgr.DefaultNetworkPrefixLimitV6, loopback
	if l.Loopback {
		free4, free6, freeRate = []rcmgr.NetworkPrefixLimit{}, []rcmgr.NetworkPrefixLimit{}, nil
	}
	one := librate.Limit{RPS: l.Rate, Burst: 2 * l.PerIP}
	return rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits), rcmgr.WithMetricsDisabled(),
		rcmgr.WithLimitPerSubnet(v4, v6), rcmgr.WithNetworkPrefixLimit(free4, free6),
		rcmgr.WithConnRateLimiters(&librate.Limiter{
			NetworkPrefixLimits: freeRate,
			SubnetRateLimiter: librate.SubnetLimiter{
				IPv4SubnetLimits: []librate.SubnetLimit{{PrefixLength: 32, Limit: one}},
				IPv6SubnetLimits: []librate.SubnetLimit{{PrefixLength: 64, Limit: one}},
				GracePeriod:      time.Minute,
			},
		}))
}

var loopback = []librate.PrefixLimit{{Prefix: netip.MustParsePrefix("127.0.0.0/8")}, {Prefix: netip.MustParsePrefix("::1/128")}}

// maxPace is how long a dial waits for its turn.
const maxPace = 5 * time.Second

// A pacer is a resource manager that lets dials beyond the local network start one after another. libp2p itself bounds only how many run
// at once, and QUIC dials not at all; what breaks home routers is how many flows begin in a second (kubo issues 3320, 9998).
type pacer struct {
	network.ResourceManager
	ctx   context.Context
	dials *rate.Limiter
}

func (l Limits) pace(ctx context.Context, rm network.ResourceManager) network.ResourceManager {
	return &pacer{rm, ctx, rate.NewLimiter(rate.Limit(l.Dials), l.Burst)}
}

var errPaced = errors.New("too many connections were begun in the last seconds")

// OpenConnection implements network.ResourceManager. libp2p's transports call it on a goroutine of the dial's own.
func (p *pacer) OpenConnection(dir network.Direction, fd bool, to ma.Multiaddr) (network.ConnManagementScope, error) {
	if dir == network.DirOutbound && to != nil && !manet.IsPrivateAddr(to) {
		ctx, cancel := context.WithTimeout(p.ctx, maxPace)
		defer cancel()
		if err := p.dials.Wait(ctx); err != nil {
			return nil, errors.Join(errPaced, network.ErrResourceLimitExceeded)
		}
	}
	return p.ResourceManager.OpenConnection(dir, fd, to)
}

// GetConnLimit lets libp2p compare the watermarks with the hard limits.
func (p *pacer) GetConnLimit() int {
	if l, ok := p.ResourceManager.(interface{ GetConnLimit() int }); ok {
		return l.GetConnLimit()
	}
	return math.MaxInt
}
