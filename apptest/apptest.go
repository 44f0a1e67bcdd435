// Package apptest runs applications on several real nodes in one process, joined over loopback, and calls their operations by name as
// the HTTP interface would.
package apptest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/app"
	"kith/config"
	"kith/node"
	"kith/transfer"
)

// A Net is a set of nodes, numbered from 0.
type Net struct {
	t     testing.TB
	nodes []*Node
	build func() ([]app.App, transfer.Guard)

	overlay string // "": the usual one
}

// A Node is one of them.
type Node struct {
	*node.Node
	Dir    string
	origin *origin
	t      testing.TB
}

// New starts n nodes with the applications that build returns, each connected to the first. They stop when the test ends.
func New(t testing.TB, n int, build func() ([]app.App, transfer.Guard)) *Net {
	t.Helper()
	return NewOn(t, "", n, build)
}

// NewOn does what New does, with nodes that run an overlay.
func NewOn(t testing.TB, overlay string, n int, build func() ([]app.App, transfer.Guard)) *Net {
	t.Helper()
	set := &Net{t: t, build: build, overlay: overlay}
	for i := range n {
		set.nodes = append(set.nodes, set.start(t.TempDir()))
		if i > 0 {
			set.Connect(i, 0)
		}
	}
	return set
}

// Start starts a node on a data directory.
func (s *Net) start(dir string) *Node {
	s.t.Helper()
	list, guard := s.build()
	o := node.Options{Dir: dir, Apps: list, Guard: guard, NoMDNS: true, NoUPnP: true, Version: "test"}
	o.Config = config.Config{Network: "apptest", Overlay: s.overlay, Listen: []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"}, Files: filepath.Join(dir, "files")}
	n, err := node.Open(s.t.Context(), o)
	if err != nil {
		s.t.Fatal(err)
	}
	w := &Node{Node: n, Dir: dir, origin: newOrigin(s.t), t: s.t}
	if err := n.Start(s.t.Context(), w.origin, "127.0.0.1:1"); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { w.Stop() })
	return w
}

// Node returns node i.
func (s *Net) Node(i int) *Node { return s.nodes[i] }

// Restart stops node i and starts it again on the same data directory.
func (s *Net) Restart(i int) {
	s.t.Helper()
	s.nodes[i].Stop()
	s.nodes[i] = s.start(s.nodes[i].Dir)
}

// Connect connects node i to node j.
func (s *Net) Connect(i, j int) {
	s.t.Helper()
	to := s.nodes[j].Network()
	if err := s.nodes[i].Network().Connect(s.t.Context(), peer.AddrInfo{ID: to.ID(), Addrs: to.Host().Addrs()}); err != nil {
		s.t.Fatal(err)
	}
}

// Stop stops the node; stopping it twice is no error.
func (n *Node) Stop() {
	if n.Node == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := n.Close(ctx); err != nil {
		n.t.Errorf("node does not stop cleanly: %v", err)
	}
	n.Node = nil
}

// Call runs an operation, through JSON as the HTTP interface would, and decodes its last value into out.
func (n *Node) Call(ctx context.Context, appName, op string, in, out any) error {
	var last []byte
	err := n.Watch(ctx, appName, op, in, func(data []byte) bool {
		last = data
		return true
	})
	if last != nil {
		if err := json.Unmarshal(last, out); err != nil {
			n.t.Errorf("%s %s: %v", appName, op, err)
		}
	}
	return err
}

// Watch runs an operation and hands each value that it yields to see, until that returns false.
func (n *Node) Watch(ctx context.Context, appName, op string, in any, see func(data []byte) bool) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	for _, a := range n.Apps() {
		for _, o := range a.Ops {
			if a.Name != appName || o.Name != op {
				continue
			}
			for v, err := range o.Run(ctx, func(into any) error { return json.Unmarshal(body, into) }) {
				if err != nil {
					return err
				}
				data, err := json.Marshal(v)
				if err != nil {
					return err
				}
				if !see(data) {
					return nil
				}
			}
			return nil
		}
	}
	return fmt.Errorf("apptest: op %s %s: %w", appName, op, kith.NotFound)
}

// An origin serves minted content over plain HTTP on loopback.
type origin struct {
	server *httptest.Server
	mux    *http.ServeMux
	n      int
}

func newOrigin(t testing.TB) *origin {
	o := &origin{mux: http.NewServeMux()}
	o.server = httptest.NewServer(o.mux)
	t.Cleanup(o.server.Close)
	return o
}

// Mint implements app.Origin.
func (o *origin) Mint(_ context.Context, c app.Content) (string, error) {
	o.n++
	path := fmt.Sprintf("/%d", o.n)
	o.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		f, err := c.Open(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer f.Close()
		http.ServeContent(w, r, c.Name, time.Time{}, f)
	})
	return o.server.URL + path, nil
}
