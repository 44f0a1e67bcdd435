package blob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kith"
	"kith/blob/bao"
	"kith/blob/disk"
)

const (
	gcGrace = time.Hour // what was added later is left alone: somebody may be about to make a tree of it
	gcStep  = 256       // blobs that one transaction removes
)

// A removal is what is to be done after blobs have left the database: files of the store's own, and parts.
type removal struct {
	files []string
	back  []repaired
	sums  []bao.Sum
	kept  int64
}

// A repaired is a damaged file that gets its name back.
type repaired struct {
	part, name string
	mode       fs.FileMode // 0: as it is
}

func (s *Store) remove(r removal) {
	for _, sum := range r.sums {
		s.mu.Lock()
		c := s.open[sum]
		s.mu.Unlock()
		if c != nil {
			if p := c.part.Load(); p != nil {
				p.abandon()
			}
			s.forget(c)
			s.closeIdle(c)
		}
	}
	for _, b := range r.back {
		to, err := disk.Settle(b.part, b.name, func(string) error { return nil })
		if err == nil && b.mode != 0 {
			err = os.Chmod(to, b.mode)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.log.Warn("file could not be given its name back", "op", "gc", "path", b.part, "err", err)
		}
	}
	for _, file := range r.files {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.log.Warn("file could not be removed", "op", "gc", "path", file, "err", err)
		}
	}
	s.kept.Add(-r.kept)
}

// closeIdle closes a content that was forgotten, if nobody has it.
func (s *Store) closeIdle(c *content) {
	s.mu.Lock()
	idle := c.refs == 0
	s.mu.Unlock()
	if idle {
		if err := c.close(); err != nil {
			s.log.Warn("blob could not be closed", "op", "gc", "err", err)
		}
	}
}

// doom fills a table with the blobs that are to go; query selects their numbers.
func (in *inserter) doom(query string, args ...any) error {
	if _, err := in.tx.Exec("CREATE TEMP TABLE IF NOT EXISTS doomed (id INTEGER PRIMARY KEY)"); err != nil {
		return err
	}
	if _, err := in.tx.Exec("DELETE FROM doomed"); err != nil {
		return err
	}
	_, err := in.tx.Exec("INSERT INTO doomed "+query, args...)
	return err
}

// sweep removes the rows of the doomed blobs, and returns what else is to be removed then.
func (in *inserter) sweep() (r removal, err error) {
	keep := in.s.keep()
	rows, err := in.tx.Query("SELECT folder, path, name, CASE WHEN repair > 0 AND header IS NULL THEN dest ELSE '' END, mode FROM part JOIN folder ON folder.id = folder WHERE blob IN doomed" +
		" UNION ALL SELECT 0, '', name, '', 0 FROM place WHERE folder = 0 AND blob IN doomed")
	if err != nil {
		return r, err
	}
	defer rows.Close()
	for rows.Next() {
		var at spot
		var dest string
		var mode fs.FileMode
		if err := rows.Scan(&at.folder, &at.dir, &at.name, &dest, &mode); err != nil {
			return r, err
		}
		if at.folder == keepFolder {
			at.dir = keep
		}
		if dest != "" {
			r.back = append(r.back, repaired{at.path(), spot{at.folder, at.dir, dest}.path(), mode})
			continue
		}
		r.files = append(r.files, at.path())
	}
	if err := rows.Err(); err != nil {
		return r, err
	}
	blobs, err := in.tx.Query("SELECT sum, kept, tree IS NULL AND size > ? FROM blob WHERE id IN doomed", bao.GroupSize)
	if err != nil {
		return r, err
	}
	defer blobs.Close()
	for blobs.Next() {
		var sum []byte
		var kept int64
		var outboard bool
		if err := blobs.Scan(&sum, &kept, &outboard); err != nil {
			return r, err
		}
		r.kept += kept
		r.sums = append(r.sums, bao.Sum(sum))
		if outboard {
			r.files = append(r.files, in.s.outboard(bao.Sum(sum)))
		}
	}
	if err := blobs.Err(); err != nil {
		return r, err
	}
	for _, query := range []string{
		"DELETE FROM part WHERE blob IN doomed", "DELETE FROM place WHERE blob IN doomed", "DELETE FROM blob WHERE id IN doomed",
		"DELETE FROM folder WHERE id <> 0 AND NOT EXISTS (SELECT 1 FROM place WHERE place.folder = folder.id AND place.blob <> 0)" +
			" AND NOT EXISTS (SELECT 1 FROM part WHERE part.folder = folder.id) AND NOT EXISTS (SELECT 1 FROM tree WHERE tree.folder = folder.id)",
		"DELETE FROM place WHERE blob = 0 AND NOT EXISTS (SELECT 1 FROM folder WHERE folder.id = place.folder)",
	} {
		if _, err := in.tx.Exec(query); err != nil {
			return r, err
		}
	}
	return r, nil
}

// forgetTree removes a tree's rows; its blobs stay until they are swept.
func (in *inserter) forgetTree(id int64) error {
	if _, err := in.exec("DELETE FROM member WHERE tree = ?", id); err != nil {
		return err
	}
	_, err := in.exec("DELETE FROM tree WHERE id = ?", id)
	return err
}

// dropTree removes a tree, and the blobs that no other tree has.
func (s *Store) dropTree(ctx context.Context, id int64) error {
	var r removal
	err := s.within(ctx, func(in *inserter) error {
		err := in.doom("SELECT blob FROM member AS m WHERE tree = ? AND NOT EXISTS"+
			" (SELECT 1 FROM member AS o WHERE o.blob = m.blob AND o.tree <> m.tree)", id)
		if err != nil {
			return err
		}
		if err := in.forgetTree(id); err != nil {
			return err
		}
		r, err = in.sweep()
		return err
	})
	if err == nil {
		s.remove(r)
	}
	return err
}

// dropImports removes what an Import left behind that was killed.
func (s *Store) dropImports(ctx context.Context) error {
	rows, err := s.db.QueryContext(ctx, "SELECT id FROM tree WHERE state = ?", importing)
	if err != nil {
		return err
	}
	defer rows.Close()
	var ids []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return err
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, id := range ids {
		if err := s.dropTree(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// GC removes what Kith keeps itself and no pinned tree has: never a file outside the store. It works in small steps between which others go on.
func (s *Store) GC(ctx context.Context) error {
	err := s.gc(ctx)
	if err != nil {
		return fmt.Errorf("blob: gc: %w", err)
	}
	return nil
}

func (s *Store) gc(ctx context.Context) error {
	for {
		var id int64
		err := s.db.QueryRowContext(ctx, "SELECT coalesce(max(id), 0) FROM tree WHERE NOT pinned AND state = ?", ready).Scan(&id)
		if err != nil {
			return err
		}
		if id == 0 {
			break
		}
		if err := s.within(ctx, func(in *inserter) error { return in.forgetTree(id) }); err != nil {
			return err
		}
	}
	for after := int64(0); after >= 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		var err error
		if after, err = s.gcStep(ctx, after); err != nil {
			return err
		}
	}
	return s.removeStrays(ctx)
}

// gcStep removes some blobs of no tree whose number is above after, and returns the last it looked at; -1 at the end.
func (s *Store) gcStep(ctx context.Context, after int64) (next int64, err error) {
	var r removal
	err = s.within(ctx, func(in *inserter) error {
		err := in.doom("SELECT id FROM blob WHERE id > ? AND made < ? AND NOT EXISTS (SELECT 1 FROM member WHERE member.blob = blob.id) ORDER BY id LIMIT ?",
			after, s.now().Add(-gcGrace).Unix(), gcStep)
		if err != nil {
			return err
		}
		if err := in.tx.QueryRow("SELECT coalesce(max(id), -1) FROM doomed").Scan(&next); err != nil {
			return err
		}
		for _, id := range s.inUse() {
			if _, err := in.exec("DELETE FROM doomed WHERE id = ?", id); err != nil {
				return err
			}
		}
		r, err = in.sweep()
		return err
	})
	if err == nil {
		s.remove(r)
	}
	return next, err
}

// inUse returns the numbers of the blobs that somebody has open.
func (s *Store) inUse() []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []int64
	for _, c := range s.open {
		if c.refs > 0 {
			ids = append(ids, c.id)
		}
	}
	return ids
}

// removeStrays removes files of the store's own that no row knows: a crash came between the database and the disk.
func (s *Store) removeStrays(ctx context.Context) error {
	for _, dir := range []string{"outboard", "keep"} {
		entries, err := os.ReadDir(filepath.Join(s.dir, dir))
		if err != nil {
			return err
		}
		for _, e := range entries {
			info, err := e.Info()
			if err != nil || s.now().Sub(info.ModTime()) < gcGrace {
				continue
			}
			var known bool
			stem, _, _ := strings.Cut(e.Name(), ".")
			if err := s.db.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM blob WHERE lower(hex(sum)) = ?)", stem).Scan(&known); err != nil {
				return err
			}
			if !known {
				if err := os.Remove(filepath.Join(s.dir, dir, e.Name())); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// Delete forgets a tree, and removes what was there of an unfinished download; of one that TreeDownload.Place has given its name only what is coming. With files it also deletes the files that Kith downloaded for
// it, as long as nobody has changed them since and no other tree has them; never any other. It reports whether files were deleted.
func (s *Store) Delete(ctx context.Context, root kith.Ref, files bool) (deleted bool, err error) {
	t, err := s.treeRow(ctx, root)
	if err == nil {
		if t.Download && (files || !t.Complete) {
			deleted, err = s.deleteFiles(ctx, t, !files && t.placed())
		}
		if err == nil {
			err = s.dropTree(ctx, t.id)
		}
	}
	if err != nil {
		return deleted, fmt.Errorf("blob: delete %s: %w", root.Short(), disk.Error(err))
	}
	return deleted, nil
}

// deleteFiles deletes the files in the tree's folder that Kith made and that are as it made them, or only those that are coming, and the folders that are empty then.
func (s *Store) deleteFiles(ctx context.Context, t treeRow, parts bool) (deleted bool, err error) {
	dir, err := os.OpenRoot(t.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer dir.Close()
	rows, err := s.db.QueryContext(ctx, "SELECT name, size, mtime, dev, ino FROM place AS p WHERE folder = ?1 AND own AND (blob = 0 AND ?3 = ''"+
		" OR EXISTS (SELECT 1 FROM member WHERE member.blob = p.blob AND tree = ?2) AND NOT EXISTS (SELECT 1 FROM member WHERE member.blob = p.blob AND tree <> ?2))"+
		" AND (?3 = '' OR name = ?3) AND NOT ?4", t.folder, t.id, t.file, parts)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	folders := map[string]bool{}
	for rows.Next() {
		var name string
		var was disk.Stamp
		if err := rows.Scan(&name, &was.Size, &was.Mtime, &was.Dev, &was.Ino); err != nil {
			return deleted, err
		}
		info, err := dir.Lstat(filepath.FromSlash(name))
		if err != nil || info.Mode().IsRegular() && disk.StampOf(info) != was {
			continue
		}
		if err := dir.Remove(filepath.FromSlash(name)); err == nil {
			deleted = true
		}
		for up := path.Dir(name); up != "."; up = path.Dir(up) {
			folders[up] = true
		}
	}
	if err := rows.Err(); err != nil {
		return deleted, err
	}
	if t.Complete || t.file == "" {
		n, err := s.deleteParts(ctx, t, dir, folders)
		if deleted = deleted || n > 0; err != nil {
			return deleted, err
		}
	}
	if t.file != "" {
		return deleted, nil
	}
	for _, f := range slices.SortedFunc(maps.Keys(folders), func(a, b string) int { return strings.Count(b, "/") - strings.Count(a, "/") }) {
		dir.Remove(filepath.FromSlash(f)) // stays if something is in it
	}
	if err := os.Remove(t.dir); err != nil {
		s.log.Debug("folder stays: something is in it", "op", "delete", "path", t.dir)
	}
	return deleted, nil
}

// deleteParts deletes the files in a folder that are coming, and names all folders in it: they were made for the download. Of a tree that is complete it deletes those of Kith's that are being
// repaired, and names theirs.
func (s *Store) deleteParts(ctx context.Context, t treeRow, dir *os.Root, folders map[string]bool) (n int, err error) {
	rows, err := s.db.QueryContext(ctx, "SELECT name FROM part AS p WHERE folder = ?1 AND blob IN (SELECT blob FROM member WHERE tree = ?2) AND (?3 = 0 OR repair = ?4 AND (?5 = '' OR dest = ?5) AND"+
		" NOT EXISTS (SELECT 1 FROM member WHERE member.blob = p.blob AND tree <> ?2))", t.folder, t.id, t.Complete, ownRepair, t.file)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return n, err
		}
		if err := dir.Remove(filepath.FromSlash(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return n, err
		}
		n++
		for up := path.Dir(name); up != "."; up = path.Dir(up) {
			folders[up] = true
		}
	}
	if err := rows.Err(); err != nil || t.Complete {
		return n, err
	}
	return n, fs.WalkDir(dir.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && name != "." {
			folders[name] = true
		}
		return err
	})
}
