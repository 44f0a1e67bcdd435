package kaddht

import (
	"context"
	"encoding/base32"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/ipfs/go-datastore"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p-kad-dht/records"
	kbucket "github.com/libp2p/go-libp2p-kbucket"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/network/maddr"
)

// What strangers may make a node keep in a day. It is dropped after 48 hours, so that at most three times as much is on disk.
const (
	dayPeer   = 50_000   // announcements of one peer
	dayGroup  = 100_000  // of all peers in one part of the internet (network.Group)
	dayAll    = 200_000  // of all peers; one takes about 170 bytes on disk
	dayValues = 32 << 20 // bytes of values under keys that are new here
	maxPeers  = 16_384   // peers that are counted; after that, what no counted one sends is not kept until the next day

	halfBucket = 10 // places in a bucket for one part of the internet
)

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

// A ledger counts what strangers make this node keep. It is pure: days come in.
type ledger struct {
	mu     sync.Mutex
	day    int64
	peers  map[peer.ID]int
	groups map[string]int
	all    int
	values int
}

// turn begins a new day. l.mu is held.
func (l *ledger) turn(day int64) {
	if day != l.day || l.peers == nil {
		l.day, l.peers, l.groups, l.all, l.values = day, map[peer.ID]int{}, map[string]int{}, 0, 0
	}
}

// announce reports whether one more announcement of p is kept.
func (l *ledger) announce(day int64, p peer.ID, group string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn(day)
	n, counted := l.peers[p]
	if l.all >= dayAll || n >= dayPeer || group != "" && l.groups[group] >= dayGroup || !counted && len(l.peers) >= maxPeers {
		return false
	}
	l.all++
	l.peers[p]++
	if group != "" {
		l.groups[group]++
	}
	return true
}

// value reports whether a value under a new key is kept.
func (l *ledger) value(day int64, size int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn(day)
	if l.values+size > dayValues {
		return false
	}
	l.values += size
	return true
}

// guarded is the datastore of the library with a ledger before it. The library takes no store of ours for announcements, and so has them read out of the
// keys that it puts. What is one too many is not put, and an announcer is not told: others keep it.
type guarded struct {
	datastore.Batching
	host   host.Host
	now    func() time.Time
	ledger ledger
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
	return true, p == g.host.ID() || g.ledger.announce(g.day(), p, groupOf(g.host, p))
}

// Put implements datastore.Datastore.
func (g *guarded) Put(ctx context.Context, key datastore.Key, value []byte) error {
	if is, kept := g.announced(key); is && !kept {
		return nil
	} else if !is && ctx.Value(own{}) == nil {
		if old, err := g.Batching.Has(ctx, key); err != nil || !old && !g.ledger.value(g.day(), len(value)) {
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
