// Package rendezvous finds nodes of the network when none is known: by meeting at an agreed place on the BitTorrent mainline DHT, which millions of programs
// keep up already, so that Kith needs no server of its own.
//
// It is not the overlay: it says where nodes are, never who has what, and it falls silent as soon as there are enough peers. It is for the public network alone, and
// does nothing that its user has not asked for: a look when they join or fetch what nobody known has; an announcement only after they joined, and while this
// node can be reached. Its one idea is to believe nothing: the DHT gives addresses that anybody may have made up, so that each costs two packets at most, and
// counts only when a node of this network answers there.
//
// The library (anacrolix/dht) carries messages and keeps the table of a node that serves; who is asked (walk), which addresses are tried (candidates, tried) and
// when (plan) is decided here, purely.
package rendezvous

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/ipfs/go-datastore"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"kith"
	"kith/internal/bell"
)

// DefaultHosts are nodes of the mainline DHT that are there for those who know no other. Others of any BitTorrent program do as well.
var DefaultHosts = []string{"router.bittorrent.com:6881", "dht.transmissionbt.com:6881", "dht.libtorrent.org:25401", "router.utorrent.com:6881"}

// A Node is what a Rendezvous works for. Its methods may be called at once.
type Node interface {
	Peers() int // connected
	// Reachable returns where others on the internet can open a QUIC connection to this node, over IPv4 or IPv6, and whether that is an address of this
	// computer itself; ok is false if they cannot, as far as is known.
	Reachable(ip6 bool) (at netip.AddrPort, own, ok bool)
	Connect(ctx context.Context, p peer.AddrInfo) error
	Missing() []peer.ID // devices of contacts that could not be found for a while, whoever waits longest first
}

// Options say what a Rendezvous is for. Off, Hosts and Bind may be left out.
type Options struct {
	Off    string // why nothing of this is to be done, in words; "": it may be
	Name   string // of the network
	Key    crypto.PrivKey
	Speaks protocol.ID // what all nodes of the network speak, as on the wire
	Hosts  []string    // HOST:PORT of nodes of the DHT to begin with
	Bind   netip.Addr  // of this computer, for its sockets; a loopback address: the whole DHT is on loopback
	Node   Node
	Store  datastore.Batching // remembers the choice of the user, and nodes of the DHT
	Log    *slog.Logger
}

// Status is how the search goes.
type Status struct {
	Off        string // as in Options
	Joined     bool   // the user joined the public network
	Asking     bool   // it goes on
	Asked      int    // nodes of the DHT that were asked in this or the last round,
	Answered   int    // of which so many answered
	Candidates int    // addresses that they named
	Knocked    int    // of which so many were tried
	Found      int    // and had a node of this network
	Told       time.Time
	Ended      time.Time // of the last round
	Nodes      int       // of the DHT that are remembered
	Err        error     // of the last round
}

// Rendezvous looks for nodes. Its methods may be called at once.
type Rendezvous struct {
	o       Options
	changed bell.Bell
	wake    chan struct{} // has room for one

	mu     sync.Mutex
	status Status
	sought bool
	seek   time.Time // when somebody last did
	moved  bool      // since the last look at the plan
	fresh  bool      // joined since the last look at the plan

	// What follows belongs to Run.
	plan    plan
	tried   tried
	known   []dhtNode // the last that answered first
	lonely  bool      // the last look for the network found nobody: those of known may all lie
	legs    []*leg
	serving bool
}

// New reads what was remembered. Nobody is spoken to before Run.
func New(ctx context.Context, o Options) (*Rendezvous, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	r := &Rendezvous{o: o, wake: make(chan struct{}, 1), tried: tried{loopback: o.Bind.IsLoopback()}}
	r.status.Off = o.Off
	if o.Off != "" {
		return r, nil
	}
	var err error
	if r.status.Joined, err = o.Store.Has(ctx, joinedKey); err == nil {
		r.known, err = loadNodes(ctx, o.Store)
	}
	if err != nil {
		return nil, fmt.Errorf("rendezvous: %w", err)
	}
	r.status.Nodes = len(r.known)
	return r, nil
}

var joinedKey = datastore.NewKey("/kith/mainline/joined")

// Join joins the public network, until Leave, over restarts. It is Denied if the network is none, or mainline is switched off.
func (r *Rendezvous) Join(ctx context.Context) error {
	if r.o.Off != "" {
		return fmt.Errorf("rendezvous: join: %s: %w", r.o.Off, kith.Denied)
	}
	if err := r.keep(ctx, func() error { return r.o.Store.Put(ctx, joinedKey, []byte{1}) }); err != nil {
		return fmt.Errorf("rendezvous: join: %w", err)
	}
	r.mu.Lock()
	r.status.Joined, r.fresh = true, true
	r.mu.Unlock()
	r.nudge()
	return nil
}

// Leave takes Join back: nothing more is announced, and what was is forgotten by the DHT in half an hour or somewhat more.
func (r *Rendezvous) Leave(ctx context.Context) error {
	if r.o.Off == "" {
		if err := r.keep(ctx, func() error { return r.o.Store.Delete(ctx, joinedKey) }); err != nil {
			return fmt.Errorf("rendezvous: leave: %w", err)
		}
	}
	r.mu.Lock()
	r.status.Joined = false
	r.mu.Unlock()
	r.nudge()
	return nil
}

// keep writes, durably.
func (r *Rendezvous) keep(ctx context.Context, write func() error) error {
	if err := write(); err != nil {
		return err
	}
	return r.o.Store.Sync(ctx, joinedKey)
}

// Seek has the network looked for once, also if the user has not joined it: somebody lacks a source. It waits for nothing.
func (r *Rendezvous) Seek() {
	if r.o.Off != "" {
		return
	}
	r.mu.Lock()
	again := time.Since(r.seek) < glance
	if !again {
		r.sought, r.seek = true, time.Now()
	}
	r.mu.Unlock()
	if !again {
		r.nudge()
	}
}

// Moved tells that the addresses of this computer are others.
func (r *Rendezvous) Moved() {
	r.mu.Lock()
	joined := r.status.Joined
	r.moved = joined
	r.mu.Unlock()
	if joined {
		r.nudge()
	}
}

func (r *Rendezvous) nudge() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
	r.changed.Ring()
}

// Status returns how the search goes.
func (r *Rendezvous) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status
}

// Changed returns a channel that is closed when Status is another. It is to be taken before Status.
func (r *Rendezvous) Changed() <-chan struct{} { return r.changed.Wait() }

// change changes the status.
func (r *Rendezvous) change(f func(*Status)) {
	r.mu.Lock()
	f(&r.status)
	r.mu.Unlock()
	r.changed.Ring()
}

const glance = time.Minute // between two looks at how many peers there are

// Run does what is to be done when it is, until ctx ends.
func (r *Rendezvous) Run(ctx context.Context) error {
	if r.o.Off != "" {
		return nil
	}
	defer r.closeLegs()
	for {
		t, wake := r.plan.next(r.view(), time.Now())
		if !t.empty() {
			r.round(ctx, t)
			if ctx.Err() != nil {
				return nil
			}
			continue
		}
		if !r.Status().Joined {
			r.closeLegs()
		}
		timer := time.NewTimer(min(time.Until(wake), glance))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-r.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// view returns what the plan is made of.
func (r *Rendezvous) view() view {
	_, _, tell4 := r.o.Node.Reachable(false)
	_, _, tell6 := r.o.Node.Reachable(true)
	v := view{joined: r.Status().Joined, peers: r.o.Node.Peers(), tell: tell4 || tell6}
	if v.joined {
		v.missing = r.o.Node.Missing()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	v.sought, r.sought = r.sought, false
	if r.fresh {
		r.plan.again()
	} else if r.moved {
		r.plan.moved(time.Now())
	}
	r.fresh, r.moved = false, false
	return v
}

// round does a task, and says in the status how it went.
func (r *Rendezvous) round(ctx context.Context, t task) {
	r.change(func(s *Status) {
		*s = Status{Joined: s.Joined, Told: s.Told, Ended: s.Ended, Nodes: s.Nodes, Asking: true}
	})
	timed, cancel := context.WithTimeout(ctx, roundTime)
	defer cancel()
	err := r.meet(timed, t)
	if t.look {
		r.lonely = r.Status().Found == 0
	}
	if ctx.Err() != nil { // the node stops: nothing has failed
		err = nil
	}
	if !r.serving {
		r.closeLegs()
	}
	if len(r.known) > 0 {
		err = errors.Join(err, saveNodes(context.WithoutCancel(ctx), r.o.Store, r.known))
	}
	if err != nil {
		r.o.Log.Debug("mainline", "op", "round", "err", err)
	}
	r.change(func(s *Status) { s.Asking, s.Ended, s.Nodes, s.Err = false, time.Now(), len(r.known), err })
}

func (r *Rendezvous) closeLegs() {
	for _, l := range r.legs {
		l.close()
	}
	r.legs, r.serving = nil, false
}
