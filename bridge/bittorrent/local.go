package bittorrent

import (
	"context"
	"net/netip"

	"kith"
	"kith/bridge/bittorrent/lpd"
)

// local is a swarm as the local network is told of it.
type local struct{ *swarm }

// Hashes implements lpd.Swarm.
func (l local) Hashes() []kith.InfoHash { return l.hashes() }

// newLocal returns what looks for peers in the local network.
func newLocal(c *client) *lpd.Finder {
	return lpd.New(lpd.Options{
		Port: c.cl.LocalPort(), Bind: c.b.o.Bind, Log: c.b.log,
		Swarms: func() (list []lpd.Swarm) {
			for s := range c.b.all() {
				if !s.private() {
					list = append(list, local{s})
				}
			}
			return list
		},
		Heard: func(hash kith.InfoHash, at netip.AddrPort) lpd.Swarm {
			s := c.b.swarmOf(hash)
			if s == nil || s.private() {
				return nil
			}
			s.hints(nil, nil, []string{at.String()})
			return local{s}
		},
	})
}

// look runs local until ctx ends or the client is closed.
func (c *client) look(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		c.local.Run(ctx)
		cancel()
	}()
	select {
	case <-c.cl.Closed():
	case <-ctx.Done():
	}
	cancel()
}

// lonely says why nobody is looked for in the local network, "" where somebody is or nobody is to be.
func (c *client) lonely() string {
	if c.local == nil || c.local.Err() == nil {
		return ""
	}
	return "nobody is looked for in the local network until there is one"
}
