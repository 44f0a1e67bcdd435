package network

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/quic-go/quic-go"

	"kith"
	"kith/network/maddr"
	"kith/network/member"
)

// A private network's door stands where connections are made: inside the TLS handshake of TCP, WebSocket, relayed and bulk connections, and, for QUIC,
// whose handshake is libp2p's own, in the gater, which is asked before anybody else hears of the connection.

const maxWaiting = 256 // connections over TCP that have not finished their handshake

// waiting closes connections over TCP whose other side does not finish the handshake in member.Patience. libp2p itself gives them three times as long.
type waiting struct {
	mu     sync.Mutex
	timers map[netip.AddrPort]*time.Timer // by the other side's address
}

// begin watches a connection, unless there are too many.
func (w *waiting) begin(c network.ConnMultiaddrs) bool {
	at, ok := tcpAddr(c.RemoteMultiaddr())
	raw, closes := c.(io.Closer)
	if !ok || !closes { // QUIC and relays see to it themselves, and so do bulk connections
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.timers) >= maxWaiting {
		return false
	}
	var t *time.Timer
	t = time.AfterFunc(member.Patience, func() {
		w.mu.Lock()
		mine := w.timers[at] == t
		if mine {
			delete(w.timers, at)
		}
		w.mu.Unlock()
		if mine {
			raw.Close()
		}
	})
	w.timers[at] = t
	return true
}

// end says that the handshake has ended.
func (w *waiting) end(c network.ConnMultiaddrs) {
	at, ok := tcpAddr(c.RemoteMultiaddr())
	if !ok {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if t := w.timers[at]; t != nil {
		t.Stop()
		delete(w.timers, at)
	}
}

// tcpAddr returns the address and port of a TCP connection that is not relayed.
func tcpAddr(a ma.Multiaddr) (netip.AddrPort, bool) {
	if t := maddr.Transport(a); t != "tcp" && t != "ws" {
		return netip.AddrPort{}, false
	}
	n, err := manet.ToNetAddr(a)
	if err != nil {
		return netip.AddrPort{}, false
	}
	at, err := netip.ParseAddrPort(n.String())
	return at, err == nil
}

// proven reports whether p, who is at the other end of c, is a member of the private network whose door it is.
func proven(d *member.Door, p peer.ID, c network.ConnMultiaddrs) bool {
	var q *quic.Conn
	if as, ok := c.(interface{ As(target any) bool }); ok && as.As(&q) {
		return d.Check(q.ConnectionState().TLS.PeerCertificates) == nil
	}
	return d.Member(p)
}

// strange says why p, which could not be connected to, was refused since began, if that is why; else it returns err.
func (n *Network) strange(p peer.ID, began time.Time, err error) error {
	if !n.Private() {
		return err
	}
	name := n.Name()
	switch why := n.cfg.Door.Why(p, began); why {
	case nil:
		return err
	case member.ErrUnlisted:
		return kith.Hint(kinded{kith.Denied, why.Error(), errors.Join(why, err)}, "put it on the list: kith network members add %s", p)
	case member.ErrRevoked:
		return kinded{kith.Denied, why.Error(), errors.Join(why, err)}
	default:
		return kith.Hint(kinded{kith.Denied, fmt.Sprintf("not let into the private network %q: %v", name, why), errors.Join(why, err)},
			"both of you look at kith network: the mark there must be the same; if it is not, one gives the other the link that kith network link shows")
	}
}

// SetMembers makes members the list of who is let into a private network, as member.Door does, and closes every connection with others.
func (n *Network) SetMembers(members []string) error {
	if err := n.cfg.Door.SetMembers(members); err != nil {
		return err
	}
	n.expel()
	return nil
}

// expel closes every connection with peers who are no members (any more).
func (n *Network) expel() {
	peers := n.host.Network().Peers()
	for _, p := range append(peers, n.bulk.peers()...) {
		if !n.gater.allows(p) {
			n.host.Network().ClosePeer(p)
			n.bulk.closePeer(p)
			n.forget(p)
		}
	}
}

// forget drops what is remembered of a peer that is not to be dialled again.
func (n *Network) forget(p peer.ID) {
	n.mu.Lock()
	delete(n.known, p)
	n.mu.Unlock()
	n.host.Peerstore().ClearAddrs(p)
	if err := n.store.Delete(n.ctx, knownPrefix.ChildString(p.String())); err != nil {
		n.log.Warn("peer could not be forgotten", "peer", p, "err", err)
	}
}

// peers returns with whom bulk streams are open.
func (b *bulk) peers() (list []peer.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.conns {
		if c.peer != "" && !slices.Contains(list, c.peer) {
			list = append(list, c.peer)
		}
	}
	return list
}
