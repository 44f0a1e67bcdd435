package network

import (
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	maxPaths    = 1024             // peers whose rates are remembered
	bulkRetry   = 5 * time.Minute  // before a bulk stream is tried again where none could be opened
	pathRetry   = 15 * time.Minute // before the slower way is tried again
	minMeasured = 1 << 20          // bytes; less says nothing about a rate
	newWeight   = 0.3              // of a new measurement
	clearly     = 1.25             // times as fast an ordinary stream must be to be preferred
)

// paths remembers how fast the two ways to each peer were. It is pure: times come in.
type paths struct {
	mu sync.Mutex
	m  map[peer.ID]*path
}

type path struct {
	rate     [2]float64 // bytes a second, a moving average: of ordinary streams, of bulk streams; 0: not known
	noBulk   time.Time  // until then none is tried
	measured time.Time
}

func newPaths() *paths { return &paths{m: map[peer.ID]*path{}} }

// get returns the path to p. ps.mu is held.
func (ps *paths) get(p peer.ID) *path {
	x := ps.m[p]
	if x == nil {
		for old := range ps.m {
			if len(ps.m) < maxPaths {
				break
			}
			delete(ps.m, old)
		}
		x = &path{}
		ps.m[p] = x
	}
	return x
}

// bulk reports whether a bulk stream to p should be tried.
func (ps *paths) bulk(p peer.ID, now time.Time) bool {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	x := ps.m[p]
	switch {
	case x == nil:
		return true
	case now.Before(x.noBulk):
		return false
	case x.rate[1] == 0, now.Sub(x.measured) > pathRetry:
		return true
	}
	return x.rate[0] <= clearly*x.rate[1]
}

// failed remembers that no bulk stream could be opened.
func (ps *paths) failed(p peer.ID, now time.Time) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.get(p).noBulk = now.Add(bulkRetry)
}

// report takes a measurement.
func (ps *paths) report(p peer.ID, bulk bool, bytes int64, d time.Duration, now time.Time) {
	if bytes < minMeasured || d <= 0 {
		return
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	x, i := ps.get(p), 0
	if bulk {
		i = 1
	}
	rate := float64(bytes) / d.Seconds()
	if x.rate[i] == 0 {
		x.rate[i] = rate
	}
	x.rate[i] += newWeight * (rate - x.rate[i])
	x.measured = now
}

// forget forgets all of it: the ways are others.
func (ps *paths) forget() {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	clear(ps.m)
}
