package live

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// One peer may ask so much in a moment, and then so much a second, and it costs others nothing.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		asks := func(of peer.ID) (n int) {
			for range 2 * burst {
				if g.enter(of) {
					g.leave(of)
					n++
				}
			}
			return n
		}
		if n := asks("one"); n != burst {
			t.Errorf("%d questions in a moment, want %d", n, burst)
		}
		time.Sleep(time.Second)
		if n := asks("one"); n != perSecond {
			t.Errorf("%d more after a second, want %d", n, perSecond)
		}
		if n := asks("two"); n != burst {
			t.Errorf("%d of another peer, want %d", n, burst)
		}
		for n := range peerStream {
			if !g.enter("three") {
				t.Errorf("only %d at once", n)
			}
		}
		if g.enter("three") {
			t.Errorf("more than %d at once", peerStream)
		}
	})
}
