package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kith"
	"kith/blob"
	"kith/blob/bao"
	"kith/blob/folder"
	"kith/blob/seal"
)

// A foreign is another network in memory, that knows content by the BLAKE3 digest of each of its units: what it brings is compared with that, as real ones do.
type foreign struct {
	network string
	layout  Layout
	files   [][]byte // what its digests are of
	rate    float64  // bytes a second, all together; 0: at once
	late    time.Duration
	lacks   func(s Span) bool // spans that nobody there has
	lies    func(s Span) bool // spans of which wrong bytes come, which its digests find out
	silent  time.Duration     // so long nothing comes of a span at first
	dies    int64             // after so many bytes nothing comes any more; 0: never
	wrong   error             // what Verify says
	patient time.Duration     // until it says so
	alone   bool              // it is talking to nobody
	mixes   bool              // it is refused: what is here is taken back at some moment

	mu       sync.Mutex
	free     time.Time // when its line is free
	brought  int64
	fetched  []Span
	spans    []Span // told by Here
	content  Content
	opened   int
	closed   int
	verified int
	most     int // fetches at once
	now      int
}

// file is a foreign that has one file.
func file(network string, unit int64, data []byte) *foreign {
	return &foreign{network: network, files: [][]byte{data}, layout: Layout{Name: "film.mkv", Files: []LayoutFile{{Path: "film.mkv", Size: int64(len(data))}}, Unit: unit, Window: 4 << 20}}
}

func (f *foreign) open(ctx context.Context, c Content) (Origin, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.content = c
	f.opened++
	return f, nil
}

func (f *foreign) Network() string { return f.network }

func (f *foreign) Layout(ctx context.Context) (Layout, error) {
	if f.late < 0 {
		<-ctx.Done()
		return Layout{}, ctx.Err()
	}
	if err := sleep(ctx, f.late); err != nil {
		return Layout{}, err
	}
	return f.layout, nil
}

func (f *foreign) Fetch(ctx context.Context, s Span, alive func()) ([]byte, error) {
	f.mu.Lock()
	f.now++
	f.most = max(f.most, f.now)
	f.fetched = append(f.fetched, s)
	units := (s.Off+s.N+f.layout.Unit-1)/f.layout.Unit*f.layout.Unit - s.Off/f.layout.Unit*f.layout.Unit // what has to come
	if f.rate > 0 {
		now := time.Now()
		if f.free.Before(now) {
			f.free = now
		}
		f.free = f.free.Add(time.Duration(float64(units) / f.rate * float64(time.Second)))
	}
	free, dead := f.free, f.dies != 0 && f.brought >= f.dies
	f.brought += s.N
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.now--
		f.mu.Unlock()
	}()
	switch {
	case f.lacks != nil && f.lacks(s):
		if err := sleep(ctx, f.patient); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("nobody has it: %w", kith.NotFound)
	case dead:
		<-ctx.Done()
		return nil, ctx.Err()
	case f.lies != nil && f.lies(s):
		return nil, fmt.Errorf("a piece is not what its digest says: %w", kith.Corrupt)
	}
	if err := sleep(ctx, f.silent); err != nil {
		return nil, err
	}
	for f.rate > 0 && time.Until(free) > 0 {
		alive()
		if err := sleep(ctx, min(time.Until(free), time.Second)); err != nil {
			return nil, err
		}
	}
	return bytes.Clone(f.files[s.File][s.Off : s.Off+s.N]), nil
}

// A knowing is a foreign that says what it has. What it lacks it would look for in vain for long.
type knowing struct{ *foreign }

func (k knowing) Available() (spans []Span, ok bool) {
	for i, f := range k.layout.Files {
		for off := int64(0); off < f.Size; off += k.layout.Unit {
			if s := (Span{File: i, Off: off, N: min(k.layout.Unit, f.Size-off)}); k.lacks == nil || !k.lacks(s) {
				spans = append(spans, s)
			}
		}
	}
	return spans, true
}

func (f *foreign) Here(s Span) {
	got := make([]byte, s.N)
	n, err := f.content.ReadAt(got, s.File, s.Off)
	if errors.Is(err, kith.Unavailable) {
		return // it ended meanwhile, and was closed
	}
	if n < len(got) && !f.mixes {
		panic(fmt.Sprintf("%s was told of %+v, and reads %d: %v", f.network, s, n, err))
	}
	if !f.content.Has(s) && !f.mixes {
		panic(fmt.Sprintf("%s was told of %+v, and does not have it", f.network, s))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.spans = append(f.spans, s)
}

func (f *foreign) Verify(ctx context.Context, progress func(int64)) error {
	f.mu.Lock()
	f.verified++
	f.mu.Unlock()
	if f.wrong != nil {
		return f.wrong
	}
	for i, want := range f.files {
		got := make([]byte, len(want))
		if n, err := f.content.ReadAt(got, i, 0); n < len(got) || err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("verify: %d of %d bytes of file %d: %w", n, len(got), i, err)
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("file %d has another digest: %w", i, kith.Corrupt)
		}
		progress(int64(len(got)))
	}
	return nil
}

func (f *foreign) Peers(max int) []OriginPeer {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.alone {
		return nil
	}
	return []OriginPeer{{Name: "192.0.2.7:6881 Transmission", Via: "tcp", Have: 1, Bytes: f.brought, Down: 1e9}}[:min(max, 1)]
}

func (f *foreign) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed++
	return nil
}

// closes returns how often it was closed.
func (f *foreign) closes() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closed
}

// total returns how many bytes were asked of it.
func (f *foreign) total() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.brought
}

// told returns how many bytes of a file it was told are here.
func (f *foreign) told(file int) (n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	groups := map[int64]int64{}
	for _, s := range f.spans {
		for off := s.Off; s.File == file && off < s.Off+s.N; off += bao.GroupSize {
			groups[off] = min(bao.GroupSize, s.Off+s.N-off)
		}
	}
	for _, g := range groups {
		n += g
	}
	return n
}

// from starts to fetch root from other networks and peers.
func (n *node) from(root kith.Ref, nets []*foreign, peers ...*node) *Download {
	n.hub.t.Helper()
	d, err := n.m.Start(n.job(root, nets, peers...))
	if err != nil {
		n.hub.t.Fatal(err)
	}
	return d
}

func (n *node) job(root kith.Ref, nets []*foreign, peers ...*node) Job {
	job := Job{Root: root, Size: -1, Dir: n.hub.t.TempDir(), Name: "film.mkv"}
	for _, p := range peers {
		job.Peers = append(job.Peers, p.info())
	}
	for _, f := range nets {
		job.Origins = append(job.Origins, f.open)
	}
	return job
}

func networkOf(d *Download, name string) NetworkStatus {
	for _, n := range d.Status().Networks {
		if n.Network == name {
			return n
		}
	}
	return NetworkStatus{}
}

// TestOneOfThree fetches one file from a node and two networks at once. What the networks brought is proven by the node's proofs, or by hashing the whole.
func TestOneOfThree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		data := noise(31, 48<<20+5000)
		seed, leech := h.node(), h.node()
		root := seed.share(data)
		seed.m.SetLimits(4<<20, 0)
		bt, ipfs := file("bittorrent", 1<<20, data), file("ipfs", 256<<10, data)
		bt.rate, ipfs.rate = 4<<20, 4<<20
		begun := time.Now()
		d := leech.from(root, []*foreign{bt, ipfs}, seed)
		wait(t, d)
		took := time.Since(begun).Seconds()
		mustHold(t, d.Status().Path, data)
		sum := float64(len(data)) / (12 << 20)
		t.Logf("%.2f s, %.2f of the sum of the rates", took, sum/took)
		if sum/took < 0.9 {
			t.Errorf("%.2f s, %.2f of the sum of the rates", took, sum/took)
		}
		for _, f := range []*foreign{bt, ipfs} {
			n := networkOf(d, f.network)
			if !n.Verified || n.Bytes < 8<<20 || f.verified != 1 || f.closed != 1 {
				t.Errorf("%+v; verified %d times, closed %d times", n, f.verified, f.closed)
			}
			if got := f.told(0); got < int64(len(data)) {
				t.Errorf("%s was told of %d bytes of %d", f.network, got, len(data))
			}
		}
		if got := sourceOf(d, seed.id).Bytes; got < 8<<20 {
			t.Errorf("from the node came %d bytes", got)
		}
	})
}

// TestThirds: of three sources each has a part that nobody else has.
func TestThirds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		data := noise(32, 24<<20)
		whole, part, leech := h.node(), h.node(), h.node()
		root := whole.share(data)
		half := part.get(root, whole) // a node that has the last third
		whole.m.SetLimits(1<<20, 0)
		waitFor(t, half, 1<<20)
		whole.leave()
		bt, ipfs := file("bittorrent", 1<<20, data), file("ipfs", 256<<10, data)
		bt.lacks = func(s Span) bool { return s.Off+s.N > 13<<20 }
		ipfs.lacks = func(s Span) bool { return s.Off < 12<<20 }
		d := leech.from(root, []*foreign{bt, ipfs}, part)
		wait(t, d)
		mustHold(t, d.Status().Path, data)
		if bt, ipfs := networkOf(d, "bittorrent"), networkOf(d, "ipfs"); bt.Bytes == 0 || ipfs.Bytes == 0 {
			t.Errorf("%+v and %+v", bt, ipfs)
		}
	})
}

func waitFor(t testing.TB, d *Download, bytes int64) {
	t.Helper()
	for end := time.Now().Add(waitTime); d.Status().Done < bytes; {
		if time.Now().After(end) {
			t.Fatalf("it does not come to %d bytes: %+v", bytes, d.Status())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestOriginAlone: a link with a BLAKE3 digest whose only source is another network, which is late.
func TestOriginAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		data := noise(33, 3<<20+77)
		root := h.node().share(data)
		bt := file("bittorrent", 16<<20, data)
		bt.late = 12 * time.Second
		d := h.node().from(root, []*foreign{bt})
		time.Sleep(2 * time.Second)
		if s := d.Status(); s.State != Finding || s.Reason != "asking BitTorrent what it consists of" {
			t.Errorf("it is %s: %s", s.State, s.Reason)
		}
		wait(t, d)
		mustHold(t, d.Status().Path, data)
	})
}

// TestMixedLink: what the digests of another network are of is not what BLAKE3 names. It is refused, whoever comes first, and the error names the network.
func TestMixedLink(t *testing.T) {
	for _, c := range []struct {
		name string
		does func(f *foreign, data []byte)
		node bool
	}{
		{"other bytes", func(f *foreign, data []byte) { f.files[0] = slices.Concat(data[:1<<20], noise(1, 10), data[1<<20+10:]) }, false},
		{"other bytes, and a node", func(f *foreign, data []byte) {
			f.files[0] = slices.Concat(data[:1<<20], noise(1, 10), data[1<<20+10:])
			f.rate = 1 << 20
		}, true},
		{"another size", func(f *foreign, data []byte) {
			f.files[0] = data[:1<<20]
			f.layout.Files[0].Size = 1 << 20
		}, true},
		{"another size, later", func(f *foreign, data []byte) {
			f.files[0] = data[:1<<20]
			f.layout.Files[0].Size = 1 << 20
			f.late = time.Second
		}, true},
		{"a digest of the whole", func(f *foreign, data []byte) { f.wrong = fmt.Errorf("v2: %w", kith.Corrupt) }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHub(t)
				data := noise(34, 4<<20)
				seed, leech := h.node(), h.node()
				root := seed.share(data)
				seed.m.SetLimits(1<<20, 0)
				bt := file("bittorrent", 256<<10, data)
				bt.mixes = true
				c.does(bt, data)
				var peers []*node
				if c.node {
					peers = append(peers, seed)
				}
				d := leech.from(root, []*foreign{bt}, peers...)
				ctx, cancel := context.WithTimeout(t.Context(), waitTime)
				defer cancel()
				err := d.Wait(ctx)
				if !errors.Is(err, kith.Corrupt) || !bytes.Contains([]byte(err.Error()), []byte("BitTorrent")) {
					t.Fatalf("%v; %+v", err, d.Status())
				}
				t.Log(err)
			})
		})
	}
}

// TestBadOrigins: networks that lie, die and lack beside a node that is slow. What they can bring they bring.
func TestBadOrigins(t *testing.T) {
	for _, c := range []struct {
		name string
		does func(f *foreign)
	}{
		{"lies", func(f *foreign) { f.lies = func(s Span) bool { return s.Off%(2<<20) == 0 } }},
		{"always lies", func(f *foreign) { f.lies = func(s Span) bool { return true } }},
		{"dies", func(f *foreign) { f.dies = 3 << 20 }},
		{"is silent from the beginning", func(f *foreign) { f.dies = -1 }},
		{"lacks all", func(f *foreign) { f.lacks = func(s Span) bool { return true } }},
		{"never tells", func(f *foreign) { f.late = -1 }},
		{"slow", func(f *foreign) { f.rate = 10 << 10 }},
		{"huge units", func(f *foreign) { f.layout.Unit = 64 << 20; f.rate = 1 << 20 }},
		{"odd units", func(f *foreign) { f.layout.Unit = 100_000 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHub(t)
				data := noise(35, 12<<20)
				seed, leech := h.node(), h.node()
				root := seed.share(data)
				seed.m.SetLimits(1<<20, 0)
				bt := file("bittorrent", 512<<10, data)
				c.does(bt)
				d := leech.from(root, []*foreign{bt}, seed)
				wait(t, d)
				mustHold(t, d.Status().Path, data)
				t.Logf("%d bytes of it from the network: %+v", networkOf(d, "bittorrent").Bytes, d.Status().Networks)
			})
		})
	}
}

// TestOriginsResume kills a download from a network alone, and goes on.
func TestOriginsResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		data := noise(36, 8<<20)
		leech := h.node()
		root := h.node().share(data)
		bt := file("bittorrent", 256<<10, data)
		bt.rate = 1 << 20
		job := leech.job(root, []*foreign{bt})
		d, err := leech.m.Start(job)
		if err != nil {
			t.Fatal(err)
		}
		waitFor(t, d, 4<<20)
		leech.stop()
		before := bt.total()
		leech.start()
		leech.back()
		if d, err = leech.m.Start(job); err != nil {
			t.Fatal(err)
		}
		wait(t, d)
		mustHold(t, d.Status().Path, data)
		if again := bt.total() - before; again > 5<<20 {
			t.Errorf("%d bytes came again", again)
		}
		if bt.told(0) != int64(len(data)) {
			t.Errorf("it was told of %d bytes", bt.told(0))
		}
	})
}

// TestProven: what a network brought is served to peers when a node has proven it, before all is here. Who gave the proofs is gone by then.
func TestProven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const there = 6 << 20 // bytes that the network has: those at the end, without which nobody believes how long it is
		h := newHub(t)
		data := noise(37, 16<<20)
		seed, a, b := h.node(), h.node(), h.node()
		root := seed.share(data)
		seed.m.SetLimits(64<<10, 0)
		bt := file("bittorrent", 256<<10, data)
		bt.lacks = func(s Span) bool { return s.Off < int64(len(data))-there }
		da := a.from(root, []*foreign{bt}, seed)
		until(t, "what the network brought is proven", func() bool {
			return proven(da, bao.Range{First: (int64(len(data)) - there) / bao.GroupSize, N: there / bao.GroupSize})
		})
		seed.leave()
		db := b.get(root, a)
		until(t, "who has it proven has given it", func() bool { return sourceOf(db, a.id).Bytes >= there })
		if s := da.Status(); s.Done >= int64(len(data)) {
			t.Errorf("all of it is here: %+v", s)
		}
		if got := networkOf(da, "bittorrent").Bytes; got == 0 || got > there {
			t.Errorf("%d bytes came from the network", got)
		}
	})
}

// proven reports whether all groups of r are here, and proven.
func proven(d *Download, r bao.Range) bool {
	st := d.currentStage()
	if st == nil {
		return false
	}
	st.Mu.Lock()
	defer st.Mu.Unlock()
	return st.Here.Next(r.First, false) >= r.First+r.N
}

// until waits until it is so.
func until(t testing.TB, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(waitTime); !so(); {
		if time.Now().After(end) {
			t.Fatalf("not in %v: %s", waitTime, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestSilent: a network of which nothing comes for long, so that others may be asked for what it was asked. It is not asked for it once more, and what comes of it is counted once.
func TestSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := noise(44, 8<<20+99)
		bt := file("bittorrent", 1<<20, data)
		bt.silent = 3 * stallTime
		n := newHub(t).node()
		d, err := n.m.Start(n.job(pending(10), []*foreign{bt}))
		if err != nil {
			t.Fatal(err)
		}
		wait(t, d)
		mustHold(t, d.Status().Path, data)
		if got := networkOf(d, "bittorrent").Bytes; bt.total() != int64(len(data)) || got != int64(len(data)) {
			t.Errorf("%d bytes were asked for and %d came, of %d", bt.total(), got, len(data))
		}
	})
}

// TestReadLoose reads a film while it comes from a network, from the middle.
func TestReadLoose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		data := noise(38, 16<<20)
		root := h.node().share(data)
		bt := file("bittorrent", 256<<10, data)
		bt.rate = 1 << 20
		for _, root := range []kith.Ref{root, PendingRef(kith.Names{V1: kith.InfoHash{1}})} {
			leech := h.node()
			d := leech.from(root, []*foreign{bt})
			r, size, err := d.Reader(t.Context(), 0)
			if err != nil || size != int64(len(data)) {
				t.Fatal(size, err)
			}
			r.Seek(10<<20, io.SeekStart)
			begun := time.Now()
			got := make([]byte, 100_000)
			if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, data[10<<20:10<<20+len(got)]) {
				t.Fatal(err)
			}
			if took := time.Since(begun); took > 10*time.Second {
				t.Errorf("a reader waited %v", took)
			}
			r.Close()
			wait(t, d)
		}
	})
}

// photosFrom is a network that has a folder.
func photosFrom(t *testing.T, network string, dir string) *foreign {
	f := &foreign{network: network, layout: Layout{Name: "photos", Folder: true, Unit: 64 << 10, Window: 1 << 20}}
	for path, data := range contents(t, dir) {
		f.layout.Files = append(f.layout.Files, LayoutFile{Path: path, Size: int64(len(data))})
		f.files = append(f.files, data)
	}
	return f
}

// TestFolderFromNetworks fetches a folder whose manifest a node has, and most bytes of which another network brings.
func TestFolderFromNetworks(t *testing.T) {
	h := newHub(t)
	dir := photos(t, 100)
	seed, leech := h.node(), h.node()
	root := seed.sharePath(dir, blob.ImportOptions{})
	bt := photosFrom(t, "bittorrent", dir)
	seed.m.SetLimits(256<<10, 0)
	d := leech.from(root, []*foreign{bt}, seed)
	wait(t, d)
	got, want := tree(t, d.Status().Path), tree(t, dir)
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	if n := networkOf(d, "bittorrent"); n.Bytes == 0 || !n.Verified {
		t.Errorf("%+v", n)
	}
	t.Logf("%+v", d.Status().Networks)
	if filepath.Base(d.Status().Path) != "film.mkv" {
		t.Errorf("it is at %s", d.Status().Path)
	}
}

// TestLacking: networks of which each has a half, and that look for the rest for long before they say that nobody has it. One knows what it has.
func TestLacking(t *testing.T) {
	for _, knows := range []bool{true, false} {
		t.Run(fmt.Sprintf("knows %v", knows), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHub(t)
				data := noise(43, 32<<20)
				bt, ipfs := file("bittorrent", 1<<20, data), file("ipfs", 256<<10, data)
				bt.lacks = func(s Span) bool { return s.Off >= 16<<20 }
				ipfs.lacks = func(s Span) bool { return s.Off < 16<<20 }
				bt.rate, ipfs.rate, bt.patient, ipfs.patient = 4<<20, 4<<20, 10*time.Second, 10*time.Second
				job := h.node().job(pending(9), []*foreign{bt, ipfs})
				if knows {
					for i, f := range []*foreign{bt, ipfs} {
						job.Origins[i] = func(ctx context.Context, c Content) (Origin, error) {
							o, err := f.open(ctx, c)
							return knowing{o.(*foreign)}, err
						}
					}
				}
				begun := time.Now()
				n := h.node()
				d, err := n.m.Start(job)
				if err != nil {
					t.Fatal(err)
				}
				wait(t, d)
				mustHold(t, d.Status().Path, data)
				took := time.Since(begun)
				t.Logf("%v", took)
				if limit := map[bool]time.Duration{true: 5 * time.Second, false: 30 * time.Second}[knows]; took > limit {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// TestNobodyHasAll: the swarm lacks something, and the state says how much is to be had; somebody comes who has it.
func TestNobodyHasAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		data := noise(44, 8<<20)
		bt := file("bittorrent", 1<<20, data)
		var mu sync.Mutex
		missing := true
		bt.lacks = func(s Span) bool {
			mu.Lock()
			defer mu.Unlock()
			return missing && s.Off >= 7<<20
		}
		d := h.node().from(pending(10), []*foreign{bt})
		time.Sleep(4 * time.Second)
		if s := d.Status(); s.State != Waiting || s.Reason != "the swarm has no complete copy: 87 % is to be had" || s.Done != 7<<20 {
			t.Errorf("%+v", s)
		}
		mu.Lock()
		missing = false
		mu.Unlock()
		wait(t, d)
		mustHold(t, d.Status().Path, data)
	})
}

// TestNobodyThere: the swarm is asked while nobody is in it, and the state says that; somebody comes who has a half and leaves again, and then somebody who has all.
func TestNobodyThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		data := noise(45, 8<<20)
		bt := file("bittorrent", 1<<20, data)
		has := int64(0)
		comes := func(alone bool, n int64) {
			bt.mu.Lock()
			bt.alone, has = alone, n
			bt.mu.Unlock()
			time.Sleep(2 * lacksMax) // what was not there is asked for again by then
		}
		bt.lacks = func(s Span) bool {
			bt.mu.Lock()
			defer bt.mu.Unlock()
			return s.Off+s.N > has
		}
		bt.alone = true
		d := h.node().from(pending(12), []*foreign{bt})
		for _, now := range []struct {
			alone bool
			has   int64
			says  string
		}{
			{true, 0, "nobody is in the swarm yet"},
			{false, 0, "the swarm has no complete copy: 0 % is to be had"},
			{false, 4 << 20, "the swarm has no complete copy: 50 % is to be had"},
			{true, 0, "nobody is in the swarm now"},
		} {
			comes(now.alone, now.has)
			if s := d.Status(); s.State != Waiting || s.Reason != now.says {
				t.Errorf("%+v: %s: %q", now, s.State, s.Reason)
			}
		}
		comes(false, 8<<20)
		wait(t, d)
		mustHold(t, d.Status().Path, data)
	})
}

// TestSlowedIsNoWait: what is received as slowly as its limit says is being fetched, and waits for nobody.
func TestSlowedIsNoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		data := noise(45, 8<<20)
		n := h.node()
		n.m.SetLimits(0, 1<<20)
		d := n.from(pending(11), []*foreign{file("bittorrent", 1<<20, data)})
		time.Sleep(time.Second)
		for s := d.Status(); s.State != Done; s = d.Status() {
			if s.State != Fetching || s.Reason != "" || s.Networks[0].State != Active {
				t.Fatalf("%s: %q, of %d bytes; %+v", s.State, s.Reason, s.Done, s.Networks)
			}
			if s.Sources[0].Rate > 1.01*s.Networks[0].Rate {
				t.Fatalf("one peer brings %.0f bytes a second, and its network %.0f", s.Sources[0].Rate, s.Networks[0].Rate)
			}
			time.Sleep(70 * time.Millisecond)
		}
		wait(t, d)
	})
}

// TestPrivateFromNetworks: what is private is public as the ciphertext that it is, under opaque names: manifest and files come from a network alone.
func TestPrivateFromNetworks(t *testing.T) {
	h := newHub(t)
	seed, leech := h.node(), h.node()
	dir := photos(t, 20)
	key := seal.NewKey()
	root := seed.sharePath(dir, blob.ImportOptions{Key: &key})
	man, err := seed.store.Manifest(t.Context(), root, &key)
	if err != nil {
		t.Fatal(err)
	}
	bt := &foreign{network: "bittorrent", layout: Layout{Name: "0", Folder: true, Unit: 64 << 10, Window: 1 << 20}}
	add := func(i int, ref kith.Ref) {
		b, err := seed.store.Blob(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		data, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
		if err != nil {
			t.Fatal(err)
		}
		bt.layout.Files = append(bt.layout.Files, LayoutFile{Path: folder.SealedName(i), Size: int64(len(data))})
		bt.files = append(bt.files, data)
	}
	add(-1, root)
	for i, e := range man.Entries {
		if e.File() {
			add(i, e.Ref)
		}
	}
	job := leech.job(root, []*foreign{bt})
	job.Key, job.Name = &key, ""
	d, err := leech.m.Start(job)
	if err != nil {
		t.Fatal(err)
	}
	wait(t, d)
	if want, got := tree(t, dir), tree(t, d.Status().Path); !maps.Equal(want, got) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	if n := networkOf(d, "bittorrent"); !n.Verified {
		t.Errorf("%+v", n)
	}
}

// TestLimitOrigins: what comes from other networks is limited as what comes from nodes is.
func TestLimitOrigins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		data := noise(45, 8<<20)
		leech := h.node()
		leech.m.SetLimits(0, 1<<20)
		begun := time.Now()
		d := leech.from(pending(11), []*foreign{file("bittorrent", 256<<10, data)})
		wait(t, d)
		if took := time.Since(begun); took < 6*time.Second || took > 12*time.Second {
			t.Errorf("8 MiB at 1 MiB/s took %v", took)
		}
		if down, _ := leech.m.Rates(); down > 2<<20 {
			t.Errorf("%.0f bytes a second", down)
		}
	})
}

// TestSelectWhileItComes changes what is wanted of a download that is running.
func TestSelectWhileItComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		dir := photos(t, 10)
		bt := photosFrom(t, "bittorrent", dir)
		bt.rate = 1 << 20
		d := h.node().from(pending(12), []*foreign{bt})
		time.Sleep(time.Second)
		if err := d.Select([]string{"[", "x"}, nil); !errors.Is(err, kith.Invalid) {
			t.Errorf("%v", err)
		}
		if err := d.Select([]string{"d0*/*", "small"}, nil); err != nil {
			t.Fatal(err)
		}
		wait(t, d)
		if s := d.Status(); !s.Part || s.Files != 11 || s.Done != s.Size {
			t.Errorf("%+v", s)
		}
	})
}
