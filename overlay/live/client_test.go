package live

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	record "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/peer"

	"kith/overlay/overlaytest"
)

// client starts a node that is a part of no overlay and is connected to those peers alone.
func (g *gang) client(t *testing.T, kind string, number int, gates []peer.AddrInfo) *Router {
	t.Helper()
	h, _ := g.net.Host(t, number)
	r, err := New(t.Context(), Options{
		Host: h, Network: "test", Overlay: kind, DS: dssync.MutexWrap(datastore.NewMapDatastore()), Validators: map[string]record.Validator{"v": overlaytest.Validator{}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	if err := r.do(t.Context(), func() { r.serve(false) }); err != nil {
		t.Fatal(err)
	}
	for _, info := range gates {
		if err := h.Connect(t.Context(), info); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(time.Second)
	return r
}

// A client, who is in nobody's tables, finds what honest nodes have put and announced, and is found with what it announces itself, where most of those through whom it asks are
// hostile: they name each other alone, also as who is around them.
func TestHostileGates(t *testing.T) {
	const nodes, keys = 35, 4
	if testing.Short() {
		t.Skip("35 hosts are too much for a short run")
	}
	for _, kind := range Names() {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, honest := hostileCrew(t, kind, nodes)
				for i := range keys {
					put := fmt.Sprintf("/v/gates-%d", i)
					if err := honest[i].PutValue(t.Context(), put, []byte("v"+put)); err != nil {
						t.Fatal(err)
					}
					if err := honest[i].Provide(t.Context(), keyOf(t, i), true); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(10 * time.Second) // until all is announced
				for i := range keys {        // a client for each: who has searched knows more than its gates
					door := honest[10+i].host
					gates := append(slices.Clone(g.infos[:4]), peer.AddrInfo{ID: door.ID(), Addrs: door.Addrs()})
					c := g.client(t, kind, nodes+i, gates)
					put := fmt.Sprintf("/v/gates-%d", i)
					if got, err := c.GetValue(t.Context(), put); err != nil || string(got) != "v"+put {
						t.Errorf("%s: %q, %v", put, got, err)
					}
					found := false
					for p := range c.FindProvidersAsync(t.Context(), keyOf(t, i), 0) {
						found = found || p.ID == honest[i].host.ID()
					}
					if !found {
						t.Errorf("what node %d provides: it is not found", i)
					}
					if err := c.Provide(t.Context(), keyOf(t, 100+i), true); err != nil {
						t.Fatal(err)
					}
					time.Sleep(10 * time.Second)
					found = false
					for p := range honest[20+i%5].FindProvidersAsync(t.Context(), keyOf(t, 100+i), 0) {
						found = found || p.ID == c.host.ID()
					}
					if !found {
						t.Errorf("what client %d provides: it is not found", i)
					}
					t.Logf("client %d: %d gates now, %d around one", i, c.Size(), len(c.around.nodes))
				}
			})
		})
	}
}
