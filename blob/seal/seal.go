// Package seal makes age files that can be made again, and reads them at random.
package seal

import (
	"fmt"
	"io"

	"kith"
)

const (
	segmentSize = 64 << 10 // bytes of plaintext
	tagSize     = 16
	sealedSize  = segmentSize + tagSize
)

// SealedSize returns the bytes of the age file of plain bytes.
func SealedSize(h Header, plain int64) int64 {
	return h.size() + plain + segmentsOf(plain)*tagSize
}

func (h Header) size() int64 { return int64(len(h.Bytes)) + nonceSize }

// segmentsOf returns how many segments plain bytes make: at least one.
func segmentsOf(plain int64) int64 { return max(1, (plain+segmentSize-1)/segmentSize) }

// NewReaderAt returns the age file of plainSize bytes of plain.
func NewReaderAt(h Header, plain io.ReaderAt, plainSize int64) io.ReaderAt {
	return &sealer{h, newStream(h, sealSegment, plain, 0, plainSize, segmentSize, sealedSize)}
}

type sealer struct {
	h Header
	s *stream
}

// ReadAt implements io.ReaderAt.
func (s *sealer) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("seal: read at %d: %w", off, kith.Invalid)
	}
	head := s.h.size()
	if off < head {
		n = copy(p, append(append(make([]byte, 0, head), s.h.Bytes...), s.h.Nonce[:]...)[off:])
		if n == len(p) {
			return n, nil
		}
	}
	m, err := s.s.ReadAt(p[n:], off+int64(n)-head)
	return n + m, err
}

// Opened is the plaintext of an age file. It is safe for concurrent use if the ciphertext is.
type Opened struct {
	h Header
	s *stream
}

// Open reads the header of an age file of cipherSize bytes.
func Open(k Key, cipher io.ReaderAt, cipherSize int64) (*Opened, error) {
	h, err := readHeader(k, cipher, cipherSize)
	if err != nil {
		return nil, fmt.Errorf("seal: open: %w", err)
	}
	payload := cipherSize - h.size()
	if last := payload % sealedSize; payload < tagSize || last > 0 && last < tagSize || last == tagSize && payload > tagSize {
		return nil, fmt.Errorf("seal: open: %d bytes is no length of an age file: %w", cipherSize, kith.Corrupt)
	}
	return &Opened{h, newStream(h, openSegment, cipher, h.size(), payload, sealedSize, segmentSize)}, nil
}

// PlainSize returns the bytes of the plaintext.
func (o *Opened) PlainSize() int64 { return o.s.size }

// Header returns what makes the same ciphertext of the plaintext again.
func (o *Opened) Header() Header { return o.h }

// ReadAt implements io.ReaderAt.
func (o *Opened) ReadAt(p []byte, off int64) (int, error) { return o.s.ReadAt(p, off) }
