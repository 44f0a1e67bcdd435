package shard

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/network"
	"kith/search/filter"
	"kith/search/sets"
	"kith/search/talk"
	"kith/search/talktest"
	"kith/wire"
)

// A hub is nodes that are connected in memory.
type hub struct {
	*talktest.Hub
	t     *testing.T
	nodes map[peer.ID]*node
}

type node struct {
	*Shard
	h      *hub
	key    crypto.PrivKey
	cancel context.CancelFunc
	done   chan struct{}
}

func newHub(t *testing.T) *hub { return &hub{talktest.New(t), t, map[peer.ID]*node{}} }

func keyOf(t *testing.T, number int) crypto.PrivKey {
	seed := binary.BigEndian.AppendUint64(make([]byte, 0, ed25519.SeedSize), uint64(number))
	key, _, err := crypto.GenerateEd25519Key(bytes.NewReader(append(seed, make([]byte, ed25519.SeedSize)...)))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// node starts a node, of a shard of so many devices.
func (h *hub) node(number, most int) *node {
	n := &node{h: h, key: keyOf(h.t, number), done: make(chan struct{})}
	me, _ := peer.IDFromPrivateKey(n.key)
	s, err := New(Options{
		Key: n.key, Log: slog.New(slog.DiscardHandler), Most: most,
		Peers: func() []peer.ID { return h.Peers(me) },
		Open:  func(ctx context.Context, p peer.ID) (network.Stream, error) { return h.Open(me, p) },
	})
	if err != nil {
		h.t.Fatal(err)
	}
	var ctx context.Context
	ctx, n.cancel = context.WithCancel(context.Background())
	n.Shard = s
	h.nodes[me] = n
	h.Add(me, s.Serve)
	h.t.Cleanup(n.stop)
	go func() {
		defer close(n.done)
		s.Run(ctx)
	}()
	return n
}

func (n *node) stop() {
	n.cancel()
	<-n.done
}

// leave takes a node away without a word.
func (h *hub) leave(n *node) {
	n.stop()
	h.Leave(n.me)
}

// join connects two nodes.
func (h *hub) join(a, b *node) {
	h.Join(a.me, b.me)
	a.Met(b.me)
	b.Met(a.me)
}

func of(t *testing.T, words ...string) *filter.Filter {
	var keys []filter.Key
	for _, w := range words {
		keys = append(keys, filter.Term(w))
	}
	f, err := filter.New(keys)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// has returns how many of the devices that n knows have a word.
func (n *node) has(word string) (count int) {
	for _, k := range n.Known() {
		if k.Filter.Has(filter.Term(word)) && k.Filter.Len() < 200 { // a larger one may say so of what it has not
			count++
		}
	}
	return count
}

func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// What a device has is known to all of a chain within seconds, also what is new; who says nothing for an hour is forgotten by all, and stays so.
func TestSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		var chain []*node
		for i := range 6 {
			n := h.node(i, 0)
			n.Set(of(t, fmt.Sprint("word", i)), i)
			if i > 0 {
				h.join(n, chain[i-1])
			}
			chain = append(chain, n)
		}
		after(10 * time.Second)
		for i, n := range chain {
			if list := n.Known(); len(list) != 5 || slices.ContainsFunc(list, func(k Known) bool { return k.Device == n.me }) {
				t.Fatalf("node %d knows %d", i, len(list))
			}
			if i != 3 && n.has("word3") != 1 {
				t.Errorf("node %d does not know who has word3", i)
			}
		}
		chain[0].Set(of(t, "other"), 1)
		after(10 * time.Second)
		if chain[5].has("other") != 1 || chain[5].has("word0") != 0 {
			t.Error("what is new has not come")
		}
		for range 40 {
			chain[1].Set(of(t, "again"), 1) // the same again and again is not told as often
		}
		before := h.Said()
		after(20 * time.Minute)
		if said := h.Said() - before; said > 20_000 {
			t.Errorf("six nodes said %d bytes in 20 minutes", said)
		}
		h.leave(chain[5])
		after(Life + 30*time.Minute)
		for i, n := range chain[:5] {
			if len(n.Known()) != 4 || n.has("word5") != 0 {
				t.Errorf("node %d knows %d an hour after one has left", i, len(n.Known()))
			}
		}
	})
}

// Who comes late has all that there is at once; and a device that publishes nothing any more is forgotten.
func TestLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		a := h.node(0, 0)
		for i := range 30 {
			n := h.node(i+1, 0)
			var many []string
			for k := range 10 * i {
				many = append(many, fmt.Sprint(i, " ", k))
			}
			n.Set(of(t, append(many, "common")...), i)
			h.join(a, n)
		}
		after(10 * time.Second)
		late := h.node(1000, 0)
		h.join(late, a)
		after(10 * time.Second)
		if got := len(late.Known()); got != 30 {
			t.Fatalf("who comes late knows %d of 30", got)
		}
		if i := slices.IndexFunc(late.Known(), func(k Known) bool { return k.Count == 27 }); i < 0 || late.Known()[i].Filter.Len() != 27*10+1 {
			t.Error("what one device says has not come as it said it")
		}
		n := h.nodes[late.Known()[0].Device]
		n.Set(nil, 0)
		after(Life + 20*time.Minute)
		if got := len(late.Known()); got != 29 {
			t.Errorf("%d are known when one of 30 publishes nothing", got)
		}
	})
}

// More devices than a shard may have divide it: each knows those of its half, and guides to the other, and the other way round when they go.
func TestDivide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		const most = 50
		h.Dials(true)
		var all []*node
		for i := range 64 {
			n := h.node(i, most)
			n.Set(of(t, "common"), i)
			for k := range min(i, 6) { // some are there already
				h.join(n, all[(i*7+k*11)%i])
			}
			all = append(all, n)
		}
		after(30 * time.Minute)
		for i, n := range all {
			want := 0
			for _, m := range all {
				if m != n && digits(m.me, 1) == digits(n.me, 1) {
					want++
				}
			}
			n.mu.Lock()
			depth, kept := n.depth, len(n.kept)
			n.mu.Unlock()
			if depth > 1 || kept > most+2*maxGuides || n.Shards() != 1<<depth {
				t.Fatalf("node %d: %d digits, %d kept", i, depth, kept)
			}
			if got := len(n.Known()); got < want || depth == 1 && got > want {
				t.Errorf("node %d knows %d of the %d of its half", i, got, want)
			}
			if g := n.Guides(); depth == 1 && (len(g) != 1 || len(g[0]) == 0 || slices.ContainsFunc(g[0], func(p peer.ID) bool { return digits(p, 1) == digits(n.me, 1) })) {
				t.Errorf("node %d has the guides %v", i, g)
			}
		}
		h.Dials(false)
		for _, n := range all[5:] {
			h.leave(n)
		}
		after(3 * time.Hour)
		for i, n := range all[:5] {
			if len(n.Known()) > 4 || len(n.Guides()) != 0 {
				t.Errorf("node %d knows %d, guides %v when four others are left", i, len(n.Known()), n.Guides())
			}
		}
	})
}

// What others say is not believed: nothing of it is kept, and who goes on is not listened to.
func TestLies(t *testing.T) {
	now := time.Now()
	f := of(t, "word")
	data := f.Append(nil)
	one := func(number int, change func(*stamp)) []byte {
		key := keyOf(t, number)
		device, _ := peer.IDFromPrivateKey(key)
		st := stamp{device, now, digestOf(data), 1}
		change(&st)
		value, err := seal(key, st)
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	same := func(*stamp) {}
	good := one(1, same)
	broken := slices.Clone(good)
	broken[len(broken)-1] ^= 1
	for name, c := range map[string]struct {
		stamps []told
		give   []byte
		kept   int
	}{
		"as it is":            {[]told{{Value: good}}, data, 1},
		"signature":           {[]told{{Value: broken}}, data, 0},
		"no stamp":            {[]told{{Value: []byte("stamp")}}, data, 0},
		"another filter":      {[]told{{Value: good}}, of(t, "lie").Append(nil), 0},
		"no filter":           {[]told{{Value: one(1, func(s *stamp) { s.digest = digestOf([]byte("none")) })}}, []byte("none"), 0},
		"of the future":       {[]told{{Value: one(1, func(s *stamp) { s.at = now.Add(25 * time.Hour) })}}, data, 0},
		"of long ago":         {[]told{{Value: one(1, func(s *stamp) { s.at = now.Add(-26 * time.Hour) })}}, data, 0},
		"said long ago":       {[]told{{Value: good, Age: 3700}}, data, 0},
		"a clock that is off": {[]told{{Value: one(1, func(s *stamp) { s.at = now.Add(-20 * time.Hour) })}}, data, 1},
		"this device's own":   {[]told{{Value: one(99, same)}}, data, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := New(Options{Key: keyOf(t, 99), Peers: func() []peer.ID { return nil }, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			x := s.side("them")
			out, err := x.answer(&message{Stamps: c.stamps})
			if err != nil {
				t.Fatal(err)
			}
			lack, _ := sets.DecodeIDs(out.Lack)
			var give []given
			for _, id := range lack {
				give = append(give, given{id[:], c.give})
			}
			if _, err := x.answer(&message{Filters: give}); err != nil {
				t.Fatal(err)
			}
			if len(s.kept) != c.kept || len(s.Known()) != c.kept {
				t.Errorf("%d are kept, want %d", len(s.kept), c.kept)
			}
		})
	}
	s, _ := New(Options{Key: keyOf(t, 99), Peers: func() []peer.ID { return nil }, Log: slog.New(slog.DiscardHandler)})
	x := s.side("them")
	var many []told
	for range maxBad + 1 {
		many = append(many, told{Value: broken})
	}
	if _, err := x.answer(&message{Stamps: many}); !errors.Is(err, kith.Corrupt) {
		t.Errorf("who sends nonsense again and again: %v", err)
	}
	if _, err := s.side("them").answer(&message{Want: make([]byte, 16*(maxAsked+1))}); !errors.Is(err, kith.TooLarge) {
		t.Errorf("who asks for too much: %v", err)
	}
	var err error
	unasked := []given{{make([]byte, 16), data}}
	if x := s.side("them"); true {
		for range maxBad + 1 {
			_, err = x.answer(&message{Filters: unasked})
		}
		if !errors.Is(err, kith.Corrupt) {
			t.Errorf("who gives what nobody asked for: %v", err)
		}
	}
	big := []given{{make([]byte, 16), make([]byte, 900<<10)}}
	for range MaxBytes / (900 << 10) {
		s.side("them").answer(&message{Filters: big})
	}
	if _, err = s.side("them").answer(&message{Filters: big}); !errors.Is(err, kith.TooLarge) {
		t.Errorf("who gives without an end: %v", err)
	}
}

// A device that says something new all the time is taken at its pace, and one filter takes no more room than there is.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := New(Options{Key: keyOf(t, 99), Peers: func() []peer.ID { return nil }, Log: slog.New(slog.DiscardHandler)})
		key := keyOf(t, 1)
		device, _ := peer.IDFromPrivateKey(key)
		taken := 0
		for i := range 600 { // five minutes
			st := stamp{device, time.Now(), digestOf(of(t, fmt.Sprint(i)).Append(nil)), 1}
			value, err := seal(key, st)
			if err != nil {
				t.Fatal(err)
			}
			if s.judge(st, value, time.Now(), time.Now()) == lacking && s.accept(st, value, time.Now(), of(t, fmt.Sprint(i)), 20) {
				taken++
			}
			time.Sleep(500 * time.Millisecond)
		}
		if taken != paceBurst+1 {
			t.Errorf("%d of 600 were taken in five minutes", taken)
		}
		other := stamp{"other", time.Now(), digest{}, 1}
		if s.accept(other, []byte("other"), time.Now(), of(t, "x"), MaxBytes) || !s.accept(other, []byte("third"), time.Now(), of(t, "x"), MaxBytes-20) {
			t.Errorf("%d bytes are kept", s.bytes)
		}
	})
}

// Whatever comes is answered or refused, and nothing is kept that was not signed.
func FuzzMessage(f *testing.F) {
	key, _, _ := crypto.GenerateEd25519Key(bytes.NewReader(make([]byte, 64)))
	device, _ := peer.IDFromPrivateKey(key)
	small, _ := filter.New([]filter.Key{1, 2, 3})
	data := small.Append(nil)
	value, _ := seal(key, stamp{device, time.Now(), digestOf(data), 1})
	id := idOf(value)
	for _, m := range []message{
		{}, {Salt: 7, Parts: sets.Encode((&sets.Set{}).Begin(7))}, {Offer: id[:]}, {Want: id[:], Lack: id[:]}, {Stamps: []told{{value, 3}}}, {Filters: []given{{id[:], data}}, More: true},
	} {
		frame, err := wire.AppendMsg(nil, m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(frame)
	}
	f.Add(append([]byte("\x05"), value...))
	f.Fuzz(func(t *testing.T, in []byte) {
		s, err := New(Options{Key: key, Peers: func() []peer.ID { return nil }, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		s.Set(small, 1)
		s.say(time.Now())
		x, r := s.side("them"), bufio.NewReader(bytes.NewReader(in))
		for range 4 {
			var m message
			if wire.ReadMsg(r, talk.MaxMessage, &m) != nil {
				break
			}
			if _, err := x.answer(&m); err != nil {
				break
			}
		}
		if s.kept[s.me] == nil || s.kept[s.me].count != 1 {
			t.Fatal("what this device says of itself was changed")
		}
		if st, err := parse(in); err == nil {
			if again, err := parse(in); err != nil || again != st {
				t.Fatal("a stamp is read in two ways")
			}
		}
	})
}
