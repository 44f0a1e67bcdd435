package rendezvous

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/anacrolix/dht/v2"
	"github.com/anacrolix/dht/v2/krpc"
	alog "github.com/anacrolix/log"
	"golang.org/x/time/rate"

	"kith"
)

const (
	askRate = 20              // messages a second that are sent to the DHT
	askTime = 2 * time.Second // for a node to answer: 95 % of those on the internet do in 1.5 s (Jimenez, P2P 2011)
)

// A leg is a node of the DHT over one IP version: IPv4's and IPv6's are two DHTs (BEP 32).
type leg struct {
	ip6    bool
	server *dht.Server
	conn   *socket
}

// openLeg starts a node on a port of its own. If serves, it answers what others ask; else it asks only, and says so (BEP 43). known are nodes to begin with.
func openLeg(ip6 bool, bind, public netip.Addr, serves bool, known []dhtNode) (*leg, error) {
	network := "udp4"
	if ip6 {
		network = "udp6"
	}
	at := &net.UDPAddr{}
	if bind.IsValid() {
		at.IP = bind.AsSlice()
	}
	c, err := net.ListenUDP(network, at)
	if err != nil {
		return nil, fmt.Errorf("rendezvous: %w: %w", err, kith.Unavailable)
	}
	l, err := newLeg(newSocket(c, bind.IsLoopback(), !serves), ip6, public, serves, rate.NewLimiter(askRate, askRate))
	if err != nil {
		c.Close()
		return nil, err
	}
	for _, n := range known {
		if n.addr.Addr().Is6() == ip6 {
			l.server.AddNode(krpc.NodeInfo{ID: krpc.ID(n.id), Addr: krpc.NodeAddr{IP: n.addr.Addr().AsSlice(), Port: int(n.addr.Port())}})
		}
	}
	return l, nil
}

func newLeg(conn *socket, ip6 bool, public netip.Addr, serves bool, send *rate.Limiter) (*leg, error) {
	conf := &dht.ServerConfig{
		Conn: conn, Passive: !serves, NoSecurity: false, PeerStore: &announced{}, StartingNodes: func() ([]dht.Addr, error) { return nil, nil },
		QueryResendDelay: func() time.Duration { return askTime }, SendLimiter: send,
		Logger: alog.Default.FilterLevel(alog.Disabled),
	}
	if public.IsValid() {
		conf.PublicIP = public.AsSlice()
	}
	server, err := dht.NewServer(conf)
	if err != nil {
		return nil, fmt.Errorf("rendezvous: %w", err)
	}
	return &leg{ip6: ip6, server: server, conn: conn}, nil
}

func (l *leg) close() {
	l.server.Close()
	l.conn.Close()
}

// An answer is what a node says to get_peers.
type answer struct {
	id     Infohash
	token  string
	nodes  []dhtNode
	values []netip.AddrPort
}

// ask sends get_peers to a node (BEP 5), once.
func (l *leg) ask(ctx context.Context, at netip.AddrPort, about Infohash) (answer, error) {
	want := krpc.WantNodes
	if l.ip6 {
		want = krpc.WantNodes6
	}
	res := l.server.Query(ctx, dht.NewAddr(net.UDPAddrFromAddrPort(at)), "get_peers", dht.QueryInput{
		MsgArgs: krpc.MsgArgs{InfoHash: krpc.ID(about), Want: []krpc.Want{want}}, NumTries: 1,
	})
	if err := res.ToError(); err != nil {
		return answer{}, err
	}
	r := res.Reply.R
	if r == nil {
		return answer{}, errMessage
	}
	a := answer{id: Infohash(r.ID)}
	if r.Token != nil {
		a.token = *r.Token
	}
	list := []krpc.NodeInfo(r.Nodes)
	if l.ip6 {
		list = r.Nodes6
	}
	for _, n := range list {
		a.nodes = append(a.nodes, dhtNode{Infohash(n.ID), plain(n.Addr.ToNodeAddrPort().AddrPort)})
	}
	for _, v := range r.Values {
		a.values = append(a.values, plain(v.ToNodeAddrPort().AddrPort))
	}
	return a, nil
}

// announce says to a node that this one is at a port of the address from which it hears this (announce_peer, BEP 5, with implied_port 0).
func (l *leg) announce(ctx context.Context, to *step, about Infohash, port uint16) error {
	p := int(port)
	res := l.server.Query(ctx, dht.NewAddr(net.UDPAddrFromAddrPort(to.addr)), "announce_peer", dht.QueryInput{
		MsgArgs: krpc.MsgArgs{InfoHash: krpc.ID(about), Port: &p, Token: to.token}, NumTries: 1,
	})
	return res.ToError()
}

// allowed reports whether a node at an address may have an id (BEP 42).
func allowed(n dhtNode) bool { return dht.NodeIdSecure(n.id, n.addr.Addr().AsSlice()) }
