package live

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	record "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multihash"

	"kith/overlay/kbr"
	"kith/overlay/overlaytest"
	"kith/wire"
)

// A gang are the hostile nodes of a network. They do their part of upkeep, so that they are in everybody's tables, and name each other alone to who asks about a key. They
// say that they keep what is put there, and have nothing.
type gang struct {
	engine kbr.Engine // which knows the geometry
	peers  *peers     // numbers of all nodes
	infos  []peer.AddrInfo
	net    overlaytest.Internet
}

// near returns those of the gang that are nearest to a place, as its ends.
func (g *gang) near(key kbr.ID) []peer.AddrInfo {
	far := func(p peer.ID) kbr.ID { return g.engine.Distance(key, true, g.peers.numbers[p]) }
	infos := slices.Clone(g.infos)
	slices.SortFunc(infos, func(a, b peer.AddrInfo) int { return far(a.ID).Compare(far(b.ID)) })
	return infos
}

// A crook is the host of one of them.
type crook struct {
	host.Host
	*gang
}

// SetStreamHandler implements host.Host.
func (c crook) SetStreamHandler(id protocol.ID, honest network.StreamHandler) {
	c.Host.SetStreamHandler(id, func(s network.Stream) {
		var read bytes.Buffer
		q, err := readQuestion(io.TeeReader(s, &read))
		if err != nil {
			s.Reset()
			return
		}
		var a answer
		switch {
		case q.What == asks && kbr.Kind(q.Talk.Kind) == kbr.Find:
			a.Talk = &talk{Kind: q.Talk.Kind}
			near := c.near(kbr.FromBytes([kbr.Bits / 8]byte(q.Talk.Key)))
			for _, info := range near {
				a.Talk.Nodes = append(a.Talk.Nodes, contactOf(info))
			}
			if a.Talk.Ends = uint8(len(near)); near[0].ID == c.ID() {
				a.Talk.Flags = uint8(kbr.Mine)
			}
		case q.What == near:
			for _, info := range c.near(placeOf(c.ID())) {
				a.Nodes = append(a.Nodes, contactOf(info))
			}
		case q.What == puts:
			a.Codes = make([]uint8, len(q.Items)) // kept
		case q.What == gets:
		default:
			honest(again{s, &read})
			return
		}
		wire.WriteMsg(s, &a)
		s.Close()
	})
}

// again is a stream of which a part was read already.
type again struct {
	network.Stream
	read *bytes.Buffer
}

func (s again) Read(b []byte) (int, error) {
	if s.read.Len() > 0 {
		return s.read.Read(b)
	}
	return s.Stream.Read(b)
}

// hostileCrew starts nodes of which one in five is hostile, lets them come to know each other, and returns those that are honest.
func hostileCrew(t *testing.T, kind string, nodes int) (g *gang, honest []*Router) {
	t.Helper()
	net := overlaytest.NewInternet(t)
	g = &gang{peers: newPeers(""), net: net}
	of := engines[kind](g.peers.table)
	of.Grow()
	g.engine = of.Engine(self1)
	var first peer.AddrInfo
	for i := range nodes {
		h, _ := net.Host(t, i)
		info := peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()}
		g.peers.number(info.ID, "", "", time.Time{}, nil)
		bad := i%5 == 4
		if bad {
			g.infos = append(g.infos, info)
			h = crook{h, g}
		}
		r, err := New(t.Context(), Options{
			Host: h, Network: "test", Overlay: kind, DS: dssync.MutexWrap(datastore.NewMapDatastore()), Validators: map[string]record.Validator{"v": overlaytest.Validator{}},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		if !bad {
			honest = append(honest, r)
		}
		if i == 0 {
			first = info
		} else if err := h.Connect(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		time.Sleep(300 * time.Millisecond)
	}
	time.Sleep(30 * time.Second)
	return g, honest
}

// With one node in five hostile, honest nodes find what honest ones have put and announced, also where a plain search finds nobody who is to keep it.
func TestHostile(t *testing.T) {
	nodes, keys, most := 35, 5, 400
	for _, kind := range Names() {
		if testing.Short() {
			if nodes, keys = 25, 2; kind != "pastry" { // with as many, each node of the others knows nearly all
				continue
			}
		}
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, honest := hostileCrew(t, kind, nodes)
				owners := func(key []byte) []*Router {
					far := func(r *Router) kbr.ID { return g.engine.Distance(place(key), true, g.peers.numbers[r.host.ID()]) }
					return slices.SortedFunc(slices.Values(honest), func(a, b *Router) int { return far(a).Compare(far(b)) })[:copies]
				}
				misled := func(r *Router, key []byte) bool {
					near, err := r.holders(t.Context(), key)
					if err != nil {
						t.Fatal(err)
					}
					return !slices.ContainsFunc(owners(key), func(o *Router) bool { return slices.Contains(near.ids, o.host.ID()) })
				}
				type wish struct {
					key       string
					what      cid.Cid
					by, other *Router
				}
				var wishes []wish
				for i := 0; len(wishes) < keys; i++ {
					if i == most {
						t.Fatalf("of %d plain searches %d are misled: this tests nothing", most, len(wishes))
					}
					w := wish{fmt.Sprintf("/v/%d", i), keyOf(t, i), honest[i%len(honest)], honest[(i+1)%len(honest)]}
					if kind != "kademlia" && !misled(w.by, []byte(w.key)) && !misled(w.by, w.what.Hash()) { // there each knows all others, when they are so few
						continue
					}
					wishes = append(wishes, w)
					if err := w.other.PutValue(t.Context(), w.key, []byte("v"+w.key)); err != nil {
						t.Fatal(err)
					}
					if err := w.other.Provide(t.Context(), w.what, true); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(10 * time.Second) // until all is announced
				for _, w := range wishes {
					if got, err := w.by.GetValue(t.Context(), w.key); err != nil || string(got) != "v"+w.key {
						t.Errorf("%s: %q, %v", w.key, got, err)
					}
					found := false
					for p := range w.by.FindProvidersAsync(t.Context(), w.what, 0) {
						found = found || p.ID == w.other.host.ID()
					}
					if !found {
						t.Errorf("what is provided with %s: nobody is found", w.key)
					}
				}
			})
		})
	}
}

func keyOf(t *testing.T, i int) cid.Cid {
	t.Helper()
	mh, err := multihash.Sum(fmt.Append(nil, i), multihash.SHA2_256, -1)
	if err != nil {
		t.Fatal(err)
	}
	return cid.NewCidV1(cid.Raw, mh)
}
