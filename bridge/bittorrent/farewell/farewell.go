// Package farewell keeps a node from going on to talk to trackers of what it has left: the library tells them in turns that it is there and that it is not.
package farewell

import "sync"

const most = 4096 // farewells that are remembered

// A Book says which trackers were told of which torrents that this node is no longer there.
type Book struct {
	mu   sync.Mutex
	told map[string]bool // by tracker and infohash
}

// Tell reports whether a tracker is to be told of a torrent; there: this node takes part in it; stops: it is to be told that it does not.
func (b *Book) Tell(tracker, hash string, there, stops bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	of := hash + tracker
	switch {
	case there:
		delete(b.told, of)
	case b.told[of]:
		return false
	case stops:
		if b.told == nil || len(b.told) >= most { // then some are told twice
			b.told = map[string]bool{}
		}
		b.told[of] = true
	}
	return true
}
