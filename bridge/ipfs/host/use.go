package host

import (
	"context"
	"sync"

	"github.com/ipfs/boxo/exchange"
	blocks "github.com/ipfs/go-block-format"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
	ma "github.com/multiformats/go-multiaddr"
)

// ID returns its peer id.
func (on *Host) ID() peer.ID { return on.libp2p.ID() }

// Addrs returns where it can be reached.
func (on *Host) Addrs() []ma.Multiaddr { return on.libp2p.Addrs() }

// Peers returns who is connected.
func (on *Host) Peers() []peer.ID { return on.libp2p.Network().Peers() }

// Session returns what fetches blocks that belong together, until ctx ends.
func (on *Host) Session(ctx context.Context) exchange.Fetcher { return on.swap.NewSession(ctx) }

// Tell gives blocks that have come from elsewhere to peers that wait for them. Only their sizes are looked at.
func (on *Host) Tell(ctx context.Context, list ...blocks.Block) error {
	return on.swap.Server.NotifyNewBlocks(ctx, list...)
}

// Put gives a value to the DHT.
func (on *Host) Put(ctx context.Context, key string, value []byte) error {
	return on.dht.PutValue(ctx, key, value)
}

// Search asks the DHT, that of the internet and that of the local network, for values; found is called for each, on any goroutine.
func (on *Host) Search(ctx context.Context, key string, found func([]byte)) {
	var all sync.WaitGroup
	for _, d := range []routing.ValueStore{on.dht.WAN, on.dht.LAN} {
		all.Go(func() {
			values, err := d.SearchValue(ctx, key)
			if err != nil {
				return
			}
			for v := range values {
				found(v)
			}
		})
	}
	all.Wait()
}
