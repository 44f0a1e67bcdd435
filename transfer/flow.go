package transfer

import (
	"context"
	"io"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"kith/network"
	"kith/transfer/engine"
)

// A flow limits and measures one direction of all transfers together.
type flow struct {
	limiter *rate.Limiter
	mu      sync.Mutex
	limit   int64
	base    time.Time
	meter   engine.Meter
}

func newFlow() *flow {
	return &flow{limiter: rate.NewLimiter(rate.Inf, slice), base: time.Now()}
}

// Set sets the limit in bytes a second; 0 is none.
func (f *flow) Set(limit int64) {
	f.mu.Lock()
	f.limit = max(limit, 0)
	f.mu.Unlock()
	if limit <= 0 {
		f.limiter.SetLimit(rate.Inf)
	} else {
		f.limiter.SetLimit(rate.Limit(limit))
	}
}

// Limit returns what Set set.
func (f *flow) Limit() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.limit
}

// Rate returns the bytes a second, lately.
func (f *flow) Rate() float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.meter.At(time.Since(f.base))
}

// step is how many bytes move at once: few while there is a limit, so that they are shared.
func (f *flow) step() int {
	if f.limiter.Limit() == rate.Inf {
		return MaxAnswer
	}
	return slice
}

// take waits until n bytes, at most slice while there is a limit, may move.
func (f *flow) take(ctx context.Context, n int) error {
	f.count(n)
	if f.limiter.Limit() == rate.Inf {
		return nil
	}
	return f.limiter.WaitN(ctx, min(n, slice))
}

// count notes that n bytes moved.
func (f *flow) count(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.meter.Add(time.Since(f.base), int64(n))
}

// wait waits until n bytes may move, as long as still says so.
func (f *flow) wait(ctx context.Context, n int64, still func() bool) error {
	for ; n > 0 && f.limiter.Limit() != rate.Inf && still(); n -= slice {
		if err := f.limiter.WaitN(ctx, int(min(n, slice))); err != nil {
			return err
		}
	}
	return nil
}

// write writes p, and gives up if a slice of it takes longer than sliceTime.
func (f *flow) write(ctx context.Context, s network.Stream, p []byte) error {
	for len(p) > 0 {
		n := min(f.step(), len(p))
		if err := f.take(ctx, n); err != nil {
			return err
		}
		s.SetWriteDeadline(time.Now().Add(allow(n)))
		if _, err := s.Write(p[:n]); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// read fills p from r, which reads s, as write writes.
func (f *flow) read(ctx context.Context, s network.Stream, r io.Reader, p []byte) error {
	for len(p) > 0 {
		n := min(f.step(), len(p))
		if err := f.take(ctx, n); err != nil {
			return err
		}
		if err := readSlices(s, r, p[:n]); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// readSlices reads with a deadline for each few slices, so that a trickle ends soon.
func readSlices(s network.Stream, r io.Reader, p []byte) error {
	for len(p) > 0 {
		n := min(len(p), 16*slice)
		s.SetReadDeadline(time.Now().Add(sliceTime))
		m, err := io.ReadAtLeast(r, p[:n], min(n, slice))
		if err != nil {
			return err
		}
		p = p[m:]
	}
	return nil
}

// allow is how long n bytes may take.
func allow(n int) time.Duration {
	return time.Duration((n+slice-1)/slice) * sliceTime
}
