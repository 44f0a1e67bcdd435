package router

import (
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	basichost "github.com/libp2p/go-libp2p/p2p/host/basic"
)

type fakeRouter struct {
	closed bool
	basichost.NATManager
}

func (f *fakeRouter) Close() error { f.closed = true; return nil }

// TestNextRouter: the router of another network is asked for ports, the old one is not any more.
func TestNextRouter(t *testing.T) {
	var made []*fakeRouter
	build := func(network.Network) basichost.NATManager {
		made = append(made, &fakeRouter{})
		return made[len(made)-1]
	}
	m := &Map{make: build, now: build(nil)}
	m.Renew()
	if len(made) != 2 || !made[0].closed || made[1].closed || m.manager() != made[1] {
		t.Errorf("after a move: %d routers", len(made))
	}
	m.Close()
	m.Renew()
	if len(made) != 2 || !made[1].closed {
		t.Error("a router is looked for after the end")
	}
}
