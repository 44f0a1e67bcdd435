package blob

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"

	"kith"
	"kith/blob/bao"
	"kith/blob/digest"
	"kith/blob/disk"
	"kith/blob/folder"
	"kith/blob/seal"
)

// MaxPut is how large a blob may be that is put at once. Larger ones go through Create.
const MaxPut = 4 * bao.GroupSize

// A TreeDownload is a folder that is being downloaded. All methods may be called at once. Its files get their own names at once, in a folder
// that gets its name when all are there: many small files then cost little more than copying them.
type TreeDownload struct {
	s    *Store
	root kith.Ref
	m    *folder.Manifest
	key  *seal.Key
	path string // where it will be

	id, folder int64
	dir        *os.Root   // path+folder.PartSuffix, or what was free; path after Place
	dirs       *disk.Dirs // those in it
	extra      bool       // the tree is complete elsewhere; this is another copy

	mu      sync.Mutex
	placed  []bool // by index: the file is in its place
	pending []put
	final   string // after Finish
}

// A put is a file that is written but not noted.
type put struct {
	i     int
	built digest.Digest
	disk.Stamp
	header []byte
}

// BeginTree begins or resumes the download of the folder root, whose manifest is m, as Manifest gives it for root and key. It will be at path (absolute), and is built beside it under a name that ends in folder.PartSuffix. For a private tree, key opens it: blobs come as
// ciphertext and are decrypted into place. A private share of one file becomes that file. Errors as Create and Manifest.
func (s *Store) BeginTree(ctx context.Context, root kith.Ref, m *folder.Manifest, path string, key *seal.Key) (*TreeDownload, error) {
	t, err := s.beginTree(ctx, root, m, path, key)
	if err != nil {
		return nil, fmt.Errorf("blob: begin folder %s: %w", root.Short(), disk.Error(err))
	}
	return t, nil
}

func (s *Store) beginTree(ctx context.Context, root kith.Ref, m *folder.Manifest, at string, key *seal.Key) (*TreeDownload, error) {
	if !filepath.IsAbs(at) {
		return nil, fmt.Errorf("%q is no absolute path: %w", at, kith.Invalid)
	}
	t := &TreeDownload{s: s, root: root, m: m, key: key, path: filepath.Clean(at), placed: make([]bool, len(m.Entries))}
	row, err := s.treeRow(ctx, root)
	resumed := err == nil && !row.Complete
	switch {
	case resumed:
		t.id, t.folder, t.path = row.id, row.folder, row.dest
		if ok, err := t.renamed(ctx, &row); ok || err != nil {
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
	if t.dir, err = os.OpenRoot(dir); err == nil {
		t.dirs = disk.NewDirs(t.dir)
	}
	return err
}

// makeDir makes the folder in which it is built, which nothing else may be in.
func (t *TreeDownload) makeDir(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(t.path), 0o777); err != nil {
		return err
	}
	size, _ := t.m.Size()
	if err := disk.Room(filepath.Dir(t.path), size); err != nil {
		return err
	}
	dir := t.path + folder.PartSuffix
	err := os.Mkdir(dir, 0o777)
	for n := 1; errors.Is(err, fs.ErrExist); n++ {
		dir = fmt.Sprintf("%s.%d%s", t.path, n, folder.PartSuffix)
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
		if err := rows.Scan(&name, &sum, &k.Size, &k.Mtime, &k.Dev, &k.Ino); err != nil {
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
		if k, ok := have[e.Path]; ok && k.sum == e.Ref.Sum && k.Stamp == disk.StampOf(info) {
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
func (t *TreeDownload) Manifest() *folder.Manifest { return t.m }

// Path returns where it will be; after Finish, where it is.
func (t *TreeDownload) Path() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.final != "" {
		return t.final
	}
	return t.path
}

// Dir returns the folder in which it is built until Finish.
func (t *TreeDownload) Dir() string {
	if t.dir == nil {
		return t.Path()
	}
	return t.dir.Name()
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
// not among them, nor is a second file with the same content. Of such the first that is wanted is, if one is; nil: all are.
func (t *TreeDownload) Missing(ctx context.Context, wanted func(i int) bool) ([]int, error) {
	missing, err := t.missing(ctx, wanted)
	if err != nil {
		return nil, fmt.Errorf("blob: look for files of %s: %w", t.root.Short(), err)
	}
	return missing, nil
}

func (t *TreeDownload) missing(ctx context.Context, wanted func(i int) bool) (missing []int, err error) {
	have, err := t.s.prepareHave(ctx)
	if err != nil {
		return nil, err
	}
	defer have.Close()
	few, err := t.s.few(ctx, len(t.m.Entries)) // one question in place of one for each file, where little is here
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	seen := map[bao.Sum]bool{}
	for i, e := range t.m.Entries {
		if t.placed[i] {
			seen[e.Ref.Sum] = true
		}
	}
	look := func(i int) error {
		e := t.m.Entries[i]
		if !e.File() || seen[e.Ref.Sum] {
			return nil
		}
		seen[e.Ref.Sum] = true
		err := sql.ErrNoRows
		if few == nil || few[e.Ref.Sum] {
			var one int
			err = have.QueryRowContext(ctx, e.Ref.Sum[:]).Scan(&one)
		}
		if errors.Is(err, sql.ErrNoRows) {
			missing, err = append(missing, i), nil
		}
		return err
	}
	for _, now := range []bool{true, false} {
		for i := range t.m.Entries {
			if (wanted == nil || wanted(i)) != now {
				continue
			}
			if err := look(i); err != nil {
				return nil, err
			}
		}
	}
	slices.Sort(missing)
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
		return fmt.Errorf("blob: put file %d of %s: %w", i, t.root.Short(), disk.Error(err))
	}
	return nil
}

func (t *TreeDownload) put(ctx context.Context, i int, data []byte) error {
	if i < 0 || i >= len(t.m.Entries) || !t.m.Entries[i].File() || len(data) > MaxPut || int64(len(data)) != t.m.BlobSize(i) {
		return fmt.Errorf("%d bytes of %d: %w", len(data), i, kith.Invalid)
	}
	b, err := digest.Read(ctx, t.s.trees(), bytes.NewReader(data), int64(len(data)), nil, nil)
	if err != nil {
		return err
	}
	if b.Sum != t.m.Entries[i].Ref.Sum {
		return &WrongGroup{0}
	}
	return t.place(i, b, data)
}

// place puts file i, whose blob b was made of data, where it belongs.
func (t *TreeDownload) place(i int, b digest.Digest, data []byte) error {
	p := put{i: i, built: b}
	if t.key != nil {
		o, err := openSealed(*t.key, bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return err
		}
		p.header = o.Header().Pack()
		data = make([]byte, o.PlainSize())
		if n, err := o.ReadAt(data, 0); n < len(data) {
			return err
		}
	}
	var err error
	if p.Stamp, err = t.write(i, func(f *os.File) error { _, err := f.Write(data); return err }, false); err != nil {
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
func (t *TreeDownload) write(i int, fill func(*os.File) error, sync bool) (st disk.Stamp, err error) {
	if err := fault("put"); err != nil {
		return st, err
	}
	e := t.m.Entries[i]
	dir, name, err := t.dirs.Use(e.Path)
	if err != nil {
		return st, err
	}
	defer t.dirs.Done(dir)
	mode := e.Mode.Perm() | 0o400
	f, err := dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) { // left from before a crash
		if err = dir.Remove(name); err == nil {
			f, err = dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		}
	}
	if err != nil {
		return st, err
	}
	defer func() { err = join(err, f.Close()) }()
	if err := fill(f); err != nil {
		return st, err
	}
	if sync || !disk.CanSyncAll {
		if err := f.Sync(); err != nil {
			return st, err
		}
	}
	info, err := f.Stat()
	if err != nil {
		return st, err
	}
	return disk.StampOf(info), nil
}

// Create begins or resumes the blob of file i. Its Finish puts it in its place, decrypted if it is private.
func (t *TreeDownload) Create(ctx context.Context, i int) (*Blob, error) {
	b, err := t.create(ctx, i)
	if err != nil {
		return nil, fmt.Errorf("blob: create file %d of %s: %w", i, t.root.Short(), disk.Error(err))
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

// Commit makes what was put so far durable: one sync and one transaction for all of it. Call it every few seconds.
func (t *TreeDownload) Commit(ctx context.Context) error {
	if err := t.commit(ctx); err != nil {
		return fmt.Errorf("blob: commit %s: %w", t.root.Short(), disk.Error(err))
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
	if err := disk.SyncAll(t.dir); err != nil {
		return err
	}
	if err := fault("commit"); err != nil {
		return err
	}
	return t.s.within(ctx, func(in *inserter) error {
		for _, p := range puts {
			id, err := in.built(&p.built)
			if err != nil {
				return err
			}
			at := place{spot: spot{folder: t.folder, name: t.m.Entries[p.i].Path}, Stamp: p.Stamp, own: true, header: p.header}
			if err := join(in.place(id, at), in.member(t.id, id)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Close commits, and gives it back, to be resumed with BeginTree.
func (t *TreeDownload) Close() error {
	err := t.Commit(context.Background())
	if t.dir != nil {
		t.dirs.Close()
		err = join(err, t.dir.Close())
	}
	return err
}
