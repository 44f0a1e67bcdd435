// Package kaddht is the overlay of go-libp2p-kad-dht: Kademlia with 256-bit keys, 20 peers a bucket.
//
// It is the default engine, and knows no public network: each network of nodes has a DHT of its own, told apart by the protocol's
// name. Its one idea: what is provided is kept in a keystore on disk and announced region by region (provider), so that a restart
// begins with nothing but the next region, and a node without neighbours announces as soon as the first one comes.
package kaddht

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/namespace"
	golog "github.com/ipfs/go-log/v2"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p-kad-dht/provider"
	"github.com/libp2p/go-libp2p-kad-dht/provider/keystore"
	kbucket "github.com/libp2p/go-libp2p-kbucket"
	record "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/routing"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multihash"

	"kith"
	"kith/overlay"
)

const (
	concurrency = 5  // requests of one lookup at once; 10 is the library's, which home routers feel
	thorough    = 20 // closest peers that must have answered before a lookup is over; with the library's 3, three identities near a key hide it
	maxAddrs    = 16 // addresses that are believed of one peer that others name
)

// Options says what a Router is to be. Host, Network and DS are required.
type Options struct {
	Host       host.Host
	Network    string                      // name of the network
	DS         datastore.Batching          // keeps records, keys to provide, and how far the provider is; closed after the Router, and after the host
	Validators map[string]record.Validator // of values, by the first part of their key; "pk" is always there
	Log        *slog.Logger
}

// Router implements overlay.Router.
type Router struct {
	dht       *dht.IpfsDHT
	protocol  protocol.ID // under which it answers
	keys      keystore.Keystore
	validator record.Validator
	ds        datastore.Batching
	log       *slog.Logger
	ctx       context.Context // ends when Close begins
	cancel    context.CancelFunc
	joined    chan struct{} // closed when the first peer is in the routing table
	work      sync.WaitGroup

	mu      sync.Mutex
	prov    *provider.SweepingProvider // nil until joined
	pending []multihash.Multihash      // to announce when it is not
}

var _ overlay.Router = (*Router)(nil)

// quietLibrary does for this library what network does for libp2p.
var quietLibrary = sync.OnceFunc(func() {
	if os.Getenv("GOLOG_LOG_LEVEL") == "" {
		golog.SetAllLoggers(golog.LevelFatal)
	}
})

// New joins the overlay of a network, in the background: it needs no peer to start.
func New(ctx context.Context, o Options) (_ *Router, err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	quietLibrary()
	validators := record.NamespacedValidator{"pk": record.PublicKeyValidator{}}
	for name, v := range o.Validators {
		validators[name] = v
	}
	r := &Router{
		protocol: protocol.ID("/kith/" + o.Network + "/kad/1.0.0"), validator: validators, ds: o.DS, log: o.Log, joined: make(chan struct{}),
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			err = fmt.Errorf("kaddht: %w", errors.Join(err, r.Close()))
		}
	}()
	r.dht, err = dht.New(o.Host,
		dht.ProtocolPrefix(protocol.ID("/kith/"+o.Network)),
		dht.Mode(dht.ModeAutoServer), // server unless proven unreachable: a small network would have none
		dht.Datastore(&guarded{Batching: o.DS, host: o.Host, now: time.Now}),
		dht.RoutingTableFilter(diverse(o.Host)),
		dht.Validator(validators),
		dht.Concurrency(concurrency),
		dht.Resiliency(thorough),
		dht.AddressFilter(bounded),
		dht.BootstrapPeers(), // nobody's
	)
	if err != nil {
		return nil, err
	}
	if r.keys, err = keystore.NewKeystore(namespace.Wrap(o.DS, datastore.NewKey("/keystore"))); err != nil {
		return nil, err
	}
	met, err := o.Host.EventBus().Subscribe(new(event.EvtPeerIdentificationCompleted), eventbus.Name("kaddht"))
	if err != nil {
		return nil, err
	}
	r.work.Go(func() { r.join(met) })
	return r, nil
}

// bounded keeps the first addresses of a list that somebody else made. Local ones stay: a network may be all on one local network.
func bounded(addrs []ma.Multiaddr) []ma.Multiaddr { return addrs[:min(len(addrs), maxAddrs)] }

// Provide announces key now and keeps announcing it until Withdraw, over restarts. If announce is false, only who asks this node learns of it.
func (r *Router) Provide(ctx context.Context, key cid.Cid, announce bool) error {
	if !key.Defined() {
		return fmt.Errorf("kaddht: provide: no key: %w", kith.Invalid)
	}
	// Whoever asks this node is told at once; in a network of two that is everybody.
	if err := r.dht.Provide(ctx, key, false); err != nil {
		return fmt.Errorf("kaddht: provide: %w", err)
	}
	if !announce {
		return nil
	}
	if err := r.announce(ctx, key.Hash()); err != nil {
		return fmt.Errorf("kaddht: provide: %w", err)
	}
	return nil
}

// Withdraw implements overlay.Router.
func (r *Router) Withdraw(ctx context.Context, keys ...cid.Cid) error {
	var hashes []multihash.Multihash
	for _, k := range keys {
		if k.Defined() {
			hashes = append(hashes, k.Hash())
		}
	}
	if err := r.silence(ctx, hashes); err != nil {
		return fmt.Errorf("kaddht: withdraw: %w", err)
	}
	return nil
}

// FindProvidersAsync implements routing.ContentRouting: up to count providers, or all that are found if it is 0. The channel is closed when the search
// is over; who stops reading before ends ctx.
func (r *Router) FindProvidersAsync(ctx context.Context, key cid.Cid, count int) <-chan peer.AddrInfo {
	out := make(chan peer.AddrInfo)
	go func() {
		defer close(out)
		r.ready(ctx)
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		found := map[peer.ID]bool{}                            // one comes again when its addresses do
		for p := range r.dht.FindProvidersAsync(ctx, key, 0) { // told a count, the library loses some: it may end the search between counting one and handing it over
			select {
			case out <- p:
			case <-ctx.Done():
				return
			}
			if found[p.ID] = true; count > 0 && len(found) >= count {
				return
			}
		}
	}()
	return out
}

// FindPeer implements routing.PeerRouting. It is NotFound if nobody knows p.
func (r *Router) FindPeer(ctx context.Context, p peer.ID) (peer.AddrInfo, error) {
	r.ready(ctx)
	info, err := r.dht.FindPeer(ctx, p)
	return info, kinded(err)
}

// PutValue implements routing.ValueStore. A value that its validator refuses is Invalid, one that is older than what is kept here Exists. While no peer is
// known, the value is kept here and given to who asks.
func (r *Router) PutValue(ctx context.Context, key string, value []byte, opts ...routing.Option) error {
	if err := r.validator.Validate(key, value); err != nil {
		return fmt.Errorf("kaddht: put %.40q: %v: %w", key, err, kith.Invalid)
	}
	r.ready(ctx)
	err := r.dht.PutValue(context.WithValue(ctx, own{}, true), key, value, opts...)
	switch {
	case errors.Is(err, kbucket.ErrLookupFailure):
		return nil
	case err != nil && err.Error() == "can't replace a newer value with an older value": // the library has no name for it
		return fmt.Errorf("kaddht: put %.40q: a newer value is there: %w", key, kith.Exists)
	}
	return kinded(err)
}

// GetValue implements routing.ValueStore. It is NotFound if nobody has a valid value.
func (r *Router) GetValue(ctx context.Context, key string, opts ...routing.Option) ([]byte, error) {
	r.ready(ctx)
	v, err := r.dht.GetValue(ctx, key, opts...)
	return v, kinded(err)
}

// SearchValue implements routing.ValueStore.
func (r *Router) SearchValue(ctx context.Context, key string, opts ...routing.Option) (<-chan []byte, error) {
	r.ready(ctx)
	ch, err := r.dht.SearchValue(ctx, key, opts...)
	return ch, kinded(err)
}

// Closest implements overlay.Router, for n up to 20. This node itself is never among them.
func (r *Router) Closest(ctx context.Context, key []byte, n int) ([]peer.AddrInfo, error) {
	r.ready(ctx)
	ids, err := r.dht.GetClosestPeers(ctx, string(key))
	if err != nil {
		return nil, kinded(err)
	}
	ids = slices.DeleteFunc(ids, func(p peer.ID) bool { return p == r.dht.PeerID() })
	var out []peer.AddrInfo
	for _, p := range ids[:min(n, len(ids))] {
		out = append(out, r.dht.Host().Peerstore().PeerInfo(p))
	}
	return out, nil
}

// Size returns how many peers the routing table holds.
func (r *Router) Size() int { return r.dht.RoutingTable().Size() }

// Mode returns server, if this node answers others' questions, or client.
func (r *Router) Mode() string {
	for _, p := range r.dht.Host().Mux().Protocols() {
		if p == r.protocol {
			return "server"
		}
	}
	return "client"
}

// Close leaves the overlay. The host and then the datastore are closed after it.
func (r *Router) Close() error {
	r.cancel()
	r.work.Wait()
	var errs []error
	if r.prov != nil {
		errs = append(errs, r.prov.Close())
	}
	if r.keys != nil {
		errs = append(errs, r.keys.Close())
	}
	if r.dht != nil {
		errs = append(errs, r.dht.Close())
	}
	return errors.Join(errs...)
}

// kinded gives an error of the library's the Kind that fits.
func kinded(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, routing.ErrNotFound):
		return fmt.Errorf("kaddht: %w: %w", err, kith.NotFound)
	case errors.Is(err, kbucket.ErrLookupFailure):
		return fmt.Errorf("kaddht: no peer is known: %w", kith.Unavailable)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("kaddht: %w: %w", err, kith.Timeout)
	}
	return fmt.Errorf("kaddht: %w", err)
}
