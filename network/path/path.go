// Package path remembers how fast the two ways to each peer were, ordinary streams and bulk streams, so that the faster is taken.
//
// It opens nothing and measures nothing. Its one idea: what has been slower, or did not work, is tried again after a while, since ways change. It is pure: times come in.
package path

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

// A Memory is what is remembered. Its methods may be called at once.
type Memory struct {
	mu sync.Mutex
	m  map[peer.ID]*path
}

type path struct {
	rate     [2]float64 // bytes a second, a moving average: of ordinary streams, of bulk streams; 0: not known
	noBulk   time.Time  // until then none is tried
	measured time.Time
}

// New returns a Memory of nothing.
func New() *Memory { return &Memory{m: map[peer.ID]*path{}} }

// get returns the path to p. m.mu is held.
func (m *Memory) get(p peer.ID) *path {
	x := m.m[p]
	if x == nil {
		for old := range m.m {
			if len(m.m) < maxPaths {
				break
			}
			delete(m.m, old)
		}
		x = &path{}
		m.m[p] = x
	}
	return x
}

// Bulk reports whether a bulk stream to p should be tried.
func (m *Memory) Bulk(p peer.ID, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	x := m.m[p]
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

// Failed remembers that no bulk stream could be opened.
func (m *Memory) Failed(p peer.ID, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.get(p).noBulk = now.Add(bulkRetry)
}

// Report takes a measurement.
func (m *Memory) Report(p peer.ID, bulk bool, bytes int64, d time.Duration, now time.Time) {
	if bytes < minMeasured || d <= 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	x, i := m.get(p), 0
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

// Forget forgets all of it: the ways are others.
func (m *Memory) Forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.m)
}
