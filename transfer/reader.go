package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"kith"
	"kith/blob"
	"kith/blob/bao"
	"kith/blob/seal"
	"kith/transfer/proto"
	"kith/transfer/stage"
)

// A reader reads a file while it comes.
type reader struct {
	d     *Download
	ctx   context.Context
	end   context.CancelFunc
	index int
	ref   kith.Ref
	cut   int64       // bytes of its blob
	file  string      // of a draft: its path in the folder
	plain io.ReaderAt // waits for what is not here yet
	size  int64
	pos   int64

	mu   sync.Mutex
	blob *blob.Blob
}

// Reader opens the file of the given index (0 for a single file) to be read while it comes, and returns its size. Reads wait for bytes
// that are not here yet and have them asked for first, until ctx ends.
func (d *Download) Reader(ctx context.Context, index int) (io.ReadSeekCloser, int64, error) {
	ctx, end := context.WithCancel(ctx)
	r := &reader{d: d, ctx: ctx, end: end, index: index}
	if err := r.open(); err != nil {
		r.Close()
		return nil, 0, fmt.Errorf("transfer: read %s: %w", d.root, err)
	}
	return r, r.size, nil
}

func (r *reader) open() error {
	d := r.d
	if drafted, err := r.openDraft(); drafted || err != nil {
		return err
	}
	if !d.isTree() {
		if r.index != 0 {
			return fmt.Errorf("file %d of a single one: %w", r.index, kith.NotFound)
		}
		if err := r.until(func() bool { return d.blobSize >= 0 || d.state == Done }); err != nil {
			return err
		}
		r.ref, r.cut, r.size, r.plain = d.root, d.rootSize(), d.rootSize(), sealed{r}
		return nil
	}
	man, err := d.m.o.Blobs.Manifest(r.ctx, d.root, d.job.Key)
	if err != nil {
		return err
	}
	if r.index < 0 || r.index >= len(man.Entries) || !man.Entries[r.index].File() {
		return fmt.Errorf("file %d: %w", r.index, kith.NotFound)
	}
	e := man.Entries[r.index]
	if !d.selection().Has(-1, e.Path) && !d.isHere(r.ctx, e.Ref) {
		return fmt.Errorf("%q is left out: %w", e.Path, kith.NotFound)
	}
	r.ref, r.cut, r.size, r.plain = e.Ref, man.BlobSize(r.index), e.Size, sealed{r}
	if !man.Sealed {
		return nil
	}
	o, err := seal.Open(*d.job.Key, sealed{r}, r.cut)
	if err != nil {
		return err
	}
	r.plain, r.size = o, o.PlainSize()
	return nil
}

// openDraft opens a file of a draft, and reports whether the download is one.
func (r *reader) openDraft() (bool, error) {
	d := r.d
	if !d.isPending() && !d.isTree() {
		return false, nil
	}
	if err := r.until(func() bool {
		return d.drafted != nil || d.stage != nil && d.stage.Number == proto.RowFiles || d.state == Done
	}); err != nil {
		return false, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.drafted == nil {
		return false, nil
	}
	if r.index < 0 || r.index >= len(d.drafted) || d.drafted[r.index].Link != "" || d.drafted[r.index].Dir {
		return false, fmt.Errorf("file %d: %w", r.index, kith.NotFound)
	}
	f := d.drafted[r.index]
	if !(stage.Selection{Only: d.job.Only, Select: d.job.Select}).Has(r.index, f.Path) {
		return false, fmt.Errorf("%q is left out: %w", f.Path, kith.NotFound)
	}
	r.cut, r.size, r.file, r.plain = f.Size, f.Size, f.Path, sealed{r}
	return true, nil
}

// readDraft reads what is here of a file of a draft: where it is being built, or where it is.
func (r *reader) readDraft(p []byte, off int64) (int, error) {
	for {
		r.d.mu.Lock()
		st, state, at, changed := r.d.stage, r.d.state, r.d.path, r.d.changed
		if r.d.folder {
			at = filepath.Join(at, filepath.FromSlash(r.file))
		}
		r.d.mu.Unlock()
		switch {
		case st != nil && st.Draft != nil:
			n, err := st.Draft.ReadAt(r.index, p, off)
			if !errors.Is(err, kith.Unavailable) {
				return n, err
			}
		case state == Done:
			f, err := os.Open(at)
			if err != nil {
				return 0, err
			}
			defer f.Close()
			return f.ReadAt(p, off)
		}
		select {
		case <-changed:
		case <-r.ctx.Done():
			return 0, r.ctx.Err()
		}
	}
}

// until waits until ok, which is called with d.mu held, is true.
func (r *reader) until(ok func() bool) error {
	for {
		r.d.mu.Lock()
		yes, failed, err, changed := ok(), r.d.state == Failed, r.d.err, r.d.changed
		r.d.mu.Unlock()
		switch {
		case yes:
			return nil
		case failed:
			return err
		}
		select {
		case <-changed:
		case <-r.ctx.Done():
			return r.ctx.Err()
		}
	}
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	if r.pos >= r.size {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), r.size-r.pos, bao.GroupSize-r.pos%bao.GroupSize)] // no more than comes at once
	n, err := r.plain.ReadAt(p, r.pos)
	r.pos += int64(n)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// Seek implements io.Seeker.
func (r *reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.pos
	case io.SeekEnd:
		offset += r.size
	}
	if offset < 0 {
		return r.pos, fmt.Errorf("transfer: seek to %d: %w", offset, kith.Invalid)
	}
	r.pos = offset
	return offset, nil
}

// Close implements io.Closer.
func (r *reader) Close() error {
	r.end()
	r.d.await(r, -1)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.blob == nil {
		return nil
	}
	b := r.blob
	r.blob = nil
	return b.Close()
}

// sealed is the blob of a reader, ciphertext if it is private. Its ReadAt waits until the bytes are here.
type sealed struct{ r *reader }

func (s sealed) ReadAt(p []byte, off int64) (int, error) {
	r := s.r
	if off >= r.cut {
		return 0, io.EOF
	}
	last := min(off+int64(len(p)), r.cut) - 1
	if err := r.wait(off/bao.GroupSize, last/bao.GroupSize); err != nil {
		return 0, err
	}
	if r.cut >= 0 && r.ref.IsZero() {
		return r.readDraft(p, off)
	}
	for again := false; ; again = true {
		b, err := r.opened(again)
		if err != nil {
			return 0, err
		}
		n, err := b.ReadHere(p, off)
		if err == nil || errors.Is(err, io.EOF) || again {
			return n, err
		}
	}
}

// opened returns the blob, opened afresh if it has moved.
func (r *reader) opened(again bool) (*blob.Blob, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if again && r.blob != nil {
		r.blob.Close()
		r.blob = nil
	}
	if r.blob == nil {
		b, err := r.d.m.o.Blobs.Blob(r.ctx, r.ref)
		if err != nil {
			return nil, err
		}
		r.blob = b
	}
	return r.blob, nil
}

// wait returns once groups first to last of the file are here.
func (r *reader) wait(first, last int64) error {
	for {
		r.d.mu.Lock()
		st, state, err, changed := r.d.stage, r.d.state, r.d.err, r.d.changed
		r.d.mu.Unlock()
		if state == Done {
			return nil
		}
		if state == Failed {
			return err
		}
		news := (<-chan struct{})(nil)
		if st != nil {
			if at := st.Row.Of(r.index); at >= 0 && st.Row.Files[at].Ref == r.ref {
				missing, ch := st.Lacks(st.Row.First[at]+first, st.Row.First[at]+last)
				if missing < 0 {
					return nil
				}
				r.d.await(r, missing)
				news = ch
			}
		} else if r.d.isHere(r.ctx, r.ref) {
			return nil
		}
		select {
		case <-news:
		case <-changed:
		case <-r.ctx.Done():
			return r.ctx.Err()
		}
	}
}

// isHere reports whether a blob is complete.
func (d *Download) isHere(ctx context.Context, ref kith.Ref) bool {
	b, err := d.m.o.Blobs.Blob(ctx, ref)
	if err != nil {
		return false
	}
	defer b.Close()
	return b.Complete()
}

// await notes which group of the row a reader waits for; -1: none.
func (d *Download) await(r *reader, group int64) {
	d.mu.Lock()
	if old, ok := d.readers[r]; ok == (group >= 0) && old == group {
		d.mu.Unlock()
		return
	}
	if group < 0 {
		delete(d.readers, r)
	} else {
		d.readers[r] = group
	}
	d.attend()
	d.mu.Unlock()
	d.nudgeAll()
}

// attend tells the engine what readers wait for. d.mu is held.
func (d *Download) attend() {
	if d.stage == nil {
		return
	}
	d.stage.Mu.Lock()
	defer d.stage.Mu.Unlock()
	d.stage.Engine.Read(slices.Collect(maps.Values(d.readers)))
}
