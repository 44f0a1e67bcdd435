package network

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"kith/network/aim"
	"kith/network/member"
)

const maxBlocked = 4096 // peers that are blocked at once

// A gater refuses the peers that a person has blocked, dials that look like somebody's aim at a third, and, in a private network, whoever is no member;
// on ordinary and on bulk connections alike.
type gater struct {
	aims    *aim.Watch
	door    *member.Door // nil: the network is public
	waiting waiting
	back    atomic.Pointer[func(peer.ID, ma.Multiaddr) bool] // whether p, if it is connected and asks for it, is dialled at an address; nil: the host is not up

	mu      sync.RWMutex
	blocked map[peer.ID]struct{}
}

func newGater(d *member.Door) *gater {
	return &gater{aims: aim.New(), door: d, waiting: waiting{timers: map[netip.AddrPort]*time.Timer{}}, blocked: map[peer.ID]struct{}{}}
}

// dials reports whether p may be dialled.
func (g *gater) dials(p peer.ID) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	_, blocked := g.blocked[p]
	return !blocked
}

// allows reports whether p, whose id is proven, may be connected.
func (g *gater) allows(p peer.ID) bool { return g.dials(p) && (g.door == nil || g.door.Member(p)) }

// InterceptPeerDial implements connmgr.ConnectionGater.
func (g *gater) InterceptPeerDial(p peer.ID) bool { return g.dials(p) }

// InterceptAddrDial implements connmgr.ConnectionGater.
func (g *gater) InterceptAddrDial(p peer.ID, a ma.Multiaddr) bool {
	back := g.back.Load()
	return g.dials(p) && (back == nil || (*back)(p, a)) && g.aims.Allows(time.Now(), p, a)
}

// InterceptAccept implements connmgr.ConnectionGater.
func (g *gater) InterceptAccept(c network.ConnMultiaddrs) bool {
	return g.door == nil || g.waiting.begin(c)
}

// InterceptSecured implements connmgr.ConnectionGater.
func (g *gater) InterceptSecured(_ network.Direction, p peer.ID, c network.ConnMultiaddrs) bool {
	if g.door != nil {
		g.waiting.end(c)
		if !proven(g.door, p, c) {
			return false
		}
	}
	return g.allows(p)
}

// InterceptUpgraded implements connmgr.ConnectionGater.
func (g *gater) InterceptUpgraded(c network.Conn) (bool, control.DisconnectReason) {
	return g.allows(c.RemotePeer()), 0
}

// Block closes every connection to p, and refuses new ones until Unblock or the end of the process; who keeps a list keeps it outside.
func (n *Network) Block(p peer.ID) {
	n.gater.mu.Lock()
	if len(n.gater.blocked) < maxBlocked {
		n.gater.blocked[p] = struct{}{}
	}
	n.gater.mu.Unlock()
	n.host.Network().ClosePeer(p)
	n.bulk.closePeer(p)
}

// Unblock lets p connect again.
func (n *Network) Unblock(p peer.ID) {
	n.gater.mu.Lock()
	defer n.gater.mu.Unlock()
	delete(n.gater.blocked, p)
}
