package kaddht

import (
	"context"
	"fmt"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/namespace"
	"github.com/libp2p/go-libp2p-kad-dht/provider"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/multiformats/go-multihash"

	"kith"
)

const (
	provideWorkers = 2              // lookups of the provider at once
	provideConns   = 8              // connections of each
	offlineDelay   = 48 * time.Hour // see startProvider
	maxPending     = 100_000        // keys that wait for the first peer
	joinTick       = 25 * time.Millisecond
	joinWait       = 5 * time.Second // after a peer came, for it to answer as one of the overlay
	readyWait      = time.Second     // that a lookup waits for the first peer to be usable
)

// join waits for the first peer of the overlay, and starts the provider then. The library's provider, started without a peer, would look again
// with ever longer pauses, up to a minute, and what is shared in a new network would be found as late.
func (r *Router) join(met event.Subscription) {
	defer met.Close()
	for r.Size() == 0 {
		if len(r.dht.Host().Network().Peers()) > 0 && r.pollTable() {
			break
		}
		select {
		case <-r.ctx.Done():
			return
		case <-met.Out():
		}
	}
	close(r.joined)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil {
		return
	}
	if err := r.startProvider(); err != nil {
		r.log.Error("nothing can be announced", "err", err)
	}
}

// pollTable waits for a peer that was met to be in the routing table: the library asks it something first, and tells nobody.
func (r *Router) pollTable() bool {
	tick, end := time.NewTicker(joinTick), time.NewTimer(joinWait)
	defer tick.Stop()
	defer end.Stop()
	for r.Size() == 0 {
		select {
		case <-r.ctx.Done():
			return false
		case <-end.C:
			return false
		case <-tick.C:
		}
	}
	return true
}

// ready lets a lookup that comes right after the first connection wait until there is somebody to ask.
func (r *Router) ready(ctx context.Context) {
	if len(r.dht.Host().Network().Peers()) == 0 {
		return
	}
	select {
	case <-r.joined:
		return
	default:
	}
	end := time.NewTimer(readyWait)
	defer end.Stop()
	select {
	case <-r.joined:
	case <-ctx.Done():
	case <-r.ctx.Done():
	case <-end.C:
	}
}

// startProvider starts the sweeping provider, and has it announce what waited. r.mu is held.
//
// Being without peers for longer than its offline delay makes it forget what is still to be announced, and it announces nothing that it takes meanwhile until
// the next cycle, 22 hours later. So that delay is as long as records live: after that everything is due anyway.
func (r *Router) startProvider() (err error) {
	r.prov, err = provider.New(
		provider.WithHost(r.dht.Host()),
		provider.WithRouter(r.dht),
		provider.WithMessageSender(r.dht.MessageSender()),
		provider.WithSelfAddrs(r.dht.FilteredAddrs),
		provider.WithAddLocalRecord(func(ctx context.Context, mh multihash.Multihash) error {
			return r.dht.Provide(ctx, cid.NewCidV1(cid.Raw, mh), false)
		}),
		provider.WithKeystore(r.keys),
		provider.WithDatastore(namespace.Wrap(r.ds, datastore.NewKey("/provider"))),
		provider.WithMaxWorkers(provideWorkers), provider.WithDedicatedPeriodicWorkers(1), provider.WithDedicatedBurstWorkers(1),
		provider.WithMaxProvideConnsPerWorker(provideConns),
		provider.WithOfflineDelay(offlineDelay),
	)
	if err != nil {
		return err
	}
	pending := r.pending
	r.pending = nil
	return r.prov.StartProviding(true, pending...)
}

// announce keeps keys and announces them, now or as soon as there is somebody to tell.
func (r *Router) announce(ctx context.Context, keys ...multihash.Multihash) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.prov != nil {
		return r.prov.StartProviding(true, keys...)
	}
	if len(r.pending)+len(keys) > maxPending {
		return fmt.Errorf("%d keys wait to be announced: %w", len(r.pending), kith.TooLarge)
	}
	if _, err := r.keys.Put(ctx, keys...); err != nil { // so that they outlive a restart
		return err
	}
	r.pending = append(r.pending, keys...)
	return nil
}

// silence stops announcing keys.
func (r *Router) silence(ctx context.Context, keys []multihash.Multihash) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.prov != nil {
		return r.prov.StopProviding(keys...)
	}
	gone := map[string]bool{}
	for _, k := range keys {
		gone[string(k)] = true
	}
	left := r.pending[:0]
	for _, k := range r.pending {
		if !gone[string(k)] {
			left = append(left, k)
		}
	}
	r.pending = left
	return r.keys.Delete(ctx, keys...)
}
