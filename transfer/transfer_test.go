package transfer

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"kith/blob"
	"kith/blob/bao"
	"kith/blob/seal"
)

func TestFile(t *testing.T) {
	for _, size := range []int{0, 1, bao.GroupSize, bao.GroupSize + 1, 5<<20 + 7} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			h := newHub(t)
			seed, leech := h.node(), h.node()
			data := noise(1, size)
			d := leech.get(seed.share(data), seed)
			wait(t, d)
			s := d.Status()
			mustHold(t, s.Path, data)
			if s.State != Done || s.Size != int64(size) || s.Done != int64(size) || size > 0 && s.From != 1 {
				t.Errorf("status %+v", s)
			}
			if leech.m.Download(d.root) != nil {
				t.Error("it is done, and is still kept")
			}
		})
	}
}

// photos makes a folder with many kinds of files in it.
func photos(t testing.TB, small int) string {
	dir := filepath.Join(t.TempDir(), "photos")
	for i := range small {
		sub := filepath.Join(dir, fmt.Sprintf("d%02d", i%7))
		if err := os.MkdirAll(sub, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(sub, fmt.Sprintf("f%05d", i)), noise(uint64(i), 4096), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, size := range map[string]int{"empty": 0, "small": 60 << 10, "middle": 300 << 10, "large.mkv": 5<<20 + 1} {
		if err := os.WriteFile(filepath.Join(dir, name), noise(uint64(size), size), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("large.mkv", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "nothing in it"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestFolder(t *testing.T) {
	h := newHub(t)
	seed, leech := h.node(), h.node()
	dir := photos(t, 200)
	d := leech.get(seed.sharePath(dir, blob.ImportOptions{}), seed)
	wait(t, d)
	s := d.Status()
	if want, got := tree(t, dir), tree(t, s.Path); !maps.Equal(want, got) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	if s.Files != 204 || s.Done != s.Size {
		t.Errorf("status %+v", s)
	}
}

func TestPrivate(t *testing.T) {
	h := newHub(t)
	seed, leech := h.node(), h.node()
	dir := photos(t, 20)
	for _, path := range []string{dir, filepath.Join(dir, "large.mkv"), filepath.Join(dir, "small")} {
		t.Run(filepath.Base(path), func(t *testing.T) {
			key := seal.NewKey()
			root := seed.sharePath(path, blob.ImportOptions{Key: &key})
			into := t.TempDir()
			d, err := leech.m.Start(Job{Root: root, Size: -1, Dir: into, Key: &key, Peers: []peerInfo{seed.info()}})
			if err != nil {
				t.Fatal(err)
			}
			wait(t, d)
			s := d.Status()
			if s.Path != filepath.Join(into, filepath.Base(path)) {
				t.Errorf("it is at %s", s.Path)
			}
			if want, got := tree(t, path), tree(t, s.Path); !maps.Equal(want, got) {
				t.Errorf("got %v\nwant %v", got, want)
			}
		})
	}
}
