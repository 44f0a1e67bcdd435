package kaddht

import (
	"context"
	"encoding/base32"
	"fmt"
	"strings"
	"time"

	"github.com/ipfs/go-datastore"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p-kad-dht/records"
	kbucket "github.com/libp2p/go-libp2p-kbucket"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/network/maddr"
	"kith/overlay/ledger"
)

const halfBucket = 10 // places in a bucket for one part of the internet

// diverse keeps one part of the internet from filling a bucket of the routing table, and so from answering every question that goes that way. It
// decides by where a peer is connected from, which cannot be claimed.
func diverse(h host.Host) dht.RouteTableFilterFunc {
	self := kbucket.ConvertPeerID(h.ID())
	bucket := func(p peer.ID) int { return kbucket.CommonPrefixLen(self, kbucket.ConvertPeerID(p)) }
	return func(d any, p peer.ID) bool {
		group := groupOf(h, p)
		if group == "" {
			return true
		}
		in, same := bucket(p), 0
		for _, other := range d.(*dht.IpfsDHT).RoutingTable().ListPeers() {
			if other == p {
				return true // it is there
			}
			if bucket(other) == in && groupOf(h, other) == group {
				same++
			}
		}
		return same < halfBucket
	}
}

// groupOf returns where p is connected from.
func groupOf(h host.Host, p peer.ID) string {
	for _, c := range h.Network().ConnsToPeer(p) {
		if g := maddr.Group(c.RemoteMultiaddr()); g != "" {
			return g
		}
	}
	return ""
}

// own marks the context of a value that this node puts itself.
type own struct{}

// peerName is how the library writes a peer id at the end of the key of an announcement.
var peerName = base32.StdEncoding.WithPadding(base32.NoPadding)

// guarded is the datastore of the library with a ledger before it. The library takes no store of ours for announcements, and so has them read out of the
// keys that it puts. What is one too many is not put, and an announcer is not told: others keep it.
type guarded struct {
	datastore.Batching
	host   host.Host
	now    func() time.Time
	ledger ledger.Ledger
}

func (g *guarded) day() int64 { return g.now().Unix() / (24 * 60 * 60) }

// announced reports whether key is that of an announcement, and whether it is kept.
func (g *guarded) announced(key datastore.Key) (is, kept bool) {
	name, is := strings.CutPrefix(key.String(), records.ProvidersKeyPrefix)
	if !is {
		return false, false
	}
	id, err := peerName.DecodeString(name[strings.LastIndex(name, "/")+1:])
	if err != nil {
		return true, false
	}
	p := peer.ID(id)
	return true, p == g.host.ID() || g.ledger.Announce(g.day(), p, groupOf(g.host, p))
}

// Put implements datastore.Datastore.
func (g *guarded) Put(ctx context.Context, key datastore.Key, value []byte) error {
	if is, kept := g.announced(key); is && !kept {
		return nil
	} else if !is && ctx.Value(own{}) == nil {
		if old, err := g.Batching.Has(ctx, key); err != nil || !old && !g.ledger.Value(g.day(), len(value)) {
			return fmt.Errorf("kaddht: others keep enough here for today: %w", kith.Unavailable)
		}
	}
	return g.Batching.Put(ctx, key, value)
}

// Batch implements datastore.Batching.
func (g *guarded) Batch(ctx context.Context) (datastore.Batch, error) {
	b, err := g.Batching.Batch(ctx)
	return guardedBatch{b, g}, err
}

type guardedBatch struct {
	datastore.Batch
	g *guarded
}

// Put implements datastore.Batch.
func (b guardedBatch) Put(ctx context.Context, key datastore.Key, value []byte) error {
	if is, kept := b.g.announced(key); is && !kept {
		return nil
	}
	return b.Batch.Put(ctx, key, value)
}
