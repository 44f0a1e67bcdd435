package flight

import (
	"context"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"
)

func block(data ...byte) cid.Cid {
	sum := sha256.Sum256(data)
	return cid.NewCidV1(cid.Raw, append([]byte{0x12, 32}, sum[:]...))
}

// TestGroup: however many want the same blocks in whatever order, each is asked for by one at a time, and all get all.
func TestGroup(t *testing.T) {
	var f Group
	var all []cid.Cid
	for i := range 20 {
		all = append(all, block(byte(i)))
	}
	var asked atomic.Int32
	asking, busy := map[cid.Cid]*atomic.Int32{}, sync.WaitGroup{}
	for _, c := range all {
		asking[c] = new(atomic.Int32)
	}
	for range 16 {
		busy.Go(func() {
			list := append([]cid.Cid{}, all...)
			rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
			list = list[:10]
			got := 0
			count := func(_ cid.Cid, data []byte) error {
				if got++; len(data) != 1 {
					t.Error("another block")
				}
				return nil
			}
			err := f.Each(t.Context(), list, count, func(part []cid.Cid, came func(cid.Cid, []byte) error) error {
				for _, c := range part {
					if asking[c].Add(1) != 1 {
						t.Error("two ask for one block")
					}
				}
				asked.Add(int32(len(part)))
				for _, c := range part {
					came(c, []byte{1})
					asking[c].Add(-1)
				}
				return nil
			})
			if err != nil || got != len(list) {
				t.Errorf("%d of %d, %v", got, len(list), err)
			}
		})
	}
	busy.Wait()
	if len(f.under) != 0 || asked.Load() > 20 {
		t.Errorf("%d are under way for ever, and 20 were asked for %d times", len(f.under), asked.Load())
	}
	f.came(all[0], make([]byte, maxRecent)) // it is there
	for i := range 40 {
		f.came(block(1, byte(i)), make([]byte, 1<<20))
	}
	if f.bytes > maxRecent || len(f.recent) != len(f.order) {
		t.Errorf("%d bytes are kept", f.bytes)
	}
	mine := f.claim(all[:1]).mine
	if len(mine) != 1 {
		t.Fatal("it is kept for ever")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Each(ctx, mine, nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("who is told to end waits: %v", err)
	}
}

// TestIdle: what has come is kept while more comes, and for a while after, and then no memory is held.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := Group{under: map[cid.Cid]chan struct{}{}, recent: map[cid.Cid][]byte{}}
		kept := func(want int) {
			t.Helper()
			synctest.Wait()
			if f.mu.Lock(); f.bytes != want || (len(f.recent) == 0) != (want == 0) || len(f.order) != len(f.recent) {
				t.Errorf("%d bytes are kept in %d blocks, want %d", f.bytes, len(f.recent), want)
			}
			f.mu.Unlock()
		}
		f.came(block(1), make([]byte, 1<<20))
		time.Sleep(keepFor - time.Second)
		f.came(block(2), make([]byte, 1<<20))
		time.Sleep(keepFor - time.Second)
		kept(2 << 20)
		time.Sleep(2 * time.Second)
		kept(0)
		f.came(block(1), make([]byte, 1<<20))
		kept(1 << 20)
		time.Sleep(2 * keepFor)
		kept(0)
	})
}
