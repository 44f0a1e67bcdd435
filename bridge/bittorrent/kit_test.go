package bittorrent

import (
	"bytes"
	"context"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"kith"
	"kith/blob"
	"kith/bridge"
	"kith/config"
	"kith/transfer"
)

// loopback is where bridges of tests listen, unless they speak to programs that refuse it.
var loopback = netip.MustParseAddr("127.0.0.1")

// node is a bridge over a store of its own.
type node struct {
	*Bridge
	t     *testing.T
	dir   string
	store *blob.Store
	o     Options
	tasks sync.WaitGroup
	end   context.CancelFunc
}

func newNode(t *testing.T, change func(*Options)) *node {
	t.Helper()
	n := &node{t: t, dir: t.TempDir()}
	n.o = Options{Bind: loopback, Config: config.BitTorrent{}, Version: "test"}
	if testing.Verbose() {
		n.o.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
	}
	if change != nil {
		change(&n.o)
	}
	n.open()
	t.Cleanup(n.close)
	return n
}

func (n *node) open() {
	n.t.Helper()
	var err error
	if n.store, err = blob.Open(context.Background(), blob.Options{Dir: filepath.Join(n.dir, "blobs")}); err != nil {
		n.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.end = cancel
	n.o.Blobs, n.o.Dir = n.store, filepath.Join(n.dir, "bittorrent")
	n.o.Go = func(_ string, run func(context.Context) error) { n.tasks.Go(func() { run(ctx) }) }
	if n.Bridge, err = New(n.o); err != nil {
		n.t.Fatal(err)
	}
	if err := n.Start(ctx); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) close() {
	if n.Bridge == nil {
		return
	}
	if err := n.Bridge.Close(); err != nil {
		n.t.Error(err)
	}
	n.end()
	n.tasks.Wait()
	if err := n.store.Close(); err != nil {
		n.t.Error(err)
	}
	n.Bridge = nil
}

// sample makes n bytes that are the same everywhere.
func sample(seed byte, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

// share imports a file or a folder of files, and returns it as a bridge serves it.
func (n *node) share(name string, files map[string][]byte) bridge.Share {
	n.t.Helper()
	root := filepath.Join(n.dir, "shared", name)
	for p, data := range files {
		at := filepath.Join(root, filepath.FromSlash(p))
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			n.t.Fatal(err)
		}
		if err := os.WriteFile(at, data, 0o644); err != nil {
			n.t.Fatal(err)
		}
	}
	ctx := context.Background()
	tree, err := n.store.Import(ctx, root, blob.ImportOptions{})
	if err != nil {
		n.t.Fatal(err)
	}
	s := bridge.Share{Root: tree.Root, Name: name, Folder: tree.Folder}
	if !tree.Folder {
		s.Files = []bridge.File{{Path: name, Size: tree.Size, Ref: tree.Root, Mode: 0o644}}
		return s
	}
	m, err := n.store.Manifest(ctx, tree.Root, nil)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, e := range m.Entries {
		if e.Mode&fs.ModeDir == 0 {
			s.Files = append(s.Files, bridge.File{Path: e.Path, Size: e.Size, Ref: e.Ref, Mode: e.Mode, Link: e.Link})
		}
	}
	return s
}

// link is how others fetch what was published.
func (n *node) link(names kith.Names) kith.Link {
	l := kith.Link{Names: names, Size: -1}
	for _, a := range n.Listens() {
		l.Swarm = append(l.Swarm, a.String())
	}
	return l
}

// memory is a download in memory, as package transfer keeps one on disk.
type memory struct {
	mu    sync.Mutex
	files [][]byte
	have  [][]bool // each byte
}

func (m *memory) ReadAt(p []byte, file int, off int64) (int, error) {
	if !m.Has(transfer.Span{File: file, Off: off, N: int64(len(p))}) {
		return 0, kith.NotFound
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return copy(p, m.files[file][off:]), nil
}

func (m *memory) Has(s transfer.Span) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.File >= len(m.have) {
		return false
	}
	for _, h := range m.have[s.File][s.Off : s.Off+s.N] {
		if !h {
			return false
		}
	}
	return true
}

func (m *memory) write(s transfer.Span, data []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	copy(m.files[s.File][s.Off:], data)
	for i := range data {
		m.have[s.File][s.Off+int64(i)] = true
	}
}

// bytes returns how many are here.
func (m *memory) bytes() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, file := range m.have {
		for _, here := range file {
			if here {
				n++
			}
		}
	}
	return n
}

// lay makes room for what the layout says.
func (m *memory) lay(l transfer.Layout) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range l.Files {
		m.files = append(m.files, make([]byte, f.Size))
		m.have = append(m.have, make([]bool, f.Size))
	}
}

// download is one of a node.
type download struct {
	t      *testing.T
	o      transfer.Origin
	m      *memory
	layout transfer.Layout
}

// get begins a download.
func (n *node) get(ctx context.Context, l kith.Link) *download {
	n.t.Helper()
	d := &download{t: n.t, m: &memory{}}
	open := n.Open(l)
	if open == nil {
		n.t.Fatal("the link names nothing")
	}
	var err error
	if d.o, err = open(ctx, d.m); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { d.o.Close() })
	if d.layout, err = d.o.Layout(ctx); err != nil {
		n.t.Fatal(err)
	}
	d.m.lay(d.layout)
	return d
}

// span fetches one span.
func (d *download) span(ctx context.Context, s transfer.Span) error {
	for {
		data, err := d.o.Fetch(ctx, s, func() {})
		if err == nil {
			d.m.write(s, data)
			d.o.Here(s)
			return nil
		}
		if ctx.Err() != nil || kith.KindOf(err) != kith.NotFound {
			return err
		}
	}
}

// all fetches everything, a few units at once.
func (d *download) all(ctx context.Context) {
	d.t.Helper()
	if err := d.some(ctx, func(transfer.Span) bool { return true }); err != nil {
		d.t.Fatal(err)
	}
}

func (d *download) some(ctx context.Context, want func(transfer.Span) bool) error {
	work := make(chan transfer.Span)
	errs := make(chan error, 8)
	for range cap(errs) {
		go func() {
			var err error
			for s := range work {
				if err == nil {
					err = d.span(ctx, s)
				}
			}
			errs <- err
		}()
	}
	for i, f := range d.layout.Files {
		for off := int64(0); off < f.Size; off += d.layout.Unit {
			if s := (transfer.Span{File: i, Off: off, N: min(d.layout.Unit, f.Size-off)}); want(s) {
				work <- s
			}
		}
	}
	close(work)
	var first error
	for range cap(errs) {
		if err := <-errs; err != nil {
			first = err
		}
	}
	return first
}

// mustBe compares with what was shared, and with the digests of the torrent.
func (d *download) mustBe(ctx context.Context, files map[string][]byte) {
	d.t.Helper()
	if err := d.o.Verify(ctx, nil); err != nil {
		d.t.Error(err)
	}
	seen := 0
	for i, f := range d.layout.Files {
		want, ok := files[f.Path]
		if !d.layout.Folder {
			want, ok = files[""], true
		}
		if !ok || !bytes.Equal(d.m.files[i], want) {
			d.t.Errorf("%q is not what was shared", f.Path)
		}
		seen++
	}
	if seen != len(files) {
		d.t.Errorf("%d files, want %d", seen, len(files))
	}
}

// answered has everybody who dials the address that it returns met by meet, which need not close the connection.
func answered(t *testing.T, meet func(net.Conn)) string {
	t.Helper()
	return answeredAt(t, "127.0.0.1:0", meet)
}

// answeredAt is answered at an address.
func answeredAt(t *testing.T, at string, meet func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp4", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				meet(c)
			}()
		}
	}()
	return l.Addr().String()
}

func timed(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// until waits for something that other programs do.
func until(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s", what, limit)
		}
	}
}

// vacant is an address at which nobody listens yet.
func vacant(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort()
}
