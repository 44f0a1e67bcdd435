package bao

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"kith"

	"lukechampine.com/blake3/guts"
)

// Limits of one call.
const (
	MaxRange = 16 << 10                              // groups: 256 MiB of data
	MaxProof = parentSize * (MaxRange + 2*maxHeight) // bytes that prove so many groups

	maxHeight = 49 // of the tree of the largest int64
)

// Storage keeps the parents of a tree, OutboardSize bytes. What was never written reads as zero, or as the end of the file.
type Storage interface {
	io.ReaderAt
	io.WriterAt
}

// A Tree is the parents of a blob, all or some of them: what is zero in its storage is not known yet. It is safe for concurrent
// use, as long as nobody else writes the storage.
type Tree struct {
	root   Sum
	size   int64
	groups int64
	s      Storage

	mu sync.RWMutex // a parent is written whole before it is read
}

// NewTree returns the tree of the blob of size bytes with the given root, whose parents are in s. It reads nothing.
func NewTree(root Sum, size int64, s Storage) *Tree {
	return &Tree{root: root, size: size, groups: Groups(size), s: s}
}

// ProofSize returns the bytes of the proof of the groups r of a blob of size bytes, or -1 if r is empty, not within the
// blob, or more than MaxRange groups.
func ProofSize(size int64, r Range) int64 {
	if check(size, r) != nil {
		return -1
	}
	return proofSize(root(Groups(size)).runs(make([]run, 0, maxRuns), r))
}

func proofSize(runs []run) (n int64) {
	for _, run := range runs {
		n += run.n * parentSize
	}
	return n
}

func check(size int64, r Range) error {
	if size < 0 || r.First < 0 || r.N <= 0 || r.N > MaxRange || r.First > Groups(size)-r.N {
		return fmt.Errorf("groups %d+%d of a blob of %d bytes: %w", r.First, r.N, size, kith.Invalid)
	}
	return nil
}

// Proof appends to dst the parents, 64 bytes each, that prove the groups r: all that are on the way from the root to one of
// them, in pre-order. If one is not known, the error is kith.NotFound. It does not check what it reads: whoever gets it does.
func (t *Tree) Proof(dst []byte, r Range) ([]byte, error) {
	if err := check(t.size, r); err != nil {
		return dst, fmt.Errorf("bao: proof: %w", err)
	}
	proof := dst
	for _, run := range root(t.groups).runs(make([]run, 0, maxRuns), r) {
		have := len(proof)
		proof = append(proof, make([]byte, run.n*parentSize)...)
		if err := t.read(proof[have:], run.index); err != nil {
			return dst, fmt.Errorf("bao: proof: %w", err)
		}
		for p := proof[have:]; len(p) > 0; p = p[parentSize:] {
			if [parentSize]byte(p) == [parentSize]byte{} {
				return dst, fmt.Errorf("bao: proof of groups %d+%d: not all known: %w", r.First, r.N, kith.NotFound)
			}
		}
	}
	return proof, nil
}

// read fills p with the parents from index on, zero where there are none.
func (t *Tree) read(p []byte, index int64) error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	n, err := t.s.ReadAt(p, index*parentSize)
	if n == len(p) {
		return nil
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read tree: %w", err)
	}
	clear(p[n:])
	return nil
}

// AddProof checks a proof of the groups r against the root and keeps its parents. A proof that is not the right one is
// kith.Corrupt, and nothing of it is kept.
func (t *Tree) AddProof(r Range, proof []byte) error {
	if err := check(t.size, r); err != nil {
		return fmt.Errorf("bao: add proof: %w", err)
	}
	top := root(t.groups)
	runs := top.runs(make([]run, 0, maxRuns), r)
	if want := proofSize(runs); int64(len(proof)) != want {
		return fmt.Errorf("bao: add proof: %d bytes, want %d: %w", len(proof), want, kith.Corrupt)
	}
	if _, ok := prove(top, toCV(t.root[:]), guts.FlagRoot, r, proof); !ok {
		return fmt.Errorf("bao: add proof of groups %d+%d: it does not lead to the root: %w", r.First, r.N, kith.Corrupt)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, run := range runs {
		n := run.n * parentSize
		if _, err := t.s.WriteAt(proof[:n], run.index*parentSize); err != nil {
			return fmt.Errorf("bao: add proof: write tree: %w", err)
		}
		proof = proof[n:]
	}
	return nil
}

// CheckProof checks a proof as AddProof does, and keeps nothing.
func CheckProof(sum Sum, size int64, r Range, proof []byte) error {
	return NewTree(sum, size, discard{}).AddProof(r, proof)
}

// discard is a tree's storage that keeps nothing.
type discard struct{}

func (discard) ReadAt([]byte, int64) (int, error)      { return 0, io.EOF }
func (discard) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

// prove checks the parents of d that are in the proof, and returns the rest of the proof.
func prove(d node, sum cv, flags uint32, r Range, proof []byte) ([]byte, bool) {
	if d.n == 1 || d.outside(r) {
		return proof, true
	}
	left, right := toCV(proof), toCV(proof[cvSize:])
	if guts.ChainingValue(guts.ParentNode(left, right, &guts.IV, flags)) != sum {
		return nil, false
	}
	proof, ok := prove(d.left(), left, 0, r, proof[parentSize:])
	if !ok {
		return nil, false
	}
	return prove(d.right(), right, 0, r, proof)
}
