package sample

import (
	"image"
	_ "image/gif"
	_ "image/png"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMake: every kind comes out in the size that was promised, of names that any system takes, and each round is another.
func TestMake(t *testing.T) {
	dir := t.TempDir()
	seen := map[string]bool{}
	for i := range Kinds + 1 {
		path, err := Make(dir, i)
		if err != nil {
			t.Fatal(err)
		}
		if seen[path] {
			t.Errorf("%s was made before", path)
		}
		seen[path] = true
		size := int64(0)
		filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			size += info.Size()
			if strings.ContainsAny(d.Name(), `\/:*?"<>|`) {
				t.Errorf("%q is no name everywhere", d.Name())
			}
			check(t, p)
			return nil
		})
		t.Logf("%s: %d bytes", filepath.Base(path), size)
		if size < 500_000 || size > 4_000_000 {
			t.Errorf("%s has %d bytes, not 0.5 to 4 MB", path, size)
		}
	}
}

// check reads a file with the standard library, where that can.
func check(t *testing.T, path string) {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	switch filepath.Ext(path) {
	case ".png", ".gif":
		if _, _, err := image.Decode(f); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	case ".wav":
		head := make([]byte, 44)
		f.Read(head)
		if string(head[:4]) != "RIFF" || string(head[8:16]) != "WAVEfmt " || string(head[36:40]) != "data" {
			t.Errorf("%s: header %q", path, head)
		}
	}
}

// TestSame: the same number gives the same bytes, so that neighbours of two runs share the same thing.
func TestSame(t *testing.T) {
	one, err := Make(t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	two, err := Make(t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := os.ReadFile(one)
	b, _ := os.ReadFile(two)
	if len(a) == 0 || string(a) != string(b) {
		t.Errorf("%d and %d bytes, and they differ", len(a), len(b))
	}
}
