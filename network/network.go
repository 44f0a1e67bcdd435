// Package network is one libp2p host: how a node reaches others and is reached.
//
// It is for proven conversations with peers, over whatever transport connects, and for knowing in words how each is connected. It is
// not for finding out who has what (overlay), nor for what is said (applications). Its one idea: a protocol is named once and
// served alike on ordinary streams and on bulk streams, which have a TCP connection of their own; whoever opens one is given the
// fastest path that works.
//
// Nodes of different networks share nothing: their names are part of every protocol id (see OnWire), of the overlay's and of the
// name under which they look for neighbours.
package network

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	libp2p "github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/gologshim"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"

	"kith"
	"kith/internal/sqlds"
	"kith/network/entry"
	"kith/network/member"
	"kith/network/packet"
	"kith/network/relay"
	"kith/network/router"
	"kith/network/swallow"
)

// DefaultName is the network that a node belongs to unless told otherwise.
const DefaultName = "kith"

// A Stream is a conversation with a peer whose id has been proven. Closing it ends both directions.
type Stream interface {
	io.ReadWriteCloser
	CloseWrite() error // the other side reads io.EOF
	Reset() error      // the other side gets an error
	SetDeadline(t time.Time) error
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
	Peer() peer.ID
	Bulk() bool // it has a TCP connection of its own, without a muxer
}

// Config says what a Network is to be. Only Key is required.
type Config struct {
	Key     crypto.PrivKey  // the device's key; the peer id is its public half
	Name    string          // of the network: a-z, 0-9 and -, at most 32; "" is DefaultName
	Door    *member.Door    // of a private network, whose name Name then is; nil: the network is public
	Version string          // told to peers as kith/Version
	Listen  []string        // multiaddrs; none: every transport on a port that is kept once chosen
	Peers   []string        // multiaddrs that end in /p2p/ID, dialled again whenever they are not connected
	Dir     string          // existing folder for ports and network.db; "" keeps nothing
	NoMDNS  bool            // do not look for neighbours on the local network
	NoUPnP  bool            // do not ask the router for a port
	Packets packet.Listener // not nil: another network than the machine's, which carries QUIC only; Listen names an address on it
	Limits  Limits          // zero: DefaultLimits
	Relay   relay.Settings  // what is carried for others; fields that are zero are as they were set last
	Log     *slog.Logger    // nil: none
}

// Network is a running host. Its methods may be called at once from several goroutines.
type Network struct {
	cfg     Config
	log     *slog.Logger
	host    host.Host
	store   datastore.Batching
	gater   *gater
	dials   dials
	bulk    *bulk
	sockets *packet.Sockets // of a host on cfg.Packets
	mdns    *neighbours
	relay   *relay.Service
	sought  chan struct{} // closed when no relay is looked for any more; nil: none ever was
	router  *router.Map   // nil: not asked for ports
	friend  atomic.Pointer[func(peer.ID) bool]
	reach   event.Emitter // of EvtLocalReachabilityChanged
	mover   *mover
	swallow swallow.Watch
	entries entry.Entries // where others get in
	kick    chan struct{} // cap 1: remembered peers are to be dialled now
	punch   *puncher
	ctx     context.Context // ends when Close begins
	cancel  context.CancelFunc
	work    sync.WaitGroup // every goroutine and every served stream

	mu       sync.Mutex
	handlers map[protocol.ID]Handler // by the id as applications name it
	traffic  map[peer.ID]*traffic    // of connected peers, and of maxTraffic others
	known    map[peer.ID]*known
	pinged   map[peer.ID]time.Time // when the round trip to a connected peer was last measured
	subs     map[chan Event]struct{}
	hard     map[string]bool       // Health.Hard
	reached  libp2p.Reachability   // as told last
	offered  map[peer.ID]time.Time // friends who were offered as relays, since they were all asked anew
	notes    []string
	closed   bool
}

// A Handler serves one stream. When it returns, the stream is closed; if it returns an error, reset. ctx ends with the Network.
type Handler func(ctx context.Context, s Stream) error

// New starts a host. It listens when New returns; it looks for peers from then on, in the background.
func New(ctx context.Context, cfg Config) (_ *Network, err error) {
	if cfg.Name == "" {
		cfg.Name = DefaultName
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Limits = cfg.Limits.orDefault()
	quietLibraries()
	if cfg.Door != nil {
		cfg.Name = cfg.Door.Network().Name
	}
	if err := member.CheckName(cfg.Name); err != nil {
		return nil, err
	}
	if err := cfg.Relay.Check(); err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	wanted, err := parsePeers(cfg.Peers)
	if err != nil {
		return nil, err
	}
	n := &Network{
		cfg: cfg, log: cfg.Log, gater: newGater(cfg.Door),
		handlers: map[protocol.ID]Handler{}, traffic: map[peer.ID]*traffic{},
		pinged: map[peer.ID]time.Time{}, subs: map[chan Event]struct{}{}, hard: map[string]bool{}, offered: map[peer.ID]time.Time{},
	}
	n.mover, n.swallow, n.kick = newMover(n), swallow.New(), make(chan struct{}, 1)
	n.ctx, n.cancel = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			n.Close()
		}
	}()
	if err := n.openStore(); err != nil {
		return nil, err
	}
	if err := n.startHost(ctx); err != nil {
		return nil, err
	}
	if n.known, err = n.loadKnown(ctx); err != nil {
		return nil, fmt.Errorf("network: remembered peers: %w", err)
	}
	if !cfg.NoMDNS {
		n.mdns = newNeighbours(n)
		n.mdns.moved()
	}
	if err := n.startReach(); err != nil {
		return nil, fmt.Errorf("network: reachability: %w", err)
	}
	if err := n.watch(); err != nil {
		return nil, fmt.Errorf("network: events: %w", err)
	}
	if err := n.mover.start(); err != nil {
		return nil, fmt.Errorf("network: events: %w", err)
	}
	n.keep(wanted)
	return n, nil
}

// quietLibraries keeps what libp2p's packages print on standard error, which is for their developers, from people who do not ask for it in libp2p's own
// way, with the environment variable GOLOG_LOG_LEVEL.
var quietLibraries = sync.OnceFunc(func() {
	if os.Getenv("GOLOG_LOG_LEVEL") == "" {
		gologshim.SetDefaultHandler(slog.DiscardHandler)
	}
})

// parsePeers reads multiaddrs that end in /p2p/ID.
func parsePeers(addrs []string) ([]peer.AddrInfo, error) {
	var as []ma.Multiaddr
	for _, s := range addrs {
		a, err := ma.NewMultiaddr(s)
		if err == nil {
			_, err = peer.AddrInfoFromP2pAddr(a)
		}
		if err != nil {
			err = fmt.Errorf("network: peer address %.200q: %v: %w", s, err, kith.Invalid)
			return nil, kith.Hint(err, "it looks like /ip4/192.0.2.7/tcp/4001/p2p/12D3Koo…; `kith id` shows it on the other computer")
		}
		as = append(as, a)
	}
	return peer.AddrInfosFromP2pAddrs(as...)
}

func (n *Network) openStore() error {
	if n.cfg.Dir == "" {
		n.store = dssync.MutexWrap(datastore.NewMapDatastore())
		return nil
	}
	s, note, err := sqlds.Open(filepath.Join(n.cfg.Dir, "network.db"), n.log)
	if err != nil {
		return fmt.Errorf("network: %w", err)
	}
	if note != "" {
		n.note("%s", note)
	}
	n.store = s
	return nil
}

// OnWire returns what a protocol is called on the wire: as its application calls it on the default network, and below /net/LABEL on
// any other, so that nodes of different networks that meet have nothing to say to each other.
func (n *Network) OnWire(id protocol.ID) protocol.ID {
	if n.Label() == DefaultName {
		return id
	}
	return "/net/" + protocol.ID(n.Label()) + id
}

// Label returns what stands for the network in the names of protocols, and whatever else leads its nodes together: its name, or, if it is private, what
// is derived from its secret.
func (n *Network) Label() string {
	if n.Private() {
		return n.cfg.Door.Network().Label()
	}
	return n.cfg.Name
}

// Door returns the door of a private network; nil: the network is public.
func (n *Network) Door() *member.Door { return n.cfg.Door }

// Private reports whether only members are let in. A private network is looked for nowhere but where its members are.
func (n *Network) Private() bool { return n.cfg.Door != nil }

// Host returns the libp2p host, for an overlay.
func (n *Network) Host() host.Host { return mobile{n.host, &n.dials} }

// Store returns what the network remembers in, for an overlay to remember in too. It is closed by Close.
func (n *Network) Store() datastore.Batching { return n.store }

// Name returns the name of the network.
func (n *Network) Name() string { return n.cfg.Name }

// ID returns the node's peer id.
func (n *Network) ID() peer.ID { return n.host.ID() }

// Connect connects to p unless it is connected. Addresses that are not in p are those that are known.
func (n *Network) Connect(ctx context.Context, p peer.AddrInfo) error {
	p.Addrs = bounded(p.Addrs)
	if sw, ok := n.host.Network().(*swarm.Swarm); ok {
		sw.Backoff().Clear(p.ID) // who calls has a reason to try now, and paces its own attempts; a neighbour may have spoken before it listened
	}
	n.knowRelays(p.Addrs)
	began := time.Now()
	if err := n.Host().Connect(libp2p.WithAllowLimitedConn(ctx, "connect"), p); err != nil {
		return fmt.Errorf("network: connect %s: %w", p.ID, n.strange(p.ID, began, n.whyNot(ctx, p.ID, err)))
	}
	return nil
}

// Open opens a stream to p, and connects first if need be. It is Unavailable if p cannot be reached, NotFound if it does not speak id.
func (n *Network) Open(ctx context.Context, p peer.ID, id protocol.ID) (Stream, error) {
	if p == n.ID() {
		return nil, fmt.Errorf("network: open %s: that is this node: %w", id, kith.Invalid)
	}
	began := time.Now()
	s, err := n.Host().NewStream(libp2p.WithAllowLimitedConn(ctx, string(id)), p, n.OnWire(id))
	if err != nil {
		return nil, fmt.Errorf("network: open %s to %s: %w", id, p, n.strange(p, began, n.whyNot(ctx, p, err)))
	}
	return n.stream(s), nil
}

// Handle serves the protocol id to whoever asks, on ordinary and on bulk streams. A second call for an id replaces the first.
func (n *Network) Handle(id protocol.ID, h func(context.Context, Stream) error) {
	n.mu.Lock()
	n.handlers[id] = h
	n.mu.Unlock()
	n.host.SetStreamHandler(n.OnWire(id), func(s libp2p.Stream) { n.serve(n.stream(s), h) })
}

// serve runs h. It is called on a goroutine of the stream's own.
func (n *Network) serve(s Stream, h Handler) {
	if !n.gater.allows(s.Peer()) || !n.begin() {
		s.Reset()
		return
	}
	defer n.work.Done()
	if err := h(n.ctx, s); err != nil {
		s.Reset()
		n.log.Debug("stream ended", "peer", s.Peer(), "err", err)
		return
	}
	s.Close()
}

// begin counts one more piece of work, unless the network is closing.
func (n *Network) begin() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return false
	}
	n.work.Add(1)
	return true
}

// run starts a goroutine that Close waits for, unless the network is closing.
func (n *Network) run(f func()) bool {
	if !n.begin() {
		return false
	}
	go func() {
		defer n.work.Done()
		f()
	}()
	return true
}

func (n *Network) note(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.notes = append(n.notes, fmt.Sprintf(format, args...))
}

// Notes returns what a person should know: a port that was taken, a database that was set aside.
func (n *Network) Notes() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string(nil), n.notes...)
}

// Close ends all connections, waits for every handler, and closes the store. An overlay on it is closed before.
func (n *Network) Close() error {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return nil
	}
	n.closed = true
	n.mu.Unlock()
	n.cancel()
	if n.mdns != nil {
		n.mdns.close()
	}
	var errs []error
	if n.known != nil {
		n.remember()
	}
	if n.bulk != nil {
		n.bulk.close()
	}
	if n.sought != nil {
		n.host.Network().Close() // first: it may wait for the answer of a relay that never gives one
		<-n.sought
	}
	if n.relay != nil {
		n.punch.close()
		n.relay.Close()
	}
	if n.reach != nil {
		n.reach.Close()
	}
	if n.host != nil {
		errs = append(errs, n.host.Close())
	}
	if n.sockets != nil {
		errs = append(errs, n.sockets.Close())
	}
	n.work.Wait()
	n.endSubs()
	if n.store != nil {
		errs = append(errs, n.store.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("network: close: %w", err)
	}
	return nil
}
