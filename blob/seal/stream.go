package seal

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"kith"

	"golang.org/x/crypto/chacha20poly1305"
)

// A direction is what becomes of a payload: it is sealed, or opened.
type direction struct {
	from, to int64 // bytes of a full segment
	do       func(a cipher.AEAD, dst, nonce, src []byte) ([]byte, error)
}

var (
	seal = direction{segmentSize, sealedSize, func(a cipher.AEAD, dst, nonce, src []byte) ([]byte, error) {
		return a.Seal(dst, nonce, src, nil), nil
	}}
	open = direction{sealedSize, segmentSize, func(a cipher.AEAD, dst, nonce, src []byte) ([]byte, error) {
		return a.Open(dst, nonce, src, nil)
	}}
)

// A part is size bytes of r from off on.
type part struct {
	r         io.ReaderAt
	off, size int64
}

// A stream is the payload of an age file after its nonce, sealed or opened while it is read.
type stream struct {
	direction
	aead cipher.AEAD
	in   part
	n    int64 // segments
	size int64 // of what comes out
}

func newStream(h Header, d direction, in part) *stream {
	key, err := hkdf.Key(sha256.New, h.FileKey[:], h.Nonce[:], "payload", chacha20poly1305.KeySize)
	if err != nil {
		panic(err) // cannot be: all lengths are constant
	}
	aead, err := chacha20poly1305.New(key)
	if err != nil {
		panic(err) // cannot be either
	}
	n := max(1, ceil(in.size, d.from))
	return &stream{direction: d, aead: aead, in: in, n: n, size: in.size + n*(d.to-d.from)}
}

func ceil(n, unit int64) int64 { return (n + unit - 1) / unit }

// scratch is room for a segment on its way in, and for one of which only a part is wanted.
type scratch struct {
	in, out [sealedSize]byte
	nonce   [chacha20poly1305.NonceSize]byte
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// minShare is how many segments are worth a goroutine.
const minShare = 4

// ReadAt implements io.ReaderAt. A long read is shared among the cores.
func (s *stream) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("seal: read at %d: %w", off, kith.Invalid)
	}
	first, end := off/s.to, ceil(min(off+int64(len(p)), s.size), s.to)
	shares := min(int64(runtime.GOMAXPROCS(0)), (end-first)/minShare)
	if shares <= 1 {
		return s.sequential(p, off)
	}
	type result struct {
		n   int
		err error
	}
	results := make([]result, shares)
	var wg sync.WaitGroup
	at := off
	for i := range results {
		to := (first + (end-first)*int64(i+1)/shares) * s.to
		if i == len(results)-1 {
			to = off + int64(len(p))
		}
		share, from := p[at-off:to-off], at
		wg.Go(func() { results[i].n, results[i].err = s.sequential(share, from) })
		at = to
	}
	wg.Wait()
	for _, r := range results {
		if n += r.n; r.err != nil {
			return n, r.err
		}
	}
	return n, nil
}

// sequential is ReadAt on one core.
func (s *stream) sequential(p []byte, off int64) (n int, err error) {
	buf := scratches.Get().(*scratch)
	defer scratches.Put(buf)
	for n < len(p) && off < s.size {
		i := off / s.to
		start, size := i*s.to, min(s.to, s.size-i*s.to)
		rest := p[n:]
		m := int(size)
		if off == start && int64(len(rest)) >= size {
			_, err = s.segment(buf, rest[:0:size], i)
		} else {
			var whole []byte
			whole, err = s.segment(buf, buf.out[:0], i)
			if err == nil {
				m = copy(rest, whole[off-start:])
			}
		}
		if err != nil {
			return n, err
		}
		n += m
		off += int64(m)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// segment appends what becomes of segment i to dst.
func (s *stream) segment(buf *scratch, dst []byte, i int64) ([]byte, error) {
	in := buf.in[:min(s.from, s.in.size-i*s.from)]
	if n, err := s.in.r.ReadAt(in, s.in.off+i*s.from); n < len(in) {
		if err == nil || errors.Is(err, io.EOF) {
			err = fmt.Errorf("the file has become shorter: %w", kith.Gone)
		}
		return nil, fmt.Errorf("seal: read segment %d: %w", i, err)
	}
	binary.BigEndian.PutUint64(buf.nonce[3:], uint64(i)) // 11 bytes of counter, of which the first 3 stay zero
	buf.nonce[11] = 0
	if i == s.n-1 {
		buf.nonce[11] = 1
	}
	out, err := s.do(s.aead, dst, buf.nonce[:], in)
	if err != nil {
		return nil, fmt.Errorf("seal: segment %d: %w", i, kith.Corrupt)
	}
	return out, nil
}
