package network

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

const maxFinding = 4 // neighbours that are dialled at once

// neighbours finds the nodes of the same network on the same local network, by multicast DNS (RFC 6762). What it tells them is the peer id and local
// addresses, under a name that is drawn anew at each start; nothing of the person or the machine.
type neighbours struct {
	n     *Network
	slots chan struct{}

	mu      sync.Mutex
	service mdns.Service // nil: not running
	addrs   string       // what it was started with
	closed  bool
}

func newNeighbours(n *Network) *neighbours {
	return &neighbours{n: n, slots: make(chan struct{}, maxFinding)}
}

// serviceName is what nodes of a network look for: a hash, for its name need not be known to the neighbourhood.
func serviceName(label string) string {
	sum := sha256.Sum256([]byte("kith mdns\x00" + label))
	return "_kith-" + hex.EncodeToString(sum[:4]) + "._udp" // at most 15 characters (RFC 6335)
}

// moved starts it, and starts it again when the machine has other addresses than before.
func (m *neighbours) moved() {
	addrs, err := freshNet{m.n.host.Network()}.InterfaceListenAddresses()
	now := ""
	for _, a := range addrs {
		now += a.String() + " "
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || err != nil || now == m.addrs {
		return
	}
	if m.service != nil {
		m.service.Close()
		m.service = nil
	}
	m.addrs = now
	if !hasMulticast() {
		return
	}
	s := mdns.NewMdnsService(freshHost{m.n.host}, serviceName(m.n.Label()), m)
	if err := s.Start(); err != nil {
		// No interface that does multicast: nothing that a person must know, and it is tried again when addresses change.
		m.n.log.Debug("neighbours cannot be looked for", "err", err)
		s.Close()
		return
	}
	m.service = s
}

// A freshHost is the host with the addresses that its machine has now; libp2p's own remembers them for a minute.
type freshHost struct{ host.Host }

// Network implements host.Host.
func (h freshHost) Network() network.Network { return freshNet{h.Host.Network()} }

type freshNet struct{ network.Network }

// InterfaceListenAddresses implements network.Network.
func (n freshNet) InterfaceListenAddresses() ([]ma.Multiaddr, error) {
	listen := n.ListenAddresses()
	if len(listen) == 0 {
		return nil, nil
	}
	return manet.ResolveUnspecifiedAddresses(listen, nil)
}

// hasMulticast reports whether there is an interface on which neighbours could be; without one the library prints complaints.
func hasMulticast() bool {
	interfaces, err := net.Interfaces()
	return err == nil && slices.ContainsFunc(interfaces, func(i net.Interface) bool {
		return i.Flags&net.FlagUp != 0 && i.Flags&net.FlagMulticast != 0
	})
}

func (m *neighbours) running() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.service != nil
}

func (m *neighbours) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	if m.service != nil {
		m.service.Close()
		m.service = nil
	}
}

// HandlePeerFound implements mdns.Notifee, on a goroutine of its own. Whoever is on the local network can say anything here: only local addresses
// are believed, and few dials run at once; who does not fit is found again by the next query.
func (m *neighbours) HandlePeerFound(p peer.AddrInfo) {
	p.Addrs = bounded(ma.FilterAddrs(p.Addrs, manet.IsPrivateAddr))
	if len(p.Addrs) == 0 || m.n.host.Network().Connectedness(p.ID) == network.Connected {
		return
	}
	select {
	case m.slots <- struct{}{}:
	default:
		return
	}
	m.n.run(func() {
		defer func() { <-m.slots }()
		ctx, cancel := context.WithTimeout(m.n.ctx, redialTimeout)
		defer cancel()
		if err := m.n.Connect(ctx, p); err != nil {
			m.n.log.Debug("neighbour could not be dialled", "peer", p.ID, "err", err)
		}
	})
}
