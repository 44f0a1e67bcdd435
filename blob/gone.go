package blob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"

	"kith"
	"kith/blob/bao"
	"kith/blob/digest"
	"kith/blob/disk"
)

// A Change says that a shared file of a tree was changed or removed by its owner, or is there again.
type Change struct {
	Root kith.Ref
	Path string // the file
	Gone bool   // false: it is back
}

// maxChanges is how many changes wait for a slow reader.
const maxChanges = 256

// Changes yields what becomes gone, or comes back, until ctx ends. A slow reader misses some: State always tells the truth.
func (s *Store) Changes(ctx context.Context) iter.Seq[Change] {
	ch := make(chan Change, maxChanges)
	s.mu.Lock()
	s.watch[ch] = true
	s.mu.Unlock()
	return func(yield func(Change) bool) {
		defer func() {
			s.mu.Lock()
			delete(s.watch, ch)
			s.mu.Unlock()
		}()
		for {
			select {
			case c := <-ch:
				if !yield(c) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

// lostBlob is the condition that the bytes of a blob are nowhere.
const lostBlob = "data IS NULL AND size > 0 AND NOT EXISTS (SELECT 1 FROM part WHERE part.blob = blob.id)" +
	" AND NOT EXISTS (SELECT 1 FROM place WHERE place.blob = blob.id AND NOT gone)"

// setGone notes that a file was found changed or removed, or as it was again, and what that means for the trees that need it.
func (s *Store) setGone(ctx context.Context, id int64, p *place, gone bool) error {
	if p.gone == gone && p.Mtime >= 0 {
		return nil
	}
	p.gone = gone
	var changed []Change
	err := s.within(ctx, func(in *inserter) error {
		if _, err := in.exec("UPDATE place SET gone = ?, mtime = ? WHERE folder = ? AND name = ? AND blob = ?",
			gone, p.Mtime, p.folder, p.name, id); err != nil {
			return err
		}
		rows, err := in.tx.Query("SELECT id, root, codec, gone, EXISTS (SELECT 1 FROM member JOIN blob ON blob.id = member.blob"+
			" WHERE member.tree = tree.id AND "+lostBlob+") FROM tree WHERE id IN (SELECT tree FROM member WHERE blob = ?)", id)
		if err != nil {
			return err
		}
		defer rows.Close()
		trees := map[int64]bool{}
		for rows.Next() {
			var tree int64
			var root kith.Ref
			var sum []byte
			var was, is bool
			if err := rows.Scan(&tree, &sum, &root.Codec, &was, &is); err != nil {
				return err
			}
			if copy(root.Sum[:], sum); was != is {
				trees[tree] = is
				changed = append(changed, Change{root, p.path(), is})
			}
		}
		if err := rows.Err(); err != nil {
			return err
		}
		for tree, is := range trees {
			if _, err := in.exec("UPDATE tree SET gone = ? WHERE id = ?", is, tree); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for ch := range s.watch {
		for _, c := range changed {
			select {
			case ch <- c:
			default:
			}
		}
	}
	return nil
}

// Look checks that the files of a complete tree are still at path, where Import or a download left them. A file that looks as it did when it
// was verified is taken for the same; one that looks different is read. Errors: NotFound, Gone (it names the first file that is missing or
// another one now; State says whether the bytes are anywhere else).
func (s *Store) Look(ctx context.Context, root kith.Ref, path string) error {
	if err := s.look(ctx, root, path); err != nil {
		return fmt.Errorf("blob: look at %s: %w", root.Short(), err)
	}
	return nil
}

func (s *Store) look(ctx context.Context, root kith.Ref, path string) error {
	t, err := s.treeRow(ctx, root)
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); err != nil {
		err = s.lookAt(ctx, t, path, func(p laid) error { return s.setGone(ctx, p.id, &p.place, true) })
		return errors.Join(fmt.Errorf("%s: %w", path, kith.Gone), err)
	}
	var gone error
	known := t.Folder || t.Private
	err = s.lookAt(ctx, t, path, func(p laid) error {
		known = true
		there, err := s.lies(ctx, &p)
		if err != nil {
			return err
		}
		if !there && gone == nil {
			gone = fmt.Errorf("%s was changed or removed: %w", p.path(), kith.Gone)
		}
		return s.setGone(ctx, p.id, &p.place, !there)
	})
	if !known { // the very file was there before it was asked for
		_, same, serr := s.same(ctx, path, root.Sum, t.Size)
		if err = errors.Join(err, serr); !same {
			gone = fmt.Errorf("%s was changed: %w", path, kith.Gone)
		}
	}
	return errors.Join(err, gone)
}

// laid is a place of the blob id.
type laid struct {
	place
	id, bytes int64
	sum       bao.Sum
}

// lookAt calls do with each place at path of a blob of the tree.
func (s *Store) lookAt(ctx context.Context, t treeRow, path string, do func(laid) error) error {
	dir, name := path, ""
	if !t.Folder {
		dir, name = filepath.Dir(path), filepath.Base(path)
	}
	rows, err := s.db.QueryContext(ctx, "SELECT place.folder, folder.path, place.name, place.size, mtime, dev, ino, own, gone, header, blob.id, blob.size, sum"+
		" FROM place JOIN folder ON folder.id = place.folder JOIN blob ON blob.id = place.blob JOIN member ON member.blob = blob.id AND member.tree = ?"+
		" WHERE folder.path = ? AND (? = '' OR place.name = ?)", t.id, dir, name, name)
	if err != nil {
		return err
	}
	defer rows.Close()
	var all []laid
	for rows.Next() {
		var p laid
		var sum []byte
		if err := rows.Scan(&p.folder, &p.dir, &p.name, &p.Size, &p.Mtime, &p.Dev, &p.Ino, &p.own, &p.gone, &p.header, &p.id, &p.bytes, &sum); err != nil {
			return err
		}
		p.sum = bao.Sum(sum)
		all = append(all, p)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, p := range all {
		if err := do(p); err != nil {
			return err
		}
	}
	return nil
}

// lies reports whether a place has its blob, and takes over how the file looks now if it has.
func (s *Store) lies(ctx context.Context, p *laid) (bool, error) {
	info, err := os.Lstat(p.path())
	if err != nil || !info.Mode().IsRegular() {
		return false, nil
	}
	now := disk.StampOf(info)
	if now == p.Stamp {
		return true, nil
	}
	as := p.place
	as.gone = false
	v, err := as.open()
	if errors.Is(err, kith.Gone) || errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer v.close()
	b, err := digest.Read(ctx, s.trees(), v.src, p.bytes, nil, nil)
	if err != nil {
		return false, err
	}
	defer b.Drop()
	if b.Sum != p.sum {
		return false, nil
	}
	p.Stamp = now
	return true, s.stamp(ctx, *p)
}

// stamp notes what the file of a place looks like now.
func (s *Store) stamp(ctx context.Context, p laid) error {
	_, err := s.db.ExecContext(ctx, "UPDATE place SET size = ?, mtime = ?, dev = ?, ino = ? WHERE folder = ? AND name = ? AND blob = ?",
		p.Size, p.Mtime, p.Dev, p.Ino, p.folder, p.name, p.id)
	return err
}
