package bao

import (
	"fmt"
	"io"
	"sync"

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

// A Shared is Memory that may be read and written at once.
type Shared struct {
	mu sync.RWMutex
	m  Memory
}

// NewShared returns m, to be used through the Shared alone from then on.
func NewShared(m Memory) *Shared { return &Shared{m: m} }

// ReadAt implements io.ReaderAt.
func (s *Shared) ReadAt(p []byte, off int64) (int, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.m.ReadAt(p, off)
}

// WriteAt implements io.WriterAt.
func (s *Shared) WriteAt(p []byte, off int64) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m.WriteAt(p, off)
}

// Snapshot returns a copy of the bytes.
func (s *Shared) Snapshot() []byte {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return append([]byte{}, s.m...)
}
