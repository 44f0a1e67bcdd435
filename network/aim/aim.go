// Package aim bounds how many peers are looked for at one address, by whomever they were told.
//
// What peers tell of others' addresses may be aimed at somebody who has nothing to do with it: a thousand invented peers, all at one
// victim's address. libp2p backs off from a peer that does not answer, not from an address, and so would try the victim a thousand times.
package aim

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"golang.org/x/time/rate"

	"kith/network/maddr"
)

// Limits.
const (
	Peers     = 4                // peers that are tried at one address and port at once,
	every     = time.Minute      // and then one more in so long
	hostPeers = 32               // peers that are tried at one address of the internet at once,
	hostEvery = 15 * time.Second // and then one more in so long
	maxKept   = 4096             // addresses that are counted, of each kind
)

// A Watch counts who was let through where. Its methods may be called at once.
type Watch struct {
	mu    sync.Mutex
	ends  map[string]*aim     // by network, address and port
	hosts map[netip.Addr]*aim // by address
}

// An aim is one address: who was let through of late goes through again.
type aim struct {
	next  *rate.Limiter
	peers []peer.ID
}

// New returns a Watch that has counted nobody.
func New() *Watch { return &Watch{ends: map[string]*aim{}, hosts: map[netip.Addr]*aim{}} }

// Allows reports whether p may be tried at a. What leads through a relay may: the relay is who is dialled.
func (s *Watch) Allows(now time.Time, p peer.ID, a ma.Multiaddr) bool {
	if maddr.Transport(a) == "relay" {
		return true
	}
	network, end, err := manet.DialArgs(a)
	if err != nil {
		return true // a name, or nothing that is dialled
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !take(s.ends, network[:3]+" "+end, now, p, every, Peers) { // tcp4 and tcp6 are tcp
		return false
	}
	ip, ok := maddr.PublicIP(a)
	return !ok || take(s.hosts, ip, now, p, hostEvery, hostPeers)
}

// Tried reports whether anybody was dialled at an address of the internet.
func (s *Watch) Tried(ip netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hosts[ip] != nil
}

func take[K comparable](all map[K]*aim, key K, now time.Time, p peer.ID, every time.Duration, burst int) bool {
	a := all[key]
	if a == nil {
		for old := range all {
			if len(all) < maxKept {
				break
			}
			delete(all, old)
		}
		a = &aim{next: rate.NewLimiter(rate.Every(every), burst)}
		all[key] = a
	}
	if slices.Contains(a.peers, p) {
		return true
	}
	if !a.next.AllowN(now, 1) {
		return false
	}
	if a.peers = append(a.peers, p); len(a.peers) > burst {
		a.peers = slices.Delete(a.peers, 0, 1)
	}
	return true
}
