package live

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"kith"
	"kith/overlay/kbr"
	"kith/wire"
)

func newPeer(t testing.TB) (crypto.PrivKey, peer.ID) {
	t.Helper()
	sk, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPrivateKey(sk)
	if err != nil {
		t.Fatal(err)
	}
	return sk, id
}

func framed(t testing.TB, v any) []byte {
	t.Helper()
	b, err := wire.AppendMsg(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What breaks a bound is refused before anything is done about it.
func TestBounds(t *testing.T) {
	_, id := newPeer(t)
	who := contact{ID: []byte(id)}
	for name, q := range map[string]question{
		"unknown":         {What: kinds},
		"no talk":         {What: asks},
		"talk too much":   {What: near, Talk: &talk{}},
		"recursive":       {What: asks, Talk: &talk{Kind: uint8(kbr.Carry)}},
		"arrived":         {What: tells, Talk: &talk{Kind: uint8(kbr.Arrived)}},
		"no key":          {What: gets},
		"long key":        {What: gets, Key: make([]byte, maxKey+1)},
		"other space":     {What: gets, Key: []byte("k"), Space: spaces},
		"many items":      {What: puts, Items: make([]item, maxItems+1)},
		"empty item":      {What: puts, Items: make([]item, 1)},
		"long value":      {What: puts, Items: []item{{Key: []byte("k"), Data: make([]byte, maxValue+1)}}},
		"many nodes":      {What: asks, Talk: &talk{Nodes: make([]contact, kbr.MaxNodes+1)}},
		"more ends":       {What: asks, Talk: &talk{Nodes: []contact{who}, Ends: 2}},
		"odd place":       {What: asks, Talk: &talk{Key: []byte("short")}},
		"no peer":         {What: asks, Talk: &talk{Node: &contact{ID: []byte("nobody")}}},
		"no peer of many": {What: asks, Talk: &talk{Nodes: []contact{who, {}}}},
	} {
		if _, err := readQuestion(bytes.NewReader(framed(t, q))); !errors.Is(err, kith.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := readQuestion(bytes.NewReader(append([]byte{0xff, 0xff, 0xff, 0x7f}, make([]byte, 100)...))); !errors.Is(err, kith.TooLarge) {
		t.Errorf("a frame without end: %v", err)
	}
	var list [][]byte
	for range 100 {
		list = append(list, ma.StringCast("/ip4/192.0.2.7/tcp/4001").Bytes())
	}
	if n := len((&contact{ID: []byte(id), Addrs: list}).info().Addrs); n != maxAddrs {
		t.Errorf("%d addresses of one peer are believed", n)
	}
}

// Nobody announces for another, nor another key than was signed, and what is old is only believed of who made it.
func TestAnnouncement(t *testing.T) {
	sk, id := newPeer(t)
	other, _ := newPeer(t)
	now := time.Now()
	key := []byte("key")
	it, err := announce(sk, id, key, []ma.Multiaddr{ma.StringCast("/ip4/192.0.2.7/tcp/4001")}, now)
	if err != nil {
		t.Fatal(err)
	}
	a, err := readAnnouncement(key, it.Data)
	if err != nil || peer.ID(a.Peer) != id || len(a.Addrs) != 1 || !a.timely(now) {
		t.Fatalf("%+v, %v", a, err)
	}
	if a.timely(now.Add(keepFor+tolerance+time.Minute)) || a.timely(now.Add(-tolerance-time.Minute)) {
		t.Error("it is of all days")
	}
	if _, err := readAnnouncement([]byte("other"), it.Data); !errors.Is(err, kith.Invalid) {
		t.Errorf("under another key: %v", err)
	}
	forged, err := announce(other, id, key, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readAnnouncement(key, forged.Data); !errors.Is(err, kith.Invalid) {
		t.Errorf("signed by another: %v", err)
	}
	place, err := announce(other, peerOf(t, other), placeKey(id), nil, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readAnnouncement(placeKey(id), place.Data); !errors.Is(err, kith.Invalid) {
		t.Errorf("at another's place: %v", err)
	}
}

func peerOf(t *testing.T, sk crypto.PrivKey) peer.ID {
	t.Helper()
	id, err := peer.IDFromPrivateKey(sk)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// FuzzQuestion: whatever a peer sends, it is refused or within its bounds, and can be said again.
func FuzzQuestion(f *testing.F) {
	_, id := newPeer(f)
	who := contact{ID: []byte(id), Addrs: [][]byte{ma.StringCast("/ip4/192.0.2.7/udp/4001/quic-v1").Bytes()}}
	for _, q := range []question{
		{What: asks, Talk: &talk{Kind: uint8(kbr.Own), Node: &who, Key: make([]byte, 20), Nodes: []contact{who, who}, Ends: 1}},
		{What: tells, Talk: &talk{Kind: uint8(kbr.Own + 1)}}, {What: near}, {What: gets, Space: announcements, Key: []byte("key")},
		{What: puts, Yours: true, Items: []item{{Key: []byte("/v/k"), Data: []byte("v"), Left: 60}}},
	} {
		f.Add(framed(f, q))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := readQuestion(bytes.NewReader(b))
		if err != nil {
			return
		}
		understood(t, q.Talk)
		if _, err := readQuestion(bytes.NewReader(framed(t, q))); err != nil && !errors.Is(err, kith.TooLarge) {
			t.Errorf("said again: %v", err)
		}
	})
}

// understood takes in a message as the loop does, with room for few peers.
func understood(t *testing.T, k *talk) {
	if k == nil {
		return
	}
	p := newPeers("self")
	for i := range k.Nodes {
		p.number(k.Nodes[i].info().ID, "who", "", time.Time{}, func() []kbr.Node { return nil })
	}
	if p.table.Len() > 1+kbr.MaxNodes {
		t.Errorf("%d peers", p.table.Len())
	}
}

// FuzzAnswer does the same for answers.
func FuzzAnswer(f *testing.F) {
	_, id := newPeer(f)
	who := contact{ID: []byte(id), Addrs: [][]byte{ma.StringCast("/ip4/192.0.2.7/udp/4001/quic-v1").Bytes()}}
	for _, a := range []answer{
		{Talk: &talk{Kind: uint8(kbr.Find), Nodes: []contact{who}}}, {Nodes: []contact{who, who}}, {Codes: []uint8{kept, older}, Items: []item{{Key: []byte("/v/k"), Data: []byte("v")}}},
	} {
		f.Add(framed(f, a))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := readAnswer(bytes.NewReader(b))
		if err != nil {
			return
		}
		understood(t, a.Talk)
		for i := range a.Nodes {
			if len(a.Nodes[i].info().Addrs) > maxAddrs {
				t.Error("too many addresses")
			}
		}
	})
}

// FuzzAnnouncement: nothing is an announcement but what somebody has signed.
func FuzzAnnouncement(f *testing.F) {
	sk, id := newPeer(f)
	it, err := announce(sk, id, []byte("key"), nil, time.Unix(1800000000, 0))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("key"), it.Data)
	f.Add(placeKey(id), it.Data)
	f.Fuzz(func(t *testing.T, key, data []byte) {
		a, err := readAnnouncement(key, data)
		if err == nil && string(data) != string(it.Data) {
			if b, err := a.signed(key); err != nil || len(a.Sig) == 0 || len(b) == 0 {
				t.Error("nobody has signed it")
			}
		}
	})
}

// The table of peers has its bounds, whoever names whom, and gives numbers that nobody uses to others.
func TestPeers(t *testing.T) {
	now := time.Unix(1800000000, 0)
	p := newPeers("self")
	var used []kbr.Node
	name := func(i int) peer.ID { return peer.ID(string(rune('a'+i%26)) + time.Duration(i).String()) }
	number := func(i int, by peer.ID) kbr.Node {
		return p.number(name(i), by, "", now, func() []kbr.Node { return used })
	}
	got := 0
	for i := range 2 * maxNamed {
		if number(i, "liar") != kbr.None {
			got++
		}
	}
	if got != maxNamed {
		t.Errorf("one peer has named %d", got)
	}
	n := number(0, "") // who has been spoken to is no longer one of these
	used = append(used, n)
	if number(5*maxNamed, "liar") == kbr.None {
		t.Error("there is no room for another")
	}
	for i := range 3 * maxPeers {
		number(10_000+i, peer.ID(time.Duration(i/100).String()))
	}
	if l := p.table.Len(); l > maxPeers {
		t.Errorf("%d peers have numbers", l)
	}
	now = now.Add(forgetIn + time.Minute)
	late := number(1_000_000, "late")
	if late == kbr.None || p.id(late) != name(1_000_000) || p.table.ID(late) != placeOf(name(1_000_000)) {
		t.Error("no number is used again")
	}
	if p.id(n) != name(0) {
		t.Error("the number of a neighbour is used again")
	}
	if l := p.table.Len(); l > maxPeers {
		t.Errorf("%d peers have numbers", l)
	}
}
