package draft

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"kith"
	"kith/blob/bao"
	"kith/internal/disktest"
)

func init() { full = fullDisk }

// TestFullDisk fills a small file system of its own, in a mount namespace that ends with the process.
func TestFullDisk(t *testing.T) {
	disktest.Run(t, crash{what: "full", dir: t.TempDir()}.command(), "a full disk")
}

func fullDisk(t *testing.T, dir string) {
	small := disktest.New(t, dir, "small", "4m")
	size := int64(3 << 20)
	data := random(size, 1)
	o := Options{State: filepath.Join(small, "state"), Path: filepath.Join(small, "x"), Files: []File{{Path: "x", Size: size}}}
	d, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	put(t, d, 0, data, 0, size/2)
	if err := d.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	junk, err := os.Create(filepath.Join(small, "junk"))
	if err != nil {
		t.Fatal(err)
	}
	for chunk := make([]byte, 4096); err == nil; {
		_, err = junk.Write(chunk)
	}
	if err := d.WriteAt(0, size/2, data[size/2:]); !errors.Is(err, kith.Unavailable) || kith.HintOf(err) == "" {
		t.Errorf("write on a full disk: %v (hint %q)", err, kith.HintOf(err))
	}
	if got := d.Have(0).Count(); got != bao.Groups(size)/2 {
		t.Errorf("%d groups are claimed", got)
	}
	if _, err := Open(t.Context(), Options{State: o.State + "2", Path: o.Path + "2", Files: o.Files}); !errors.Is(err, kith.Unavailable) {
		t.Errorf("another one was begun: %v", err)
	}
	// as after kill -9, and when there is room again
	if err := join(junk.Close(), os.Remove(junk.Name())); err != nil {
		t.Fatal(err)
	}
	again, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if got := again.Have(0).Count(); got != bao.Groups(size)/2 {
		t.Errorf("%d groups are still there", got)
	}
	put(t, again, 0, data, 0, size)
	at, err := again.Finish(t.Context())
	if read, errRead := os.ReadFile(at); err != nil || errRead != nil || bao.Hash(read) != bao.Hash(data) {
		t.Errorf("%v, %v", err, errRead)
	}
}
