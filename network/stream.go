package network

import (
	"sync/atomic"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// traffic counts what applications exchanged with one peer, in bytes.
type traffic struct{ up, down atomic.Int64 }

const maxTraffic = 1024 // peers that are no longer connected, whose counts are kept

// count returns the counters of p.
func (n *Network) count(p peer.ID) *traffic {
	n.mu.Lock()
	defer n.mu.Unlock()
	t := n.traffic[p]
	if t == nil {
		if len(n.traffic) >= maxTraffic {
			n.dropTraffic()
		}
		t = &traffic{}
		n.traffic[p] = t
	}
	return t
}

// dropTraffic forgets the counts of a peer that is not connected. n.mu is held.
func (n *Network) dropTraffic() {
	for p := range n.traffic {
		if n.host.Network().Connectedness(p) == network.NotConnected {
			delete(n.traffic, p)
			return
		}
	}
}

// An ordinary stream is one of libp2p's.
type ordinary struct {
	network.Stream
	n *traffic
}

func (n *Network) stream(s network.Stream) *ordinary {
	return &ordinary{s, n.count(s.Conn().RemotePeer())}
}

func (s *ordinary) Peer() peer.ID { return s.Conn().RemotePeer() }
func (s *ordinary) Bulk() bool    { return false }

func (s *ordinary) Read(p []byte) (int, error) {
	n, err := s.Stream.Read(p)
	s.n.down.Add(int64(n))
	return n, err
}

func (s *ordinary) Write(p []byte) (int, error) {
	n, err := s.Stream.Write(p)
	s.n.up.Add(int64(n))
	return n, err
}
