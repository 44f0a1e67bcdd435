package bao

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"lukechampine.com/blake3/guts"
)

// Compare says which groups of some data are not the blob's, given the root sum and the tree got that Build made of the data. t tells what is right as far as its parents
// lead to the root; where one does not, all groups below it count as wrong, unless all of them are right. Parents that the data prove are written to t, and mended says that one had to be.
func (t *Tree) Compare(sum Sum, got io.ReaderAt) (wrong []Range, mended bool, err error) {
	c := comparison{t: t, got: got}
	if t.groups == 1 {
		if sum != t.root {
			c.add(Range{0, 1})
		}
		return c.wrong, false, nil
	}
	err = c.compare(root(t.groups), toCV(t.root[:]), toCV(sum[:]), guts.FlagRoot)
	return c.wrong, c.mended, err
}

type comparison struct {
	t      *Tree
	got    io.ReaderAt
	wrong  []Range
	mended bool
}

func (c *comparison) add(r Range) {
	if last := len(c.wrong) - 1; last >= 0 && c.wrong[last].First+c.wrong[last].N == r.First {
		c.wrong[last].N += r.N
		return
	}
	c.wrong = append(c.wrong, r)
}

// compare judges d, whose chaining value should be want, and is have.
func (c *comparison) compare(d node, want, have cv, flags uint32) error {
	if want == have {
		return c.mend(d)
	}
	if d.n == 1 {
		c.add(Range{d.first, 1})
		return nil
	}
	var right, is [parentSize]byte
	if err := c.t.read(right[:], d.index); err != nil {
		return err
	}
	if guts.ChainingValue(guts.ParentNode(toCV(right[:]), toCV(right[cvSize:]), &guts.IV, flags)) != want {
		c.add(Range{d.first, d.n}) // what is right is not known
		return nil
	}
	if _, err := c.got.ReadAt(is[:], d.index*parentSize); err != nil && err != io.EOF {
		return fmt.Errorf("bao: compare: %w", err)
	}
	if err := c.compare(d.left(), toCV(right[:]), toCV(is[:]), 0); err != nil {
		return err
	}
	return c.compare(d.right(), toCV(right[cvSize:]), toCV(is[cvSize:]), 0)
}

// mendStep is how many parents are compared at once.
const mendStep = 1024

// mend gives t the parents of d as the data have them.
func (c *comparison) mend(d node) error {
	right, have := make([]byte, min(d.n-1, mendStep)*parentSize), make([]byte, min(d.n-1, mendStep)*parentSize)
	for i := int64(0); i < d.n-1; i += mendStep {
		n := min(mendStep, d.n-1-i) * parentSize
		if m, err := c.got.ReadAt(right[:n], (d.index+i)*parentSize); int64(m) < n {
			return fmt.Errorf("bao: compare: %w", err)
		}
		if err := c.t.read(have[:n], d.index+i); err != nil {
			return err
		}
		if bytes.Equal(right[:n], have[:n]) {
			continue
		}
		c.mended = true
		c.t.mu.Lock()
		_, err := c.t.s.WriteAt(right[:n], (d.index+i)*parentSize)
		c.t.mu.Unlock()
		if err != nil {
			return fmt.Errorf("bao: compare: write tree: %w", err)
		}
	}
	return nil
}

// Holes reads what can be read of a source of Size bytes: groups that cannot be, since the disk is damaged or the file ends before, are zero, and noted.
type Holes struct {
	src io.ReaderAt

	mu   sync.Mutex
	bits Bits
}

// NewHoles returns src, of size bytes.
func NewHoles(src io.ReaderAt, size int64) *Holes {
	return &Holes{src: src, bits: NewBits(Groups(size))}
}

// Groups returns which groups could not be read.
func (h *Holes) Groups() Bits {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.bits.Clone()
}

// ReadAt implements io.ReaderAt; both ends of what is read are edges of groups, or the end of the source.
func (h *Holes) ReadAt(p []byte, off int64) (int, error) {
	if n, _ := h.src.ReadAt(p, off); n == len(p) {
		return n, nil
	}
	for at := int64(0); at < int64(len(p)); at += GroupSize {
		group := p[at:min(at+GroupSize, int64(len(p)))]
		if n, _ := h.src.ReadAt(group, off+at); n == len(group) {
			continue
		}
		clear(group)
		h.mu.Lock()
		h.bits.Set(Range{(off + at) / GroupSize, 1})
		h.mu.Unlock()
	}
	return len(p), nil
}
