package network

import (
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

const maxBlocked = 4096 // peers that are blocked at once

// A gater refuses the peers that a person has blocked, and dials that look like somebody's aim at a third, on ordinary and on bulk connections alike.
type gater struct {
	aims    *aims
	mu      sync.RWMutex
	blocked map[peer.ID]struct{}
}

func newGater() *gater { return &gater{aims: newAims(), blocked: map[peer.ID]struct{}{}} }

func (g *gater) allows(p peer.ID) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	_, blocked := g.blocked[p]
	return !blocked
}

// InterceptPeerDial implements connmgr.ConnectionGater.
func (g *gater) InterceptPeerDial(p peer.ID) bool { return g.allows(p) }

// InterceptAddrDial implements connmgr.ConnectionGater.
func (g *gater) InterceptAddrDial(p peer.ID, a ma.Multiaddr) bool {
	return g.allows(p) && g.aims.allows(time.Now(), p, a)
}

// InterceptAccept implements connmgr.ConnectionGater.
func (g *gater) InterceptAccept(network.ConnMultiaddrs) bool { return true }

// InterceptSecured implements connmgr.ConnectionGater.
func (g *gater) InterceptSecured(_ network.Direction, p peer.ID, _ network.ConnMultiaddrs) bool {
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
