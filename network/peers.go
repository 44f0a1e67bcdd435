package network

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"kith/network/maddr"
	"kith/network/told"
)

const (
	maxAgent    = 64 // characters of what a peer says it is
	pingTimeout = 5 * time.Second
	pingAge     = 30 * time.Second // an older round trip is measured again when somebody asks
)

// PeerInfo is a peer that the node is connected to.
type PeerInfo struct {
	ID        peer.ID
	Addrs     []ma.Multiaddr // what it is connected over now, the best first
	Direct    bool           // not through a relay
	Relay     peer.ID        // the relay that it is connected through, if not Direct
	Why       string         // how it is connected, in words: through a relay, why there is no better way
	Transport string         // tcp, quic, ws, webtransport, webrtc-direct or relay; what bulk streams use is not counted
	Bulk      int            // bulk streams that are open
	RTT       time.Duration  // round trip; 0: not known yet
	Agent     string         // the program that it says it is; printable, but not to be trusted
	Up, Down  int64          // bytes that applications sent to it and received from it
	Since     time.Time      // when the oldest connection was made
}

// Peers returns the peers that the node is connected to, in the order in which they came. Round trips that are old are measured anew meanwhile.
func (n *Network) Peers() []PeerInfo {
	var out []PeerInfo
	for _, p := range n.host.Network().Peers() {
		if i, ok := n.Peer(p); ok {
			out = append(out, i)
		}
	}
	slices.SortFunc(out, func(a, b PeerInfo) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// Peer returns what is known of p if the node is connected to it.
func (n *Network) Peer(p peer.ID) (PeerInfo, bool) {
	conns := n.host.Network().ConnsToPeer(p)
	if len(conns) == 0 {
		return PeerInfo{}, false
	}
	slices.SortStableFunc(conns, func(a, b network.Conn) int {
		return cmp.Compare(connRank(a), connRank(b))
	})
	best := conns[0].RemoteMultiaddr()
	i := PeerInfo{
		ID: p, Direct: maddr.Transport(best) != "relay", Transport: maddr.Transport(best), Why: n.why(conns[0]),
		Bulk: n.bulk.count(p), RTT: n.rtt(p), Agent: n.agent(p), Since: conns[0].Stat().Opened,
	}
	if !i.Direct {
		i.Relay = relayOf(best)
	}
	for _, c := range conns {
		if !slices.ContainsFunc(i.Addrs, c.RemoteMultiaddr().Equal) {
			i.Addrs = append(i.Addrs, c.RemoteMultiaddr())
		}
		if t := c.Stat().Opened; t.Before(i.Since) {
			i.Since = t
		}
	}
	t := n.count(p)
	i.Up, i.Down = t.up.Load(), t.down.Load()
	return i, true
}

// connRank puts direct connections before relayed ones, and older ones before newer.
func connRank(c network.Conn) int64 {
	rank := c.Stat().Opened.UnixNano() >> 1
	if maddr.Transport(c.RemoteMultiaddr()) == "relay" {
		rank += 1 << 62
	}
	return rank
}

var transportNames = map[string]string{
	"tcp": "TCP", "quic": "QUIC", "ws": "WebSocket", "webtransport": "WebTransport", "webrtc-direct": "WebRTC",
}

// why says in words how a connection goes, or why it goes no better way.
func (n *Network) why(c network.Conn) string {
	a := c.RemoteMultiaddr()
	name := transportNames[maddr.Transport(a)]
	switch {
	case relayed(c):
		return n.punch.of(c.RemotePeer()).words()
	case manet.IsIPLoopback(a):
		return "direct over " + name + ", same computer"
	case manet.IsPrivateAddr(a):
		return "direct over " + name + ", same network"
	case n.punch.of(c.RemotePeer()).punched:
		return "direct over " + name + ", both routers were opened at the same time"
	case c.Stat().Direction == network.DirInbound:
		return "direct over " + name + ", it reached this node"
	}
	return "direct over " + name + ", this node reached it"
}

// relayOf returns the relay in an address that leads through one.
func relayOf(a ma.Multiaddr) peer.ID {
	s, err := a.ValueForProtocol(ma.P_P2P)
	if err != nil {
		return ""
	}
	id, err := peer.Decode(s)
	if err != nil {
		return ""
	}
	return id
}

func (n *Network) agent(p peer.ID) string {
	v, err := n.host.Peerstore().Get(p, "AgentVersion")
	if err != nil {
		return ""
	}
	s, _ := v.(string)
	return plain(s)
}

// plain keeps of what a peer calls itself what can be printed anywhere.
func plain(s string) string {
	var b strings.Builder
	left := maxAgent
	for _, r := range s {
		if left == 0 {
			break
		}
		if r != unicode.ReplacementChar && unicode.IsPrint(r) && !unicode.Is(unicode.Bidi_Control, r) {
			b.WriteRune(r)
			left--
		}
	}
	return b.String()
}

// rtt returns the last round trip to p, and has it measured if that is old.
func (n *Network) rtt(p peer.ID) time.Duration {
	n.mu.Lock()
	old := time.Since(n.pinged[p]) > pingAge
	if old {
		n.pinged[p] = time.Now()
	}
	n.mu.Unlock()
	if old {
		n.run(func() {
			ctx, cancel := context.WithTimeout(network.WithNoDial(n.ctx, "ping"), pingTimeout)
			defer cancel()
			<-ping.Ping(ctx, n.host, p) // puts it into the peerstore
		})
	}
	return n.host.Peerstore().LatencyEWMA(p)
}

// Listener is one address that something listens on.
type Listener struct {
	For  string // peers, bulk or mdns
	Addr string
}

// Listening returns everything that listens.
func (n *Network) Listening() []Listener {
	var out []Listener
	for _, a := range n.listening() {
		out = append(out, Listener{"peers", a.String()})
	}
	slices.SortFunc(out, func(a, b Listener) int { return cmp.Compare(a.Addr, b.Addr) })
	if a := n.bulk.addr(); a != "" {
		out = append(out, Listener{"bulk", a})
	}
	if n.mdns != nil && n.mdns.running() {
		out = append(out, Listener{"mdns", "/ip4/224.0.0.251/udp/5353"}, Listener{"mdns", "/ip6/ff02::fb/udp/5353"})
	}
	return out
}

// listening returns the addresses on which the host listens. That it can be reached through relays is nothing that listens.
func (n *Network) listening() []ma.Multiaddr {
	return slices.DeleteFunc(n.host.Network().ListenAddresses(), func(a ma.Multiaddr) bool { return maddr.Transport(a) == "relay" })
}

// Addrs returns where the node can be reached now, each address with /p2p/ID, the most useful first: public, local network, loopback, and among them
// TCP and QUIC before what browsers use.
func (n *Network) Addrs() []ma.Multiaddr {
	addrs := slices.Clone(n.host.Addrs())
	slices.SortStableFunc(addrs, func(a, b ma.Multiaddr) int { return cmp.Compare(addrRank(a), addrRank(b)) })
	id := ma.StringCast("/p2p/" + n.ID().String())
	for i, a := range addrs {
		addrs[i] = a.Encapsulate(id)
	}
	return addrs
}

// Told returns those of Addrs that others are told, in links, invites and cards (package told).
func (n *Network) Told() []ma.Multiaddr { return told.Of(n.Addrs()) }

func addrRank(a ma.Multiaddr) int {
	rank := 0
	switch {
	case manet.IsIPLoopback(a):
		rank = 30
	case maddr.Transport(a) == "relay":
		rank = 10
	case manet.IsPrivateAddr(a):
		rank = 20
	}
	switch maddr.Transport(a) {
	case "tcp":
	case "quic":
		rank++
	case "ws":
		rank += 2
	default:
		rank += 3
	}
	return rank
}

// Answers asks a connected peer for a sign of life, and reports whether it gave one.
func (n *Network) Answers(ctx context.Context, p peer.ID) bool {
	ctx, cancel := context.WithTimeout(network.WithAllowLimitedConn(network.WithNoDial(ctx, "ping"), "ping"), pingTimeout)
	defer cancel()
	r, ok := <-ping.Ping(ctx, n.host, p)
	return ok && r.Error == nil
}
