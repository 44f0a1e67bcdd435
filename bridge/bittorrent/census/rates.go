package census

import (
	"sync"
	"time"

	"github.com/anacrolix/torrent"
)

// Rates measures how fast each peer is sent to: the library knows only how fast the last write went into the socket. Its methods may be called at once.
type Rates struct {
	mu   sync.Mutex
	at   time.Time
	sent map[*torrent.PeerConn]moved
}

type moved struct {
	bytes int64
	rate  float64 // bytes a second, lately
}

// Sample takes how many bytes each peer was sent until now; those that are not in it are forgotten.
func (r *Rates) Sample(now time.Time, sent map[*torrent.PeerConn]int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := now.Sub(r.at).Seconds()
	next := make(map[*torrent.PeerConn]moved, len(sent))
	for pc, n := range sent {
		m := moved{bytes: n}
		if old, known := r.sent[pc]; known && d > 0 {
			if m.rate = old.rate*0.6 + float64(n-old.bytes)/d*0.4; m.rate < 1 {
				m.rate = 0
			}
		}
		next[pc] = m
	}
	r.at, r.sent = now, next
}

// Of returns how fast a peer is sent to, in bytes a second.
func (r *Rates) Of(pc *torrent.PeerConn) float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sent[pc].rate
}

// Sent returns how many bytes each peer was sent.
func Sent(t *torrent.Torrent) map[*torrent.PeerConn]int64 {
	m := map[*torrent.PeerConn]int64{}
	for _, pc := range t.PeerConns() {
		st := pc.Stats()
		m[pc] = st.BytesWrittenData.Int64()
	}
	return m
}
