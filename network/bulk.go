package network

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	ic "github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"kith"
	"kith/network/gather"
	"kith/network/maddr"
	"kith/network/path"
)

// BulkProtocol is spoken on an ordinary stream: the asked peer writes the TCP port on which it takes bulk streams from who asks, as two bytes, big-endian; 0 if
// it takes none, or knows that a router or a firewall stands before it.
//
// A bulk stream is then a TCP connection to that port, at the address where the asked peer is connected: TLS 1.3 with libp2p's certificates (libp2p specs,
// tls/tls.md) under the ALPN name bulkALPN, so that both sides have proven their peer ids; then the opener writes the length of a protocol id in one byte and the
// id, and the other side answers with one byte, 0 if it speaks it and 1 if not. All that follows is the stream's own.
const BulkProtocol protocol.ID = "/kith/bulk/1"

const (
	bulkALPN      = "kith-bulk/1"
	bulkHandshake = 5 * time.Second // for TLS and the protocol's name, on either side
	bulkDial      = 2 * time.Second // for TCP to connect; the ordinary stream waits meanwhile
	bulkDialQuick = 250 * time.Millisecond
	bulkDialAsks  = 4                // times as long as the question for the port took, within these two
	bulkAsk       = 5 * time.Second  // for the port
	bulkPortAge   = 10 * time.Minute // for which an answer is believed
	bulkDrain     = 5 * time.Second  // for which a closed stream takes what still comes
	maxDrain      = 1 << 20          // and how many bytes
	maxBulk       = 96               // connections that others opened, in all
	maxBulkPerIP  = 16               // and from one address, so that nobody alone takes all places for handshakes
	maxHandshakes = 48               // of which so many may be unproven
	maxBulkIPs    = 3                // addresses of one peer that are tried
)

// answers to a bulk stream's protocol id.
const (
	bulkYes byte = iota
	bulkNo
)

// bulk opens and serves bulk streams.
type bulk struct {
	n        *Network
	rm       network.ResourceManager
	identity *libp2ptls.Identity
	listener net.Listener // nil: none
	paths    *path.Memory

	mu      sync.Mutex
	conns   map[*bulkConn]struct{}
	perIP   map[netip.Addr]int // inbound connections, those in their handshake included
	inbound int                // their sum
	shaking int                // those in their handshake
	ports   map[peer.ID]bulkPort
	closed  bool
}

type bulkPort struct {
	port int
	at   time.Time
	took time.Duration // the question
}

// startBulk makes n.bulk, and serves bulk streams on p.bulk, under a certificate that cert makes.
func (n *Network) startBulk(rm network.ResourceManager, p ports, cert libp2ptls.IdentityOption) error {
	var err error
	if n.cfg.Door != nil {
		if cert, err = n.cfg.Door.Identity(n.cfg.Key, cert); err != nil {
			p.close()
			return err
		}
	}
	id, err := libp2ptls.NewIdentity(n.cfg.Key, cert)
	if err != nil {
		p.close()
		return fmt.Errorf("network: bulk identity: %w", err)
	}
	n.bulk = &bulk{
		n: n, rm: rm, identity: id, listener: p.bulk,
		conns: map[*bulkConn]struct{}{}, perIP: map[netip.Addr]int{}, ports: map[peer.ID]bulkPort{}, paths: path.New(),
	}
	n.host.SetStreamHandler(n.OnWire(BulkProtocol), n.bulk.tellPort)
	if p.bulk != nil {
		n.run(n.bulk.accept)
	}
	return nil
}

func (b *bulk) addr() string {
	if b.listener == nil {
		return ""
	}
	a, err := manet.FromNetAddr(b.listener.Addr())
	if err != nil {
		return ""
	}
	return a.String()
}

func (b *bulk) tellPort(s network.Stream) {
	defer s.Close()
	s.SetDeadline(time.Now().Add(bulkAsk))
	s.Write(binary.BigEndian.AppendUint16(nil, b.n.bulkPort(s.Conn())))
}

// OpenBulk opens a stream to p that is to carry much: on a TCP connection of its own, encrypted but without a muxer, where that works and has not been
// slower; else it is Open. Which it is, Stream.Bulk tells.
func (n *Network) OpenBulk(ctx context.Context, p peer.ID, id protocol.ID) (Stream, error) {
	if p != n.ID() && n.bulk.paths.Bulk(p, time.Now()) {
		s, err := n.bulk.open(ctx, p, id)
		switch {
		case err == nil:
			return s, nil
		case errors.Is(err, kith.NotFound), errors.Is(err, kith.Denied), errors.As(err, new(*Refused)), ctx.Err() != nil:
			return nil, err // an ordinary stream would not fare better
		}
		if n.Direct(p) { // through a relay it says nothing of the way that may be found
			n.bulk.paths.Failed(p, time.Now())
		}
		n.log.Debug("no bulk stream", "peer", p, "err", err)
	}
	return n.Open(ctx, p, id)
}

// Report tells how fast a stream to p was, so that OpenBulk can choose: bytes in d, over a bulk stream or an ordinary one. Only count
// time in which the peer had something to send, and not what a limit of this node's held down.
func (n *Network) Report(p peer.ID, bulk bool, bytes int64, d time.Duration) {
	n.bulk.paths.Report(p, bulk, bytes, d, time.Now())
}

func (b *bulk) open(ctx context.Context, p peer.ID, id protocol.ID) (*bulkConn, error) {
	wire := b.n.OnWire(id)
	if len(wire) > 255 {
		return nil, fmt.Errorf("network: open bulk %.40s…: id is too long: %w", id, kith.Invalid)
	}
	if err := b.n.Connect(ctx, peer.AddrInfo{ID: p}); err != nil {
		return nil, err
	}
	ips := b.addrsOf(p)
	if len(ips) == 0 {
		return nil, fmt.Errorf("network: open bulk to %s: connected through a relay only: %w", p, kith.Unavailable)
	}
	known, err := b.portOf(ctx, p)
	if err != nil {
		return nil, err
	}
	for _, ip := range ips {
		c, e := b.dial(ctx, p, netip.AddrPortFrom(ip, uint16(known.port)), wire, min(max(bulkDialAsks*known.took, bulkDialQuick), bulkDial))
		if e == nil {
			return c, nil
		}
		if errors.Is(e, kith.NotFound) {
			return nil, e
		}
		err = errors.Join(err, e)
	}
	b.forgetPort(p)
	return nil, err
}

// addrsOf returns the addresses over which p is connected directly.
func (b *bulk) addrsOf(p peer.ID) (ips []netip.Addr) {
	for _, c := range b.n.host.Network().ConnsToPeer(p) {
		a := c.RemoteMultiaddr()
		if maddr.Transport(a) == "relay" {
			continue
		}
		ip, err := manet.ToIP(a)
		if err != nil {
			continue
		}
		addr, ok := netip.AddrFromSlice(ip)
		if addr = addr.Unmap(); ok && len(ips) < maxBulkIPs && !contains(ips, addr) {
			ips = append(ips, addr)
		}
	}
	return ips
}

func contains(ips []netip.Addr, ip netip.Addr) bool {
	for _, x := range ips {
		if x == ip {
			return true
		}
	}
	return false
}

func (b *bulk) portOf(ctx context.Context, p peer.ID) (bulkPort, error) {
	b.mu.Lock()
	known, ok := b.ports[p]
	b.mu.Unlock()
	if ok && time.Since(known.at) < bulkPortAge {
		return known, known.err()
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, bulkAsk)
	defer cancel()
	s, err := b.n.host.NewStream(network.WithNoDial(ctx, "bulk"), p, b.n.OnWire(BulkProtocol))
	if err != nil {
		return bulkPort{}, fmt.Errorf("network: ask for bulk port: %w", netError(ctx, err))
	}
	defer s.Reset()
	s.SetDeadline(time.Now().Add(bulkAsk))
	var answer [2]byte
	if _, err := io.ReadFull(s, answer[:]); err != nil {
		return bulkPort{}, fmt.Errorf("network: ask for bulk port: %v: %w", err, kith.Unavailable)
	}
	known = bulkPort{int(binary.BigEndian.Uint16(answer[:])), time.Now(), time.Since(began)}
	b.mu.Lock()
	if len(b.ports) >= maxTraffic {
		clear(b.ports)
	}
	b.ports[p] = known
	b.mu.Unlock()
	return known, known.err()
}

func (p bulkPort) err() error {
	if p.port == 0 {
		return fmt.Errorf("network: it takes no bulk streams: %w", kith.Unavailable)
	}
	return nil
}

func (b *bulk) forgetPort(p peer.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.ports, p)
}

// forget forgets what was learnt of the ways to peers.
func (b *bulk) forget() {
	b.paths.Forget()
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.ports)
}

// dial opens a bulk stream to p at an address, where TCP has to connect within some time.
func (b *bulk) dial(ctx context.Context, p peer.ID, to netip.AddrPort, wire protocol.ID, within time.Duration) (_ *bulkConn, err error) {
	remote, err := manet.FromNetAddr(net.TCPAddrFromAddrPort(to))
	if err != nil {
		return nil, err
	}
	if !b.n.gater.InterceptAddrDial(p, remote) {
		return nil, fmt.Errorf("network: open bulk to %s: blocked here: %w", p, kith.Denied)
	}
	scope, err := b.rm.OpenConnection(network.DirOutbound, true, remote)
	if err != nil {
		return nil, fmt.Errorf("network: open bulk: %w", netError(ctx, err))
	}
	c := &bulkConn{b: b, peer: p, scope: scope}
	defer func() {
		if err != nil {
			c.abort()
		}
	}()
	if err := scope.SetPeer(p); err != nil {
		return nil, fmt.Errorf("network: open bulk: %w", netError(ctx, err))
	}
	d := net.Dialer{Timeout: within}
	if c.raw, err = d.DialContext(ctx, "tcp", to.String()); err != nil {
		return nil, fmt.Errorf("network: open bulk: %w: %w", err, kith.Unavailable)
	}
	stop := context.AfterFunc(ctx, func() { c.raw.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	c.raw.SetDeadline(time.Now().Add(bulkHandshake))
	conf, keys := b.config(p)
	c.out = &gather.Conn{Conn: c.raw}
	c.Conn = tls.Client(c.out, conf)
	if err := c.prove(ctx, keys); err != nil {
		return nil, err
	}
	head := append([]byte{byte(len(wire))}, wire...)
	if _, err := c.Conn.Write(head); err != nil {
		return nil, fmt.Errorf("network: open bulk: %w: %w", err, kith.Unavailable)
	}
	var answer [1]byte
	if _, err := io.ReadFull(c.Conn, answer[:]); err != nil {
		return nil, fmt.Errorf("network: open bulk: %w: %w", err, kith.Unavailable)
	}
	if answer[0] != bulkYes {
		return nil, fmt.Errorf("network: open bulk %s: it does not speak that protocol: %w", wire, kith.NotFound)
	}
	if !stop() {
		return nil, ctx.Err()
	}
	c.raw.SetDeadline(time.Time{})
	if !b.add(c) {
		return nil, fmt.Errorf("network: open bulk: closed: %w", kith.Unavailable)
	}
	return c, nil
}

// config returns the TLS configuration for a connection with p, or with anybody if p is "".
func (b *bulk) config(p peer.ID) (*tls.Config, <-chan ic.PubKey) {
	conf, keys := b.identity.ConfigForPeer(p)
	conf.NextProtos = []string{bulkALPN}
	conf.DynamicRecordSizingDisabled = true // full records from the start
	if b.n.cfg.Door != nil {
		keys = b.n.cfg.Door.Guard(conf, keys)
	}
	return conf, keys
}

// connAddrs is network.ConnMultiaddrs of a TCP connection.
type connAddrs struct{ local, remote ma.Multiaddr }

func (c connAddrs) LocalMultiaddr() ma.Multiaddr  { return c.local }
func (c connAddrs) RemoteMultiaddr() ma.Multiaddr { return c.remote }

func addrsOf(c net.Conn) (a connAddrs, err error) {
	if a.local, err = manet.FromNetAddr(c.LocalAddr()); err == nil {
		a.remote, err = manet.FromNetAddr(c.RemoteAddr())
	}
	return a, err
}
