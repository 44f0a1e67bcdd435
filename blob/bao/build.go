package bao

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"kith"

	"lukechampine.com/blake3/guts"
)

// The work is cut into segments, which one core reads and hashes at a time, and spans, whose parents are kept in memory
// until all are known and then written at once. Both are powers of two, so that each is a subtree.
const (
	segmentGroups = 32 // 512 KiB of data: two for each core stay in its cache
	segmentSize   = segmentGroups * GroupSize
	spanGroups    = 4096 // 64 MiB of data, 256 KiB of parents
	spanSegments  = spanGroups / segmentGroups
)

var segmentBuffers = sync.Pool{New: func() any { return new([segmentSize]byte) }}

// Build hashes the size bytes of r on all cores, writes the tree to out if that is not nil, and returns the root. r and
// out must allow concurrent use, as files do. progress, if not nil, is told the bytes done so far, in all, and never by
// two at a time. If r ends before size, the error is kith.Gone; that r has more than size is not noticed.
//
// It takes 512 KiB for each of two readers per core, and 256 KiB of tree for each 64 MiB of data that are in work.
func Build(ctx context.Context, r io.ReaderAt, size int64, out io.WriterAt, progress func(n int64)) (Sum, error) {
	return (*Ahead)(nil).Build(ctx, r, size, out, progress)
}

// Build is the function Build, but reads only the segments of which a group is not known.
func (a *Ahead) Build(ctx context.Context, r io.ReaderAt, size int64, out io.WriterAt, progress func(n int64)) (Sum, error) {
	if size < 0 {
		return Sum{}, fmt.Errorf("bao: build: size %d: %w", size, kith.Invalid)
	}
	if a != nil && a.size != size {
		a = nil
	}
	b := newBuild(size, out, progress)
	var next atomic.Int64
	work := func() {
		buf := segmentBuffers.Get().(*[segmentSize]byte)
		defer segmentBuffers.Put(buf)
		for b.failed() == nil {
			i := next.Add(1) - 1
			if i >= b.segments() {
				return
			}
			if err := ctx.Err(); err != nil {
				b.fail(err)
				return
			}
			var leaves [segmentGroups]cv
			if n := min(segmentGroups, b.groups-i*segmentGroups); a.segment(i, leaves[:n]) {
				b.hashed(i, leaves[:n], min(segmentSize, size-i*segmentSize))
				continue
			}
			data, err := readSegment(r, buf, i, size)
			if err != nil {
				b.fail(err)
				return
			}
			b.segment(i, data)
		}
	}
	// Two for each core, so that there is something to hash while others wait for the disk.
	workers := min(int64(2*runtime.GOMAXPROCS(0)), b.segments())
	if workers == 1 {
		work()
	} else {
		var wg sync.WaitGroup
		for range workers {
			wg.Go(work)
		}
		wg.Wait()
	}
	return b.finish()
}

func readSegment(r io.ReaderAt, buf *[segmentSize]byte, i, size int64) ([]byte, error) {
	data := buf[:min(segmentSize, size-i*segmentSize)]
	n, err := r.ReadAt(data, i*segmentSize)
	if n == len(data) {
		return data, nil
	}
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("data ends before byte %d: %w", size, kith.Gone)
	}
	return nil, err
}

// build is a tree in the making. Its segments may be given in any order, and several at a time.
type build struct {
	groups int64
	out    io.WriterAt
	sums   []cv // of the spans, each written once
	meter  meter

	mu    sync.Mutex
	spans map[int64]*span // in the making
	err   error           // the first
}

// A span has the sums of its segments, and the parents that are below it.
type span struct {
	node    node
	sums    []cv
	parents []byte // nil if nobody wants them
	left    int    // segments to come; build.mu guards it
}

// A meter tells how far the work is.
type meter struct {
	tell func(int64)
	mu   sync.Mutex
	done int64
}

func (m *meter) add(n int64) {
	if m.tell == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done += n
	m.tell(m.done)
}

func newBuild(size int64, out io.WriterAt, progress func(int64)) *build {
	groups := Groups(size)
	return &build{groups: groups, out: out, meter: meter{tell: progress},
		spans: map[int64]*span{}, sums: make([]cv, ceil(groups, spanGroups))}
}

func ceil(n, unit int64) int64 { return (n + unit - 1) / unit }

func (b *build) segments() int64 { return ceil(b.groups, segmentGroups) }

func (b *build) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = fmt.Errorf("bao: build: %w", err)
	}
}

func (b *build) failed() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// flags are those of a node that covers n groups: the root is marked.
func (b *build) flags(n int64) uint32 {
	if n == b.groups {
		return guts.FlagRoot
	}
	return 0
}

// segment hashes segment i.
func (b *build) segment(i int64, data []byte) {
	var leaves [segmentGroups]cv
	n := Groups(int64(len(data)))
	for g := range n {
		group := data[g*GroupSize : min((g+1)*GroupSize, int64(len(data)))]
		leaves[g] = hashGroup(group, i*segmentGroups+g, b.flags(1))
	}
	b.hashed(i, leaves[:n], int64(len(data)))
}

// hashed takes in the sums of the groups of segment i, which has so many bytes, and finishes its span when it is the last of that to come.
func (b *build) hashed(i int64, leaves []cv, size int64) {
	s, n := b.span(i/spanSegments), int64(len(leaves))
	at := s.node.find(i*segmentGroups, n).index
	s.sums[i%spanSegments] = fold(leaves, 1, at, s.put, b.flags(n))
	if b.last(i/spanSegments, s) {
		b.sums[i/spanSegments] = fold(s.sums, segmentGroups, s.node.index, s.put, b.flags(s.node.n))
		b.write(s.parents, s.node.index)
	}
	b.meter.add(size)
}

// span returns the span with number k.
func (b *build) span(k int64) *span {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.spans[k]
	if s == nil {
		first := k * spanGroups
		s = &span{node: root(b.groups).find(first, min(spanGroups, b.groups-first))}
		s.left = int(ceil(s.node.n, segmentGroups))
		s.sums = make([]cv, s.left)
		if b.out != nil {
			s.parents = make([]byte, (s.node.n-1)*parentSize)
		}
		b.spans[k] = s
	}
	return s
}

// last notes that one more segment of span k is there, and reports whether it was the last.
func (b *build) last(k int64, s *span) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.left--
	if s.left > 0 {
		return false
	}
	delete(b.spans, k)
	return true
}

func (b *build) write(parents []byte, index int64) {
	if b.out == nil || len(parents) == 0 {
		return
	}
	if _, err := b.out.WriteAt(parents, index*parentSize); err != nil {
		b.fail(fmt.Errorf("write tree: %w", err))
	}
}

// finish returns the root, when all segments are there, and writes the parents above the spans.
func (b *build) finish() (Sum, error) {
	if err := b.failed(); err != nil {
		return Sum{}, err
	}
	buf := make([]byte, parentSize)
	put := func(index int64, l, r cv) {
		putParent(buf, l, r)
		b.write(buf, index)
	}
	sum := toBytes(fold(b.sums, spanGroups, 0, put, guts.FlagRoot))
	return sum, b.failed()
}

func (s *span) put(index int64, l, r cv) {
	if s.parents != nil {
		putParent(s.parents[(index-s.node.index)*parentSize:], l, r)
	}
}

// fold makes one chaining value of those of subtrees of unit groups each, but for the last, which may be smaller. It gives all
// parents to put, with their index in pre-order; index is that of the topmost.
func fold(sums []cv, unit, index int64, put func(index int64, l, r cv), flags uint32) cv {
	if len(sums) == 1 {
		return sums[0]
	}
	left := split(int64(len(sums)))
	l := fold(sums[:left], unit, index+1, put, 0)
	r := fold(sums[left:], unit, index+left*unit, put, 0)
	put(index, l, r)
	return guts.ChainingValue(guts.ParentNode(l, r, &guts.IV, flags))
}
