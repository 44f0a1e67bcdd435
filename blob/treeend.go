package blob

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"

	"kith"
	"kith/blob/digest"
	"kith/blob/disk"
)

// Finish commits, makes links, and renames the folder into place: to a free name beside it if the name is taken. Errors: Invalid if files are missing.
func (t *TreeDownload) Finish(ctx context.Context) (Tree, error) {
	tree, err := t.finish(ctx)
	if err != nil {
		return Tree{}, fmt.Errorf("blob: finish %s: %w", t.root.Short(), disk.Error(err))
	}
	return tree, nil
}

func (t *TreeDownload) finish(ctx context.Context) (Tree, error) {
	if at := t.Path(); t.finished() {
		tree, err := t.s.State(ctx, t.root)
		tree.Path = at
		return tree, err
	}
	if err := t.fill(ctx, func(int) bool { return true }); err != nil {
		return Tree{}, err
	}
	if err := t.commit(ctx); err != nil {
		return Tree{}, err
	}
	if err := t.links(ctx); err != nil {
		return Tree{}, err
	}
	if err := disk.SyncAll(t.dir); err != nil {
		return Tree{}, err
	}
	final, err := t.rename(ctx)
	if err != nil {
		return Tree{}, err
	}
	return t.settled(ctx, t.dir.Name(), final)
}

// Place gives the folder its name when all files are here that are wanted, though others are missing, and returns where it is. Close it then; BeginTree goes on
// there. Errors: Invalid if a file that is wanted is missing.
func (t *TreeDownload) Place(ctx context.Context, wanted func(i int) bool) (string, error) {
	if t.finished() || t.m.Single() {
		return t.Path(), nil
	}
	err := t.fill(ctx, wanted)
	if err == nil {
		err = t.commit(ctx)
	}
	if err == nil {
		err = t.moveIn(ctx)
	}
	if err != nil {
		return "", fmt.Errorf("blob: place %s: %w", t.root.Short(), disk.Error(err))
	}
	return t.Path(), nil
}

func (t *TreeDownload) moveIn(ctx context.Context) error {
	t.prune()
	if err := disk.SyncAll(t.dir); err != nil {
		return err
	}
	final, err := t.rename(ctx)
	if err == nil {
		err = fault("placed")
	}
	if err != nil {
		return err
	}
	return t.moved(ctx, final)
}

// prune removes folders that nothing is in.
func (t *TreeDownload) prune() {
	dirs := map[string]bool{}
	for _, e := range t.m.Entries {
		dir := path.Dir(e.Path)
		if e.Mode.IsDir() {
			dir = e.Path
		}
		for ; dir != "." && !dirs[dir]; dir = path.Dir(dir) {
			dirs[dir] = true
		}
	}
	for _, dir := range slices.Backward(slices.Sorted(maps.Keys(dirs))) { // what is in a folder comes before it
		t.dir.Remove(filepath.FromSlash(dir)) // stays if something is in it
	}
}

// moved notes that what is built, and lacks something, is now at path.
func (t *TreeDownload) moved(ctx context.Context, path string) error {
	if _, err := t.s.db.ExecContext(ctx, "UPDATE folder SET path = ? WHERE id = ?", path, t.folder); err != nil {
		return err
	}
	t.mu.Lock()
	t.path = path
	t.mu.Unlock()
	for _, p := range t.s.partsIn(t.folder) {
		p.save.Lock()
		p.dir = path
		p.save.Unlock()
	}
	return nil
}

// partsIn returns the parts in a folder that somebody has open.
func (s *Store) partsIn(folder int64) (list []*part) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.open {
		if p := c.part.Load(); p != nil && p.folder == folder {
			list = append(list, p)
		}
	}
	return list
}

// fill puts files that are wanted, and are here but elsewhere, in their places.
func (t *TreeDownload) fill(ctx context.Context, wanted func(i int) bool) error {
	if err := t.findFinished(ctx); err != nil {
		return err
	}
	for i, e := range t.m.Entries {
		if e.File() && wanted(i) && !t.Placed(i) {
			if err := t.copyIn(ctx, i); err != nil {
				return fmt.Errorf("%s: %w", e.Path, err)
			}
		}
	}
	return nil
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
		src, header = o, o.Header().Pack()
	}
	st, err := t.write(i, func(f *os.File) error {
		_, err := io.Copy(f, &ctxReader{ctx, io.NewSectionReader(src, 0, e.Size)})
		return err
	}, false)
	if err != nil {
		return err
	}
	t.add(put{i: i, built: digest.Digest{Sum: e.Ref.Sum, Size: b.Size()}, Stamp: st, header: header})
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

// rename gives the folder its name, unless Place did. A private share of one file is that file.
func (t *TreeDownload) rename(ctx context.Context) (string, error) {
	t.dirs.Close()
	from := t.dir.Name()
	if from == t.path {
		return from, nil
	}
	if t.m.Single() {
		from = filepath.Join(from, filepath.FromSlash(t.m.Entries[0].Path))
	}
	final, err := disk.Settle(from, t.path, func(to string) error {
		if t.extra {
			return nil
		}
		_, err := t.s.db.ExecContext(ctx, "UPDATE tree SET dest = ? WHERE id = ?", to, t.id)
		return err
	})
	if err != nil {
		return "", err
	}
	return final, fault("renamed")
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

// renamed reports whether it was finished and renamed before a crash, and only the database does not know; then it is told. If it was Place that had renamed it, row
// says then where it goes on.
func (t *TreeDownload) renamed(ctx context.Context, row *treeRow) (bool, error) {
	at := row.dest
	var name string
	var was disk.Stamp
	err := t.s.db.QueryRowContext(ctx, "SELECT name, size, mtime, dev, ino FROM place WHERE folder = ? AND blob <> 0 ORDER BY name LIMIT 1", t.folder).
		Scan(&name, &was.Size, &was.Mtime, &was.Dev, &was.Ino)
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
	if info, err := os.Lstat(at); err != nil || disk.StampOf(info) != was {
		return false, nil
	}
	if err := t.findFinished(ctx); err != nil {
		return false, err
	}
	for i, e := range t.m.Entries {
		if e.File() && !t.placed[i] {
			row.dir = row.dest
			return false, t.moved(ctx, row.dest)
		}
	}
	_, err = t.settled(ctx, row.dir, row.dest)
	return true, err
}
