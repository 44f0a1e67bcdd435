package blob

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"kith"
	"kith/blob/bao"
	"kith/blob/folder"
)

// What cannot be shared is refused when it was asked for, and left out and named when it is inside a folder.
func TestImportOfWhatIsNoFile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("not tested: pipes and sockets (Windows)")
	}
	s := openStore(t, t.TempDir())
	dir := filepath.Join(t.TempDir(), "d")
	write(t, filepath.Join(dir, "good"), []byte("good"))
	pipe, sock := filepath.Join(dir, "pipe"), filepath.Join(dir, "sock")
	if err := mkfifo(pipe); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, path := range []string{pipe, sock, os.DevNull} {
		if _, err := s.Import(t.Context(), path, ImportOptions{}); !errors.Is(err, kith.Invalid) || kith.HintOf(err) == "" {
			t.Errorf("%s: %v, want Invalid with a hint", path, err)
		}
	}
	if _, err := s.Import(t.Context(), filepath.Join(dir, "missing"), ImportOptions{}); !errors.Is(err, kith.NotFound) || kith.HintOf(err) == "" {
		t.Errorf("missing: %v, want NotFound with a hint", err)
	}
	outside := filepath.Join(t.TempDir(), "secret")
	write(t, outside, []byte("secret"))
	for name, target := range map[string]string{"abs": outside, "up": "../secret", "ok": "good", "hops": "sub/../../x"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a:b", "new\nline", "trailing.", "GOOD", "half.mkv" + folder.PartSuffix, "bad:dir/x"} {
		write(t, filepath.Join(dir, name), []byte("x"))
	}
	tree := share(t, s, dir, nil)
	m, err := s.Manifest(t.Context(), tree.Root, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got, skips []string
	for _, e := range m.Entries {
		got = append(got, e.Path)
	}
	for _, skip := range tree.SkipNotes {
		skips = append(skips, skip.Path)
		if skip.Why == "" {
			t.Errorf("%q is left out for no reason", skip.Path)
		}
	}
	slices.Sort(skips)
	// of GOOD and good, which are one file elsewhere, the first stays
	if want := "GOOD"; strings.Join(got, " ") != want+" ok" {
		t.Errorf("shared are %q", got)
	}
	if want := []string{"a:b", "abs", "bad:dir", "good", "half.mkv.kith-part", "hops", "new\nline", "pipe", "sock", "trailing.", "up"}; !slices.Equal(skips, want) || tree.Skipped != len(want) {
		t.Errorf("left out are %q (%d), want %q", skips, tree.Skipped, want)
	}
}

// A path that is a link leads to what is shared: who names it means that.
func TestImportThroughALink(t *testing.T) {
	s := openStore(t, t.TempDir())
	file, link := filepath.Join(t.TempDir(), "real"), filepath.Join(t.TempDir(), "name")
	write(t, file, []byte("x"))
	if err := os.Symlink(file, link); err != nil {
		t.Skip("not tested: links (this system has none)")
	}
	if tree := share(t, s, link, nil); tree.Name != "name" || tree.Root != kith.RawRef(bao.Hash([]byte("x"))) {
		t.Errorf("%+v", tree)
	}
}

// A second import reads only what has changed. That it did not read is seen by what it did not notice.
func TestImportAgainReadsOnlyWhatChanged(t *testing.T) {
	s := openStore(t, t.TempDir())
	dir := filepath.Join(t.TempDir(), "d")
	secretly, openly := filepath.Join(dir, "secretly"), filepath.Join(dir, "openly")
	write(t, secretly, []byte("first"))
	write(t, openly, []byte("first"))
	share(t, s, dir, nil)
	keepTime(t, secretly, func() { write(t, secretly, []byte("other")) })
	write(t, openly, []byte("changed"))
	tree := share(t, s, dir, nil)
	m, err := s.Manifest(t.Context(), tree.Root, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range m.Entries {
		want := map[string]string{"secretly": "first", "openly": "changed"}[e.Path]
		if e.Ref != kith.RawRef(bao.Hash([]byte(want))) {
			t.Errorf("%s is not shared as %q", e.Path, want)
		}
	}
}

// The same content shared once more is the same tree.
func TestImportTwiceIsOneTree(t *testing.T) {
	s := openStore(t, t.TempDir())
	dir := sample(t)
	one, two := share(t, s, dir, nil), share(t, s, dir, nil)
	trees, err := s.Trees(t.Context())
	if err != nil || len(trees) != 1 || one.Root != two.Root || trees[0].Root != one.Root {
		t.Errorf("%d trees, %v", len(trees), err)
	}
	remove(t, s, one.Root, true)
	empty(t, s)
}

// If ctx ends, nothing stays behind, however far it was.
func TestImportCancelled(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	for i := range importBatch + 200 {
		write(t, filepath.Join(dir, fmt.Sprint(i)), []byte(fmt.Sprint(i)))
	}
	write(t, filepath.Join(dir, "0big"), random(40<<20, 1))
	s := openStore(t, t.TempDir())
	for _, after := range []int{1, importBatch + 100} {
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		_, err := s.Import(ctx, dir, ImportOptions{Progress: func(string, int64, int64) {
			if n++; n == after {
				cancel()
			}
		}})
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("after %d files: %v, want Canceled", after, err)
		}
		empty(t, s)
	}
}

func TestImportTellsProgress(t *testing.T) {
	s := openStore(t, t.TempDir())
	dir := sample(t)
	var last, total int64
	tree, err := s.Import(t.Context(), dir, ImportOptions{Progress: func(file string, done, all int64) {
		if done < last || done > all || file == "" {
			t.Errorf("%s: %d after %d, of %d", file, done, last, all)
		}
		last, total = done, all
	}})
	if err != nil || last != tree.Size || total != tree.Size {
		t.Errorf("%d of %d, size %d, %v", last, total, tree.Size, err)
	}
}

// A file that changes each time it is read is not shared; one that changed once is read again.
func TestImportOfAFileThatChanges(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	file := filepath.Join(dir, "log")
	write(t, file, random(30<<20, 1))
	write(t, filepath.Join(dir, "calm"), []byte("calm"))
	s := openStore(t, t.TempDir())
	restless := func(times int) func(string, int64, int64) {
		return func(name string, done, _ int64) {
			if times > 0 && strings.HasSuffix(name, "log") && done > 0 {
				times--
				when := time.Now().Add(time.Duration(times) * time.Hour)
				if err := os.Chtimes(file, when, when); err != nil {
					t.Error(err)
				}
			}
		}
	}
	if _, err := s.Import(t.Context(), file, ImportOptions{Progress: restless(1)}); err != nil {
		t.Errorf("changed once: %v", err)
	}
	remove(t, s, kith.RawRef(bao.Hash(random(30<<20, 1))), false)
	if _, err := s.Import(t.Context(), file, ImportOptions{Progress: restless(1000)}); !errors.Is(err, kith.Unavailable) || kith.HintOf(err) == "" {
		t.Errorf("changes all the time: %v, want Unavailable with a hint", err)
	}
	empty(t, s)
	tree, err := s.Import(t.Context(), dir, ImportOptions{Progress: restless(1000)})
	if err != nil || tree.Files != 1 || tree.Skipped != 1 || tree.SkipNotes[0].Path != "log" {
		t.Errorf("in a folder: %+v, %v", tree, err)
	}
}
