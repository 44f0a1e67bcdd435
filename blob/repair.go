package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"kith"
	"kith/blob/bao"
	"kith/blob/disk"
	"kith/blob/folder"
	"kith/blob/seal"
)

// How a part came to be.
const (
	noRepair     = iota // it is a download
	ownRepair           // it was a file of Kith's
	othersRepair        // it was somebody's file, who asked for it
)

// Repair makes a file of a tree, which Verify found damaged, incomplete again: only what is damaged is missing, and what is right is served meanwhile. The file is renamed as one that is coming
// is, and gets its name back when it is finished; one that somebody has changed since is left alone, and the right one comes to stand beside it. If the right bytes are in
// another file here, it is repaired at once. Whoever calls it for a file that is not Kith's own has asked whose it is: see Damage.Own. A file that is right stays as it is. Errors: NotFound (no such file; it is
// not of this tree), Invalid (the tree is still coming), Unavailable (no room), Denied.
func (s *Store) Repair(ctx context.Context, root kith.Ref, path string) error {
	if err := s.repair(ctx, root, path); err != nil {
		return fmt.Errorf("blob: repair %s: %w", path, disk.Error(err))
	}
	return nil
}

// A Part is a file of a complete tree that Repair has made incomplete. Blob opens it, and Finish ends the repair.
type Part struct {
	Ref  kith.Ref
	Size int64
	Path string // where it was, and will be
}

// Repairing returns what of a tree is being repaired.
func (s *Store) Repairing(ctx context.Context, root kith.Ref) (all []Part, err error) {
	rows, err := s.db.QueryContext(ctx, "SELECT sum, blob.size, path, dest FROM part JOIN blob ON blob.id = part.blob JOIN folder ON folder.id = part.folder"+
		" WHERE repair > 0 AND part.blob IN (SELECT member.blob FROM member JOIN tree ON tree.id = member.tree WHERE root = ?) ORDER BY path, dest", root.Sum[:])
	if err != nil {
		return nil, fmt.Errorf("blob: repairs of %s: %w", root.Short(), err)
	}
	defer rows.Close()
	for rows.Next() {
		var sum []byte
		var p Part
		var at spot
		if err := rows.Scan(&sum, &p.Size, &at.dir, &at.name); err != nil {
			return nil, fmt.Errorf("blob: repairs of %s: %w", root.Short(), err)
		}
		p.Ref, p.Path = kith.RawRef(bao.Sum(sum)), at.path()
		all = append(all, p)
	}
	return all, rows.Err()
}

func (s *Store) repair(ctx context.Context, root kith.Ref, path string) error {
	t, err := s.treeRow(ctx, root)
	if err == nil && !t.Complete {
		err = fmt.Errorf("it is still coming: %w", kith.Invalid)
	}
	if err != nil {
		return err
	}
	all, _, err := s.stored(ctx, t.id)
	if err != nil {
		return err
	}
	var at *laid
	copies := 0
	for i, p := range all {
		if p.name != "" && p.folder != keepFolder && p.path() == path {
			at = &all[i]
		}
	}
	if at == nil {
		return fmt.Errorf("it is no file of %s: %w", root.Short(), kith.NotFound)
	}
	for _, p := range all {
		if p.id == at.id && p.name != "" && !p.gone && p.path() != path {
			copies++
		}
	}
	tree, err := s.treeOf(ctx, *at)
	if err != nil {
		return err
	}
	defer tree.close()
	wrong, now, err := s.scan(ctx, *at, tree, nil)
	if err != nil || len(wrong) == 0 {
		return err
	}
	if copies > 0 {
		if done, err := s.copyOver(ctx, at, now); done || err != nil {
			return err
		}
	}
	return s.beginRepair(ctx, at, wrong, now, tree)
}

// copyOver replaces a damaged file by what another one has, and reports whether that was right.
func (s *Store) copyOver(ctx context.Context, at *laid, now disk.Stamp) (bool, error) {
	if now != at.Stamp {
		return false, nil
	}
	if err := s.setGone(ctx, at.id, &at.place, true); err != nil {
		return false, err
	}
	s.reload(at.sum)
	b, err := s.Blob(ctx, kith.RawRef(at.sum))
	if errors.Is(err, kith.Gone) || errors.Is(err, kith.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer b.Close()
	var src io.ReaderAt = b
	size := b.Size()
	if at.header != nil {
		if src, size, err = unsealed(at.header, b, size); err != nil {
			return false, err
		}
	}
	info, err := os.Lstat(at.path())
	if err != nil {
		return false, err
	}
	temp, err := writeTemp(ctx, filepath.Dir(at.path()), src, size, info.Mode().Perm())
	if errors.Is(err, kith.Gone) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, s.replace(ctx, temp, at)
}

// unsealed returns the plaintext of a ciphertext, and its size.
func unsealed(header []byte, cipher io.ReaderAt, size int64) (io.ReaderAt, int64, error) {
	h, err := seal.Unpack(header)
	if err != nil {
		return nil, 0, err
	}
	o, err := h.Open(cipher, size)
	if err != nil {
		return nil, 0, err
	}
	return o, o.PlainSize(), nil
}

// writeTemp writes src durably to a file of its own, which is removed if that fails.
func writeTemp(ctx context.Context, dir string, src io.ReaderAt, size int64, mode fs.FileMode) (name string, err error) {
	if err := disk.Room(dir, size); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(dir, ".*"+folder.PartSuffix)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(f, &ctxReader{ctx, io.NewSectionReader(src, 0, size)})
	if err = join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

// replace puts temp in the place of a file that is damaged.
func (s *Store) replace(ctx context.Context, temp string, at *laid) error {
	info, err := os.Lstat(temp)
	if err == nil {
		err = os.Rename(temp, at.path())
	}
	if err != nil {
		return join(err, os.Remove(temp))
	}
	if err := disk.SyncDir(filepath.Dir(at.path())); err != nil {
		return err
	}
	at.Stamp, at.gone = disk.StampOf(info), true
	return join(s.stamp(ctx, *at), s.setGone(ctx, at.id, &at.place, false))
}

// reload makes whoever asks for a blob look again where it is.
func (s *Store) reload(sum bao.Sum) {
	s.mu.Lock()
	c := s.open[sum]
	s.mu.Unlock()
	if c != nil {
		s.forget(c)
		s.closeIdle(c)
	}
}

// beginRepair makes a part of what is right in a damaged file: of the file itself, or a copy if somebody has changed it, or if what is fetched is the ciphertext.
func (s *Store) beginRepair(ctx context.Context, at *laid, wrong []bao.Range, now disk.Stamp, tree *heldTree) error {
	bits := bao.NewBits(bao.Groups(at.bytes))
	bits.Set(bao.Range{First: 0, N: bits.Len()})
	for _, r := range wrong {
		bits.Clear(r)
	}
	part, err := freePart(at.spot)
	if err != nil {
		return err
	}
	move := now == at.Stamp && at.header == nil && now.Size == at.bytes
	mode := fs.FileMode(0)
	if move {
		info, err := os.Lstat(at.path())
		if err != nil {
			return err
		}
		if info.Mode()&0o200 == 0 { // it will be written to
			mode = info.Mode().Perm()
			if err := os.Chmod(at.path(), mode|0o200); err != nil {
				return err
			}
		}
	} else if now, err = s.copyRight(ctx, at, bits, part); err != nil {
		return err
	}
	if err := s.keepPartial(at, tree); err != nil {
		return err
	}
	if err := s.repairRows(ctx, at, bits, part, mode, now.Ino, move, tree); err != nil {
		return err
	}
	if err := fault("repair"); err != nil {
		return err
	}
	if move {
		if err := os.Rename(at.path(), part.path()); err != nil {
			return err
		}
		if err := disk.SyncDir(filepath.Dir(part.path())); err != nil {
			return err
		}
	}
	s.reload(at.sum)
	return nil
}

// freePart returns a name for the part of a file.
func freePart(at spot) (spot, error) {
	part := at
	for n := 0; ; n++ {
		part.name = at.name + folder.PartSuffix
		if n > 0 {
			part.name = fmt.Sprintf("%s.%d%s", at.name, n, folder.PartSuffix)
		}
		if _, err := os.Lstat(part.path()); errors.Is(err, fs.ErrNotExist) {
			return part, nil
		} else if err != nil {
			return part, err
		}
	}
}

// copyRight makes a part with the groups of a damaged file that are right.
func (s *Store) copyRight(ctx context.Context, at *laid, bits bao.Bits, part spot) (now disk.Stamp, err error) {
	if err := os.MkdirAll(filepath.Dir(part.path()), 0o777); err != nil {
		return now, err
	}
	if err := disk.Room(filepath.Dir(part.path()), at.bytes); err != nil {
		return now, err
	}
	f, err := os.OpenFile(part.path(), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return now, err
	}
	defer func() {
		if err = join(err, f.Close()); err != nil {
			os.Remove(part.path())
		}
	}()
	if err := f.Truncate(at.bytes); err != nil {
		return now, err
	}
	if bits.Count() > 0 {
		src, close, err := at.source()
		if err != nil {
			return now, err
		}
		defer close()
		for r := range bits.Ranges() {
			off := r.First * bao.GroupSize
			piece := &ctxReader{ctx, io.NewSectionReader(src, off, min(r.N*bao.GroupSize, at.bytes-off))}
			if _, err := io.Copy(io.NewOffsetWriter(f, off), piece); err != nil {
				return now, err
			}
		}
	}
	info, err := f.Stat()
	if err != nil {
		return now, err
	}
	return disk.StampOf(info), f.Sync()
}

// source opens the file of a place, whatever became of it.
func (p *laid) source() (src io.ReaderAt, close func() error, err error) {
	f, err := os.OpenFile(p.path(), os.O_RDONLY|disk.OpenShared, 0)
	if err != nil {
		return nil, nil, err
	}
	if p.header == nil {
		return f, f.Close, nil
	}
	h, err := seal.Unpack(p.header)
	if err != nil {
		return nil, nil, join(err, f.Close())
	}
	return seal.NewReaderAt(h, f, p.Size), f.Close, nil
}

// keepPartial puts the tree where that of a part is.
func (s *Store) keepPartial(at *laid, tree *heldTree) error {
	switch n := bao.OutboardSize(at.bytes); {
	case tree.file != nil:
		return tree.file.Sync()
	case n > smallTree:
		f, err := os.OpenFile(s.outboard(at.sum), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
		_, err = f.Write(tree.memory)
		return join(err, f.Sync(), f.Close())
	}
	return nil
}

func (s *Store) repairRows(ctx context.Context, at *laid, bits bao.Bits, part spot, mode fs.FileMode, ino int64, move bool, tree *heldTree) error {
	var small []byte
	if n := bao.OutboardSize(at.bytes); 0 < n && n <= smallTree {
		small = tree.memory
	}
	why := othersRepair
	if at.own {
		why = ownRepair
	}
	return s.within(ctx, func(in *inserter) error {
		_, err := in.exec("INSERT INTO part (blob, folder, name, dest, mode, ino, bits, clean, repair, header) VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?, ?)",
			at.id, at.folder, part.name, at.name, mode, ino, bits.Encode(), why, at.header)
		if err != nil {
			return err
		}
		if _, err := in.exec("UPDATE blob SET tree = ? WHERE id = ?", small, at.id); err != nil {
			return err
		}
		query := "UPDATE place SET gone = 1 WHERE folder = ? AND name = ? AND blob = ?"
		if move {
			query = "DELETE FROM place WHERE folder = ? AND name = ? AND blob = ?"
		}
		_, err = in.exec(query, at.folder, at.name, at.id)
		return err
	})
}

// finishRepair gives a part that is complete, and whose bytes are the ciphertext of a file, to that file: it replaces the damaged one, unless somebody has changed that.
func (p *part) finishRepair(ctx context.Context) error {
	src, size, err := unsealed(p.header, p.f, p.c.size)
	if err != nil {
		return err
	}
	at := laid{place: place{spot: spot{p.folder, p.dir, p.dest}, own: p.repair == ownRepair, header: p.header}, id: p.c.id}
	temp, err := writeTemp(ctx, filepath.Dir(p.path()), src, size, 0o644)
	if err != nil {
		return err
	}
	err = p.c.s.db.QueryRowContext(ctx, "SELECT size, mtime, dev, ino FROM place WHERE folder = ? AND name = ? AND blob = ?", p.folder, p.dest, p.c.id).
		Scan(&at.Size, &at.Mtime, &at.Dev, &at.Ino)
	if err != nil {
		return join(err, os.Remove(temp))
	}
	info, err := os.Lstat(at.path())
	if err == nil && disk.StampOf(info) == at.Stamp {
		if err := os.Chmod(temp, info.Mode().Perm()); err != nil {
			return join(err, os.Remove(temp))
		}
		err = p.c.s.replace(ctx, temp, &at)
	} else {
		var to string
		if to, err = disk.Settle(temp, at.path(), func(string) error { return nil }); err == nil {
			at.name = pathIn(p.dest, filepath.Base(to))
			info, err = os.Lstat(to)
		}
		if err == nil {
			at.Stamp = disk.StampOf(info)
		}
	}
	if err != nil {
		return err
	}
	at.gone = false
	if err := p.complete(ctx, at.place); err != nil {
		return err
	}
	return os.Remove(p.path())
}
