package stage

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

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

// TakeLoose writes what another network brought, and vouches for.
func (s *Stage) TakeLoose(ctx context.Context, st Stretch, data []byte) error {
	if s.Draft != nil {
		return s.Draft.WriteAt(s.Row.Files[st.File].Index, st.First*bao.GroupSize, data)
	}
	f, err := s.use(ctx, st.File)
	if err != nil {
		return err
	}
	defer s.unuse(st.File, f)
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
func (s *Stage) put(ctx context.Context, i int, f *openFile) error {
	if f.all == nil {
		return f.small.Put(ctx)
	}
	f.all.mu.Lock()
	defer f.all.mu.Unlock()
	if !f.all.loose {
		return f.small.Put(ctx)
	}
	err := s.Tree.Put(ctx, s.Row.Files[i].Index, f.all.data)
	if w := (*blob.WrongGroup)(nil); errors.As(err, &w) {
		return &blob.Mixed{Ref: s.Row.Files[i].Ref, Loose: bao.Groups(s.Row.Files[i].Size)}
	}
	return err
}

// finish puts a large file, of which all is here, into its place. One that is to be hashed first is not waited for.
func (s *Stage) finish(ctx context.Context, i int, f *openFile) error {
	if loose := f.blob.Loose(); loose.Count() == 0 {
		defer s.unuse(i, f)
		return s.Cause(f.blob.Finish(ctx))
	}
	s.Mu.Lock()
	s.ending++
	s.Mu.Unlock()
	s.hashing.Go(func() {
		defer s.unuse(i, f)
		err := s.Cause(f.blob.Finish(ctx))
		s.Mu.Lock()
		defer s.Mu.Unlock()
		s.ending--
		if err != nil {
			s.Fail(err)
			return
		}
		s.Here.Set(s.Row.Groups(i))
		s.Loose.Clear(s.Row.Groups(i))
		s.FinishIfComplete()
	})
	return nil
}

// opened returns large file i if it is open, to be given back, or nil.
func (s *Stage) opened(i int) *openFile {
	s.Mu.Lock()
	defer s.Mu.Unlock()
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

// ReadHere reads what is here of file i of the row.
func (s *Stage) ReadHere(ctx context.Context, store *blob.Store, i int, p []byte, off int64) (int, error) {
	if s.Draft != nil {
		return s.Draft.ReadAt(s.Row.Files[i].Index, p, off)
	}
	if f := s.opened(i); f != nil {
		defer s.unuse(i, f)
		return f.blob.ReadHere(p, off)
	}
	b, err := store.Blob(ctx, s.Row.Files[i].Ref)
	if err != nil {
		return 0, err
	}
	defer b.Close()
	return b.ReadHere(p, off)
}

// CanRead reports whether n bytes of file i, from off on, are here.
func (s *Stage) CanRead(i int, off, n int64) bool {
	if off < 0 || n < 0 || off > s.Row.Files[i].Size-n {
		return false
	}
	if s.Draft != nil {
		return s.Draft.Has(s.Row.Files[i].Index, off, n)
	}
	first := s.Row.First[i]
	missing, _ := s.Lacks(first+off/bao.GroupSize, first+(off+n+bao.GroupSize-1)/bao.GroupSize-1)
	return missing < 0
}

// Readable returns what can be read.
func (s *Stage) Readable() (list []Stretch) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	for _, bits := range []bao.Bits{s.Here, s.Loose} {
		for r := range bits.Ranges() {
			list = append(list, s.Row.Cut(r)...)
		}
	}
	return list
}

// NextLoose returns groups of one file that are loose and whose proof can be asked of a source, at most n.
func (s *Stage) NextLoose(has func(r bao.Range) bool, n int64) (Stretch, bool) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	for tries, g := 0, s.Loose.Next(0, true); g < s.Row.N && tries < maxLooseTries; tries++ {
		if s.proving.Get(g) {
			g = s.Loose.Next(s.proving.Next(g, false), true)
			continue
		}
		end := min(s.Loose.Next(g, false), s.proving.Next(g, true), g+n)
		st := s.Row.Cut(bao.Range{First: g, N: end - g})[0]
		if r := (bao.Range{First: g, N: st.N}); has(r) {
			s.proving.Set(r)
			return st, true
		}
		g = s.Loose.Next(g+st.N, true)
	}
	return Stretch{}, false
}

// maxLooseTries is how many stretches are looked at for one that a source can prove.
const maxLooseTries = 64

// Prove takes in a proof of loose groups: what it proves can be served. Its error is a *wrong, a *blob.Mixed, or this side's.
func (s *Stage) Prove(ctx context.Context, st Stretch, proof []byte) error {
	defer s.Unprove(st)
	f := s.opened(st.File)
	if f == nil {
		return nil // it was completed meanwhile
	}
	defer s.unuse(st.File, f)
	if len(proof) > 0 {
		if err := f.blob.AddProof(st.Range, proof); err != nil {
			return wrongAt(err, s.Row.First[st.File]+st.First, "proof")
		}
	}
	if err := s.judge(ctx, f.blob, st); err != nil {
		return err
	}
	have := f.blob.Have()
	s.Mu.Lock()
	defer s.Mu.Unlock()
	for g := st.First; g < st.First+st.N; g++ {
		if at := (bao.Range{First: s.Row.First[st.File] + g, N: 1}); have.Get(g) && s.Loose.Get(at.First) {
			s.Here.Set(at)
			s.Loose.Clear(at)
		}
	}
	return nil
}

// judge compares loose groups with their proof. If one is wrong, Failed says so before anybody hears that it is missing now.
func (s *Stage) judge(ctx context.Context, b *blob.Blob, st Stretch) error {
	s.judging.RLock()
	defer s.judging.RUnlock()
	bad, err := b.Settle(ctx, st.Range)
	if err != nil || len(bad) == 0 {
		return err
	}
	m := &blob.Mixed{Ref: s.Row.Files[st.File].Ref}
	for _, r := range bad {
		m.Loose += r.N
	}
	s.Fail(m)
	return m
}

// Unprove lets a proof be asked for again.
func (s *Stage) Unprove(st Stretch) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.proving.Clear(bao.Range{First: s.Row.First[st.File] + st.First, N: st.N})
}

// Lacks returns the first group of first to last that is not here, or -1, and what is closed when there are more.
func (s *Stage) Lacks(first, last int64) (int64, <-chan struct{}) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	for g := first; g <= last; g++ {
		if !s.Here.Get(g) && !s.Loose.Get(g) {
			return g, s.News
		}
	}
	return -1, nil
}

// DoneOf returns how much is here of the file of size bytes that has the index in what the stage is of; s may be nil.
func (s *Stage) DoneOf(index int, size int64, done bool) int64 {
	if s == nil {
		if done {
			return size
		}
		return 0
	}
	at := s.Row.Of(index)
	if at < 0 {
		return 0
	}
	s.Mu.Lock()
	defer s.Mu.Unlock()
	total := bao.Groups(s.Row.Files[at].Size)
	return int64(float64(size) * float64(total-int64(s.Left[at])) / float64(total))
}

// Had says how much of the whole is to be had, when nobody has what is missing.
func (s *Stage) Had(swarm bool) string {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	who := "nobody has all of it"
	if swarm {
		who = "the swarm has no complete copy"
	}
	return fmt.Sprintf("%s: %.0f %% is to be had", who, math.Floor(100*s.Engine.Had()))
}

// Idle reports whether something is missing, and nothing is asked for.
func (s *Stage) Idle() bool {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	return !s.finished && s.Engine.Asked() == 0
}

// Want returns the stretches of groups of the row, without files that are left out.
func (s *Stage) Want(r bao.Range) []Stretch {
	list := s.Row.Cut(r)
	if s.Partial {
		list = slices.DeleteFunc(list, func(st Stretch) bool { return s.skipped.Get(s.Row.First[st.File]) })
	}
	return list
}
