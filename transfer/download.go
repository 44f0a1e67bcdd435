package transfer

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/blob"
	"kith/blob/bao"
	"kith/blob/draft"
	"kith/blob/folder"
	"kith/transfer/engine"
	"kith/transfer/proto"
	"kith/transfer/stage"
)

// When a download does what it does now and then.
const (
	tickTime       = 250 * time.Millisecond
	checkpointTime = 2 * time.Second
)

var (
	// ErrCanceled is the error of a download that Cancel, or the end of the node, has ended.
	ErrCanceled = fmt.Errorf("transfer: cancelled: %w", kith.Gone)
	errPaused   = errors.New("transfer: paused")
	errAgain    = errors.New("transfer: something else is wanted of it")
)

// Download is one running or ended download.
type Download struct {
	m       *Manager
	root    kith.Ref
	job     Job
	arrived chan *arrival
	kick    chan struct{} // cap 1: Resume

	mu       sync.Mutex
	state    State
	reason   string
	err      error
	name     string
	path     string
	blobSize int64 // of the root blob; -1 while it is not known
	size     int64 // of the plain files; -1 while it is not known
	files    int
	folder   bool
	sources  map[peer.ID]*source
	lastID   engine.SourceID
	stage    *stage.Stage
	bytes    int64 // here, when no stage runs
	meter    engine.Meter
	readers  map[*reader]int64
	looking  time.Time // since when it has had no source
	idle     time.Time // since when it has sources and wants nothing of any; zero: it does, or has none
	paused   bool
	canceled bool
	stop     context.CancelCauseFunc // of the running attempt
	cancel   context.CancelCauseFunc // of all of them
	changed  chan struct{}
	progress bool // since the last tick
	sized    chan struct{}
	sizedBy  string        // the network that says blobSize; "": it is proven
	outsides []*outside    // other networks that it comes from
	first    *outside      // the one that told first what the content consists of
	told     chan struct{} // closed when one has
	drafted  []draft.File  // of a draft
	part     bool          // what is wanted is here, and not all of it
	real     kith.Ref      // of a draft that is done
	verdict  string        // what is to be said of one that is
	checking bool          // all bytes are here, and are compared or put in place
	gone     chan struct{} // closed when nothing will happen any more
	narrow   bool          // a source says that it is for contacts alone
	open     bool          // a source does not
	hunted   chan struct{} // cap 1: there is a new source
}

func newDownload(m *Manager, job Job) *Download {
	d := &Download{
		m: m, root: job.Root, job: job, state: Finding, name: proto.PlainName(job.Name), blobSize: -1, size: -1,
		arrived: make(chan *arrival, 2), kick: make(chan struct{}, 1), sources: map[peer.ID]*source{}, readers: map[*reader]int64{},
		changed: make(chan struct{}), sized: make(chan struct{}), hunted: make(chan struct{}, 1), looking: time.Now(),
		told: make(chan struct{}), gone: make(chan struct{}),
	}
	for _, open := range job.Origins[:min(len(job.Origins), MaxOrigins)] {
		d.outsides = append(d.outsides, &outside{d: d, opener: open, wake: make(chan struct{}, 1), state: Connecting})
	}
	if job.Size > 0 || job.Size == 0 && !d.isTree() {
		d.size = job.Size
	}
	d.folder = d.isTree() && job.Key == nil
	return d
}

// isTree reports whether the root is a manifest: that of a folder, or of a private share, of which outsiders see only bytes.
func (d *Download) isTree() bool { return d.root.Codec == kith.Manifest || d.job.Key != nil }

// isPending reports whether only other networks know what it is.
func (d *Download) isPending() bool { return d.root.Codec == kith.Pending }

// run goes through attempts until one succeeds or ctx ends.
func (d *Download) run(ctx context.Context) {
	defer close(d.gone)
	for {
		attempt, stop := context.WithCancelCause(ctx)
		d.mu.Lock()
		d.stop = stop
		paused := d.paused
		d.mu.Unlock()
		err := errPaused
		if !paused {
			err = d.attempt(attempt)
		}
		if cause := context.Cause(attempt); cause != nil && err != nil {
			err = cause
		}
		stop(nil)
		switch {
		case err == nil:
			d.m.forget(d)
			d.set(Done, nil)
			return
		case errors.Is(err, errAgain):
			d.set(Finding, nil)
			continue
		case errors.Is(err, errPaused):
			d.set(Paused, nil)
		case errors.Is(err, ErrCanceled) || ctx.Err() != nil:
			d.mu.Lock()
			d.canceled = true
			d.mu.Unlock()
			d.set(Failed, ErrCanceled)
			return
		case errors.Is(err, kith.Unavailable):
			d.set(Waiting, err)
		default:
			d.m.o.Log.Warn("download failed", "ref", d.root, "err", err)
			d.set(Failed, err)
		}
		select {
		case <-d.kick:
			d.mu.Lock()
			d.looking = time.Now()
			d.mu.Unlock()
			d.set(Finding, nil)
		case <-ctx.Done():
		}
	}
}

// attempt fetches what is missing and puts it in place.
func (d *Download) attempt(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	d.mu.Lock()
	d.checking = false
	d.mu.Unlock()
	if !d.isPending() {
		wg.Go(func() { d.hunt(ctx) })
	}
	for _, o := range d.outsides {
		wg.Go(func() { o.run(ctx) })
	}
	for range max(2, runtime.GOMAXPROCS(0)) {
		wg.Go(func() { d.check(ctx) })
	}
	if d.isPending() || d.isDrafted() {
		return d.fetchDraft(ctx)
	}
	if d.isTree() {
		if err := d.fetchManifest(ctx); errors.Is(err, errNoManifest) {
			return d.fetchDraft(ctx)
		} else if err != nil {
			return err
		}
		return d.fetchFiles(ctx)
	}
	size, err := d.awaitSize(ctx)
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.size = size
	d.mu.Unlock()
	path, err := d.fetchRoot(ctx, size, d.place(""))
	if err != nil {
		return err
	}
	d.placed(path, size, 1)
	return nil
}

// check checks what arrives, until ctx ends.
func (d *Download) check(ctx context.Context) {
	for {
		select {
		case a := <-d.arrived:
			a.settle(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// awaitSize returns the bytes of the root blob, once a source has proven them.
func (d *Download) awaitSize(ctx context.Context) (int64, error) {
	if size := d.rootSize(); size >= 0 {
		return size, nil
	}
	if b, err := d.m.o.Blobs.Blob(ctx, d.root); err == nil {
		defer b.Close()
		d.learn(b.Size(), "")
		return b.Size(), nil
	}
	tick := time.NewTicker(tickTime)
	defer tick.Stop()
	begun := time.Now()
	for {
		select {
		case <-d.sized:
			return d.rootSize(), nil
		case <-tick.C:
			if time.Since(begun) >= manifestTime && d.withoutManifest() {
				return 0, errNoManifest
			}
			d.refresh()
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// fetchRoot fetches the root blob to path, and returns where it is.
func (d *Download) fetchRoot(ctx context.Context, size int64, path string) (string, error) {
	b, err := d.m.o.Blobs.Create(ctx, d.root, size, path)
	if err != nil {
		return "", err
	}
	defer b.Close()
	if b.Complete() {
		return b.Path(), nil
	}
	st := d.newStage(stage.Options{Number: proto.RowRoot, Row: stage.RootRow(d.root, size)})
	st.OpenRoot(b)
	err = d.runStage(ctx, st, func() error {
		if !d.isTree() {
			if err := d.verify(ctx, st); err != nil {
				return err
			}
		}
		return b.Finish(ctx)
	})
	if err != nil {
		return "", err
	}
	return b.Path(), nil
}

// fetchManifest fetches the root of a folder, unless it is here.
func (d *Download) fetchManifest(ctx context.Context) error {
	size, err := d.awaitSize(ctx)
	switch {
	case err != nil:
		return err
	case size > folder.MaxEncoded:
		return fmt.Errorf("transfer: a manifest of %d bytes, at most %d: %w", size, folder.MaxEncoded, kith.TooLarge)
	}
	_, err = d.fetchRoot(ctx, size, "")
	return err
}

// fetchFiles fetches the files of the folder whose manifest is here.
func (d *Download) fetchFiles(ctx context.Context) error {
	man, err := d.m.o.Blobs.Manifest(ctx, d.root, d.job.Key)
	if err != nil {
		if d.job.Key == nil {
			err = kith.Hint(err, "if it is a private share, its key is missing: copy the whole link, with what is behind the #")
		}
		return err
	}
	name := man.Name
	if man.Single() {
		name = man.Entries[0].Path
	}
	bytes, files := d.wantedOf(man)
	d.mu.Lock()
	d.size, d.files, d.folder = bytes, files, !man.Single()
	d.mu.Unlock()
	tree, err := d.m.o.Blobs.BeginTree(ctx, d.root, man, d.place(name), d.job.Key)
	if err != nil {
		return err
	}
	defer tree.Close()
	st := d.newStage(stage.Options{Number: proto.RowFiles, Row: stage.FilesRow(man), Tree: tree})
	if err := d.resume(ctx, st, man); err != nil {
		return err
	}
	d.leaveOut(st)
	path := tree.Dir()
	err = d.runStage(ctx, st, func() (err error) {
		if st.Partial {
			want := d.selection()
			path, err = tree.Place(ctx, func(i int) bool { return want.Has(-1, man.Entries[i].Path) })
			return err
		}
		if err := d.verify(ctx, st); err != nil {
			return err
		}
		t, err := tree.Finish(ctx)
		path = t.Path
		return err
	})
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.part = st.Partial
	d.mu.Unlock()
	d.placed(path, bytes, files)
	return nil
}

// resume notes in st what is here of a folder, and puts empty files, which nobody need be asked for.
func (d *Download) resume(ctx context.Context, st *stage.Stage, man *folder.Manifest) error {
	want := d.selection()
	list, err := st.Tree.Missing(ctx, func(i int) bool { return want.Has(-1, man.Entries[i].Path) })
	if err != nil {
		return err
	}
	missing := map[int]bool{}
	for _, i := range list {
		missing[i] = true
		if man.BlobSize(i) == 0 {
			if err := st.Tree.Put(ctx, i, nil); err != nil {
				return err
			}
		}
	}
	for i, f := range st.Row.Files {
		if !missing[f.Index] {
			st.Has(i, bao.Range{N: bao.Groups(f.Size)}, st.Here)
			continue
		}
		if f.Size <= blob.MaxPut {
			continue
		}
		b, err := d.m.o.Blobs.Blob(ctx, f.Ref)
		if err != nil {
			continue // nothing of it is here
		}
		if have := b.Have(); !b.Complete() && !have.All() {
			st.Resume(i, b)
		}
		b.Close()
	}
	return nil
}

// place returns the path to fetch to, for content that calls itself name.
func (d *Download) place(name string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if name != "" {
		d.name = proto.PlainName(name)
	}
	if d.path == "" {
		d.path = d.job.Path
	}
	if d.path == "" {
		name := d.name
		if name == "" {
			name = d.root.String()
		}
		d.path = filepath.Join(d.job.Dir, folder.CleanName(name))
	}
	return d.path
}

// placed notes where everything now is.
func (d *Download) placed(path string, size int64, files int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if path != "" {
		d.path = path
	}
	if d.name == "" {
		d.name = filepath.Base(d.path)
	}
	d.size, d.bytes, d.files = size, size, files
}

// runStage has sources asked until all of st is here, and then does what ends it.
func (d *Download) runStage(ctx context.Context, st *stage.Stage, end func() error) (err error) {
	d.setStage(st)
	defer func() {
		d.setStage(nil)
		err = d.refused(errors.Join(err, st.Checkpoint(context.WithoutCancel(ctx))))
		st.Close()
	}()
	tick, checkpoint := time.NewTicker(tickTime), time.NewTicker(checkpointTime)
	defer tick.Stop()
	defer checkpoint.Stop()
	for {
		select {
		case <-st.Done:
			d.mu.Lock()
			d.checking = true
			d.mu.Unlock()
			d.set(Checking, nil)
			return st.Cause(end())
		case err := <-st.Failed:
			return err
		case <-tick.C:
			d.tick(st)
		case <-checkpoint.C:
			if err := st.Checkpoint(ctx); err != nil {
				return err
			}
		case <-st.Full:
			if err := st.Checkpoint(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// tick looks for silent sources, and refreshes the state.
func (d *Download) tick(st *stage.Stage) {
	st.Mu.Lock()
	dead := st.Engine.Tick(st.Now())
	awaited := st.Pending > 0 && st.Engine.Reading()
	st.Mu.Unlock()
	d.mu.Lock()
	for _, src := range d.sources {
		for _, id := range dead {
			if src.conn != nil && src.conn.id == id {
				src.conn.end(fmt.Errorf("transfer: no answer for %v: %w", engine.DropAfter, kith.Timeout))
			}
		}
	}
	d.mu.Unlock()
	if awaited {
		if err := st.Checkpoint(context.Background()); err != nil {
			st.Fail(err)
		}
	}
	d.nudgeAll()
	d.refresh()
}

func (d *Download) setStage(st *stage.Stage) {
	d.mu.Lock()
	if st == nil && d.stage != nil {
		d.stage.Mu.Lock()
		d.bytes = d.stage.Bytes
		d.stage.Mu.Unlock()
	}
	d.stage = st
	d.attend()
	d.tell()
	d.mu.Unlock()
	d.nudgeAll()
}

func (d *Download) currentStage() *stage.Stage {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stage
}

func (d *Download) rootSize() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.blobSize
}

// learn notes the proven size of the root blob, and what a source calls it.
func (d *Download) learn(size int64, name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.name == "" {
		d.name = name
	}
	if d.blobSize < 0 {
		d.blobSize = size
		close(d.sized)
	}
	d.tell()
}

// widen notes whether a source says that it is for contacts alone. One that does not has it for whoever has the link.
func (d *Download) widen(narrow bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.narrow = d.narrow || narrow
	d.open = d.open || !narrow
}

// Narrow reports whether all sources so far say that it is for their contacts alone.
func (d *Download) Narrow() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.narrow && !d.open
}

// set changes the state.
func (d *Download) set(s State, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.state, d.err, d.reason = s, err, ""
	if err != nil {
		d.reason = err.Error()
	}
	d.tell()
}

// tell wakes who waits for a change. d.mu is held.
func (d *Download) tell() {
	close(d.changed)
	d.changed = make(chan struct{})
}

// Changed returns a channel that is closed when the Status is no longer the one of before the call. Rates change without it.
func (d *Download) Changed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changed
}

// Wait returns nil once all bytes are on disk and verified, and the reason when the download fails or is cancelled.
func (d *Download) Wait(ctx context.Context) error {
	for {
		d.mu.Lock()
		state, err, changed := d.state, d.err, d.changed
		d.mu.Unlock()
		switch state {
		case Done:
			return nil
		case Failed:
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("transfer: wait for %s: %w", d.root, ctx.Err())
		}
	}
}

// Pause stops asking until Resume.
func (d *Download) Pause() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.paused = true
	if d.stop != nil {
		d.stop(errPaused)
	}
}

// Resume goes on after Pause, after a failure, and after something that a person had to mend.
func (d *Download) Resume() {
	d.mu.Lock()
	defer d.mu.Unlock()
	ended := d.paused // perhaps the attempt is only about to end
	d.paused = false
	if d.state == Paused || d.state == Waiting || d.state == Failed {
		ended, d.state, d.err, d.reason = true, Finding, nil, ""
		d.tell()
	}
	if ended {
		select {
		case d.kick <- struct{}{}:
		default:
		}
	}
}

// Cancel ends the download and forgets it; what is on disk stays there, for blob.Store.Delete to remove.
func (d *Download) Cancel() {
	d.m.forget(d)
	d.cancel(ErrCanceled)
}

// over reports whether nothing will happen to it any more.
func (d *Download) over() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state == Done || d.canceled
}
