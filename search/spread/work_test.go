package spread

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"kith/internal/db"
	"kith/search/publication"
)

// made returns a publication with so much work, or none.
func made(t *testing.T, key crypto.PrivKey, i, bits int) []byte {
	t.Helper()
	p := publication.Publication{Root: root(i), Name: fmt.Sprintf("film %d.mkv", i), Issued: time.Now(), Expires: time.Now().Add(time.Hour)}
	if bits > 0 {
		var err error
		if p, err = publication.Prove(t.Context(), key.GetPublic(), p, bits); err != nil {
			t.Fatal(err)
		}
	}
	value, err := publication.Seal(key, p)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// What a stranger publishes without work is not kept, and what a contact does is kept and not passed on.
func TestWithoutWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		a, b, lazy := h.node(1), h.node(2), h.node(3)
		values := [][]byte{made(t, lazy.o.Key, 1, 0), made(t, lazy.o.Key, 2, 1)}
		if news, bad, err := a.keep(t.Context(), values); len(news) != 1 || bad != 0 || err != nil || news[0].Root != root(2) {
			t.Errorf("of a stranger: %d kept, %d bad, %v", len(news), bad, err)
		}
		h.join(a, b)
		synctest.Wait()
		a.stop()
		a.o.Known = func(p peer.ID) bool { return p == lazy.me }
		a.start()
		if news, _, err := a.keep(t.Context(), values[:1]); len(news) != 1 || err != nil {
			t.Fatalf("of a contact: %d kept, %v", len(news), err)
		} else {
			a.tell(news, lazy.me)
		}
		before := h.Said()
		time.Sleep(time.Second)
		synctest.Wait()
		if b.Len() != 1 || h.Said() != before {
			t.Errorf("%d kept by who does not know them, %d bytes said of it", b.Len(), h.Said()-before)
		}
	})
}

// Of too many, those are kept that have most work, whatever the order in which they come, so that all nodes keep the same.
func TestAnyOrderKeepsTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		a, b, much := h.node(1), h.node(2), h.node(3)
		var values [][]byte
		for i := range MaxStranger + 60 {
			values = append(values, made(t, much.o.Key, i, 1))
		}
		values[MaxStranger+30] = made(t, much.o.Key, MaxStranger+30, 14)
		take := func(n *node, values [][]byte) {
			for batch := range slices.Chunk(values, 90) {
				if _, bad, err := n.keep(t.Context(), batch); bad != 0 || err != nil {
					t.Fatal(bad, err)
				}
			}
		}
		take(a, values)
		slices.Reverse(values)
		take(b, values)
		if a.Len() != MaxStranger || b.Len() != MaxStranger || !slices.Equal(a.names(), b.names()) {
			t.Errorf("%d and %d are kept, the same: %v", a.Len(), b.Len(), slices.Equal(a.names(), b.names()))
		}
		for _, n := range []*node{a, b} {
			if _, ok, err := n.of(t.Context(), much.me, root(MaxStranger+30)); !ok || err != nil {
				t.Errorf("what most work was done for is not kept: %v", err)
			}
			if n.count[much.me] != MaxStranger || len(n.names()) != MaxStranger {
				t.Errorf("%d counted, %d on the disk", n.count[much.me], len(n.names()))
			}
			told := map[publication.ID]int{}
			for _, c := range n.changes {
				for _, k := range c.New {
					told[k.ID]++
				}
				for _, id := range c.Lost {
					told[id]--
				}
			}
			sum := 0
			for _, n := range told {
				sum += n
			}
			if sum != MaxStranger {
				t.Errorf("%d are there by what was told", sum)
			}
		}
	})
}

// Two of one content that come at once leave one.
func TestTwoAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		a, b := h.node(1), h.node(2)
		first := made(t, b.o.Key, 1, 1)
		time.Sleep(time.Second)
		if _, _, err := a.keep(t.Context(), [][]byte{first, made(t, b.o.Key, 1, 1)}); err != nil || a.Len() != 1 || a.count[b.me] != 1 {
			t.Errorf("%d kept, %d counted, %v", a.Len(), a.count[b.me], err)
		}
	})
}

// What is published has its work; of what is interrupted, what was done is published, and the next time goes on from there.
func TestPublishWorks(t *testing.T) {
	n := newHub(t).node(1)
	n.Spread.o.Work = 13
	list := make([]publication.Publication, 2000)
	for i := range list {
		list[i] = publication.Publication{Root: root(i), Name: "x"}
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- n.Publish(ctx, list...) }()
	for n.Len() == 0 {
		time.Sleep(time.Millisecond)
	}
	if left := n.Publishing(); left == 0 || left == len(list) {
		t.Errorf("%d are said to be left", left)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	if n.Len() == len(list) || n.Publishing() != 0 {
		t.Errorf("%d are published, %d left", n.Len(), n.Publishing())
	}
	mine, err := n.By(t.Context(), n.me)
	if err != nil || len(mine) == 0 {
		t.Fatal(err)
	}
	for _, k := range mine {
		if k.Work < 13 {
			t.Errorf("%s has %d bits", k.Name, k.Work)
		}
	}
	bad := publication.Publication{Root: root(9000)} // without a name
	if err := n.Publish(t.Context(), bad, publication.Publication{Root: root(9001), Name: "y"}); err == nil {
		t.Error("no error for what makes no sense")
	}
	if _, ok, _ := n.of(t.Context(), n.me, root(9001)); !ok {
		t.Error("what stood behind it is not published")
	}
}

// What an older program kept: this device's own and a contact's stay, and are passed on when they have work; what a stranger published without it goes, as it would not come.
func TestOlder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		a, b, contact, stranger := h.node(1), h.node(2), h.node(3), h.node(4)
		a.stop()
		a.o.Path = filepath.Join(t.TempDir(), "publications.db")
		state, _, err := db.Open(a.o.Path, a.o.Log, database[:1])
		if err != nil {
			t.Fatal(err)
		}
		gone := made(t, stranger.o.Key, 3, 0)
		for i, v := range [][]byte{made(t, a.o.Key, 1, 0), made(t, contact.o.Key, 2, 0), gone, made(t, stranger.o.Key, 4, 1)} {
			k, err := keptOf(v)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := state.Exec(`INSERT INTO publications (id, publisher, root, issued, expires, value) VALUES (?, ?, ?, ?, ?, ?)`,
				k.ID[:], []byte(k.Publisher), root(i+1).CID().Bytes(), k.Issued.UnixMilli(), k.Expires.Unix(), v); err != nil {
				t.Fatal(err)
			}
		}
		if err := state.Close(); err != nil {
			t.Fatal(err)
		}
		a.o.Known = func(p peer.ID) bool { return p == contact.me }
		for range 2 { // and it stays so
			a.start()
			synctest.Wait()
			if n := a.names(); a.Len() != 3 || len(n) != 3 || slices.Contains(n, "film 3.mkv") {
				t.Errorf("%d are kept: %v", a.Len(), n)
			}
			a.stop()
		}
		if len(a.changes) != 1 || len(a.changes[0].New) != 0 || !slices.Equal(a.changes[0].Lost, []publication.ID{publication.IDOf(gone)}) {
			t.Errorf("it is told %+v", a.changes)
		}
		a.start()
		h.join(a, b)
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := b.names(); !slices.Equal(n, []string{"film 4.mkv"}) || len(b.refused) > 0 {
			t.Errorf("another was given %v, and %d that it does not keep", n, len(b.refused))
		}
	})
}
