package live

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Who keeps to the pace is never refused, however much it wants to ask.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, p := newGate(), &pace{}
		const many = 3 * burst
		refused := make(chan bool, many)
		for range many {
			go func() {
				done, err := p.wait(t.Context(), "peer")
				if err != nil {
					t.Error(err)
					refused <- true
					return
				}
				defer done()
				in := g.enter("us")
				if in {
					time.Sleep(10 * time.Millisecond)
					g.leave("us")
				}
				refused <- !in
			}()
		}
		began := time.Now()
		for range many {
			if <-refused {
				t.Fatal("a question is refused")
			}
		}
		if took := time.Since(began); took > many/askSecond*time.Second {
			t.Errorf("%d questions took %v", many, took)
		}
	})
}

// A peer that answers nothing holds up whoever asks it for a moment only, and others not at all.
func TestPaceOfTheSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pace{}
		var all []func()
		for range askAtOnce {
			done, err := p.wait(t.Context(), "silent")
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, done)
		}
		began := time.Now()
		if _, err := p.wait(t.Context(), "silent"); err == nil || time.Since(began) != dialTime {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.wait(ctx, "silent"); err != context.DeadlineExceeded {
			t.Error(err)
		}
		began = time.Now()
		done, err := p.wait(t.Context(), "other")
		if err != nil || time.Since(began) != 0 {
			t.Errorf("another peer is asked after %v: %v", time.Since(began), err)
		}
		done()
		all[0]()
		all[0]() // as a stream that is reset after it was closed
		for range 2 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err = p.wait(ctx, "silent"); err != nil {
				break
			}
		}
		if err == nil {
			t.Error("one answer makes room for two questions")
		}
	})
}

// What is known of peers that are not asked any more is forgotten.
func TestPaceForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pace{}
		for i := range maxRates {
			done, _ := p.wait(t.Context(), peer.ID(rune(i)))
			done()
		}
		time.Sleep(time.Minute)
		p.wait(t.Context(), "one more")
		if len(p.to) != 1 {
			t.Errorf("%d are kept in mind", len(p.to))
		}
	})
}
