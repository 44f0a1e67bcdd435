package rendezvous

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/anacrolix/dht/v2/krpc"
	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/rendezvous/rendezvoustest"
)

func told(s Status) bool { return !s.Told.IsZero() && !s.Asking }

// Two nodes that know nobody find each other by a DHT of others.
func TestMeet(t *testing.T) {
	t.Parallel()
	d := rendezvoustest.Loopback(t, 20)
	a := newMember(t, 1, "", d.Hosts)
	a.join()
	a.until("announced", told)
	b := newMember(t, 2, "", d.Hosts)
	b.join()
	b.meets(a)
	s := b.until("the round is over", func(s Status) bool { return !s.Asking })
	if s.Found != 1 || s.Asked == 0 || s.Answered == 0 || s.Candidates == 0 || s.Err != nil {
		t.Errorf("%+v", s)
	}
}

// Who has not joined, who left, and who must not, asks and tells nothing.
func TestQuiet(t *testing.T) {
	t.Parallel()
	d := rendezvoustest.Loopback(t, 4)
	store := dssync.MutexWrap(datastore.NewMapDatastore())
	a := newMember(t, 1, "", d.Hosts, func(_ *member, o *Options) { o.Store = store })
	off := newMember(t, 2, "", d.Hosts, func(_ *member, o *Options) { o.Off = "the network is private" })
	off.r.Seek()
	if err := off.r.Join(t.Context()); !errors.Is(err, kith.Denied) {
		t.Errorf("joined: %v", err)
	}
	if err := off.r.Leave(t.Context()); err != nil {
		t.Error(err)
	}
	off.stop()
	a.stop()
	if n := d.Queries.Load(); n != 0 {
		t.Fatalf("the DHT was asked %d times", n)
	}
	a.start()
	a.join()
	a.until("announced", told)
	a.stop()
	if again, err := New(t.Context(), a.r.o); err != nil || !again.Status().Joined || again.Status().Nodes == 0 {
		t.Errorf("after a restart %+v, %v", again.Status(), err)
	}
	if err := a.r.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := d.Queries.Load()
	again := newMember(t, 3, "", d.Hosts, func(_ *member, o *Options) { o.Store = store })
	if again.r.Status().Joined {
		t.Error("it left, and is there after a restart")
	}
	again.stop()
	if n := d.Queries.Load(); n != before {
		t.Errorf("after it left the DHT was asked %d times", n-before)
	}
}

// Who cannot be reached, or only fetches, looks and does not announce.
func TestLookOnly(t *testing.T) {
	t.Parallel()
	d := rendezvoustest.Loopback(t, 8)
	a := newMember(t, 1, "", d.Hosts, func(m *member, _ *Options) { m.hidden = true })
	a.join()
	b := newMember(t, 2, "", d.Hosts)
	b.r.Seek()
	ended := func(s Status) bool { return !s.Ended.IsZero() }
	if s := a.until("looked", ended); !s.Told.IsZero() || s.Asked == 0 {
		t.Errorf("hidden: %+v", s)
	}
	if s := b.until("looked", ended); !s.Told.IsZero() || s.Joined || s.Asked == 0 {
		t.Errorf("fetching: %+v", s)
	}
	before := d.Queries.Load()
	b.r.Seek() // again, at once
	b.stop()
	if d.Queries.Load() != before {
		t.Error("each wish asks the DHT")
	}
	c := newMember(t, 3, "", d.Hosts)
	c.join()
	if s := c.until("looked", told); s.Candidates != 0 {
		t.Errorf("somebody was announced: %+v", s)
	}
}

// A node that was away for a month knows dead nodes of the DHT only, and finds the network again.
func TestAfterAMonth(t *testing.T) {
	t.Parallel()
	d := rendezvoustest.Loopback(t, 20)
	a := newMember(t, 1, "", d.Hosts)
	a.join()
	a.until("announced", told)
	var stale []dhtNode
	for i := range maxRemember {
		var n dhtNode
		for k := range n.id {
			n.id[k] = byte(rand.N(256))
		}
		n.addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 9, 9, byte(i)}), 6881)
		stale = append(stale, n)
	}
	b := newMember(t, 2, "", d.Hosts, func(_ *member, o *Options) {
		if err := errors.Join(saveNodes(t.Context(), o.Store, stale), o.Store.Put(t.Context(), joinedKey, []byte{1})); err != nil {
			t.Fatal(err)
		}
	})
	b.meets(a)
}

// Two contacts who lost each other meet where nobody else does, though the public network is not found for them.
func TestMeetContact(t *testing.T) {
	t.Parallel()
	d := rendezvoustest.Loopback(t, 20)
	a, b := newMember(t, 1, "", d.Hosts), newMember(t, 2, "", d.Hosts)
	stranger := newMember(t, 3, "", d.Hosts)
	for _, m := range []*member{a, b, stranger} {
		m.stop()
	}
	a.missing, b.missing = []peer.ID{b.net.ID()}, []peer.ID{a.net.ID()}
	stranger.missing = []peer.ID{a.net.ID(), b.net.ID()}
	meet := func(m *member, others ...*member) {
		m.r.change(func(s *Status) { s.Joined = true })
		var ids []peer.ID
		for _, o := range others {
			ids = append(ids, o.net.ID())
		}
		m.r.round(t.Context(), task{meet: ids})
	}
	meet(a, b)
	meet(stranger, a, b)
	if stranger.Peers() != 0 {
		t.Error("somebody else found them")
	}
	meet(b, a)
	if !b.net.Direct(a.net.ID()) {
		t.Errorf("b did not find a: %+v", b.r.Status())
	}
}

// poison is a DHT of which 19 of 20 nodes lie: each names closer nodes that are none, or liars too, and peers of every wrong kind. They are close to
// the infohashes of these days, as those who want to hide a network would place themselves.
func poison(t *testing.T, honest, liars int, lies func() []netip.AddrPort) *rendezvoustest.DHT {
	d := rendezvoustest.Loopback(t, honest)
	random := rand.New(rand.NewPCG(1, 2))
	var all []dhtNode
	var mu sync.Mutex
	for i := range liars {
		var id Infohash
		for k := range id {
			id[k] = byte(random.UintN(256))
		}
		if i%4 == 0 {
			copy(id[:3], func() []byte { h := Public("kith", time.Now()); return h[:3] }())
		}
		_, at := raw(t, "127.0.0.1", func(m krpc.Msg, _ net.Addr) *krpc.Return {
			token := "lie"
			r := &krpc.Return{ID: krpc.ID(id), Token: &token}
			if m.Q != "get_peers" {
				return r
			}
			mu.Lock()
			defer mu.Unlock()
			for range maxNamed {
				n := dhtNode{id: Infohash(m.A.InfoHash), addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 8, byte(random.UintN(256)), 1}), 6881)}
				n.id[19] ^= byte(random.UintN(256)) // a neighbour of the infohash, at which there is nobody
				if random.UintN(2) == 0 {
					n = all[random.IntN(len(all))]
				}
				r.Nodes = append(r.Nodes, krpc.NodeInfo{ID: krpc.ID(n.id), Addr: krpc.NodeAddr{IP: n.addr.Addr().AsSlice(), Port: int(n.addr.Port())}})
			}
			for _, a := range lies() {
				r.Values = append(r.Values, krpc.NodeAddr{IP: a.Addr().AsSlice(), Port: int(a.Port())})
			}
			return r
		})
		all = append(all, dhtNode{id, at})
	}
	for _, n := range all {
		for _, s := range d.Nodes {
			s.AddNode(krpc.NodeInfo{ID: krpc.ID(n.id), Addr: krpc.NodeAddr{IP: n.addr.Addr().AsSlice(), Port: int(n.addr.Port())}})
			s.Ping(net.UDPAddrFromAddrPort(n.addr))
		}
		d.Hosts = append(d.Hosts, n.addr.String())
	}
	return d
}

// With 95 % of the DHT lying, the network is still found; and whom the lies name gets two packets of a node in an hour, however many name them.
func TestPoison(t *testing.T) {
	t.Parallel()
	victim, at := raw(t, "127.7.7.7", nil)
	packets := counter(victim)
	elsewhere := newMember(t, 9, "other", nil) // a Kith node of another network
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(3, 4))
	d := poison(t, 4, 76, func() (list []netip.AddrPort) {
		mu.Lock()
		defer mu.Unlock()
		for range 10 { // nobody is there
			list = append(list, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 6, byte(random.UintN(256)), byte(random.UintN(256))}), 5000))
		}
		return append(list, at, at, elsewhere.at, netip.MustParseAddrPort("127.0.0.1:22"), netip.MustParseAddrPort("192.168.1.1:4001"))
	})
	a := newMember(t, 1, "", d.Hosts)
	a.join()
	a.until("announced", func(s Status) bool { return !s.Told.IsZero() })
	b := newMember(t, 2, "", d.Hosts)
	b.join()
	b.meets(a)
	b.stop()
	s := b.r.Status()
	if s.Knocked > maxKnocks {
		t.Errorf("%d addresses were tried in a round, at most %d", s.Knocked, maxKnocks)
	}
	if s.Candidates < 100 {
		t.Errorf("%d candidates only: nobody lied", s.Candidates)
	}
	again := 0
	for range 3 { // whoever names it again, within the hour
		heard := newCandidates(rand.New(rand.NewPCG(5, 6)))
		heard.hear([]netip.AddrPort{at}, "")
		again += b.r.knock(t.Context(), heard, maxKnocks)
	}
	if again > 1 {
		t.Errorf("the victim was tried %d times within the hour", again)
	}
	b.r.tried = tried{loopback: true} // it may have had its turn, or not
	heard := newCandidates(rand.New(rand.NewPCG(7, 8)))
	heard.hear([]netip.AddrPort{elsewhere.at}, "")
	if found := s.Found; b.r.knock(t.Context(), heard, maxKnocks) != 1 || b.r.Status().Found != found {
		t.Errorf("a node of another network counts as found: %+v", b.r.Status())
	}
	if n := packets(); n > 2*knockPackets { // knockPackets of each
		t.Errorf("the victim got %d packets of two nodes", n)
	}
	for _, m := range []*member{a, b} {
		if m.net.Direct(elsewhere.net.ID()) {
			t.Error("a node of another network is connected to")
		}
	}
	t.Logf("%+v; victim: %d packets", s, packets())
}

// A node whose memory is full of liars, who hid the network from it, finds it once it has asked the hosts anew.
func TestPoisonedMemory(t *testing.T) {
	t.Parallel()
	d := poison(t, 4, 12, func() []netip.AddrPort { return nil })
	honest, liars := d.Hosts[:1], d.Hosts[1:]
	a := newMember(t, 1, "", honest)
	a.join()
	a.until("announced", told)
	b := newMember(t, 2, "", honest, func(_ *member, o *Options) {
		var known []dhtNode
		for _, h := range liars {
			n := dhtNode{addr: netip.MustParseAddrPort(h)}
			for k := range n.id {
				n.id[k] = byte(rand.N(256))
			}
			known = append(known, n)
		}
		if err := errors.Join(saveNodes(t.Context(), o.Store, known), o.Store.Put(t.Context(), joinedKey, []byte{1})); err != nil {
			t.Fatal(err)
		}
	})
	b.meets(a)
}
