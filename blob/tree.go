package blob

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"

	"kith"
	"kith/blob/bao"
	"kith/blob/seal"
)

// MaxPut is how large a blob may be that is put at once. Larger ones go through Create.
const MaxPut = 4 * bao.GroupSize

// A TreeDownload is a folder that is being downloaded. All methods may be called at once. Its files get their own names at once, in a folder
// that gets its name when all are there: many small files then cost little more than copying them.
type TreeDownload struct {
	s    *Store
	root kith.Ref
	m    *Manifest
	key  *seal.Key
	path string // where it will be

	id, folder int64
	dir        *os.Root // path+PartSuffix, or what was free
	extra      bool     // the tree is complete elsewhere; this is another copy

	mu      sync.Mutex
	placed  []bool // by index: the file is in its place
	pending []put
	final   string // after Finish
}

// A put is a file that is written but not noted.
type put struct {
	i      int
	built  built
	stamp  stamp
	header []byte
}

// BeginTree begins or resumes the download of the folder root, whose manifest is here already (Put, or Create and Finish; of a private share, its
// ciphertext). It will be at path (absolute), and is built beside it under a name that ends in PartSuffix. For a private tree, key opens it: blobs come as
// ciphertext and are decrypted into place. A private share of one file becomes that file. Errors as Create and Manifest.
func (s *Store) BeginTree(ctx context.Context, root kith.Ref, path string, key *seal.Key) (*TreeDownload, error) {
	t, err := s.beginTree(ctx, root, path, key)
	if err != nil {
		return nil, fmt.Errorf("blob: begin folder %s: %w", root.Short(), diskError(err))
	}
	return t, nil
}

func (s *Store) beginTree(ctx context.Context, root kith.Ref, at string, key *seal.Key) (*TreeDownload, error) {
	if !filepath.IsAbs(at) {
		return nil, fmt.Errorf("%q is no absolute path: %w", at, kith.Invalid)
	}
	m, err := s.manifest(ctx, root, key)
	if err != nil {
		return nil, err
	}
	t := &TreeDownload{s: s, root: root, m: m, key: key, path: filepath.Clean(at), placed: make([]bool, len(m.Entries))}
	row, err := s.treeRow(ctx, root)
	resumed := err == nil && !row.Complete
	switch {
	case resumed:
		t.id, t.folder, t.path = row.id, row.folder, row.dest
		if ok, err := t.renamed(ctx, row); ok || err != nil {
			return t, err
		}
		err = t.openDir(row.dir)
	case err == nil && !row.Gone:
		t.extra, t.id = true, row.id
		err = t.makeDir(ctx)
	case err == nil || errors.Is(err, kith.NotFound):
		if err = t.makeDir(ctx); err == nil {
			err = t.addRow(ctx)
		}
	}
	if err == nil {
		err = t.prepare(ctx, resumed)
	}
	if err != nil {
		if t.dir != nil {
			err = join(err, t.dir.Close())
		}
		return nil, err
	}
	return t, nil
}

func (t *TreeDownload) openDir(dir string) (err error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	t.dir, err = os.OpenRoot(dir)
	return err
}

// makeDir makes the folder in which it is built, which nothing else may be in.
func (t *TreeDownload) makeDir(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(t.path), 0o777); err != nil {
		return err
	}
	size, _ := t.m.Size()
	if err := roomFor(filepath.Dir(t.path), size); err != nil {
		return err
	}
	dir := t.path + PartSuffix
	err := os.Mkdir(dir, 0o777)
	for n := 1; errors.Is(err, fs.ErrExist); n++ {
		dir = fmt.Sprintf("%s.%d%s", t.path, n, PartSuffix)
		err = os.Mkdir(dir, 0o777)
	}
	if err != nil {
		return err
	}
	if err := t.openDir(dir); err != nil {
		return err
	}
	res, err := t.s.db.ExecContext(ctx, "INSERT INTO folder (path) VALUES (?)", dir)
	if err == nil {
		t.folder, err = res.LastInsertId()
	}
	return err
}

// addRow adds the tree, or takes over that of a share that is gone.
func (t *TreeDownload) addRow(ctx context.Context) error {
	size, files := t.m.Size()
	return t.s.within(ctx, func(in *inserter) error {
		if _, err := in.exec("INSERT INTO tree (root, codec, name, size, files, folder, file, dest, state, private, download, pinned, gone)"+
			" VALUES (?, ?, ?, ?, ?, ?, '', ?, ?, ?, 1, 1, 0) ON CONFLICT DO UPDATE SET folder = excluded.folder, file = '', dest = excluded.dest,"+
			" state = excluded.state, download = 1, pinned = 1, gone = 0",
			t.root.Sum[:], t.root.Codec, filepath.Base(t.path), size, files, t.folder, t.path, coming, t.m.Sealed); err != nil {
			return err
		}
		if err := in.tx.QueryRow("SELECT id FROM tree WHERE root = ?", t.root.Sum[:]).Scan(&t.id); err != nil {
			return err
		}
		var manifest int64
		if err := in.tx.QueryRow("SELECT id FROM blob WHERE sum = ?", t.root.Sum[:]).Scan(&manifest); err != nil {
			return err
		}
		return in.member(t.id, manifest)
	})
}

// prepare makes the folders, and finds out which files are there.
func (t *TreeDownload) prepare(ctx context.Context, resumed bool) error {
	made := map[string]bool{".": true}
	for _, e := range t.m.Entries {
		dir := path.Dir(e.Path)
		if e.Mode.IsDir() {
			dir = e.Path
		}
		if !made[dir] {
			if err := t.dir.MkdirAll(filepath.FromSlash(dir), 0o777); err != nil {
				return err
			}
			made[dir] = true
		}
	}
	if resumed {
		if err := t.find(ctx); err != nil {
			return err
		}
	}
	empty := bao.Hash(nil)
	for i, e := range t.m.Entries {
		if e.File() && e.Ref.Sum == empty && !t.placed[i] && !t.m.Sealed {
			if err := t.Put(ctx, i, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// find takes the files that are there from before: those that the database knows, and small ones that were put but not committed, if they are right.
func (t *TreeDownload) find(ctx context.Context) error {
	rows, err := t.s.db.QueryContext(ctx, "SELECT name, sum, place.size, mtime, dev, ino FROM place JOIN blob ON blob.id = blob WHERE folder = ?", t.folder)
	if err != nil {
		return err
	}
	defer rows.Close()
	have := map[string]known{}
	for rows.Next() {
		var name string
		var sum []byte
		var k known
		if err := rows.Scan(&name, &sum, &k.size, &k.mtime, &k.dev, &k.ino); err != nil {
			return err
		}
		k.sum = bao.Sum(sum)
		have[name] = k
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for i, e := range t.m.Entries {
		if !e.File() {
			continue
		}
		info, err := t.dir.Lstat(filepath.FromSlash(e.Path))
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		if k, ok := have[e.Path]; ok && k.sum == e.Ref.Sum && k.stamp == stampOf(info) {
			t.placed[i] = true
		} else if !ok && t.key == nil && e.Size <= MaxPut && info.Size() == e.Size {
			data, err := t.dir.ReadFile(filepath.FromSlash(e.Path))
			if err == nil && int64(len(data)) == e.Size && bao.Hash(data) == e.Ref.Sum {
				if err := t.Put(ctx, i, data); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// Manifest returns what it consists of. The index of a file is its place in Entries.
func (t *TreeDownload) Manifest() *Manifest { return t.m }

// Path returns where it will be; after Finish, where it is.
func (t *TreeDownload) Path() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.final != "" {
		return t.final
	}
	return t.path
}

func (t *TreeDownload) finished() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.final != ""
}

// Placed reports whether file i is complete and in its place.
func (t *TreeDownload) Placed(i int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.placed[i]
}

// Missing returns the indexes of the files that must still be fetched, in their order: those that are here, in this folder or anywhere else, are
// not among them, nor is a second file with the same content.
func (t *TreeDownload) Missing(ctx context.Context) ([]int, error) {
	have, err := t.s.prepareHave(ctx)
	if err != nil {
		return nil, fmt.Errorf("blob: look for files of %s: %w", t.root.Short(), err)
	}
	defer have.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	seen := map[bao.Sum]bool{}
	for i, e := range t.m.Entries {
		if t.placed[i] {
			seen[e.Ref.Sum] = true
		}
	}
	var missing []int
	for i, e := range t.m.Entries {
		if !e.File() || seen[e.Ref.Sum] {
			continue
		}
		seen[e.Ref.Sum] = true
		var one int
		err := have.QueryRowContext(ctx, e.Ref.Sum[:]).Scan(&one)
		if errors.Is(err, sql.ErrNoRows) {
			missing = append(missing, i)
		} else if err != nil {
			return nil, fmt.Errorf("blob: look for files of %s: %w", t.root.Short(), err)
		}
	}
	return missing, nil
}

// prepareHave prepares the question whether a blob is complete.
func (s *Store) prepareHave(ctx context.Context) (*sql.Stmt, error) {
	return s.db.PrepareContext(ctx, "SELECT 1 FROM blob WHERE sum = ? AND NOT EXISTS (SELECT 1 FROM part WHERE part.blob = id) AND NOT ("+lostBlob+")")
}

// Put checks data, the whole blob of file i (ciphertext, if private; at most MaxPut bytes), and writes it. It survives a crash from the next Commit on.
// Errors: *WrongGroup, Invalid, Unavailable (disk full).
func (t *TreeDownload) Put(ctx context.Context, i int, data []byte) error {
	if err := t.put(ctx, i, data); err != nil {
		return fmt.Errorf("blob: put file %d of %s: %w", i, t.root.Short(), diskError(err))
	}
	return nil
}

func (t *TreeDownload) put(ctx context.Context, i int, data []byte) error {
	if i < 0 || i >= len(t.m.Entries) || !t.m.Entries[i].File() || len(data) > MaxPut || int64(len(data)) != t.m.BlobSize(i) {
		return fmt.Errorf("%d bytes of %d: %w", len(data), i, kith.Invalid)
	}
	b, err := t.s.build(ctx, readerAt(data), int64(len(data)), nil)
	if err != nil {
		return err
	}
	if b.sum != t.m.Entries[i].Ref.Sum {
		return &WrongGroup{0}
	}
	p := put{i: i, built: b}
	if t.key != nil {
		o, err := openSealed(*t.key, readerAt(data), int64(len(data)))
		if err != nil {
			return err
		}
		p.header = packHeader(o.Header())
		data = make([]byte, o.PlainSize())
		if n, err := o.ReadAt(data, 0); n < len(data) {
			return err
		}
	}
	if p.stamp, err = t.write(i, func(f *os.File) error { _, err := f.Write(data); return err }, false); err != nil {
		return err
	}
	t.add(p)
	return nil
}

func (t *TreeDownload) add(p put) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.placed[p.i] = true
	t.pending = append(t.pending, p)
}

// write makes file i of the folder.
func (t *TreeDownload) write(i int, fill func(*os.File) error, sync bool) (st stamp, err error) {
	if err := fault("put"); err != nil {
		return st, err
	}
	e := t.m.Entries[i]
	name := filepath.FromSlash(e.Path)
	mode := e.Mode.Perm() | 0o400
	f, err := t.dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) { // left from before a crash
		if err = t.dir.Remove(name); err == nil {
			f, err = t.dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		}
	}
	if err != nil {
		return st, err
	}
	defer func() { err = join(err, f.Close()) }()
	if err := fill(f); err != nil {
		return st, err
	}
	if sync || !canSyncAll {
		if err := f.Sync(); err != nil {
			return st, err
		}
	}
	info, err := f.Stat()
	if err != nil {
		return st, err
	}
	return stampOf(info), nil
}

// Create begins or resumes the blob of file i. Its Finish puts it in its place, decrypted if it is private.
func (t *TreeDownload) Create(ctx context.Context, i int) (*Blob, error) {
	b, err := t.create(ctx, i)
	if err != nil {
		return nil, fmt.Errorf("blob: create file %d of %s: %w", i, t.root.Short(), diskError(err))
	}
	return b, nil
}

func (t *TreeDownload) create(ctx context.Context, i int) (*Blob, error) {
	if i < 0 || i >= len(t.m.Entries) || !t.m.Entries[i].File() {
		return nil, fmt.Errorf("no file: %w", kith.Invalid)
	}
	e := t.m.Entries[i]
	want := request{ref: e.Ref, size: t.m.BlobSize(i), folder: t.folder, dir: t.dir.Name(), dest: e.Path, mode: e.Mode.Perm(), tree: t.id}
	for {
		c, err := t.s.acquire(ctx, e.Ref.Sum)
		if errors.Is(err, kith.NotFound) || errors.Is(err, kith.Gone) {
			if err = t.s.begin(ctx, want); err == nil || errors.Is(err, errBegun) {
				continue
			}
		}
		if err != nil {
			return nil, err
		}
		b := &Blob{c: c, ref: e.Ref}
		if c.size != want.size {
			return nil, join(fmt.Errorf("it has %d bytes, not %d: %w", c.size, want.size, kith.Corrupt), b.Close())
		}
		if p := c.part.Load(); p != nil {
			p.mu.Lock()
			if p.folder == t.folder {
				p.owner, p.entry = t, i
			}
			p.mu.Unlock()
		}
		return b, nil
	}
}

// finishSealed decrypts a complete blob of a private tree into its place; the ciphertext is made again from then on.
func (p *part) finishSealed(ctx context.Context, t *TreeDownload, i int) error {
	o, err := openSealed(*t.key, p.f, p.c.size)
	if err != nil {
		return err
	}
	if o.PlainSize() != t.m.Entries[i].Size {
		return fmt.Errorf("it has %d bytes, not %d: %w", o.PlainSize(), t.m.Entries[i].Size, kith.Corrupt)
	}
	if err := roomFor(p.dir, o.PlainSize()); err != nil {
		return err
	}
	st, err := t.write(i, func(f *os.File) error {
		_, err := io.Copy(f, &ctxReader{ctx, io.NewSectionReader(o, 0, o.PlainSize())})
		return err
	}, true)
	if err != nil {
		return err
	}
	at := spot{p.folder, p.dir, t.m.Entries[i].Path}
	if err := p.complete(ctx, place{spot: at, stamp: st, own: true, header: packHeader(o.Header())}); err != nil {
		return err
	}
	return os.Remove(p.path())
}

// Commit makes what was put so far durable: one sync and one transaction for all of it. Call it every few seconds.
func (t *TreeDownload) Commit(ctx context.Context) error {
	if err := t.commit(ctx); err != nil {
		return fmt.Errorf("blob: commit %s: %w", t.root.Short(), diskError(err))
	}
	return nil
}

func (t *TreeDownload) commit(ctx context.Context) error {
	t.mu.Lock()
	puts := t.pending
	t.pending = nil
	t.mu.Unlock()
	if len(puts) == 0 {
		return nil
	}
	err := t.record(ctx, puts)
	if err != nil {
		t.mu.Lock()
		t.pending = append(puts, t.pending...)
		t.mu.Unlock()
	}
	return err
}

func (t *TreeDownload) record(ctx context.Context, puts []put) error {
	if err := syncAll(t.dir); err != nil {
		return err
	}
	if err := fault("commit"); err != nil {
		return err
	}
	return t.s.within(ctx, func(in *inserter) error {
		for _, p := range puts {
			id, fresh, err := in.blob(p.built.sum, p.built.size, nil, p.built.tree, p.built.kept())
			if err != nil {
				return err
			}
			if fresh {
				if err := p.built.keep(in); err != nil {
					return err
				}
			}
			at := place{spot: spot{folder: t.folder, name: t.m.Entries[p.i].Path}, stamp: p.stamp, own: true, header: p.header}
			if err := join(in.place(id, at), in.member(t.id, id)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Finish commits, makes links, and renames the folder into place: to a free name beside it if the name is taken. Errors: Invalid if files are missing.
func (t *TreeDownload) Finish(ctx context.Context) (Tree, error) {
	tree, err := t.finish(ctx)
	if err != nil {
		return Tree{}, fmt.Errorf("blob: finish %s: %w", t.root.Short(), diskError(err))
	}
	return tree, nil
}

func (t *TreeDownload) finish(ctx context.Context) (Tree, error) {
	if at := t.Path(); t.finished() {
		tree, err := t.s.State(ctx, t.root)
		tree.Path = at
		return tree, err
	}
	if err := t.findFinished(ctx); err != nil {
		return Tree{}, err
	}
	for i, e := range t.m.Entries {
		if e.File() && !t.Placed(i) {
			if err := t.copyIn(ctx, i); err != nil {
				return Tree{}, fmt.Errorf("%s: %w", e.Path, err)
			}
		}
	}
	if err := t.commit(ctx); err != nil {
		return Tree{}, err
	}
	if err := t.links(ctx); err != nil {
		return Tree{}, err
	}
	if err := syncAll(t.dir); err != nil {
		return Tree{}, err
	}
	return t.rename(ctx)
}

// findFinished notes the files whose blobs were finished in their place.
func (t *TreeDownload) findFinished(ctx context.Context) error {
	rows, err := t.s.db.QueryContext(ctx, "SELECT name FROM place WHERE folder = ? AND blob <> 0", t.folder)
	if err != nil {
		return err
	}
	defer rows.Close()
	have := map[string]bool{}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
		have[name] = true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, e := range t.m.Entries {
		t.placed[i] = t.placed[i] || have[e.Path]
	}
	return rows.Err()
}

// copyIn puts file i in its place from a blob that is here already.
func (t *TreeDownload) copyIn(ctx context.Context, i int) error {
	e := t.m.Entries[i]
	b, err := t.s.Blob(ctx, e.Ref)
	if err == nil && !b.Complete() {
		err = join(fmt.Errorf("it is not complete: %w", kith.Invalid), b.Close())
	}
	if errors.Is(err, kith.NotFound) {
		err = fmt.Errorf("it is missing: %w", kith.Invalid)
	}
	if err != nil {
		return err
	}
	defer b.Close()
	var src io.ReaderAt = b
	var header []byte
	if t.key != nil {
		o, err := openSealed(*t.key, b, b.Size())
		if err != nil {
			return err
		}
		src, header = o, packHeader(o.Header())
	}
	st, err := t.write(i, func(f *os.File) error {
		_, err := io.Copy(f, &ctxReader{ctx, io.NewSectionReader(src, 0, e.Size)})
		return err
	}, false)
	if err != nil {
		return err
	}
	t.add(put{i: i, built: built{sum: e.Ref.Sum, size: b.Size()}, stamp: st, header: header})
	return nil
}

// links makes the links, after all else so that nothing is ever written through one, and notes what has no bytes but was made here.
func (t *TreeDownload) links(ctx context.Context) error {
	return t.s.within(ctx, func(in *inserter) error {
		for _, e := range t.m.Entries {
			if e.File() {
				continue
			}
			if e.Link != "" {
				err := t.dir.Symlink(e.Link, filepath.FromSlash(e.Path))
				if err != nil && !errors.Is(err, fs.ErrExist) {
					t.s.log.Warn("link could not be made", "op", "finish", "path", e.Path, "err", err) // some systems have none
					continue
				}
			}
			if err := in.place(0, place{spot: spot{folder: t.folder, name: e.Path}, own: true}); err != nil {
				return err
			}
		}
		return nil
	})
}

// rename gives the folder its name. A private share of one file is that file.
func (t *TreeDownload) rename(ctx context.Context) (Tree, error) {
	from := t.dir.Name()
	if t.m.Single() {
		from = filepath.Join(from, filepath.FromSlash(t.m.Entries[0].Path))
	}
	final, err := settle(from, t.path, func(to string) error {
		if t.extra {
			return nil
		}
		_, err := t.s.db.ExecContext(ctx, "UPDATE tree SET dest = ? WHERE id = ?", to, t.id)
		return err
	})
	if err != nil {
		return Tree{}, err
	}
	if err := fault("renamed"); err != nil {
		return Tree{}, err
	}
	return t.settled(ctx, t.dir.Name(), final)
}

// settled notes that what was built in dir has the name final.
func (t *TreeDownload) settled(ctx context.Context, dir, final string) (Tree, error) {
	at, file := final, ""
	if t.m.Single() {
		at, file = filepath.Dir(final), filepath.Base(final)
		if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return Tree{}, err
		}
	}
	err := t.s.within(ctx, func(in *inserter) error {
		if _, err := in.exec("UPDATE folder SET path = ? WHERE id = ?", at, t.folder); err != nil {
			return err
		}
		if file != "" {
			if _, err := in.exec("UPDATE place SET name = ? WHERE folder = ?", file, t.folder); err != nil {
				return err
			}
		}
		if t.extra {
			return nil
		}
		_, err := in.exec("UPDATE tree SET state = ?, file = ?, name = ? WHERE id = ?", ready, file, filepath.Base(final), t.id)
		return err
	})
	if err != nil {
		return Tree{}, err
	}
	t.mu.Lock()
	t.final = final
	t.mu.Unlock()
	tree, err := t.s.State(ctx, t.root)
	tree.Path = final
	return tree, err
}

// renamed reports whether it was finished and renamed before a crash, and only the database does not know; then it is told.
func (t *TreeDownload) renamed(ctx context.Context, row treeRow) (bool, error) {
	at := row.dest
	var name string
	var was stamp
	err := t.s.db.QueryRowContext(ctx, "SELECT name, size, mtime, dev, ino FROM place WHERE folder = ? AND blob <> 0 ORDER BY name LIMIT 1", t.folder).
		Scan(&name, &was.size, &was.mtime, &was.dev, &was.ino)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if _, err := os.Lstat(spot{dir: row.dir, name: name}.path()); err == nil {
		return false, nil // it is where it was built
	}
	if !t.m.Single() {
		at = spot{dir: row.dest, name: name}.path()
	}
	if info, err := os.Lstat(at); err != nil || stampOf(info) != was {
		return false, nil
	}
	for i := range t.placed {
		t.placed[i] = true
	}
	_, err = t.settled(ctx, row.dir, row.dest)
	return true, err
}

// Close commits, and gives it back, to be resumed with BeginTree.
func (t *TreeDownload) Close() error {
	err := t.Commit(context.Background())
	if t.dir != nil {
		err = join(err, t.dir.Close())
	}
	return err
}

// Unseal decrypts the complete ciphertext ref into path, or a free name beside it. From then on the blob is made again by sealing that file; a copy of
// the ciphertext in the store is dropped.
func (s *Store) Unseal(ctx context.Context, ref kith.Ref, key seal.Key, path string, mode fs.FileMode) error {
	if err := s.unseal(ctx, ref, key, filepath.Clean(path), mode); err != nil {
		return fmt.Errorf("blob: unseal %s: %w", ref.Short(), diskError(err))
	}
	return nil
}

func (s *Store) unseal(ctx context.Context, ref kith.Ref, key seal.Key, path string, mode fs.FileMode) error {
	c, err := s.acquire(ctx, ref.Sum)
	if err != nil {
		return err
	}
	defer c.release()
	b := &Blob{c: c, ref: ref}
	if !b.Complete() {
		return fmt.Errorf("it is not complete: %w", kith.NotFound)
	}
	o, err := openSealed(key, b, c.size)
	if err != nil {
		return err
	}
	r := request{ref: ref, size: o.PlainSize(), dir: filepath.Dir(path), dest: filepath.Base(path), mode: mode.Perm()}
	if err := s.writeOut(ctx, r, o, c, packHeader(o.Header())); err != nil {
		return err
	}
	return s.dropCopy(ctx, c)
}

// dropCopy removes the store's own copy of a blob that is elsewhere too.
func (s *Store) dropCopy(ctx context.Context, c *content) error {
	file := filepath.Join(s.dir, "keep", fmt.Sprintf("%x", c.sum))
	var own bool
	err := s.within(ctx, func(in *inserter) error {
		res, err := in.exec("DELETE FROM place WHERE blob = ? AND folder = ?", c.id, keepFolder)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); n == 0 || err != nil {
			return err
		}
		own = true
		_, err = in.exec("UPDATE blob SET kept = kept - size WHERE id = ?", c.id)
		return err
	})
	if err != nil || !own {
		return err
	}
	s.kept.Add(-c.size)
	s.forget(c)
	return os.Remove(file)
}
