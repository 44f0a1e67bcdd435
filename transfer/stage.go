package transfer

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
)

// A stage is one row being fetched: a root blob, the files of a folder, or those of a draft. It takes in what sources send, and knows what is here.
type stage struct {
	number  int // rowRoot, rowFiles or rowDraft
	row     *row
	tree    *blob.TreeDownload   // of rowFiles
	draft   *draft.Draft         // of rowDraft
	mixed   bool                 // other networks are sources too
	partial bool                 // files are left out
	heard   func(list []stretch) // hears of what can be read now; nil: nobody does
	done    chan struct{}        // closed when all of the row is here
	failed  chan error           // the first thing that is wrong on this side: a full disk
	full    chan struct{}        // cap 1: many files are fresh
	base    time.Time

	hashing sync.WaitGroup // files that are being hashed whole

	mu       sync.Mutex
	engine   *engine.Engine
	here     bao.Bits // groups that are here and can be served
	fresh    bao.Bits // groups that are here, but not committed yet
	loose    bao.Bits // groups that are here, and that another network vouches for: they can be read, but are not served without a proof
	proving  bao.Bits // groups of which a proof is asked for
	skipped  bao.Bits // groups of files that are not wanted
	left     []int32  // groups that a file still misses
	open     map[int]*openFile
	bytes    int64         // that are here
	wanted   int64         // bytes of the files that are wanted
	news     chan struct{} // closed when here grows
	pending  int           // files that are fresh
	ending   int           // files that are being hashed whole
	finished bool          // done is closed
}

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

// newStage returns a stage of which nothing is here.
func (d *Download) newStage(number int, r *row) *stage {
	s := &stage{
		number: number, row: r, base: time.Now(), done: make(chan struct{}), failed: make(chan error, 1), full: make(chan struct{}, 1),
		here: bao.NewBits(r.n), fresh: bao.NewBits(r.n), loose: bao.NewBits(r.n), proving: bao.NewBits(r.n), skipped: bao.NewBits(r.n),
		left: make([]int32, len(r.files)), open: map[int]*openFile{}, news: make(chan struct{}),
	}
	o := engine.Options{
		Groups: r.n, Starts: r.first, Seed: d.m.seed(), Sequential: d.job.Sequential,
		LastID: uint64(number) << 32, // so that answers of an earlier stage are told from those of this
	}
	if len(d.outsides) > 0 {
		s.mixed, s.heard, o.Cluster = true, func(list []stretch) { d.here(s, list) }, cluster
	}
	s.engine = engine.New(o)
	for i, f := range r.files {
		s.left[i] = int32(r.groups(i).N)
		s.wanted += f.size
	}
	s.finishIfComplete()
	return s
}

// skip leaves file i out.
func (s *stage) skip(i int) {
	r := s.row.groups(i)
	s.skipped.Set(r)
	s.partial = true
	s.note(r)
	s.wanted -= s.row.files[i].size
	s.finishIfComplete()
}

// note tells the engine of groups that are here, or left out: pieces count that consist of them and of what is beside them.
func (s *stage) note(r bao.Range) {
	known := func(g int64) bool { return s.here.Get(g) || s.loose.Get(g) || s.fresh.Get(g) || s.skipped.Get(g) }
	for n := 0; n < engine.MaxRequest && known(r.First-1); n++ {
		r.First, r.N = r.First-1, r.N+1
	}
	for n := 0; n < engine.MaxRequest && known(r.First+r.N); n++ {
		r.N++
	}
	s.engine.Have(r)
}

// now is the time that the engine is told.
func (s *stage) now() time.Duration { return time.Since(s.base) }

// has notes groups of file i that were here before, in here or in loose.
func (s *stage) has(i int, r bao.Range, in bao.Bits) {
	at := bao.Range{First: s.row.first[i] + r.First, N: r.N}
	in.Set(at)
	s.note(at)
	s.left[i] -= int32(r.N)
	s.bytes += s.row.bytes(stretch{i, r})
	s.finishIfComplete()
}

// resume notes what is here of file i, which is not complete.
func (s *stage) resume(i int, b *blob.Blob) {
	for r := range b.Have().Ranges() {
		s.has(i, r, s.here)
	}
	for r := range b.Loose().Ranges() {
		s.has(i, r, s.loose)
	}
}

// finishIfComplete closes done, once. s.mu is held.
func (s *stage) finishIfComplete() {
	if s.engine.Complete() && s.ending == 0 && !s.finished {
		s.finished = true
		close(s.done)
	}
}

// take checks what a source sent for one stretch and writes it. Its error is a *wrong if the bytes are not what their name says; any other
// is this side's.
func (s *stage) take(ctx context.Context, st stretch, proof, data []byte) error {
	f, err := s.use(ctx, st.file)
	if err != nil {
		return err
	}
	defer s.unuse(st.file, f)
	if f.target == nil {
		return nil // it was completed meanwhile
	}
	if len(proof) > 0 {
		if err := f.AddProof(st.Range, proof); err != nil {
			return wrongAt(err, s.row.first[st.file]+st.First, "proof")
		}
	}
	if err := f.WriteGroups(st.First, data); err != nil {
		if s.whole(st.file) {
			return nil // another source was first with the last of it
		}
		at := st.First
		if w := (*blob.WrongGroup)(nil); errors.As(err, &w) {
			at = w.Group
		}
		return wrongAt(err, s.row.first[st.file]+at, "data")
	}
	f.all.add(st.First, data, false)
	return nil
}

// whole reports whether all of file i is here.
func (s *stage) whole(i int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.left[i] == 0
}

// A wrong says that a source sent what is not what its name says.
type wrong struct {
	group int64 // of the row
	what  string
	err   error
}

func (w *wrong) Error() string {
	return fmt.Sprintf("wrong %s in group %d: %v", w.what, w.group, w.err)
}
func (w *wrong) Unwrap() error { return w.err }

func wrongAt(err error, group int64, what string) error {
	if errors.Is(err, kith.Corrupt) || errors.Is(err, kith.NotFound) { // NotFound: the proof does not cover it
		return &wrong{group, what, err}
	}
	return err
}

// use returns file i, opened. A target of nil means that it is complete.
func (s *stage) use(ctx context.Context, i int) (*openFile, error) {
	s.mu.Lock()
	if s.left[i] == 0 {
		s.mu.Unlock()
		return &openFile{}, nil
	}
	f := s.open[i]
	if f == nil {
		f = &openFile{ready: make(chan struct{}), users: 1} // one for the stage itself
		s.open[i] = f
		f.users++
		s.mu.Unlock()
		f.err = s.start(ctx, i, f)
		close(f.ready)
	} else {
		f.users++
		s.mu.Unlock()
		<-f.ready
	}
	return f, f.err
}

func (s *stage) start(ctx context.Context, i int, f *openFile) error {
	file := s.row.files[i]
	if file.size <= blob.MaxPut {
		small, err := s.tree.Small(file.index)
		if err == nil {
			f.small, f.target = small, small
		}
		if s.mixed {
			f.all = &gathered{data: make([]byte, file.size)}
		}
		return err
	}
	b, err := s.tree.Create(ctx, file.index)
	if err != nil {
		return err
	}
	f.blob, f.target = b, b
	return nil
}

// unuse gives file i back; who gives it back last closes it.
func (s *stage) unuse(i int, f *openFile) {
	if f.ready == nil {
		return
	}
	s.mu.Lock()
	f.users--
	last := f.users == 0
	s.mu.Unlock()
	if last && f.blob != nil {
		f.blob.Close()
	}
}

// took notes that stretches of a request are here, proven or loose. It completes the files that it completes.
func (s *stage) took(ctx context.Context, list []stretch, loose bool) error {
	var readable []stretch
	for _, st := range list {
		s.mu.Lock()
		at := s.row.first[st.file] + st.First
		var grown int32
		for g := at; g < at+st.N; g++ {
			if !s.here.Get(g) && !s.fresh.Get(g) && !s.loose.Get(g) {
				grown++
				s.bytes += s.row.bytes(stretch{st.file, bao.Range{First: g - s.row.first[st.file], N: 1}})
			}
		}
		f, r := s.open[st.file], bao.Range{First: at, N: st.N}
		switch {
		case s.draft == nil && (f == nil || f.small != nil):
			s.fresh.Set(r)
		case loose:
			s.setLoose(r)
			readable = append(readable, st)
		default:
			s.here.Set(r)
			s.loose.Clear(r)
			readable = append(readable, st)
		}
		s.left[st.file] -= grown
		whole := grown > 0 && s.left[st.file] == 0 && s.number == rowFiles
		s.mu.Unlock()
		if whole {
			if err := s.complete(ctx, st.file, f); err != nil {
				return err
			}
		}
	}
	if s.heard != nil && len(readable) > 0 {
		s.heard(readable)
	}
	return nil
}

// setLoose notes groups as loose that are not proven. s.mu is held.
func (s *stage) setLoose(r bao.Range) {
	for g := r.First; g < r.First+r.N; g++ {
		if !s.here.Get(g) {
			s.loose.Set(bao.Range{First: g, N: 1})
		}
	}
}

// complete puts a file of a folder into its place.
func (s *stage) complete(ctx context.Context, i int, f *openFile) error {
	s.mu.Lock()
	delete(s.open, i)
	s.mu.Unlock()
	if f.small == nil {
		return s.finish(ctx, i, f)
	}
	defer s.unuse(i, f)
	if err := s.put(ctx, i, f); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending++; s.pending >= commitFiles {
		select {
		case s.full <- struct{}{}:
		default:
		}
	}
	return nil
}

// tell wakes who waits for groups.
func (s *stage) tell() {
	s.mu.Lock()
	close(s.news)
	s.news = make(chan struct{})
	s.mu.Unlock()
}

// checkpoint makes what is here durable, and what was fresh servable.
func (s *stage) checkpoint(ctx context.Context) error {
	s.mu.Lock()
	pending, fresh := s.pending, s.fresh.Clone()
	s.pending = 0
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
	s.mu.Unlock()
	var errs []error
	for _, f := range open {
		errs = append(errs, f.blob.Checkpoint(ctx))
		s.unuse(-1, f)
	}
	if s.draft != nil {
		errs = append(errs, s.draft.Checkpoint(ctx))
	}
	if pending > 0 {
		if err := s.tree.Commit(ctx); err != nil {
			return err
		}
		var readable []stretch
		s.mu.Lock()
		for r := range fresh.Ranges() {
			readable = append(readable, s.settle(r)...)
		}
		s.mu.Unlock()
		s.tell()
		if s.heard != nil && len(readable) > 0 {
			s.heard(readable)
		}
	}
	return errors.Join(errs...)
}

// settle moves the groups of whole files in r from fresh to here, and returns them. s.mu is held.
func (s *stage) settle(r bao.Range) (list []stretch) {
	for _, st := range s.row.cut(r) {
		if s.left[st.file] == 0 {
			at := bao.Range{First: s.row.first[st.file] + st.First, N: st.N}
			s.here.Set(at)
			s.fresh.Clear(at)
			list = append(list, st)
		}
	}
	return list
}

// close gives all files back, and the folder.
func (s *stage) close() {
	s.hashing.Wait()
	s.mu.Lock()
	open := s.open
	s.open = map[int]*openFile{}
	s.mu.Unlock()
	for i, f := range open {
		s.unuse(i, f)
	}
}

// fail ends the stage with what is wrong on this side.
func (s *stage) fail(err error) {
	select {
	case s.failed <- err:
	default:
	}
}
