package ipfs

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"kith"
	"kith/bridge"
	"kith/bridge/ipfs/unixfs"
	"kith/config"
	"kith/transfer"
)

// TestTapAndReadingAgree: what a tap has seen is not read again, and what none has seen gets the same name.
func TestTapAndReadingAgree(t *testing.T) {
	dir := write(t, map[string][]byte{"film": pseudo(1, 3<<20), "site/a": []byte("a"), "site/b/c": pseudo(2, 2<<20+1)})
	var names []kith.Names
	for _, tapped := range []bool{true, false} {
		n := newNode(t, config.IPFS{})
		for _, name := range []string{"film", "site"} {
			s := n.imported(filepath.Join(dir, name))
			if !tapped {
				n.flushed()
				if _, err := n.db.Exec(`DELETE FROM dag`); err != nil {
					t.Fatal(err)
				}
			} else { // were it read, it would be missed
				n.flushed()
				for _, f := range s.Files {
					if _, err := n.store.find(context.Background(), f.Ref, false, n.profile); err != nil {
						t.Errorf("%s was not seen by the tap: %v", f.Path, err)
					}
				}
			}
			got, err := n.Publish(context.Background(), s)
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, got)
		}
	}
	if names[0].IPFS != names[2].IPFS || names[1].IPFS != names[3].IPFS {
		t.Errorf("%v", names)
	}
}

// flushed waits until all that was tapped is written down.
func (n *node) flushed() {
	n.t.Helper()
	if err := n.store.flush(context.Background()); err != nil {
		n.t.Fatal(err)
	}
}

// TestServedUnderTheSameName: what was fetched by a name of the other profile is published under that.
func TestServedUnderTheSameName(t *testing.T) {
	dir := write(t, map[string][]byte{"film": pseudo(1, 3<<20)})
	n := newNode(t, config.IPFS{})
	s := n.imported(filepath.Join(dir, "film"))
	want, err := n.Call(context.Background(), filepath.Join(dir, "film"), "classic")
	if err != nil {
		t.Fatal(err)
	}
	s.Names = want
	if got, err := n.Publish(context.Background(), s); err != nil || got.IPFS != want.IPFS {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
}

// TestOnlyWhatIsPublished: peers are answered about nothing else, whatever is known here.
func TestOnlyWhatIsPublished(t *testing.T) {
	ctx := context.Background()
	dir := write(t, map[string][]byte{"film": pseudo(1, 3<<20), "other": pseudo(2, 10)})
	n := newNode(t, config.IPFS{})
	s := n.imported(filepath.Join(dir, "film"))
	n.flushed()
	d, err := n.store.find(ctx, s.Root, false, n.profile)
	if err != nil {
		t.Fatal(err)
	}
	leaf := unixfs.Modern.LeafCid([32]byte(digestOf(t, pseudo(1, 3<<20)[:1<<20])))
	check := func(when string, c cid.Cid, want bool) {
		t.Helper()
		has, err := (peerStore{n.Bridge}).Has(ctx, c)
		if err != nil || has != want {
			t.Errorf("%s: has %v: %v, %v", when, c, has, err)
		}
		if _, err := (peerStore{n.Bridge}).Get(ctx, c); (err == nil) != want {
			t.Errorf("%s: get %v: %v", when, c, err)
		}
	}
	check("imported", d.link.Cid, false)
	check("imported", leaf, false)
	if _, err := n.Publish(ctx, s); err != nil {
		t.Fatal(err)
	}
	check("published", d.link.Cid, true)
	check("published", leaf, true)
	if st, err := n.Status(s.Root); err != nil || st.Names.IPFS != d.link.Cid || st.Up == 0 {
		t.Errorf("%+v, %v", st, err)
	}
	looked := cid.NewCidV1(cid.Raw, append([]byte{0x12, 32}, digestOf(t, []byte("what the person looked at"))...))
	if err := n.cache.put(ctx, looked, []byte("what the person looked at"), false); err != nil {
		t.Fatal(err)
	}
	check("looked at", looked, false)
	if data, err := n.here(ctx, looked); err != nil || len(data) == 0 {
		t.Errorf("the gateway has it no more: %v", err)
	}
	if err := n.Withdraw(ctx, s.Root); err != nil {
		t.Fatal(err)
	}
	check("withdrawn", d.link.Cid, false)
	check("withdrawn", leaf, false)
	if _, err := n.Status(s.Root); !errors.Is(err, kith.NotFound) {
		t.Error(err)
	}
	if err := n.Withdraw(ctx, s.Root); err != nil {
		t.Errorf("withdraw again: %v", err)
	}
}

func digestOf(t *testing.T, data []byte) []byte {
	t.Helper()
	c, err := cid.Prefix{Version: 1, Codec: cid.Raw, MhType: 0x12, MhLength: -1}.Sum(data)
	if err != nil {
		t.Fatal(err)
	}
	return c.Hash()[2:]
}

// TestChangedFileIsNotServed: a leaf whose bytes are no longer those of its name is not here.
func TestChangedFileIsNotServed(t *testing.T) {
	dir := write(t, map[string][]byte{"film": pseudo(1, 3<<20)})
	n := newNode(t, config.IPFS{})
	s, names := n.share(filepath.Join(dir, "film"))
	if err := os.WriteFile(filepath.Join(dir, "film"), pseudo(9, 3<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	leaf := unixfs.Modern.LeafCid([32]byte(digestOf(t, pseudo(1, 3<<20)[:1<<20])))
	if b, err := (peerStore{n.Bridge}).Get(context.Background(), leaf); err == nil {
		t.Errorf("got %d bytes of %v", len(b.RawData()), names.IPFS)
	}
	_ = s
}

// TestQuiet: there is no socket before something is published or fetched, and none again when it is withdrawn.
func TestQuiet(t *testing.T) {
	dir := write(t, map[string][]byte{"film": pseudo(1, 10)})
	n := newNode(t, config.IPFS{})
	s := n.imported(filepath.Join(dir, "film"))
	if _, err := n.Call(context.Background(), filepath.Join(dir, "film"), ""); err != nil {
		t.Fatal(err)
	}
	if rec := n.get("/ipfs/bafkqaaa"); rec.Code != http.StatusOK && rec.Code != http.StatusMovedPermanently {
		t.Errorf("%d", rec.Code)
	}
	if n.net.now() != nil {
		t.Error("it is online before anything was asked of it")
	}
	if _, err := n.Publish(context.Background(), s); err != nil {
		t.Fatal(err)
	}
	until(t, "online", func() bool { return n.net.now() != nil })
	if err := n.Withdraw(context.Background(), s.Root); err != nil {
		t.Fatal(err)
	}
	until(t, "released", func() bool {
		n.net.mu.Lock()
		defer n.net.mu.Unlock()
		return n.net.uses == 0 && n.net.idle != nil
	})
	n.net.rest() // what the timer does
	if n.net.now() != nil {
		t.Error("it stays online for nothing")
	}
}

// until waits for something, a minute at most.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not %s after a minute", what)
		}
	}
}

// TestRestart: what is published is published again after a restart, and what was half fetched goes on with the nodes that were fetched before.
func TestRestart(t *testing.T) {
	data := pseudo(1, 8<<20)
	a := newNode(t, config.IPFS{})
	s, names := a.share(filepath.Join(write(t, map[string][]byte{"film": data}), "film"))
	b := newNode(t, config.IPFS{Peers: []string{a.addr()}})
	ctx := context.Background()
	link := kith.Link{Size: -1, Names: names}
	h := &here{}
	o, err := b.Open(link)(ctx, h)
	if err != nil {
		t.Fatal(err)
	}
	l, err := o.Layout(ctx)
	if err != nil || l.Unit != 1<<20 || len(l.Files) != 1 || l.Files[0].Size != int64(len(data)) {
		t.Fatalf("%+v, %v", l, err)
	}
	h.lay(l)
	half := transfer.Span{N: 4 << 20}
	got, err := o.Fetch(ctx, half, func() {})
	if err != nil || !bytes.Equal(got, data[:4<<20]) {
		t.Fatal(err)
	}
	h.put(half, got)
	if st, err := b.Status(transfer.PendingRef(names)); err != nil || st.Down < 4<<20 || len(st.Peers) != 1 {
		t.Errorf("%+v, %v", st, err)
	}
	o.Close()
	b.stop()
	a.stop()
	a.start()
	if st, err := a.Status(s.Root); err != nil || st.Names.IPFS != names.IPFS {
		t.Fatalf("%+v, %v", st, err)
	}
	b.conf.Peers = []string{a.addr()}
	b.start()
	if o, err = b.Open(link)(ctx, h); err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if _, err := b.moves.fetched(names.IPFS); err != nil {
		t.Errorf("the root was fetched before: %v", err)
	}
	if _, err = o.Layout(ctx); err != nil {
		t.Fatal(err)
	}
	if got, err = o.Fetch(ctx, transfer.Span{Off: 4 << 20, N: 4 << 20}, func() {}); err != nil {
		t.Fatal(err)
	}
	h.put(transfer.Span{Off: 4 << 20, N: 4 << 20}, got)
	if err := o.Verify(ctx, func(int64) {}); err != nil || !bytes.Equal(h.files[0], data) {
		t.Errorf("%v", err)
	}
	h.files[0][5<<20] ^= 1
	if err := o.Verify(ctx, func(int64) {}); !errors.Is(err, kith.Corrupt) {
		t.Errorf("a changed byte: %v", err)
	}
}

// TestHalfIsServed: peers get what is here of a download, from whomever it came, and nothing that others brought wrong.
func TestHalfIsServed(t *testing.T) {
	data := pseudo(1, 4<<20)
	a := newNode(t, config.IPFS{})
	_, names := a.share(filepath.Join(write(t, map[string][]byte{"film": data}), "film"))
	b := newNode(t, config.IPFS{Peers: []string{a.addr()}})
	ctx := context.Background()
	h := &here{}
	o, err := b.Open(kith.Link{Size: -1, Names: names})(ctx, h)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	l, err := o.Layout(ctx)
	if err != nil {
		t.Fatal(err)
	}
	h.lay(l)
	if _, err := o.Fetch(ctx, transfer.Span{N: 10}, func() {}); err != nil {
		t.Fatal(err)
	}
	leaf := func(i int) cid.Cid { return unixfs.Modern.LeafCid([32]byte(digestOf(t, data[i<<20:(i+1)<<20]))) }
	store := peerStore{b.Bridge}
	for i, want := range []bool{true, true, false, false} { // 0 and 1 come from elsewhere, 2 is wrong, 3 is missing
		s := transfer.Span{Off: int64(i) << 20, N: 1 << 20}
		switch i {
		case 0, 1:
			h.put(s, data[i<<20:(i+1)<<20])
		case 2:
			h.put(s, make([]byte, 1<<20))
		}
		o.Here(s)
		if got, err := store.Get(ctx, leaf(i)); (err == nil) != want || want && !bytes.Equal(got.RawData(), data[i<<20:(i+1)<<20]) {
			t.Errorf("leaf %d: %v", i, err)
		}
	}
	if has, err := store.Has(ctx, names.IPFS); err != nil || !has {
		t.Errorf("the root is not given on: %v", err)
	}
	o.Close()
	if has, _ := store.Has(ctx, leaf(0)); has {
		t.Error("it is served after the end of the download, though it is not published")
	}
}

// TestDHT: in a DHT of our own, who has something is found, and a name is resolved in less than three seconds.
func TestDHT(t *testing.T) {
	first := newNode(t, config.IPFS{})
	boot := []string{first.addr()}
	var nodes []*node
	for range 5 {
		n := &node{t: t, dir: t.TempDir(), boot: boot}
		n.start()
		t.Cleanup(n.stop)
		n.online()
		nodes = append(nodes, n)
	}
	ctx := context.Background()
	site := filepath.Join(write(t, map[string][]byte{"site/index.html": []byte("hello")}), "site")
	s, names := nodes[0].share(site)
	until(t, "announced", func() bool {
		st, err := nodes[0].Status(s.Root)
		return err == nil && strings.HasPrefix(st.Said, "announced ")
	})
	l, h, err := nodes[4].fetch(kith.Link{Size: -1, Names: names})
	if err != nil || len(l.Files) != 1 || string(h.files[0]) != "hello" {
		t.Fatalf("%+v, %v", l, err)
	}
	out, err := nodes[0].SetSite(ctx, bridge.Site{Name: "diary", Root: s.Root, Path: site})
	if err != nil || out.Said != "" {
		t.Fatalf("%+v, %v", out, err)
	}
	began := time.Now()
	got, err := nodes[3].Resolve(ctx, kith.Names{IPNS: out.Key, Path: "index.html"})
	if err != nil || got.IPFS != names.IPFS || got.Path != "index.html" {
		t.Errorf("%+v, %v", got, err)
	}
	t.Logf("resolved in %v", time.Since(began))
	if err := os.WriteFile(filepath.Join(site, "index.html"), []byte("hello again"), 0o600); err != nil {
		t.Fatal(err)
	}
	s2, names2 := nodes[0].share(site)
	if again, err := nodes[0].SetSite(ctx, bridge.Site{Name: "diary", Root: s2.Root, Path: site}); err != nil || again.Key != out.Key || again.Sequence <= out.Sequence {
		t.Errorf("%+v, %v", again, err)
	}
	for _, n := range []*node{nodes[3], nodes[2], nodes[0]} { // who knows the old one, who knows none, and itself
		if got, err := n.Resolve(ctx, kith.Names{IPNS: out.Key}); err != nil || got.IPFS != names2.IPFS {
			t.Errorf("%+v, %v", got, err)
		}
	}
	all, err := nodes[0].Sites(ctx)
	if err != nil || len(all) != 1 || all[0].Names.IPFS != names2.IPFS {
		t.Errorf("%+v, %v", all, err)
	}
	if _, err := nodes[0].DropSite(ctx, "diary"); err != nil {
		t.Error(err)
	}
	if _, err := nodes[0].DropSite(ctx, "diary"); !errors.Is(err, kith.NotFound) {
		t.Error(err)
	}
	if _, err := nodes[0].SetSite(ctx, bridge.Site{Name: "No Name", Root: s.Root}); !errors.Is(err, kith.Invalid) {
		t.Error(err)
	}
}

// TestGatewayAsSource: blocks come from a trustless gateway, and wrong ones are not believed.
func TestGatewayAsSource(t *testing.T) {
	data := pseudo(1, 3<<20)
	a := newNode(t, config.IPFS{})
	_, names := a.share(filepath.Join(write(t, map[string][]byte{"film": data}), "film"))
	liar := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, 1<<20)) }))
	defer liar.Close()
	flood := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for range 100 {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	}))
	defer flood.Close()
	handler := a.Gateway()
	honest := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	defer honest.Close()
	ctx := context.Background()
	b := newNode(t, config.IPFS{})
	if _, err := b.fromGateway(ctx, liar.URL, names.IPFS); !errors.Is(err, kith.Corrupt) {
		t.Errorf("a liar: %v", err)
	}
	if _, err := b.fromGateway(ctx, flood.URL, names.IPFS); !errors.Is(err, kith.TooLarge) {
		t.Errorf("a flood: %v", err)
	}
	l, h, err := b.fetch(kith.Link{Size: -1, Names: names, Gateways: []string{honest.URL}})
	if err != nil || len(l.Files) != 1 || !bytes.Equal(h.files[0], data) {
		t.Errorf("%+v, %v", l, err)
	}
}

// TestGatewaysInTurn: a gateway that the link names is asked at once; those of the settings wait for peers, who have an hour here.
func TestGatewaysInTurn(t *testing.T) {
	data := pseudo(2, 3<<20)
	a := newNode(t, config.IPFS{})
	path := filepath.Join(write(t, map[string][]byte{"film": data}), "film")
	_, names := a.share(path)
	handler := a.Gateway()
	gateway := func() (string, *atomic.Int64) {
		var asked atomic.Int64
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked.Add(1); handler.ServeHTTP(w, r) }))
		t.Cleanup(web.Close)
		return web.URL, &asked
	}
	patient := func(n *node) *node { n.o.gatewayAfter = time.Hour; return n }
	must := func(n *node, l kith.Link) {
		t.Helper()
		if _, h, err := n.fetch(l); err != nil || !bytes.Equal(h.files[0], data) {
			t.Fatal(err)
		}
	}
	url, asked := gateway()
	must(patient(newNode(t, config.IPFS{})), kith.Link{Size: -1, Names: names, Gateways: []string{url}}) // or it had been an hour
	if asked.Load() == 0 {
		t.Error("the link's gateway was not asked, and nobody else has it")
	}
	url, asked = gateway()
	must(patient(newNode(t, config.IPFS{Gateways: []string{url}, Peers: []string{a.addr()}})), kith.Link{Size: -1, Names: names})
	if n := asked.Load(); n > 0 {
		t.Errorf("a gateway was asked %d times for what a peer has", n)
	}
}

// TestGatewayThatAloneHasIt: when nobody but a gateway brought the last batch it is asked for the next one at once, until peers bring something.
func TestGatewayThatAloneHasIt(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	l := newLiar(t) // who says the truth here
	apart := newLiar(t)
	first, second := apart.raw([]byte("first")), apart.raw([]byte("second")) // the gateway alone has these
	third, both := l.raw([]byte("third")), l.raw([]byte("both"))
	var asked atomic.Int64
	have := map[string]string{first.String(): "first", second.String(): "second", both.String(): "both"}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/ipfs/")
		if name == both.String() {
			asked.Add(1)
		}
		if data, ok := have[name]; ok {
			w.Write([]byte(data))
		} else {
			http.NotFound(w, r)
		}
	}))
	defer web.Close()
	b := newNode(t, config.IPFS{Gateways: []string{web.URL}, Peers: []string{l.addr}})
	f, err := b.fetcher()
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	get := func(c cid.Cid, want string) {
		t.Helper()
		if data, err := f.get(ctx, c); err != nil || string(data) != want {
			t.Fatalf("%q, %v; want %q", data, err, want)
		}
	}
	b.o.gatewayAfter = time.Nanosecond
	get(first, "first")
	b.o.gatewayAfter = time.Hour
	get(second, "second") // or it had been an hour
	get(third, "third")
	get(both, "both")
	if n := asked.Load(); n > 0 {
		t.Errorf("the gateway was asked %d times, though it was a peer who brought the last block", n)
	}
}

// TestPins: a pin is fetched whole, outlives a restart, is served, and ends.
func TestPins(t *testing.T) {
	ctx := context.Background()
	files := map[string][]byte{"site/index.html": []byte("hello"), "site/big": pseudo(1, 3<<20)}
	a := newNode(t, config.IPFS{})
	_, names := a.share(filepath.Join(write(t, files), "site"))
	b := newNode(t, config.IPFS{Peers: []string{a.addr()}})
	var last bridge.Pin
	for p, err := range b.Pin(ctx, names) {
		if err != nil {
			t.Fatal(err)
		}
		last = p
	}
	if last.State != pinDone || last.Blocks != 6 || last.Bytes < 3<<20 {
		t.Errorf("%+v", last)
	}
	a.stop()
	b.stop()
	b.start()
	if has, err := (peerStore{b.Bridge}).Has(ctx, names.IPFS); err != nil || !has {
		t.Errorf("a pin is not served after a restart: %v", err)
	}
	if rec := b.sub(names.IPFS, "/"); rec.Code != http.StatusOK || rec.Body.String() != "hello" {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if all, err := b.Pins(ctx); err != nil || len(all) != 1 || all[0].State != pinDone {
		t.Errorf("%+v, %v", all, err)
	}
	if err := b.Unpin(ctx, names); err != nil {
		t.Fatal(err)
	}
	if has, _ := (peerStore{b.Bridge}).Has(ctx, names.IPFS); has {
		t.Error("served though it is pinned no more")
	}
	if err := b.Unpin(ctx, names); !errors.Is(err, kith.NotFound) {
		t.Error(err)
	}
}

// TestCache: it keeps to its size, and finds damage.
func TestCache(t *testing.T) {
	ctx := context.Background()
	n := newNode(t, config.IPFS{Cache: 10 << 10})
	var all []cid.Cid
	for i := range 20 {
		data := pseudo(uint64(i), 1<<10)
		c := cid.NewCidV1(cid.Raw, append([]byte{0x12, 32}, digestOf(t, data)...))
		if err := n.cache.put(ctx, c, data, false); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	have := 0
	for _, c := range all {
		if _, err := n.cache.get(ctx, c, false); err == nil {
			have++
		}
	}
	if have < 8 || have > 10 {
		t.Errorf("%d KiB are kept of 20, with room for 10", have)
	}
	last := all[len(all)-1]
	if err := os.WriteFile(n.cache.path(last), []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := n.cache.get(ctx, last, false); !errors.Is(err, kith.NotFound) {
		t.Errorf("damaged: %v", err)
	}
	stray := n.cache.path(all[0])
	os.MkdirAll(filepath.Dir(stray), 0o700)
	if err := os.WriteFile(stray, []byte("left by a crash"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := n.cache.sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stray); err != nil {
		t.Errorf("what is just being written is gone: %v", err)
	}
	if before := time.Now().Add(-time.Hour); os.Chtimes(stray, before, before) != nil {
		t.Fatal("its time cannot be set")
	}
	if err := n.cache.sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stray); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that nobody knows of stays: %v", err)
	}
}
