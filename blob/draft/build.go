package draft

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"kith"
	"kith/blob/bao"
	"kith/blob/disk"
	"kith/blob/folder"
)

// fault is called at named points where a crash or a full disk would hurt most: "begun", "write", "checkpoint", "settle", "renamed". Tests replace it.
var fault = func(point string) error { return nil }

// begin makes the state and then the part.
func (d *Draft) begin(o Options) error {
	if o.Files == nil {
		return fmt.Errorf("nothing is known of it: %w", kith.NotFound)
	}
	if !filepath.IsAbs(o.Path) {
		return fmt.Errorf("%q is no absolute path: %w", o.Path, kith.Invalid)
	}
	base, err := check(o.Folder, o.Files)
	if err != nil {
		return err
	}
	at := filepath.Clean(o.Path)
	if err := os.MkdirAll(filepath.Dir(at), 0o777); err != nil {
		return err
	}
	if err := disk.Room(filepath.Dir(at), cmp.Or(o.Room, total(o.Files))); err != nil {
		return err
	}
	for n := 0; ; n++ {
		part := filepath.Base(at) + folder.PartSuffix
		if n > 0 {
			part = fmt.Sprintf("%s.%d%s", filepath.Base(at), n, folder.PartSuffix)
		}
		d.s = state{Path: at, Part: part, Folder: o.Folder, Files: slices.Clone(o.Files), inos: make([]int64, len(o.Files)), have: bao.NewBits(base[len(o.Files)])}
		if _, err := os.Lstat(d.part()); !errors.Is(err, fs.ErrNotExist) {
			continue // not ours: no state says so
		}
		err := d.make()
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
}

func total(files []File) (n int64) {
	for _, f := range files {
		n += f.Size
	}
	return n
}

// part returns the path of what is being built.
func (d *Draft) part() string { return filepath.Join(filepath.Dir(d.s.Path), d.s.Part) }

// make makes the part, when the state says what it will be called.
func (d *Draft) make() error {
	if err := d.rewrite(); err != nil {
		return err
	}
	if err := fault("begun"); err != nil {
		return err
	}
	if d.s.Folder {
		if err := os.Mkdir(d.part(), 0o777); err != nil {
			return err
		}
	} else {
		f, err := os.OpenFile(d.part(), os.O_RDWR|os.O_CREATE|os.O_EXCL, mode(d.s.Files[0]))
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	info, err := os.Lstat(d.part())
	if err != nil {
		return err
	}
	_, d.s.ino = disk.Inode(info)
	d.s.begun = true
	if !d.s.Folder {
		d.s.inos[0] = d.s.ino
	}
	if err := disk.SyncDir(filepath.Dir(d.part())); err != nil {
		return err
	}
	n := news{Begun: true, Ino: d.s.ino}
	if !d.s.Folder {
		n.Made = []int64{0, d.s.ino}
	}
	if err := d.tell(n); err != nil {
		return err
	}
	return d.prepare()
}

func mode(f File) fs.FileMode {
	if f.Exec {
		return 0o777
	}
	return 0o666
}

// prepare opens what is being built.
func (d *Draft) prepare() (err error) {
	if d.base, err = check(d.s.Folder, d.s.Files); err != nil {
		return err
	}
	at := d.part()
	if d.final != "" {
		at = d.final
	}
	if !d.s.Folder {
		if d.final == "" {
			if err := os.Truncate(at, d.s.Files[0].Size); err != nil {
				return err
			}
		}
		at = filepath.Dir(at)
	}
	if d.root, err = os.OpenRoot(at); err != nil {
		return err
	}
	d.dirs = disk.NewDirs(d.root)
	for i, f := range d.s.Files {
		if f.Size == 0 {
			d.s.have.Set(bao.Range{First: d.base[i], N: 1})
		}
	}
	return nil
}

// resume goes on with what the state says, of which the first good bytes were whole.
func (d *Draft) resume(good int) error {
	info, err := os.Lstat(d.part())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	switch {
	case err != nil && d.s.dest != "" && d.isAt(d.s.dest):
		d.final = d.s.dest
	case err == nil && d.s.begun && d.isAt(d.part()):
	default: // it was removed, or another one is in its place
		if err == nil && !d.s.begun && (info.IsDir() || info.Mode().IsRegular() && info.Size() == 0) {
			os.Remove(d.part()) // killed after it was made, before that was said. A folder that something is in stays
		}
		return d.begin(Options{State: d.file, Path: d.s.Path, Folder: d.s.Folder, Files: d.s.Files})
	}
	sized := d.s.Folder || err == nil && info.Size() == d.s.Files[0].Size
	if err := d.prepare(); err != nil {
		return err
	}
	d.whole = d.final != "" && d.s.have.All() && d.hasEmpty()
	if !d.whole && d.forget(sized) {
		return d.rewrite()
	}
	return d.openLog(int64(good))
}

// isAt reports whether what was being built is at path.
func (d *Draft) isAt(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.IsDir() != d.s.Folder || !d.s.Folder && !info.Mode().IsRegular() {
		return false
	}
	_, ino := disk.Inode(info)
	return ino == d.s.ino
}

// forget takes back what is said of files that are not what they were, and reports whether there are such. sized: a single file had its size.
func (d *Draft) forget(sized bool) (changed bool) {
	for i, f := range d.s.Files {
		first, n := d.base[i], d.base[i+1]-d.base[i]
		if f.Size == 0 || d.s.inos[i] == 0 && d.s.have.Next(first, true) >= first+n {
			continue
		}
		if info, err := d.lstat(i); err == nil && info.Mode().IsRegular() && info.Size() == f.Size && sized {
			if _, ino := disk.Inode(info); ino == d.s.inos[i] {
				continue
			}
		}
		d.s.have.Clear(bao.Range{First: first, N: n})
		if d.s.Folder {
			d.s.inos[i] = 0
		}
		changed = true
	}
	return changed
}

// name returns what a file is called in d.root.
func (d *Draft) name(i int) string {
	switch {
	case d.s.Folder:
		return d.s.Files[i].Path
	case d.final != "":
		return filepath.Base(d.final)
	}
	return d.s.Part
}

func (d *Draft) lstat(i int) (fs.FileInfo, error) {
	dir, name, err := d.dirs.Use(d.name(i))
	if err != nil {
		return nil, err
	}
	defer d.dirs.Done(dir)
	return dir.Lstat(name)
}

// use opens a file, to write: then it is made if it was not made yet. Give it back with done. Errors: NotFound, if somebody has removed it; nothing of it is here then.
func (d *Draft) use(i int, write bool) (*handle, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, fmt.Errorf("it is closed: %w", kith.Unavailable)
	}
	for k, h := range d.open {
		if h.i == i {
			copy(d.open[k:], d.open[k+1:])
			d.open[len(d.open)-1] = h
			h.users++
			return h, nil
		}
	}
	f, err := d.openFile(i, write)
	if err != nil {
		return nil, err
	}
	if len(d.open) >= maxOpen {
		d.drop(d.open[0])
		d.open = append(d.open[:0], d.open[1:]...)
	}
	h := &handle{File: f, i: i, users: 2}
	d.open = append(d.open, h)
	return h, nil
}

// openFile is use of a file that is not open. d.mu is held.
func (d *Draft) openFile(i int, write bool) (*os.File, error) {
	name := d.name(i)
	dir, base, err := d.dirs.Use(name)
	if errors.Is(err, fs.ErrNotExist) && !d.whole {
		if !write {
			return nil, d.lose(i)
		}
		if err = d.root.MkdirAll(filepath.FromSlash(path.Dir(name)), 0o777); err == nil {
			dir, base, err = d.dirs.Use(name)
		}
	}
	if err != nil {
		return nil, err
	}
	defer d.dirs.Done(dir)
	if d.isMade(i) {
		f, err := dir.OpenFile(base, os.O_RDWR|disk.OpenShared, 0)
		if !errors.Is(err, fs.ErrNotExist) || d.whole {
			return f, err
		}
		if err := d.lose(i); !write {
			return nil, err
		}
	}
	f, err := dir.OpenFile(base, os.O_RDWR|os.O_CREATE|os.O_EXCL, mode(d.s.Files[i]))
	if errors.Is(err, fs.ErrExist) { // left from before a crash
		if err = dir.Remove(base); err == nil {
			f, err = dir.OpenFile(base, os.O_RDWR|os.O_CREATE|os.O_EXCL, mode(d.s.Files[i]))
		}
	}
	if err != nil {
		return nil, err
	}
	err = f.Truncate(d.s.Files[i].Size)
	info, errStat := f.Stat()
	if err = join(err, errStat); err != nil {
		return nil, join(err, f.Close())
	}
	_, d.s.inos[i] = disk.Inode(info)
	d.made = append(d.made, i)
	return f, nil
}

// lose notes that somebody has removed a file.
func (d *Draft) lose(i int) error {
	delete(d.ahead, i)
	if d.s.Files[i].Size > 0 {
		d.s.have.Clear(bao.Range{First: d.base[i], N: d.base[i+1] - d.base[i]})
	}
	return fmt.Errorf("it was removed: %w", kith.NotFound)
}

// isMade reports whether a file was made by this draft. Where files have no numbers, one of which something is here was.
func (d *Draft) isMade(i int) bool {
	return d.s.inos[i] != 0 || d.whole || !d.s.Folder || d.s.Files[i].Size > 0 && d.s.have.Next(d.base[i], true) < d.base[i+1]
}

func (d *Draft) done(h *handle) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.drop(h)
}

// drop takes one user from h. d.mu is held.
func (d *Draft) drop(h *handle) {
	if h.users--; h.users == 0 {
		h.Close() // what was written is synced before it is said to be here
	}
}

func (d *Draft) closeFiles() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, h := range d.open {
		d.drop(h)
	}
	d.open = nil
}

// Finish makes a draft of which all is here durable, makes what has no bytes, and renames it into place: to a free name beside it if the name is taken. It returns
// where it is. After a crash, and when it is done, it may be called again. Errors: Invalid if something is missing.
func (d *Draft) Finish(ctx context.Context) (path string, err error) {
	d.save.Lock()
	defer d.save.Unlock()
	d.mu.Lock()
	whole := d.whole
	d.mu.Unlock()
	if whole {
		return d.final, nil
	}
	if err := d.finish(ctx); err != nil {
		return "", d.wrap("finish", -1, err)
	}
	return d.final, nil
}

func (d *Draft) finish(ctx context.Context) error {
	d.mu.Lock()
	here, all := d.s.have.Count(), d.s.have.Len()
	d.mu.Unlock()
	if here < all {
		return fmt.Errorf("%d of %d groups are here: %w", here, all, kith.Invalid)
	}
	if err := d.checkpoint(ctx); err != nil {
		return err
	}
	if err := d.makeEmpty(ctx); err != nil {
		return err
	}
	if d.final == "" {
		if err := d.rename(); err != nil {
			return err
		}
	}
	d.mu.Lock()
	d.whole = true
	d.mu.Unlock()
	return nil
}

// Place gives a folder of which all that is wanted is here its name, as Finish does, though something is missing: it can go on there.
func (d *Draft) Place(ctx context.Context) (path string, err error) {
	d.save.Lock()
	defer d.save.Unlock()
	if d.final != "" || !d.s.Folder {
		return d.Part(), nil
	}
	if err = d.checkpoint(ctx); err == nil {
		err = d.rename()
	}
	if err != nil {
		return "", d.wrap("place", -1, err)
	}
	return d.final, nil
}

// hasEmpty reports whether what has no bytes was made.
func (d *Draft) hasEmpty() bool {
	for i, f := range d.s.Files {
		if f.Size == 0 && d.s.Folder {
			if _, err := d.lstat(i); err != nil {
				return false
			}
		}
	}
	return true
}

// rename gives it its name, when nobody uses a file.
func (d *Draft) rename() error {
	d.pen.Lock()
	defer d.pen.Unlock()
	d.closeFiles()
	d.dirs.Close()
	if err := fault("settle"); err != nil {
		return err
	}
	final, err := disk.Settle(d.part(), d.s.Path, func(to string) error {
		d.mu.Lock()
		d.s.dest = to
		d.mu.Unlock()
		return d.tell(news{Dest: to})
	})
	if err != nil {
		return err
	}
	if err := fault("renamed"); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.final = final
	return nil
}

// makeEmpty makes what has no bytes: empty files and folders, and last the links, so that nothing is ever written through one.
func (d *Draft) makeEmpty(ctx context.Context) error {
	for links := range 2 {
		for i, f := range d.s.Files {
			if f.Size != 0 || !d.s.Folder || (f.Link != "") != (links == 1) {
				continue
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := d.makeOne(i, f); err != nil {
				return err
			}
		}
	}
	if disk.CanSyncAll {
		return disk.SyncAll(d.root)
	}
	return d.syncFiles(nil, nil)
}

func (d *Draft) makeOne(i int, f File) error {
	switch {
	case f.Dir:
		return d.root.MkdirAll(filepath.FromSlash(f.Path), 0o777)
	case f.Link != "":
		if err := d.root.MkdirAll(filepath.FromSlash(path.Dir(f.Path)), 0o777); err != nil {
			return err
		}
		if err := d.root.Symlink(f.Link, filepath.FromSlash(f.Path)); err != nil && !errors.Is(err, fs.ErrExist) {
			d.mu.Lock()
			d.notes = append(d.notes, fmt.Sprintf("link %s could not be made: %v", f.Path, err)) // some systems have none
			d.mu.Unlock()
		}
		return nil
	}
	h, err := d.use(i, true)
	if err == nil {
		d.done(h)
	}
	return err
}

// Remove removes the draft that a state remembers: its bytes unless it was finished, and the state. What others have put into its folder stays. It may not be open.
func Remove(file string) error {
	s, _, err := readState(file)
	if err == nil && s.begun {
		d := &Draft{s: *s}
		if d.isAt(d.part()) {
			err = d.removePart()
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil || errors.Is(err, kith.Corrupt) {
		err = os.Remove(file)
	}
	if err != nil {
		return fmt.Errorf("draft: remove %s: %w", file, disk.Error(err))
	}
	return nil
}

func (d *Draft) removePart() error {
	if !d.s.Folder {
		return os.Remove(d.part())
	}
	root, err := os.OpenRoot(d.part())
	if err != nil {
		return err
	}
	defer root.Close()
	folders := map[string]bool{}
	for _, f := range d.s.Files {
		if err := root.Remove(filepath.FromSlash(f.Path)); err != nil && !errors.Is(err, fs.ErrNotExist) && !f.Dir {
			return err
		}
		for up := path.Dir(f.Path); up != "." && !folders[up]; up = path.Dir(up) {
			folders[up] = true
		}
	}
	var deepest []string
	for f := range folders {
		deepest = append(deepest, f)
	}
	slices.SortFunc(deepest, func(a, b string) int { return strings.Count(b, "/") - strings.Count(a, "/") })
	for _, f := range deepest {
		root.Remove(filepath.FromSlash(f)) // stays if something is in it
	}
	os.Remove(d.part())
	return nil
}
