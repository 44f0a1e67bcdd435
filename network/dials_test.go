package network

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
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
