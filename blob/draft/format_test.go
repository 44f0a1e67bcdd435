package draft

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"kith/blob/bao"
)

// vector is what docs/formats.md shows of a log.
type vector struct {
	Path   string  `json:"path"`
	Part   string  `json:"part"`
	Files  []File  `json:"files"`
	Inode  int64   `json:"inode"`
	Inodes []int64 `json:"inodes"`
	Here   []int64 `json:"here"` // groups, over all files
	Bytes  string  `json:"bytes"`
}

// The log is what docs/formats.md says.
func TestFormat(t *testing.T) {
	text, err := os.ReadFile(filepath.FromSlash("../../docs/formats.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, block, ok := strings.Cut(string(text), "```json draft\n")
	block, _, end := strings.Cut(block, "```")
	if !ok || !end {
		t.Fatal("no vector")
	}
	var v vector
	if err := json.Unmarshal([]byte(block), &v); err != nil {
		t.Fatal(err)
	}
	base, err := check(true, v.Files)
	if err != nil {
		t.Fatal(err)
	}
	s := &state{Path: v.Path, Part: v.Part, Folder: true, Files: v.Files, begun: true, ino: v.Inode, inos: v.Inodes, have: bao.NewBits(base[len(v.Files)])}
	for _, g := range v.Here {
		s.have.Set(bao.Range{First: g, N: 1})
	}
	data, err := s.encode()
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(data); got != v.Bytes {
		t.Fatalf("bytes %s, want %s", got, v.Bytes)
	}
	if filepath.Separator != '/' {
		return // the path of the vector is none here
	}
	if got, good, err := decode(data); err != nil || good != len(data) || !reflect.DeepEqual(got, s) {
		t.Errorf("read %+v, %v; want %+v", got, err, s)
	}
}

// BenchmarkWrite writes 256 MiB in pieces of 1 MiB, with a checkpoint at the end; "x-file" is the time as a ratio to writing and syncing a plain file.
func BenchmarkWrite(b *testing.B) {
	const size = 256 << 20
	piece := random(1<<20, 1)
	var plain time.Duration
	b.SetBytes(size)
	for b.Loop() {
		b.StopTimer()
		dir := b.TempDir()
		start := time.Now()
		f, err := os.Create(filepath.Join(dir, "plain"))
		if err != nil {
			b.Fatal(err)
		}
		for off := int64(0); off < size; off += int64(len(piece)) {
			if _, err := f.WriteAt(piece, off); err != nil {
				b.Fatal(err)
			}
		}
		if err := join(f.Sync(), f.Close()); err != nil {
			b.Fatal(err)
		}
		plain += time.Since(start)
		d, err := Open(b.Context(), Options{State: filepath.Join(dir, "state"), Path: filepath.Join(dir, "x"), Files: []File{{Path: "x", Size: size}}})
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		for off := int64(0); off < size; off += int64(len(piece)) {
			if err := d.WriteAt(0, off, piece); err != nil {
				b.Fatal(err)
			}
		}
		if err := d.Checkpoint(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := join(d.Close(), os.RemoveAll(dir)); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed())/float64(plain), "x-file")
}
