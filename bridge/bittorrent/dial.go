package bittorrent

import (
	"net"
	"net/netip"
	"time"

	"github.com/anacrolix/torrent"

	"kith/bridge/bittorrent/redial"
)

// remember has peers dialled again while they are not connected.
func (s *swarm) remember(list []netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, at := range list {
		s.redials.Add(at, time.Now())
	}
}

// named has peers dialled again for a while whom a tracker has named to a swarm, if there is one, and whom the library dials now.
func (s *swarm) named(list []netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.redials.Named(list, time.Now())
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
			s.redials.Add(at, now)
		} else if n := pc.PeerListenPort; n > 0 && n < 1<<16 {
			at = netip.AddrPortFrom(at.Addr(), uint16(n))
		}
		connected[redial.Unmapped(at)] = true
	}
	list := s.redials.Next(now, connected)
	s.mu.Unlock()
	s.dial(list)
	if missing >= 0 && len(conns) == 0 { // the library connects to nobody while no piece is wanted, and nobody asks for what nobody is known to have
		s.t.Piece(missing).SetPriority(torrent.PiecePriorityNormal)
	}
}
