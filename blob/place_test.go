package blob

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kith"
	"kith/blob/folder"
	"kith/blob/seal"
)

// half is every other file of a folder.
func half(i int) bool { return i%2 == 0 }

// fetchHalf fetches every other file, and gives the folder its name.
func fetchHalf(t testing.TB, from, to *Store, root kith.Ref, path string, key *seal.Key) (string, error) {
	t.Helper()
	d := beginTree(t, from, to, root, path, key)
	fetchSome(t, from, d, half)
	at, err := d.Place(t.Context(), half)
	return at, errors.Join(err, d.Close())
}

// some describes those files of a folder that are wanted.
func some(t testing.TB, m *folder.Manifest, dir string, wanted func(int) bool) string {
	t.Helper()
	var out strings.Builder
	for i, e := range m.Entries {
		if !e.File() || !wanted(i) {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(e.Path)))
		if err != nil {
			t.Error(err)
		}
		fmt.Fprintf(&out, "%s %x\n", e.Path, data)
	}
	return out.String()
}

// files counts what is in a folder and below that is no folder.
func files(t testing.TB, dir string) (n int) {
	t.Helper()
	for line := range strings.Lines(treeText(t, dir)) {
		if !strings.HasSuffix(strings.TrimSpace(line), "/") {
			n++
		}
	}
	return n
}

// A part of a folder gets its name, the rest comes there later; a name that is taken is left alone both times.
func TestPlace(t *testing.T) {
	for _, private := range []bool{false, true} {
		t.Run(fmt.Sprint("private=", private), func(t *testing.T) {
			from, to := openStore(t, t.TempDir()), openStore(t, t.TempDir())
			var key *seal.Key
			if private {
				k := seal.NewKey()
				key = &k
			}
			src, dir := sample(t), t.TempDir()
			tree := share(t, from, src, key)
			write(t, filepath.Join(dir, "photos", "mine"), []byte("mine"))
			at, err := fetchHalf(t, from, to, tree.Root, filepath.Join(dir, "photos"), key)
			if err != nil {
				t.Fatal(err)
			}
			if want := filepath.Join(dir, "photos (1)"); at != want {
				t.Errorf("it is at %s, want %s", at, want)
			}
			m, err := to.Manifest(t.Context(), tree.Root, key)
			if err != nil {
				t.Fatal(err)
			}
			if some(t, m, at, half) != some(t, m, src, half) {
				t.Errorf("what was wanted is not what was shared:\n%s", treeText(t, at))
			}
			if left, _ := os.ReadDir(dir); len(left) != 2 {
				t.Errorf("left: %v", left)
			}
			if got := getTree(t, from, to, tree.Root, filepath.Join(dir, "elsewhere"), key); got.Path != at || treeText(t, at) != treeText(t, src) {
				t.Errorf("whole, it is at %s:\n%s", got.Path, treeText(t, got.Path))
			}
			if left, _ := os.ReadDir(dir); len(left) != 2 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// What is wanted and missing is said, and nothing gets a name.
func TestPlaceLacks(t *testing.T) {
	from, to := openStore(t, t.TempDir()), openStore(t, t.TempDir())
	tree := share(t, from, sample(t), nil)
	out := filepath.Join(t.TempDir(), "photos")
	d := beginTree(t, from, to, tree.Root, out, nil)
	defer d.Close()
	if _, err := d.Place(t.Context(), half); !errors.Is(err, kith.Invalid) || exists(out) {
		t.Errorf("placed: %v", err)
	}
}

// Forgotten, a part that has its name stays, unless its files are to be deleted; what was coming goes.
func TestPlacedIsRemoved(t *testing.T) {
	for _, withFiles := range []bool{false, true} {
		from, to := openStore(t, t.TempDir()), openStore(t, t.TempDir())
		tree := share(t, from, sample(t), nil)
		at, err := fetchHalf(t, from, to, tree.Root, filepath.Join(t.TempDir(), "photos"), nil)
		if err != nil {
			t.Fatal(err)
		}
		want := files(t, at)
		d := beginTree(t, from, to, tree.Root, at, nil)
		missing, err := d.Missing(t.Context(), half)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range missing {
			if d.Manifest().BlobSize(i) > MaxPut {
				b, err := d.Create(t.Context(), i) // begun, and no more
				if err = errors.Join(err, b.Close()); err != nil {
					t.Fatal(err)
				}
				want++
				break
			}
		}
		d.Close()
		if n := files(t, at); n != want {
			t.Fatalf("%d files before, want %d", n, want)
		}
		remove(t, to, tree.Root, withFiles)
		switch {
		case withFiles && exists(at):
			t.Errorf("not deleted:\n%s", treeText(t, at))
		case !withFiles && files(t, at) != want-1:
			t.Errorf("left, of %d:\n%s", want, treeText(t, at))
		}
		empty(t, to)
	}
}

func crashPlace(t *testing.T, c crash) {
	from, to := openBare(t, filepath.Join(c.dir, "from")), openBare(t, filepath.Join(c.dir, "to"))
	root, err := os.ReadFile(filepath.Join(c.dir, "root"))
	if err != nil {
		t.Fatal(err)
	}
	ref, err := kith.ParseRef(string(root))
	if err != nil {
		t.Fatal(err)
	}
	fetchHalf(t, from, to, ref, filepath.Join(c.dir, "out", "photos"), nil)
}

// Killed when it has just got its name, it is where it is, lacks what it lacks, and is whole in the end.
func TestKilledPlace(t *testing.T) {
	for _, c := range []crash{{point: "commit", n: 1}, {point: "placed", n: 1}} {
		t.Run(c.point, func(t *testing.T) {
			dir, src := t.TempDir(), sample(t)
			from := openStore(t, filepath.Join(dir, "from"))
			tree := share(t, from, src, nil)
			if err := from.Close(); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, "root"), []byte(tree.Root.String()))
			c.what, c.dir = "place", dir
			c.run(t)
			from = openStore(t, filepath.Join(dir, "from"))
			to := openStore(t, filepath.Join(dir, "to"))
			out := filepath.Join(dir, "out", "photos")
			if exists(out) != (c.point == "placed") {
				t.Errorf("it was killed too early or too late: %v", exists(out))
			}
			d := beginTree(t, from, to, tree.Root, out, nil)
			missing, err := d.Missing(t.Context(), half)
			if err := errors.Join(err, d.Close()); err != nil {
				t.Fatal(err)
			}
			if c.point == "placed" {
				for _, i := range missing {
					if half(i) {
						t.Errorf("%s is asked for again", d.Manifest().Entries[i].Path)
					}
				}
			}
			if len(missing) == 0 {
				t.Error("nothing is missing, though half of it is")
			}
			if got := getTree(t, from, to, tree.Root, out, nil); got.Path != out || treeText(t, out) != treeText(t, src) {
				t.Errorf("at %s:\n%s", got.Path, treeText(t, got.Path))
			}
			if left, _ := os.ReadDir(filepath.Dir(out)); len(left) != 1 {
				t.Errorf("left: %v", left)
			}
		})
	}
}
