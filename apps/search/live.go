package search

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith/internal/human"
)

// Seen is when devices were last known to be there: connected, or by the stamps that each who publishes sends every 15 minutes. Nobody is dialled for it: who is dialled because
// something of theirs was found would learn that it was.
type seen struct {
	mu sync.Mutex
	at map[peer.ID]time.Time
}

const (
	seenEvery = time.Minute
	maxSeen   = 1 << 14             // devices
	silent    = time.Hour           // after which who published something and was there is taken to be gone
	forgotten = 30 * 24 * time.Hour // as what they published is
)

// Whether somebody who shares a result is there.
const (
	liveNow     = "now"
	liveSeen    = "seen"
	liveUnknown = "unknown"
)

// followSeen keeps when who was there.
func (s *Search) followSeen(ctx context.Context) error {
	tick := time.NewTicker(seenEvery)
	defer tick.Stop()
	for {
		s.look(time.Now())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// look notes who is there.
func (s *Search) look(now time.Time) {
	stamps, connected := s.shard.Heard(), s.peers()
	s.seen.mu.Lock()
	defer s.seen.mu.Unlock()
	for p, at := range stamps {
		s.seen.note(p, at)
	}
	for _, p := range connected {
		s.seen.note(p, now)
	}
	life := forgotten
	if len(s.seen.at) >= maxSeen {
		life = silent
	}
	maps.DeleteFunc(s.seen.at, func(_ peer.ID, at time.Time) bool { return now.Sub(at) > life })
}

// saw notes that a device is there now.
func (s *Search) saw(p peer.ID) {
	if s.env.Host.Foreign(p) {
		return
	}
	s.seen.mu.Lock()
	defer s.seen.mu.Unlock()
	s.seen.note(p, time.Now())
}

// note notes when a device was there; mu is held. Of too many, those that come later are not noted.
func (s *seen) note(p peer.ID, at time.Time) {
	if s.at == nil {
		s.at = map[peer.ID]time.Time{}
	}
	if old, ok := s.at[p]; ok && !at.After(old) || !ok && len(s.at) >= maxSeen {
		return
	}
	s.at[p] = at
}

// last returns when a device was last there; the zero time if that is not known.
func (s *seen) last(p peer.ID) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at[p]
}

// gone returns the devices that were there, and have been silent for long.
func (s *seen) gone(now time.Time) (list []peer.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, at := range s.at {
		if now.Sub(at) > silent {
			list = append(list, p)
		}
	}
	return list
}

// isGone is what it takes off that a device is gone: of what has as many of the words, what others have too comes first, but for what contacts share.
const isGone = 20.0

// prefer has a search rank what can be had before what cannot.
func (a *asking) prefer() {
	now := time.Now()
	a.s.look(now)
	for _, p := range a.s.seen.gone(now) {
		a.o.Trust[p.String()] -= isGone
	}
}

// alive says whether any of who shares a result is there.
func (s *Search) alive(r *Result, sources []peer.ID) {
	if r.Here || len(sources) == 0 { // what other networks have is not known
		return
	}
	r.Live = liveUnknown
	for _, p := range sources {
		if _, ok := s.env.Host.Peer(p); ok {
			r.Live, r.Seen = liveNow, time.Time{}
			return
		}
		if at := s.seen.last(p); at.After(r.Seen) {
			r.Live, r.Seen = liveSeen, at.UTC().Truncate(time.Second)
		}
	}
}

// there is what a person is told of it.
func (r Result) there() string {
	switch r.Live {
	case liveNow:
		return "available now"
	case liveSeen:
		return "last seen " + human.Duration(max(time.Minute, time.Since(r.Seen))) + " ago"
	case liveUnknown:
		return "not seen yet"
	}
	return ""
}
