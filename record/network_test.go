package record_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	dssync "github.com/ipfs/go-datastore/sync"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	librecord "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	mocknet "github.com/libp2p/go-libp2p/p2p/net/mock"

	"kith/overlay/kaddht"
	"kith/record"
)

const (
	members = 100
	routers = 5                     // of which so many publish or resolve
	latency = 10 * time.Millisecond // one way, of every link
)

// A net is nodes of the real overlay, on links in memory.
type net struct {
	t       testing.TB
	links   mocknet.Mocknet
	hosts   []host.Host
	kept    []datastore.Batching
	routers []*kaddht.Router // of the first nodes
	others  []*dht.IpfsDHT   // of the rest: the same, without what announces content
}

// newNet starts n nodes that all came through the first; validator says what each checks values with.
func newNet(t testing.TB, n int, validator func(i int) librecord.Validator) *net {
	t.Helper()
	w := &net{t: t, links: mocknet.New()}
	for range n {
		h, err := w.links.GenPeer()
		if err != nil {
			t.Fatal(err)
		}
		w.hosts = append(w.hosts, h)
	}
	if err := w.links.LinkAll(); err != nil {
		t.Fatal(err)
	}
	for i, h := range w.hosts {
		w.kept = append(w.kept, dssync.MutexWrap(datastore.NewMapDatastore()))
		validators := librecord.NamespacedValidator{record.Namespace: validator(i)}
		if i < routers {
			r, err := kaddht.New(t.Context(), kaddht.Options{Host: h, Network: "records", DS: w.kept[i], Validators: validators})
			if err != nil {
				t.Fatal(err)
			}
			w.routers = append(w.routers, r)
			continue
		}
		r, err := dht.New(h, dht.ProtocolPrefix("/kith/records"), dht.Mode(dht.ModeServer), dht.Datastore(w.kept[i]), dht.Validator(validators),
			dht.BootstrapPeers(), dht.DisableAutoRefresh())
		if err != nil {
			t.Fatal(err)
		}
		w.others = append(w.others, r)
	}
	t.Cleanup(func() {
		for _, r := range w.routers {
			r.Close()
		}
		for _, r := range w.others {
			r.Close()
		}
		w.links.Close()
	})
	w.each(func(i int) error {
		for _, j := range []int{0, (i + 1) % n} {
			if i == j {
				continue
			}
			if err := w.hosts[i].Connect(t.Context(), peer.AddrInfo{ID: w.hosts[j].ID(), Addrs: w.hosts[j].Addrs()}); err != nil {
				return err
			}
		}
		return nil
	})
	w.each(func(i int) error { // each looks once, and so is known where it belongs
		if i < routers {
			_, err := w.routers[i].Closest(t.Context(), []byte(rand.Text()), 1)
			return err
		}
		_, err := w.others[i-routers].GetClosestPeers(t.Context(), rand.Text())
		return err
	})
	for i, a := range w.hosts {
		for _, b := range w.hosts[:i] {
			for _, l := range w.links.LinksBetweenPeers(a.ID(), b.ID()) {
				l.SetOptions(mocknet.LinkOptions{Latency: latency})
			}
		}
	}
	return w
}

// each runs do for every node, a few at once.
func (w *net) each(do func(i int) error) {
	w.t.Helper()
	errs := make([]error, len(w.hosts))
	var all sync.WaitGroup
	const atOnce = 8
	for first := range atOnce {
		all.Go(func() {
			for i := first; i < len(w.hosts); i += atOnce {
				errs[i] = do(i)
			}
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		w.t.Fatal(err)
	}
}

// keeps reports whether node i keeps value, for others.
func (w *net) keeps(i int, value []byte) bool {
	w.t.Helper()
	all, err := w.kept[i].Query(w.t.Context(), query.Query{})
	if err != nil {
		w.t.Fatal(err)
	}
	defer all.Close()
	for e := range all.Next() {
		if bytes.Contains(e.Value, value) {
			return true
		}
	}
	return false
}

// loses has node i lose values that it keeps, so that whoever resolves there has to hear them from others.
func (w *net) loses(i int, values ...[]byte) {
	w.t.Helper()
	all, err := w.kept[i].Query(w.t.Context(), query.Query{})
	if err != nil {
		w.t.Fatal(err)
	}
	defer all.Close()
	for e := range all.Next() {
		for _, value := range values {
			if bytes.Contains(e.Value, value) {
				if err := w.kept[i].Delete(w.t.Context(), datastore.NewKey(e.Key)); err != nil {
					w.t.Fatal(err)
				}
			}
		}
	}
}

func (w *net) store(i int, v *record.Validator) *record.Store {
	w.t.Helper()
	s, err := record.New(record.Options{Routes: w.routers[i], Validator: v, Path: filepath.Join(w.t.TempDir(), "records.db")})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { s.Close() })
	return s
}

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// A record that one of a hundred publishes, another finds; and after the next version the next version.
func TestResolveAmongHundred(t *testing.T) {
	var v record.Validator
	w := newNet(t, members, func(int) librecord.Validator { return &v })
	key := record.Derive([]byte(rand.Text()), "addresses")
	owner := w.store(0, &v)
	for version := range 3 {
		content := fmt.Appendf(nil, "version %d", version)
		began := time.Now()
		if err := owner.Publish(within(t, 20*time.Second), key, content); err != nil {
			t.Fatal(err)
		}
		published := time.Since(began)
		began = time.Now()
		first := time.Duration(0)
		var last []byte
		for r, err := range w.store(1+version, &v).Search(within(t, 20*time.Second), key.Ticket()) {
			if err != nil {
				t.Fatal(err)
			}
			if last = r.Content; first == 0 {
				first = time.Since(began)
			}
		}
		t.Logf("%d nodes, links of %v: published in %v, found in %v, certain in %v", members, latency, published, first, time.Since(began))
		if !bytes.Equal(last, content) {
			t.Errorf("found %q, want %q", last, content)
		}
	}
}

func BenchmarkResolve(b *testing.B) {
	var v record.Validator
	w := newNet(b, members, func(int) librecord.Validator { return &v })
	key := record.Derive([]byte(rand.Text()), "addresses")
	if err := w.store(0, &v).Publish(within(b, time.Minute), key, []byte("here")); err != nil {
		b.Fatal(err)
	}
	stores := make([]*record.Store, routers)
	for i := range stores {
		stores[i] = w.store(i, &v)
	}
	i := 0
	for b.Loop() {
		if _, err := stores[i%routers].Resolve(b.Context(), key.Ticket()); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

// A liar keeps whatever it is given, and goes by what it was given last; or, if it clings, first.
type liar struct{ clings bool }

func (liar) Validate(string, []byte) error { return nil }

func (l liar) Select(_ string, values [][]byte) (int, error) {
	if l.clings {
		return len(values) - 1, nil // what it has stands behind what comes
	}
	return 0, nil
}

// Of the nodes closest to a key the greater part keep an old version and take no other; the newest is found all the same, by those who have none themselves.
func TestRollbackByMajority(t *testing.T) {
	var v record.Validator
	const honest, all = 7, 20 // all are among the closest to every key
	w := newNet(t, all, func(i int) librecord.Validator {
		if i < honest {
			return &v
		}
		return liar{clings: true}
	})
	key := record.Derive([]byte(rand.Text()), "addresses")
	ctx := within(t, 20*time.Second)
	var versions [][]byte
	now := time.Now()
	for i, version := range []string{"old", "new"} {
		value, err := record.Seal(key, record.Record{Sequence: uint64(i), Issued: now, Expires: now.Add(record.Life), Content: []byte(version)})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.routers[0].PutValue(ctx, key.Ticket().Path(), value); err != nil {
			t.Fatal(err)
		}
		versions = append(versions, value)
	}
	old := 0
	for i := range w.hosts {
		if w.keeps(i, versions[0]) && !w.keeps(i, versions[1]) {
			old++
		}
	}
	t.Logf("%d of %d nodes have the old version only", old, all)
	for i := range routers {
		w.loses(i, versions...)
	}
	for i := range routers {
		w.loses(i, versions...) // what the searches of others have put right
		r, err := w.store(i, &v).Resolve(ctx, key.Ticket())
		if err != nil || string(r.Content) != "new" || old <= all/2 {
			t.Errorf("resolved %q, %v, while %d of %d nodes had the old version", r.Content, err, old, all)
		}
	}
}

// Poison under a record's key, on most of the nodes closest to it, does not stop the honest version from being found.
func TestPoisonedOverlay(t *testing.T) {
	var v record.Validator
	const honest, all = 7, 20
	w := newNet(t, all, func(i int) librecord.Validator {
		if i < honest {
			return &v
		}
		return liar{}
	})
	ctx := within(t, 20*time.Second)
	secret := []byte(rand.Text())
	key, other := record.Derive(secret, "addresses"), record.Derive(secret, "other")
	now := time.Now()
	seal := func(k record.Key, issued time.Time) []byte {
		value, err := record.Seal(k, record.Record{Sequence: 1 << 60, Issued: issued, Expires: issued.Add(record.Life), Content: []byte("poison")})
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	forged := seal(key, now)
	forged[len(forged)-1] ^= 1
	if err := w.store(0, &v).Publish(ctx, key, []byte("honest")); err != nil {
		t.Fatal(err)
	}
	published, err := w.routers[0].GetValue(ctx, key.Ticket().Path())
	if err != nil {
		t.Fatal(err)
	}
	for name, poison := range map[string][]byte{
		"forged signature":      forged,
		"garbage":               []byte("garbage"),
		"oversize":              make([]byte, record.MaxSize+1),
		"from the future":       seal(key, now.AddDate(1, 0, 0)),
		"record of another key": seal(other, now),
	} {
		if err := w.others[len(w.others)-1].PutValue(ctx, key.Ticket().Path(), poison); err != nil {
			t.Fatal(err)
		}
		taken := 0
		for i := range w.hosts {
			if w.keeps(i, poison) {
				taken++
				if i < honest {
					t.Errorf("%s: taken by an honest node", name)
				}
			}
		}
		w.loses(1, published)
		r, err := w.store(1, &v).Resolve(ctx, key.Ticket())
		if err != nil || string(r.Content) != "honest" || taken <= all/2 {
			t.Errorf("%s: resolved %q, %v, while %d of %d nodes had the poison", name, r.Content, err, taken, all)
		}
	}
}
