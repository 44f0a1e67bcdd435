package rendezvous

import (
	"net/netip"
	"testing"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"kith/rendezvous/rendezvoustest"
)

func udpAddr(a ma.Multiaddr) (netip.AddrPort, error) {
	to, err := manet.ToNetAddr(a.Decapsulate(ma.StringCast("/quic-v1")))
	if err != nil {
		return netip.AddrPort{}, err
	}
	return addrOf(to), nil
}

// Two nodes that know nobody find each other by a DHT of others.
func TestMeet(t *testing.T) {
	dht := rendezvoustest.Loopback(t, 20)
	a := newMember(t, 1, "", dht.Hosts)
	a.join()
	a.until("announced", func(s Status) bool { return !s.Told.IsZero() && !s.Asking })
	b := newMember(t, 2, "", dht.Hosts)
	b.join()
	b.meets(a)
	s := b.until("the round is over", func(s Status) bool { return !s.Asking })
	if s.Found != 1 || s.Asked == 0 || s.Answered == 0 || s.Candidates == 0 || s.Err != nil {
		t.Errorf("%+v", s)
	}
}
