package shard

import (
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Heard returns when other devices said last that they are there, by this node's clock: those of the shard, and those of others that are known, within Life.
func (s *Shard) Heard() map[peer.ID]time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[peer.ID]time.Time, len(s.kept))
	for p, e := range s.kept {
		if p != s.me {
			all[p] = e.heard
		}
	}
	return all
}
