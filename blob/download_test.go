package blob

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"kith"
	"kith/blob/bao"
	"kith/blob/folder"
	"kith/blob/seal"
)

// Groups come from several sources at once, some of them wrong, while others read what is here.
func TestManySourcesAtOnce(t *testing.T) {
	const size = 8<<20 + 333
	data := random(size, 1)
	a, b := openStore(t, t.TempDir()), openStore(t, t.TempDir())
	src, out := filepath.Join(t.TempDir(), "x"), filepath.Join(t.TempDir(), "x")
	write(t, src, data)
	tree := share(t, a, src, nil)
	from, err := a.Blob(t.Context(), tree.Root)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	blob, err := b.Create(t.Context(), tree.Root, size, out)
	if err != nil {
		t.Fatal(err)
	}
	defer blob.Close()
	groups := bao.Groups(size)
	var wg sync.WaitGroup
	for k := range int64(8) {
		wg.Go(func() {
			for first := k * 4; first < groups; first += 32 {
				r := bao.Range{First: first, N: min(4, groups-first)}
				proof, err := from.Proof(nil, r)
				if err != nil {
					t.Error(err)
				}
				piece := bytes.Clone(data[first*bao.GroupSize : min(size, (first+r.N)*bao.GroupSize)])
				piece[len(piece)-1] ^= 1
				if err := blob.AddProof(r, proof); err != nil {
					t.Error(err)
				}
				var wrong *WrongGroup
				if err := blob.WriteGroups(first, piece); !errors.As(err, &wrong) || wrong.Group != first+r.N-1 || !errors.Is(err, kith.Corrupt) {
					t.Errorf("a wrong byte in group %d: %v", first+r.N-1, err)
				}
				if have := blob.Have(); have.Get(first+r.N-1) || r.N > 1 && !have.Get(first) {
					t.Error("the wrong group is claimed, or those before it are not")
				}
				piece[len(piece)-1] ^= 1
				if err := blob.WriteGroups(first, piece); err != nil {
					t.Error(err)
				}
				got := make([]byte, len(piece))
				if n, err := blob.ReadAt(got, first*bao.GroupSize); n < len(got) || !bytes.Equal(got, piece) {
					t.Errorf("read back: %d, %v", n, err)
				}
				if err := blob.Checkpoint(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	var finish sync.WaitGroup
	for range 3 {
		finish.Go(func() {
			if err := blob.Finish(t.Context()); err != nil {
				t.Error(err)
			}
			if _, err := blob.ReadAt(make([]byte, 100_000), 1<<20); err != nil {
				t.Error(err)
			}
		})
	}
	finish.Wait()
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, data) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

func TestDownloadRefuses(t *testing.T) {
	const size = 2 << 20
	a, b := openStore(t, t.TempDir()), openStore(t, t.TempDir())
	src := filepath.Join(t.TempDir(), "x")
	data := random(size, 1)
	write(t, src, data)
	tree := share(t, a, src, nil)
	from, err := a.Blob(t.Context(), tree.Root)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	blob, err := b.Create(t.Context(), tree.Root, size, filepath.Join(t.TempDir(), "x"))
	if err != nil {
		t.Fatal(err)
	}
	defer blob.Close()
	r := bao.Range{First: 10, N: 5}
	if err := blob.WriteGroups(10, data[10*bao.GroupSize:11*bao.GroupSize]); !errors.Is(err, kith.NotFound) {
		t.Errorf("a group that is not proven: %v", err)
	}
	proof, err := from.Proof(nil, r)
	if err != nil {
		t.Fatal(err)
	}
	proof[len(proof)-1] ^= 1
	if err := blob.AddProof(r, proof); !errors.Is(err, kith.Corrupt) {
		t.Errorf("a wrong proof: %v", err)
	}
	proof[len(proof)-1] ^= 1
	if err := blob.AddProof(r, proof); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		first int64
		data  []byte
	}{"half a group": {10, data[10*bao.GroupSize:][:100]}, "behind the end": {128, data[:bao.GroupSize]}, "negative": {-1, data[:bao.GroupSize]}} {
		if err := blob.WriteGroups(c.first, c.data); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if err := blob.WriteGroups(10, data[10*bao.GroupSize:15*bao.GroupSize]); err != nil {
		t.Fatal(err)
	}
	if n, err := blob.ReadAt(make([]byte, 10*bao.GroupSize), 12*bao.GroupSize); n != 3*bao.GroupSize || !errors.Is(err, kith.NotFound) {
		t.Errorf("read over the edge: %d, %v", n, err)
	}
	if _, err := blob.ReadAt(make([]byte, 10), 0); !errors.Is(err, kith.NotFound) {
		t.Errorf("read of what is not here: %v", err)
	}
	if _, err := blob.Proof(nil, bao.Range{First: 0, N: 1}); !errors.Is(err, kith.NotFound) {
		t.Errorf("proof of what is not proven: %v", err)
	}
	if again, err := blob.Proof(nil, r); err != nil || !bytes.Equal(again, proof) {
		t.Errorf("what is proven is not served on: %v", err)
	}
	if err := blob.Finish(t.Context()); !errors.Is(err, kith.Invalid) {
		t.Errorf("finished with groups missing: %v", err)
	}
	for name, c := range map[string]struct {
		size int64
		path string
		kind kith.Kind
	}{
		"relative path": {size, "x", kith.Invalid}, "negative size": {-1, "", kith.Invalid}, "other size": {size + 1, "", kith.Invalid},
		"absurd size": {MaxSize + 1, "", kith.TooLarge},
	} {
		if _, err := b.Create(t.Context(), tree.Root, c.size, c.path); !errors.Is(err, c.kind) {
			t.Errorf("%s: %v, want %v", name, err, c.kind)
		}
	}
}

// A name that is taken is left alone.
func TestNameIsTaken(t *testing.T) {
	a, b := openStore(t, t.TempDir()), openStore(t, t.TempDir())
	src, dir := filepath.Join(t.TempDir(), "film.mkv"), t.TempDir()
	data := random(100_000, 1)
	write(t, src, data)
	write(t, filepath.Join(dir, "film.mkv"), []byte("another film"))
	write(t, filepath.Join(dir, "film.mkv"+folder.PartSuffix), []byte("somebody else's"))
	tree := share(t, a, src, nil)
	blob := get(t, a, b, tree.Root, tree.Size, filepath.Join(dir, "film.mkv"))
	if want := filepath.Join(dir, "film (1).mkv"); blob.Path() != want {
		t.Errorf("it is at %s, want %s", blob.Path(), want)
	}
	if got, _ := os.ReadFile(filepath.Join(dir, "film.mkv")); string(got) != "another film" {
		t.Error("the other film was replaced")
	}
	if got, _ := os.ReadFile(filepath.Join(dir, "film.mkv"+folder.PartSuffix)); string(got) != "somebody else's" {
		t.Error("somebody else's part was replaced")
	}
	folder := share(t, a, sample(t), nil)
	out := filepath.Join(t.TempDir(), "photos")
	write(t, filepath.Join(out, "mine"), []byte("mine"))
	if got := getTree(t, a, b, folder.Root, out, nil); got.Path != out+" (1)" || !exists(filepath.Join(out, "mine")) {
		t.Errorf("the folder is at %s", got.Path)
	}
	if state, err := b.State(t.Context(), folder.Root); err != nil || state.Path != out+" (1)" {
		t.Errorf("state: %+v, %v", state, err)
	}
}

// What is here is copied, not fetched again.
func TestWhatIsHereIsNotFetched(t *testing.T) {
	for _, private := range []bool{false, true} {
		s := openStore(t, t.TempDir())
		var key *seal.Key
		if private {
			k := seal.NewKey()
			key = &k
		}
		dir := sample(t)
		tree := share(t, s, dir, key)
		out := filepath.Join(t.TempDir(), "copy")
		m, err := s.Manifest(t.Context(), tree.Root, key)
		if err != nil {
			t.Fatal(err)
		}
		d, err := s.BeginTree(t.Context(), tree.Root, m, out, key)
		if err != nil {
			t.Fatal(err)
		}
		if missing, err := d.Missing(t.Context(), nil); err != nil || len(missing) > 0 {
			t.Errorf("missing: %v, %v", missing, err)
		}
		if _, err := d.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		d.Close()
		if treeText(t, out) != treeText(t, dir) {
			t.Errorf("private=%v:\n%s", private, treeText(t, out))
		}
	}
	s := openStore(t, t.TempDir())
	file, out := filepath.Join(t.TempDir(), "x"), filepath.Join(t.TempDir(), "y")
	write(t, file, random(1<<20, 1))
	tree := share(t, s, file, nil)
	b, err := s.Create(t.Context(), tree.Root, tree.Size, out)
	if err != nil || !b.Complete() {
		t.Fatal(err)
	}
	b.Close()
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, random(1<<20, 1)) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestContains(t *testing.T) {
	a, b := openStore(t, t.TempDir()), openStore(t, t.TempDir())
	tree := share(t, a, sample(t), nil)
	file := filepath.Join(t.TempDir(), "x")
	write(t, file, []byte("elsewhere"))
	one := share(t, a, file, nil)
	m, err := a.Manifest(t.Context(), tree.Root, nil)
	if err != nil {
		t.Fatal(err)
	}
	check := func(s *Store, root, ref kith.Ref, want bool) {
		t.Helper()
		if got, err := s.Contains(t.Context(), root, ref); err != nil || got != want {
			t.Errorf("%v in %v: %v, %v; want %v", ref.Short(), root.Short(), got, err, want)
		}
	}
	for _, e := range m.Entries {
		if e.File() {
			check(a, tree.Root, e.Ref, true)
			check(a, one.Root, e.Ref, false)
			check(a, e.Ref, e.Ref, false) // a file of a folder is not shared by itself
		}
	}
	check(a, tree.Root, tree.Root, true)
	check(a, one.Root, one.Root, true)
	check(a, tree.Root, one.Root, false)
	check(b, tree.Root, tree.Root, false)
	d := beginTree(t, a, b, tree.Root, filepath.Join(t.TempDir(), "x"), nil)
	defer d.Close()
	check(b, tree.Root, tree.Root, true)
	i := len(m.Entries) - 1
	check(b, tree.Root, m.Entries[i].Ref, false)
	if err := d.Put(t.Context(), i, []byte("wrong size")); !errors.Is(err, kith.Invalid) {
		t.Errorf("a file of the wrong size: %v", err)
	}
	if err := d.Put(t.Context(), 0, nil); !errors.Is(err, kith.Invalid) {
		t.Errorf("a folder that is put: %v", err)
	}
	fetchTree(t, a, d)
	if err := d.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(b, tree.Root, m.Entries[i].Ref, true)
}

// A private share of one file arrives as that file; with the wrong key, nothing does. Its ciphertext is an age file for everybody.
func TestPrivateFile(t *testing.T) {
	a, b := openStore(t, t.TempDir()), openStore(t, t.TempDir())
	src := filepath.Join(t.TempDir(), "diary.txt")
	data := random(3<<20+7, 1)
	write(t, src, data)
	key, wrong := seal.NewKey(), seal.NewKey()
	tree := share(t, a, src, &key)
	if tree.Folder || !tree.Private || tree.Root.Codec != kith.Raw {
		t.Errorf("shared as %+v", tree)
	}
	if other := share(t, a, src, &key); other.Root == tree.Root {
		t.Error("the same key and content made the same ciphertext")
	}
	out := filepath.Join(t.TempDir(), "diary.txt")
	get(t, a, b, tree.Root, sizeOf(t, a, tree.Root), "")
	if _, err := b.Manifest(t.Context(), tree.Root, &wrong); !errors.Is(err, kith.Denied) {
		t.Errorf("with the wrong key: %v, want Denied", err)
	}
	if _, err := b.Manifest(t.Context(), tree.Root, nil); !errors.Is(err, kith.Corrupt) {
		t.Errorf("without a key: %v, want Corrupt", err)
	}
	got := getTree(t, a, b, tree.Root, out, &key)
	if plain, err := os.ReadFile(out); err != nil || !bytes.Equal(plain, data) || got.Path != out || got.Folder {
		t.Fatalf("%d bytes at %+v, %v", len(plain), got, err)
	}
	if left, _ := os.ReadDir(filepath.Dir(out)); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
	m, err := b.Manifest(t.Context(), tree.Root, &key)
	if err != nil || !m.Single() {
		t.Fatalf("%+v, %v", m, err)
	}
	cipher := content1(t, b, m.Entries[0].Ref) // made again from the plain file
	if _, err := exec.LookPath("age"); err != nil {
		t.Skip("not tested: that Debian's age opens it (age is not installed)")
	}
	id := filepath.Join(t.TempDir(), "key")
	write(t, id, []byte(key.Identity()+"\n"))
	cmd := exec.Command("age", "-d", "-i", id)
	cmd.Stdin = bytes.NewReader(cipher)
	if plain, err := cmd.Output(); err != nil || !bytes.Equal(plain, data) {
		t.Errorf("age opens %d bytes, %v", len(plain), err)
	}
}
