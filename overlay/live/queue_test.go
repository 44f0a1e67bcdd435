package live

import (
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

// pair starts two nodes that know each other.
func pair(t *testing.T, kind string) (a, b *Router) {
	t.Helper()
	net := overlaytest.NewInternet(t)
	var both []*Router
	for i := range 2 {
		h, _ := net.Host(t, i)
		r, err := New(t.Context(), Options{
			Host: h, Network: "test", Overlay: kind, DS: dssync.MutexWrap(datastore.NewMapDatastore()), Validators: map[string]record.Validator{"v": overlaytest.Validator{}},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		both = append(both, r)
	}
	a, b = both[0], both[1]
	if err := a.host.Connect(t.Context(), peer.AddrInfo{ID: b.host.ID(), Addrs: b.host.Addrs()}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(30 * time.Second)
	return a, b
}

// A node that has as many questions on their way as it may lets the next ones wait, and takes nobody for gone because of that. When they land, those that waited are asked.
func TestQueue(t *testing.T) {
	for _, kind := range Names() {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := pair(t, kind)
				state := func(change func()) (knows bool, queued int) {
					t.Helper()
					if err := a.do(t.Context(), func() {
						change()
						knows, queued = slices.Contains(a.neighbours(), b.host.ID()), len(a.queued)
					}); err != nil {
						t.Fatal(err)
					}
					return knows, queued
				}
				if knows, _ := state(func() { a.flying += maxFlying }); !knows {
					t.Fatal("two nodes do not know each other")
				}
				time.Sleep(5 * time.Minute)
				if knows, queued := state(func() {}); !knows || queued == 0 {
					t.Errorf("with all its questions on their way a node knows the other one: %v; %d questions wait", knows, queued)
				}
				state(func() { a.flying -= maxFlying; a.launch() })
				time.Sleep(20 * time.Second)
				if knows, queued := state(func() {}); !knows || queued > 0 {
					t.Errorf("when they have landed it knows it: %v; %d questions wait", knows, queued)
				}
				key := "/v/queue"
				if err := a.PutValue(t.Context(), key, []byte("v"+key)); err != nil {
					t.Fatal(err)
				}
				if got, err := b.GetValue(t.Context(), key); err != nil || string(got) != "v"+key {
					t.Errorf("%q, %v", got, err)
				}
			})
		})
	}
}
