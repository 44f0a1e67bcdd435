package bittorrent

import (
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"sort"
	"sync"

	"kith"
	"kith/bridge/bittorrent/metainfo"
)

// A source is where bytes of a torrent's files are read.
type source interface {
	ReadAt(p []byte, file int, off int64) (int, error)
}

// pieces is what of a torrent is here: pieces that can be read from a source, and pieces in memory that have come, or are coming, from the swarm. It is what the library
// stores in. All methods may be called at once; none calls the library.
type pieces struct {
	in    *metainfo.Info
	src   source
	all   bool   // everything is in the source
	moved func() // told when a piece was checked or is no longer in memory; not under the lock

	mu   sync.Mutex
	here []bool        // in the source, and right
	held map[int]*held // in memory
	size int64         // bytes in memory
	told map[int]chan struct{}
}

// held is a piece in memory.
type held struct {
	data  []byte
	got   int64 // bytes that came
	whole bool  // and it is right
	given bool  // to whoever fetches
}

func newPieces(in *metainfo.Info, src source, all bool, moved func()) *pieces {
	p := &pieces{in: in, src: src, all: all, moved: moved, held: map[int]*held{}, told: map[int]chan struct{}{}}
	if !all {
		p.here = make([]bool, in.NumPieces())
	}
	return p
}

// len returns the bytes of piece i that peers exchange.
func (p *pieces) len(i int) int64 {
	start, n := p.start(i), p.in.PieceLength
	if p.in.HasV1 {
		return min(n, p.in.Length-start)
	}
	f := p.in.Files[p.fileAt(start)]
	return min(n, f.Off+f.Size-start)
}

func (p *pieces) start(i int) int64 { return int64(i) * p.in.PieceLength }

// fileAt returns the first file that has bytes from off on.
func (p *pieces) fileAt(off int64) int {
	return sort.Search(len(p.in.Files), func(i int) bool { f := p.in.Files[i]; return f.Off+f.Size > off })
}

// within calls each for the parts of files that lie in n bytes from off on, until it returns false.
func (p *pieces) within(off, n int64, each func(file int, fileOff, at, n int64) bool) {
	for i := p.fileAt(off); i < len(p.in.Files); i++ {
		f := p.in.Files[i]
		if f.Size == 0 {
			continue
		}
		if f.Off >= off+n {
			return
		}
		from := max(f.Off, off)
		to := min(f.Off+f.Size, off+n)
		if !each(i, from-f.Off, from-off, to-from) {
			return
		}
	}
}

// read reads from the source. What pads is zeros.
func (p *pieces) read(b []byte, off int64) error {
	clear(b)
	var err error
	p.within(off, int64(len(b)), func(file int, fileOff, at, n int64) bool {
		var m int
		m, err = p.src.ReadAt(b[at:at+n], file, fileOff)
		if int64(m) == n {
			err = nil
		} else if err == nil {
			err = io.ErrUnexpectedEOF
		}
		return err == nil
	})
	return err
}

// readAt reads bytes of pieces that are here or in memory.
func (p *pieces) readAt(b []byte, off int64) (n int, err error) {
	for n < len(b) {
		i := int((off + int64(n)) / p.in.PieceLength)
		in := off + int64(n) - p.start(i)
		m := min(int64(len(b)-n), p.len(i)-in)
		if m <= 0 {
			return n, io.EOF
		}
		if err := p.readPiece(b[n:n+int(m)], i, in); err != nil {
			return n, err
		}
		n += int(m)
	}
	return n, nil
}

func (p *pieces) readPiece(b []byte, i int, in int64) error {
	p.mu.Lock()
	if h := p.held[i]; h != nil {
		defer p.mu.Unlock()
		if !h.whole {
			return fmt.Errorf("piece %d is not here yet: %w", i, kith.NotFound)
		}
		copy(b, h.data[in:])
		return nil
	}
	ok := p.all || p.here[i]
	p.mu.Unlock()
	if !ok {
		return fmt.Errorf("piece %d is not here: %w", i, kith.NotFound)
	}
	return p.read(b, p.start(i)+in)
}

// complete reports whether piece i can be read.
func (p *pieces) complete(i int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all || p.here[i] {
		return true
	}
	h := p.held[i]
	return h != nil && h.whole
}

// write takes what came of piece i.
func (p *pieces) write(i int, b []byte, in int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all || p.here[i] {
		return nil
	}
	h := p.held[i]
	if h == nil {
		n := p.len(i)
		h = &held{data: make([]byte, n)}
		p.held[i] = h
		p.size += n
	}
	if h.whole {
		return nil
	}
	h.got += int64(copy(h.data[in:], b))
	return nil
}

// bring takes all of piece i, which is right.
func (p *pieces) bring(i int, data []byte) {
	p.mu.Lock()
	if h := p.held[i]; !p.all && !p.here[i] && (h == nil || !h.whole) {
		p.forget(i)
		p.held[i] = &held{data: data, got: int64(len(data)), whole: true}
		p.size += int64(len(data))
	}
	p.tell(i)
	p.mu.Unlock()
	p.moved()
}

// writeTo writes what is to be hashed of piece i.
func (p *pieces) writeTo(w io.Writer, i int) (int64, error) {
	p.mu.Lock()
	h := p.held[i]
	p.mu.Unlock()
	if h != nil { // nothing is written to it meanwhile: all of it has come
		n, err := w.Write(h.data)
		return int64(n), err
	}
	if !p.complete(i) {
		return 0, errNotHere
	}
	b := make([]byte, p.len(i))
	if err := p.read(b, p.start(i)); err != nil {
		return 0, err
	}
	n, err := w.Write(b)
	return int64(n), err
}

var errNotHere = errors.New("that piece is not here")

// checked takes the verdict on piece i that came.
func (p *pieces) checked(i int, right bool) {
	p.mu.Lock()
	if h := p.held[i]; h != nil && right {
		h.whole = true
	} else if h != nil && !h.whole {
		p.forget(i)
	}
	p.tell(i)
	p.mu.Unlock()
	p.moved()
}

// await returns a channel that is closed when piece i was checked or settled, which is at once if it can be read.
func (p *pieces) await(i int) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.told[i]
	if c == nil {
		c = make(chan struct{})
		p.told[i] = c
		if h := p.held[i]; p.all || p.here[i] || h != nil && h.whole {
			p.tell(i)
		}
	}
	return c
}

// tell wakes those who await piece i. It needs the lock.
func (p *pieces) tell(i int) {
	if c := p.told[i]; c != nil {
		close(c)
		delete(p.told, i)
	}
}

// forget takes piece i from memory. It needs the lock.
func (p *pieces) forget(i int) {
	if h := p.held[i]; h != nil {
		p.size -= int64(len(h.data))
		delete(p.held, i)
	}
}

// settle says that piece i can be read from the source, and is right.
func (p *pieces) settle(i int) {
	p.mu.Lock()
	if !p.all {
		p.here[i] = true
	}
	p.forget(i)
	p.tell(i)
	p.mu.Unlock()
	p.moved()
}

// right reports whether piece i is in memory and right, and so need not be checked again.
func (p *pieces) right(i int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.held[i]
	return h != nil && h.whole
}

// check compares piece i, as it is in the source, with its digest of version 1. Without one it is true.
func (p *pieces) check(i int) (bool, error) {
	if !p.in.HasV1 {
		return true, nil
	}
	b := make([]byte, p.len(i))
	if err := p.read(b, p.start(i)); err != nil {
		return false, err
	}
	return sha1.Sum(b) == [sha1.Size]byte(p.in.Pieces[i*sha1.Size:]), nil
}

// spare takes whole pieces from memory that were given to whoever fetches, or are wanted by nobody, until at most limit bytes are held. It returns them.
func (p *pieces) spare(limit int64, wanted func(i int) bool) (gone []int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, given := range []bool{true, false} {
		for i, h := range p.held {
			if p.size <= limit {
				return gone
			}
			if h.whole && h.given == given && !wanted(i) {
				p.forget(i)
				gone = append(gone, i)
			}
		}
	}
	return gone
}

// progress returns how much of piece i has come, and whether it can be read.
func (p *pieces) progress(i int) (n int64, whole bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all || p.here[i] {
		return 0, true
	}
	if h := p.held[i]; h != nil {
		return h.got, h.whole
	}
	return 0, false
}

// settled reports whether piece i is read from the source.
func (p *pieces) settled(i int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all || p.here[i]
}

// give returns n bytes from off on, which are those of pieces that can be read, to whoever fetches: the memory of a piece itself if they are one.
func (p *pieces) give(off, n int64) ([]byte, error) {
	first, end := int(off/p.in.PieceLength), int((off+n+p.in.PieceLength-1)/p.in.PieceLength)
	p.mu.Lock()
	for i := first; i < end; i++ {
		if h := p.held[i]; h != nil {
			h.given = true
		}
	}
	h := p.held[first]
	p.mu.Unlock()
	if h != nil && h.whole && off == p.start(first) && int64(len(h.data)) == n {
		return h.data, nil
	}
	b := make([]byte, n)
	_, err := p.readAt(b, off)
	return b, err
}

func (p *pieces) heldBytes() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.size
}
