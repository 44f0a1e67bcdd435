package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"kith"
	"kith/blob"
	"kith/blob/bao"
)

// A gathered is a small file of which other networks bring a part, too: who has brought all of it is compared with its digest at once.
type gathered struct {
	mu    sync.Mutex
	data  []byte
	loose bool
}

// add takes groups from the given one on.
func (a *gathered) add(first int64, data []byte, loose bool) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	copy(a.data[first*bao.GroupSize:], data)
	a.loose = a.loose || loose
}

// takeLoose writes what another network brought, and vouches for.
func (s *stage) takeLoose(ctx context.Context, st stretch, data []byte) error {
	if s.draft != nil {
		return s.draft.WriteAt(s.row.files[st.file].index, st.First*bao.GroupSize, data)
	}
	f, err := s.use(ctx, st.file)
	if err != nil {
		return err
	}
	defer s.unuse(st.file, f)
	switch {
	case f.target == nil:
		return nil // it was completed meanwhile
	case f.small != nil:
		f.all.add(st.First, data, true)
		return nil
	}
	return f.blob.WriteLoose(st.First, data)
}

// put puts a small file, of which all is here, into its place.
func (s *stage) put(ctx context.Context, i int, f *openFile) error {
	if f.all == nil {
		return f.small.Put(ctx)
	}
	f.all.mu.Lock()
	defer f.all.mu.Unlock()
	if !f.all.loose {
		return f.small.Put(ctx)
	}
	err := s.tree.Put(ctx, s.row.files[i].index, f.all.data)
	if w := (*blob.WrongGroup)(nil); errors.As(err, &w) {
		return &blob.Mixed{Ref: s.row.files[i].ref, Loose: bao.Groups(s.row.files[i].size)}
	}
	return err
}

// finish puts a large file, of which all is here, into its place. One that is to be hashed first is not waited for.
func (s *stage) finish(ctx context.Context, i int, f *openFile) error {
	if loose := f.blob.Loose(); loose.Count() == 0 {
		defer s.unuse(i, f)
		return f.blob.Finish(ctx)
	}
	s.mu.Lock()
	s.ending++
	s.mu.Unlock()
	s.hashing.Go(func() {
		defer s.unuse(i, f)
		err := f.blob.Finish(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ending--
		if err != nil {
			s.fail(err)
			return
		}
		s.here.Set(s.row.groups(i))
		s.loose.Clear(s.row.groups(i))
		s.finishIfComplete()
	})
	return nil
}

// opened returns large file i if it is open, to be given back, or nil.
func (s *stage) opened(i int) *openFile {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.open[i]
	if f == nil {
		return nil
	}
	select {
	case <-f.ready:
	default:
		return nil
	}
	if f.blob == nil {
		return nil
	}
	f.users++
	return f
}

// readHere reads what is here of file i of the row.
func (s *stage) readHere(ctx context.Context, store *blob.Store, i int, p []byte, off int64) (int, error) {
	if s.draft != nil {
		return s.draft.ReadAt(s.row.files[i].index, p, off)
	}
	if f := s.opened(i); f != nil {
		defer s.unuse(i, f)
		return f.blob.ReadHere(p, off)
	}
	b, err := store.Blob(ctx, s.row.files[i].ref)
	if err != nil {
		return 0, err
	}
	defer b.Close()
	return b.ReadHere(p, off)
}

// canRead reports whether n bytes of file i, from off on, are here.
func (s *stage) canRead(i int, off, n int64) bool {
	if off < 0 || n < 0 || off > s.row.files[i].size-n {
		return false
	}
	if s.draft != nil {
		return s.draft.Has(s.row.files[i].index, off, n)
	}
	first := s.row.first[i]
	missing, _ := s.lacks(first+off/bao.GroupSize, first+(off+n+bao.GroupSize-1)/bao.GroupSize-1)
	return missing < 0
}

// readable returns what can be read.
func (s *stage) readable() (list []stretch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, bits := range []bao.Bits{s.here, s.loose} {
		for r := range bits.Ranges() {
			list = append(list, s.row.cut(r)...)
		}
	}
	return list
}

// nextLoose returns groups of one file that are loose and whose proof can be asked of a source, at most n.
func (s *stage) nextLoose(has func(r bao.Range) bool, n int64) (stretch, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for tries, g := 0, s.loose.Next(0, true); g < s.row.n && tries < maxLooseTries; tries++ {
		if s.proving.Get(g) {
			g = s.loose.Next(s.proving.Next(g, false), true)
			continue
		}
		end := min(s.loose.Next(g, false), s.proving.Next(g, true), g+n)
		st := s.row.cut(bao.Range{First: g, N: end - g})[0]
		if r := (bao.Range{First: g, N: st.N}); has(r) {
			s.proving.Set(r)
			return st, true
		}
		g = s.loose.Next(g+st.N, true)
	}
	return stretch{}, false
}

// maxLooseTries is how many stretches are looked at for one that a source can prove.
const maxLooseTries = 64

// prove takes in a proof of loose groups: what it proves can be served. Its error is a *wrong, a *blob.Mixed, or this side's.
func (s *stage) prove(ctx context.Context, st stretch, proof []byte) error {
	defer s.unprove(st)
	f := s.opened(st.file)
	if f == nil {
		return nil // it was completed meanwhile
	}
	defer s.unuse(st.file, f)
	if len(proof) > 0 {
		if err := f.blob.AddProof(st.Range, proof); err != nil {
			return wrongAt(err, s.row.first[st.file]+st.First, "proof")
		}
	}
	bad, err := f.blob.Settle(ctx, st.Range)
	if err != nil {
		return err
	}
	if len(bad) > 0 {
		n := int64(0)
		for _, r := range bad {
			n += r.N
		}
		return &blob.Mixed{Ref: s.row.files[st.file].ref, Loose: n}
	}
	have := f.blob.Have()
	s.mu.Lock()
	defer s.mu.Unlock()
	for g := st.First; g < st.First+st.N; g++ {
		if at := (bao.Range{First: s.row.first[st.file] + g, N: 1}); have.Get(g) && s.loose.Get(at.First) {
			s.here.Set(at)
			s.loose.Clear(at)
		}
	}
	return nil
}

// unprove lets a proof be asked for again.
func (s *stage) unprove(st stretch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proving.Clear(bao.Range{First: s.row.first[st.file] + st.First, N: st.N})
}

// A content is what an Origin sees of a download.
type content struct{ o *outside }

// ReadAt implements Content.
func (c content) ReadAt(p []byte, file int, off int64) (int, error) {
	st, i := c.o.place(file)
	switch {
	case off < 0:
		return 0, fmt.Errorf("transfer: read at %d: %w", off, kith.Invalid)
	case c.o.isEmpty(file):
		return 0, io.EOF
	case st == nil || i < 0:
		return 0, fmt.Errorf("transfer: file %d is not here yet: %w", file, kith.NotFound)
	case off >= st.row.files[i].size:
		return 0, io.EOF
	}
	return st.readHere(c.o.d.m.ctx, c.o.d.m.o.Blobs, i, p, off)
}

// Has implements Content.
func (c content) Has(s Span) bool {
	st, i := c.o.place(s.File)
	if c.o.isEmpty(s.File) {
		return s.Off == 0 && s.N == 0
	}
	return st != nil && i >= 0 && st.canRead(i, s.Off, s.N)
}
