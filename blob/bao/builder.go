package bao

import (
	"fmt"
	"io"
	"runtime"
	"sync"

	"kith"
)

// A Builder makes a tree of bytes as they are written, so that one pass over a file can feed other digests too. Its size is
// given beforehand, which keeps the memory it needs constant. Hashing runs beside the writer, on all cores. It is for one
// goroutine; one that is given up needs no closing.
type Builder struct {
	b       *build
	size    int64
	written int64
	buf     *[segmentSize]byte
	fill    int
	busy    chan struct{} // a token per segment that is being hashed
	wg      sync.WaitGroup
}

// NewBuilder returns a Builder for exactly size bytes, whose tree goes to out if that is not nil.
func NewBuilder(out io.WriterAt, size int64) *Builder {
	return &Builder{b: newBuild(size, out, nil), size: size, busy: make(chan struct{}, 2*runtime.GOMAXPROCS(0))}
}

// Write takes the next bytes. More than the given size are kith.Gone: the source grew.
func (w *Builder) Write(p []byte) (int, error) {
	if int64(len(p)) > w.size-w.written {
		return 0, fmt.Errorf("bao: build: more than %d bytes: %w", w.size, kith.Gone)
	}
	for rest := p; len(rest) > 0; {
		if w.buf == nil {
			w.buf = segmentBuffers.Get().(*[segmentSize]byte)
		}
		n := copy(w.buf[w.fill:], rest)
		rest = rest[n:]
		w.fill += n
		w.written += int64(n)
		if w.fill == segmentSize {
			w.flush()
		}
	}
	return len(p), w.b.failed()
}

// SegmentSize is how much WriteSegment takes at once.
const SegmentSize = segmentSize

// WriteSegment is Write of SegmentSize bytes, or of the last ones, when what was written before was whole segments. It hashes them where they are, before it returns.
func (w *Builder) WriteSegment(p []byte) error {
	if w.fill > 0 || w.written%segmentSize != 0 || int64(len(p)) != min(segmentSize, w.size-w.written) {
		return fmt.Errorf("bao: build: segment of %d bytes at %d of %d: %w", len(p), w.written, w.size, kith.Invalid)
	}
	if len(p) > 0 {
		w.b.segment(w.written/segmentSize, p)
		w.written += int64(len(p))
	}
	return w.b.failed()
}

// flush hands the segment that was filled to a goroutine of its own.
func (w *Builder) flush() {
	i, buf, n := ceil(w.written, segmentSize)-1, w.buf, w.fill
	w.buf, w.fill = nil, 0
	w.busy <- struct{}{}
	w.wg.Go(func() {
		w.b.segment(i, buf[:n])
		segmentBuffers.Put(buf)
		<-w.busy
	})
}

// Finish returns the root when all bytes were written; fewer than the given size are kith.Gone.
func (w *Builder) Finish() (Sum, error) {
	if w.fill > 0 {
		w.flush()
	}
	w.wg.Wait()
	if w.written != w.size {
		return Sum{}, fmt.Errorf("bao: build: %d bytes of %d: %w", w.written, w.size, kith.Gone)
	}
	if w.size == 0 {
		w.b.segment(0, nil)
	}
	return w.b.finish()
}
