// Package bittorrent serves what is shared to the BitTorrent network, and fetches from it: to any program of the last twenty years, of version 1, version 2 or both.
//
// It is no store: bytes of shares are read from package blob, never copied, and what is fetched is handed to package transfer as soon as a piece is right. The library
// (anacrolix/torrent) speaks to peers, trackers and web seeds. Its one idea: the library is never given what a stranger says of a torrent before package metainfo has
// checked it; metadata is exchanged here (exchange), and messages that the library does not survive are taken from it (guard).
package bittorrent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"kith"
	"kith/blob"
	"kith/bridge"
	"kith/bridge/bittorrent/courier"
	"kith/bridge/bittorrent/handle"
	"kith/bridge/bittorrent/metainfo"
	"kith/config"
	"kith/transfer"
)

// Options say what a Bridge works with. Blobs, Dir and Go are required.
type Options struct {
	Blobs     *blob.Store
	Dir       string // its own folder; it is made if missing
	Config    config.BitTorrent
	Mainline  bool                                               // the BitTorrent DHT may be used
	Hosts     []string                                           // HOST:PORT of nodes of the DHT to begin with
	DHTConn   func(net.PacketConn) net.PacketConn                // stands between the DHT's socket and the library, which does not survive all that comes; nil: there is no DHT
	Multicast bool                                               // peers in the local network may be looked for (BEP 14)
	UPnP      bool                                               // the router may be asked for a way in
	Bind      netip.Addr                                         // of this computer, to listen on; zero: all of them
	Limits    func() (up, down int64)                            // bytes a second; nil: none
	Go        func(name string, run func(context.Context) error) // as app.Env.Go
	Log       *slog.Logger
	Version   string // of the program, which peers are told

	handshakes time.Duration // how long one may take; 0: as long as the library gives it, 4 s
}

// Bridge is the BitTorrent network over the blobs of a node. It opens no socket before something is published or fetched. Its methods may be called at once.
type Bridge struct {
	o       Options
	log     *slog.Logger
	store   *store
	handles *handle.Cache
	note    string
	courier *courier.Courier

	start sync.Mutex // one at a time opens the client

	mu     sync.Mutex
	client *client // nil: not open
	closed bool
	swarms map[kith.InfoHash]*swarm // by v1's and by the short form of v2's
	roots  map[kith.Ref]*swarm      // published
	own    ownTracker
}

var (
	_ bridge.Bridge   = (*Bridge)(nil)
	_ bridge.Torrents = (*Bridge)(nil)
)

// New opens what is remembered. What is published is served once Run runs.
func New(o Options) (*Bridge, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("bittorrent: %w: %w", err, kith.Denied)
	}
	b := &Bridge{o: o, log: o.Log, handles: handle.New(o.Blobs), courier: courier.New(o.Bind, false), swarms: map[kith.InfoHash]*swarm{}, roots: map[kith.Ref]*swarm{}}
	var err error
	if b.store, b.note, err = openStore(o.Dir, o.Log); err != nil {
		return nil, fmt.Errorf("bittorrent: %w", err)
	}
	return b, nil
}

// Note returns what a person should know since New: a database that was set aside.
func (b *Bridge) Note() string { return b.note }

// Name implements bridge.Bridge.
func (b *Bridge) Name() string { return "bittorrent" }

// Start serves again what is published. Nothing is opened if nothing is.
func (b *Bridge) Start(ctx context.Context) error {
	list, err := b.store.shares(ctx)
	if err != nil {
		return fmt.Errorf("bittorrent: start: %w", err)
	}
	if len(list) == 0 {
		return nil
	}
	c, err := b.open()
	if err != nil {
		return err
	}
	for _, p := range list {
		b.seed(c, p)
	}
	return nil
}

// Close leaves the network. What is published is served again after the next Start.
func (b *Bridge) Close() error {
	b.start.Lock()
	defer b.start.Unlock()
	b.mu.Lock()
	b.closed = true
	c := b.client
	b.client = nil
	all := b.swarms
	b.swarms, b.roots = map[kith.InfoHash]*swarm{}, map[kith.Ref]*swarm{}
	b.mu.Unlock()
	for _, s := range all {
		s.end()
	}
	if c != nil {
		c.close()
	}
	b.handles.Close()
	b.courier.Close()
	return b.store.db.Close()
}

// open returns the client, which it opens if need be.
func (b *Bridge) open() (*client, error) {
	b.start.Lock()
	defer b.start.Unlock()
	b.mu.Lock()
	c, closed := b.client, b.closed
	b.mu.Unlock()
	if c != nil {
		return c, nil
	}
	if closed {
		return nil, fmt.Errorf("bittorrent: the node stops: %w", kith.Unavailable)
	}
	c, err := openClient(b)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	b.client = c
	b.mu.Unlock()
	b.o.Go("bittorrent", func(ctx context.Context) error { c.run(ctx); return nil })
	return c, nil
}

// SwarmOf returns the swarm of an infohash, nil if there is none.
func (b *Bridge) swarmOf(hash kith.InfoHash) *swarm {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.swarms[hash]
}

// enter makes a swarm known, which is to be joined then; false: there is one of that name already.
func (b *Bridge) enter(s *swarm) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, h := range s.hashes() {
		if b.swarms[h] != nil {
			return false
		}
	}
	s.joining.Add(1)
	for _, h := range s.hashes() {
		b.swarms[h] = s
	}
	return true
}

// leave is the end of a swarm.
func (b *Bridge) leave(s *swarm) {
	b.mu.Lock()
	for h, o := range b.swarms {
		if o == s {
			delete(b.swarms, h)
		}
	}
	for r, o := range b.roots {
		if o == s {
			delete(b.roots, r)
		}
	}
	b.mu.Unlock()
	s.end()
}

// AddTorrent implements bridge.Torrents. It takes the .torrent file that a person wants to fetch by, and returns the link of what it names. Errors: Invalid, Corrupt, TooLarge, which say what is wrong in it.
func (b *Bridge) AddTorrent(ctx context.Context, file []byte) (kith.Link, error) {
	t, err := metainfo.Read(file)
	if err != nil {
		return kith.Link{}, err
	}
	if _, err := b.store.keepTorrent(ctx, t); err != nil {
		return kith.Link{}, fmt.Errorf("bittorrent: %w", err)
	}
	l := kith.Link{Name: t.Name, Size: t.Size(), Names: kith.Names{V1: t.V1, V2: t.V2, WebSeeds: t.WebSeeds}}
	for _, tier := range t.Trackers {
		l.Trackers = append(l.Trackers, tier...)
	}
	return l, nil
}

// Moved implements bridge.Torrents.
func (b *Bridge) Moved(ctx context.Context, names kith.Names, up, down int64) error {
	_, id, err := b.store.torrent(ctx, names)
	if err == nil && id == 0 {
		err = kith.NotFound
	}
	if err == nil {
		err = b.store.count(ctx, id, up, down)
	}
	if err != nil {
		return fmt.Errorf("bittorrent: count what moved elsewhere: %w", err)
	}
	for _, h := range hashesOf(names) {
		if s := b.swarmOf(h); s != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.up, s.down = s.up+up, s.down+down
			break
		}
	}
	return nil
}

// Status implements bridge.Bridge.
func (b *Bridge) Status(root kith.Ref) (bridge.Status, error) {
	b.mu.Lock()
	s := b.roots[root]
	b.mu.Unlock()
	if s == nil {
		return bridge.Status{}, fmt.Errorf("bittorrent: status of %s: %w", root.Short(), kith.NotFound)
	}
	return s.status(), nil
}

// StatusOf is Status of what is fetched or published under a name, and says how many copies there are and what its trackers said.
func (b *Bridge) StatusOf(names kith.Names) (bridge.Status, error) {
	for _, h := range hashesOf(names) {
		if s := b.swarmOf(h); s != nil {
			return s.seen(), nil
		}
	}
	return bridge.Status{}, fmt.Errorf("bittorrent: %w", kith.NotFound)
}

// SaidOf returns what of StatusOf is said, "" for nothing.
func (b *Bridge) SaidOf(names kith.Names) string {
	for _, h := range hashesOf(names) {
		if s := b.swarmOf(h); s != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.said()
		}
	}
	return ""
}

// hashesOf returns the infohashes of names in the form that goes over the wire.
func hashesOf(names kith.Names) (list []kith.InfoHash) {
	if names.V1 != (kith.InfoHash{}) {
		list = append(list, names.V1)
	}
	if names.V2 != [32]byte{} {
		list = append(list, kith.InfoHash(names.V2[:20]))
	}
	return list
}

// Listens returns where the client listens, nil while it is not open.
func (b *Bridge) Listens() []netip.AddrPort {
	b.mu.Lock()
	c := b.client
	b.mu.Unlock()
	if c == nil {
		return nil
	}
	return c.addrs()
}

var errEnded = errors.New("that swarm has ended")

// peersKept is how many peers a status names.
const peersKept = 200

// sampleEvery is how often rates are measured at most.
const sampleEvery = time.Second

var _ transfer.Origin = (*origin)(nil)
