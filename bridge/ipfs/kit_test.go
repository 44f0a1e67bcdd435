package ipfs

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kith"
	"kith/blob"
	"kith/bridge"
	"kith/bridge/ipfs/host"
	"kith/config"
	"kith/transfer"
)

// pseudo returns bytes that look random, always the same.
func pseudo(seed uint64, size int64) []byte {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)}).Read(b)
	return b
}

// a node is a Bridge with a store of its own, on loopback, that knows only who it is told of.
type node struct {
	*Bridge
	t     testing.TB
	dir   string
	blobs *blob.Store
	conf  config.IPFS
	boot  []string
}

func newNode(t testing.TB, conf config.IPFS) *node {
	t.Helper()
	n := &node{t: t, dir: t.TempDir(), conf: conf}
	n.start()
	t.Cleanup(n.stop)
	return n
}

func (n *node) start() {
	n.t.Helper()
	c := n.conf
	if c.Listen == nil {
		c.Listen = []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"}
	}
	var err error
	if n.blobs, err = blob.Open(context.Background(), blob.Options{Dir: filepath.Join(n.dir, "blobs")}); err != nil {
		n.t.Fatal(err)
	}
	if n.Bridge, err = New(Options{Blobs: n.blobs, Dir: filepath.Join(n.dir, "ipfs"), Config: c, Bootstrap: append([]string{}, n.boot...), Loopback: true}); err != nil {
		n.t.Fatal(err)
	}
	if err := n.Start(context.Background()); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) stop() {
	if n.Bridge == nil {
		return
	}
	if err := n.Bridge.Close(); err != nil {
		n.t.Error(err)
	}
	n.blobs.Close()
	n.Bridge = nil
}

// online opens the host, and keeps it open until the test ends.
func (n *node) online() *host.Host {
	n.t.Helper()
	on, release, err := n.net.use()
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(release)
	return on
}

// addr returns where the node listens.
func (n *node) addr() string {
	n.t.Helper()
	h := n.online()
	for _, a := range h.Addrs() {
		if strings.Contains(a.String(), "/tcp/") {
			return a.String() + "/p2p/" + h.ID().String()
		}
	}
	n.t.Fatalf("no address: %v", h.Addrs())
	return ""
}

// share imports and publishes what is at path.
func (n *node) share(path string) (bridge.Share, kith.Names) {
	n.t.Helper()
	s := n.imported(path)
	names, err := n.Publish(context.Background(), s)
	if err != nil {
		n.t.Fatal(err)
	}
	return s, names
}

func (n *node) imported(path string) bridge.Share {
	n.t.Helper()
	ctx := context.Background()
	tree, err := n.blobs.Import(ctx, path, blob.ImportOptions{Taps: []func(int, int64) blob.Tap{n.Taps}})
	if err != nil {
		n.t.Fatal(err)
	}
	s := bridge.Share{Root: tree.Root, Name: tree.Name, Folder: tree.Folder}
	if !tree.Folder {
		s.Files = []bridge.File{{Path: tree.Name, Size: tree.Size, Ref: tree.Root}}
		return s
	}
	m, err := n.blobs.Manifest(ctx, tree.Root, nil)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, e := range m.Entries {
		s.Files = append(s.Files, bridge.File{Path: e.Path, Size: e.Size, Ref: e.Ref, Mode: e.Mode, Link: e.Link})
	}
	return s
}

// here is content in memory. It implements transfer.Content.
type here struct {
	mu    sync.Mutex
	files [][]byte
	have  [][]bool // by KiB
}

func (h *here) lay(l transfer.Layout) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.files, h.have = nil, nil
	for _, f := range l.Files {
		h.files = append(h.files, make([]byte, f.Size))
		h.have = append(h.have, make([]bool, f.Size/1024+1))
	}
}

func (h *here) put(s transfer.Span, data []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	copy(h.files[s.File][s.Off:], data)
	for i := s.Off / 1024; i <= (s.Off+s.N-1)/1024; i++ {
		h.have[s.File][i] = true
	}
}

// ReadAt implements transfer.Content.
func (h *here) ReadAt(p []byte, file int, off int64) (int, error) {
	if !h.Has(transfer.Span{File: file, Off: off, N: int64(len(p))}) {
		return 0, kith.NotFound
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return copy(p, h.files[file][off:]), nil
}

// Has implements transfer.Content.
func (h *here) Has(s transfer.Span) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.File >= len(h.files) || s.Off+s.N > int64(len(h.files[s.File])) {
		return false
	}
	for i := s.Off / 1024; s.N > 0 && i <= (s.Off+s.N-1)/1024; i++ {
		if !h.have[s.File][i] {
			return false
		}
	}
	return true
}

// fetch brings all that a link names, unit by unit, and verifies it, within a minute.
func (n *node) fetch(l kith.Link) (transfer.Layout, *here, error) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	h := &here{}
	o, err := n.Open(l)(ctx, h)
	if err != nil {
		n.t.Fatal(err)
	}
	defer o.Close()
	layout, err := o.Layout(ctx)
	if err != nil {
		return layout, h, err
	}
	h.lay(layout)
	var wanted []transfer.Span
	for i, f := range layout.Files {
		for off := int64(0); off < f.Size; off += layout.Unit {
			wanted = append(wanted, transfer.Span{File: i, Off: off, N: min(layout.Unit, f.Size-off)})
		}
	}
	var all sync.WaitGroup
	next, errs := make(chan transfer.Span), make([]error, 16)
	for i := range errs {
		all.Go(func() {
			for s := range next {
				data, err := o.Fetch(ctx, s, func() {})
				if err != nil {
					errs[i] = err
					continue
				}
				h.put(s, data)
				o.Here(s)
			}
		})
	}
	for _, s := range wanted {
		next <- s
	}
	close(next)
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return layout, h, err
	}
	return layout, h, o.Verify(ctx, func(int64) {})
}

// kubo is a running Kubo that knows nobody.
type kubo struct {
	t    testing.TB
	dir  string
	addr string // with /p2p/
	cmd  *exec.Cmd
}

func needKubo(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("ipfs"); err != nil {
		t.Skip("not tested against Kubo: no ipfs in PATH; .ci/install builds it")
	}
}

// newKubo starts a Kubo; routing is none or dht.
func newKubo(t testing.TB, routing string) *kubo {
	t.Helper()
	needKubo(t)
	k := &kubo{t: t, dir: t.TempDir()}
	k.run("init", "--empty-repo")
	path := filepath.Join(k.dir, "config")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var conf map[string]any
	if err := json.Unmarshal(text, &conf); err != nil {
		t.Fatal(err)
	}
	for key, v := range map[string]any{
		"Bootstrap": []string{}, "AutoConf": map[string]any{"Enabled": false}, "AutoTLS": map[string]any{"Enabled": false}, "DNS": map[string]any{"Resolvers": map[string]string{}},
		"Routing": map[string]any{"Type": routing, "DelegatedRouters": []string{}, "LoopbackAddressesOnLanDHT": true}, "Ipns": map[string]any{"DelegatedPublishers": []string{}},
		"Discovery": map[string]any{"MDNS": map[string]any{"Enabled": false}},
		"Addresses": map[string]any{"Swarm": []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"}, "API": "/ip4/127.0.0.1/tcp/0", "Gateway": "/ip4/127.0.0.1/tcp/0"},
		"Swarm":     map[string]any{"DisableNatPortMap": true},
	} {
		conf[key] = v
	}
	if text, err = json.Marshal(conf); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	k.start()
	t.Cleanup(k.stop)
	return k
}

func (k *kubo) start() {
	k.t.Helper()
	k.cmd = k.command("daemon")
	out, in, err := os.Pipe()
	if err != nil {
		k.t.Fatal(err)
	}
	k.cmd.Stdout, k.cmd.Stderr = in, in
	err = k.cmd.Start()
	in.Close()
	if err != nil {
		k.t.Fatal(err)
	}
	lines, all := bufio.NewScanner(out), ""
	for lines.Scan() {
		if strings.Contains(lines.Text(), "Daemon is ready") {
			go io.Copy(io.Discard, out)
			for _, a := range strings.Fields(k.run("id", "-f", "<addrs>")) {
				if strings.Contains(a, "/tcp/") {
					k.addr = a
				}
			}
			return
		}
		all += lines.Text() + "\n"
	}
	k.t.Fatalf("Kubo did not come up: %s", all)
}

func (k *kubo) stop() {
	if k.cmd != nil {
		k.cmd.Process.Signal(os.Interrupt)
		k.cmd.Wait()
		k.cmd = nil
	}
}

// kill ends it with no time to put anything in order.
func (k *kubo) kill() {
	k.t.Helper()
	if err := k.cmd.Process.Kill(); err != nil {
		k.t.Fatal(err)
	}
	k.cmd.Wait()
	k.cmd = nil
}

func (k *kubo) command(args ...string) *exec.Cmd {
	cmd := exec.Command("ipfs", args...)
	cmd.Env = append(os.Environ(), "IPFS_PATH="+k.dir, "IPFS_TELEMETRY=off", "GOLOG_LOG_LEVEL=error")
	return cmd
}

// try runs a command of Kubo.
func (k *kubo) try(args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute) // with a busy machine, a folder of many files takes it half a minute
	defer cancel()
	c := k.command(args...)
	cmd := exec.CommandContext(ctx, c.Path, args...)
	cmd.Env = c.Env
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("ipfs %v: %w: %s", args, err, errs.String())
	}
	return out, err
}

func (k *kubo) run(args ...string) string {
	k.t.Helper()
	out, err := k.try(args...)
	if err != nil {
		k.t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// write writes files below a folder, and returns it.
func write(t testing.TB, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
