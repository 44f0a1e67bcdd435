// Package stage takes in what sources send of one row of groups, and knows what of it is here: proven, loose, or not yet durable.
//
// It asks nobody. Its one idea: whoever brought it, what is here is written at once into the file where it will stay, and each group says by whom it was vouched for.
package stage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"kith"
	"kith/blob"
	"kith/blob/bao"
	"kith/blob/draft"
	"kith/transfer/engine"
	"kith/transfer/proto"
)

// A Stage is one row being fetched: a root blob, the files of a folder, or those of a draft. It takes in what sources send, and knows what is here.
type Stage struct {
	Number  int // proto.RowRoot, RowFiles or RowDraft
	Row     *Row
	Tree    *blob.TreeDownload   // of RowFiles
	Draft   *draft.Draft         // of RowDraft
	Mixed   bool                 // other networks are sources too
	Partial bool                 // files are left out
	heard   func(list []Stretch) // hears of what can be read now; nil: nobody does
	Done    chan struct{}        // closed when all of the row is here
	Failed  chan error           // the first thing that is wrong on this side: a full disk
	Full    chan struct{}        // cap 1: many files are fresh
	base    time.Time

	hashing sync.WaitGroup // files that are being hashed whole
	judging sync.RWMutex   // held for reading from when loose groups are found to be wrong until Failed says so

	Mu       sync.Mutex // guards what is below
	Engine   *engine.Engine
	Here     bao.Bits // groups that are here and can be served
	fresh    bao.Bits // groups that are here, but not committed yet
	Loose    bao.Bits // groups that are here, and that another network vouches for: they can be read, but are not served without a proof
	proving  bao.Bits // groups of which a proof is asked for
	skipped  bao.Bits // groups of files that are not wanted
	Left     []int32  // groups that a file still misses
	open     map[int]*openFile
	Bytes    int64         // that are here
	News     chan struct{} // closed when here grows
	Pending  int           // files that are fresh
	ending   int           // files that are being hashed whole
	finished bool          // done is closed
}

const commitFiles = 4096 // small files after which a checkpoint is made before its time

// A target takes in groups of a blob.
type target interface {
	AddProof(r bao.Range, proof []byte) error
	WriteGroups(first int64, data []byte) error
}

// An openFile is a file of which a part is here.
type openFile struct {
	target
	blob  *blob.Blob      // nil for a small one
	small *blob.SmallFile // nil for a large one
	all   *gathered       // of a small one, if other networks are sources too
	users int
	err   error
	ready chan struct{} // closed when target or err is set
}

// cluster is how many groups that follow each other are begun together, where another network brings whole units.
const cluster = 4 << 20 / bao.GroupSize

// Options say what a Stage is of.
type Options struct {
	Number     int // proto.RowRoot, RowFiles or RowDraft
	Row        *Row
	Tree       *blob.TreeDownload // of RowFiles
	Draft      *draft.Draft       // of RowDraft
	Seed       uint64
	Sequential bool
	Heard      func(s *Stage, list []Stretch) // hears of what can be read now; nil: there are no other networks that would want to
}

// New returns a Stage of which nothing is here.
func New(o Options) *Stage {
	r := o.Row
	s := &Stage{
		Number: o.Number, Row: r, Tree: o.Tree, Draft: o.Draft, base: time.Now(),
		Done: make(chan struct{}), Failed: make(chan error, 1), Full: make(chan struct{}, 1),
		Here: bao.NewBits(r.N), fresh: bao.NewBits(r.N), Loose: bao.NewBits(r.N), proving: bao.NewBits(r.N), skipped: bao.NewBits(r.N),
		Left: make([]int32, len(r.Files)), open: map[int]*openFile{}, News: make(chan struct{}),
	}
	e := engine.Options{
		Groups: r.N, Starts: r.First, Seed: o.Seed, Sequential: o.Sequential,
		LastID: uint64(o.Number) << 32, // so that answers of an earlier stage are told from those of this
	}
	if o.Heard != nil {
		s.Mixed, s.heard, e.Cluster = true, func(list []Stretch) { o.Heard(s, list) }, cluster
	}
	s.Engine = engine.New(e)
	for i := range r.Files {
		s.Left[i] = int32(r.Groups(i).N)
	}
	s.FinishIfComplete()
	return s
}

// OpenRoot lets the root blob be what the stage fetches. Who gives it closes it.
func (s *Stage) OpenRoot(b *blob.Blob) {
	ready := make(chan struct{})
	close(ready)
	s.open[0] = &openFile{target: b, blob: b, users: 2, ready: ready}
	s.Resume(0, b)
}

// Skip leaves file i out.
func (s *Stage) Skip(i int) {
	r := s.Row.Groups(i)
	s.skipped.Set(r)
	s.Partial = true
	s.Note(r)
	s.FinishIfComplete()
}

// Note tells the engine of groups that are here, or left out: pieces count that consist of them and of what is beside them.
func (s *Stage) Note(r bao.Range) {
	known := func(g int64) bool { return s.Here.Get(g) || s.Loose.Get(g) || s.fresh.Get(g) || s.skipped.Get(g) }
	for n := 0; n < engine.MaxRequest && known(r.First-1); n++ {
		r.First, r.N = r.First-1, r.N+1
	}
	for n := 0; n < engine.MaxRequest && known(r.First+r.N); n++ {
		r.N++
	}
	s.Engine.Have(r)
}

// Now is the time that the engine is told.
func (s *Stage) Now() time.Duration { return time.Since(s.base) }

// Has notes groups of file i that were here before, in here or in loose.
func (s *Stage) Has(i int, r bao.Range, in bao.Bits) {
	at := bao.Range{First: s.Row.First[i] + r.First, N: r.N}
	in.Set(at)
	s.Note(at)
	s.Left[i] -= int32(r.N)
	s.Bytes += s.Row.Bytes(Stretch{i, r})
	s.FinishIfComplete()
}

// Resume notes what is here of file i, which is not complete.
func (s *Stage) Resume(i int, b *blob.Blob) {
	for r := range b.Have().Ranges() {
		s.Has(i, r, s.Here)
	}
	for r := range b.Loose().Ranges() {
		s.Has(i, r, s.Loose)
	}
}

// FinishIfComplete closes done, once. s.mu is held.
func (s *Stage) FinishIfComplete() {
	if s.Engine.Complete() && s.ending == 0 && !s.finished {
		s.finished = true
		close(s.Done)
	}
}

// Take checks what a source sent for one stretch and writes it. Its error is a *wrong if the bytes are not what their name says; any other
// is this side's.
func (s *Stage) Take(ctx context.Context, st Stretch, proof, data []byte) error {
	f, err := s.use(ctx, st.File)
	if err != nil {
		return err
	}
	defer s.unuse(st.File, f)
	if f.target == nil {
		return nil // it was completed meanwhile
	}
	if len(proof) > 0 {
		if err := f.AddProof(st.Range, proof); err != nil {
			return wrongAt(err, s.Row.First[st.File]+st.First, "proof")
		}
	}
	if err := f.WriteGroups(st.First, data); err != nil {
		if s.whole(st.File) {
			return nil // another source was first with the last of it
		}
		at := st.First
		if w := (*blob.WrongGroup)(nil); errors.As(err, &w) {
			at = w.Group
		}
		return wrongAt(err, s.Row.First[st.File]+at, "data")
	}
	f.all.add(st.First, data, false)
	return nil
}

// whole reports whether all of file i is here.
func (s *Stage) whole(i int) bool {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	return s.Left[i] == 0
}

// A Wrong says that a source sent what is not what its name says.
type Wrong struct {
	Group int64 // of the row
	What  string
	Err   error
}

func (w *Wrong) Error() string {
	return fmt.Sprintf("wrong %s in group %d: %v", w.What, w.Group, w.Err)
}
func (w *Wrong) Unwrap() error { return w.Err }

func wrongAt(err error, group int64, what string) error {
	if errors.Is(err, kith.Corrupt) || errors.Is(err, kith.NotFound) { // NotFound: the proof does not cover it
		return &Wrong{Group: group, What: what, Err: err}
	}
	return err
}

// errOver is what comes of an answer that is checked when its stage has been closed: the download was paused meanwhile.
var errOver = fmt.Errorf("transfer: that attempt is over: %w", kith.Unavailable)

// use returns file i, opened. A target of nil means that it is complete.
func (s *Stage) use(ctx context.Context, i int) (*openFile, error) {
	s.Mu.Lock()
	if s.Left[i] == 0 {
		s.Mu.Unlock()
		return &openFile{}, nil
	}
	if s.open == nil {
		s.Mu.Unlock()
		return nil, errOver
	}
	f := s.open[i]
	if f == nil {
		f = &openFile{ready: make(chan struct{}), users: 1} // one for the stage itself
		s.open[i] = f
		f.users++
		s.Mu.Unlock()
		f.err = s.start(ctx, i, f)
		close(f.ready)
	} else {
		f.users++
		s.Mu.Unlock()
		<-f.ready
	}
	return f, f.err
}

func (s *Stage) start(ctx context.Context, i int, f *openFile) error {
	file := s.Row.Files[i]
	if file.Size <= blob.MaxPut {
		small, err := s.Tree.Small(file.Index)
		if err == nil {
			f.small, f.target = small, small
		}
		if s.Mixed {
			f.all = &gathered{data: make([]byte, file.Size)}
		}
		return err
	}
	b, err := s.Tree.Create(ctx, file.Index)
	if err != nil {
		return err
	}
	f.blob, f.target = b, b
	return nil
}

// unuse gives file i back; who gives it back last closes it.
func (s *Stage) unuse(i int, f *openFile) {
	if f.ready == nil {
		return
	}
	s.Mu.Lock()
	f.users--
	last := f.users == 0
	s.Mu.Unlock()
	if last && f.blob != nil {
		f.blob.Close()
	}
}

// Took notes that stretches of a request are here, proven or loose, and returns how many bytes of them were not here before. It completes the files that it completes.
func (s *Stage) Took(ctx context.Context, list []Stretch, loose bool) (brought int64, err error) {
	var readable []Stretch
	for _, st := range list {
		s.Mu.Lock()
		at := s.Row.First[st.File] + st.First
		var grown int32
		was := brought
		for g := at; g < at+st.N; g++ {
			if !s.Here.Get(g) && !s.fresh.Get(g) && !s.Loose.Get(g) {
				grown++
				brought += s.Row.Bytes(Stretch{st.File, bao.Range{First: g - s.Row.First[st.File], N: 1}})
			}
		}
		s.Bytes += brought - was
		f, r := s.open[st.File], bao.Range{First: at, N: st.N}
		switch {
		case s.Draft == nil && (f == nil || f.small != nil):
			s.fresh.Set(r)
		case loose:
			s.setLoose(r)
			readable = append(readable, st)
		default:
			s.Here.Set(r)
			s.Loose.Clear(r)
			readable = append(readable, st)
		}
		s.Left[st.File] -= grown
		whole := grown > 0 && s.Left[st.File] == 0 && s.Number == proto.RowFiles
		s.Mu.Unlock()
		if whole {
			if err := s.complete(ctx, st.File, f); err != nil {
				return brought, err
			}
		}
	}
	if s.heard != nil && len(readable) > 0 {
		s.heard(readable)
	}
	return brought, nil
}

// setLoose notes groups as loose that are not proven. s.mu is held.
func (s *Stage) setLoose(r bao.Range) {
	for g := r.First; g < r.First+r.N; g++ {
		if !s.Here.Get(g) {
			s.Loose.Set(bao.Range{First: g, N: 1})
		}
	}
}

// complete puts a file of a folder into its place.
func (s *Stage) complete(ctx context.Context, i int, f *openFile) error {
	s.Mu.Lock()
	delete(s.open, i)
	s.Mu.Unlock()
	if f.small == nil {
		return s.finish(ctx, i, f)
	}
	defer s.unuse(i, f)
	if err := s.put(ctx, i, f); err != nil {
		return err
	}
	s.Mu.Lock()
	defer s.Mu.Unlock()
	if s.Pending++; s.Pending >= commitFiles {
		select {
		case s.Full <- struct{}{}:
		default:
		}
	}
	return nil
}

// Tell wakes who waits for groups.
func (s *Stage) Tell() {
	s.Mu.Lock()
	close(s.News)
	s.News = make(chan struct{})
	s.Mu.Unlock()
}

// Checkpoint makes what is here durable, and what was fresh servable.
func (s *Stage) Checkpoint(ctx context.Context) error {
	s.Mu.Lock()
	pending, fresh := s.Pending, s.fresh.Clone()
	s.Pending = 0
	var open []*openFile
	for _, f := range s.open {
		select {
		case <-f.ready:
			if f.blob != nil {
				f.users++
				open = append(open, f)
			}
		default:
		}
	}
	s.Mu.Unlock()
	var errs []error
	for _, f := range open {
		errs = append(errs, f.blob.Checkpoint(ctx))
		s.unuse(-1, f)
	}
	if s.Draft != nil {
		errs = append(errs, s.Draft.Checkpoint(ctx))
	}
	if pending > 0 {
		if err := s.Tree.Commit(ctx); err != nil {
			return err
		}
		var readable []Stretch
		s.Mu.Lock()
		for r := range fresh.Ranges() {
			readable = append(readable, s.settle(r)...)
		}
		s.Mu.Unlock()
		s.Tell()
		if s.heard != nil && len(readable) > 0 {
			s.heard(readable)
		}
	}
	return errors.Join(errs...)
}

// settle moves the groups of whole files in r from fresh to here, and returns them. s.mu is held.
func (s *Stage) settle(r bao.Range) (list []Stretch) {
	for _, st := range s.Row.Cut(r) {
		if s.Left[st.File] == 0 {
			at := bao.Range{First: s.Row.First[st.File] + st.First, N: st.N}
			s.Here.Set(at)
			s.fresh.Clear(at)
			list = append(list, st)
		}
	}
	return list
}

// Close gives all files back. Nothing is taken any more.
func (s *Stage) Close() {
	s.hashing.Wait()
	s.Mu.Lock()
	open := s.open
	s.open = nil
	s.Mu.Unlock()
	for i, f := range open {
		s.unuse(i, f)
	}
}

// Fail ends the stage with what is wrong on this side.
func (s *Stage) Fail(err error) {
	select {
	case s.Failed <- err:
	default:
	}
}

// Cause returns why the whole could not be put in place, which failed with err: a proof may have shown just then that a part of it is wrong, which is taken away at once.
func (s *Stage) Cause(err error) error {
	if err == nil {
		return nil
	}
	s.judging.Lock()
	defer s.judging.Unlock()
	select {
	case err = <-s.Failed:
	default:
	}
	return err
}
