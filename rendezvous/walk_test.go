package rendezvous

import (
	"bytes"
	"crypto/rand"
	"errors"
	mrand "math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"pgregory.net/rapid"

	"kith"
)

// Whoever answers what: a walk ends, asks nobody twice and nobody whom it may not, and at most as many as it may.
func TestWalkEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		random := mrand.New(mrand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		anyID := func() (id Infohash) {
			for i := range id {
				id[i] = byte(random.UintN(256))
			}
			return id
		}
		anyNode := func() dhtNode {
			a := [4]byte{byte(random.UintN(256)), byte(random.UintN(4)), byte(random.UintN(4)), 1}
			return dhtNode{anyID(), netip.AddrPortFrom(netip.AddrFrom4(a), uint16(random.UintN(3000)))}
		}
		dead := random.Float64()
		w := newWalk(anyID(), wide, false)
		var first []dhtNode
		for range 10 {
			first = append(first, anyNode())
		}
		w.start(first)
		asked, waiting := map[netip.AddrPort]bool{}, []netip.AddrPort{}
		for {
			at, ok := w.next()
			if ok {
				if asked[at] || !public(at) {
					t.Fatalf("%s is asked", at)
				}
				asked[at] = true
				waiting = append(waiting, at)
				continue
			}
			if len(waiting) == 0 {
				break
			}
			i := random.IntN(len(waiting))
			at = waiting[i]
			waiting = append(waiting[:i], waiting[i+1:]...)
			if random.Float64() < dead {
				w.silent(at)
				continue
			}
			var named []dhtNode
			for range random.IntN(20) {
				named = append(named, anyNode())
			}
			w.answered(at, anyID(), random.IntN(2) == 0, "token", named)
		}
		if !w.over() || len(asked) > maxAsked || len(w.keepers()) > wide+wide/spareShare {
			t.Fatalf("over %v, %d asked, %d to announce to", w.over(), len(asked), len(w.keepers()))
		}
		for i := 1; i < len(w.heard); i++ {
			if w.closer(w.heard[i-1].id, w.heard[i].id) > 0 {
				t.Fatal("not in the order of their distance")
			}
		}
	})
}

// A liar who names any number of nodes that seem close, at which there is nobody, does not keep a walk from whom honest nodes name.
func TestWalkDoubtsLiars(t *testing.T) {
	target := Infohash{1, 2, 3}
	node := func(net byte, i int, far byte) dhtNode {
		n := dhtNode{id: target, addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{net, byte(i >> 8), byte(i), 1}), 6881)}
		n.id[0] ^= far
		n.id[18], n.id[19] = byte(i>>8), byte(i)
		return n
	}
	w := newWalk(target, wide, false)
	liar, honest := node(20, 0, 0), node(30, 0, 128)
	w.start([]dhtNode{liar, honest})
	dead, found := 0, 0
	for {
		at, ok := w.next()
		if !ok {
			break
		}
		switch ip := at.Addr().As4(); {
		case at == liar.addr:
			var names []dhtNode
			for i := range 100 {
				names = append(names, node(21, i+1, 0))
			}
			w.answered(at, liar.id, true, "t", names)
		case ip[0] == 21:
			dead++
			w.silent(at)
		case at == honest.addr:
			var names []dhtNode
			for i := range 8 {
				names = append(names, node(31, i+1, 64))
			}
			w.answered(at, honest.id, true, "t", names)
		case ip[0] == 31:
			found++
			w.answered(at, node(31, int(ip[2]), 64).id, true, "t", nil)
		}
	}
	if found != 8 || dead > worthless {
		t.Errorf("%d of 8 honest nodes were found, %d of the liar's asked", found, dead)
	}
}

// An announcement goes to the closest, and to some farther ones whose word was good: those who are close may all lie.
func TestWalkKeepers(t *testing.T) {
	w := newWalk(Infohash{}, narrow, false)
	for i := range byte(30) { // the closer, the more of those that they named are not there
		s := &step{dhtNode: dhtNode{Infohash{0: i}, netip.AddrPortFrom(netip.AddrFrom4([4]byte{20, 0, i, 1}), 6881)}}
		w.heard = append(w.heard, s)
		w.trust[s.addr] = &trust{good: 1, bad: 32 - int(i)}
	}
	var got []byte
	for _, s := range w.keepers() {
		got = append(got, s.id[0])
	}
	if want := []byte{0, 1, 2, 3, 4, 5, 6, 7, 29, 28}; !bytes.Equal(got, want) {
		t.Errorf("announced to %v, want %v", got, want)
	}
}

// Each answer has its turn: one with the truth among many with much else is tried early.
func TestCandidatesTakeTurns(t *testing.T) {
	c := newCandidates(mrand.New(mrand.NewPCG(1, 1)))
	truth := netip.MustParseAddrPort("11.0.0.1:4001")
	for i := range 19 {
		var lies []netip.AddrPort
		for k := range 50 {
			lies = append(lies, netip.AddrPortFrom(netip.AddrFrom4([4]byte{11, byte(i + 1), byte(k), 1}), 4001))
		}
		c.hear(lies, "")
	}
	c.hear([]netip.AddrPort{truth}, "")
	seen := map[candidate]bool{}
	for i := 0; ; i++ {
		x, ok := c.next()
		if !ok {
			break
		}
		if seen[x] {
			t.Fatalf("%v twice", x)
		}
		if seen[x] = true; x.addr == truth && i >= 20 {
			t.Errorf("the truth came as number %d", i)
		}
	}
	if len(seen) != 19*50+1 {
		t.Errorf("%d candidates", len(seen))
	}
	if c.hear([]netip.AddrPort{truth}, "") != 0 {
		t.Error("it is fresh again")
	}
	if x, ok := c.next(); ok {
		t.Errorf("%v again", x)
	}
}

func TestTried(t *testing.T) {
	now := time.Unix(1e9, 0)
	at := func(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
	var x tried
	for _, c := range []struct {
		addr  string
		after time.Duration
		want  bool
	}{
		{"11.0.0.1:4001", 0, true}, {"11.0.0.1:4001", time.Minute, false}, {"11.0.0.1:5001", time.Minute, false}, {"11.0.0.2:4001", time.Minute, true},
		{"[2a00::1]:4001", 0, true}, {"[2a00::2]:4001", time.Minute, false}, {"[2a00:0:0:1::2]:4001", time.Minute, true},
		{"11.0.0.1:4001", 61 * time.Minute, true},
	} {
		if got := x.allow(at(c.addr), now.Add(c.after)); got != c.want {
			t.Errorf("%s after %s: %v", c.addr, c.after, got)
		}
	}
	x.again(at("11.0.0.2:5001")) // somebody of the network is there
	if !x.allow(at("11.0.0.2:4001"), now.Add(2*time.Minute)) || x.allow(at("11.0.0.2:4001"), now.Add(3*time.Minute)) {
		t.Error("who could not be connected to has another turn, and no more than that")
	}
	full := 0
	for i := range 2 * maxTried {
		if x.allow(netip.AddrPortFrom(netip.AddrFrom4([4]byte{12, byte(i >> 16), byte(i >> 8), byte(i)}), 4001), now.Add(3*time.Hour)) {
			full++
		}
	}
	if full != maxTried || len(x.at) > maxTried {
		t.Errorf("%d addresses in an hour, %d remembered, at most %d", full, len(x.at), maxTried)
	}
}

func TestPublicAddress(t *testing.T) {
	for s, want := range map[string]bool{
		"11.0.0.1:4001": true, "11.0.0.1:443": true, "11.0.0.1:53": false, "11.0.0.1:0": false, "11.0.0.1:1023": false, "[::ffff:11.0.0.1]:4001": true,
		"10.0.0.1:4001": false, "192.168.1.1:4001": false, "172.20.0.1:4001": false, "127.0.0.1:4001": false, "169.254.1.1:4001": false, "100.64.3.3:4001": false,
		"192.0.2.1:4001": false, "198.51.100.1:4001": false, "203.0.113.1:4001": false, "0.0.0.0:4001": false, "224.0.0.251:5353": false,
		"255.255.255.255:4001": false, "198.18.0.1:4001": false, "[2a00::1]:4001": true, "[::1]:4001": false, "[fe80::1]:4001": false, "[fd00::1]:4001": false,
		"[2001:db8::1]:4001": false, "[2002:7f00:1::]:4001": false, "[ff02::fb]:5353": false, "[::ffff:127.0.0.1]:4001": false, "[64:ff9b::1]:4001": false,
	} {
		if got := public(netip.MustParseAddrPort(s)); got != want {
			t.Errorf("%s: %v", s, got)
		}
	}
}

func TestPlan(t *testing.T) {
	start := time.Unix(1e9, 0)
	var p plan
	at := func(after time.Duration, v view) task {
		task, wake := p.next(v, start.Add(after))
		if task.empty() && !wake.After(start.Add(after)) {
			t.Fatalf("nothing to do after %s, and to be asked again at once", after)
		}
		return task
	}
	alone, few := view{joined: true, tell: true}, view{joined: true, peers: 1}
	many := view{joined: true, peers: enough, tell: true}
	for _, c := range []struct {
		after      time.Duration
		v          view
		look, tell bool
	}{
		{0, view{tell: true}, false, false}, // not joined
		{0, view{sought: true}, true, false},
		{time.Minute, view{sought: true}, false, false},
		{seekPause, view{sought: true}, true, false},
		{10 * time.Minute, alone, true, true},
		{10*time.Minute + 1, alone, false, false},
		{10*time.Minute + lookMin, few, true, false},
		{11 * time.Minute, few, false, false},
		{12 * time.Minute, few, true, false},
		{20 * time.Minute, many, false, false},
		{30 * time.Minute, many, false, true},
		{40 * time.Minute, many, false, false},
		{41 * time.Minute, few, true, false}, // the others are gone
		{-time.Hour, few, true, false},       // the clock was set back
	} {
		if got := at(c.after, c.v); got.look != c.look || got.tell != c.tell {
			t.Errorf("after %s, %+v: %+v", c.after, c.v, got)
		}
	}
	at(time.Hour, alone)
	at(time.Hour+lookMin, few)
	if got := at(time.Hour+2*lookMin, alone); !got.empty() {
		t.Errorf("before it moved: %+v", got)
	}
	p.moved(start.Add(time.Hour + 2*lookMin))
	if got := at(time.Hour+2*lookMin, alone); !got.look || !got.tell {
		t.Errorf("moved: %+v", got)
	}
	p.moved(start.Add(time.Hour + 2*lookMin + time.Second))
	if got := at(time.Hour+2*lookMin+time.Second, alone); !got.empty() {
		t.Errorf("moved again at once: %+v", got)
	}

	p.again()
	if got := at(2*time.Hour, many); !got.look || !got.tell {
		t.Errorf("joined with peers: %+v", got)
	}

	var gone []peer.ID
	for i := range 10 {
		gone = append(gone, peer.ID(rune('a'+i)))
	}
	met, rounds := map[peer.ID]bool{}, 0
	for ; ; rounds++ {
		got := at(3*time.Hour, view{joined: true, peers: enough, missing: gone})
		if got.empty() {
			break
		}
		for _, id := range got.meet {
			if met[id] {
				t.Fatalf("%s twice", id)
			}
			met[id] = true
		}
	}
	if len(met) != len(gone) || rounds != 3 {
		t.Errorf("%d of %d contacts in %d rounds", len(met), len(gone), rounds)
	}
	if got := at(3*time.Hour+time.Second, view{joined: false, missing: gone}); !got.empty() {
		t.Errorf("left: %+v", got)
	}
}

func TestInfohash(t *testing.T) {
	day := time.Date(2026, 12, 31, 23, 59, 0, 0, time.FixedZone("", -5*3600)) // the first of January, UTC
	if Public("kith", day) != Public("kith", time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)) || Public("kith", day) == Public("other", day) {
		t.Error("a place is that of a network and a day of UTC")
	}
	if n := len(near(time.Date(2027, 1, 1, 12, 0, 0, 0, time.UTC))); n != 1 {
		t.Errorf("%d days at noon", n)
	}
	if n := len(near(time.Date(2027, 1, 1, 23, 0, 0, 0, time.UTC))); n != 2 {
		t.Errorf("%d days an hour before midnight", n)
	}
	var keys []crypto.PrivKey
	var ids []peer.ID
	for range 3 {
		k, _, err := crypto.GenerateEd25519Key(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		id, err := peer.IDFromPrivateKey(k)
		if err != nil {
			t.Fatal(err)
		}
		keys, ids = append(keys, k), append(ids, id)
	}
	place := func(own, there int, tell bool, network string, day time.Time) Infohash {
		h, err := Meeting(keys[own], ids[there], tell, network, day)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	ab := place(0, 1, true, "kith", day)
	if ab != place(1, 0, false, "kith", day) {
		t.Error("where a announces b does not look")
	}
	for i, other := range []Infohash{
		place(0, 1, false, "kith", day), place(0, 1, true, "other", day), place(0, 1, true, "kith", day.AddDate(0, 0, 1)), place(0, 2, true, "kith", day),
		place(2, 1, true, "kith", day), place(2, 1, false, "kith", day),
	} {
		if other == ab {
			t.Errorf("%d: the same place", i)
		}
	}
	rsa, _, err := crypto.GenerateRSAKeyPair(2048, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaID, err := peer.IDFromPrivateKey(rsa)
	if err != nil {
		t.Fatal(err)
	}
	small, err := crypto.UnmarshalEd25519PublicKey(append([]byte{1}, make([]byte, 31)...)) // the neutral element
	if err != nil {
		t.Fatal(err)
	}
	smallID, err := peer.IDFromPublicKey(small)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []peer.ID{rsaID, smallID, "x"} {
		if _, err := Meeting(keys[0], id, true, "kith", day); !errors.Is(err, kith.Invalid) {
			t.Errorf("%s: %v", id, err)
		}
	}
}
