package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kith"
	"kith/blob/bao"
	"kith/blob/seal"
)

func openStore(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// random returns bytes that are the same each time for the same seed.
func random(size int, seed uint64) []byte {
	data := make([]byte, size)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	r.Read(data)
	return data
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func share(t testing.TB, s *Store, path string, key *seal.Key) Tree {
	t.Helper()
	tree, err := s.Import(context.Background(), path, ImportOptions{Key: key})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// fetch copies groups of a blob from one store to another, as transfer does; only is how many, -1 for all.
func fetch(t testing.TB, from *Store, to *Blob, only int64) {
	t.Helper()
	if to.Have().All() {
		return
	}
	src, err := from.Blob(t.Context(), to.Ref())
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	const step = 64
	for first := int64(0); first < bao.Groups(to.Size()) && (only < 0 || first < only); first += step {
		r := bao.Range{First: first, N: min(step, bao.Groups(to.Size())-first)}
		if only >= 0 {
			r.N = min(r.N, only-first)
		}
		proof, err := src.Proof(nil, r)
		if err != nil {
			t.Fatal(err)
		}
		data := make([]byte, min(r.N*bao.GroupSize, to.Size()-r.First*bao.GroupSize))
		if _, err := src.ReadAt(data, r.First*bao.GroupSize); err != nil {
			t.Fatal(err)
		}
		if err := to.AddProof(r, proof); err != nil {
			t.Fatal(err)
		}
		if err := to.WriteGroups(first, data); err != nil {
			t.Fatal(err)
		}
	}
}

// get downloads a whole single blob.
func get(t testing.TB, from, to *Store, ref kith.Ref, size int64, path string) *Blob {
	t.Helper()
	b, err := to.Create(t.Context(), ref, size, path)
	if err != nil {
		t.Fatal(err)
	}
	fetch(t, from, b, -1)
	if err := b.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// size asks another store how large a blob is, as transfer does.
func sizeOf(t testing.TB, s *Store, ref kith.Ref) int64 {
	t.Helper()
	b, err := s.Blob(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	return b.Size()
}

// beginTree fetches the manifest and begins.
func beginTree(t testing.TB, from, to *Store, root kith.Ref, path string, key *seal.Key) *TreeDownload {
	t.Helper()
	get(t, from, to, root, sizeOf(t, from, root), "")
	m, err := to.Manifest(t.Context(), root, key)
	if err != nil {
		t.Fatal(err)
	}
	d, err := to.BeginTree(t.Context(), root, m, path, key)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// fetchTree fetches what is missing.
func fetchTree(t testing.TB, from *Store, d *TreeDownload) {
	t.Helper()
	fetchSome(t, from, d, func(int) bool { return true })
}

// fetchSome fetches what is missing of the files that are wanted.
func fetchSome(t testing.TB, from *Store, d *TreeDownload, wanted func(i int) bool) {
	t.Helper()
	missing, err := d.Missing(t.Context(), wanted)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range missing {
		if !wanted(i) {
			continue
		}
		if size := d.Manifest().BlobSize(i); size <= MaxPut {
			data := content1(t, from, d.Manifest().Entries[i].Ref)
			if err := d.Put(t.Context(), i, data); err != nil {
				t.Fatal(err)
			}
			continue
		}
		b, err := d.Create(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		fetch(t, from, b, -1)
		if err := errors.Join(b.Finish(t.Context()), b.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

func getTree(t testing.TB, from, to *Store, root kith.Ref, path string, key *seal.Key) Tree {
	t.Helper()
	d := beginTree(t, from, to, root, path, key)
	fetchTree(t, from, d)
	tree, err := d.Finish(t.Context())
	if err := errors.Join(err, d.Close()); err != nil {
		t.Fatal(err)
	}
	return tree
}

// content1 reads a blob.
func content1(t testing.TB, s *Store, ref kith.Ref) []byte {
	t.Helper()
	b, err := s.Blob(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	data, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// treeText describes all that is in a folder: names, kinds, permissions of the owner, and content.
func treeText(t testing.TB, dir string) string {
	t.Helper()
	var out strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		switch {
		case d.Type() == fs.ModeSymlink:
			target, _ := os.Readlink(path)
			fmt.Fprintf(&out, "%s -> %s\n", rel, target)
		case d.IsDir():
			fmt.Fprintf(&out, "%s/\n", rel)
		default:
			info, err := d.Info()
			if err != nil {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&out, "%s %o %x\n", rel, info.Mode().Perm()&0o700, bao.Hash(data))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

var sizes = []int{0, 1, bao.GroupSize - 1, bao.GroupSize, bao.GroupSize + 1, 5 * bao.GroupSize, 1<<20 + 17, 3 << 20, 17<<20 + 5}

func TestShareAndGetFiles(t *testing.T) {
	for _, size := range sizes {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			a, b := openStore(t, t.TempDir()), openStore(t, t.TempDir())
			data := random(size, uint64(size))
			file := filepath.Join(t.TempDir(), "film.mkv")
			write(t, file, data)
			tree := share(t, a, file, nil)
			if tree.Root != kith.RawRef(bao.Hash(data)) || tree.Size != int64(size) || tree.Files != 1 || tree.Name != "film.mkv" {
				t.Fatalf("shared as %+v", tree)
			}
			dest := filepath.Join(t.TempDir(), "new", "film.mkv")
			blob := get(t, a, b, tree.Root, int64(size), dest)
			got, err := os.ReadFile(dest)
			if err != nil || !bytes.Equal(got, data) {
				t.Fatalf("got %d bytes, %v", len(got), err)
			}
			if blob.Path() != dest || !blob.Complete() || !blob.Have().All() {
				t.Errorf("path %s, complete %v", blob.Path(), blob.Complete())
			}
			if left, _ := filepath.Glob(dest + "*"); len(left) != 1 {
				t.Errorf("left behind: %q", left)
			}
			if again := content1(t, b, tree.Root); !bytes.Equal(again, data) {
				t.Error("what was downloaded is not served on")
			}
			state, err := b.State(t.Context(), tree.Root)
			if err != nil || !state.Download || !state.Complete || !state.Pinned || state.Path != dest {
				t.Errorf("state %+v, %v", state, err)
			}
		})
	}
}

// sample makes a folder with all that a folder can have.
func sample(t testing.TB) string {
	dir := filepath.Join(t.TempDir(), "photos")
	for i, size := range sizes {
		write(t, filepath.Join(dir, fmt.Sprintf("year %d", i%3), fmt.Sprintf("é%d.jpg", i)), random(size, uint64(i+100)))
	}
	write(t, filepath.Join(dir, "twice"), random(100_000, 1))
	write(t, filepath.Join(dir, "year 1", "twice"), random(100_000, 1))
	write(t, filepath.Join(dir, "run.sh"), []byte("#!/bin/sh\n"))
	if err := errors.Join(
		os.Chmod(filepath.Join(dir, "run.sh"), 0o755), os.Chmod(filepath.Join(dir, "twice"), 0o444),
		os.MkdirAll(filepath.Join(dir, "empty", "folder"), 0o755),
		os.Symlink("../run.sh", filepath.Join(dir, "year 1", "link")), os.Symlink("year 1", filepath.Join(dir, "latest")),
	); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestShareAndGetFolder(t *testing.T) {
	for _, private := range []bool{false, true} {
		t.Run(fmt.Sprintf("private=%v", private), func(t *testing.T) {
			a, b, c := openStore(t, t.TempDir()), openStore(t, t.TempDir()), openStore(t, t.TempDir())
			dir := sample(t)
			var key *seal.Key
			if private {
				k := seal.NewKey()
				key = &k
			}
			tree := share(t, a, dir, key)
			if tree.Skipped != 0 || !tree.Folder || tree.Private != private {
				t.Fatalf("shared as %+v", tree)
			}
			out := t.TempDir()
			got := getTree(t, a, b, tree.Root, filepath.Join(out, "photos"), key)
			if want := treeText(t, dir); treeText(t, got.Path) != want {
				t.Errorf("got\n%s\nwant\n%s", treeText(t, got.Path), want)
			}
			if entries, _ := os.ReadDir(out); len(entries) != 1 {
				t.Errorf("left behind: %v", entries)
			}
			// from the second, which made it of what it got, to a third
			third := getTree(t, b, c, tree.Root, filepath.Join(t.TempDir(), "other name"), key)
			if want := treeText(t, dir); treeText(t, third.Path) != want {
				t.Error("what was downloaded is not served on as it was")
			}
			if s, err := b.State(t.Context(), tree.Root); err != nil || !s.Complete || !s.Download || s.Size != tree.Size || s.Files != tree.Files || s.Gone {
				t.Errorf("state %+v, %v; want as %+v", s, err, tree)
			}
			if private {
				checkNothingLeaks(t, a, tree, dir)
			}
		})
	}
}

// checkNothingLeaks looks at all that can leave of a private tree for names and content.
func checkNothingLeaks(t *testing.T, s *Store, tree Tree, dir string) {
	t.Helper()
	rows, err := s.db.Query("SELECT sum FROM blob")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		var sum []byte
		if err := rows.Scan(&sum); err != nil {
			t.Fatal(err)
		}
		data := content1(t, s, kith.RawRef(bao.Sum(sum)))
		if !bytes.HasPrefix(data, []byte("age-encryption.org/v1\n")) {
			t.Errorf("a blob of a private share is no age file")
		}
		for _, plain := range []string{"year", "photos", "#!/bin/sh", "entries"} {
			if bytes.Contains(data, []byte(plain)) {
				t.Errorf("%q can be read in what leaves", plain)
			}
		}
		n++
	}
	if n < tree.Files {
		t.Errorf("%d blobs for %d files", n, tree.Files)
	}
}
