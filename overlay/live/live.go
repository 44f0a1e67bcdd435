// Package live runs an engine of key-based routing (overlay/kbr: Chord, and others) in a node, over libp2p, and keeps values and announcements on top of it: it is
// overlay.Router with Kith's own overlays.
//
// It knows no geometry: what is near a key, and how neighbours are kept, is the engine's. Its one idea: one goroutine owns the engine and tells it everything, what peers
// say as well as what time it is; all else, which is streams, disk and who asks for what, happens around it and waits for nobody. What is kept stands at the first nodes
// of a key, and moves when they change; all of it can be checked by whoever keeps it, values by their validator and announcements by their signature, so that anybody may
// hand it on.
//
// Searches are iterative: a recursive one can be lost by each node on its way unseen, and has strangers make others dial whoever they name.
package live

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-datastore"
	record "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"

	"kith/network/maddr"
	"kith/overlay"
	"kith/overlay/kbr"
)

// Options says what a Router is to be. Host, Network, Overlay and DS are required.
type Options struct {
	Host       host.Host
	Network    string                      // name of the network
	Overlay    string                      // one of Names
	DS         datastore.Batching          // keeps records, and keys to provide; closed after the Router, and after the host
	Validators map[string]record.Validator // of values, by the first part of their key; "pk" is always there
	LeastWait  time.Duration               // that a peer has at least to answer, where round trips say that it need not be longer; 0: 750 ms
	Now        func() time.Time            // nil: the clock
	Log        *slog.Logger
}

// copies is how many nodes keep what stands under a key. Of eight all crash at once in one case of 256 when half of all nodes do.
const copies = 8

const (
	parallel   = 3  // nodes that a search asks at once
	maxFinds   = 64 // searches of users at once
	maxWaiting = 256
)

// Router implements overlay.Router.
type Router struct {
	host      host.Host
	name      string // of the overlay
	protocol  protocol.ID
	validator record.Validator
	store     *store
	leastWait time.Duration
	now       func() time.Time
	log       *slog.Logger
	ctx       context.Context // ends when Close begins
	cancel    context.CancelFunc
	work      sync.WaitGroup
	gate      *gate
	pace      pace
	todo      chan func()   // for the loop
	finds     chan struct{} // room for searches
	looking   sync.Mutex    // held by who finds out what is around
	joined    chan struct{} // closed when the first peer is known
	changed   chan struct{} // cap 1: the neighbours have changed
	due       chan struct{} // cap 1: something is to be announced
	own       *provided
	tending   tending
	closing   sync.Once

	loop // of the loop's goroutine alone
}

var _ overlay.Router = (*Router)(nil)

// New joins the overlay of a network, in the background: it needs no peer to start.
func New(ctx context.Context, o Options) (_ *Router, err error) {
	if err := Check(o.Overlay); err != nil {
		return nil, fmt.Errorf("live: %w", err)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	validators := record.NamespacedValidator{"pk": record.PublicKeyValidator{}}
	for name, v := range o.Validators {
		validators[name] = v
	}
	r := &Router{
		host: o.Host, name: o.Overlay, protocol: Protocol(o.Network, o.Overlay), validator: validators, leastWait: cmp.Or(o.LeastWait, leastWait), now: o.Now, log: o.Log,
		gate: newGate(), todo: make(chan func(), maxWaiting), finds: make(chan struct{}, maxFinds), joined: make(chan struct{}),
		changed: make(chan struct{}, 1), due: make(chan struct{}, 1),
	}
	r.ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	r.store = newStore(o.DS, o.Overlay, validators, o.Host.ID(), o.Now)
	if r.own, err = openProvided(r.ctx, o.DS, o.Overlay); err != nil {
		r.cancel()
		return nil, fmt.Errorf("live: %w", err)
	}
	if err := r.own.add(r.ctx, placeKey(o.Host.ID()), r.now(), true); err != nil {
		r.cancel()
		return nil, fmt.Errorf("live: %w", err)
	}
	r.loop.init(o.Host.ID(), engines[o.Overlay], r)
	events, err := o.Host.EventBus().Subscribe([]any{
		new(event.EvtPeerIdentificationCompleted), new(event.EvtPeerProtocolsUpdated), new(event.EvtPeerConnectednessChanged),
		new(event.EvtLocalReachabilityChanged), new(event.EvtLocalAddressesUpdated),
	}, eventbus.Name("live"), eventbus.BufSize(maxWaiting))
	if err != nil {
		r.cancel()
		return nil, fmt.Errorf("live: %w", err)
	}
	r.post(func() { r.serve(true) })              // unless proven unreachable: a small network would have no members
	r.host.SetStreamHandler(r.protocol, r.answer) // at once: who is connected to next is told of the protocol in the first words
	for _, p := range o.Host.Network().Peers() {
		r.post(func() { r.met(p) })
	}
	r.work.Go(r.run)
	r.work.Go(func() { r.watch(events) })
	r.work.Go(r.tend)
	r.work.Go(r.announcer)
	return r, nil
}

// watch tells the loop what happens to connections.
func (r *Router) watch(events event.Subscription) {
	defer events.Close()
	for {
		select {
		case <-r.ctx.Done():
			return
		case e := <-events.Out():
			switch e := e.(type) {
			case event.EvtPeerIdentificationCompleted:
				r.post(func() { r.met(e.Peer) })
			case event.EvtPeerProtocolsUpdated:
				r.post(func() { r.met(e.Peer) })
			case event.EvtPeerConnectednessChanged:
				if e.Connectedness == network.NotConnected {
					r.post(func() { r.parted(e.Peer) })
				}
			case event.EvtLocalReachabilityChanged:
				r.post(func() { r.serve(e.Reachability != network.ReachabilityPrivate) })
			case event.EvtLocalAddressesUpdated:
				r.own.again(r.now(), moved)
				poke(r.due)
			}
		}
	}
}

// poke lets somebody look who waits on a channel of one.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// post has the loop do something, soon.
func (r *Router) post(f func()) {
	select {
	case r.todo <- f:
	case <-r.ctx.Done():
	}
}

// do has the loop do something, and waits until it is done. If it returns an error, nothing was done, and will not be.
func (r *Router) do(ctx context.Context, f func()) error {
	done := make(chan struct{})
	var taken atomic.Bool // by the loop, or by who gives up
	select {
	case r.todo <- func() {
		if taken.CompareAndSwap(false, true) {
			f()
			close(done)
		}
	}:
	case <-ctx.Done():
		return ctx.Err()
	case <-r.ctx.Done():
		return errClosed
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	case <-r.ctx.Done():
	}
	if taken.CompareAndSwap(false, true) {
		if err := ctx.Err(); err != nil {
			return err
		}
		return errClosed
	}
	<-done // at any moment
	return nil
}

var errClosed = errors.New("live: the overlay is closed")

// Name returns the name of the overlay.
func (r *Router) Name() string { return r.name }

// Size returns how many peers the engine has in its tables.
func (r *Router) Size() (n int) {
	r.do(r.ctx, func() { n = len(r.neighbours()) })
	return n
}

// Mode returns server, if this node is part of the overlay and answers others' questions, or client.
func (r *Router) Mode() string {
	for _, p := range r.host.Mux().Protocols() {
		if p == r.protocol {
			return "server"
		}
	}
	return "client"
}

// Close takes leave of the neighbours. The host and then the datastore are closed after it.
func (r *Router) Close() error {
	r.closing.Do(func() {
		done := make(chan struct{})
		select {
		case r.todo <- func() { r.leave(); close(done) }:
			select {
			case <-done:
			case <-time.After(leaveTime):
			}
		case <-time.After(leaveTime):
		}
		r.host.RemoveStreamHandler(r.protocol)
		r.cancel()
		r.work.Wait()
		r.gate.close()
	})
	return nil
}

// region returns where p is connected from; see maddr.Group.
func (r *Router) region(p peer.ID) string {
	for _, c := range r.host.Network().ConnsToPeer(p) {
		if g := maddr.Group(c.RemoteMultiaddr()); g != "" {
			return g
		}
	}
	return ""
}

// speaks reports whether a connected peer is part of the overlay, as far as it has said.
func (r *Router) speaks(p peer.ID) bool {
	got, err := r.host.Peerstore().SupportsProtocols(p, r.protocol)
	return err == nil && len(got) > 0
}

func draw() uint64 { return rand.Uint64() }

func toTicks(d time.Duration) kbr.Ticks { return kbr.Ticks(d / time.Microsecond) }
func ofTicks(t kbr.Ticks) time.Duration { return time.Duration(t) * time.Microsecond }
