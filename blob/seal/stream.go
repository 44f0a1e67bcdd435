package seal

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"kith"

	"golang.org/x/crypto/chacha20poly1305"
)

// A stream is the payload of an age file, sealed or opened while it is read: in segments of inSeg bytes become out segments of
// outSeg bytes.
type stream struct {
	aead          cipher.AEAD
	do            func(a cipher.AEAD, dst, nonce, src []byte) ([]byte, error)
	in            io.ReaderAt
	base, inSize  int64 // where in in, and how much of it
	inSeg, outSeg int64
	n             int64 // segments
	size          int64 // of what comes out
}

func sealSegment(a cipher.AEAD, dst, nonce, src []byte) ([]byte, error) {
	return a.Seal(dst, nonce, src, nil), nil
}

func openSegment(a cipher.AEAD, dst, nonce, src []byte) ([]byte, error) {
	return a.Open(dst, nonce, src, nil)
}

func newStream(h Header, do func(a cipher.AEAD, dst, nonce, src []byte) ([]byte, error),
	in io.ReaderAt, base, inSize, inSeg, outSeg int64) *stream {
	s := &stream{do: do, in: in, base: base, inSize: inSize, inSeg: inSeg, outSeg: outSeg}
	s.n = max(1, (inSize+inSeg-1)/inSeg)
	s.size = inSize + s.n*(outSeg-inSeg)
	key, err := hkdf.Key(sha256.New, h.FileKey[:], h.Nonce[:], "payload", chacha20poly1305.KeySize)
	if err != nil {
		panic(err)
	}
	if s.aead, err = chacha20poly1305.New(key); err != nil {
		panic(err)
	}
	return s
}

type scratch struct {
	in, out [sealedSize]byte
	nonce   [chacha20poly1305.NonceSize]byte
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// ReadAt implements io.ReaderAt.
func (s *stream) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("seal: read at %d: %w", off, kith.Invalid)
	}
	buf := scratches.Get().(*scratch)
	defer scratches.Put(buf)
	for n < len(p) && off < s.size {
		i := off / s.outSeg
		out, err := s.segment(buf, buf.out[:0], i)
		if err != nil {
			return n, err
		}
		m := copy(p[n:], out[off-i*s.outSeg:])
		n += m
		off += int64(m)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// segment makes segment i and appends it to dst.
func (s *stream) segment(buf *scratch, dst []byte, i int64) ([]byte, error) {
	in := buf.in[:min(s.inSeg, s.inSize-i*s.inSeg)]
	if n, err := s.in.ReadAt(in, s.base+i*s.inSeg); n < len(in) {
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("it is shorter than it was: %w", kith.Gone)
		}
		return nil, fmt.Errorf("seal: read segment %d: %w", i, err)
	}
	binary.BigEndian.PutUint64(buf.nonce[3:11], uint64(i))
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
