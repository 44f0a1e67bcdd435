// Package overlay is key-based routing: who is near a key, who provides what it names, which record stands under it. It holds the
// interface only; each engine is a folder of its own.
package overlay

import (
	"context"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
)

// A Router is an overlay as the rest of a node sees it: libp2p's own routing interfaces, so that whatever speaks them fits. All
// methods may be called at once from several goroutines.
type Router interface {
	routing.PeerRouting
	routing.ContentRouting // Provide announces a key now and keeps announcing it until Withdraw
	routing.ValueStore

	// Withdraw stops announcing keys. What was announced is forgotten by others when it expires.
	Withdraw(ctx context.Context, keys ...cid.Cid) error
	// Closest returns the n peers nearest to key, nearest first.
	Closest(ctx context.Context, key []byte, n int) ([]peer.AddrInfo, error)
}
