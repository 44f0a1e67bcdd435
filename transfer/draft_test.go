package transfer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kith"
	"kith/blob"
)

func pending(n byte) kith.Ref { return PendingRef(kith.Names{V1: kith.InfoHash{n, 1}}) }

// TestDraft fetches a file, and a folder, of which nobody knows a BLAKE3 digest, and serves it on to a node.
func TestDraft(t *testing.T) {
	h := newHub(t)
	leech, other := h.node(), h.node()
	dir := photos(t, 30)
	for i, f := range []*foreign{file("bittorrent", 256<<10, noise(40, 3<<20+9)), photosFrom(t, "ipfs", dir)} {
		root := pending(byte(i))
		d := leech.from(root, []*foreign{f})
		wait(t, d)
		s := d.Status()
		if s.Root.Codec == kith.Pending || s.Was != root || s.Part || s.Done != s.Size || s.Size == 0 || f.verified != 1 {
			t.Fatalf("%+v", s)
		}
		if f.layout.Folder {
			want := contents(t, dir)
			if got := contents(t, s.Path); !maps.EqualFunc(got, want, bytes.Equal) {
				t.Errorf("%d files are not the %d there were", len(got), len(want))
			}
		} else {
			mustHold(t, s.Path, f.files[0])
		}
		if filepath.Base(s.Path) != f.layout.Name || len(contents(t, filepath.Dir(s.Path))) != len(f.files) {
			t.Errorf("it is at %s", s.Path)
		}
		next := other.get(s.Root, leech)
		wait(t, next)
		if err := leech.m.Discard(root); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(leech.m.draftOf(root)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("its state is there still: %v", err)
		}
		if _, err := os.Stat(s.Path); err != nil {
			t.Error(err)
		}
	}
}

// TestDraftResumes kills a draft, and goes on before the network has told again what it consists of; killed once more between the end and the note of it, it ends the same.
func TestDraftResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		leech := h.node()
		data := noise(41, 8<<20)
		bt := file("bittorrent", 256<<10, data)
		bt.rate = 1 << 20
		job := leech.job(pending(1), []*foreign{bt})
		d, err := leech.m.Start(job)
		if err != nil {
			t.Fatal(err)
		}
		waitFor(t, d, 4<<20)
		d.Pause()
		time.Sleep(5 * time.Second)
		if s := d.Status(); s.State != Paused || bt.closes() != 1 {
			t.Errorf("it is %s, closed %d times", s.State, bt.closes())
		}
		d.Resume()
		waitFor(t, d, 5<<20)
		before := bt.total()
		d = leech.again(t, job)
		wait(t, d)
		if more := bt.total() - before; more > 4<<20 {
			t.Errorf("%d bytes came again", more)
		}
		first := d.Status()
		mustHold(t, first.Path, data)
		d = leech.again(t, job) // who started it never wrote down what became of it
		wait(t, d)
		if s := d.Status(); s.Root != first.Root || s.Path != first.Path {
			t.Errorf("%+v, was %+v", s, first)
		}
	})
}

// TestDraftOfOne: what one network has checked as it came is not read once more to be compared, unless it came before the node was started, or from two.
func TestDraftOfOne(t *testing.T) {
	data := noise(44, 4<<20)
	network := func(name string) *foreign {
		f := file(name, 256<<10, data)
		f.rate, f.layout.Window, f.layout.Checks = 4<<20, 512<<10, true // so that two are asked
		return f
	}
	bt, ipfs := network("bittorrent"), network("ipfs")
	leech := newHub(t).node()
	d := leech.from(pending(1), []*foreign{bt})
	wait(t, d)
	if bt.verified != 0 || !networkOf(d, "bittorrent").Verified {
		t.Errorf("verified %d times: %+v", bt.verified, d.Status())
	}
	mustHold(t, d.Status().Path, data)

	wait(t, newHub(t).node().from(pending(2), []*foreign{bt, ipfs}))
	if bt.verified != 1 || ipfs.verified != 1 {
		t.Errorf("of two networks: verified %d and %d times", bt.verified, ipfs.verified)
	}

	again := network("bittorrent")
	job := leech.job(pending(3), []*foreign{again})
	d, err := leech.m.Start(job)
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, d, 1<<20)
	wait(t, leech.again(t, job))
	if again.verified != 1 {
		t.Errorf("of a draft from before: verified %d times", again.verified)
	}
}

// TestDraftOfTwo: two networks must agree on what it consists of.
func TestDraftOfTwo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := noise(42, 8<<20)
		for _, other := range []int64{8 << 20, 7 << 20} {
			h := newHub(t)
			bt, ipfs := file("bittorrent", 256<<10, data), file("ipfs", 1<<20, data[:other])
			bt.rate, ipfs.rate, ipfs.late = 1<<20, 1<<20, 2*time.Second
			bt.mixes = other != 8<<20
			d := h.node().from(pending(1), []*foreign{bt, ipfs})
			if !bt.mixes {
				wait(t, d)
				if networkOf(d, "ipfs").Bytes == 0 || !networkOf(d, "ipfs").Verified || !networkOf(d, "bittorrent").Verified {
					t.Errorf("%+v", d.Status())
				}
				continue
			}
			err := d.Wait(t.Context())
			if !errors.Is(err, kith.Corrupt) || !strings.Contains(err.Error(), "BitTorrent") || !strings.Contains(err.Error(), "IPFS") {
				t.Errorf("%v", err)
			}
		}
	})
}

// TestDraftSelection fetches some files of a folder, then more, then all.
func TestDraftSelection(t *testing.T) {
	h := newHub(t)
	leech := h.node()
	dir := photos(t, 30)
	bt := photosFrom(t, "bittorrent", dir)
	job := leech.job(pending(2), []*foreign{bt})
	job.Only = []string{"d01", "small"}
	d, err := leech.m.Start(job)
	if err != nil {
		t.Fatal(err)
	}
	wait(t, d)
	s := d.Status()
	if !s.Part || s.Root != job.Root || s.Done != s.Size || s.Files != 6 {
		t.Fatalf("%+v", s)
	}
	if bt.total() > 200<<10 {
		t.Errorf("%d bytes were fetched for %d", bt.total(), s.Size)
	}
	if filepath.Base(s.Path) != "photos" {
		t.Errorf("it is at %s", s.Path)
	}
	got, want := contents(t, s.Path), contents(t, dir)
	for path, data := range want {
		if in := path == "small" || strings.HasPrefix(path, "d01/"); in && !bytes.Equal(got[path], data) {
			t.Errorf("%s is not there", path)
		}
	}
	for _, f := range d.Files(1000) {
		if f.Skip == (f.Path == "small" || strings.HasPrefix(f.Path, "d01/")) || !f.Skip && f.Done != f.Size {
			t.Errorf("%+v", f)
		}
		if _, _, err := d.Reader(t.Context(), f.Index); f.Skip && !errors.Is(err, kith.NotFound) {
			t.Errorf("%s is left out, and can be read: %v", f.Path, err)
		}
	}
	first := s.Path
	d = leech.again(t, job)
	wait(t, d)
	if s := d.Status(); !s.Part || s.Path != first || s.Done != s.Size {
		t.Errorf("after a restart: %+v", s)
	}
	job.Only = []string{"*"}
	if d, err = leech.m.Start(job); err != nil {
		t.Fatal(err)
	}
	wait(t, d)
	if s = d.Status(); s.Part || s.Root.Codec != kith.Manifest || s.Path != first || !maps.EqualFunc(contents(t, s.Path), want, bytes.Equal) {
		t.Errorf("%+v", s)
	}
}

// TestSelection fetches some files of a folder from a node, then the rest.
func TestSelection(t *testing.T) {
	h := newHub(t)
	seed, leech := h.node(), h.node()
	dir := photos(t, 30)
	root := seed.sharePath(dir, blob.ImportOptions{})
	job := leech.job(root, nil, seed)
	job.Only = []string{"d0[12]", "middle"}
	d, err := leech.m.Start(job)
	if err != nil {
		t.Fatal(err)
	}
	wait(t, d)
	s := d.Status()
	if !s.Part || s.Done != s.Size {
		t.Fatalf("%+v", s)
	}
	got := contents(t, s.Path)
	for path, data := range contents(t, dir) {
		if in := path == "middle" || strings.HasPrefix(path, "d01/") || strings.HasPrefix(path, "d02/"); in && !bytes.Equal(got[path], data) {
			t.Errorf("%s is not there", path)
		} else if _, there := got[path]; there && !in && len(data) > 0 {
			t.Errorf("%s is there", path)
		}
	}
	if sent := seed.m.Uploads()[root].Bytes; sent > s.Size+1<<20 {
		t.Errorf("%d bytes were sent for %d", sent, s.Size)
	}
	job.Only = nil
	if d, err = leech.m.Start(job); err != nil {
		t.Fatal(err)
	}
	wait(t, d)
	if s := d.Status(); s.Part || !maps.Equal(tree(t, s.Path), tree(t, dir)) {
		t.Errorf("%+v", s)
	}
}

// TestNoManifest: a link names a folder whose manifest nobody has; another network has what is in it. What comes is kept, whatever the digest is, and both are told.
func TestNoManifest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		dir := filepath.Join(t.TempDir(), "photos")
		os.Mkdir(dir, 0o755)
		for _, name := range []string{"a", "b"} {
			os.WriteFile(filepath.Join(dir, name), noise(uint64(name[0]), 300<<10), 0o644)
		}
		root := h.node().sharePath(dir, blob.ImportOptions{})
		for _, named := range []kith.Ref{root, kith.ManifestRef([32]byte{7})} {
			d := h.node().from(named, []*foreign{photosFrom(t, "bittorrent", dir)})
			wait(t, d)
			s := d.Status()
			if s.Root != root || s.Was != named {
				t.Errorf("%+v", s)
			}
			if told := strings.Contains(s.Reason, "verified by BitTorrent") && strings.Contains(s.Reason, named.String()); told != (named != root) {
				t.Errorf("it says %q", s.Reason)
			}
		}
	})
}

// TestDraftIsNotServed: who fetches a folder as a draft tells nodes that ask for it that nothing is here.
func TestDraftIsNotServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		dir := filepath.Join(t.TempDir(), "photos")
		os.Mkdir(dir, 0o755)
		os.WriteFile(filepath.Join(dir, "a"), noise(1, 4<<20), 0o644)
		root := h.node().sharePath(dir, blob.ImportOptions{})
		a, b := h.node(), h.node()
		bt := photosFrom(t, "bittorrent", dir)
		bt.rate = 64 << 10
		da := a.from(root, []*foreign{bt})
		waitFor(t, da, 512<<10)
		for row := range 2 {
			if all, here, _ := a.m.haves(t.Context(), root, row); all || here.Len() > 0 {
				t.Errorf("of row %d all is here: %v; %d groups", row, all, here.Len())
			}
		}
		db := b.get(root, a)
		time.Sleep(5 * time.Second)
		if s := db.Status(); s.State == Failed || sourceOf(db, a.id).State == CutOff {
			t.Errorf("%+v", s)
		}
		wait(t, da)
		wait(t, db)
	})
}

// TestDraftRead reads from a draft before and after it is done.
func TestDraftRead(t *testing.T) {
	h := newHub(t)
	dir := photos(t, 3)
	bt := photosFrom(t, "bittorrent", dir)
	d := h.node().from(pending(3), []*foreign{bt})
	read := func(index int) []byte {
		r, _, err := d.Reader(t.Context(), index)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for i, want := range bt.files {
		if got := read(i); !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes are not the %d there were", bt.layout.Files[i].Path, len(got), len(want))
		}
	}
	wait(t, d)
	for i, want := range bt.files {
		if got := read(i); !bytes.Equal(got, want) {
			t.Errorf("%s at the end: %d bytes are not the %d there were", bt.layout.Files[i].Path, len(got), len(want))
		}
	}
}

// TestHostileLayouts: what a network says content consists of is refused when no folder can be so.
func TestHostileLayouts(t *testing.T) {
	h := newHub(t)
	leech := h.node()
	one := func(path string, size int64) []LayoutFile { return []LayoutFile{{Path: path, Size: size}} }
	for i, l := range []Layout{
		{Folder: true, Unit: 1 << 20, Files: one("../out", 5)},
		{Folder: true, Unit: 1 << 20, Files: one("/etc/passwd", 5)},
		{Folder: true, Unit: 1 << 20, Files: one("a\x00b", 5)},
		{Folder: true, Unit: 1 << 20, Files: append(one("a", 5), one("A", 5)...)},
		{Folder: true, Unit: 1 << 20, Files: append(one("a", 5), one("a/b", 5)...)},
		{Folder: true, Unit: 1 << 20, Files: []LayoutFile{{Path: "a", Link: "/etc/passwd"}}},
		{Unit: 1 << 20, Files: one("a", -1)},
		{Unit: 1 << 20, Files: one("a", 1<<62)},
		{Unit: 0, Files: one("a", 5)},
		{Unit: 1 << 62, Files: one("a", 5)},
		{Unit: 1 << 20},
		{Unit: 1 << 20, Files: append(one("a", 5), one("b", 5)...)},
	} {
		d := leech.from(pending(byte(50+i)), []*foreign{{network: "bittorrent", layout: l}})
		ctx, cancel := context.WithTimeout(t.Context(), waitTime)
		err := d.Wait(ctx)
		cancel()
		if k := kith.KindOf(err); k != kith.Invalid && k != kith.Corrupt && k != kith.TooLarge {
			t.Errorf("%+v: %v", l, err)
		}
	}
}
