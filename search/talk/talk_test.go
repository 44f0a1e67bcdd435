package talk_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/network"
	"kith/search/sets"
	"kith/search/talk"
	"kith/search/talktest"
)

var errAny = errors.New("any error")

type number struct {
	N int `cbor:"1,keyasint"`
}

// up answers with the next number, and is over at the last.
func up(last int) talk.Answer[number] {
	return func(m *number) (*number, bool, error) {
		if m.N < 0 {
			return nil, false, kith.Corrupt
		}
		return &number{m.N + 1}, m.N >= last, nil
	}
}

// A conversation ends when it is over, when it makes no sense, when it is too long, when the other side is silent, and with ctx; and so does that of who serves.
func TestConversation(t *testing.T) {
	endless := func(_ context.Context, st network.Stream) error {
		_, err := st.Write(bytes.Repeat([]byte{0xff}, 100))
		return err
	}
	silent := func(ctx context.Context, st network.Stream) error { time.Sleep(time.Hour); return nil }
	hears := func(_ context.Context, st network.Stream) error {
		_, err := io.Copy(io.Discard, st)
		return err
	}
	for name, x := range map[string]struct {
		first  int
		last   int // of who begins
		serve  talktest.Serve
		cancel time.Duration // of ctx
		end    error         // TooLarge, or errAny
		served error
	}{
		"over":             {first: 1, last: 8},
		"too long":         {first: 1, last: 1000, end: kith.TooLarge},
		"refused":          {first: -1, last: 8, end: errAny, served: kith.Corrupt},
		"what is no frame": {serve: endless, end: errAny},
		"silence":          {serve: silent, end: errAny},
		"who only hears":   {serve: hears, end: errAny},
		"given up":         {serve: silent, cancel: time.Second, end: errAny},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := talktest.New(t)
				h.Join("a", "b")
				served := make(chan error, 1)
				if x.serve == nil {
					x.serve = func(ctx context.Context, st network.Stream) error {
						served <- talk.Serve(ctx, st, 100, up(1000))
						return nil
					}
				} else {
					served <- nil
				}
				h.Add("b", x.serve)
				ctx, cancel := context.WithTimeout(t.Context(), cmp.Or(x.cancel, 2*time.Hour))
				defer cancel()
				began := time.Now()
				open := func(_ context.Context, p peer.ID) (network.Stream, error) { return h.Open("a", p) }
				err := talk.Begin(ctx, open, "b", 20, &number{x.first}, up(x.last))
				switch {
				case (err == nil) != (x.end == nil):
					t.Errorf("it ends with %v", err)
				case x.end == kith.TooLarge && !errors.Is(err, kith.TooLarge):
					t.Errorf("it ends with %v", err)
				case time.Since(began) > time.Minute:
					t.Errorf("it ends after %v", time.Since(began))
				}
				if err := <-served; !errors.Is(err, x.served) {
					t.Errorf("who serves ends with %v", err)
				}
			})
		})
	}
	if err := talk.Begin(t.Context(), func(context.Context, peer.ID) (network.Stream, error) { return nil, kith.Unavailable }, "b", 1, &number{}, up(1)); !errors.Is(err, kith.Unavailable) {
		t.Errorf("who is not there: %v", err)
	}
}

// Nobody is told what it has told itself, all is told once, and there is an end to how much.
func TestNews(t *testing.T) {
	n := talk.NewNews()
	n.Add("a")
	select {
	case <-n.Rung():
		t.Error("it rings for nothing")
	default:
	}
	n.Add("a", sets.ID{1}, sets.ID{2})
	n.Add("b", sets.ID{3})
	<-n.Rung()
	batch := n.Take()
	for p, want := range map[peer.ID][]sets.ID{"a": {{3}}, "b": {{1}, {2}}, "c": {{1}, {2}, {3}}} {
		if got := batch.For(p); !slices.Equal(got, want) {
			t.Errorf("%s is told %v", p, got)
		}
	}
	if len(n.Take()) != 0 {
		t.Error("it is told twice")
	}
	for range 3 {
		n.Add("a", make([]sets.ID, 3000)...)
	}
	if got := len(n.Take()); got != 4096 {
		t.Errorf("%d are kept to be told", got)
	}
}

// Of two that meet one begins; with each there is one meeting at a time, with few at once, and too many are left for later.
func TestMeetings(t *testing.T) {
	m := talk.NewMeetings("m")
	m.Met("a")
	m.Met("z")
	if p := <-m.Came(); p != "z" || len(m.Came()) != 0 {
		t.Errorf("it begins with %s", p)
	}
	for range 1000 {
		m.Want("a")
	}
	end, ok := m.Begin("a")
	if _, again := m.Begin("a"); !ok || again {
		t.Error("two at once")
	}
	if _, ok := m.Begin("b"); !ok {
		t.Error("not with another")
	}
	end()
	if _, ok := m.Begin("a"); !ok {
		t.Error("not again")
	}
	synctest.Test(t, func(t *testing.T) {
		var wg sync.WaitGroup
		var now, done atomic.Int32
		ctx, cancel := context.WithCancel(t.Context())
		do := talk.Few(ctx, &wg, 3, func(context.Context, peer.ID) {
			if now.Add(1) > 3 {
				t.Error("more than three at once")
			}
			time.Sleep(time.Second)
			now.Add(-1)
			done.Add(1)
		})
		for range 9 {
			do("a")
		}
		time.Sleep(1500 * time.Millisecond)
		cancel()
		wg.Wait()
		if n := done.Load(); n < 3 || n > 8 {
			t.Errorf("%d were done", n)
		}
	})
}
