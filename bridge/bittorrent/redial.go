package bittorrent

import (
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/anacrolix/torrent"
)

// When peers are dialled again. The library tries an address once, and forgets it if nobody answers in a few seconds, which a busy computer does not always, or before it wants
// something.
const (
	redialMin  = time.Second      // after a peer was dialled or lost …
	redialMax  = time.Minute      // … doubled each time up to this …
	redialGood = 10 * time.Second // … and from the beginning when it was connected for so long
	redialMany = 64               // peers of one torrent that are remembered: those of whom it heard last
)

// redials remembers peers of a torrent that is fetched: those that the link names, and those that answered once.
type redials struct{ list []*redial }

// redial is a peer, and when it is dialled again unless it is connected.
type redial struct {
	at   netip.AddrPort
	wait time.Duration
	due  time.Time
	up   time.Time // since when it is connected; zero: it is not
}

// add remembers a peer that was dialled now, or is connected.
func (r *redials) add(at netip.AddrPort, now time.Time) {
	at = unmapped(at)
	for _, d := range r.list {
		if d.at == at {
			return
		}
	}
	if len(r.list) == redialMany {
		r.list = slices.Delete(r.list, 0, 1)
	}
	r.list = append(r.list, &redial{at: at, wait: redialMin, due: now.Add(redialMin)})
}

// next returns the peers that are to be dialled now.
func (r *redials) next(now time.Time, connected map[netip.AddrPort]bool) (list []netip.AddrPort) {
	for _, d := range r.list {
		if !connected[d.at] {
			d.up = time.Time{}
		} else if d.up.IsZero() {
			d.up = now
		} else if now.Sub(d.up) >= redialGood {
			d.wait = redialMin
		}
		switch {
		case connected[d.at]:
			d.due = now.Add(d.wait)
		case !now.Before(d.due):
			d.wait = min(2*d.wait, redialMax)
			d.due = now.Add(d.wait)
			list = append(list, d.at)
		}
	}
	return list
}

// unmapped has one form for one address.
func unmapped(at netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}

// remember has peers dialled again while they are not connected.
func (s *swarm) remember(list []netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, at := range list {
		s.redials.add(at, time.Now())
	}
}

// dial has peers tried.
func (s *swarm) dial(list []netip.AddrPort) {
	var infos []torrent.PeerInfo
	for _, at := range list {
		infos = append(infos, torrent.PeerInfo{Addr: net.TCPAddrFromAddrPort(at), Source: torrent.PeerSourceDirect})
	}
	if len(infos) > 0 {
		s.t.AddPeers(infos)
	}
}

// redial has those tried again that are not connected, while there is something to fetch.
func (s *swarm) redial(now time.Time) {
	s.mu.Lock()
	_, fetched := s.src.(contentSource)
	p, in, set := s.pieces, s.info, s.set
	s.mu.Unlock()
	missing := -1
	for i := 0; set && i < in.NumPieces() && missing < 0; i++ {
		if !p.complete(i) {
			missing = i
		}
	}
	if !fetched || set && missing < 0 {
		return
	}
	conns := s.t.PeerConns()
	connected := map[netip.AddrPort]bool{}
	s.mu.Lock()
	for _, pc := range conns {
		at, err := netip.ParseAddrPort(pc.RemoteAddr.String())
		if err != nil {
			continue
		}
		if pc.Discovery != torrent.PeerSourceIncoming {
			s.redials.add(at, now)
		} else if n := pc.PeerListenPort; n > 0 && n < 1<<16 {
			at = netip.AddrPortFrom(at.Addr(), uint16(n))
		}
		connected[unmapped(at)] = true
	}
	list := s.redials.next(now, connected)
	s.mu.Unlock()
	s.dial(list)
	if missing >= 0 && len(conns) == 0 { // the library connects to nobody while no piece is wanted, and nobody asks for what nobody is known to have
		s.t.Piece(missing).SetPriority(torrent.PiecePriorityNormal)
	}
}
