// Package ledger counts what strangers make a node of an overlay keep for them in a day, and says when it is enough.
//
// It keeps nothing itself. Its one idea: whoever has one address in a part of the internet has many there for little money, and as many identities as they
// like, so that each of the three is counted: the peer, the part of the internet, and all.
package ledger

import (
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
)

// What strangers may make a node keep in a day. It is dropped after 48 hours, so that at most three times as much is on disk.
const (
	DayPeer   = 50_000   // announcements of one peer
	DayGroup  = 100_000  // of all peers in one part of the internet (maddr.Group)
	DayAll    = 200_000  // of all peers; one takes about 170 bytes on disk
	DayValues = 32 << 20 // bytes of values under keys that are new here
	MaxPeers  = 16_384   // peers that are counted; after that, what no counted one sends is not kept until the next day
)

// A Ledger counts a day. It is pure: days come in. The zero Ledger is empty; its methods may be called at once from several goroutines.
type Ledger struct {
	mu     sync.Mutex
	day    int64
	peers  map[peer.ID]int
	groups map[string]int
	all    int
	values int
}

// turn begins a new day. l.mu is held.
func (l *Ledger) turn(day int64) {
	if day != l.day || l.peers == nil {
		l.day, l.peers, l.groups, l.all, l.values = day, map[peer.ID]int{}, map[string]int{}, 0, 0
	}
}

// Announce reports whether one more announcement that p brings is kept.
func (l *Ledger) Announce(day int64, p peer.ID, group string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn(day)
	n, counted := l.peers[p]
	if l.all >= DayAll || n >= DayPeer || group != "" && l.groups[group] >= DayGroup || !counted && len(l.peers) >= MaxPeers {
		return false
	}
	l.all++
	l.peers[p]++
	if group != "" {
		l.groups[group]++
	}
	return true
}

// Value reports whether a value under a new key is kept.
func (l *Ledger) Value(day int64, size int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn(day)
	if l.values+size > DayValues {
		return false
	}
	l.values += size
	return true
}

// Count returns how many announcements of p were kept today.
func (l *Ledger) Count(p peer.ID) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.peers[p]
}
