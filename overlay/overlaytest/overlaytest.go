// Package overlaytest is what every overlay must pass, whatever its geometry: it only uses what overlay.Router promises.
package overlaytest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"

	"kith"
	"kith/overlay"
)

// A Node is one member of an overlay under test.
type Node struct {
	overlay.Router
	Info    peer.AddrInfo
	Connect func(ctx context.Context, to peer.AddrInfo) error
	Stop    func() // leaves without a word; what Start registered may call it again
}

// An Overlay is one kind of overlay.
type Overlay struct {
	Start func(t *testing.T) Node // starts a node that knows nobody; its values under /v/ are checked by Validator
	// Nearer reports whether a is nearer to key than b is.
	Nearer func(key []byte, a, b peer.ID) bool
}

const (
	patience = 20 * time.Second       // for what may take its time
	again    = 100 * time.Millisecond // between tries
	atOnce   = time.Second            // for what a person waits for
)

// Test runs the suite.
func (o Overlay) Test(t *testing.T) {
	t.Run("alone", o.alone)
	t.Run("provide", o.provide)
	t.Run("provided before", o.providedBefore)
	t.Run("withdraw", o.withdraw)
	t.Run("many", o.many)
	t.Run("values", o.values)
	t.Run("gone", o.gone)
	t.Run("cancel", o.cancel)
}

// Validator accepts values whose first byte is v, and prefers those that sort last: it stands for a signature and a sequence number.
type Validator struct{}

// Validate implements record.Validator.
func (Validator) Validate(_ string, value []byte) error {
	if len(value) == 0 || value[0] != 'v' {
		return errors.New("forged")
	}
	return nil
}

// Select implements record.Validator.
func (Validator) Select(_ string, values [][]byte) (int, error) {
	best := 0
	for i, v := range values {
		if bytes.Compare(v, values[best]) > 0 {
			best = i
		}
	}
	return best, nil
}

// Key returns a key that nobody else uses.
func Key(t *testing.T, i int) cid.Cid {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %d", t.Name(), i, time.Now().UnixNano()))
	mh, err := multihash.Encode(sum[:], multihash.SHA2_256)
	if err != nil {
		t.Fatal(err)
	}
	return cid.NewCidV1(cid.Raw, mh)
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func (o Overlay) connected(t *testing.T, n int) []Node {
	nodes := make([]Node, n)
	for i := range nodes {
		nodes[i] = o.Start(t)
		if i > 0 {
			connect(t, nodes[i], nodes[0])
		}
	}
	return nodes
}

func connect(t *testing.T, a, b Node) {
	t.Helper()
	if err := a.Connect(within(t, patience), b.Info); err != nil {
		t.Fatal(err)
	}
}

// found reports whether a search for key from n finds want, with an address, within d: one search, as a person would start it.
func found(t *testing.T, n Node, key cid.Cid, want Node, d time.Duration) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	for p := range n.FindProvidersAsync(ctx, key, 0) {
		if p.ID == want.Info.ID && len(p.Addrs) > 0 {
			return true
		}
	}
	return false
}

// alone: a node without peers answers at once, and loses nothing.
func (o Overlay) alone(t *testing.T) {
	a := o.Start(t)
	ctx := within(t, patience)
	if err := a.Provide(ctx, Key(t, 0), true); err != nil {
		t.Errorf("provide: %v", err)
	}
	if err := a.PutValue(ctx, "/v/alone", []byte("v1")); err != nil {
		t.Errorf("put: %v", err)
	}
	if v, err := a.GetValue(ctx, "/v/alone"); err != nil || string(v) != "v1" {
		t.Errorf("get: %q, %v", v, err)
	}
	if _, err := a.GetValue(ctx, "/v/nothing"); err == nil {
		t.Error("a value that nobody put was found")
	}
	if found(t, a, Key(t, 1), a, patience) {
		t.Error("a key that nobody provides was found")
	}
	if err := a.Provide(ctx, cid.Undef, true); !errors.Is(err, kith.Invalid) {
		t.Errorf("provide without a key: %v, want invalid", err)
	}
}

// provide: what one of two provides, the other finds within a second.
func (o Overlay) provide(t *testing.T) {
	nodes := o.connected(t, 2)
	key := Key(t, 0)
	if err := nodes[0].Provide(within(t, patience), key, true); err != nil {
		t.Fatal(err)
	}
	if !found(t, nodes[1], key, nodes[0], atOnce) {
		t.Error("not found within a second")
	}
}

// providedBefore: a second node finds what was provided before it came, in the search that it begins as soon as it is connected.
func (o Overlay) providedBefore(t *testing.T) {
	a, b := o.Start(t), o.Start(t)
	key := Key(t, 0)
	if err := a.Provide(within(t, patience), key, true); err != nil {
		t.Fatal(err)
	}
	connect(t, b, a)
	if !found(t, b, key, a, atOnce) {
		t.Error("not found within a second")
	}
}

// withdraw: it may be said of what is provided and of what is not, and what was withdrawn can be provided again.
func (o Overlay) withdraw(t *testing.T) {
	nodes := o.connected(t, 2)
	ctx := within(t, patience)
	key, never := Key(t, 0), Key(t, 1)
	if err := nodes[0].Provide(ctx, key, true); err != nil {
		t.Fatal(err)
	}
	if err := nodes[0].Withdraw(ctx, key, never, cid.Undef); err != nil {
		t.Errorf("withdraw: %v", err)
	}
	if err := nodes[0].Provide(ctx, key, true); err != nil {
		t.Fatal(err)
	}
	if !found(t, nodes[1], key, nodes[0], atOnce) {
		t.Error("not found when provided again")
	}
}

// many: in a network of a dozen that all came through one, everybody finds what anybody provides, and all agree on who is nearest to a key.
func (o Overlay) many(t *testing.T) {
	nodes := o.connected(t, 12)
	for i, n := range nodes {
		if err := n.Provide(within(t, patience), Key(t, 0), true); err != nil {
			t.Fatal(err)
		}
		key := Key(t, i)
		if err := n.Provide(within(t, patience), key, true); err != nil {
			t.Fatal(err)
		}
		if who := nodes[(i+5)%len(nodes)]; !eventually(t, func() bool { return found(t, who, key, n, atOnce) }) {
			t.Errorf("node %d's key was not found", i)
		}
	}
	for i, n := range nodes {
		ok := eventually(t, func() bool { return o.closestRight(t, nodes, n, fmt.Appendf(nil, "key %d", i)) })
		if !ok {
			t.Errorf("node %d does not find who is nearest", i)
		}
	}
}

// eventually tries until patience is over: tables fill with what nodes hear from each other. It leaves time between tries: nodes refuse who asks too much, and are taken for gone then.
func eventually(t *testing.T, ok func() bool) bool {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(again) {
		if ok() {
			return true
		}
	}
	return false
}

// closestRight reports whether asker's Closest is what one who knows all nodes would say.
func (o Overlay) closestRight(t *testing.T, nodes []Node, asker Node, key []byte) bool {
	var all []peer.ID
	for _, n := range nodes {
		if n.Info.ID != asker.Info.ID {
			all = append(all, n.Info.ID)
		}
	}
	slices.SortFunc(all, func(a, b peer.ID) int {
		if o.Nearer(key, a, b) {
			return -1
		}
		return 1
	})
	const want = 4
	got, err := asker.Closest(within(t, patience), key, want)
	if err != nil || len(got) != want {
		return false
	}
	for i, p := range got {
		if p.ID != all[i] {
			return false
		}
	}
	return true
}

// values: a forged value is refused, the newest wins wherever it was put, an older one does not replace it.
func (o Overlay) values(t *testing.T) {
	nodes := o.connected(t, 3)
	ctx := within(t, patience)
	const key = "/v/values"
	if err := nodes[0].PutValue(ctx, key, []byte("forged")); !errors.Is(err, kith.Invalid) {
		t.Errorf("put of a forged value: %v, want invalid", err)
	}
	if err := nodes[0].PutValue(ctx, key, []byte("v1")); err != nil {
		t.Fatal(err)
	}
	if err := nodes[1].PutValue(ctx, key, []byte("v2")); err != nil {
		t.Fatal(err)
	}
	for i, n := range nodes {
		if v, err := n.GetValue(ctx, key); err != nil || string(v) != "v2" {
			t.Errorf("node %d gets %q, %v; want v2", i, v, err)
		}
		ch, err := n.SearchValue(ctx, key)
		if err != nil {
			t.Fatal(err)
		}
		var last []byte
		for v := range ch {
			last = v
		}
		if string(last) != "v2" {
			t.Errorf("node %d's search ends with %q, want v2", i, last)
		}
	}
	if err := nodes[1].PutValue(ctx, key, []byte("v1")); !errors.Is(err, kith.Exists) {
		t.Errorf("put of an older value: %v, want exists", err)
	}
	if _, err := nodes[2].GetValue(ctx, "/v/nothing"); !errors.Is(err, kith.NotFound) {
		t.Errorf("get of what nobody put: %v, want not found", err)
	}
}

// gone: when a peer has gone, what others provide is still found, and searches end.
func (o Overlay) gone(t *testing.T) {
	nodes := o.connected(t, 4)
	key := Key(t, 0)
	if err := nodes[1].Provide(within(t, patience), key, true); err != nil {
		t.Fatal(err)
	}
	if !eventually(t, func() bool { return found(t, nodes[2], key, nodes[1], atOnce) }) {
		t.Fatal("not found before")
	}
	nodes[3].Stop()
	if !found(t, nodes[2], key, nodes[1], patience) {
		t.Error("not found after another had gone")
	}
	ctx := within(t, patience)
	if _, err := nodes[0].Closest(ctx, []byte("key"), 3); err != nil {
		t.Errorf("closest: %v", err)
	}
	if p, err := nodes[2].FindPeer(ctx, nodes[1].Info.ID); err != nil || len(p.Addrs) == 0 {
		t.Errorf("find peer: %v, %v", p, err)
	}
}

// cancel: whoever ends the context is left alone at once.
func (o Overlay) cancel(t *testing.T) {
	nodes := o.connected(t, 2)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range nodes[0].FindProvidersAsync(ctx, Key(t, 0), 0) {
		}
		nodes[0].GetValue(ctx, "/v/nothing")
		nodes[0].FindPeer(ctx, nodes[1].Info.ID)
		nodes[0].Closest(ctx, []byte("key"), 3)
	}()
	select {
	case <-done:
	case <-time.After(atOnce):
		t.Error("still busy a second after the context ended")
	}
}
