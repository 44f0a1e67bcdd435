package transfer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kith"
	"kith/blob"
	"kith/blob/seal"
	"kith/network"
	"kith/network/relay"
)

func TestManySources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		data := noise(7, 24<<20)
		leech := h.node()
		var seeds []*node
		var root kith.Ref
		for range 3 {
			n := h.node()
			n.m.SetLimits(4<<20, 0)
			root = n.share(data)
			seeds = append(seeds, n)
		}
		d := leech.get(root, seeds...)
		wait(t, d)
		mustHold(t, d.Status().Path, data)
		for _, n := range seeds {
			if got := sourceOf(d, n.id).Bytes; got < 2<<20 {
				t.Errorf("of one of three came %d bytes", got)
			}
		}
	})
}

// TestServesWhatItHas fetches from somebody who is still fetching, and hears of him from the seed alone.
func TestServesWhatItHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		data := noise(8, 8<<20)
		seed, a, b := h.node(), h.node(), h.node()
		seed.m.SetLimits(512<<10, 0)
		root := seed.share(data)
		da := a.get(root, seed)
		time.Sleep(4 * time.Second)
		db := b.get(root, seed)
		time.Sleep(8 * time.Second)
		if got := sourceOf(db, a.id); got.Bytes == 0 {
			t.Errorf("nothing came from who is still fetching: %+v", db.Status().Sources)
		}
		for _, d := range []*Download{da, db} {
			wait(t, d)
			mustHold(t, d.Status().Path, data)
		}
		if got := sourceOf(da, b.id); got.Peer == "" {
			t.Error("the first was not told of the second")
		}
		if up := seed.m.Uploads()[root]; up.Bytes > 14<<20 {
			t.Errorf("the seed sent %d bytes of %d to two", up.Bytes, len(data))
		}
	})
}

// TestLimits receives 8 MiB at 1 MiB a second, by a clock that only the limit moves.
func TestLimits(t *testing.T) {
	for _, up := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			h := newHub(t)
			seed, leech := h.node(), h.node()
			if up {
				seed.m.SetLimits(1<<20, 0)
			} else {
				leech.m.SetLimits(0, 1<<20)
			}
			start := time.Now()
			d := leech.get(seed.share(noise(9, 8<<20)), seed)
			wait(t, d)
			if took := time.Since(start); took < 7*time.Second || took > 10*time.Second {
				t.Errorf("up %v: 8 MiB at 1 MiB a second took %v", up, took)
			}
		})
	}
}

// TestReport reports how fast a source was, without the time in which nothing was asked of it, unless a limit here held it down.
func TestReport(t *testing.T) {
	for _, limited := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			h := newHub(t)
			seed, leech := h.node(), h.node()
			seed.m.SetLimits(1<<20, 0)
			if limited {
				leech.m.SetLimits(0, 1<<19)
			}
			const size = 8 << 20
			wait(t, leech.get(seed.share(noise(9, size)), seed))
			switch r := leech.rates; {
			case limited && len(r) > 0:
				t.Errorf("limited here: %+v", r)
			case limited:
			case len(r) != 1 || r[0].of != seed.id || !r[0].bulk || r[0].bytes < size || r[0].bytes > size+size/16:
				t.Errorf("of one source with %d bytes: %+v", size, r)
			case r[0].d < 7*time.Second || r[0].d > 10*time.Second:
				t.Errorf("8 MiB at 1 MiB a second took %v", r[0].d)
			}
		})
	}
}

// TestNarrow learns from its sources whether what it fetches is for contacts alone: only if none has it for more.
func TestNarrow(t *testing.T) {
	for _, c := range []struct{ first, second, want bool }{{false, false, false}, {true, true, true}, {true, false, false}, {false, true, false}} {
		synctest.Test(t, func(t *testing.T) {
			h := newHub(t)
			seeds := []*node{h.node(), h.node()}
			seeds[0].narrow, seeds[1].narrow = c.first, c.second
			data := noise(9, 8<<20)
			root := seeds[0].share(data)
			seeds[1].share(data)
			leech := h.node()
			leech.m.SetLimits(0, 4<<20) // so that both come to serve
			d := leech.get(root, seeds...)
			wait(t, d)
			if got := d.Narrow(); got != c.want {
				t.Errorf("%+v: narrow is %v", c, got)
			}
		})
	}
}

// TestSourcesGoAndReturn loses its only source in the middle, says so, and goes on when it is back.
func TestSourcesGoAndReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		data := noise(10, 8<<20)
		seed, leech := h.node(), h.node()
		seed.m.SetLimits(1<<20, 0)
		d := leech.get(seed.share(data), seed)
		time.Sleep(3 * time.Second)
		seed.leave()
		time.Sleep(time.Minute)
		s := d.Status()
		if s.State != Finding || !strings.HasPrefix(s.Reason, "the one known source did not answer in ") || s.Done == 0 || s.Done == s.Size {
			t.Errorf("without a source: %+v", s)
		}
		seed.back()
		wait(t, d)
		mustHold(t, d.Status().Path, data)
	})
}

// TestHeldByRelay waits for the relay that leads to its only source, says so and for how long, and goes on then.
func TestHeldByRelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		data := noise(12, 8<<20)
		seed, leech := h.node(), h.node()
		leech.m.o.Relay = func(r *network.Refused) string { return r.In("Anna") }
		seed.m.SetLimits(1<<20, 0)
		d := leech.get(seed.share(data), seed)
		time.Sleep(3 * time.Second)
		seed.mu.Lock()
		seed.held = &network.Refused{Relay: newID(t), Peer: seed.id, Verdict: relay.Spent, Until: time.Now().Add(24 * time.Minute)}
		seed.mu.Unlock()
		seed.leave()
		time.Sleep(time.Minute)
		if s := d.Status(); s.State != Waiting || s.Reason != "relayed through Anna: its limit is reached, it goes on in 23 min" || s.Err != nil {
			t.Errorf("while the relay has no more for it: %+v", s)
		}
		time.Sleep(23 * time.Minute)
		seed.back()
		start := time.Now()
		wait(t, d)
		if took := time.Since(start); took > retryMax+8*time.Second {
			t.Errorf("it went on after %v", took)
		}
		mustHold(t, d.Status().Path, data)
	})
}

// TestKilled fetches on where a Manager that ended without warning left off.
func TestKilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		data := noise(11, 8<<20)
		seed, leech := h.node(), h.node()
		seed.m.SetLimits(1<<20, 0)
		root := seed.share(data)
		job := Job{Root: root, Size: -1, Path: filepath.Join(t.TempDir(), "got"), Peers: []peerInfo{seed.info()}}
		d, err := leech.m.Start(job)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		before := d.Status().Done
		leech.m.Close()
		leech.store.Close()
		leech.start()
		d, err = leech.m.Start(job)
		if err != nil {
			t.Fatal(err)
		}
		wait(t, d)
		mustHold(t, d.Status().Path, data)
		if again := sourceOf(d, seed.id).Bytes; before < 2<<20 || again > int64(len(data))-before+2<<20 {
			t.Errorf("%d bytes were here, and %d of %d came after", before, again, len(data))
		}
	})
}

func TestPauseResumeCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		data := noise(12, 8<<20)
		seed, leech := h.node(), h.node()
		leech.m.o.Relay = func(r *network.Refused) string { return r.In("Anna") }
		seed.m.SetLimits(1<<20, 0)
		root := seed.share(data)
		d := leech.get(root, seed)
		time.Sleep(2 * time.Second)
		d.Pause()
		synctest.Wait()
		paused := d.Status()
		time.Sleep(time.Minute)
		if s := d.Status(); s.State != Paused || s.Done != paused.Done || s.Done == 0 {
			t.Errorf("paused: %+v, then %+v", paused, s)
		}
		d.Resume()
		time.Sleep(2 * time.Second)
		if s := d.Status(); s.State != Fetching || s.Done <= paused.Done {
			t.Errorf("resumed: %+v", s)
		}
		d.Cancel()
		if err := d.Wait(t.Context()); !errors.Is(err, kith.Gone) {
			t.Errorf("cancelled: %v", err)
		}
		if leech.m.Download(root) != nil {
			t.Error("it is still known")
		}
	})
}

// TestReader reads the end of a file, then its beginning, long before all of it can be here.
func TestReader(t *testing.T) {
	for _, private := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			h := newHub(t)
			seed, leech := h.node(), h.node()
			dir := photos(t, 3)
			path := filepath.Join(dir, "large.mkv")
			want := noise(5<<20+1, 5<<20+1)
			o, job := blob.ImportOptions{}, Job{Size: -1, Dir: t.TempDir(), Peers: []peerInfo{seed.info()}}
			if private {
				key := seal.NewKey()
				o.Key, job.Key = &key, &key
			}
			job.Root = seed.sharePath(path, o)
			seed.m.SetLimits(256<<10, 0)
			d, err := leech.m.Start(job)
			if err != nil {
				t.Fatal(err)
			}
			r, size, err := d.Reader(t.Context(), 0)
			if err != nil || size != int64(len(want)) {
				t.Fatalf("size %d, %v", size, err)
			}
			defer r.Close()
			for _, off := range []int64{size - 100_000, 0, 2 << 20} {
				if _, err := r.Seek(off, io.SeekStart); err != nil {
					t.Fatal(err)
				}
				got := make([]byte, 90_000)
				if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, want[off:off+90_000]) {
					t.Fatalf("at %d: %v, or wrong bytes", off, err)
				}
			}
			if s := d.Status(); s.Done > s.Size*3/4 {
				t.Errorf("private %v: %d of %d bytes had to come first", private, s.Done, s.Size)
			}
			seed.m.SetLimits(0, 0)
			wait(t, d)
			if _, err := r.Seek(-5, io.SeekEnd); err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want[len(want)-5:]) {
				t.Errorf("after the end: %x, %v", got, err)
			}
		})
	}
}

// TestDenied is told so.
func TestDenied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		seed, leech := h.node(), h.node()
		seed.deny[leech.id] = true
		d := leech.get(seed.share(noise(13, 100)), seed)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := d.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it ended with %v", err)
		}
		if s := d.Status(); s.State != Finding || sourceOf(d, seed.id).Why == "" {
			t.Errorf("status %+v", s)
		}
	})
}

// TestLeavesRelay: a conversation through a relay is replaced once there is a direct way, and what came through it is kept.
func TestLeavesRelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		data := noise(9, 16<<20)
		seed, leech := h.node(), h.node()
		seed.relayed = true
		seed.m.SetLimits(1<<20, 0)
		d := leech.get(seed.share(data), seed)
		time.Sleep(5 * time.Second)
		seed.mu.Lock()
		seed.relayed = false
		seed.mu.Unlock()
		wait(t, d)
		mustHold(t, d.Status().Path, data)
		leech.mu.Lock()
		defer leech.mu.Unlock()
		var came int64
		for _, r := range leech.rates {
			came += r.bytes
		}
		if len(leech.rates) == 0 || leech.rates[0].bytes < 2<<20 || leech.rates[0].bytes > 12<<20 {
			t.Fatalf("conversations that are over: %+v", leech.rates)
		}
		if came > int64(len(data))*5/4 {
			t.Errorf("%d bytes came for %d", came, len(data))
		}
	})
}
