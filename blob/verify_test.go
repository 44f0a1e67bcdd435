package blob

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kith"
	"kith/blob/bao"
	"kith/blob/folder"
	"kith/blob/seal"
)

// flip changes a byte of a file, as a disk does that fails: nothing tells of it.
func flip(t testing.TB, file string, off int64) {
	t.Helper()
	keepTime(t, file, func() {
		f, err := os.OpenFile(file, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var b [1]byte
		if _, err := f.ReadAt(b[:], off); err != nil {
			t.Fatal(err)
		}
		b[0] ^= 1
		if _, err := f.WriteAt(b[:], off); err != nil {
			t.Fatal(err)
		}
	})
}

func verified(t testing.TB, s *Store, root kith.Ref) string {
	t.Helper()
	var last, total int64
	found, err := s.Verify(t.Context(), root, func(file string, done, all int64) {
		if done < last || done > all {
			t.Errorf("%s: %d after %d, of %d", file, done, last, all)
		}
		last, total = done, all
	})
	if err != nil || last != total && len(found) == 0 {
		t.Fatalf("%d of %d, %v", last, total, err)
	}
	var b strings.Builder
	for _, d := range found {
		fmt.Fprintf(&b, "%s %d+%d", filepath.Base(d.Path), d.Off, d.N)
		if d.Own {
			b.WriteString(" own")
		}
		if d.Changed {
			b.WriteString(" changed")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// What is damaged is named to the group, whatever its stamps say, and what is right is not.
func TestVerify(t *testing.T) {
	const size = 20<<20 + 5
	const g = bao.GroupSize
	for name, c := range map[string]struct {
		damage func(file string, s *Store, ref kith.Ref)
		want   string
	}{
		"nothing": {func(string, *Store, kith.Ref) {}, ""},
		"a byte":  {func(f string, _ *Store, _ kith.Ref) { flip(t, f, 100*g+7) }, fmt.Sprintf("x %d+%d own\n", 100*g, g)},
		"some": {func(f string, _ *Store, _ kith.Ref) {
			flip(t, f, 0)
			flip(t, f, g)
			flip(t, f, 1279*g)
			flip(t, f, 1280*g+4)
		}, fmt.Sprintf("x 0+%d own\nx %d+%d own\n", 2*g, 1279*g, g+5)},
		"touched":      {func(f string, _ *Store, _ kith.Ref) { os.Chtimes(f, time.Now(), time.Now().Add(time.Hour)) }, ""},
		"cut":          {func(f string, _ *Store, _ kith.Ref) { os.Truncate(f, 1200*g) }, fmt.Sprintf("x %d+%d changed\n", 1200*g, 80*g+5)},
		"longer":       {func(f string, _ *Store, _ kith.Ref) { os.Truncate(f, size+1) }, fmt.Sprintf("x %d+5 changed\n", 1280*g)},
		"removed":      {func(f string, _ *Store, _ kith.Ref) { os.Remove(f) }, fmt.Sprintf("x 0+%d changed\n", size)},
		"tree removed": {func(_ string, s *Store, ref kith.Ref) { os.Remove(s.outboard(ref.Sum)) }, ""},
		"tree garbage": {func(_ string, s *Store, ref kith.Ref) { write(t, s.outboard(ref.Sum), random(81920, 5)) }, ""},
		"both": {func(f string, s *Store, ref kith.Ref) {
			flip(t, f, 100*g)
			flip(t, s.outboard(ref.Sum), 64*600) // of the left half, beside what is damaged
		}, fmt.Sprintf("x %d+%d own\n", 100*g, g)},
	} {
		t.Run(name, func(t *testing.T) {
			a, s := openStore(t, t.TempDir()), openStore(t, t.TempDir())
			src, file := filepath.Join(t.TempDir(), "x"), filepath.Join(t.TempDir(), "x")
			write(t, src, random(size, 1))
			tree := share(t, a, src, nil)
			get(t, a, s, tree.Root, size, file)
			c.damage(file, s, tree.Root)
			if got := verified(t, s, tree.Root); got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
			if c.want == "" { // and the tree is right
				b, err := s.Blob(t.Context(), tree.Root)
				if err != nil {
					t.Fatal(err)
				}
				defer b.Close()
				s.reload(tree.Root.Sum)
				outboard, err := os.ReadFile(s.outboard(tree.Root.Sum))
				want, _ := os.ReadFile(a.outboard(tree.Root.Sum))
				if err != nil || !bytes.Equal(outboard, want) {
					t.Error("the hash tree was not put right")
				}
			}
		})
	}
}

// A folder is verified with all that is in it, plain or private, and what the store keeps itself.
func TestVerifyFolder(t *testing.T) {
	for _, private := range []bool{false, true} {
		s := openStore(t, t.TempDir())
		dir := sample(t)
		var key *seal.Key
		if private {
			k := seal.NewKey()
			key = &k
		}
		tree := share(t, s, dir, key)
		if got := verified(t, s, tree.Root); got != "" {
			t.Errorf("private=%v: %s", private, got)
		}
		flip(t, filepath.Join(dir, "run.sh"), 3)
		flip(t, filepath.Join(dir, "twice"), 99_000)
		got := verified(t, s, tree.Root)
		if lines := strings.Split(strings.TrimSpace(got), "\n"); len(lines) != 2 || !strings.HasPrefix(lines[0], "run.sh 0+") || !strings.HasPrefix(lines[1], "twice ") || strings.Contains(got, "own") {
			t.Errorf("private=%v: %s", private, got)
		}
	}
	s := openStore(t, t.TempDir())
	ref, err := s.Put(t.Context(), random(100_000, 1), kith.Raw)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Verify(t.Context(), ref, nil); !errors.Is(err, kith.NotFound) {
		t.Errorf("of no tree: %v", err)
	}
}

// damagedDownload downloads a file or folder, and damages one file of it.
func damagedDownload(t *testing.T, what string) (from, s *Store, tree Tree, dir, file, want string) {
	t.Helper()
	from, s = openStore(t, t.TempDir()), openStore(t, t.TempDir())
	out := t.TempDir()
	switch what {
	case "file", "small":
		file = filepath.Join(out, "film.mkv")
		src := filepath.Join(t.TempDir(), "film.mkv")
		write(t, src, random(map[string]int{"file": 30<<20 + 3, "small": 300_000}[what], 1))
		tree = share(t, from, src, nil)
		get(t, from, s, tree.Root, tree.Size, file).Close()
		dir = file
	default:
		src := sample(t)
		write(t, filepath.Join(src, "deep", "large"), random(3<<20, 7))
		if err := os.Chmod(filepath.Join(src, "deep", "large"), 0o444); err != nil {
			t.Fatal(err)
		}
		var key *seal.Key
		if what == "private" {
			key = &crashKey
		}
		tree = share(t, from, src, key)
		dir = getTree(t, from, s, tree.Root, filepath.Join(out, "photos"), key).Path
		file = filepath.Join(dir, "deep", "large")
	}
	want = treeText(t, out)
	flip(t, file, 200_000)
	return from, s, tree, dir, file, want
}

// A damaged file that Kith downloaded becomes incomplete again: only what is damaged is missing. Then it is as it was, and still Kith's own.
func TestRepair(t *testing.T) {
	for _, what := range []string{"file", "small", "folder", "private"} {
		t.Run(what, func(t *testing.T) {
			from, s, tree, dir, file, want := damagedDownload(t, what)
			out := filepath.Dir(dir)
			if err := s.Repair(t.Context(), tree.Root, filepath.Join(out, "other")); !errors.Is(err, kith.NotFound) {
				t.Errorf("of no file: %v", err)
			}
			found, err := s.Verify(t.Context(), tree.Root, nil)
			if err != nil || len(found) < 1 || len(found) > 2 || found[0].Path != file || !found[0].Own { // of ciphertext the tag is wrong too
				t.Fatalf("%+v, %v", found, err)
			}
			if err := s.Repair(t.Context(), tree.Root, file); err != nil {
				t.Fatal(err)
			}
			parts, err := s.Repairing(t.Context(), tree.Root)
			if err != nil || len(parts) != 1 || parts[0].Path != file || parts[0].Ref != found[0].Ref {
				t.Fatalf("%+v, %v", parts, err)
			}
			if exists(file) != (what == "private") {
				t.Error("the damaged file has its name, or has not")
			}
			b, err := s.Blob(t.Context(), parts[0].Ref)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			if missing := b.Have().Len() - b.Have().Count(); b.Complete() || missing < 1 || missing > 2 {
				t.Errorf("%d groups are missing", missing)
			}
			last := bao.Range{First: b.Have().Len() - 1, N: 1}
			if _, err := b.Proof(nil, last); err != nil {
				t.Errorf("what is right is not served: %v", err)
			}
			if got := verified(t, s, tree.Root); got != "" {
				t.Errorf("what is being repaired is damaged: %s", got)
			}
			fetch(t, from, b, -1)
			if err := b.Finish(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := treeText(t, out); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if got := verified(t, s, tree.Root); got != "" {
				t.Errorf("still damaged: %s", got)
			}
			if state, err := s.State(t.Context(), tree.Root); err != nil || !state.Complete || state.Gone || state.Path != dir {
				t.Errorf("state %+v, %v", state, err)
			}
			if parts, err := s.Repairing(t.Context(), tree.Root); err != nil || len(parts) != 0 {
				t.Errorf("%+v, %v", parts, err)
			}
			b.Close()
			if !remove(t, s, tree.Root, true) || exists(dir) {
				t.Errorf("not known as Kith's own any more:\n%s", treeText(t, out))
			}
			empty(t, s)
		})
	}
}

// If the right bytes are in another file, nothing need be fetched.
func TestRepairFromACopy(t *testing.T) {
	for _, what := range []string{"folder", "private"} {
		from, s, tree, dir, large, _ := damagedDownload(t, what)
		file := filepath.Join(dir, "twice")
		if what == "private" {
			flip(t, large, 200_000) // it is right again
			getTree(t, from, s, tree.Root, filepath.Join(t.TempDir(), "copy"), &crashKey)
		}
		before := treeText(t, dir)
		flip(t, file, 70_000)
		if err := s.Repair(t.Context(), tree.Root, file); err != nil {
			t.Fatal(err)
		}
		if parts, err := s.Repairing(t.Context(), tree.Root); err != nil || len(parts) != 0 || treeText(t, dir) != before {
			t.Errorf("%s: %+v, %v\n%s", what, parts, err, treeText(t, dir))
		}
		if got := verified(t, s, tree.Root); strings.Contains(got, "twice") {
			t.Errorf("%s: %s", what, got)
		}
	}
}

// A person's own file is repaired if that was asked for, and stays theirs: neither what becomes of it nor forgetting the share deletes it.
func TestRepairOfSomebodysFile(t *testing.T) {
	for _, end := range []string{"finished", "deleted"} {
		from, s := openStore(t, t.TempDir()), openStore(t, t.TempDir())
		src, file := filepath.Join(t.TempDir(), "x"), filepath.Join(t.TempDir(), "x")
		data := random(3<<20, 1)
		write(t, src, data)
		write(t, file, data)
		share(t, from, src, nil)
		tree := share(t, s, file, nil)
		flip(t, file, 1<<20)
		if found, err := s.Verify(t.Context(), tree.Root, nil); err != nil || len(found) != 1 || found[0].Own || found[0].Changed {
			t.Fatalf("%+v, %v", found, err)
		}
		damaged, _ := os.ReadFile(file)
		if err := s.Repair(t.Context(), tree.Root, file); err != nil {
			t.Fatal(err)
		}
		if end == "finished" {
			b, err := s.Blob(t.Context(), tree.Root)
			if err != nil {
				t.Fatal(err)
			}
			fetch(t, from, b, -1)
			if err := join(b.Finish(t.Context()), b.Close()); err != nil {
				t.Fatal(err)
			}
			damaged = data
		}
		remove(t, s, tree.Root, true)
		if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, damaged) {
			t.Errorf("%s: %d bytes, %v", end, len(got), err)
		}
		if left, _ := os.ReadDir(filepath.Dir(file)); len(left) != 1 {
			t.Errorf("%s: left %v", end, left)
		}
	}
}

// A file that somebody has changed is left alone; the right one comes to stand beside it.
func TestRepairOfAChangedFile(t *testing.T) {
	for _, what := range []string{"file", "private", "removed"} {
		kind := what
		if what == "removed" {
			kind = "file"
		}
		from, s, tree, dir, file, _ := damagedDownload(t, kind)
		flip(t, file, 200_000) // it is right again
		mine := []byte("mine now")
		if what == "removed" {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		} else {
			os.Chmod(file, 0o644)
			write(t, file, mine)
		}
		if err := s.Repair(t.Context(), tree.Root, file); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		parts, err := s.Repairing(t.Context(), tree.Root)
		if err != nil || len(parts) != 1 {
			t.Fatalf("%s: %+v, %v", what, parts, err)
		}
		b, err := s.Blob(t.Context(), parts[0].Ref)
		if err != nil {
			t.Fatal(err)
		}
		fetch(t, from, b, -1)
		if err := join(b.Finish(t.Context()), b.Close()); err != nil {
			t.Fatal(err)
		}
		at := file
		if what != "removed" {
			if got, _ := os.ReadFile(file); !bytes.Equal(got, mine) {
				t.Errorf("%s: the changed file was replaced", what)
			}
			at = strings.Replace(strings.Replace(file, "film.mkv", "film (1).mkv", 1), "large", "large (1)", 1)
		}
		if info, err := os.Stat(at); err != nil || info.Size() < 3<<20 {
			t.Errorf("%s: %v\n%s", what, err, treeText(t, dir))
		}
		if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), "*"+folder.PartSuffix)); len(left) != 0 {
			t.Errorf("%s: left %v", what, left)
		}
		if state, err := s.State(t.Context(), tree.Root); err != nil || state.Gone || what == "file" && state.Path != at {
			t.Errorf("%s: state %+v, %v", what, state, err)
		}
	}
}

// A download that is forgotten while it is repaired keeps its file, under its name, or loses it with all others if that was asked for.
func TestDeleteDuringRepair(t *testing.T) {
	for _, what := range []string{"file", "folder", "private"} {
		for _, files := range []bool{false, true} {
			_, s, tree, dir, file, _ := damagedDownload(t, what)
			damaged := treeText(t, filepath.Dir(dir))
			if err := s.Repair(t.Context(), tree.Root, file); err != nil {
				t.Fatal(err)
			}
			remove(t, s, tree.Root, files)
			empty(t, s)
			if got := treeText(t, filepath.Dir(dir)); files == exists(dir) || !files && got != damaged {
				t.Errorf("%s, files=%v: left\n%s\nof\n%s", what, files, got, damaged)
			}
		}
	}
}
