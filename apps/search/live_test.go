package search

import (
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// What is later holds, who is silent for an hour is gone, and who has never been seen is not.
func TestSeen(t *testing.T) {
	var s seen
	now := time.Now()
	s.note("a", now.Add(-2*time.Hour))
	s.note("b", now.Add(-2*time.Hour))
	s.note("b", now)
	s.note("b", now.Add(-3*time.Hour))
	if gone := s.gone(now); len(gone) != 1 || gone[0] != peer.ID("a") {
		t.Errorf("gone: %v", gone)
	}
	if !s.last("b").Equal(now) || !s.last("c").IsZero() {
		t.Errorf("b: %v, c: %v", s.last("b"), s.last("c"))
	}
	for i := range maxSeen + 10 {
		s.note(peer.ID(time.Duration(i).String()), now)
	}
	s.note("a", now)
	if len(s.at) != maxSeen || len(s.gone(now)) != 0 {
		t.Errorf("%d are noted", len(s.at))
	}
}
