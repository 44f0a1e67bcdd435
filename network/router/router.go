// Package router asks the router for ports (UPnP, NAT-PMP), and the next router when the machine has moved.
//
// How a router is asked is libp2p's. Its one idea: libp2p's manager looks for a router once, so that another network gets another manager.
package router

import (
	"sync"

	"github.com/libp2p/go-libp2p/core/network"
	basichost "github.com/libp2p/go-libp2p/p2p/host/basic"
	ma "github.com/multiformats/go-multiaddr"
)

// A Map is a basichost.NATManager for the router of the network that the machine is in. Its methods may be called at once.
type Map struct {
	net  network.Network
	make func(network.Network) basichost.NATManager

	mu     sync.Mutex
	now    basichost.NATManager
	closed bool
}

// New looks for the router, for the ports that net listens on.
func New(net network.Network) *Map {
	return &Map{net: net, make: basichost.NewNATManager, now: basichost.NewNATManager(net)}
}

// Renew forgets the router, and looks for one.
func (m *Map) Renew() {
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
func (m *Map) GetMapping(a ma.Multiaddr) ma.Multiaddr { return m.manager().GetMapping(a) }

// HasDiscoveredNAT implements basichost.NATManager.
func (m *Map) HasDiscoveredNAT() bool { return m.manager().HasDiscoveredNAT() }

func (m *Map) manager() basichost.NATManager {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

// Close implements basichost.NATManager.
func (m *Map) Close() error {
	m.mu.Lock()
	m.closed = true
	now := m.now
	m.mu.Unlock()
	return now.Close()
}
