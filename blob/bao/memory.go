package bao

import (
	"fmt"
	"io"

	"kith"
)

// Memory is a Storage of fixed size.
type Memory []byte

// ReadAt implements io.ReaderAt.
func (m Memory) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > int64(len(m)) {
		return 0, io.EOF
	}
	n := copy(p, m[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements io.WriterAt. It does not make m longer.
func (m Memory) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off > int64(len(m)-len(p)) {
		return 0, fmt.Errorf("bao: write %d bytes at %d of %d: %w", len(p), off, len(m), kith.Invalid)
	}
	return copy(m[off:], p), nil
}
