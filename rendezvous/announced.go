package rendezvous

import (
	"net/netip"
	"sync"
	"time"

	"github.com/anacrolix/dht/v2/krpc"
	peer_store "github.com/anacrolix/dht/v2/peer-store"
)

const (
	maxPlaces = 1000 // infohashes for which announcements of others are kept
	maxPeers  = 50   // announcements for each: as many as fit in one answer
	keepFor   = 30 * time.Minute
)

// announced is what others announced to this node, while it serves: in memory, bounded, and the newest.
type announced struct {
	mu     sync.Mutex
	places map[peer_store.InfoHash]map[netip.AddrPort]time.Time
}

// AddPeer implements peer_store.Interface.
func (a *announced) AddPeer(at peer_store.InfoHash, who krpc.NodeAddr) {
	addr := plain(who.ToNodeAddrPort().AddrPort)
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.places == nil {
		a.places = map[peer_store.InfoHash]map[netip.AddrPort]time.Time{}
	}
	if a.places[at] == nil {
		a.forget(now)
		if len(a.places) >= maxPlaces {
			return
		}
		a.places[at] = map[netip.AddrPort]time.Time{}
	}
	if peers := a.places[at]; len(peers) < maxPeers || !peers[addr].IsZero() {
		peers[addr] = now
	}
}

// forget drops what is too old. a.mu is held.
func (a *announced) forget(now time.Time) {
	for at, peers := range a.places {
		for addr, seen := range peers {
			if now.Sub(seen) > keepFor {
				delete(peers, addr)
			}
		}
		if len(peers) == 0 {
			delete(a.places, at)
		}
	}
}

// GetPeers implements peer_store.Interface.
func (a *announced) GetPeers(at peer_store.InfoHash) (out []krpc.NodeAddr) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for addr, seen := range a.places[at] {
		if now.Sub(seen) <= keepFor {
			out = append(out, krpc.NodeAddr{IP: addr.Addr().AsSlice(), Port: int(addr.Port())})
		}
	}
	return out
}
