package network

import (
	"sync"

	"github.com/libp2p/go-libp2p/core/network"
	basichost "github.com/libp2p/go-libp2p/p2p/host/basic"
	ma "github.com/multiformats/go-multiaddr"
)

// A natmap asks the router for ports, as libp2p does, and the next router when the machine has moved: libp2p's manager looks for one once.
type natmap struct {
	net  network.Network
	make func(network.Network) basichost.NATManager

	mu     sync.Mutex
	now    basichost.NATManager
	closed bool
}

func newNATMap(net network.Network) *natmap {
	return &natmap{net: net, make: basichost.NewNATManager, now: basichost.NewNATManager(net)}
}

// renew forgets the router, and looks for one.
func (m *natmap) renew() {
	m.mu.Lock()
	old := m.now
	if m.closed {
		m.mu.Unlock()
		return
	}
	m.now = m.make(m.net)
	m.mu.Unlock()
	old.Close() // it may wait for a router that is not there any more
}

// GetMapping implements basichost.NATManager.
func (m *natmap) GetMapping(a ma.Multiaddr) ma.Multiaddr { return m.manager().GetMapping(a) }

// HasDiscoveredNAT implements basichost.NATManager.
func (m *natmap) HasDiscoveredNAT() bool { return m.manager().HasDiscoveredNAT() }

func (m *natmap) manager() basichost.NATManager {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

// Close implements basichost.NATManager.
func (m *natmap) Close() error {
	m.mu.Lock()
	m.closed = true
	now := m.now
	m.mu.Unlock()
	return now.Close()
}
