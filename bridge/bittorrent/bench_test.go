package bittorrent

import (
	"context"
	"encoding/binary"
	"runtime"
	"sync"
	"testing"

	"kith"
	"kith/bridge"
	"kith/bridge/bittorrent/metainfo"
)

// many makes what a node remembers that publishes n files of 1,000 pieces, without the files.
func many(tb testing.TB, s *store, n int) (roots []kith.Ref) {
	tb.Helper()
	ctx := context.Background()
	if _, err := s.db.Exec("PRAGMA synchronous = OFF"); err != nil {
		tb.Fatal(err)
	}
	const piece = 1 << 20
	pieces := make([]byte, 1000*20)
	for i := range n {
		binary.BigEndian.PutUint64(pieces, uint64(i)+1)
		d := metainfo.Digest{Size: 1000 * piece, Pieces: append([]byte(nil), pieces...)}
		t, err := metainfo.Make("film.mkv", false, false, piece, []metainfo.Entry{{Path: "film.mkv", Digest: d}})
		if err != nil {
			tb.Fatal(err)
		}
		var ref kith.Ref
		binary.BigEndian.PutUint64(ref.Sum[:], uint64(i)+1)
		ref.Codec = kith.Raw
		id, err := s.keepTorrent(ctx, t)
		if err == nil {
			err = s.keepShare(ctx, bridge.Share{Root: ref, Name: "film.mkv", Files: []bridge.File{{Path: "film.mkv", Size: d.Size, Ref: ref}}}, id)
		}
		if err != nil {
			tb.Fatal(err)
		}
		roots = append(roots, ref)
	}
	return roots
}

// BenchmarkStart loads 10,000 torrents of 1,000 pieces each: how long it takes, and how much memory they are.
func BenchmarkStart(b *testing.B) {
	const n = 10_000
	dir := b.TempDir()
	tasks := sync.WaitGroup{}
	open := func() *Bridge {
		br, err := New(Options{Dir: dir, Bind: loopback, Go: func(_ string, run func(context.Context) error) { tasks.Go(func() { run(context.Background()) }) }})
		if err != nil {
			b.Fatal(err)
		}
		return br
	}
	br := open()
	many(b, br.store, n)
	br.Close()
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		br := open()
		if err := br.Start(context.Background()); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapInuse+after.StackInuse-before.HeapInuse-before.StackInuse)/(1<<20), "MiB")
		b.ReportMetric(float64(runtime.NumGoroutine()), "goroutines")
		if len(br.roots) != n {
			b.Fatalf("%d are served", len(br.roots))
		}
		br.Close()
		tasks.Wait()
		b.StartTimer()
	}
}
