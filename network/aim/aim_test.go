package aim

import (
	"fmt"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/test"
	ma "github.com/multiformats/go-multiaddr"
)

func TestWatch(t *testing.T) {
	now := time.Now()
	at := func(format string, args ...any) ma.Multiaddr { return ma.StringCast(fmt.Sprintf(format, args...)) }
	count := func(s *Watch, n int, p func(i int) peer.ID, a func(i int) ma.Multiaddr) (allowed int) {
		for i := range n {
			if s.Allows(now, p(i), a(i)) {
				allowed++
			}
		}
		return allowed
	}
	anybody := func(int) peer.ID { return test.RandPeerIDFatal(t) }
	one, id := at("/ip4/11.1.2.3/tcp/4001"), test.RandPeerIDFatal(t)
	s := New()
	if n := count(s, 20, func(int) peer.ID { return id }, func(int) ma.Multiaddr { return one }); n != 20 {
		t.Errorf("one peer at its address: %d of 20", n)
	}
	if n := count(s, 100, anybody, func(int) ma.Multiaddr { return one }); n != Peers-1 {
		t.Errorf("peers at one end: %d", n)
	}
	if !s.Allows(now.Add(every), test.RandPeerIDFatal(t), one) {
		t.Error("nobody is let through a minute later")
	}
	if n := count(New(), 100, anybody, func(i int) ma.Multiaddr { return at("/ip4/11.1.2.3/tcp/%d", 1000+i) }); n != hostPeers {
		t.Errorf("peers at all ports of one address: %d", n)
	}
	for _, local := range []string{"127.0.0.1", "192.168.1.2"} {
		if n := count(New(), 100, anybody, func(i int) ma.Multiaddr { return at("/ip4/%s/udp/%d/quic-v1", local, 1000+i) }); n != 100 {
			t.Errorf("a hundred neighbours at %s: %d", local, n)
		}
	}
	relay := at("/ip4/11.1.2.3/tcp/4001/p2p/%s/p2p-circuit", id)
	if n := count(New(), 100, anybody, func(int) ma.Multiaddr { return relay }); n != 100 {
		t.Errorf("peers behind one relay: %d", n)
	}
	s = New()
	count(s, 3*maxKept, anybody, func(i int) ma.Multiaddr { return at("/ip4/11.%d.%d.3/tcp/4001", i/250, i%250) })
	if len(s.ends) > maxKept || len(s.hosts) > maxKept {
		t.Errorf("%d ends and %d hosts are counted", len(s.ends), len(s.hosts))
	}
}
