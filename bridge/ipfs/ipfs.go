// Package ipfs is the network of IPFS over the blobs of this node: what is published is found and fetched by any IPFS program under the CID
// that ipfs add would give it, and what IPFS programs have can be fetched.
//
// It is for content that the person gives to IPFS, or asks of it; it is no IPFS node for others, and answers nobody about anything else. Its one
// idea: a leaf of a UnixFS DAG is a range of a blob, so that only the inner nodes are kept here, and nothing is stored twice. Until the person publishes
// or fetches, it has no socket. It speaks with a host and a peer id of its own, so that nothing leads from IPFS to who the person is in Kith.
//
// No other folder imports boxo, whose maintainers' work ended in September 2026.
package ipfs

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"kith"
	"kith/blob"
	"kith/bridge"
	"kith/bridge/ipfs/flight"
	"kith/bridge/ipfs/host"
	"kith/bridge/ipfs/unixfs"
	"kith/config"
	"kith/internal/db"
	"kith/record"
)

// Name is how commands call the network.
const Name = "ipfs"

// Options say what a Bridge has to work with. Blobs and Dir are required.
type Options struct {
	Blobs   *blob.Store
	Records *record.Store // Kith's own names; nil: IPFS' alone
	Dir     string        // its own folder; it is made if missing
	Log     *slog.Logger  // nil: none
	Config  config.IPFS

	Bootstrap []string // multiaddrs of nodes of the DHT to begin with; nil: those of IPFS' own programs; empty: none
	UPnP      bool     // the router may be asked for a way in
	Loopback  bool     // of tests: everybody is on this computer

	gatewayAfter time.Duration // that peers have before gateways are asked too; 0: the usual
}

// DefaultCache is how many bytes of what the gateway fetched are kept.
const DefaultCache = 1 << 30

// Bridge is the network. It implements bridge.Bridge.
type Bridge struct {
	o       Options
	log     *slog.Logger
	profile unixfs.Profile
	db      *sql.DB
	note    string
	store   *store
	cache   *cache
	moves   moves
	flights flight.Group
	net     connection
	names   names

	ctx    context.Context // of everything lasting
	cancel context.CancelFunc
	tasks  sync.WaitGroup
}

var _ bridge.Bridge = (*Bridge)(nil)

// New opens what is kept of the network, and says nothing to anybody but for what is published already.
func New(o Options) (*Bridge, error) {
	b, err := open(o)
	if err != nil {
		return nil, fmt.Errorf("ipfs: %w", err)
	}
	return b, nil
}

func open(o Options) (_ *Bridge, err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.gatewayAfter = cmp.Or(o.gatewayAfter, gatewayAfter)
	b := &Bridge{o: o, log: o.Log}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	if b.profile, err = unixfs.Named(o.Config.Profile); err != nil {
		return nil, err
	}
	if err := host.Check(host.Options{Bootstrap: o.Bootstrap, Peers: o.Config.Peers}); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	var note string
	if b.db, note, err = db.Open(filepath.Join(o.Dir, "ipfs.db"), o.Log, schema); err != nil {
		return nil, err
	}
	if note != "" {
		b.note = note + ". What was published to IPFS must be published again"
	}
	if b.store, err = newStore(b.db, o.Blobs); err == nil {
		b.cache, err = openCache(b.db, filepath.Join(o.Dir, "blocks"), o.Config.Cache)
	}
	if err != nil {
		b.db.Close()
		return nil, err
	}
	b.net.b, b.names.b, b.names.kick = b, b, make(chan struct{}, 1)
	b.moves.db = b.db
	return b, nil
}

// Start serves again what is published.
func (b *Bridge) Start(context.Context) error {
	b.revive()
	return nil
}

// Note returns what a person should know since New; "" for nothing.
func (b *Bridge) Note() string { return b.note }

// Name implements bridge.Bridge.
func (b *Bridge) Name() string { return Name }

// spawn runs a task until it returns or the Bridge closes.
func (b *Bridge) spawn(name string, run func(context.Context) error) {
	b.tasks.Go(func() {
		if err := run(b.ctx); err != nil && b.ctx.Err() == nil {
			b.log.Warn("task failed", "op", name, "err", err)
		}
	})
}

// Close ends it. What is published goes on at the next New.
func (b *Bridge) Close() error {
	b.cancel()
	b.net.close()
	b.tasks.Wait()
	err := b.store.flush(context.Background())
	b.store.saveCounts()
	if cerr := b.db.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("ipfs: close: %w", err)
	}
	return nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("ipfs: "+format+": %w", append(args, kith.Invalid)...)
}
