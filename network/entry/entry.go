// Package entry remembers at which of its addresses others get in to a node that they were not spoken to from.
//
// It asks nobody (AutoNAT does), and decides nothing but what a connection and an answer prove. Its one idea: who came in without having been dialled came through
// whatever stands before the node, which is proof at once and from one peer; answers of peers that tried can be wrong, so that it takes many to undo it. It is pure.
package entry

import (
	"net/netip"
	"slices"
	"sync"
)

// siteBits is what a home or a small office is given of IPv6 (RIPE-690, 4.2.2): within it no firewall to the internet is crossed.
const siteBits = 56

// Entries are the addresses at which others get in. The zero value has none; its methods may be called at once.
type Entries struct {
	mu sync.Mutex
	at []netip.Addr
}

// Came tells that somebody whom the node never dialled came in at an address of the node, which is on the networks links. It reports whether that proves something:
// that it came from the internet.
func (e *Entries) Came(at, from netip.Addr, links []netip.Prefix) bool {
	at, from = at.Unmap(), from.Unmap()
	if !outside(at) || !outside(from) || at.Is4() != from.Is4() || slices.ContainsFunc(links, func(l netip.Prefix) bool { return l.Contains(from) }) {
		return false
	}
	if site, err := at.Prefix(siteBits); at.Is6() && (err != nil || site.Contains(from)) {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !slices.Contains(e.at, at) {
		e.at = append(e.at, at)
	}
	return true
}

func outside(a netip.Addr) bool { return a.IsGlobalUnicast() && !a.IsPrivate() }

// Found tells what others have found out by trying, of all addresses of the node: those that can be reached, and those of which it is not known, or not any more. Others
// are closed, or gone.
func (e *Entries) Found(reachable, unknown []netip.Addr) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.at = slices.DeleteFunc(e.at, func(a netip.Addr) bool { return !slices.Contains(unknown, a) })
	for _, a := range reachable {
		if !slices.Contains(e.at, a) {
			e.at = append(e.at, a)
		}
	}
}

// Open reports whether there is an address at which others get in.
func (e *Entries) Open() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.at) > 0
}
