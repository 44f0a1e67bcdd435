package blob

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"kith"
	"kith/blob/bao"
	"kith/blob/seal"
)

// readAll reads a blob through a fresh handle.
func readAll(t testing.TB, s *Store, ref kith.Ref) ([]byte, error) {
	t.Helper()
	b, err := s.Blob(t.Context(), ref)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	data := make([]byte, b.Size())
	n, err := b.ReadAt(data, 0)
	if err == io.EOF {
		err = nil
	}
	return data[:n], err
}

func checkGone(t testing.TB, s *Store, tree Tree, want bool) {
	t.Helper()
	state, err := s.State(t.Context(), tree.Root)
	if err != nil || state.Gone != want {
		t.Errorf("gone is %v, %v; want %v", state.Gone, err, want)
	}
}

// touch gives a file back the time that it had.
func keepTime(t testing.TB, file string, change func()) {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	change()
	if err := os.Chtimes(file, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
}

// What the owner does with a file after it was shared: it is never served wrong, and said to be gone.
func TestSharedFileThatChanges(t *testing.T) {
	data := random(2<<20+100, 5)
	other := bytes.Clone(data)
	other[1<<20] ^= 1
	for name, change := range map[string]func(t *testing.T, file string){
		"edited":    func(t *testing.T, file string) { write(t, file, other) },
		"truncated": func(t *testing.T, file string) { os.Truncate(file, 1<<20) },
		"grown":     func(t *testing.T, file string) { write(t, file, append(bytes.Clone(data), 1)) },
		"removed":   func(t *testing.T, file string) { os.Remove(file) },
		"a folder":  func(t *testing.T, file string) { os.Remove(file); os.Mkdir(file, 0o755) },
		"a link": func(t *testing.T, file string) {
			os.Rename(file, file+".real")
			os.Symlink(file+".real", file)
		},
		"edited, same time": func(t *testing.T, file string) { keepTime(t, file, func() { write(t, file, other) }) },
	} {
		for _, private := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				dir := t.TempDir()
				s := openStore(t, dir)
				file := filepath.Join(t.TempDir(), "film.mkv")
				write(t, file, data)
				var key *seal.Key
				if private {
					k := seal.NewKey()
					key = &k
				}
				tree := share(t, s, file, key)
				ref := tree.Root
				if private {
					m, err := s.Manifest(t.Context(), tree.Root, key)
					if err != nil {
						t.Fatal(err)
					}
					ref = m.Entries[0].Ref
				}
				if _, err := readAll(t, s, ref); err != nil {
					t.Fatal(err)
				}
				change(t, file)
				if _, err := readAll(t, s, ref); !errors.Is(err, kith.Gone) {
					t.Fatalf("read: %v, want Gone", err)
				}
				checkGone(t, s, tree, true)
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				s = openStore(t, dir)
				checkGone(t, s, tree, true)
				if _, err := readAll(t, s, ref); !errors.Is(err, kith.Gone) {
					t.Errorf("read after a restart: %v, want Gone", err)
				}
			})
		}
	}
}

// A file that changes while somebody holds it open.
func TestChangeUnderAnOpenBlob(t *testing.T) {
	s := openStore(t, t.TempDir())
	file := filepath.Join(t.TempDir(), "film.mkv")
	data := random(1<<20, 6)
	write(t, file, data)
	tree := share(t, s, file, nil)
	b, err := s.Blob(t.Context(), tree.Root)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("changed"), 700_000); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 600_000)
	if _, err := b.ReadAt(p, 0); err != nil || !bytes.Equal(p, data[:600_000]) {
		t.Errorf("the part that did not change: %v", err)
	}
	n, err := b.ReadAt(make([]byte, 1<<20), 0)
	if !errors.Is(err, kith.Gone) || n > 700_000 {
		t.Errorf("%d bytes, %v; want Gone", n, err)
	}
}

// A file that went away for a while, as on a disk that was unplugged, is served again when it is back.
func TestGoneComesBack(t *testing.T) {
	s := openStore(t, t.TempDir())
	file := filepath.Join(t.TempDir(), "film.mkv")
	write(t, file, random(100_000, 7))
	tree := share(t, s, file, nil)
	changes := make(chan Change, 10)
	listen := s.Changes(t.Context())
	go func() {
		for c := range listen {
			changes <- c
		}
	}()
	if err := os.Rename(file, file+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err := readAll(t, s, tree.Root); !errors.Is(err, kith.Gone) {
		t.Fatal(err)
	}
	if c := <-changes; c.Root != tree.Root || c.Path != file || !c.Gone {
		t.Errorf("change is %+v", c)
	}
	if err := os.Rename(file+".away", file); err != nil {
		t.Fatal(err)
	}
	if _, err := readAll(t, s, tree.Root); err != nil {
		t.Errorf("back, but: %v", err)
	}
	if c := <-changes; c.Root != tree.Root || c.Gone {
		t.Errorf("change is %+v", c)
	}
	checkGone(t, s, tree, false)
}

// Whoever has the same content twice loses nothing when one of them goes.
func TestSecondPlaceServes(t *testing.T) {
	s := openStore(t, t.TempDir())
	dir := t.TempDir()
	data := random(1<<20, 8)
	write(t, filepath.Join(dir, "a"), data)
	write(t, filepath.Join(dir, "b"), data)
	tree := share(t, s, dir, nil)
	if err := os.Remove(filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	if got, err := readAll(t, s, kith.RawRef(bao.Hash(data))); err != nil || !bytes.Equal(got, data) {
		t.Errorf("the other is there, but: %v", err)
	}
	checkGone(t, s, tree, false)
	os.Remove(filepath.Join(dir, "b"))
	if _, err := readAll(t, s, kith.RawRef(bao.Hash(data))); !errors.Is(err, kith.Gone) {
		t.Errorf("both are gone, but: %v", err)
	}
	checkGone(t, s, tree, true)
}

// A file with new times and the old content is still what it was.
func TestTouchedIsNotGone(t *testing.T) {
	s := openStore(t, t.TempDir())
	file := filepath.Join(t.TempDir(), "film.mkv")
	data := random(1<<20, 9)
	write(t, file, data)
	tree := share(t, s, file, nil)
	if err := os.Chtimes(file, time.Now(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got, err := readAll(t, s, tree.Root); err != nil || !bytes.Equal(got, data) {
		t.Error(err)
	}
	checkGone(t, s, tree, false)
}

// A hash tree that was damaged is made again: the file is right, and nobody must be told otherwise.
func TestDamagedTreeIsMended(t *testing.T) {
	for name, damage := range map[string]func(file string) error{
		"torn":    func(file string) error { return os.Truncate(file, 1000) },
		"removed": os.Remove,
		"garbage": func(file string) error { return os.WriteFile(file, random(64*2048-64, 1), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, t.TempDir())
			file := filepath.Join(t.TempDir(), "film.mkv")
			data := random(32<<20, 10)
			write(t, file, data)
			tree := share(t, s, file, nil)
			if err := damage(s.outboard(tree.Root.Sum)); err != nil {
				t.Fatal(err)
			}
			b, err := s.Blob(t.Context(), tree.Root)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			r := bao.Range{First: 1500, N: 300}
			proof, err := b.Proof(nil, r)
			if err != nil {
				t.Fatal(err)
			}
			check := bao.NewTree(tree.Root.Sum, b.Size(), bao.Memory(make([]byte, bao.OutboardSize(b.Size()))))
			if err := check.AddProof(r, proof); err != nil {
				t.Errorf("a wrong proof was handed out: %v", err)
			}
			if got, err := readAll(t, s, tree.Root); err != nil || !bytes.Equal(got, data) {
				t.Errorf("read: %v", err)
			}
			checkGone(t, s, tree, false)
		})
	}
}
