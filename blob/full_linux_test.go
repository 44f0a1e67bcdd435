package blob

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"kith"
	"kith/blob/bao"
	"kith/internal/disktest"
)

func init() { children["full"] = fullDisk }

// TestFullDisk fills a small file system of its own, in a mount namespace that ends with the process.
func TestFullDisk(t *testing.T) {
	disktest.Run(t, crash{what: "full", dir: t.TempDir()}.command(), "a full disk")
}

func fullDisk(t *testing.T, c crash) {
	small := disktest.New(t, c.dir, "small", "6m")
	from, to := openStore(t, filepath.Join(c.dir, "from")), openStore(t, filepath.Join(small, "store"))
	src, out := filepath.Join(c.dir, "x"), filepath.Join(small, "x")
	data := random(3<<20, 1)
	write(t, src, data)
	tree := share(t, from, src, nil)
	full := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, kith.Unavailable) || kith.HintOf(err) == "" {
			t.Errorf("%s on a full disk: %v (hint %q)", what, err, kith.HintOf(err))
		}
	}
	if _, err := to.Create(t.Context(), tree.Root, 1<<30, out); err == nil {
		t.Error("a gigabyte was begun")
	} else {
		full("create", err)
	}
	b, err := to.Create(t.Context(), tree.Root, tree.Size, out)
	if err != nil {
		t.Fatal(err)
	}
	fetch(t, from, b, 50)
	if err := b.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := bao.Range{First: 50, N: bao.Groups(b.Size()) - 50}
	whole, err := from.Blob(t.Context(), tree.Root)
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close()
	proof, err := whole.Proof(nil, r)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.AddProof(r, proof); err != nil {
		t.Fatal(err)
	}
	junk, err := os.Create(filepath.Join(small, "junk"))
	if err != nil {
		t.Fatal(err)
	}
	for chunk := make([]byte, 4096); err == nil; {
		_, err = junk.Write(chunk)
	}
	have := b.Have().Count()
	full("write", b.WriteGroups(50, data[50*bao.GroupSize:]))
	if b.Have().Count() != have {
		t.Error("a group that was not written is claimed")
	}
	_, err = to.Put(t.Context(), random(200_000, 2), kith.Raw)
	full("put", err)
	_, err = to.Put(t.Context(), random(16_000, 3), kith.Raw)
	for i := uint64(4); err == nil && i < 100; i++ { // until the database needs room
		_, err = to.Put(t.Context(), random(16_000, i), kith.Raw)
	}
	full("small put", err)
	if err := join(junk.Close(), os.Remove(junk.Name())); err != nil {
		t.Fatal(err)
	}
	fetch(t, from, b, -1)
	if err := join(b.Finish(t.Context()), b.Close()); err != nil {
		t.Fatal(err)
	}
	if got, err := readAll(t, to, tree.Root); err != nil || len(got) != len(data) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}
