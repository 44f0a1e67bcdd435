package transfer

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	mrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multiaddr"

	"kith"
	"kith/blob"
	"kith/blob/bao"
	"kith/network"
)

type (
	peerInfo = peer.AddrInfo
	peerID   = peer.ID
)

// A hub joins nodes of one test by streams in memory.
type hub struct {
	t     testing.TB
	mu    sync.Mutex
	nodes map[peer.ID]*node
	conns int
}

func newHub(t testing.TB) *hub { return &hub{t: t, nodes: map[peer.ID]*node{}} }

// A node is a store and a Manager on a hub. It is its own Net and Guard.
type node struct {
	hub   *hub
	id    peer.ID
	dir   string
	store *blob.Store
	m     *Manager

	mu    sync.Mutex
	away  bool
	deny  map[peer.ID]bool
	serve func(ctx context.Context, s network.Stream) error // instead of m.Serve
	open  map[network.Stream]bool
	rates []rated // reported

	relayed bool             // nobody is connected to it directly
	narrow  bool             // it shares for contacts alone
	held    *network.Refused // why nobody reaches it while it is away; nil: no answer
}

// A rated is what a Manager reports of a conversation.
type rated struct {
	of    peer.ID
	bulk  bool
	bytes int64
	d     time.Duration
}

func (n *node) Direct(p peer.ID) bool {
	n.hub.mu.Lock()
	to := n.hub.nodes[p]
	n.hub.mu.Unlock()
	to.mu.Lock()
	defer to.mu.Unlock()
	return !to.relayed
}

func (n *node) Report(p peer.ID, bulk bool, bytes int64, d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rates = append(n.rates, rated{p, bulk, bytes, d})
}

func newID(t testing.TB) peer.ID {
	_, pub, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// node adds a node with an empty store.
func (h *hub) node() *node {
	n := &node{hub: h, id: newID(h.t), dir: h.t.TempDir(), deny: map[peer.ID]bool{}, open: map[network.Stream]bool{}}
	n.start()
	h.mu.Lock()
	h.nodes[n.id] = n
	h.mu.Unlock()
	h.t.Cleanup(n.stop)
	return n
}

// fake adds a node that serves with f.
func (h *hub) fake(f func(ctx context.Context, s network.Stream) error) *node {
	n := &node{hub: h, id: newID(h.t), serve: f, deny: map[peer.ID]bool{}, open: map[network.Stream]bool{}}
	h.mu.Lock()
	h.nodes[n.id] = n
	h.mu.Unlock()
	return n
}

func (n *node) start() {
	var err error
	n.store, err = blob.Open(context.Background(), blob.Options{Dir: filepath.Join(n.dir, "store")})
	if err != nil {
		n.hub.t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("KITH_TEST_LOG") != "" {
		log = slog.Default()
	}
	n.m = New(Options{Blobs: n.store, Net: n, Guard: n, Log: log, Drafts: filepath.Join(n.dir, "drafts")})
}

func (n *node) stop() {
	n.m.Close()
	n.leave()
	n.store.Close()
}

// leave breaks all streams of the node, and lets nobody reach it.
func (n *node) leave() {
	n.mu.Lock()
	n.away = true
	open := n.open
	n.open = map[network.Stream]bool{}
	n.mu.Unlock()
	for s := range open {
		s.Reset()
	}
}

func (n *node) back() {
	n.mu.Lock()
	n.away = false
	n.mu.Unlock()
}

// again starts a node that is killed now, and begins a job anew.
func (n *node) again(t *testing.T, j Job) *Download {
	t.Helper()
	n.stop()
	n.start()
	n.back()
	d, err := n.m.Start(j)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (n *node) info() peer.AddrInfo { return peer.AddrInfo{ID: n.id} }

func (n *node) ID() peer.ID                                         { return n.id }
func (n *node) Addrs() []multiaddr.Multiaddr                        { return nil }
func (n *node) Connect(ctx context.Context, to peer.AddrInfo) error { return nil }
func (n *node) Narrow(kith.Ref) bool                                { return n.narrow }
func (n *node) Allow(p peer.ID, root kith.Ref) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.deny[p] {
		return kith.Denied
	}
	return nil
}

func (n *node) OpenBulk(ctx context.Context, to peer.ID, p protocol.ID) (network.Stream, error) {
	n.hub.mu.Lock()
	there := n.hub.nodes[to]
	n.hub.conns++
	n.hub.mu.Unlock()
	if there == nil {
		return nil, fmt.Errorf("dial %s: %w", to, kith.Unavailable)
	}
	there.mu.Lock()
	defer there.mu.Unlock()
	if there.away && there.held != nil {
		return nil, there.held
	}
	if there.away {
		return nil, fmt.Errorf("dial %s: %w", to, kith.Unavailable)
	}
	a, b := net.Pipe()
	mine, theirs := &stream{Conn: a, peer: to, slow: there.relayed}, &stream{Conn: b, peer: n.id}
	there.open[theirs] = true
	serve := there.serve
	if serve == nil {
		serve = there.m.Serve
	}
	go func() {
		serve(context.Background(), theirs)
		theirs.Close()
		there.mu.Lock()
		delete(there.open, theirs)
		there.mu.Unlock()
	}()
	return mine, nil
}

// A stream is one end of a connection in a test.
type stream struct {
	net.Conn
	peer peer.ID
	slow bool // through a relay, and so no bulk stream
}

func (s *stream) CloseWrite() error { return nil }
func (s *stream) Reset() error      { return s.Close() }
func (s *stream) Peer() peer.ID     { return s.peer }
func (s *stream) Bulk() bool        { return !s.slow }

// noise returns n bytes that depend on seed.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := mrand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	r.Read(b)
	return b
}

// share writes data to a file and shares it.
func (n *node) share(data []byte) kith.Ref {
	path := filepath.Join(n.hub.t.TempDir(), "shared.bin")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		n.hub.t.Fatal(err)
	}
	return n.sharePath(path, blob.ImportOptions{})
}

func (n *node) sharePath(path string, o blob.ImportOptions) kith.Ref {
	tree, err := n.store.Import(context.Background(), path, o)
	if err != nil {
		n.hub.t.Fatal(err)
	}
	return tree.Root
}

// get starts to fetch root to a new path.
func (n *node) get(root kith.Ref, from ...*node) *Download {
	n.hub.t.Helper()
	job := Job{Root: root, Size: -1, Path: filepath.Join(n.hub.t.TempDir(), "got")}
	for _, f := range from {
		job.Peers = append(job.Peers, f.info())
	}
	d, err := n.m.Start(job)
	if err != nil {
		n.hub.t.Fatal(err)
	}
	return d
}

const waitTime = time.Minute

// wait waits for d, and fails the test if it does not end well.
func wait(t testing.TB, d *Download) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), waitTime)
	defer cancel()
	if err := d.Wait(ctx); err != nil {
		t.Fatalf("%v; status %+v", err, d.Status())
	}
}

func mustHold(t testing.TB, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bao.Hash(got) != bao.Hash(want) {
		t.Fatalf("%s has %d bytes that are not the %d that were shared", path, len(got), len(want))
	}
}

// contents returns the files below dir, by their paths with slashes.
func contents(t testing.TB, dir string) map[string][]byte {
	m := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		m[filepath.ToSlash(rel)], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// tree returns what is below dir, to be compared.
func tree(t testing.TB, dir string) map[string]string {
	m := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		info, err := e.Info()
		if err != nil {
			return err
		}
		switch {
		case e.IsDir():
			m[rel] = "dir"
		case e.Type()&fs.ModeSymlink != 0:
			to, _ := os.Readlink(path)
			m[rel] = "-> " + to
		default:
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			data, err := io.ReadAll(f)
			if err != nil {
				return err
			}
			m[rel] = fmt.Sprintf("%v %x", info.Mode().Perm()&0o111, bao.Hash(data))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}
