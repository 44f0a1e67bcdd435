package spread

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith/network"
	"kith/search/publication"
	"kith/search/sets"
	"kith/search/talktest"
)

// gather lets a volunteer fetch what a device publishes.
func (n *node) gather(t *testing.T, from *node) int {
	t.Helper()
	own := talktest.New(t)
	own.Add(from.me, from.ServeOwn)
	own.Add(n.me, from.ServeOwn)
	own.Join(n.me, from.me)
	came, err := n.Gather(t.Context(), func(_ context.Context, p peer.ID) (network.Stream, error) { return own.Open(n.me, p) }, from.me)
	own.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return came
}

// ids returns what everybody keeps, and what only a volunteer does.
func (n *node) ids(t *testing.T) (all, far []sets.ID) {
	t.Helper()
	rows, err := n.db.Query(`SELECT id, beyond FROM publications ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id []byte
		var beyond bool
		if err := rows.Scan(&id, &beyond); err != nil {
			t.Fatal(err)
		}
		if n.mu.Lock(); n.set.Has(sets.ID(id)) == beyond || n.far.ids[sets.ID(id)] != beyond {
			t.Errorf("what is in memory of %x is not what is on the disk: beyond %v", id, beyond)
		}
		n.mu.Unlock()
		if beyond {
			far = append(far, sets.ID(id))
		} else {
			all = append(all, sets.ID(id))
		}
	}
	return all, far
}

const few = 5 // of a stranger that everybody keeps, here

func (h *hub) strict(number byte) *node {
	n := h.node(number)
	n.stop()
	n.o.Most = few
	n.start()
	return n
}

// A volunteer has all that a device publishes; of it what everybody keeps is the same with it as with all others, and only that is compared and offered. What comes and goes with the device comes and goes with it,
// a restart changes nothing, and who volunteers no more keeps what others do.
func TestBeyond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		much, plain, v := h.node(1), h.strict(2), h.strict(3)
		much.publish(0, 40)
		h.join(much, plain)
		time.Sleep(time.Second)
		synctest.Wait()
		want, _ := plain.ids(t)
		if err := v.SetBeyond(t.Context(), 100); err != nil {
			t.Fatal(err)
		}
		if came := v.gather(t, much); came != 40 || v.Count(much.me) != 40 || v.Len() != 40 || v.Far() != 35 {
			t.Fatalf("%d came, %d kept, %d beyond", came, v.Len(), v.Far())
		}
		same := func(when string, n int) {
			t.Helper()
			if all, far := v.ids(t); !slices.Equal(all, want) || len(far) != n {
				t.Errorf("%s: a volunteer keeps %d as all do, others %d; and %d beyond", when, len(all), len(want), len(far))
			}
		}
		same("gathered", 35)
		before := h.Said()
		h.join(v, plain)
		time.Sleep(time.Second)
		synctest.Wait()
		if said := h.Said() - before; said > 2000 {
			t.Errorf("to compare what everybody keeps takes %d bytes", said)
		}
		if came := v.gather(t, much); came != 0 {
			t.Errorf("%d came again", came)
		}
		much.publish(40, 2)
		if came := v.gather(t, much); came != 2 || v.Count(much.me) != 42 {
			t.Errorf("of two that are new %d came", came)
		}
		if err := much.Publish(t.Context(), publication.Publication{Root: root(0), Gone: true}, publication.Publication{Root: root(1), Gone: true}); err != nil {
			t.Fatal(err)
		}
		if came := v.gather(t, much); came != 2 || v.Count(much.me) != 42 || slices.Contains(v.names(), "film 0.mkv") {
			t.Errorf("of two that were taken back %d came", came)
		}
		v.stop()
		v.start()
		if err := v.SetBeyond(t.Context(), 100); err != nil || v.Len() != 42 || v.Far() != 37 {
			t.Errorf("after a restart %d, of these %d beyond, %v", v.Len(), v.Far(), err)
		}
		v.changes = nil
		if err := v.SetBeyond(t.Context(), 10); err != nil || v.Far() != 10 {
			t.Errorf("%d beyond of 10, %v", v.Far(), err)
		}
		if err := v.SetBeyond(t.Context(), 0); err != nil || v.Far() != 0 || v.Len() != few {
			t.Errorf("when it volunteers no more it keeps %d, %v", v.Len(), err)
		}
		lost := 0
		for _, c := range v.changes {
			lost += len(c.Lost)
		}
		if lost != 37 {
			t.Errorf("told of %d that went", lost)
		}
		v.ids(t)
		if came := v.gather(t, much); v.Len() != few || came > few {
			t.Errorf("who does not volunteer keeps %d", v.Len())
		}
	})
}

// What only a volunteer keeps is offered to nobody, and not compared with anybody: others would refuse it each time.
func TestBeyondIsNotOffered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		much, plain, v := h.node(1), h.strict(2), h.strict(3)
		v.cancel() // or it would tell what is looked at here
		<-v.done
		much.publish(0, 40)
		if err := v.SetBeyond(t.Context(), 100); err != nil {
			t.Fatal(err)
		}
		if came := v.gather(t, much); came != 40 || v.Far() != 35 {
			t.Fatalf("%d came, %d beyond", came, v.Far())
		}
		all, _ := v.ids(t)
		offered := v.news.Take().For(plain.me)
		slices.SortFunc(offered, func(a, b sets.ID) int { return slices.Compare(a[:], b[:]) })
		if !slices.Equal(offered, all) {
			t.Errorf("%d are offered, of %d that everybody keeps", len(offered), len(all))
		}
		h.join(v, plain)
		time.Sleep(time.Second)
		synctest.Wait()
		if got, _ := plain.ids(t); !slices.Equal(got, all) || len(plain.refused) != 0 {
			t.Errorf("of what is compared %d are kept, %d refused", len(got), len(plain.refused))
		}
	})
}

// Of more than it may keep a volunteer keeps those with most work, whatever the order in which they come; and what goes makes room among what everybody keeps.
func TestBeyondFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		a, b, much := h.strict(1), h.strict(2), h.strict(3)
		var values [][]byte
		for i := range 60 {
			values = append(values, made(t, much.o.Key, i, 1+i%9))
		}
		for _, n := range []*node{a, b} {
			if err := n.SetBeyond(t.Context(), 20); err != nil {
				t.Fatal(err)
			}
			for batch := range slices.Chunk(values, 7) {
				if _, bad, err := n.keep(t.Context(), batch); bad != 0 || err != nil {
					t.Fatal(bad, err)
				}
			}
			slices.Reverse(values)
		}
		all, far := a.ids(t)
		all2, far2 := b.ids(t)
		if len(all) != few || len(far) != 20 || !slices.Equal(all, all2) || !slices.Equal(far, far2) {
			t.Errorf("%d and %d beyond, in another order %d and %d", len(all), len(far), len(all2), len(far2))
		}
		if a.Count(much.me) != few+20 || a.Len() != few+20 {
			t.Errorf("%d are counted, %d of the device", a.Len(), a.Count(much.me))
		}
		if _, err := a.db.Exec(`UPDATE publications SET expires = 1 WHERE beyond = 0`); err != nil {
			t.Fatal(err)
		}
		if err := a.expire(t.Context()); err != nil || a.Len() != 20 || a.Far() != 20-few {
			t.Errorf("when those have expired that everybody keeps: %d, of these %d beyond, %v", a.Len(), a.Far(), err)
		}
		a.ids(t)
	})
}

// What a volunteer is given of before is known to be so.
func TestOutdated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		n := h.node(1)
		n.publish(0, 1)
		read := func() Kept {
			k, _, err := n.of(t.Context(), n.me, root(0))
			if err != nil {
				t.Fatal(err)
			}
			return k
		}
		first := read()
		is := func(k Kept, want bool) {
			t.Helper()
			if got, err := n.Outdated(t.Context(), k); got != want || err != nil {
				t.Errorf("%s: %v, %v", k.Name, got, err)
			}
		}
		is(first, false)
		time.Sleep(time.Second)
		n.publish(0, 1)
		is(first, true)
		is(read(), false)
		other := first
		other.Root = root(7)
		is(other, false)
		if err := n.Publish(t.Context(), publication.Publication{Root: root(0), Gone: true}); err != nil {
			t.Fatal(err)
		}
		is(first, true)
	})
}
