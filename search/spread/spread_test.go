package spread

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/network"
	"kith/search/publication"
	"kith/search/sets"
	"kith/search/talktest"
)

// A hub is nodes that are connected in memory.
type hub struct {
	*talktest.Hub
	t *testing.T
}

type node struct {
	*Spread
	h       *hub
	o       Options
	cancel  context.CancelFunc
	done    chan struct{}
	changes []Change
	deaf    error // that hearing of a change ends with
}

func newHub(t *testing.T) *hub { return &hub{talktest.New(t), t} }

// node starts a node; the same number gives the same key.
func (h *hub) node(number byte) *node {
	key, _, err := crypto.GenerateEd25519Key(bytes.NewReader(bytes.Repeat([]byte{number}, ed25519.SeedSize)))
	if err != nil {
		h.t.Fatal(err)
	}
	n := &node{h: h}
	me, _ := peer.IDFromPrivateKey(key)
	n.o = Options{
		Path: filepath.Join(h.t.TempDir(), "publications.db"), Key: key, Work: 1, Log: slog.New(slog.DiscardHandler), Known: func(peer.ID) bool { return false },
		Peers:   func() []peer.ID { return h.Peers(me) },
		Open:    func(ctx context.Context, p peer.ID) (network.Stream, error) { return h.Open(me, p) },
		Changed: func(_ context.Context, c Change) error { n.changes = append(n.changes, c); return n.deaf },
	}
	n.start()
	h.t.Cleanup(func() { n.stop() })
	return n
}

func (n *node) start() {
	s, _, err := Open(context.Background(), n.o)
	if err != nil {
		n.h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.Spread, n.cancel, n.done = s, cancel, make(chan struct{})
	n.h.Add(n.me, s.Serve)
	go func() {
		defer close(n.done)
		s.Run(ctx)
	}()
}

func (n *node) stop() {
	n.cancel()
	<-n.done
	n.h.Wait()
	n.Close()
}

// join connects two nodes.
func (h *hub) join(a, b *node) {
	h.Join(a.me, b.me)
	a.Met(b.me)
	b.Met(a.me)
}

func root(i int) kith.Ref { return kith.RawRef([32]byte{byte(i), byte(i >> 8), 1}) }

// publish publishes the first count of some films from a number on.
func (n *node) publish(first, count int) {
	n.h.t.Helper()
	var list []publication.Publication
	for i := first; i < first+count; i++ {
		list = append(list, publication.Publication{Root: root(i), Name: fmt.Sprintf("film %d.mkv", i), Size: 7})
	}
	if err := n.Publish(context.Background(), list...); err != nil {
		n.h.t.Fatal(err)
	}
}

func (n *node) names() (list []string) {
	n.h.t.Helper()
	if err := n.All(context.Background(), func(k Kept) bool { list = append(list, k.Name); return true }); err != nil {
		n.h.t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

// Two that meet have the same afterwards, and what comes then comes at once.
func TestMeet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		a, b := h.node(1), h.node(2)
		a.publish(0, 300)
		b.publish(200, 300)
		h.join(a, b)
		synctest.Wait()
		if a.Len() != 600 || b.Len() != 600 || !slices.Equal(a.names(), b.names()) {
			t.Fatalf("%d and %d publications", a.Len(), b.Len())
		}
		a.publish(1000, 1)
		time.Sleep(time.Second)
		synctest.Wait()
		if !slices.Contains(b.names(), "film 1000.mkv") {
			t.Error("what is new has not come")
		}
		if err := a.Publish(t.Context(), publication.Publication{Root: root(1000), Gone: true}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if _, ok, err := b.of(t.Context(), a.me, root(1000)); ok || err != nil || b.Len() != 601 {
			t.Errorf("what is withdrawn is there: %v, %v; %d kept", ok, err, b.Len())
		}
	})
}

// What one says comes to all of twenty along a chain of neighbours, also to who was away, and over restarts.
func TestSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		var nodes []*node
		for i := range 20 {
			nodes = append(nodes, h.node(byte(i+1)))
			for k := 1; k <= 3 && i-k >= 0; k++ {
				h.join(nodes[i], nodes[i-k])
			}
		}
		away := h.node(100)
		for i := range 10 {
			nodes[i].publish(2*i, 2)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for i, n := range nodes {
			if n.Len() != 20 {
				t.Fatalf("node %d has %d of 20", i, n.Len())
			}
		}
		nodes[7].stop()
		nodes[7].start()
		h.join(away, nodes[7])
		synctest.Wait()
		if away.Len() != 20 || !slices.Equal(away.names(), nodes[0].names()) {
			t.Errorf("who was away has %d of 20", away.Len())
		}
	})
}

// Who publishes too much is kept of no more than its due, and it is not asked for again; what others publish is not touched by that.
func TestQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		spammer, a := h.node(1), h.node(2)
		spammer.publish(0, MaxStranger+100)
		a.publish(5000, 1)
		h.join(spammer, a)
		synctest.Wait()
		if a.Len() != MaxStranger+1 {
			t.Fatalf("%d are kept", a.Len())
		}
		before := h.Said()
		a.compare(t.Context(), spammer.me)
		synctest.Wait()
		if again := h.Said() - before; again > 30_000 || a.Len() != MaxStranger+1 {
			t.Errorf("%d bytes again, for nothing; %d are kept", again, a.Len())
		}
	})
}

// What is no publication is not kept, nor what has expired, is of tomorrow's tomorrow, or older than what is here; who sends nothing else is not listened to.
func TestLies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		a, b := h.node(1), h.node(2)
		make := func(change func(p *publication.Publication)) []byte {
			p := publication.Publication{Root: root(1), Name: "x", Issued: time.Now(), Expires: time.Now().Add(time.Hour)}
			change(&p)
			p, err := publication.Prove(t.Context(), b.o.Key.GetPublic(), p, 1)
			if err != nil {
				t.Fatal(err)
			}
			v, err := publication.Seal(b.o.Key, p)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		old := make(func(p *publication.Publication) { p.Issued = p.Issued.Add(-time.Minute) })
		good := make(func(*publication.Publication) {})
		news, bad, err := a.keep(t.Context(), [][]byte{
			good, old, good, []byte("x"), slices.Concat(good, []byte{0}),
			make(func(p *publication.Publication) {
				p.Root, p.Issued = root(2), p.Issued.Add(publication.ClockTolerance+time.Hour)
				p.Expires = p.Issued.Add(time.Hour)
			}),
			make(func(p *publication.Publication) {
				p.Root, p.Issued, p.Expires = root(3), p.Issued.Add(-time.Hour), p.Issued.Add(-time.Minute)
			}),
		})
		if len(news) != 1 || bad != 2 || err != nil || a.Len() != 1 {
			t.Errorf("%d new, %d bad, %v; %d kept", len(news), bad, err, a.Len())
		}
		x := &side{s: a.Spread, p: b.me, asked: map[sets.ID]bool{}}
		if _, err := x.answer(t.Context(), &message{Give: slices.Repeat([][]byte{{1}}, maxBad+1)}); !errors.Is(err, kith.Corrupt) {
			t.Errorf("rubbish: %v", err)
		}
		for name, m := range map[string]*message{
			"odd offer":  {Offer: []byte{1}},
			"odd want":   {Want: []byte{1}},
			"much want":  {Want: bytes.Repeat([]byte{1}, 16*(maxAsked+1))},
			"odd part":   {Parts: []sets.Wire{{Prints: []byte{1}}}},
			"deep part":  {Parts: []sets.Wire{{Depth: 200}}},
			"long part":  {Parts: []sets.Wire{{Digits: bytes.Repeat([]byte{1}, 17)}}},
			"odd member": {Parts: []sets.Wire{{IDs: []byte{1}}}},
		} {
			if _, err := x.answer(t.Context(), m); !errors.Is(err, kith.Invalid) && !errors.Is(err, kith.TooLarge) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// What has expired is gone after an hour, and whoever hears of changes hears of that.
func TestExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		a := h.node(1)
		a.publish(1, 1)
		time.Sleep(Life + 2*expireEvery)
		synctest.Wait()
		if a.Len() != 0 || len(a.changes) != 2 || len(a.changes[1].Lost) != 1 {
			t.Errorf("%d are kept; %+v", a.Len(), a.changes)
		}
	})
}

// A change of which nobody could hear is told again after a restart.
func TestHeardAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newHub(t).node(1)
		a.publish(1, 1)
		a.deaf = errors.ErrUnsupported
		a.publish(2, 1)
		a.publish(2, 1) // which takes the place of the first
		a.stop()
		a.changes, a.deaf = nil, nil
		a.start()
		synctest.Wait()
		if len(a.changes) != 1 || len(a.changes[0].New) != 1 || len(a.changes[0].Lost) != 1 || a.changes[0].New[0].Root != root(2) {
			t.Errorf("%+v", a.changes)
		}
		a.stop()
		a.changes = nil
		a.start()
		synctest.Wait()
		if len(a.changes) != 0 {
			t.Errorf("told again: %+v", a.changes)
		}
		if list, err := a.By(t.Context(), a.me); len(list) != 2 || err != nil {
			t.Errorf("%d by this node, %v", len(list), err)
		}
	})
}

func FuzzMessage(f *testing.F) {
	f.Add([]byte{0xa1, 2, 0x81, 0xa1, 3, 0x48, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Add([]byte{0xa1, 3, 0x50, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Fuzz(func(t *testing.T, data []byte) {
		parts, err := sets.Decode([]sets.Wire{{Digits: data, Depth: uint8(len(data)), Prints: data, IDs: data}})
		if err == nil {
			if _, _, err := (&sets.Set{}).Answer(parts, 1); err != nil && kith.KindOf(err) == kith.Internal {
				t.Fatal(err)
			}
		}
	})
}
