package network

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A move ends the attempts that run and begins them anew; who gives up, or fails by themselves, is told so.
func TestDials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d dials
		var tries atomic.Int32
		done := make(chan error, 1)
		go func() {
			done <- d.try(t.Context(), func(ctx context.Context) error {
				if tries.Add(1) == 3 {
					return nil
				}
				<-ctx.Done()
				return ctx.Err()
			})
		}()
		for want := int32(1); want < 3; want++ {
			synctest.Wait()
			if n := tries.Load(); n != want {
				t.Fatalf("attempt %d runs, want %d", n, want)
			}
			d.moved()
			time.Sleep(leaveTime)
		}
		if err := <-done; err != nil || tries.Load() != 3 {
			t.Errorf("%v after %d attempts", err, tries.Load())
		}
		failed := errors.New("nobody there")
		if err := d.try(t.Context(), func(context.Context) error { return failed }); !errors.Is(err, failed) {
			t.Errorf("an attempt that failed: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			done <- d.try(ctx, func(ctx context.Context) error {
				<-ctx.Done()
				return ctx.Err()
			})
		}()
		synctest.Wait()
		cancel()
		d.moved()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("who gave up was told %v", err)
		}
	})
}

// Nobody begins anew while another is still in an attempt of before the move: libp2p would have the two share it, with the addresses that it has given up.
func TestDialsBeginAnewTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d dials
		var inside, mixed atomic.Int32 // those in an attempt of before the move
		var moved atomic.Bool
		done := make(chan error)
		dial := func(lingers time.Duration) {
			done <- d.try(t.Context(), func(ctx context.Context) error {
				if moved.Load() {
					mixed.Add(inside.Load())
					return nil
				}
				inside.Add(1)
				defer inside.Add(-1)
				<-ctx.Done()
				time.Sleep(lingers) // until it is scheduled again
				return ctx.Err()
			})
		}
		for _, lingers := range []time.Duration{0, time.Second, time.Minute} {
			go dial(lingers)
		}
		synctest.Wait()
		moved.Store(true)
		go func() {
			time.Sleep(time.Millisecond)
			dial(0) // somebody else, who begins just then
		}()
		d.moved()
		for range 4 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if n := mixed.Load(); n > 0 {
			t.Errorf("%d of before were still there when others began", n)
		}
	})
}
