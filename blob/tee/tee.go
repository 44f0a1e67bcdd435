// Package tee reads a file once and gives it to several digests, of which BLAKE3's tree is one.
//
// It knows no digest but that; the others are writers. Its one idea: whoever is slow gets a goroutine of their own and a few segments ahead, so that one pass keeps all
// cores busy and takes as long as the slowest alone.
package tee

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"kith"
	"kith/blob/bao"
)

// ahead is how many segments may be read that not everybody has seen.
const ahead = 8

// An Error is what a writer said, not the file.
type Error struct{ Err error }

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns what the writer said.
func (e *Error) Unwrap() error { return e.Err }

// Build reads the size bytes of r in order, writes the BLAKE3 tree to out if that is not nil, and returns its root. Each of taps gets all bytes in order, in pieces of at
// most bao.SegmentSize, which it may not keep; never two at a time. progress, if not nil, is told the bytes done so far. Errors: *Error; kith.Gone if r ends before size.
func Build(ctx context.Context, r io.ReaderAt, size int64, out io.WriterAt, taps []io.Writer, progress func(int64)) (bao.Sum, error) {
	b := bao.NewBuilder(out, size)
	hear := inTurn
	if size > bao.SegmentSize {
		hear = atOnce
	}
	tell, wait := hear(taps)
	err := read(ctx, r, size, b, tell, progress)
	if errTap := wait(); errTap != nil {
		err = &Error{errTap}
	}
	if err != nil {
		return bao.Sum{}, err
	}
	return b.Finish()
}

// A segment is bytes that are read, and how many have still to see them.
type segment struct {
	buf  [bao.SegmentSize]byte
	data []byte
	left atomic.Int32
}

var segments = sync.Pool{New: func() any { return new(segment) }}

func (s *segment) release() {
	if s.left.Add(-1) == 0 {
		segments.Put(s)
	}
}

// read reads all of r, and hashes what the others are told.
func read(ctx context.Context, r io.ReaderAt, size int64, b *bao.Builder, tell func(*segment) error, progress func(int64)) error {
	for off := int64(0); off < size; off += bao.SegmentSize {
		if err := ctx.Err(); err != nil {
			return err
		}
		s := segments.Get().(*segment)
		s.left.Store(1)
		s.data = s.buf[:min(bao.SegmentSize, size-off)]
		if n, err := r.ReadAt(s.data, off); n < len(s.data) {
			s.release()
			if errors.Is(err, io.EOF) {
				err = fmt.Errorf("it ends before byte %d: %w", size, kith.Gone)
			}
			return err
		}
		err := tell(s)
		if err == nil {
			err = b.WriteSegment(s.data)
		}
		n := int64(len(s.data))
		if s.release(); err != nil {
			return err
		}
		if progress != nil {
			progress(off + n)
		}
	}
	return nil
}

// inTurn tells the taps one after the other.
func inTurn(taps []io.Writer) (tell func(*segment) error, wait func() error) {
	var failed error
	return func(s *segment) error {
		for _, t := range taps {
			if _, failed = t.Write(s.data); failed != nil {
				return failed
			}
		}
		return nil
	}, func() error { return failed }
}

// atOnce gives each tap a goroutine.
func atOnce(taps []io.Writer) (tell func(*segment) error, wait func() error) {
	var wg sync.WaitGroup
	var once sync.Once
	var failed error
	stop := make(chan struct{})
	queues := make([]chan *segment, len(taps))
	for i, t := range taps {
		queues[i] = make(chan *segment, ahead)
		wg.Go(func() {
			for s := range queues[i] {
				select {
				case <-stop: // the rest is only given back
				default:
					if _, err := t.Write(s.data); err != nil {
						once.Do(func() { failed = err; close(stop) })
					}
				}
				s.release()
			}
		})
	}
	tell = func(s *segment) error {
		s.left.Add(int32(len(queues)))
		for i, q := range queues {
			select {
			case q <- s:
			case <-stop:
				s.left.Add(int32(i - len(queues)))
				return context.Canceled // wait says why
			}
		}
		return nil
	}
	return tell, func() error {
		for _, q := range queues {
			close(q)
		}
		wg.Wait()
		return failed
	}
}
