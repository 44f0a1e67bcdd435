package draft

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"kith"
	"kith/blob/bao"
	"kith/blob/folder"
)

func random(size int64, seed int) []byte {
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(data)
	return data
}

// sample is a layout with all that a folder can have, and the bytes of its files.
func sample() (files []File, data [][]byte) {
	files = []File{
		{Path: "film.mkv", Size: 40*bao.GroupSize + 5}, {Path: "subs/é.srt", Size: 100}, {Path: "empty", Size: 0}, {Path: "run.sh", Size: 3 * bao.GroupSize, Exec: true},
		{Path: "subs/deep/er/x", Size: 2*bao.GroupSize - 1}, {Path: "nothing/here", Dir: true}, {Path: "subs/latest", Link: "../film.mkv"}, {Path: "nought.sh", Exec: true},
	}
	for i, f := range files {
		data = append(data, random(f.Size, i))
	}
	return files, data
}

func begin(t testing.TB, dir string, files []File) *Draft {
	t.Helper()
	d, err := Open(t.Context(), Options{State: filepath.Join(dir, "state", "1"), Path: filepath.Join(dir, "out", "thing"), Folder: true, Files: files})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func put(t testing.TB, d *Draft, i int, data []byte, off, end int64) {
	t.Helper()
	if err := d.WriteAt(i, off, data[off:end]); err != nil {
		t.Fatal(err)
	}
}

// text describes what is in a folder.
func text(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		info, err := e.Info()
		if err != nil {
			return err
		}
		switch {
		case e.IsDir():
			fmt.Fprintf(&b, "%s/\n", rel)
		case e.Type() == os.ModeSymlink:
			to, _ := os.Readlink(p)
			fmt.Fprintf(&b, "%s -> %s\n", rel, to)
		default:
			data, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "%s %v %d %x\n", rel, info.Mode()&0o100 != 0, len(data), bao.Hash(data))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// wanted is what text says of a layout that is complete.
func wanted(t testing.TB, files []File, data [][]byte) string {
	dir := t.TempDir()
	for i, f := range files {
		at := filepath.Join(dir, f.Path)
		var err error
		switch {
		case f.Dir:
			err = os.MkdirAll(at, 0o755)
		case f.Link != "":
			err = errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.Symlink(f.Link, at))
		default:
			err = errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, data[i], mode(f)&0o755))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return text(t, dir)
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	files, data := sample()
	d := begin(t, dir, files)
	if n := d.Have(0).Len(); n != 41 || d.Have(0).Count() != 0 || !d.Have(2).All() || !d.Have(5).All() || !d.Have(6).All() || d.Have(99).Len() != 0 {
		t.Errorf("at first %d groups", n)
	}
	// across groups, and in an order of its own
	put(t, d, 0, data[0], 3*bao.GroupSize+10, 5*bao.GroupSize+1)
	if got := fmt.Sprint(slices.Collect(d.Have(0).Ranges())); got != "[{4 1}]" {
		t.Errorf("have %s", got)
	}
	if !d.Has(0, 3*bao.GroupSize+10, 2*bao.GroupSize-9) || d.Has(0, 3*bao.GroupSize+9, 2) || d.Has(0, 5*bao.GroupSize, 2) || d.Has(0, -1, 1) || d.Has(0, 0, 1<<60) {
		t.Error("what is here of groups that are not whole")
	}
	p := make([]byte, 3*bao.GroupSize)
	if n, err := d.ReadAt(0, p, 3*bao.GroupSize+10); int64(n) != 2*bao.GroupSize-9 || !errors.Is(err, kith.NotFound) || !bytes.Equal(p[:n], data[0][3*bao.GroupSize+10:][:n]) {
		t.Errorf("read %d, %v", n, err)
	}
	if n, err := d.ReadAt(1, p, 0); n != 0 || !errors.Is(err, kith.NotFound) {
		t.Errorf("read %d of nothing, %v", n, err)
	}
	put(t, d, 0, data[0], 3*bao.GroupSize, 3*bao.GroupSize+10) // and it is whole
	if !d.Have(0).Get(3) {
		t.Error("two halves make no whole")
	}
	// what is here stays as it is
	if err := d.WriteAt(0, 3*bao.GroupSize, make([]byte, 2*bao.GroupSize)); err != nil {
		t.Fatal(err)
	}
	if n, err := d.ReadAt(0, p[:100], 4*bao.GroupSize); n != 100 || err != nil || !bytes.Equal(p[:100], data[0][4*bao.GroupSize:][:100]) {
		t.Errorf("written over: %d, %v", n, err)
	}
	if _, err := d.Finish(t.Context()); !errors.Is(err, kith.Invalid) {
		t.Errorf("finished with groups missing: %v", err)
	}
	for i := range files {
		put(t, d, i, data[i], 0, files[i].Size)
	}
	if n, err := d.ReadAt(0, p, 40*bao.GroupSize); n != 5 || err != io.EOF {
		t.Errorf("at the end: %d, %v", n, err)
	}
	for name, c := range map[string]struct {
		i   int
		off int64
		n   int
	}{"no file": {8, 0, 1}, "negative file": {-1, 0, 1}, "negative": {0, -1, 1}, "behind the end": {1, 99, 2}, "overflow": {1, 1<<63 - 1, 2}, "a folder": {5, 0, 1}} {
		if err := d.WriteAt(c.i, c.off, make([]byte, c.n)); !errors.Is(err, kith.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for range 2 {
		at, err := d.Finish(t.Context())
		if err != nil || at != filepath.Join(dir, "out", "thing") || d.Path() != at {
			t.Fatalf("%s, %v", at, err)
		}
	}
	if got, want := text(t, d.Path()), wanted(t, files, data); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if n, err := d.ReadAt(1, p, 0); n != 100 || err != io.EOF || !bytes.Equal(p[:n], data[1]) {
		t.Errorf("read when it is finished: %d, %v", n, err)
	}
	if left, _ := os.ReadDir(filepath.Join(dir, "out")); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
	before, _ := os.Stat(filepath.Join(d.Path(), "film.mkv"))
	put(t, d, 0, make([]byte, files[0].Size), 0, files[0].Size) // somebody is late
	if after, _ := os.Stat(filepath.Join(d.Path(), "film.mkv")); before.ModTime() != after.ModTime() {
		t.Error("a finished file was written to")
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	again := begin(t, dir, files)
	if at, err := again.Finish(t.Context()); err != nil || at != d.Path() {
		t.Errorf("finished again: %s, %v", at, err)
	}
	if n, err := again.ReadAt(1, p, 0); n != 100 || err != io.EOF {
		t.Errorf("read when it was finished before: %d, %v", n, err)
	}
	again.Close()
	if err := Remove(filepath.Join(dir, "state", "1")); err != nil {
		t.Fatal(err)
	}
	if text(t, d.Path()) != wanted(t, files, data) {
		t.Error("what was finished has been removed")
	}
	if left, _ := os.ReadDir(filepath.Join(dir, "state")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// One file has its name beside it while it comes; a name that is taken is left alone.
func TestSingleFile(t *testing.T) {
	dir := t.TempDir()
	data := random(5*bao.GroupSize+1, 1)
	at := filepath.Join(dir, "film.mkv")
	for _, path := range []string{at, at + folder.PartSuffix} {
		if err := os.WriteFile(path, []byte("somebody else's"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	o := Options{State: filepath.Join(dir, "state"), Path: at, Files: []File{{Path: "whatever", Size: int64(len(data)), Exec: true}}}
	d, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	put(t, d, 0, data, 0, 3*bao.GroupSize)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.WriteAt(0, 3*bao.GroupSize, data[3*bao.GroupSize:]); !errors.Is(err, kith.Unavailable) {
		t.Errorf("written when closed: %v", err)
	}
	d, err = Open(t.Context(), Options{State: o.State}) // without a word of what it is
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if d.Have(0).Count() != 3 || d.Path() != at || len(d.Files()) != 1 || d.Files()[0].Size != int64(len(data)) {
		t.Errorf("have %d groups of %+v", d.Have(0).Count(), d.Files())
	}
	put(t, d, 0, data, 3*bao.GroupSize, int64(len(data)))
	got, err := d.Finish(t.Context())
	if err != nil || got != filepath.Join(dir, "film (1).mkv") {
		t.Fatalf("%s, %v", got, err)
	}
	if read, err := os.ReadFile(got); err != nil || !bytes.Equal(read, data) {
		t.Errorf("%d bytes, %v", len(read), err)
	}
	if info, err := os.Stat(got); err != nil || info.Mode()&0o100 == 0 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	p := make([]byte, 10)
	if n, err := d.ReadAt(0, p, 100); n != 10 || err != nil || !bytes.Equal(p, data[100:110]) {
		t.Errorf("read when it is finished: %d, %v", n, err)
	}
	for _, path := range []string{at, at + folder.PartSuffix} {
		if got, _ := os.ReadFile(path); string(got) != "somebody else's" {
			t.Errorf("%s was replaced", path)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		o    Options
		kind kith.Kind
	}{
		"relative path":     {Options{Path: "x", Files: []File{{Path: "x"}}}, kith.Invalid},
		"nothing known":     {Options{Path: dir}, kith.NotFound},
		"two and no folder": {Options{Path: dir, Files: []File{{Path: "a"}, {Path: "b"}}}, kith.Invalid},
		"a link alone":      {Options{Path: dir, Files: []File{{Path: "a", Link: "b"}}}, kith.Invalid},
		"traversal":         {Options{Path: dir, Folder: true, Files: []File{{Path: "../x"}}}, kith.Corrupt},
		"absolute":          {Options{Path: dir, Folder: true, Files: []File{{Path: "/etc/passwd"}}}, kith.Corrupt},
		"backslash":         {Options{Path: dir, Folder: true, Files: []File{{Path: `..\x`}}}, kith.Corrupt},
		"device":            {Options{Path: dir, Folder: true, Files: []File{{Path: "a/CON.txt"}}}, kith.Corrupt},
		"part":              {Options{Path: dir, Folder: true, Files: []File{{Path: "a" + folder.PartSuffix}}}, kith.Corrupt},
		"two in one":        {Options{Path: dir, Folder: true, Files: []File{{Path: "a/x"}, {Path: "A/y"}}}, kith.Corrupt},
		"twice":             {Options{Path: dir, Folder: true, Files: []File{{Path: "a"}, {Path: "a"}}}, kith.Corrupt},
		"file and folder":   {Options{Path: dir, Folder: true, Files: []File{{Path: "a"}, {Path: "a/b"}}}, kith.Corrupt},
		"link out":          {Options{Path: dir, Folder: true, Files: []File{{Path: "a/l", Link: "../../x"}}}, kith.Corrupt},
		"absolute link":     {Options{Path: dir, Folder: true, Files: []File{{Path: "l", Link: "/etc"}}}, kith.Corrupt},
		"negative":          {Options{Path: dir, Folder: true, Files: []File{{Path: "a", Size: -1}}}, kith.Corrupt},
		"link with bytes":   {Options{Path: dir, Folder: true, Files: []File{{Path: "l", Link: "a", Size: 1}}}, kith.Corrupt},
		"huge":              {Options{Path: dir, Folder: true, Files: []File{{Path: "a", Size: 1 << 62}}}, kith.Corrupt},
		"huge in all":       {Options{Path: dir, Folder: true, Files: []File{{Path: "a", Size: 1 << 44}, {Path: "b", Size: 1 << 44}}}, kith.TooLarge},
		"no room":           {Options{Path: filepath.Join(dir, "x"), Folder: true, Files: []File{{Path: "a", Size: 1 << 43}}}, kith.Unavailable},
	} {
		c.o.State = filepath.Join(dir, "state")
		if d, err := Open(t.Context(), c.o); !errors.Is(err, c.kind) {
			t.Errorf("%s: %v, want %v", name, err, c.kind)
			if err == nil {
				d.Close()
			}
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	files, _ := sample()
	d := begin(t, dir, files)
	d.Close()
	other := slices.Clone(files)
	other[0].Size++
	if _, err := Open(t.Context(), Options{State: d.file, Path: d.Path(), Folder: true, Files: other}); !errors.Is(err, kith.Invalid) {
		t.Errorf("another layout: %v", err)
	}
}

// What was removed is removed with its bytes, but nothing that somebody else has put there.
func TestRemove(t *testing.T) {
	dir := t.TempDir()
	files, data := sample()
	d := begin(t, dir, files)
	for i := range files {
		put(t, d, i, data[i], 0, files[i].Size)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := Remove(d.file); err != nil {
			t.Fatal(err)
		}
	}
	if left, _ := os.ReadDir(filepath.Join(dir, "out")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	d = begin(t, dir, files)
	put(t, d, 1, data[1], 0, 100)
	d.Close()
	mine := filepath.Join(d.part(), "subs", "mine")
	if err := os.WriteFile(mine, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Remove(d.file); err != nil {
		t.Fatal(err)
	}
	if got := text(t, filepath.Join(dir, "out")); !strings.Contains(got, "mine") || strings.Contains(got, "srt") {
		t.Errorf("left:\n%s", got)
	}
}

// What happened to a draft while nobody looked.
func TestDamaged(t *testing.T) {
	files, data := sample()
	for name, c := range map[string]struct {
		damage func(d *Draft) error
		lost   bool // of film.mkv
	}{
		"nothing":        {func(*Draft) error { return nil }, false},
		"file removed":   {func(d *Draft) error { return os.Remove(filepath.Join(d.part(), "film.mkv")) }, true},
		"file truncated": {func(d *Draft) error { return os.Truncate(filepath.Join(d.part(), "film.mkv"), 100) }, true},
		"file replaced": {func(d *Draft) error {
			at := filepath.Join(d.part(), "film.mkv")
			return errors.Join(os.WriteFile(at+"2", random(files[0].Size, 9), 0o644), os.Rename(at+"2", at))
		}, true},
		"folder removed":  {func(d *Draft) error { return os.RemoveAll(d.part()) }, true},
		"folder replaced": {func(d *Draft) error { return errors.Join(os.Rename(d.part(), d.part()+"2"), os.Mkdir(d.part(), 0o755)) }, true},
		"state cut":       {func(d *Draft) error { i, _ := os.Stat(d.file); return os.Truncate(d.file, i.Size()-1) }, true},
		"state garbage":   {func(d *Draft) error { return os.WriteFile(d.file, []byte("kith draft 1\ngarbage"), 0o600) }, true},
		"state removed":   {func(d *Draft) error { return os.Remove(d.file) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			d := begin(t, dir, files)
			put(t, d, 1, data[1], 0, 100)
			if err := d.Checkpoint(t.Context()); err != nil {
				t.Fatal(err)
			}
			put(t, d, 0, data[0], 0, 20*bao.GroupSize)
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			if err := c.damage(d); err != nil {
				t.Fatal(err)
			}
			d = begin(t, dir, files)
			if got := d.Have(0).Count(); got != 0 && c.lost || got != 20 && !c.lost {
				t.Errorf("%d groups are there", got)
			}
			if name == "state garbage" && (len(d.Notes()) != 1 || !strings.Contains(d.Notes()[0], "set aside")) {
				t.Errorf("notes: %q", d.Notes())
			}
			check1(t, d, data)
			for i := range files {
				put(t, d, i, data[i], 0, files[i].Size)
			}
			at, err := d.Finish(t.Context())
			if err != nil || text(t, at) != wanted(t, files, data) {
				t.Errorf("%s, %v", at, err)
			}
		})
	}
}

// check1 fails if a draft claims what is not so.
func check1(t testing.TB, d *Draft, data [][]byte) {
	t.Helper()
	for i := range d.Files() {
		for r := range d.Have(i).Ranges() {
			p := make([]byte, min(r.N*bao.GroupSize, int64(len(data[i]))-r.First*bao.GroupSize))
			if len(p) == 0 {
				continue
			}
			if n, err := d.ReadAt(i, p, r.First*bao.GroupSize); n < len(p) || !bytes.Equal(p, data[i][r.First*bao.GroupSize:][:n]) {
				t.Errorf("groups %v of file %d are claimed: %v", r, i, err)
			}
		}
	}
}

// A file that is removed while it comes is begun anew.
func TestRemovedMeanwhile(t *testing.T) {
	dir := t.TempDir()
	var files []File
	for i := range maxOpen + 10 {
		files = append(files, File{Path: fmt.Sprint(i), Size: bao.GroupSize})
	}
	data := random(bao.GroupSize, 1)
	d := begin(t, dir, files)
	for i := range files {
		put(t, d, i, data, 0, bao.GroupSize) // the first are closed again
	}
	if len(d.open) != maxOpen {
		t.Errorf("%d files are open", len(d.open))
	}
	if err := os.Remove(filepath.Join(d.part(), "0")); err != nil {
		t.Fatal(err)
	}
	if n, err := d.ReadAt(0, make([]byte, 10), 0); n != 0 || !errors.Is(err, kith.NotFound) {
		t.Errorf("read %d, %v", n, err)
	}
	if d.Have(0).Count() != 0 {
		t.Error("it is claimed")
	}
	if err := d.Checkpoint(t.Context()); err != nil {
		t.Error(err)
	}
	put(t, d, 0, data, 0, bao.GroupSize)
	if at, err := d.Finish(t.Context()); err != nil || !exists(filepath.Join(at, "0")) {
		t.Error(err)
	}
}

func exists(path string) bool { _, err := os.Lstat(path); return err == nil }

// Several write and read at once, while others make it durable and finish it.
func TestAtOnce(t *testing.T) {
	files, data := sample()
	d := begin(t, t.TempDir(), files)
	var wg sync.WaitGroup
	for k := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(k), 1))
			for range 300 {
				i := r.IntN(len(files))
				if files[i].Size == 0 {
					continue
				}
				off := r.Int64N(files[i].Size)
				end := off + 1 + r.Int64N(files[i].Size-off)
				if err := d.WriteAt(i, off, data[i][off:end]); err != nil {
					t.Error(err)
				}
				p := make([]byte, end-off)
				if n, err := d.ReadAt(i, p, off); n < len(p) && !errors.Is(err, kith.NotFound) && err != io.EOF || !bytes.Equal(p, data[i][off:end]) {
					t.Errorf("read %d of %d, %v", n, len(p), err)
				}
				if r.IntN(20) == 0 {
					if err := d.Checkpoint(t.Context()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	for i := range files {
		put(t, d, i, data[i], 0, files[i].Size)
	}
	for range 4 {
		wg.Go(func() {
			if _, err := d.Finish(t.Context()); err != nil {
				t.Error(err)
			}
			p := make([]byte, 100)
			if n, err := d.ReadAt(0, p, 1000); n != 100 || err != nil || !bytes.Equal(p, data[0][1000:1100]) {
				t.Errorf("read %d, %v", n, err)
			}
		})
	}
	wg.Wait()
	check1(t, d, data)
}

// unreadable is a file that may not be read, but for its last segment.
type unreadable struct {
	*bytes.Reader
	t *testing.T
}

func (u unreadable) ReadAt(p []byte, off int64) (int, error) {
	if off < bao.SegmentSize {
		u.t.Errorf("read %d bytes at %d", len(p), off)
	}
	return u.Reader.ReadAt(p, off)
}

// What was written since Open need not be read to be hashed; of a file that somebody has removed nothing is known.
func TestAhead(t *testing.T) {
	dir := t.TempDir()
	files, data := sample()
	d := begin(t, dir, files)
	if d.Ahead(0) != nil || d.Ahead(2) != nil {
		t.Error("something is known before anything was written")
	}
	put(t, d, 0, data[0], 5*bao.GroupSize, bao.SegmentSize)
	put(t, d, 0, data[0], 0, 5*bao.GroupSize)
	put(t, d, 0, data[0], 0, bao.SegmentSize) // what is here stays
	put(t, d, 3, data[3], 0, int64(len(data[3])))
	sum, err := d.Ahead(0).Build(t.Context(), unreadable{bytes.NewReader(data[0]), t}, files[0].Size, nil, nil)
	if err != nil || sum != bao.Hash(data[0]) {
		t.Error("another root, or", err)
	}
	if d.Ahead(3) != nil {
		t.Error("a small file is hashed ahead")
	}
	if err := os.Remove(filepath.Join(d.Part(), files[0].Path)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.Checkpoint(t.Context()), d.Close()); err != nil {
		t.Log(err) // it may notice
	}
	d = begin(t, dir, files)
	if d.Ahead(0) != nil {
		t.Error("something is known after it was opened anew")
	}
	put(t, d, 0, data[0], 0, bao.GroupSize)
	if err := errors.Join(os.Remove(filepath.Join(d.Part(), files[0].Path)), d.Checkpoint(t.Context())); err != nil {
		t.Log(err)
	}
	d.closeFiles()
	if n, err := d.ReadAt(0, make([]byte, 1), 0); n != 0 || !errors.Is(err, kith.NotFound) {
		t.Fatal(n, err)
	}
	if d.Ahead(0) != nil {
		t.Error("something is known of a file that was removed")
	}
}
