package flow

import (
	"context"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
)

// How many answers are made and sent at once, in all and for one peer over all its streams.
const (
	uploadSlots  = 16
	slotsPerPeer = 2
	maxShares    = 512 // peers that are remembered while they wait for nothing
)

// Slots share sending fairly between peers: a free slot goes to the waiting peer that was sent the least of late, however many
// streams it has opened.
type Slots struct {
	mu    sync.Mutex
	free  int
	peers map[peer.ID]*share
	floor int64 // what a peer that comes now counts as having been sent
}

type share struct {
	sent    int64
	busy    int
	waiting []chan struct{}
}

// NewSlots returns Slots that are all free.
func NewSlots() *Slots { return &Slots{free: uploadSlots, peers: map[peer.ID]*share{}} }

// Acquire waits for a slot for p and returns nil once it has one.
func (l *Slots) Acquire(ctx context.Context, p peer.ID) error {
	l.mu.Lock()
	s := l.peers[p]
	if s == nil {
		s = &share{sent: l.floor}
		l.peers[p] = s
	}
	turn := make(chan struct{})
	s.waiting = append(s.waiting, turn)
	l.grant()
	l.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, w := range s.waiting {
		if w == turn {
			s.waiting = append(s.waiting[:i], s.waiting[i+1:]...)
			l.tidy(p, s)
			return ctx.Err()
		}
	}
	l.release(p, s, 0) // the turn came at the same moment
	return ctx.Err()
}

// Release gives back a slot of p, over which n bytes were sent.
func (l *Slots) Release(p peer.ID, n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.release(p, l.peers[p], n)
}

func (l *Slots) release(p peer.ID, s *share, n int64) {
	s.busy--
	s.sent += n
	l.free++
	l.grant()
	l.tidy(p, s)
}

// grant gives free slots to whoever was sent the least. Equal peers take turns, as what they were sent changes.
func (l *Slots) grant() {
	for l.free > 0 {
		var next *share
		for _, s := range l.peers {
			if len(s.waiting) > 0 && s.busy < slotsPerPeer && (next == nil || s.sent < next.sent) {
				next = s
			}
		}
		if next == nil {
			return
		}
		close(next.waiting[0])
		next.waiting = next.waiting[1:]
		next.busy++
		l.free--
		l.floor = max(l.floor, next.sent)
	}
}

// tidy forgets a peer that neither sends nor waits, if it is not ahead of the others.
func (l *Slots) tidy(p peer.ID, s *share) {
	if s.busy == 0 && len(s.waiting) == 0 && (s.sent <= l.floor || len(l.peers) > maxShares) {
		delete(l.peers, p)
	}
}
