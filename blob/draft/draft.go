// Package draft keeps a download of which nobody knows the BLAKE3 digest yet: what a torrent or a CID alone names.
//
// It is no store, and it checks nothing: whoever writes has compared the bytes with another network's digests. What passes through is hashed on the way, so that
// the store, which imports the whole, need not read it. Its one idea: real files, in the folder where they will stay, and a log beside the store that says which 16 KiB groups of them are there. Bytes are
// durable before the log says so; whatever stops the process or the computer, what the log says is true.
package draft

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"kith"
	"kith/blob/bao"
	"kith/blob/disk"
	"kith/blob/folder"
)

// Limits of a draft.
const (
	maxGroups  = 1 << 30 // of all files: 16 TiB
	maxOpen    = 64      // files that are open at once
	maxPartial = 1 << 16 // groups of which a part is here
)

// A File is one file of a draft, or an empty folder or symbolic link in it.
type File struct {
	Path string // slash-separated, as folder.CheckPath wants it; of a draft that is no folder, its name, which does not matter
	Size int64
	Exec bool
	Link string // where a symbolic link points, as folder.CheckLink wants it; it has no bytes
	Dir  bool   // an empty folder; it has no bytes
}

func (f File) bytes() bool { return f.Link == "" && !f.Dir }

// Options says what a draft is of.
type Options struct {
	State  string // the file that remembers it; its folder is made
	Path   string // absolute: where it will be. Until then it is beside that, under a name that ends in folder.PartSuffix
	Folder bool   // false: Files is one file
	Files  []File // nil: those of the state, which must be there
	Room   int64  // bytes that there must be room for, if not all of it is wanted; 0: all
}

// A Draft is open. All methods may be called at once.
type Draft struct {
	file  string // of the state
	notes []string
	root  *os.Root // the folder that is being built, or that the one file is in
	dirs  *disk.Dirs

	pen sync.RWMutex // held for reading while files are read and written, and for writing while they get another name

	mu      sync.Mutex
	s       state
	base    []int64             // number of the first group of each file, and of all
	partial map[int64][]stretch // what is here of a group that is not whole
	fresh   []bao.Range         // groups that the log does not say yet
	made    []int               // files that were made and of which the log does not say so yet
	dirty   map[int]bool        // files that were written since
	ahead   map[int]*bao.Ahead  // of large files that were written since Open
	open    []*handle           // the last used is the last
	final   string              // where it is, after Finish or Place
	whole   bool                // it was finished
	closed  bool

	save sync.Mutex // one writes the log at a time
	log  *os.File
	size int64 // of the log
	full int64 // of the log when it was last written anew
}

// A stretch is bytes of a group, from first to end.
type stretch struct{ first, end int64 }

// A handle is a file that is open.
type handle struct {
	*os.File
	i     int
	pen   disk.Pen
	users int // and one while it is in open
}

// Open begins a draft, or resumes the one that o.State remembers, wherever that goes. Files must be the same then. Errors: Invalid (another layout; a path that is not absolute), Corrupt
// (names that no folder can have), TooLarge, Unavailable (no room), Denied, NotFound (no Files, and no state).
func Open(ctx context.Context, o Options) (*Draft, error) {
	d, err := open(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("draft: open %s: %w", o.Path, disk.Error(err))
	}
	return d, nil
}

func open(ctx context.Context, o Options) (*Draft, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	d := &Draft{file: o.State, partial: map[int64][]stretch{}, dirty: map[int]bool{}, ahead: map[int]*bao.Ahead{}}
	s, good, err := readState(o.State)
	switch {
	case errors.Is(err, kith.Corrupt):
		aside := o.State + ".corrupt"
		d.notes = append(d.notes, fmt.Sprintf("%s cannot be read and has been set aside as %s; the download begins anew", filepath.Base(o.State), filepath.Base(aside)))
		if err := os.Rename(o.State, aside); err != nil {
			return nil, err
		}
		err = d.begin(o)
	case errors.Is(err, fs.ErrNotExist):
		err = d.begin(o)
	case err == nil && o.Files != nil && !s.is(o):
		return nil, fmt.Errorf("it was begun with other files: %w", kith.Invalid)
	case err == nil:
		d.s = *s
		err = d.resume(good)
	}
	if err != nil {
		return nil, join(err, d.Close())
	}
	return d, nil
}

// is reports whether a state is of what o says.
func (s *state) is(o Options) bool {
	if !o.Folder && !s.Folder && len(o.Files) == 1 {
		return o.Files[0].Size == s.Files[0].Size && o.Files[0].Exec == s.Files[0].Exec
	}
	return o.Folder == s.Folder && slices.Equal(o.Files, s.Files)
}

// Notes returns what a person should know since Open.
func (d *Draft) Notes() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.notes)
}

// Files returns what it consists of.
func (d *Draft) Files() []File { return d.s.Files }

// Path returns where it will be; after Finish, where it is.
func (d *Draft) Path() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.final != "" {
		return d.final
	}
	return d.s.Path
}

// Folder reports whether it is a folder.
func (d *Draft) Folder() bool { return d.s.Folder }

// Part returns where it is being built; after Finish, where it is.
func (d *Draft) Part() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.final != "" {
		return d.final
	}
	return d.part()
}

// Have returns which groups of a file are here: 16 KiB each, counted from its beginning. Of what has no bytes, the one group is.
func (d *Draft) Have(file int) bao.Bits {
	if file < 0 || file >= len(d.s.Files) {
		return bao.NewBits(0)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	first, end := d.base[file], d.base[file+1]
	have := bao.NewBits(end - first)
	for g := d.s.have.Next(first, true); g < end; {
		stop := d.s.have.Next(g, false)
		have.Set(bao.Range{First: g - first, N: stop - g})
		g = d.s.have.Next(stop, true)
	}
	return have
}

// Has reports whether all of n bytes of a file are here, also of groups that are not whole.
func (d *Draft) Has(file int, off, n int64) bool {
	if file < 0 || file >= len(d.s.Files) || off < 0 || n < 0 || off > d.s.Files[file].Size-n {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.here(file, off, n) == n
}

// here returns how many of n bytes are here, up to the first that is not. d.mu is held.
func (d *Draft) here(file int, off, n int64) int64 {
	end := off + n
	for at := off; at < end; {
		g := at / bao.GroupSize
		if stop := d.s.have.Next(d.base[file]+g, false) - d.base[file]; stop > g {
			at = stop * bao.GroupSize
			continue
		}
		in := at - g*bao.GroupSize
		i := slices.IndexFunc(d.partial[d.base[file]+g], func(s stretch) bool { return s.first <= in && in < s.end })
		if i < 0 {
			return at - off
		}
		at = g*bao.GroupSize + d.partial[d.base[file]+g][i].end
	}
	return n
}

// ReadAt reads from a file what is here. Errors: NotFound if a part is not here; n says how much before it is. io.EOF as io.ReaderAt says.
func (d *Draft) ReadAt(file int, p []byte, off int64) (n int, err error) {
	if file < 0 || file >= len(d.s.Files) || off < 0 {
		return 0, fmt.Errorf("draft: read file %d at %d: %w", file, off, kith.Invalid)
	}
	f := d.s.Files[file]
	if off >= f.Size {
		return 0, io.EOF
	}
	d.pen.RLock()
	defer d.pen.RUnlock()
	end := error(nil)
	if int64(len(p)) > f.Size-off {
		p, end = p[:f.Size-off], io.EOF
	}
	d.mu.Lock()
	if here := d.here(file, off, int64(len(p))); here < int64(len(p)) {
		p, end = p[:here], fmt.Errorf("draft: read %s at %d: not here yet: %w", f.Path, off+here, kith.NotFound)
	}
	d.mu.Unlock()
	if len(p) == 0 {
		return 0, end
	}
	h, err := d.use(file, false)
	if err != nil {
		return 0, d.wrap("read", file, err)
	}
	defer d.done(h)
	if n, err = h.ReadAt(p, off); n < len(p) {
		return n, d.wrap("read", file, err)
	}
	return n, end
}

// WriteAt writes bytes of a file that were checked. Groups become here when they are whole; a part of one is remembered until Close. What is here already stays
// as it is. Errors: Invalid, Unavailable (disk full, closed; nothing is lost).
func (d *Draft) WriteAt(file int, off int64, p []byte) error {
	if file < 0 || file >= len(d.s.Files) || off < 0 || off > d.s.Files[file].Size-int64(len(p)) {
		return fmt.Errorf("draft: write %d bytes at %d of file %d: %w", len(p), off, file, kith.Invalid)
	}
	d.pen.RLock()
	defer d.pen.RUnlock()
	for len(p) > 0 {
		skip, n := d.absent(file, off, int64(len(p)))
		off, p = off+skip, p[skip:]
		if n == 0 {
			return nil
		}
		if err := d.write(file, off, p[:n]); err != nil {
			return d.wrap("write", file, err)
		}
		off, p = off+n, p[n:]
	}
	return nil
}

// absent returns how many of n bytes are in groups that are here, and then how many are not.
func (d *Draft) absent(file int, off, n int64) (skip, next int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	base := d.base[file]
	edge := func(group int64) int64 { return min(max((group-base)*bao.GroupSize-off, 0), n) }
	g := d.s.have.Next(base+off/bao.GroupSize, false)
	skip = edge(g)
	return skip, edge(min(d.s.have.Next(g, true), d.base[file+1])) - skip
}

func (d *Draft) write(file int, off int64, p []byte) error {
	h, err := d.use(file, true)
	if err != nil {
		return err
	}
	defer d.done(h)
	if err := fault("write"); err != nil {
		return err
	}
	if _, err := h.pen.WriteAt(h.File, p, off); err != nil {
		return err
	}
	d.mu.Lock()
	d.mark(file, off, off+int64(len(p)))
	ahead := d.ahead[file]
	if ahead == nil && d.s.Files[file].Size >= bao.SegmentSize {
		ahead = bao.NewAhead(d.s.Files[file].Size)
		d.ahead[file] = ahead
	}
	d.mu.Unlock()
	ahead.Take(off, p)
	return nil
}

// Ahead returns what is known by now of the BLAKE3 tree of a file; nil is nothing.
func (d *Draft) Ahead(file int) *bao.Ahead {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ahead[file]
}

// mark notes that bytes of a file are here. d.mu is held.
func (d *Draft) mark(file int, off, end int64) {
	d.dirty[file] = true
	first, stop := off/bao.GroupSize, (end-1)/bao.GroupSize+1
	size := func(g int64) int64 { return min(bao.GroupSize, d.s.Files[file].Size-g*bao.GroupSize) }
	if off > first*bao.GroupSize || end-first*bao.GroupSize < size(first) {
		d.markPart(d.base[file]+first, stretch{off - first*bao.GroupSize, min(end-first*bao.GroupSize, size(first))}, size(first))
		first++
	}
	if last := stop - 1; last >= first && end-last*bao.GroupSize < size(last) {
		d.markPart(d.base[file]+last, stretch{0, end - last*bao.GroupSize}, size(last))
		stop--
	}
	if first < stop {
		d.set(bao.Range{First: d.base[file] + first, N: stop - first})
	}
}

// markPart notes that a part of a group of size bytes is here.
func (d *Draft) markPart(group int64, s stretch, size int64) {
	if d.s.have.Get(group) {
		return
	}
	if _, ok := d.partial[group]; !ok && len(d.partial) >= maxPartial {
		for g := range d.partial { // any: it will be asked for again
			delete(d.partial, g)
			break
		}
	}
	all := append(d.partial[group], s)
	slices.SortFunc(all, func(a, b stretch) int { return int(a.first - b.first) })
	merged := all[:1]
	for _, s := range all[1:] {
		if last := &merged[len(merged)-1]; s.first <= last.end {
			last.end = max(last.end, s.end)
		} else {
			merged = append(merged, s)
		}
	}
	d.partial[group] = merged
	if merged[0] == (stretch{0, size}) {
		d.set(bao.Range{First: group, N: 1})
	}
}

// set notes that groups are here.
func (d *Draft) set(r bao.Range) {
	for g := r.First; len(d.partial) > 0 && g < r.First+r.N; g++ {
		delete(d.partial, g)
	}
	d.s.have.Set(r)
	if last := len(d.fresh) - 1; last >= 0 && d.fresh[last].First+d.fresh[last].N == r.First {
		d.fresh[last].N += r.N
		return
	}
	d.fresh = append(d.fresh, r)
}

// Checkpoint makes what was written so far survive a power loss. Call it every few seconds.
func (d *Draft) Checkpoint(ctx context.Context) error {
	d.save.Lock()
	defer d.save.Unlock()
	if err := d.checkpoint(ctx); err != nil {
		return d.wrap("checkpoint", -1, err)
	}
	return nil
}

// Close makes what was written durable, and gives the draft back, to be resumed with Open.
func (d *Draft) Close() error {
	d.save.Lock()
	defer d.save.Unlock()
	d.mu.Lock()
	was := d.closed
	d.mu.Unlock()
	if was {
		return nil
	}
	var err error
	if d.log != nil {
		err = d.checkpoint(context.Background())
	}
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.closeFiles()
	if d.log != nil {
		err = join(err, d.log.Close())
	}
	if d.root != nil {
		d.dirs.Close()
		err = join(err, d.root.Close())
	}
	if err != nil {
		return d.wrap("close", -1, err)
	}
	return nil
}

func (d *Draft) wrap(verb string, file int, err error) error {
	what := d.s.Path
	if file >= 0 && d.s.Folder {
		what = d.s.Files[file].Path
	}
	return fmt.Errorf("draft: %s %s: %w", verb, what, disk.Error(err))
}

// join is errors.Join, but leaves a single error as it is, with its hint.
func join(errs ...error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// check is the law of a layout, whether it comes from a stranger or from the state.
func check(isFolder bool, files []File) (base []int64, err error) {
	switch {
	case !isFolder && (len(files) != 1 || !files[0].bytes()):
		return nil, fmt.Errorf("%d files and no folder: %w", len(files), kith.Invalid)
	case len(files) > folder.MaxEntries:
		return nil, fmt.Errorf("%d files, at most %d: %w", len(files), folder.MaxEntries, kith.TooLarge)
	}
	names := folder.NewNames()
	base = make([]int64, len(files)+1)
	for i, f := range files {
		if isFolder {
			if err := join(folder.CheckPath(f.Path), names.Add(f.Path)); err != nil {
				return nil, fmt.Errorf("%q: %w", f.Path, err)
			}
		}
		if f.Size < 0 || f.Size > folder.MaxSize || !f.bytes() && f.Size != 0 || f.Link != "" && f.Dir {
			return nil, fmt.Errorf("%q: %d bytes: %w", f.Path, f.Size, kith.Corrupt)
		}
		if f.Link != "" {
			if err := folder.CheckLink(f.Path, f.Link); err != nil {
				return nil, fmt.Errorf("%q: %w", f.Path, err)
			}
		}
		if base[i+1] = base[i] + bao.Groups(f.Size); base[i+1] > maxGroups {
			return nil, fmt.Errorf("more than %d bytes in all: %w", int64(maxGroups)*bao.GroupSize, kith.TooLarge)
		}
	}
	return base, nil
}
