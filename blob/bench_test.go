package blob

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"kith"
	"kith/blob/bao"
)

// many makes n files of size bytes.
func many(b *testing.B, n, size int) string {
	dir := filepath.Join(b.TempDir(), "many")
	for i := range n {
		write(b, filepath.Join(dir, fmt.Sprintf("%03d", i/100), fmt.Sprintf("%05d", i)), append(random(size-8, 1), fmt.Sprintf("%08d", i)...))
	}
	return dir
}

func took(b *testing.B, f func()) float64 {
	start := time.Now()
	f()
	return time.Since(start).Seconds()
}

func command(b *testing.B, name string, args ...string) {
	b.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		b.Skipf("%s could not be run to compare with: %v %s", name, err, out)
	}
}

// BenchmarkImportMany shares 20,000 files of 4 KiB; beside it, what cp -r of them takes.
func BenchmarkImportMany(b *testing.B) {
	dir := many(b, 20_000, 4<<10)
	cp := took(b, func() { command(b, "cp", "-r", dir, filepath.Join(b.TempDir(), "copy")) })
	for b.Loop() {
		b.StopTimer()
		s := openStore(b, b.TempDir())
		b.StartTimer()
		share(b, s, dir, nil)
	}
	b.ReportMetric(cp, "cp-r-s")
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/cp, "x-cp-r")
}

// BenchmarkImportAgain shares them once more, when nothing has changed.
func BenchmarkImportAgain(b *testing.B) {
	dir := many(b, 20_000, 4<<10)
	s := openStore(b, b.TempDir())
	share(b, s, dir, nil)
	for b.Loop() {
		share(b, s, dir, nil)
	}
}

// BenchmarkGetMany downloads them, read from another store; beside it, what cp -r of them takes.
func BenchmarkGetMany(b *testing.B) {
	dir := many(b, 20_000, 4<<10)
	cp := took(b, func() { command(b, "cp", "-r", dir, filepath.Join(b.TempDir(), "copy")) })
	from := openStore(b, b.TempDir())
	tree := share(b, from, dir, nil)
	m, err := from.Manifest(b.Context(), tree.Root, nil)
	if err != nil {
		b.Fatal(err)
	}
	data := map[kith.Ref][]byte{}
	for _, e := range m.Entries {
		data[e.Ref] = content1(b, from, e.Ref)
	}
	for b.Loop() {
		b.StopTimer()
		s := openStore(b, b.TempDir())
		out := b.TempDir()
		b.StartTimer()
		d := beginTree(b, from, s, tree.Root, filepath.Join(out, "many"), nil)
		missing, err := d.Missing(b.Context(), nil)
		if err != nil || len(missing) != 20_000 {
			b.Fatal(len(missing), err)
		}
		for _, i := range missing {
			if err := d.Put(b.Context(), i, data[m.Entries[i].Ref]); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := d.Finish(b.Context()); err != nil {
			b.Fatal(err)
		}
		d.Close()
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/cp, "x-cp-r")
}

// big makes a file of random bytes that is in the page cache.
func big(b *testing.B, size int) string {
	file := filepath.Join(b.TempDir(), "big")
	f, err := os.Create(file)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	chunk := random(1<<20, 3)
	for i := 0; i < size; i += len(chunk) {
		chunk[0], chunk[1] = byte(i>>20), byte(i>>28)
		if _, err := f.Write(chunk); err != nil {
			b.Fatal(err)
		}
	}
	return file
}

// BenchmarkImportBig shares 1 GiB; beside it, what b3sum takes.
func BenchmarkImportBig(b *testing.B) {
	file := big(b, 1<<30)
	var b3 float64
	n := 0
	for b.Loop() {
		b.StopTimer()
		b3 += took(b, func() { command(b, "b3sum", file) })
		n++
		s := openStore(b, b.TempDir())
		b.StartTimer()
		share(b, s, file, nil)
	}
	b.SetBytes(1 << 30)
	b.ReportMetric(b.Elapsed().Seconds()/b3, "x-b3sum")
}

// BenchmarkReadAt serves 1 MiB at a time, verified.
func BenchmarkReadAt(b *testing.B) {
	s := openStore(b, b.TempDir())
	tree := share(b, s, big(b, 256<<20), nil)
	blob, err := s.Blob(b.Context(), tree.Root)
	if err != nil {
		b.Fatal(err)
	}
	defer blob.Close()
	p := make([]byte, 1<<20)
	b.SetBytes(1 << 20)
	for i := int64(0); b.Loop(); i++ {
		if _, err := blob.ReadAt(p, i%256<<20); err != nil && err != io.EOF {
			b.Fatal(err)
		}
	}
}

// BenchmarkWriteGroups writes 1 MiB at a time, verified, on all cores.
func BenchmarkWriteGroups(b *testing.B) {
	const size = 256 << 20
	from, to := openStore(b, b.TempDir()), openStore(b, b.TempDir())
	tree := share(b, from, big(b, size), nil)
	data := content1(b, from, tree.Root)
	src, err := from.Blob(b.Context(), tree.Root)
	if err != nil {
		b.Fatal(err)
	}
	defer src.Close()
	blob, err := to.Create(b.Context(), tree.Root, size, filepath.Join(b.TempDir(), "big"))
	if err != nil {
		b.Fatal(err)
	}
	defer blob.Close()
	r := bao.Range{First: 0, N: bao.Groups(size)}
	proof, err := src.Proof(nil, r)
	if err != nil {
		b.Fatal(err)
	}
	if err := blob.AddProof(r, proof); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(size)
	for b.Loop() {
		var wg sync.WaitGroup
		for k := range 2 {
			wg.Go(func() {
				for i := int64(k); i < size>>20; i += 2 {
					if err := blob.WriteGroups(i*64, data[i<<20:(i+1)<<20]); err != nil {
						b.Error(err)
					}
				}
			})
		}
		wg.Wait()
	}
}

// BenchmarkVerify reads 1 GiB that is stored, and compares it with its tree; beside it, what b3sum takes.
func BenchmarkVerify(b *testing.B) {
	file := big(b, 1<<30)
	s := openStore(b, b.TempDir())
	tree := share(b, s, file, nil)
	b3 := 0.0
	b.SetBytes(1 << 30)
	for b.Loop() {
		b.StopTimer()
		b3 += took(b, func() { command(b, "b3sum", file) })
		b.StartTimer()
		if found, err := s.Verify(b.Context(), tree.Root, nil); err != nil || len(found) != 0 {
			b.Fatal(found, err)
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/b3, "x-b3sum")
}

// BenchmarkFinishLoose finishes 256 MiB that another network has brought, after it was hashed once; beside it, what b3sum takes.
func BenchmarkFinishLoose(b *testing.B) {
	const size = 256 << 20
	file := big(b, size)
	from := openStore(b, b.TempDir())
	tree := share(b, from, file, nil)
	data := content1(b, from, tree.Root)
	b3 := 0.0
	b.SetBytes(size)
	for b.Loop() {
		b.StopTimer()
		b3 += took(b, func() { command(b, "b3sum", file) })
		s := openStore(b, b.TempDir())
		blob, err := s.Create(b.Context(), tree.Root, size, filepath.Join(b.TempDir(), "big"))
		if err != nil {
			b.Fatal(err)
		}
		if err := join(blob.WriteLoose(0, data), blob.Checkpoint(b.Context())); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := join(blob.Finish(b.Context()), blob.Close()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/b3, "x-b3sum")
}
