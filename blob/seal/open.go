package seal

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"kith"
)

// blockSegments is how many segments are opened at once: 1 MiB.
const (
	blockSegments = 16
	blockSize     = blockSegments * segmentSize
)

var blocks = sync.Pool{New: func() any { return new([blockSize]byte) }}

// Opened is the plaintext of an age file. It may be used by many at once if the ciphertext may.
type Opened struct {
	h       Header
	payload *stream
}

// Open reads the header of an age file of cipherSize bytes, and opens it with k. The rest is read, and found right or
// kith.Corrupt, when it is asked for; that the file has its true end is certain only once its last byte was read, or by
// a hash tree.
//
// A file for another key is kith.Denied. One that is no age file, or was tampered with, is kith.Corrupt; a header with
// too many stanzas is kith.TooLarge. Errors of cipher are passed on.
func Open(k Key, cipher io.ReaderAt, cipherSize int64) (*Opened, error) {
	h, err := readHeader(k, cipher, cipherSize)
	if err != nil {
		return nil, fmt.Errorf("seal: open: %w", err)
	}
	return h.Open(cipher, cipherSize)
}

// Open opens the age file that h was made for, as the function Open does.
func (h Header) Open(cipher io.ReaderAt, cipherSize int64) (*Opened, error) {
	payload := cipherSize - h.size()
	// Only the last segment may be short, and only the first may be empty.
	if last := payload % sealedSize; payload < tagSize || 0 < last && last < tagSize || last == tagSize && payload > tagSize {
		return nil, fmt.Errorf("seal: open: no age file has %d bytes: %w", cipherSize, kith.Corrupt)
	}
	return &Opened{h, newStream(h, open, part{cipher, h.size(), payload})}, nil
}

// PlainSize returns the bytes of the plaintext, as follows from those of the ciphertext.
func (o *Opened) PlainSize() int64 { return o.payload.size }

// Header returns what makes the same ciphertext of the plaintext again.
func (o *Opened) Header() Header { return o.h }

// ReadAt implements io.ReaderAt. It opens whole segments of 64 KiB: reads of 1 MiB, at a multiple of it, are the cheapest.
func (o *Opened) ReadAt(p []byte, off int64) (int, error) { return o.payload.ReadAt(p, off) }

// WriteTo implements io.WriterTo: it writes the whole plaintext in order, and is an error if the file does not end as
// it should.
func (o *Opened) WriteTo(w io.Writer) (n int64, err error) {
	if err := o.checkEmpty(); err != nil {
		return 0, err
	}
	buf := blocks.Get().(*[blockSize]byte)
	defer blocks.Put(buf)
	for n < o.PlainSize() {
		block := buf[:min(blockSize, o.PlainSize()-n)]
		if _, err := o.ReadAt(block, n); err != nil {
			return n, err
		}
		m, err := w.Write(block)
		n += int64(m)
		if err != nil {
			return n, fmt.Errorf("seal: write plaintext: %w", err)
		}
	}
	return n, nil
}

// Decrypt writes the whole plaintext to w, on all cores and in no order. progress, if not nil, is told the bytes done
// so far, in all, and never by two at a time. After an error, w has some of the blocks, all of them right.
func (o *Opened) Decrypt(ctx context.Context, w io.WriterAt, progress func(done int64)) error {
	if err := o.checkEmpty(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var mu sync.Mutex // for progress
	var done int64
	n := ceil(o.PlainSize(), blockSize)
	work := func() {
		buf := blocks.Get().(*[blockSize]byte)
		defer blocks.Put(buf)
		for i := next.Add(1) - 1; i < n && ctx.Err() == nil; i = next.Add(1) - 1 {
			block := buf[:min(blockSize, o.PlainSize()-i*blockSize)]
			if _, err := o.payload.sequential(block, i*blockSize); err != nil {
				cancel(err)
				return
			}
			if _, err := w.WriteAt(block, i*blockSize); err != nil {
				cancel(fmt.Errorf("seal: write plaintext: %w", err))
				return
			}
			if progress != nil {
				mu.Lock()
				done += int64(len(block))
				progress(done)
				mu.Unlock()
			}
		}
	}
	var wg sync.WaitGroup
	for range min(n, int64(2*runtime.GOMAXPROCS(0))) {
		wg.Go(work)
	}
	wg.Wait()
	return context.Cause(ctx)
}

// checkEmpty checks the only segment of an empty plaintext, which no read would touch.
func (o *Opened) checkEmpty() error {
	if o.PlainSize() > 0 {
		return nil
	}
	buf := scratches.Get().(*scratch)
	defer scratches.Put(buf)
	_, err := o.payload.segment(buf, nil, 0)
	return err
}
