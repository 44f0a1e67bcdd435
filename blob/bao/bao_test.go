package bao

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"

	library "lukechampine.com/blake3/bao"
)

// Build makes the tree that the library makes.
func TestBuild(t *testing.T) {
	for _, size := range []int{0, 1, 1023, 1024, 1025, 16383, 16384, 16385, 1 << 20, 1<<20 + 1, 5<<20 + 12345} {
		data := make([]byte, size)
		rand.NewChaCha8([32]byte{byte(size)}).Read(data)
		want, root := library.EncodeBuf(data, 4, true)
		out := make(Memory, OutboardSize(int64(size)))
		sum, err := Build(context.Background(), bytes.NewReader(data), int64(size), out, nil)
		if err != nil || sum != root || !bytes.Equal(out, want[8:]) {
			t.Fatal(size, err, sum == root)
		}
		if Hash(data) != root {
			t.Fatal("hash", size)
		}
		b := NewBuilder(nil, int64(size))
		b.Write(data)
		if sum, err := b.Finish(); err != nil || sum != root {
			t.Fatal("builder", size, err)
		}
		half := NewTree(root, int64(size), make(Memory, len(out)))
		full := NewTree(root, int64(size), out)
		for g := range Groups(int64(size)) {
			p, err := full.Proof(nil, Range{g, 1})
			if err != nil {
				t.Fatal(err)
			}
			if err := half.AddProof(Range{g, 1}, p); err != nil {
				t.Fatal(err)
			}
			if err := half.Verify(g, data[g*GroupSize:min((g+1)*GroupSize, int64(size))]); err != nil {
				t.Fatal(err)
			}
		}
	}
}
