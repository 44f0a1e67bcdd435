package ipfs

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"kith/internal/human"
)

// revive goes on with what was published when the node last stopped.
func (b *Bridge) revive() {
	rows, err := b.db.Query(`SELECT root FROM share`)
	if err != nil {
		b.log.Warn("published shares not read", "op", "ipfs", "err", err)
		return
	}
	var roots []string
	for rows.Next() {
		var root string
		if rows.Scan(&root) == nil {
			roots = append(roots, root)
		}
	}
	rows.Close()
	for _, root := range roots {
		b.announce(root)
	}
	b.spawn("ipfs.sweep", b.cache.sweep)
	b.spawn("ipfs.pins", b.revivePins)
	b.spawn("ipfs.names", b.names.keep)
}

// announce keeps the host up and tells the DHT of a share, until the share is withdrawn. It returns at once.
func (b *Bridge) announce(root string) {
	if !b.net.hold(root) {
		return // it is being done
	}
	b.spawn("ipfs.announce", func(ctx context.Context) error {
		on, release, err := b.net.use()
		if err != nil {
			b.net.drop(root)
			return err
		}
		b.net.held(root, release)
		var told int64
		if err := b.db.QueryRowContext(ctx, `SELECT told FROM share WHERE root = ?`, root).Scan(&told); err != nil {
			b.net.drop(root)
			return nil // it was withdrawn
		}
		keys, err := b.store.keys(ctx, root, b.o.Config.Provide)
		if err != nil {
			return err
		}
		if err := on.Provide(ctx, told == 0, keys); err != nil {
			return err
		}
		_, err = b.db.ExecContext(ctx, `UPDATE share SET told = ? WHERE root = ? AND told = 0`, time.Now().Unix(), root)
		return err
	})
}

// forget takes keys off what the DHT is told, but for those that something else is published under.
func (b *Bridge) forget(ctx context.Context, keys []multihash.Multihash) error {
	on := b.net.now()
	if on == nil {
		return nil
	}
	keys = slices.DeleteFunc(keys, func(k multihash.Multihash) bool {
		_, err := b.store.where(ctx, cid.NewCidV1(cid.Raw, k))
		return err == nil
	})
	if len(keys) == 0 {
		return nil
	}
	return on.Forget(keys)
}

// said tells a person how far the DHT has been told.
func (b *Bridge) said(told int64) string {
	on := b.net.now()
	switch {
	case told > 0:
		return "announced " + human.Duration(time.Since(time.Unix(told, 0))) + " ago, and again each day"
	case on == nil:
		return "not announced yet: not connected to IPFS"
	case len(on.Peers()) == 0:
		return "not announced yet: no node of IPFS answers; check the connection, or ipfs_hosts in config.toml"
	}
	left, ready := on.Left(b.ctx)
	if !ready {
		return "not announced yet: the DHT is being asked who is near"
	}
	return fmt.Sprintf("being announced: %d names to go", left)
}
