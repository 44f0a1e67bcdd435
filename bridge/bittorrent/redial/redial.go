// Package redial says when peers of a torrent are dialled again, as libtorrent does: a library that tries an address once, and forgets it if nobody answers in a few seconds,
// loses who is busy, or who refuses one of two connections that it tries at once.
package redial

import (
	"net/netip"
	"slices"
	"time"
)

// When peers are dialled again.
const (
	first = time.Second      // after a peer was dialled or lost …
	most  = time.Minute      // … doubled each time up to this …
	good  = 10 * time.Second // … and from the beginning when it was connected for so long

	Many     = 64 // peers that are remembered: those of whom it heard last
	Unproven = 5  // times that one is dialled again whom somebody else named, and who has never answered
)

// A List remembers peers of a torrent that is fetched: those that its link names and those that answered once, for as long as it lasts, and those whom a tracker named, who may
// have nothing to do with it, for a while.
type List struct{ peers []*peer }

// peer is when one is dialled again unless it is connected.
type peer struct {
	at   netip.AddrPort
	wait time.Duration
	due  time.Time
	up   time.Time // since when it is connected; zero: it is not
	left int       // times that it is still dialled; negative: as often as it takes
}

// Add remembers a peer that was dialled now, or is connected.
func (l *List) Add(at netip.AddrPort, now time.Time) { l.add(at, now, -1) }

// Named remembers, while there is room, peers that a tracker has named, and that are dialled for the first time now: one of each address, which may be somebody's who has
// nothing to do with it.
func (l *List) Named(list []netip.AddrPort, now time.Time) {
	for _, at := range list {
		at = Unmapped(at)
		if len(l.peers) < Many && !slices.ContainsFunc(l.peers, func(p *peer) bool { return p.at.Addr() == at.Addr() }) {
			l.add(at, now, Unproven)
		}
	}
}

func (l *List) add(at netip.AddrPort, now time.Time, left int) {
	at = Unmapped(at)
	for _, p := range l.peers {
		if p.at == at {
			if left < 0 {
				p.left = left
			}
			return
		}
	}
	if len(l.peers) == Many {
		l.peers = slices.Delete(l.peers, 0, 1)
	}
	l.peers = append(l.peers, &peer{at: at, wait: first, due: now.Add(first), left: left})
}

// Next returns the peers that are to be dialled now.
func (l *List) Next(now time.Time, connected map[netip.AddrPort]bool) (list []netip.AddrPort) {
	for _, p := range l.peers {
		if !connected[p.at] {
			p.up = time.Time{}
		} else if p.left = -1; p.up.IsZero() {
			p.up = now
		} else if now.Sub(p.up) >= good {
			p.wait = first
		}
		switch {
		case connected[p.at]:
			p.due = now.Add(p.wait)
		case !now.Before(p.due):
			p.wait = min(2*p.wait, most)
			p.due = now.Add(p.wait)
			p.left--
			list = append(list, p.at)
		}
	}
	l.peers = slices.DeleteFunc(l.peers, func(p *peer) bool { return p.left == 0 })
	return list
}

// Len returns how many are remembered.
func (l *List) Len() int { return len(l.peers) }

// Unmapped has one form for one address.
func Unmapped(at netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}
