package blob

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"kith"
	"kith/blob/bao"
	"kith/blob/seal"
)

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func remove(t testing.TB, s *Store, root kith.Ref, files bool) bool {
	t.Helper()
	deleted, err := s.Delete(t.Context(), root, files)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.State(t.Context(), root); !errors.Is(err, kith.NotFound) {
		t.Errorf("state after it was deleted: %v", err)
	}
	return deleted
}

// empty checks that the store keeps nothing: no row, no file, no byte of the quota.
func empty(t testing.TB, s *Store) {
	t.Helper()
	for _, table := range []string{"blob", "place", "part", "tree", "member"} {
		var n int
		if err := s.db.QueryRow("SELECT count(*) FROM " + table).Scan(&n); err != nil || n != 0 {
			t.Errorf("%d rows in %s, %v", n, table, err)
		}
	}
	for _, dir := range []string{"outboard", "keep"} {
		if left, _ := os.ReadDir(filepath.Join(s.dir, dir)); len(left) > 0 {
			t.Errorf("left in %s: %v", dir, left)
		}
	}
	if n, err := s.Stored(t.Context()); n != 0 || err != nil {
		t.Errorf("%d bytes are counted, %v", n, err)
	}
}

// No way of removing touches what was shared in place.
func TestNothingDeletesWhatWasShared(t *testing.T) {
	ways := map[string]func(t *testing.T, s *Store, root kith.Ref){
		"rm":          func(t *testing.T, s *Store, root kith.Ref) { remove(t, s, root, false) },
		"rm --delete": func(t *testing.T, s *Store, root kith.Ref) { remove(t, s, root, true) },
		"gc": func(t *testing.T, s *Store, root kith.Ref) {
			if err := errors.Join(s.Unpin(t.Context(), root), s.GC(t.Context())); err != nil {
				t.Fatal(err)
			}
		},
		"quota": func(t *testing.T, s *Store, root kith.Ref) {
			s.quota = 1
			if _, err := s.Put(t.Context(), random(1000, 1), kith.Raw); !errors.Is(err, kith.Unavailable) {
				t.Errorf("over quota: %v", err)
			}
			s.now = func() time.Time { return time.Now().Add(2 * gcGrace) }
			if err := errors.Join(s.Unpin(t.Context(), root), s.GC(t.Context())); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, way := range ways {
		for _, private := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				s := openStore(t, t.TempDir())
				dir := sample(t)
				before := treeText(t, dir)
				var key *seal.Key
				if private {
					k := seal.NewKey()
					key = &k
				}
				tree := share(t, s, dir, key)
				one := share(t, s, filepath.Join(dir, "twice"), nil)
				if name == "rm --delete" && remove(t, s, one.Root, true) {
					t.Error("it says that files were deleted")
				}
				way(t, s, tree.Root)
				if after := treeText(t, dir); after != before {
					t.Errorf("before\n%s\nafter\n%s", before, after)
				}
			})
		}
	}
}

// What was fetched, and then also shared by its owner, or was there before it was fetched, is not deleted with the download.
func TestAdoptedFileIsNotDeleted(t *testing.T) {
	a, b := openStore(t, t.TempDir()), openStore(t, t.TempDir())
	src, file := filepath.Join(t.TempDir(), "x"), filepath.Join(t.TempDir(), "x")
	data := random(100_000, 2)
	write(t, src, data)
	write(t, file, data) // the person has it already
	tree := share(t, a, src, nil)
	blob, err := b.Create(t.Context(), tree.Root, tree.Size, file)
	if err != nil {
		t.Fatal(err)
	}
	if !blob.Complete() || blob.Path() != file {
		t.Errorf("complete %v at %s", blob.Complete(), blob.Path())
	}
	blob.Close()
	if remove(t, b, tree.Root, true) || !exists(file) {
		t.Error("a file that was there before was deleted")
	}
	empty(t, b)
}

func TestDeleteDownload(t *testing.T) {
	for _, private := range []bool{false, true} {
		for _, files := range []bool{false, true} {
			a, b := openStore(t, t.TempDir()), openStore(t, t.TempDir())
			var key *seal.Key
			if private {
				k := seal.NewKey()
				key = &k
			}
			tree := share(t, a, sample(t), key)
			out := filepath.Join(t.TempDir(), "photos")
			got := getTree(t, a, b, tree.Root, out, key)
			want := treeText(t, out)
			if deleted := remove(t, b, got.Root, files); deleted != files {
				t.Errorf("files=%v: deleted is %v", files, deleted)
			}
			if files && exists(out) {
				t.Errorf("left:\n%s", treeText(t, out))
			} else if !files && treeText(t, out) != want {
				t.Error("rm without --delete deleted something")
			}
			empty(t, b)
		}
	}
}

// What its owner made of a download, or put beside it, stays.
func TestDeleteLeavesWhatIsNotKiths(t *testing.T) {
	a, b := openStore(t, t.TempDir()), openStore(t, t.TempDir())
	tree := share(t, a, sample(t), nil)
	out := filepath.Join(t.TempDir(), "photos")
	getTree(t, a, b, tree.Root, out, nil)
	edited, added := filepath.Join(out, "run.sh"), filepath.Join(out, "year 1", "mine.txt")
	write(t, edited, []byte("my own work\n"))
	write(t, added, []byte("mine"))
	if !remove(t, b, tree.Root, true) {
		t.Error("nothing was deleted")
	}
	if !exists(edited) || !exists(added) {
		t.Error("the person's own work was deleted")
	}
	if exists(filepath.Join(out, "twice")) || exists(filepath.Join(out, "year 2")) {
		t.Errorf("left:\n%s", treeText(t, out))
	}
}

// A file that two downloads have in common goes with the last of them.
func TestDeleteLeavesWhatAnotherTreeHas(t *testing.T) {
	a, b := openStore(t, t.TempDir()), openStore(t, t.TempDir())
	dir := sample(t)
	tree := share(t, a, dir, nil)
	out := filepath.Join(t.TempDir(), "photos")
	getTree(t, a, b, tree.Root, out, nil)
	one := share(t, b, filepath.Join(out, "twice"), nil)
	remove(t, b, tree.Root, true)
	if !exists(filepath.Join(out, "twice")) {
		t.Error("a file that is still shared was deleted")
	}
	if _, err := readAll(t, b, one.Root); err != nil {
		t.Error(err)
	}
}

func TestDeleteUnfinished(t *testing.T) {
	a, b := openStore(t, t.TempDir()), openStore(t, t.TempDir())
	tree := share(t, a, sample(t), nil)
	out := t.TempDir()
	d := beginTree(t, a, b, tree.Root, filepath.Join(out, "photos"), nil)
	for i, e := range d.Manifest().Entries {
		if e.Size > 10<<20 {
			blob, err := d.Create(t.Context(), i)
			if err != nil {
				t.Fatal(err)
			}
			fetch(t, a, blob, 100)
			blob.Close()
		} else if e.File() && e.Size < MaxPut && i%2 == 0 {
			if err := d.Put(t.Context(), i, content1(t, a, e.Ref)); err != nil {
				t.Fatal(err)
			}
		}
	}
	d.Close()
	remove(t, b, tree.Root, false)
	if left, _ := os.ReadDir(out); len(left) > 0 {
		t.Errorf("left: %v\n%s", left, treeText(t, out))
	}
	empty(t, b)

	file := filepath.Join(t.TempDir(), "big")
	write(t, file, random(1<<20, 3))
	one := share(t, a, file, nil)
	blob, err := b.Create(t.Context(), one.Root, one.Size, filepath.Join(out, "big"))
	if err != nil {
		t.Fatal(err)
	}
	fetch(t, a, blob, 10)
	remove(t, b, one.Root, false) // while somebody has it open
	if err := blob.Finish(t.Context()); err == nil {
		t.Error("a download that was deleted was finished")
	}
	if err := blob.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(out); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	empty(t, b)
}

func TestGCTakesOnlyWhatNobodyNeeds(t *testing.T) {
	s := openStore(t, t.TempDir())
	keep := share(t, s, sample(t), nil)
	var loose []kith.Ref
	for i := range 2*gcStep + 10 {
		ref, err := s.Put(t.Context(), random(100+i%2*20_000, uint64(i)), kith.Raw)
		if err != nil {
			t.Fatal(err)
		}
		loose = append(loose, ref)
	}
	reader, err := s.Blob(t.Context(), loose[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := s.GC(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := readAll(t, s, loose[0]); err != nil {
		t.Errorf("what was put just now was taken: %v", err)
	}
	s.now = func() time.Time { return time.Now().Add(2 * gcGrace) }
	if err := s.GC(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, ref := range loose {
		_, err := readAll(t, s, ref)
		if open := i == 1; open && err != nil || !open && !errors.Is(err, kith.NotFound) {
			t.Fatalf("blob %d: %v", i, err)
		}
	}
	reader.Close()
	if err := s.GC(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := readAll(t, s, loose[1]); !errors.Is(err, kith.NotFound) {
		t.Errorf("blob 1 after it was closed: %v", err)
	}
	m, err := s.Manifest(t.Context(), keep.Root, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range m.Entries {
		if e.File() {
			if _, err := readAll(t, s, e.Ref); err != nil {
				t.Errorf("%s of a pinned tree: %v", e.Path, err)
			}
		}
	}
	remove(t, s, keep.Root, false)
	empty(t, s)
}

func TestQuota(t *testing.T) {
	a := openStore(t, t.TempDir())
	s, err := Open(t.Context(), Options{Dir: t.TempDir(), Quota: 100_000, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	over := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, kith.Unavailable) || kith.HintOf(err) == "" {
			t.Errorf("%s over quota: %v (hint %q)", what, err, kith.HintOf(err))
		}
		if n, _ := s.Stored(t.Context()); n > 100_000 {
			t.Errorf("%d bytes are kept after %s", n, what)
		}
	}
	for i := range 5 {
		if _, err := s.Put(t.Context(), random(15_000, uint64(i)), kith.Raw); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // what failed takes no room
		_, err = s.Put(t.Context(), random(30_000, 9), kith.Raw)
		over("put", err)
	}
	file := filepath.Join(t.TempDir(), "big")
	write(t, file, random(40<<20, 1))
	tree := share(t, a, file, nil)
	_, err = s.Create(t.Context(), tree.Root, tree.Size, "")
	over("download into the store", err)
	_, err = s.Import(t.Context(), file, ImportOptions{})
	over("tree of a large share", err)
	_, err = s.Create(t.Context(), tree.Root, tree.Size, filepath.Join(t.TempDir(), "x"))
	over("tree of a large download", err)
	// bytes that are elsewhere do not count, only their tree
	small := filepath.Join(t.TempDir(), "small")
	write(t, small, random(200_000, 2))
	share(t, s, small, nil)
	if n, _ := s.Stored(t.Context()); n != 75_000+bao.OutboardSize(200_000) {
		t.Errorf("%d bytes are counted", n)
	}
}
