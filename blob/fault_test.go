package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"kith"
	"kith/blob/bao"
	"kith/blob/folder"
	"kith/blob/seal"
)

// A crash is a process that is killed, as kill -9 does, when it comes to a point of fault for the nth time.
type crash struct {
	what  string // a key of children
	point string
	n     int
	dir   string // what parent and child have in common
}

const crashEnv = "KITH_BLOB_TEST_CRASH"

// children are what a process does that is to be killed.
var children = map[string]func(t *testing.T, c crash){
	"file":   crashFile,
	"folder": func(t *testing.T, c crash) { crashTree(t, c, nil) },
	"loose":  crashLoose,
	"place":  crashPlace,
	"repair": crashRepair,
	"private": func(t *testing.T, c crash) {
		key := crashKey
		crashTree(t, c, &key)
	},
	"import": crashImport,
}

var crashKey = seal.Key{1, 2, 3}

// TestChild is the process that is killed.
func TestChild(t *testing.T) {
	spec := os.Getenv(crashEnv)
	if spec == "" {
		return // it is not one
	}
	f := strings.Split(spec, "\n")
	c := crash{what: f[0], point: f[1], dir: f[3]}
	c.n, _ = strconv.Atoi(f[2])
	left := c.n
	fault = func(point string) error {
		if point == c.point {
			if left--; left == 0 {
				p, _ := os.FindProcess(os.Getpid())
				p.Kill()
				select {}
			}
		}
		return nil
	}
	children[c.what](t, c)
}

func (c crash) command() *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^TestChild$", "-test.count=1")
	cmd.Env = append(os.Environ(), crashEnv+"="+strings.Join([]string{c.what, c.point, strconv.Itoa(c.n), c.dir}, "\n"))
	return cmd
}

// run runs the child until it is killed.
func (c crash) run(t *testing.T) {
	t.Helper()
	out, err := c.command().CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Exited() {
		t.Fatalf("the process was not killed at %s %d: %v\n%s", c.point, c.n, err, out)
	}
}

// openBare opens a store that is never closed.
func openBare(t *testing.T, dir string) *Store {
	s, err := Open(context.Background(), Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func crashFile(t *testing.T, c crash) {
	from, to := openBare(t, filepath.Join(c.dir, "from")), openBare(t, filepath.Join(c.dir, "to"))
	tree := share(t, from, filepath.Join(c.dir, "film.mkv"), nil)
	b, err := to.Create(t.Context(), tree.Root, tree.Size, filepath.Join(c.dir, "out", "film.mkv"))
	if err != nil {
		t.Fatal(err)
	}
	for n := int64(500); n <= bao.Groups(tree.Size)+500; n += 500 {
		fetch(t, from, b, n)
		if n == 1000 || n == 2000 {
			if err := b.Checkpoint(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := b.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A download that was killed goes on where it was, and what was not verified is not trusted.
func TestKilledDownload(t *testing.T) {
	const size = 50<<20 + 1
	data := random(size, 1)
	for _, c := range []struct {
		point string
		n     int
		least int64 // groups that must not be asked for again
	}{
		{"write", 1, 0}, {"write", 46, 1344}, {"checkpoint", 1, 1000}, {"checkpoint", 2, 2000}, {"renamed", 1, bao.Groups(size)},
	} {
		t.Run(fmt.Sprint(c.point, c.n), func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "film.mkv"), data)
			crash{"file", c.point, c.n, dir}.run(t)
			from, to := openStore(t, filepath.Join(dir, "from")), openStore(t, filepath.Join(dir, "to"))
			out := filepath.Join(dir, "out", "film.mkv")
			ref := kith.RawRef(bao.Hash(data))
			b, err := to.Create(t.Context(), ref, size, out)
			if err != nil {
				t.Fatal(err)
			}
			if have := b.Have().Count(); have < c.least {
				t.Errorf("%d groups are still there, want at least %d", have, c.least)
			}
			// what it says it has is right, without a look at the hashes
			part := out + folder.PartSuffix
			if b.Complete() {
				part = out
			}
			for r := range b.Have().Ranges() {
				p := make([]byte, min(r.N*bao.GroupSize, size-r.First*bao.GroupSize))
				f, err := os.Open(part)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := f.ReadAt(p, r.First*bao.GroupSize); err != nil || !bytes.Equal(p, data[r.First*bao.GroupSize:][:len(p)]) {
					t.Errorf("groups %v are claimed, and wrong: %v", r, err)
				}
				f.Close()
			}
			fetch(t, from, b, -1)
			if err := join(b.Finish(t.Context()), b.Close()); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, data) {
				t.Errorf("got %d bytes, %v", len(got), err)
			}
			if left, _ := os.ReadDir(filepath.Dir(out)); len(left) != 1 {
				t.Errorf("left: %v", left)
			}
			if s, err := to.State(t.Context(), ref); err != nil || !s.Complete || s.Path != out {
				t.Errorf("state %+v, %v", s, err)
			}
			if !remove(t, to, ref, true) || exists(out) {
				t.Error("after all that it is not known as Kith's own")
			}
		})
	}
}

func crashTree(t *testing.T, c crash, key *seal.Key) {
	from, to := openBare(t, filepath.Join(c.dir, "from")), openBare(t, filepath.Join(c.dir, "to"))
	root, err := os.ReadFile(filepath.Join(c.dir, "root"))
	if err != nil {
		t.Fatal(err)
	}
	ref, err := kith.ParseRef(string(root))
	if err != nil {
		t.Fatal(err)
	}
	d := beginTree(t, from, to, ref, filepath.Join(c.dir, "out", "photos"), key)
	missing, err := d.Missing(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for n, i := range missing {
		if size := d.Manifest().BlobSize(i); size <= MaxPut {
			if err := d.Put(t.Context(), i, content1(t, from, d.Manifest().Entries[i].Ref)); err != nil {
				t.Fatal(err)
			}
		} else {
			b, err := d.Create(t.Context(), i)
			if err != nil {
				t.Fatal(err)
			}
			fetch(t, from, b, -1)
			if err := join(b.Finish(t.Context()), b.Close()); err != nil {
				t.Fatal(err)
			}
		}
		if n%4 == 3 {
			if err := d.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := d.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestKilledFolder(t *testing.T) {
	for _, what := range []string{"folder", "private"} {
		for _, c := range []crash{{point: "put", n: 1}, {point: "put", n: 5}, {point: "commit", n: 1}, {point: "commit", n: 2}, {point: "write", n: 3},
			{point: "renamed", n: 1}, {point: "renamed", n: 2}, {point: "renamed", n: 5}, {point: "renamed", n: 6}} {
			if what == "private" && c.point == "renamed" && c.n > 2 {
				continue // only the manifest and the folder are renamed
			}
			t.Run(fmt.Sprint(what, " ", c.point, c.n), func(t *testing.T) {
				dir := t.TempDir()
				src := sample(t)
				var key *seal.Key
				if what == "private" {
					key = &crashKey
				}
				from := openStore(t, filepath.Join(dir, "from"))
				tree := share(t, from, src, key)
				if err := from.Close(); err != nil {
					t.Fatal(err)
				}
				write(t, filepath.Join(dir, "root"), []byte(tree.Root.String()))
				c.what, c.dir = what, dir
				c.run(t)
				from = openStore(t, filepath.Join(dir, "from"))
				to := openStore(t, filepath.Join(dir, "to"))
				out := filepath.Join(dir, "out", "photos")
				got := getTree(t, from, to, tree.Root, out, key)
				if got.Path != out || treeText(t, out) != treeText(t, src) {
					t.Errorf("at %s:\n%s\nwant\n%s", got.Path, treeText(t, got.Path), treeText(t, src))
				}
				if left, _ := os.ReadDir(filepath.Dir(out)); len(left) != 1 {
					t.Errorf("left: %v", left)
				}
				remove(t, to, tree.Root, true)
				if exists(out) {
					t.Errorf("not known as Kith's own:\n%s", treeText(t, out))
				}
				empty(t, to)
			})
		}
	}
}

func crashImport(t *testing.T, c crash) {
	share(t, openBare(t, filepath.Join(c.dir, "store")), filepath.Join(c.dir, "many"), nil)
}

// An import that was killed leaves nothing behind.
func TestKilledImport(t *testing.T) {
	dir := t.TempDir()
	for i := range importBatch + 500 {
		write(t, filepath.Join(dir, "many", strconv.Itoa(i)), []byte(strconv.Itoa(i)))
	}
	crash{"import", "import", importBatch + 100, dir}.run(t)
	s := openStore(t, filepath.Join(dir, "store"))
	empty(t, s)
	if tree := share(t, s, filepath.Join(dir, "many"), nil); tree.Files != importBatch+500 {
		t.Errorf("shared then: %+v", tree)
	}
}

// What happened to a part while nobody looked.
func TestDamagedPart(t *testing.T) {
	const size = 20 << 20
	data := random(size, 4)
	for name, damage := range map[string]func(part, tree string) error{
		"truncated part":    func(part, _ string) error { return os.Truncate(part, size/2+100) },
		"removed part":      func(part, _ string) error { return os.Remove(part) },
		"replaced part":     func(part, _ string) error { return join(os.Remove(part), os.WriteFile(part, random(size, 5), 0o644)) },
		"torn tree":         func(_, tree string) error { return os.Truncate(tree, 30_000) },
		"removed tree":      func(_, tree string) error { return os.Remove(tree) },
		"garbage tree":      func(_, tree string) error { return os.WriteFile(tree, random(80_000, 6), 0o600) },
		"nothing, it's all": func(_, _ string) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			from := openStore(t, t.TempDir())
			src, out := filepath.Join(t.TempDir(), "x"), filepath.Join(t.TempDir(), "x")
			write(t, src, data)
			tree := share(t, from, src, nil)
			dir := t.TempDir()
			to := openStore(t, dir)
			b, err := to.Create(t.Context(), tree.Root, size, out)
			if err != nil {
				t.Fatal(err)
			}
			fetch(t, from, b, 1000)
			if err := b.Checkpoint(t.Context()); err != nil {
				t.Fatal(err)
			}
			// as after kill -9: nothing that Close does
			if err := damage(out+folder.PartSuffix, to.outboard(tree.Root.Sum)); err != nil {
				t.Fatal(err)
			}
			again := openBare(t, dir)
			defer again.Close()
			b2, err := again.Create(t.Context(), tree.Root, size, out)
			if err != nil {
				t.Fatal(err)
			}
			for r := range b2.Have().Ranges() {
				p := make([]byte, r.N*bao.GroupSize)
				if _, err := b2.ReadAt(p, r.First*bao.GroupSize); err != nil || !bytes.Equal(p, data[r.First*bao.GroupSize:][:len(p)]) {
					t.Errorf("groups %v are claimed: %v", r, err)
				}
				if _, err := b2.Proof(nil, r); err != nil {
					t.Errorf("groups %v are claimed, and cannot be proven: %v", r, err)
				}
			}
			if name == "nothing, it's all" && b2.Have().Count() != 1000 {
				t.Errorf("%d groups are there", b2.Have().Count())
			}
			fetch(t, from, b2, -1)
			if err := join(b2.Finish(t.Context()), b2.Close()); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, data) {
				t.Errorf("got %d bytes, %v", len(got), err)
			}
			b.c.part.Load().abandon() // the first store must not write over what the second did
			b.Close()
		})
	}
}

func TestDamagedDatabaseIsSaid(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	file := filepath.Join(t.TempDir(), "x")
	write(t, file, random(1000, 1))
	tree := share(t, s, file, nil)
	s.Close()
	write(t, filepath.Join(dir, "blob.db"), []byte("no database at all, but something else that somebody put here"))
	s = openStore(t, dir)
	if notes := s.Notes(); len(notes) != 1 || !strings.Contains(notes[0], "blob.db.corrupt-") {
		t.Errorf("notes: %q", notes)
	}
	if again := share(t, s, file, nil); again.Root != tree.Root {
		t.Errorf("shared as %v", again.Root)
	}
}

func crashLoose(t *testing.T, c crash) {
	to := openBare(t, filepath.Join(c.dir, "to"))
	data, err := os.ReadFile(filepath.Join(c.dir, "film.mkv"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := to.Create(t.Context(), kith.RawRef(bao.Hash(data)), int64(len(data)), filepath.Join(c.dir, "out", "film.mkv"))
	if err != nil {
		t.Fatal(err)
	}
	const step = 100 * bao.GroupSize
	for off := 0; off < len(data); off += step {
		if err := b.WriteLoose(int64(off/bao.GroupSize), data[off:min(off+step, len(data))]); err != nil {
			t.Fatal(err)
		}
		if off/step%3 == 2 {
			if err := b.Checkpoint(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := b.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// What came without a proof is still there after kill -9, as far as it was durable, and is still without a proof.
func TestKilledLoose(t *testing.T) {
	const size = 20<<20 + 1
	data := random(size, 1)
	for _, c := range []struct {
		point string
		n     int
		least int64
	}{{"write", 5, 300}, {"checkpoint", 1, 0}, {"checkpoint", 3, 600}, {"renamed", 1, bao.Groups(size)}} {
		t.Run(fmt.Sprint(c.point, c.n), func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "film.mkv"), data)
			crash{"loose", c.point, c.n, dir}.run(t)
			to := openStore(t, filepath.Join(dir, "to"))
			out := filepath.Join(dir, "out", "film.mkv")
			b, err := to.Create(t.Context(), kith.RawRef(bao.Hash(data)), size, out)
			if err != nil {
				t.Fatal(err)
			}
			if loose := b.Loose().Count(); !b.Complete() && (loose < c.least || b.Have().Count() != 0) {
				t.Errorf("%d groups are loose, want %d; %d are proven", loose, c.least, b.Have().Count())
			}
			for r := range b.Loose().Ranges() {
				p := make([]byte, len(sliceOf(data, r)))
				if n, _ := b.ReadHere(p, r.First*bao.GroupSize); n < len(p) || !bytes.Equal(p, sliceOf(data, r)) {
					t.Errorf("groups %v are claimed, and wrong", r)
				}
			}
			if err := b.WriteLoose(0, data); err != nil {
				t.Fatal(err)
			}
			if err := join(b.Finish(t.Context()), b.Close()); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, data) {
				t.Errorf("got %d bytes, %v", len(got), err)
			}
			if left, _ := os.ReadDir(filepath.Dir(out)); len(left) != 1 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

func crashRepair(t *testing.T, c crash) {
	s := openBare(t, filepath.Join(c.dir, "to"))
	trees, err := s.Trees(t.Context())
	if err != nil || len(trees) != 1 {
		t.Fatal(trees, err)
	}
	if err := s.Repair(t.Context(), trees[0].Root, trees[0].Path); err != nil {
		t.Fatal(err)
	}
}

// A repair that was killed before the file lost its name goes on: nothing of the file is lost.
func TestKilledRepair(t *testing.T) {
	dir := t.TempDir()
	from, to := openStore(t, filepath.Join(dir, "from")), openBare(t, filepath.Join(dir, "to"))
	src, file := filepath.Join(dir, "src", "x"), filepath.Join(dir, "out", "x")
	data := random(5<<20, 1)
	write(t, src, data)
	tree := share(t, from, src, nil)
	b, err := to.Create(t.Context(), tree.Root, tree.Size, file)
	if err != nil {
		t.Fatal(err)
	}
	fetch(t, from, b, -1)
	if err := join(b.Finish(t.Context()), b.Close(), to.Close()); err != nil {
		t.Fatal(err)
	}
	flip(t, file, 1<<20)
	crash{"repair", "repair", 1, dir}.run(t)
	to = openStore(t, filepath.Join(dir, "to"))
	if b, err = to.Blob(t.Context(), tree.Root); err != nil {
		t.Fatal(err)
	}
	if b.Have().Len()-b.Have().Count() != 1 {
		t.Errorf("%d of %d groups are there", b.Have().Count(), b.Have().Len())
	}
	fetch(t, from, b, -1)
	if err := join(b.Finish(t.Context()), b.Close()); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, data) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	if left, _ := os.ReadDir(filepath.Dir(file)); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}
