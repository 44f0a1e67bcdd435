package bao

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"testing"
)

// unread is data of which some segments may not be read.
type unread struct {
	*bytes.Reader
	t   *testing.T
	not func(segment int64) bool
}

func (u unread) ReadAt(p []byte, off int64) (int, error) {
	if u.not(off / segmentSize) {
		u.t.Errorf("segment %d was read", off/segmentSize)
	}
	return u.Reader.ReadAt(p, off)
}

// TestAhead hashes pieces of odd sizes in any order, from several goroutines and some of them twice: the tree is the same, and what was whole is not read again.
func TestAhead(t *testing.T) {
	for _, size := range append(sizes, spanGroups*GroupSize+3*segmentSize+77) {
		data := randomBytes(size)
		want, sum := mustBuild(t, data, size)
		for _, piece := range []int{GroupSize - 1, GroupSize, 3*GroupSize + 5, 2 * segmentSize} {
			if size/piece > 2000 {
				continue
			}
			a := NewAhead(int64(size))
			order := rand.New(rand.NewPCG(1, uint64(size))).Perm((size + piece - 1) / piece)
			var wg sync.WaitGroup
			for w := range 3 {
				wg.Go(func() {
					for k, i := range order {
						if k%3 == w || k%5 == w {
							end := min((i+1)*piece, size)
							a.Take(int64(i*piece), data[i*piece:end])
						}
					}
				})
			}
			wg.Wait()
			whole := piece%segmentSize == 0 || piece == GroupSize // else groups lie across pieces
			out := make(Memory, len(want))
			got, err := a.Build(t.Context(), unread{bytes.NewReader(data), t, func(int64) bool { return whole && size > 0 }}, int64(size), out, nil)
			if err != nil || got != sum || !bytes.Equal(out, want) {
				t.Errorf("%d bytes in pieces of %d: %v, the same root %v, the same tree %v", size, piece, err, got == sum, bytes.Equal(out, want))
			}
		}
	}
}

// Half of what is to be known is read, and what an Ahead of another size knows is of no use.
func TestAheadKnowsAPart(t *testing.T) {
	const size = 4*segmentSize + 100
	data := randomBytes(size)
	_, sum := mustBuild(t, data, size)
	a := NewAhead(size)
	a.Take(segmentSize, data[segmentSize:3*segmentSize])
	a.Take(-1, data[:GroupSize])
	a.Take(size-1, data[:GroupSize])
	got, err := a.Build(t.Context(), unread{bytes.NewReader(data), t, func(i int64) bool { return i == 1 || i == 2 }}, size, nil, nil)
	if err != nil || got != sum {
		t.Error(err, got == sum)
	}
	_, short := mustBuild(t, data, size-1)
	if got, err := a.Build(t.Context(), bytes.NewReader(data), size-1, nil, nil); err != nil || got != short {
		t.Error(err, got == short)
	}
}

// An Ahead takes no more memory than it says, whatever comes.
func TestAheadIsBounded(t *testing.T) {
	a := NewAhead(1 << 50)
	group := make([]byte, GroupSize)
	for i := range int64(2 * MaxAhead / spanGroups) {
		a.Take(i*spanGroups*GroupSize, group)
	}
	if a.count != MaxAhead || len(a.spans) != MaxAhead/spanGroups {
		t.Error(a.count, len(a.spans))
	}
}
