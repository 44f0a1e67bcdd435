package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p-kad-dht/provider"
	"github.com/libp2p/go-libp2p-kad-dht/provider/stats"
	"github.com/multiformats/go-multihash"

	"kith"
)

// lookEvery is how often it is looked whether the DHT has been told.
const lookEvery = time.Second

// Provide tells the DHT of keys, now and again every 22 hours. It returns when all were told.
func (on *Host) Provide(ctx context.Context, now bool, keys []multihash.Multihash) error {
	if len(keys) == 0 {
		return nil
	}
	if _, err := on.keys.Put(ctx, keys...); err != nil {
		return fmt.Errorf("ipfs: keep what to announce: %w", err)
	}
	sent := map[*provider.SweepingProvider]bool{}
	for wait := lookEvery; ; {
		busy := false
		for _, p := range []*provider.SweepingProvider{on.provider.WAN, on.provider.LAN} {
			st, err := statsOf(ctx, p)
			if err != nil || st.Connectivity.Status != "online" {
				continue
			}
			if !sent[p] {
				sent[p], busy = true, true
				if err := tell(p, now, keys); err != nil {
					return fmt.Errorf("ipfs: announce: %w", err)
				}
				continue
			}
			busy = busy || st.Queues.PendingKeyProvides > 0 || st.Operations.Ongoing.KeyProvides > 0
		}
		if len(sent) > 0 && !busy {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-on.ctx.Done():
			return fmt.Errorf("ipfs: the host was closed: %w", kith.Unavailable)
		case <-time.After(wait):
		}
	}
}

// statsOf asks a provider how it is, which may wait behind its disk.
func statsOf(ctx context.Context, p *provider.SweepingProvider) (stats.Stats, error) {
	ctx, cancel := context.WithTimeout(ctx, lookEvery)
	defer cancel()
	return p.Stats(ctx)
}

func tell(p *provider.SweepingProvider, now bool, keys []multihash.Multihash) error {
	if now {
		return p.StartProviding(true, keys...)
	}
	return p.AddToSchedule(keys...)
}

// Forget takes keys off what the DHT is told.
func (on *Host) Forget(keys []multihash.Multihash) error {
	return errors.Join(on.provider.WAN.StopProviding(keys...), on.provider.LAN.StopProviding(keys...))
}

// Left returns how many keys the DHT is still to be told of, and whether it is known yet.
func (on *Host) Left(ctx context.Context) (n int64, ready bool) {
	for _, p := range []*provider.SweepingProvider{on.provider.WAN, on.provider.LAN} {
		if st, err := statsOf(ctx, p); err == nil && st.Connectivity.Status == "online" {
			n, ready = n+st.Queues.PendingKeyProvides, true
		}
	}
	return n, ready
}
