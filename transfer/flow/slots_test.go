package flow

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// TestSlots sends equally to two peers of which one asks through three streams.
func TestSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewSlots()
		l.free = 2
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		sent := map[peer.ID]int{}
		for _, p := range []peer.ID{"greedy", "greedy", "greedy", "modest", "modest"} {
			go func() {
				for l.Acquire(ctx, p) == nil {
					time.Sleep(time.Millisecond)
					mu.Lock()
					sent[p]++
					mu.Unlock()
					l.Release(p, 1000)
				}
			}()
		}
		time.Sleep(time.Second)
		cancel()
		time.Sleep(time.Second)
		mu.Lock()
		defer mu.Unlock()
		l.mu.Lock()
		defer l.mu.Unlock()
		if g, m := sent["greedy"], sent["modest"]; g+m < 1900 || max(g, m)-min(g, m) > 100 {
			t.Errorf("who asks through three streams got %d, the other %d", g, m)
		}
		if l.free != 2 {
			t.Errorf("%d slots are free in the end", l.free)
		}
	})
}
