// Package flow limits, measures and shares what moves: one direction of all transfers together, and turns of peers that are sent to.
//
// It knows no messages. Its one idea: whoever moves bytes asks here first, and a trickle ends soon.
package flow

import (
	"context"
	"io"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"kith/network"
	"kith/transfer/engine"
)

// How bytes move.
const (
	maxStep   = 1 << 20          // bytes that move at once while there is no limit
	Slice     = 16 << 10         // every so many bytes …
	sliceTime = 20 * time.Second // … must come, or go, in this time: about 800 bytes a second
)

// A Flow limits and measures one direction of all transfers together.
type Flow struct {
	limiter *rate.Limiter
	mu      sync.Mutex
	limit   int64
	base    time.Time
	meter   engine.Meter
}

// New returns a Flow without a limit.
func New() *Flow {
	return &Flow{limiter: rate.NewLimiter(rate.Inf, Slice), base: time.Now()}
}

// Set sets the limit in bytes a second; 0 is none.
func (f *Flow) Set(limit int64) {
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
func (f *Flow) Limit() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.limit
}

// Rate returns the bytes a second, lately.
func (f *Flow) Rate() float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.meter.At(time.Since(f.base))
}

// step is how many bytes move at once: few while there is a limit, so that they are shared.
func (f *Flow) step() int {
	if f.limiter.Limit() == rate.Inf {
		return maxStep
	}
	return Slice
}

// take waits until n bytes, at most slice while there is a limit, may move.
func (f *Flow) take(ctx context.Context, n int) error {
	f.Count(n)
	if f.limiter.Limit() == rate.Inf {
		return nil
	}
	return f.limiter.WaitN(ctx, min(n, Slice))
}

// Count notes that n bytes moved.
func (f *Flow) Count(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.meter.Add(time.Since(f.base), int64(n))
}

// Wait waits until n bytes may move, as long as still says so.
func (f *Flow) Wait(ctx context.Context, n int64, still func() bool) error {
	for ; n > 0 && f.limiter.Limit() != rate.Inf && still(); n -= Slice {
		if err := f.limiter.WaitN(ctx, int(min(n, Slice))); err != nil {
			return err
		}
	}
	return nil
}

// Write writes p, and gives up if a slice of it takes longer than sliceTime.
func (f *Flow) Write(ctx context.Context, s network.Stream, p []byte) error {
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

// Read fills p from r, which reads s, as Write writes.
func (f *Flow) Read(ctx context.Context, s network.Stream, r io.Reader, p []byte) error {
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
		n := min(len(p), 16*Slice)
		s.SetReadDeadline(time.Now().Add(sliceTime))
		m, err := io.ReadAtLeast(r, p[:n], min(n, Slice))
		if err != nil {
			return err
		}
		p = p[m:]
	}
	return nil
}

// allow is how long n bytes may take.
func allow(n int) time.Duration {
	return time.Duration((n+Slice-1)/Slice) * sliceTime
}

// A Pace is how fast a stream was while something was asked of it: time in which a source owes nothing says nothing.
type Pace struct {
	Owed  int // answers that are not wholly here
	since time.Time
	Busy  time.Duration
	Bytes int64
}

// Ask notes that something was asked for.
func (p *Pace) Ask(now time.Time) {
	if p.Owed++; p.Owed == 1 {
		p.since = now
	}
}

// Came notes an answer of n bytes.
func (p *Pace) Came(n int, now time.Time) {
	p.Owed--
	p.Bytes += int64(n)
	p.Busy += now.Sub(p.since)
	p.since = now
}
