package blob

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kith"
	"kith/blob/bao"
	"kith/blob/seal"
)

// A recorder is a tap that remembers all it was told.
type recorder struct {
	t   testing.TB
	min int64 // smaller files are of no interest

	mu    sync.Mutex
	files int   // as it was asked
	bytes int64 // as it was asked
	open  int
	vain  int
	got   map[kith.Ref][]byte
	fail  error // what Write returns once so much was written
	after int64
}

func (r *recorder) ask(files int, bytes int64) Tap {
	r.files, r.bytes = files, bytes
	r.got = map[kith.Ref][]byte{}
	return r
}

func (r *recorder) File(size int64) TapFile {
	if size < r.min {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open++
	return &recorded{r: r, size: size}
}

type recorded struct {
	r    *recorder
	size int64
	buf  bytes.Buffer
	done bool
}

func (f *recorded) Write(p []byte) (int, error) {
	if len(p) > bao.SegmentSize || f.done {
		f.r.t.Errorf("%d bytes at once, done: %v", len(p), f.done)
	}
	if f.r.fail != nil && int64(f.buf.Len()) >= f.r.after {
		return 0, f.r.fail
	}
	return f.buf.Write(p)
}

func (f *recorded) Done(ref kith.Ref) {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	f.r.open--
	if f.done {
		f.r.t.Error("done twice")
	}
	if f.done = true; ref.IsZero() {
		f.r.vain++
		return
	}
	if int64(f.buf.Len()) != f.size || bao.Hash(f.buf.Bytes()) != ref.Sum || ref.Codec != kith.Raw {
		f.r.t.Errorf("%d of %d bytes are not %v", f.buf.Len(), f.size, ref)
	}
	f.r.got[ref] = f.buf.Bytes()
}

// Taps see every file that is read, as it leaves: whole, in order, and once.
func TestTaps(t *testing.T) {
	for _, private := range []bool{false, true} {
		t.Run(fmt.Sprintf("private=%v", private), func(t *testing.T) {
			s := openStore(t, t.TempDir())
			dir := sample(t)
			write(t, filepath.Join(dir, "large"), random(9<<20+5, 7))
			o := ImportOptions{}
			if private {
				key := seal.NewKey()
				o.Key = &key
			}
			one, two := &recorder{t: t}, &recorder{t: t, min: 1 << 20}
			o.Taps = []func(int, int64) Tap{one.ask, func(int, int64) Tap { return nil }, two.ask}
			tree, err := s.Import(t.Context(), dir, o)
			if err != nil {
				t.Fatal(err)
			}
			m, err := s.Manifest(t.Context(), tree.Root, o.Key)
			if err != nil {
				t.Fatal(err)
			}
			files, size := 0, int64(0)
			for i, e := range m.Entries {
				if !e.File() {
					continue
				}
				files++
				size += m.BlobSize(i)
				data, ok := one.got[e.Ref]
				if !ok || !bytes.Equal(data, content1(t, s, e.Ref)) {
					t.Errorf("%s was not seen as it leaves", e.Path)
				}
				if _, ok := two.got[e.Ref]; ok != (m.BlobSize(i) >= 1<<20) {
					t.Errorf("%s of %d bytes was seen by who wants large ones: %v", e.Path, m.BlobSize(i), ok)
				}
			}
			if one.files != files || one.bytes != size || one.open != 0 || two.open != 0 || one.vain+two.vain != 0 {
				t.Errorf("told %d files of %d bytes, want %d, %d; %d are open, %d in vain", one.files, one.bytes, files, size, one.open, one.vain)
			}
			if private {
				return
			}
			again := &recorder{t: t}
			write(t, filepath.Join(dir, "new"), []byte("new"))
			o.Taps = []func(int, int64) Tap{again.ask}
			if _, err := s.Import(t.Context(), dir, o); err != nil || len(again.got) != 1 || again.files != files+1 {
				t.Errorf("of what is known %d files were seen, %v", len(again.got), err)
			}
		})
	}
}

// A file that changes while it is read is told to be in vain, and begins anew.
func TestTapOfAFileThatChanges(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	write(t, file, random(30<<20, 1))
	s := openStore(t, t.TempDir())
	times := 1
	r := &recorder{t: t}
	tree, err := s.Import(t.Context(), file, ImportOptions{Taps: []func(int, int64) Tap{r.ask}, Progress: func(_ string, done, _ int64) {
		if times > 0 && done > 0 {
			times--
			if err := os.Chtimes(file, time.Now().Add(time.Hour), time.Now().Add(time.Hour)); err != nil {
				t.Error(err)
			}
		}
	}})
	if err != nil || r.vain != 1 || r.open != 0 || len(r.got) != 1 || r.got[tree.Root] == nil {
		t.Errorf("%v; %d in vain, %d open, %d seen", err, r.vain, r.open, len(r.got))
	}
}

// What a tap says ends the import, of a folder too, and nothing stays behind.
func TestTapThatFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	for i, size := range []int{10, bao.GroupSize + 1, 300_000, 5 << 20} {
		write(t, filepath.Join(dir, fmt.Sprint(i)), random(size, uint64(i)))
	}
	broken := fmt.Errorf("no more room for digests: %w", kith.Gone)
	for _, after := range []int64{0, 1, 1 << 20, 4 << 20} {
		for _, path := range []string{dir, filepath.Join(dir, "3")} {
			s := openStore(t, t.TempDir())
			bad, good := &recorder{t: t, fail: broken, after: after, min: after}, &recorder{t: t}
			_, err := s.Import(t.Context(), path, ImportOptions{Taps: []func(int, int64) Tap{good.ask, bad.ask}})
			if !errors.Is(err, broken) || good.open != 0 || bad.open != 0 || bad.vain == 0 {
				t.Errorf("after %d: %v; %d and %d are open", after, err, good.open, bad.open)
			}
			empty(t, s)
		}
	}
}

func TestTapsWhenCancelled(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x")
	write(t, file, random(30<<20, 1))
	s := openStore(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := &recorder{t: t}
	_, err := s.Import(ctx, file, ImportOptions{Taps: []func(int, int64) Tap{r.ask}, Progress: func(_ string, done, _ int64) {
		if done > 5<<20 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || r.open != 0 || r.vain != 1 {
		t.Errorf("%v; %d are open, %d in vain", err, r.open, r.vain)
	}
	empty(t, s)
}

// What another network brought is Kith's own: its files go when it is deleted, but not those that somebody has changed.
func TestOwn(t *testing.T) {
	for name, c := range map[string]struct {
		own  bool
		mine string // a file that its owner changes
		left string
	}{
		"own": {true, "", ""}, "not own": {false, "", "all"}, "changed": {true, "run.sh", "photos/\nphotos/run.sh"},
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, t.TempDir())
			dir := sample(t)
			all := treeText(t, filepath.Dir(dir))
			tree, err := s.Import(t.Context(), dir, ImportOptions{Own: c.own})
			if err != nil || tree.Download != c.own {
				t.Fatalf("%+v, %v", tree, err)
			}
			if state, err := s.State(t.Context(), tree.Root); err != nil || state.Download != c.own || !state.Complete || !state.Pinned {
				t.Errorf("state %+v, %v", state, err)
			}
			if c.mine != "" {
				write(t, filepath.Join(dir, c.mine), []byte("mine now"))
			}
			remove(t, s, tree.Root, true)
			empty(t, s)
			got := treeText(t, filepath.Dir(dir))
			switch c.left {
			case "":
				if exists(dir) {
					t.Errorf("left:\n%s", got)
				}
			case "all":
				if got != all {
					t.Errorf("left:\n%s\nof\n%s", got, all)
				}
			default:
				if !strings.Contains(got, "run.sh") || strings.Count(got, "\n") > 3 {
					t.Errorf("left:\n%s", got)
				}
			}
		})
	}
	s := openStore(t, t.TempDir())
	file := filepath.Join(t.TempDir(), "film.mkv")
	write(t, file, random(1<<20, 1))
	tree, err := s.Import(t.Context(), file, ImportOptions{Own: true})
	if err != nil {
		t.Fatal(err)
	}
	if !remove(t, s, tree.Root, true) || exists(file) {
		t.Error("a single file stays")
	}
}

// A digester is a tap as a bridge has: it hashes all files.
type digester []func() hash.Hash

func (d digester) File(int64) TapFile {
	var all []io.Writer
	for _, h := range d {
		all = append(all, h())
	}
	return digesting{io.MultiWriter(all...)}
}

type digesting struct{ io.Writer }

func (digesting) Done(kith.Ref) {}

// BenchmarkImportTaps shares 1 GiB as for BitTorrent (SHA-1 and SHA-256) and IPFS (SHA-256): as a ratio to BLAKE3 alone, and to openssl's SHA-256 of the same file.
func BenchmarkImportTaps(b *testing.B) {
	file := big(b, 1<<30)
	o := ImportOptions{Taps: []func(int, int64) Tap{
		func(int, int64) Tap { return digester{sha1.New, sha256.New} }, func(int, int64) Tap { return digester{sha256.New} },
	}}
	var alone, ssl float64
	n := 0
	for b.Loop() {
		b.StopTimer()
		ssl += took(b, func() { command(b, "openssl", "sha256", file) })
		alone += took(b, func() { share(b, openStore(b, b.TempDir()), file, nil) })
		n++
		s := openStore(b, b.TempDir())
		b.StartTimer()
		if _, err := s.Import(b.Context(), file, o); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(1 << 30)
	b.ReportMetric(b.Elapsed().Seconds()/alone, "x-blake3")
	b.ReportMetric(b.Elapsed().Seconds()/ssl, "x-openssl-sha256")
}

// BenchmarkImportManyTaps shares 20,000 files of 4 KiB with the same digests; beside it, without.
func BenchmarkImportManyTaps(b *testing.B) {
	dir := many(b, 20_000, 4<<10)
	o := ImportOptions{Taps: []func(int, int64) Tap{
		func(int, int64) Tap { return digester{sha1.New, sha256.New} }, func(int, int64) Tap { return digester{sha256.New} },
	}}
	var alone float64
	for b.Loop() {
		b.StopTimer()
		alone += took(b, func() { share(b, openStore(b, b.TempDir()), dir, nil) })
		s := openStore(b, b.TempDir())
		b.StartTimer()
		if _, err := s.Import(b.Context(), dir, o); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/alone, "x-blake3")
}
