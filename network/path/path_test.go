package path

import (
	"fmt"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Bulk until it fails or is clearly slower, and again after a while.
func TestMemory(t *testing.T) {
	now := time.Unix(1e9, 0)
	ps := New()
	const p = peer.ID("p")
	want := func(bulk bool, when string) {
		t.Helper()
		if got := ps.Bulk(p, now); got != bulk {
			t.Errorf("%s: bulk is %v", when, got)
		}
	}
	want(true, "nothing known")
	ps.Failed(p, now)
	want(false, "failed")
	now = now.Add(bulkRetry)
	want(true, "failed a while ago")
	ps.Report(p, false, 100<<20, time.Second, now)
	want(true, "only the ordinary way is measured")
	ps.Report(p, true, 90<<20, time.Second, now)
	want(true, "bulk is a little slower")
	for range 10 {
		ps.Report(p, true, 10<<20, time.Second, now)
	}
	want(false, "bulk is much slower")
	ps.Report(p, true, 1, time.Nanosecond, now)
	want(false, "a measurement of one byte")
	now = now.Add(pathRetry + 1)
	want(true, "measured long ago")
	for i := range 2 * maxPaths {
		ps.Failed(peer.ID(fmt.Sprint(i)), now)
	}
	if len(ps.m) > maxPaths {
		t.Errorf("%d paths are remembered", len(ps.m))
	}
}
