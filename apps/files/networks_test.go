package files_test

import (
	"context"
	"crypto/sha1"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"kith"
	"kith/app"
	"kith/apps/files"
	"kith/apptest"
	"kith/blob"
	"kith/bridge"
	"kith/transfer"
)

// memory is a network of others inside the test: what is published to it, it names by SHA-1, and knows.
type memory struct {
	name string

	mu     sync.Mutex
	tapped map[kith.Ref]int64 // bytes that a tap saw
	shares map[kith.Ref]bridge.Share
	up     map[kith.Ref]int64
}

func newMemory(name string) *memory {
	return &memory{name: name, tapped: map[kith.Ref]int64{}, shares: map[kith.Ref]bridge.Share{}, up: map[kith.Ref]int64{}}
}

func (m *memory) Name() string { return m.name }

func (m *memory) Taps(int, int64) blob.Tap { return m }

func (m *memory) File(int64) blob.TapFile { return &memoryTap{of: m} }

type memoryTap struct {
	of *memory
	n  int64
}

func (t *memoryTap) Write(p []byte) (int, error) { t.n += int64(len(p)); return len(p), nil }

func (t *memoryTap) Done(ref kith.Ref) {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	t.of.tapped[ref] = t.n
}

func (m *memory) Publish(_ context.Context, s bridge.Share) (kith.Names, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shares[s.Root] = s
	return kith.Names{V1: sha1.Sum([]byte(s.Root.String())), Trackers: []string{"http://tracker.example/announce"}}, nil
}

func (m *memory) Withdraw(_ context.Context, root kith.Ref) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.shares, root)
	return nil
}

func (m *memory) Open(kith.Link) transfer.Opener { return nil }

func (m *memory) Status(root kith.Ref) (bridge.Status, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.shares[root]; !ok {
		return bridge.Status{}, kith.NotFound
	}
	return bridge.Status{Up: m.up[root], UpRate: 7, Peers: []transfer.OriginPeer{{Name: "192.0.2.1:6881", Program: "Transmission 4.0", Via: "utp", Flags: []string{"incoming"}, Have: 0.5, Up: 7, Sent: 8}}, Said: "announced"}, nil
}

func (m *memory) StatusOf(names kith.Names) (bridge.Status, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for root := range m.shares {
		if names.V1 == sha1.Sum([]byte(root.String())) {
			return bridge.Status{Up: 150_000, Copies: 1.5, Trackers: []bridge.Tracker{{URL: "http://tracker.example/announce", Why: "it is closed"}}}, nil
		}
	}
	return bridge.Status{}, kith.NotFound
}

func (m *memory) SaidOf(kith.Names) string { return "" }

func (m *memory) Moved(context.Context, kith.Names, int64, int64) error { return nil }

func (m *memory) Announce(string) {}

func (m *memory) Hear(context.Context, func(kith.InfoHash) bool, func(bridge.Heard)) error {
	return nil
}

var _ bridge.Torrents = (*memory)(nil)

func (m *memory) AddTorrent(_ context.Context, data []byte) (kith.Link, error) {
	return kith.Link{}, fmt.Errorf("memory: %w", kith.Invalid)
}

func (m *memory) Torrent(_ context.Context, root kith.Ref) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.shares[root]; !ok {
		return nil, kith.NotFound
	}
	return []byte("d4:infode"), nil
}

// share returns what is published of root.
func (m *memory) share(root kith.Ref) (bridge.Share, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.shares[root]
	return s, ok
}

// bridged builds the application on a node that has bridges.
func bridged(bridges ...bridge.Bridge) func() ([]app.App, transfer.Guard) {
	return func() ([]app.App, transfer.Guard) {
		f := files.New()
		a := f.App()
		start := a.Start
		a.Start = func(ctx context.Context, env app.Env) error {
			env.Bridges = bridges
			return start(ctx, env)
		}
		return []app.App{a}, f
	}
}

func show(t *testing.T, n *apptest.Node, ref string) (out files.ShowOut) {
	t.Helper()
	if err := n.Call(t.Context(), "files", "show", files.RefIn{Ref: ref}, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestShareToNetworks(t *testing.T) {
	m := newMemory("bittorrent")
	net := apptest.New(t, 1, bridged(m))
	n, dir := net.Node(0), t.TempDir()
	film := filepath.Join(dir, "film.mkv")
	write(t, film, 100_000)
	torrent := filepath.Join(dir, "film.torrent")
	s := share(t, n, files.ShareIn{Paths: []string{film}, For: "public", Torrent: torrent})
	hash := sha1.Sum([]byte(s.Ref.String()))
	if !strings.HasPrefix(s.Link, fmt.Sprintf("magnet:?xt=urn:btih:%x&xt=urn:blake3:", hash)) || !strings.Contains(s.Link, "&tr=http://tracker.example/announce&") || !slices.Equal(s.Networks, []string{"bittorrent"}) {
		t.Errorf("%+v", s)
	}
	if got, ok := m.share(s.Ref); !ok || len(got.Files) != 1 || got.Files[0] != (bridge.File{Path: "film.mkv", Size: 100_000, Ref: s.Ref, Mode: 0o644}) || got.Folder {
		t.Errorf("%+v", got)
	}
	if m.tapped[s.Ref] != 100_000 {
		t.Errorf("the tap saw %d bytes", m.tapped[s.Ref])
	}
	if data, err := os.ReadFile(torrent); err != nil || string(data) != "d4:infode" {
		t.Errorf("%q, %v", data, err)
	}
	out := show(t, n, "film.mkv")
	if len(out.Networks) != 1 || !out.Networks[0].Served || out.Networks[0].Said != "announced" || out.Networks[0].Names[0] != fmt.Sprintf("%x", hash) || len(out.From) != 1 || out.From[0].Via != "utp" {
		t.Errorf("%+v, from %+v", out.Networks, out.From)
	}
	if p := out.From[0]; p.Peer != "192.0.2.1:6881" || p.Name != "Transmission 4.0" || p.Sent != 8 || len(p.Flags) != 1 || out.Copies != 1.5 || out.Up != 150_000 || out.Networks[0].Ratio != 1.5 || len(out.Trackers) != 1 {
		t.Errorf("%+v, %v copies, %+v, %+v", p, out.Copies, out.Networks[0], out.Trackers)
	}
	var text strings.Builder
	if err := out.WriteText(&text, 80); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"copies 1.50 among", "150 kB sent at 0 B/s, ratio 1.50", "192.0.2.1:6881 (Transmission 4.0) bittorrent utp 50%", "active: incoming", "http://tracker.example/announce not asked yet"} {
		if !strings.Contains(strings.Join(strings.Fields(text.String()), " "), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
	if byHash := show(t, n, fmt.Sprintf("%x", hash)); byHash.Ref != s.Ref {
		t.Errorf("its infohash finds %v", byHash.Ref)
	}
	net.Restart(0) // what it is called is not forgotten
	n = net.Node(0)
	if again := show(t, n, "film.mkv"); again.Link[:60] != s.Link[:60] || len(again.Networks) != 1 || !again.Networks[0].Served {
		t.Errorf("%+v", again.Item)
	}
	var un files.Shared
	if err := n.Call(t.Context(), "files", "unpublish", files.UnpublishIn{Ref: "film.mkv"}, &un); err != nil || strings.Contains(un.Link, "btih") || len(un.Networks) != 0 {
		t.Errorf("%+v, %v", un, err)
	}
	if _, ok := m.share(s.Ref); ok {
		t.Error("it is still published")
	}
	if err := n.Call(t.Context(), "files", "publish", files.PublishIn{Ref: "film.mkv", Networks: []string{"bittorrent"}}, &un); err != nil || !strings.Contains(un.Link, "btih") {
		t.Errorf("%+v, %v", un, err)
	}
	if err := n.Call(t.Context(), "files", "rm", files.RmIn{Ref: "film.mkv"}, &files.RmOut{}); err != nil {
		t.Error(err)
	}
	if _, ok := m.share(s.Ref); ok {
		t.Error("what is removed is still published")
	}
}

// TestShareToNetworksSealed: what is for whoever has the link goes to public networks encrypted, under names that say nothing.
func TestShareToNetworksSealed(t *testing.T) {
	m := newMemory("bittorrent")
	n := apptest.New(t, 1, bridged(m)).Node(0)
	dir := filepath.Join(t.TempDir(), "letters")
	write(t, filepath.Join(dir, "to anna.txt"), 1000)
	write(t, filepath.Join(dir, "b/to ben.txt"), 20)
	s := share(t, n, files.ShareIn{Paths: []string{dir}, Networks: []string{"BitTorrent"}})
	if !s.Private || !strings.Contains(s.Note, "encrypted") || !strings.Contains(s.Link, "#") || strings.Contains(s.Link, "letters") {
		t.Errorf("%+v", s)
	}
	got, _ := m.share(s.Ref)
	if len(got.Files) != 3 || !got.Folder || strings.Contains(fmt.Sprintf("%+v", got), "to ") || strings.Contains(got.Name, "letters") {
		t.Errorf("%+v", got)
	}
	for i, f := range got.Files {
		if want := fmt.Sprintf("%07d", i); f.Path != want || f.Size != m.tapped[f.Ref] && i > 0 || f.Mode != fs.FileMode(0o644) {
			t.Errorf("%+v, want the name %s and %d bytes", f, want, m.tapped[f.Ref])
		}
	}
}

func TestNetworksRefused(t *testing.T) {
	n := apptest.New(t, 1, bridged(newMemory("bittorrent"), newMemory("ipfs"))).Node(0)
	dir := t.TempDir()
	file := filepath.Join(dir, "a")
	write(t, file, 10)
	for _, tt := range []struct {
		in   files.ShareIn
		kind kith.Kind
		says string
	}{
		{files.ShareIn{For: "contacts", Networks: []string{"bittorrent,ipfs"}}, kith.Denied, "bittorrent and ipfs are public"},
		{files.ShareIn{Networks: []string{"ed2k"}}, kith.Invalid, "no network \"ed2k\""},
		{files.ShareIn{Guest: true, Networks: []string{"ipfs"}}, kith.Invalid, "guest"},
		{files.ShareIn{For: "public", Paths: []string{file, dir}, Torrent: filepath.Join(dir, "x.torrent")}, kith.Invalid, "one .torrent file"},
	} {
		if tt.in.Paths == nil {
			tt.in.Paths = []string{file}
		}
		err := n.Call(t.Context(), "files", "share", tt.in, &files.ShareOut{})
		if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%+v: %v", tt.in, err)
		}
	}
	s := share(t, n, files.ShareIn{Paths: []string{file}})
	err := n.Call(t.Context(), "files", "publish", files.PublishIn{Ref: s.Ref.String(), Networks: []string{"ipfs"}}, &files.Shared{})
	if !errors.Is(err, kith.Denied) || !strings.Contains(kith.HintOf(err), "--for public") {
		t.Errorf("what is for the link alone: %v (%s)", err, kith.HintOf(err))
	}
	var out files.Shared
	if err := n.Call(t.Context(), "files", "publish", files.PublishIn{Ref: s.Ref.String(), Networks: []string{"ipfs"}, For: "public"}, &out); err != nil || out.For != "public" {
		t.Errorf("%+v, %v", out, err)
	}
	if err := n.Call(t.Context(), "files", "share", files.ShareIn{Paths: []string{file}, For: "contacts"}, &files.ShareOut{}); !errors.Is(err, kith.Denied) {
		t.Errorf("what is public becomes for contacts: %v", err)
	}
}

func TestLimitRatio(t *testing.T) {
	n := apptest.New(t, 1, bridged(newMemory("bittorrent"))).Node(0)
	for text, want := range map[string]float64{"": 2, "0": 0, "1.5": 1.5, "none": -1} {
		var out files.LimitOut
		if err := n.Call(t.Context(), "files", "limit", files.LimitIn{Ratio: text}, &out); err != nil || text != "" && out.Ratio != want {
			t.Errorf("%q: %+v, %v", text, out, err)
		}
		if data, err := json.Marshal(out); err != nil {
			t.Errorf("%s, %v", data, err)
		}
	}
	for text, want := range map[string]float64{"7d": 7 * 86400, "none": 0} {
		var out files.LimitOut
		if err := n.Call(t.Context(), "files", "limit", files.LimitIn{SeedTime: text}, &out); err != nil || out.SeedTime != want {
			t.Errorf("%q: %+v, %v", text, out, err)
		}
	}
	for _, bad := range []string{"0", "-1h", "long"} {
		if err := n.Call(t.Context(), "files", "limit", files.LimitIn{SeedTime: bad}, &files.LimitOut{}); !errors.Is(err, kith.Invalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, bad := range []string{"-1", "many", "NaN"} {
		if err := n.Call(t.Context(), "files", "limit", files.LimitIn{Ratio: bad}, &files.LimitOut{}); !errors.Is(err, kith.Invalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
