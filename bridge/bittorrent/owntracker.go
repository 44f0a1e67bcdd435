package bittorrent

import (
	"context"
	"slices"
	"time"

	"kith/bridge/bittorrent/metainfo"
)

// ownTracker is the tracker that this node is itself.
type ownTracker struct {
	url string          // "": it is none now
	was map[string]bool // what it has been, which the library still asks
}

// ownAway is how long the library waits until it asks again where this node was a tracker and is none.
const ownAway = 5 * time.Minute

// Announce implements bridge.Torrents.
func (b *Bridge) Announce(tracker string) {
	b.mu.Lock()
	if b.own.was == nil {
		b.own.was = map[string]bool{}
	}
	if b.own.url = tracker; tracker != "" {
		b.own.was[tracker] = true
	}
	b.mu.Unlock()
	if tracker == "" {
		return
	}
	all := b.all()
	b.o.Go("bittorrent.announce", func(ctx context.Context) error { // there may be ten thousand
		for s := range all {
			if ctx.Err() == nil && (s.metadata() != nil || !s.root.IsZero()) { // else it is told when it is known what it is, see got
				s.announceHere()
			}
		}
		return nil
	})
}

// announceHere has the swarm told to the trackers of the person: those of the configuration, and the one that this node is itself; unless it is private (BEP 27): then its own trackers alone may
// know of it.
func (s *swarm) announceHere() {
	s.b.mu.Lock()
	url := s.b.own.url
	s.b.mu.Unlock()
	s.mu.Lock()
	t, private := s.t, s.audience.Private
	s.mu.Unlock()
	if t == nil || private {
		return
	}
	s.ask(s.b.o.Config.Trackers)
	if url != "" {
		s.ask([]string{url})
	}
}

// trackers returns those that are told of a torrent.
func (b *Bridge) trackers(t audience) []string {
	if t.Private {
		return t.Trackers
	}
	return append(slices.Clone(b.o.Config.Trackers), t.Trackers...)
}

// away reports whether a tracker is one that this node was, and is no more; then answer is what the library is told.
func (b *Bridge) away(tracker string) (answer metainfo.Answer, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return metainfo.Answer{Interval: int64(ownAway.Seconds())}, b.own.was[tracker] && b.own.url != tracker
}
