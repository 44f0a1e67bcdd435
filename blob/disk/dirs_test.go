package disk

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// Files land where they belong while more folders are in use than stay open, and no link leads out.
func TestDirs(t *testing.T) {
	top := t.TempDir()
	root, err := os.OpenRoot(top)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for i := range 3 * maxDirs {
		if err := os.MkdirAll(filepath.Join(top, fmt.Sprint(i), "deep"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	d := NewDirs(root)
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			for i := range 200 {
				dir, name, err := d.Use(fmt.Sprintf("%d/deep/%d-%d", (i*7+worker)%(3*maxDirs), worker, i))
				if err != nil {
					t.Error(err)
					return
				}
				if err := dir.WriteFile(name, []byte(name), 0o644); err != nil {
					t.Error(err)
				}
				d.Done(dir)
			}
		})
	}
	group.Wait()
	files, err := filepath.Glob(filepath.Join(top, "*", "deep", "*-*"))
	if err != nil || len(files) != 4*200 {
		t.Errorf("%d files, %v", len(files), err)
	}
	if err := os.Symlink(os.TempDir(), filepath.Join(top, "out")); err == nil {
		if _, _, err := d.Use("out/file"); err == nil {
			t.Error("a link led out")
		}
	}
	held, _, err := d.Use("0/deep/x")
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	if err := held.WriteFile("x", nil, 0o644); err != nil {
		t.Errorf("a folder in use was closed: %v", err)
	}
	d.Done(held)
	if err := held.WriteFile("y", nil, 0o644); err == nil {
		t.Error("a folder that nobody uses stays open")
	}
}
