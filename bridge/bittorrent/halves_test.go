//go:build linux

package bittorrent

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"kith/transfer"
)

// TestHalves: Kith has the first half, a program of others the second, and both fetch what they lack from each other at once.
func TestHalves(t *testing.T) {
	t.Parallel()
	for name, client := range clients {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !inside(t, 4*time.Minute, programs...) {
				return
			}
			ctx := timed(t, 2*programTime)
			url := newTracker(t)
			data := sample(3, 8<<20+333)
			whole, theirs := t.TempDir(), t.TempDir()
			half := len(data) / 2 &^ (64<<10 - 1)
			if err := os.WriteFile(filepath.Join(whole, "film.mkv"), data, 0o644); err != nil {
				t.Fatal(err)
			}
			torrent := of(t, "v1", filepath.Join(whole, "film.mkv"), url)
			if err := os.WriteFile(filepath.Join(theirs, "film.mkv"), append(make([]byte, half), data[half:]...), 0o644); err != nil {
				t.Fatal(err)
			}
			n := atKith(t, url)
			meta, err := os.ReadFile(torrent)
			if err != nil {
				t.Fatal(err)
			}
			l, err := n.AddTorrent(ctx, meta)
			if err != nil {
				t.Fatal(err)
			}
			d := n.get(ctx, l)
			first := transfer.Span{N: int64(half)}
			d.m.write(first, data[:half])
			d.o.Here(first)
			c := client(t, theirs, true)
			c.add(torrent)
			if err := d.some(ctx, func(s transfer.Span) bool { return s.Off >= int64(half) }); err != nil {
				t.Fatal(err)
			}
			d.mustBe(ctx, map[string][]byte{"": data})
			mustHave(t, programTime, theirs, map[string][]byte{"film.mkv": data})
			until(t, 10*time.Second, "what was sent is counted", func() bool {
				st, err := n.StatusOf(l.Names)
				if err != nil || st.Down > int64(len(data)-half)+64<<10 {
					t.Fatalf("down %d of %d, %v", st.Down, len(data), err)
				}
				return st.Up >= int64(half)
			})
		})
	}
}

// TestKilled: a program of others is killed while it fetches, then Kith is; both go on where they were.
func TestKilled(t *testing.T) {
	t.Parallel()
	for name, client := range clients {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !inside(t, 6*time.Minute, programs...) {
				return
			}
			ctx := timed(t, 3*programTime)
			url := newTracker(t)
			n := newNode(t, func(o *Options) {
				o.Bind = kithAt
				o.Config.Trackers, o.Config.Port = []string{url}, 7777
				o.Config.NoUTP = name == "qbittorrent" // in one process the library's uTP lives on after its client, and qBittorrent stays with the dead connection
				o.Limits = func() (up, down int64) { return 2 << 20, 0 }
			})
			data := sample(4, 24<<20)
			share := n.share("film.mkv", map[string][]byte{"": data})
			if _, err := n.Publish(ctx, share); err != nil {
				t.Fatal(err)
			}
			meta, err := n.Torrent(ctx, share.Root)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			c := client(t, dir, false)
			c.add(file(t, "x.torrent", meta))
			sent := func(more int64) {
				t.Helper()
				until(t, programTime, "something is sent", func() bool {
					st, err := n.Status(share.Root)
					return err == nil && st.Up > more
				})
			}
			sent(4 << 20)
			c.stop()
			c.start()
			sent(10 << 20)
			n.close()
			n.open()
			mustHave(t, 2*programTime, dir, map[string][]byte{"film.mkv": data})
		})
	}
}

// TestResume: Kith is stopped while it fetches, and does not fetch anew what is here.
func TestResume(t *testing.T) {
	ctx := timed(t, time.Minute)
	a := newNode(t, nil)
	data := sample(5, 12<<20)
	share := a.share("film.mkv", map[string][]byte{"": data})
	names, err := a.Publish(ctx, share)
	if err != nil {
		t.Fatal(err)
	}
	b := newNode(t, nil)
	d := b.get(ctx, a.link(names))
	half := int64(len(data) / 2)
	if err := d.some(ctx, func(s transfer.Span) bool { return s.Off < half }); err != nil {
		t.Fatal(err)
	}
	d.o.Close()
	b.close()
	b.open()
	again := &download{t: t, m: d.m, layout: d.layout}
	if again.o, err = b.Open(a.link(names))(ctx, d.m); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { again.o.Close() })
	if _, err := again.o.Layout(ctx); err != nil {
		t.Fatal(err)
	}
	if err := again.some(ctx, func(s transfer.Span) bool { return !d.m.Has(s) }); err != nil {
		t.Fatal(err)
	}
	again.mustBe(ctx, map[string][]byte{"": data})
	time.Sleep(2 * sampleEvery) // for what moved to be counted
	if st, err := b.StatusOf(names); err != nil || st.Down > int64(len(data))-half+1<<20 {
		t.Errorf("fetched %d after a stop at %d of %d, %v", st.Down, half, len(data), err)
	}
}
