package host

import (
	"context"
	"sync"

	delegated "github.com/ipfs/boxo/routing/http/client"
	"github.com/ipfs/boxo/routing/http/contentrouter"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p-kad-dht/dual"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
)

// maxProviders bounds who is named as having a block.
const maxProviders = 20

// finder asks the DHT and the delegated routers that the person named who has a block. It implements routing.ContentDiscovery.
type finder struct {
	dht    *dual.DHT
	others []routing.ContentDiscovery
}

// routers returns the delegated routers of the configuration.
func (on *Host) routers() (all []routing.ContentDiscovery, err error) {
	for _, u := range on.o.Routers {
		c, err := delegated.New(u, delegated.WithHTTPClient(httpClient), delegated.WithUserAgent("kith"))
		if err != nil {
			return nil, err
		}
		all = append(all, contentrouter.NewContentRoutingClient(c))
	}
	return all, nil
}

// FindProvidersAsync implements routing.ContentDiscovery.
func (f *finder) FindProvidersAsync(ctx context.Context, c cid.Cid, max int) <-chan peer.AddrInfo {
	if max <= 0 || max > maxProviders {
		max = maxProviders
	}
	if len(f.others) == 0 {
		return f.dht.FindProvidersAsync(ctx, c, max)
	}
	out := make(chan peer.AddrInfo)
	var all sync.WaitGroup
	for _, r := range append([]routing.ContentDiscovery{f.dht}, f.others...) {
		all.Go(func() {
			for p := range r.FindProvidersAsync(ctx, c, max) {
				select {
				case out <- p:
				case <-ctx.Done():
				}
			}
		})
	}
	go func() {
		all.Wait()
		close(out)
	}()
	return out
}
