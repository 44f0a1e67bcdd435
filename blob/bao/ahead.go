package bao

import "sync"

// MaxAhead is how many groups an Ahead remembers: those of 16 GiB, in 32 MiB of memory. The rest is hashed when all is there.
const MaxAhead = 1 << 20

// An Ahead hashes groups of a blob as they come, in any order and while they are in memory anyway, so that in the end only the rest has to be read. Who hands it a
// group vouches for it: it is not looked at again. It is safe for concurrent use, and nil hashes nothing.
type Ahead struct {
	size int64

	mu    sync.Mutex
	spans map[int64]*aheadSpan
	count int64 // groups that there is memory for
}

// aheadSpan is what is known of the groups of a span.
type aheadSpan struct {
	have Bits
	sums []cv
}

// NewAhead returns an Ahead of a blob of size bytes that knows nothing yet.
func NewAhead(size int64) *Ahead { return &Ahead{size: size, spans: map[int64]*aheadSpan{}} }

// Take hashes the groups that lie whole in the bytes from off on.
func (a *Ahead) Take(off int64, data []byte) {
	if a == nil || off < 0 || off > a.size-int64(len(data)) {
		return
	}
	first, end := ceil(off, GroupSize), (off+int64(len(data)))/GroupSize
	if off+int64(len(data)) == a.size {
		end = Groups(a.size)
	}
	for g := first; g < end; g++ {
		if !a.wants(g) {
			continue
		}
		from := g*GroupSize - off
		a.put(g, hashGroup(data[from:min(from+GroupSize, int64(len(data)))], g, a.flags()))
	}
}

// flags are those of a group: the only one is the root.
func (a *Ahead) flags() uint32 { return (&build{groups: Groups(a.size)}).flags(1) }

// wants reports whether a group is not known and can be remembered.
func (a *Ahead) wants(g int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.spans[g/spanGroups]
	if s == nil {
		n := min(spanGroups, Groups(a.size)-g/spanGroups*spanGroups)
		if a.count+n > MaxAhead {
			return false
		}
		a.count += n
		a.spans[g/spanGroups] = &aheadSpan{have: NewBits(n), sums: make([]cv, n)}
		return true
	}
	return !s.have.Get(g % spanGroups)
}

func (a *Ahead) put(g int64, sum cv) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.spans[g/spanGroups]
	s.sums[g%spanGroups] = sum
	s.have.Set(Range{First: g % spanGroups, N: 1})
}

// segment fills in the sums of the groups of a segment, and reports whether all are known.
func (a *Ahead) segment(i int64, sums []cv) bool {
	if a == nil {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	first := i % spanSegments * segmentGroups
	s := a.spans[i/spanSegments]
	if s == nil || s.have.Next(first, false) < first+int64(len(sums)) {
		return false
	}
	copy(sums, s.sums[first:])
	return true
}
