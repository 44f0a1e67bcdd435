package bao

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// benchFile returns a file of size bytes, and its path. It is in the page cache: what is measured is hashing.
func benchFile(b *testing.B, size int64) (*os.File, string) {
	path := filepath.Join(b.TempDir(), "data")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	if _, err := io.CopyN(f, rand.NewChaCha8([32]byte{1}), size); err != nil {
		b.Fatal(err)
	}
	return f, path
}

// BenchmarkBuild hashes a file of 1 GiB, and lets b3sum do it in turn: "x-b3sum" is our time over its time.
func BenchmarkBuild(b *testing.B) {
	const size = 1 << 30
	f, path := benchFile(b, size)
	out, err := os.Create(path + ".obao")
	if err != nil {
		b.Fatal(err)
	}
	defer out.Close()
	b3sum, err := exec.LookPath("b3sum")
	if err != nil {
		b.Log("b3sum is not installed: the ratio to it was not measured")
	}
	var ours, theirs time.Duration
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		if _, err := Build(context.Background(), f, size, out, nil); err != nil {
			b.Fatal(err)
		}
		ours += time.Since(start)
		if b3sum == "" {
			continue
		}
		b.StopTimer()
		start = time.Now()
		if err := exec.Command(b3sum, path).Run(); err != nil {
			b.Fatal(err)
		}
		theirs += time.Since(start)
		b.StartTimer()
	}
	if theirs > 0 {
		b.ReportMetric(float64(ours)/float64(theirs), "x-b3sum")
	}
}

// BenchmarkBuilder writes 256 MiB in pieces of 1 MiB.
func BenchmarkBuilder(b *testing.B) {
	const size = 256 << 20
	piece := make([]byte, 1<<20)
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		w := NewBuilder(nil, size)
		for range size / len(piece) {
			w.Write(piece)
		}
		if _, err := w.Finish(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBuildSmall is what a file of 4 KiB costs.
func BenchmarkBuildSmall(b *testing.B) {
	data := bytes.NewReader(make([]byte, 4096))
	b.SetBytes(4096)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Build(context.Background(), data, 4096, nil, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHash4KiB(b *testing.B) {
	data := make([]byte, 4096)
	b.SetBytes(4096)
	b.ReportAllocs()
	for b.Loop() {
		Hash(data)
	}
}

// BenchmarkHash1MiB is the speed of hashing on one core, to which those below compare.
func BenchmarkHash1MiB(b *testing.B) {
	data := make([]byte, 1<<20)
	b.SetBytes(1 << 20)
	for b.Loop() {
		Hash(data)
	}
}

// benchTree returns a blob of 1 GiB, of which only the first 64 MiB have distinct bytes, with its tree in a file, and those.
func benchTree(b *testing.B) (*Tree, []byte, Sum) {
	const size = 1 << 30
	f, path := benchFile(b, 64<<20)
	if err := f.Truncate(size); err != nil {
		b.Fatal(err)
	}
	out, err := os.Create(path + ".obao")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { out.Close() })
	sum, err := Build(context.Background(), f, size, out, nil)
	if err != nil {
		b.Fatal(err)
	}
	data := make([]byte, 64<<20)
	if _, err := f.ReadAt(data, 0); err != nil {
		b.Fatal(err)
	}
	return NewTree(sum, size, out), data, sum
}

// BenchmarkProof is what a peer costs that asks for 1 MiB.
func BenchmarkProof(b *testing.B) {
	tree, data, _ := benchTree(b)
	var buf []byte
	i := int64(0)
	b.SetBytes(1 << 20)
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buf, err = tree.Proof(buf[:0], Range{i * 64, 64}); err != nil {
			b.Fatal(err)
		}
		i = (i + 1) % int64(len(data)>>20)
	}
}

// BenchmarkReceive is what 1 MiB from a peer costs: its proof, and then each of its 64 groups, or all of them at once. "x-hash"
// is that over the time of Hash for the same bytes, which are in the cache, as what has just come is.
func BenchmarkReceive(b *testing.B) {
	full, data, sum := benchTree(b)
	const n = 4 // MiB that take turns
	var proofs [n][]byte
	for i := range proofs {
		var err error
		if proofs[i], err = full.Proof(nil, Range{int64(i) * 64, 64}); err != nil {
			b.Fatal(err)
		}
	}
	for name, verify := range map[string]func(t *Tree, first int64, data []byte) error{
		"Verify": func(t *Tree, first int64, data []byte) error {
			for g := range int64(64) {
				if err := t.Verify(first+g, data[g*GroupSize:(g+1)*GroupSize]); err != nil {
					return err
				}
			}
			return nil
		},
		"VerifyRange": func(t *Tree, first int64, data []byte) error {
			_, err := t.VerifyRange(first, data)
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			f, err := os.Create(filepath.Join(b.TempDir(), "outboard"))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			tree := NewTree(sum, 1<<30, f)
			var ours, hash time.Duration
			i := 0
			b.SetBytes(1 << 20)
			b.ReportAllocs()
			for b.Loop() {
				part := data[i<<20 : (i+1)<<20]
				b.StopTimer()
				Hash(part) // into the cache
				b.StartTimer()
				start := time.Now()
				if err := tree.AddProof(Range{int64(i) * 64, 64}, proofs[i]); err != nil {
					b.Fatal(err)
				}
				if err := verify(tree, int64(i)*64, part); err != nil {
					b.Fatal(err)
				}
				ours += time.Since(start)
				b.StopTimer()
				start = time.Now()
				Hash(part)
				hash += time.Since(start)
				b.StartTimer()
				i = (i + 1) % n
			}
			b.ReportMetric(float64(ours)/float64(hash), "x-hash")
		})
	}
}
