package relay

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	pb "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/pb"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/util"

	"kith"
)

// id makes a peer id of a number.
func id(i int) peer.ID { return peer.ID(append([]byte{0, 4}, fmt.Sprintf("%04d", i)...)) }

var (
	anna, bert, carl, dora = id(9001), id(9002), id(9003), id(9004)
	t0                     = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	home                   = netip.MustParseAddr("11.0.1.2")
)

func never(peer.ID) bool { return false }

// service relays for anna's sake, and has no host: what needs one is libp2p's.
func service(s Settings) *Service {
	return New(nil, func(p peer.ID) bool { return p == anna }, s, slog.New(slog.DiscardHandler))
}

// A line is a stream to the end of a circuit: it takes and gives what is asked of it, at once.
type line struct {
	network.Stream
	took  int64
	reset atomic.Bool
}

func (l *line) Write(p []byte) (int, error) {
	if l.reset.Load() {
		return 0, network.ErrReset
	}
	l.took += int64(len(p))
	return len(p), nil
}

func (l *line) Read(p []byte) (int, error) {
	if l.reset.Load() {
		return 0, network.ErrReset
	}
	return len(p), nil
}

func (l *line) Close() error { return nil }
func (l *line) Reset() error { l.reset.Store(true); return nil }

// dial opens a circuit as libp2p's relay does: by its first message, here in two parts.
func dial(t *testing.T, r *Service, from, to peer.ID) (*circuit, *line, error) {
	t.Helper()
	var first bytes.Buffer
	err := util.NewDelimitedWriter(&first).WriteMsg(&pb.StopMessage{Type: pb.StopMessage_CONNECT.Enum(), Peer: util.PeerInfoToPeerV2(peer.AddrInfo{ID: from})})
	if err != nil {
		t.Fatal(err)
	}
	l := &line{}
	c := &circuit{Stream: l, s: r, to: to}
	if _, err := c.Write(first.Next(5)); err != nil {
		t.Fatal(err)
	}
	_, err = c.Write(first.Bytes())
	l.took = 0
	return c, l, err
}

// pour writes until an error, at most max bytes, and returns how many went through.
func pour(c *circuit, max int64) (n int64, err error) {
	for n < max && err == nil {
		k, e := c.Write(make([]byte, min(bufferSize, max-n)))
		n, err = n+int64(k), e
	}
	return n, err
}

// TestPace: a friend's pair gets 1 MB a second and no more, both ways together, and 64 MiB in an hour; another pair has its own.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := service(Settings{})
		defer r.Close()
		c, _, err := dial(t, r, bert, anna)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if n, err := pour(c, 8*PairRate); n != 8*PairRate || err != nil {
			t.Fatalf("%d bytes went through: %v", n, err)
		}
		for range 200 {
			if _, err := c.Read(make([]byte, PairRate/100)); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took < 9900*time.Millisecond || took > 10*time.Second {
			t.Errorf("10 MB took %v", took)
		}
		n, err := pour(c, PairData)
		if rest := int64(PairData - 10*PairRate); n > rest || n < rest-bufferSize || !errors.Is(err, Spent) {
			t.Errorf("after 10 MB, %d bytes went through, then %v", n, err)
		}
		if took := time.Since(start); took < 66*time.Second || took > 67200*time.Millisecond {
			t.Errorf("64 MiB took %v", took)
		}
		c.Reset()
		other, _, err := dial(t, r, carl, anna)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := pour(other, PairRate); n != PairRate || err != nil {
			t.Errorf("of another pair %d bytes went through: %v", n, err)
		}
		if _, _, err := dial(t, r, anna, bert); !errors.Is(err, Spent) {
			t.Errorf("the pair that has used its hour begins anew, the other way round: %v", err)
		}
		st := r.ledger.standing(anna, bert, true, time.Now())
		if st.Verdict != Spent || st.Left != 0 || st.Wait <= 58*time.Minute || st.Wait > time.Hour {
			t.Errorf("it stands at %+v", st)
		}
		time.Sleep(st.Wait)
		if _, _, err := dial(t, r, anna, bert); err != nil {
			t.Errorf("after the wait that was named: %v", err)
		}
	})
}

// TestStrangersAreCut: a circuit between strangers ends after two minutes, or after 128 KiB; a friend's does not.
func TestStrangersAreCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := service(Settings{})
		defer r.Close()
		long, slow, err := dial(t, r, bert, carl)
		if err != nil {
			t.Fatal(err)
		}
		_, friends, err := dial(t, r, bert, anna)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(StrangerTime - time.Nanosecond)
		if slow.reset.Load() {
			t.Error("it was cut early")
		}
		time.Sleep(time.Second)
		if !slow.reset.Load() || friends.reset.Load() {
			t.Errorf("after two minutes: cut %v, a friend's %v", slow.reset.Load(), friends.reset.Load())
		}
		if _, err := long.Write([]byte("x")); err == nil {
			t.Error("it goes on after the cut")
		}
		c, _, err := dial(t, r, bert, carl)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := pour(c, 1<<30); n != StrangerData || !errors.Is(err, Spent) {
			t.Errorf("%d bytes went through: %v", n, err)
		}
		c.Reset()
		if rep := r.Report(); rep.Circuits != 1 || rep.Carried[0] != StrangerData {
			t.Errorf("the report: %+v", rep)
		}
	})
}

// TestStrangersMore: who opts in carries as much for strangers as for friends, but all of them share one rate.
func TestStrangersMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := service(Settings{For: Strangers})
		defer r.Close()
		start := time.Now()
		done := make(chan int64)
		for i := range 4 {
			c, _, err := dial(t, r, id(2*i), id(2*i+1))
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				n, _ := pour(c, 8*PairRate)
				done <- n
			}()
		}
		for range 4 {
			if n := <-done; n != 8*PairRate {
				t.Errorf("%d bytes went through", n)
			}
		}
		if took := time.Since(start); took < 31*time.Second {
			t.Errorf("32 MB of four pairs took %v", took)
		}
		c, _, err := dial(t, r, id(0), id(1))
		if err != nil {
			t.Fatal(err)
		}
		if n, err := pour(c, PairData); n > PairData-8*PairRate || n < PairData-8*PairRate-bufferSize || !errors.Is(err, Spent) {
			t.Errorf("of one pair %d more went through: %v", n, err)
		}
	})
}

// TestAbusePlaces: one household, or many, never get all places; who leaves makes room.
func TestAbusePlaces(t *testing.T) {
	l := newLedger(Settings{})
	got := 0
	for i := range 100 {
		if l.reserve(id(i), home, false, never, t0) {
			got++
		}
	}
	if got != maxStrangersPerIP {
		t.Errorf("one household has %d places", got)
	}
	v6 := netip.MustParseAddr("2a00:1::1")
	for i := range 100 {
		if l.reserve(id(100+i), v6, false, never, t0) != (i < maxStrangersPerIP) {
			t.Errorf("place %d of an IPv6 /64", i)
		}
		v6 = v6.Next()
	}
	for i := range 1000 {
		l.reserve(id(200+i), netip.AddrFrom4([4]byte{11, 1, byte(i >> 8), byte(i)}), false, never, t0)
	}
	if len(l.places) != maxStrangers || !l.reserve(anna, home, true, never, t0) {
		t.Errorf("strangers have %d places, or a friend got none", len(l.places))
	}
	left := func(p peer.ID) bool { return p == id(200) }
	if !l.reserve(dora, netip.MustParseAddr("11.9.9.9"), false, left, t0) || l.reserve(carl, netip.MustParseAddr("11.9.9.8"), false, never, t0) {
		t.Error("who left made no room, or for more than one")
	}
	if !l.reserve(carl, home, false, never, t0.Add(2*reservationTTL)) {
		t.Error("places do not expire")
	}
}

// TestAbuseCircuits: a stranger has few circuits, all strangers have a bounded number, and friends are served meanwhile.
func TestAbuseCircuits(t *testing.T) {
	r := service(Settings{})
	defer r.Close()
	var open []*circuit
	for i := range 200 {
		c, _, err := dial(t, r, bert, id(i))
		if (err == nil) != (i < maxStrangerTo) {
			t.Fatalf("circuit %d of one stranger: %v", i, err)
		}
		if err == nil {
			open = append(open, c)
		}
	}
	all := len(open)
	for i := range 200 {
		c, _, err := dial(t, r, id(1000+i), id(2000+i))
		if err == nil {
			all++
			open = append(open, c)
		} else if !errors.Is(err, Full) {
			t.Fatal(err)
		}
	}
	if all != maxStrangerAll {
		t.Errorf("strangers have %d circuits", all)
	}
	if _, _, err := dial(t, r, bert, anna); err != nil {
		t.Errorf("a friend is not served: %v", err)
	}
	for _, c := range open {
		c.Close()
		c.Reset() // both may come
	}
	if r.ledger.all != 0 || len(r.ledger.live) != 0 || len(r.live) != 1 {
		t.Errorf("after all ended: %d circuits of strangers, %d peers, %d in all", r.ledger.all, len(r.ledger.live), len(r.live))
	}
}

// TestAbuseData: circuits that follow each other do not add up to more than a pair may use, and pairs without end to no more memory.
func TestAbuseData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := service(Settings{})
		defer r.Close()
		total := int64(0)
		for range 100 {
			c, _, err := dial(t, r, bert, carl)
			if errors.Is(err, Spent) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			n, _ := pour(c, 1<<30)
			total += n
			c.Reset()
		}
		if total < StrangerHour-StrangerData || total > StrangerHour {
			t.Errorf("a pair of strangers sent %d bytes in an hour", total)
		}
		for i := range 2 * maxPairs {
			r.ledger.pair(id(i), dora, false, time.Now())
		}
		if n := len(r.ledger.pairs); n != maxPairs {
			t.Errorf("%d pairs are remembered", n)
		}
		if _, _, err := dial(t, r, bert, carl); !errors.Is(err, Spent) {
			t.Errorf("a flood of pairs made what was used forgotten: %v", err)
		}
		time.Sleep(hour)
		if _, _, err := dial(t, r, id(5000), carl); err != nil {
			t.Errorf("an hour later: %v", err)
		}
	})
}

// TestModes: for whom something is carried in each mode, and what a change ends.
func TestModes(t *testing.T) {
	for _, c := range []struct {
		Settings
		friend, stranger Verdict
	}{
		{Settings{}, Carries, Carries},
		{Settings{For: Strangers}, Carries, Carries},
		{Settings{For: Strangers, Metered: true}, Carries, NotStrangers},
		{Settings{For: Coordinate, Metered: true}, Carries, NotStrangers},
		{Settings{For: Contacts}, Carries, NotStrangers},
		{Settings{For: Off}, Closed, Closed},
	} {
		l := newLedger(c.Settings)
		if f, s := l.allows(bert, anna, true, t0), l.allows(bert, carl, false, t0); f != c.friend || s != c.stranger {
			t.Errorf("%+v: a friend %v, a stranger %v", c.Settings, f, s)
		}
		if got := l.reserve(bert, home, false, never, t0); got != (c.stranger == Carries) {
			t.Errorf("%+v: a stranger's place: %v", c.Settings, got)
		}
	}
	r := service(Settings{For: Strangers})
	defer r.Close()
	_, stranger, err := dial(t, r, bert, carl)
	_, friend, err2 := dial(t, r, bert, anna)
	if err := errors.Join(err, err2, r.Set(Settings{For: Contacts})); err != nil {
		t.Fatal(err)
	}
	if !stranger.reset.Load() || friend.reset.Load() {
		t.Errorf("for contacts only: a stranger's circuit was ended %v, a friend's %v", stranger.reset.Load(), friend.reset.Load())
	}
	for _, s := range []Settings{{For: "all"}, {Data: 1}, {Data: -1}, {Rate: 1}, {Rate: 1 << 40}} {
		if err := r.Set(s); !errors.Is(err, kith.Invalid) {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

// A talk is a stream whose other end wrote what is in one buffer, and which writes into another.
type talk struct {
	io.Reader
	io.Writer
}

// TestAsk: who is refused learns why and for how long, of its own pairs only.
func TestAsk(t *testing.T) {
	for _, want := range []Standing{{Verdict: Carries, Left: 5}, {Verdict: Spent, Wait: 23 * time.Minute}, {Verdict: Full}} {
		var out bytes.Buffer
		in := mustFrame(t, answer{uint8(want.Verdict), want.Left, int64(want.Wait / time.Second)})
		if got, err := Ask(talk{in, &out}, carl); got != want || err != nil {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
		var reply bytes.Buffer
		if err := service(Settings{}).Answer(bert, talk{&out, &reply}); err != nil {
			t.Error(err)
		}
	}
	for _, a := range []answer{{Verdict: 99}, {Left: -1}, {Wait: -1}, {Wait: 3601}} {
		if _, err := Ask(talk{mustFrame(t, a), io.Discard}, carl); !errors.Is(err, kith.Invalid) {
			t.Errorf("%+v: %v", a, err)
		}
	}
	for _, q := range []question{{}, {[]byte(bert)}, {[]byte("x")}} {
		if err := service(Settings{}).Answer(bert, talk{mustFrame(t, q), io.Discard}); !errors.Is(err, kith.Invalid) {
			t.Errorf("%v: %v", q, err)
		}
	}
}
