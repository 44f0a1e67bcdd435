package blob

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

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
	if err := disk.SyncAll(t.dir); err != nil {
		return Tree{}, err
	}
	t.dirs.Close()
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

// rename gives the folder its name. A private share of one file is that file.
func (t *TreeDownload) rename(ctx context.Context) (Tree, error) {
	from := t.dir.Name()
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
	for i := range t.placed {
		t.placed[i] = true
	}
	_, err = t.settled(ctx, row.dir, row.dest)
	return true, err
}
