package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"kith"
	"kith/blob/bao"
	"kith/blob/digest"
	"kith/blob/disk"
)

// A Damage is bytes of a blob that are stored, and are not what they were.
type Damage struct {
	Ref     kith.Ref
	Path    string // the file; "" if the store keeps it itself
	Off, N  int64  // bytes of the blob: of a private tree, of the ciphertext that is made of the file
	Own     bool   // Kith made the file, and nobody has touched it since: it may be repaired without asking
	Changed bool   // somebody has changed or removed it: that may be no damage at all
}

// Verify reads all that is stored of a tree, whatever it looks like, and says what is damaged, in the order of places; maps of what is coming are put right as it goes, and so are hash trees
// as far as the data prove them. A file that was thought to be gone and is right is known again. progress is told the bytes done, of how many, as far as is known. Errors: NotFound.
func (s *Store) Verify(ctx context.Context, root kith.Ref, progress func(file string, done, total int64)) ([]Damage, error) {
	var found []Damage
	var done int64
	right := map[int64]bool{} // blobs that are whole in one place
	old := map[int]int64{}    // damage that was known before, and of which blob
	t, err := s.treeRow(ctx, root)
	if err != nil {
		return nil, fmt.Errorf("blob: verify %s: %w", root.Short(), err)
	}
	all, total, err := s.stored(ctx, t.id)
	for _, p := range all {
		if err != nil {
			break
		}
		var damage []Damage
		damage, err = s.verify(ctx, p, func(n int64) {
			if progress != nil {
				progress(p.path(), done+n, total)
			}
		})
		right[p.id] = right[p.id] || len(damage) == 0
		for _, d := range damage {
			if p.gone {
				old[len(found)] = p.id
			}
			found = append(found, d)
		}
		done += p.bytes
	}
	kept := found[:0]
	for i, d := range found { // that a second copy is gone need not be told again
		if id, ok := old[i]; !ok || !right[id] {
			kept = append(kept, d)
		}
	}
	found = kept
	if err != nil {
		return found, fmt.Errorf("blob: verify %s: %w", root.Short(), disk.Error(err))
	}
	return found, nil
}

// stored returns where what belongs to a tree is, and its bytes: what is in the database, or coming, has no name.
func (s *Store) stored(ctx context.Context, tree int64) (all []laid, total int64, err error) {
	rows, err := s.db.QueryContext(ctx, "SELECT blob.id, blob.size, sum, coalesce(place.folder, 0), coalesce(path, ''), coalesce(place.name, ''), coalesce(place.size, 0), coalesce(mtime, 0),"+
		" coalesce(dev, 0), coalesce(ino, 0), coalesce(own, 0), coalesce(gone, 0), header FROM member JOIN blob ON blob.id = member.blob"+
		" LEFT JOIN place ON place.blob = blob.id AND NOT EXISTS (SELECT 1 FROM part WHERE part.blob = blob.id) LEFT JOIN folder ON folder.id = place.folder WHERE member.tree = ? ORDER BY path, place.name", tree)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var p laid
		var sum []byte
		if err := rows.Scan(&p.id, &p.bytes, &sum, &p.folder, &p.dir, &p.name, &p.Size, &p.Mtime, &p.Dev, &p.Ino, &p.own, &p.gone, &p.header); err != nil {
			return nil, 0, err
		}
		if p.sum = bao.Sum(sum); p.folder == keepFolder {
			p.dir = s.keep()
		}
		all = append(all, p)
		total += p.bytes
	}
	return all, total, rows.Err()
}

// verify reads one place of a blob, or the blob that is in the database or coming.
func (s *Store) verify(ctx context.Context, p laid, progress func(n int64)) ([]Damage, error) {
	if p.name == "" {
		return s.verifyHeld(ctx, p, progress)
	}
	tree, err := s.treeOf(ctx, p)
	if err != nil {
		return nil, err
	}
	defer tree.close()
	wrong, now, err := s.scan(ctx, p, tree, progress)
	if err == nil {
		err = tree.keep(ctx, s, p)
	}
	if err != nil || len(wrong) == 0 {
		if err == nil && (p.gone || now != p.Stamp) {
			p.Stamp = now
			err = join(s.stamp(ctx, p), s.setGone(ctx, p.id, &p.place, false))
		}
		return nil, err
	}
	d := Damage{Ref: kith.RawRef(p.sum), Own: p.own && now == p.Stamp, Changed: now != p.Stamp}
	if p.folder != keepFolder {
		d.Path = p.path()
	}
	return d.at(wrong, p.bytes), nil
}

// at returns one Damage for each range of groups.
func (d Damage) at(groups []bao.Range, size int64) (all []Damage) {
	for _, r := range groups {
		d.Off = r.First * bao.GroupSize
		d.N = min(r.N*bao.GroupSize, size-d.Off)
		all = append(all, d)
	}
	return all
}

// verifyHeld reads a blob that has no place: its bytes are in the database, or it is coming, and what is wrong will be fetched again.
func (s *Store) verifyHeld(ctx context.Context, p laid, progress func(n int64)) ([]Damage, error) {
	all := []bao.Range{{First: 0, N: bao.Groups(p.bytes)}}
	b, err := s.Blob(ctx, kith.RawRef(p.sum))
	if errors.Is(err, kith.NotFound) || errors.Is(err, kith.Gone) {
		return Damage{Ref: kith.RawRef(p.sum), Own: true}.at(all, p.bytes), nil
	}
	if err != nil {
		return nil, err
	}
	defer b.Close()
	d := Damage{Ref: kith.RawRef(p.sum), Path: b.Path(), Own: true}
	buf := make([]byte, settleStep*bao.GroupSize)
	var wrong []bao.Range
	for g := int64(0); g < bao.Groups(p.bytes); g++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		have := b.Have()
		g = have.Next(g, true)
		end := min(have.Next(g, false), g+settleStep)
		if g >= end {
			break
		}
		_, err := b.ReadAt(buf[:min((end-g)*bao.GroupSize, p.bytes-g*bao.GroupSize)], g*bao.GroupSize)
		switch now := b.Have(); {
		case err == nil || err == io.EOF:
			g = end - 1
		case b.Complete():
			return d.at(all, p.bytes), nil
		case errors.Is(err, kith.NotFound) && now.Next(g, false) < end: // that group was taken back
			g = now.Next(g, false)
			wrong = append(wrong, bao.Range{First: g, N: 1})
		default:
			return nil, err
		}
		progress(min((g+1)*bao.GroupSize, p.bytes))
	}
	return d.at(wrong, p.bytes), join(b.Checkpoint(ctx))
}

// scan reads the file of a place to its end, and returns which groups are not what they were, and what the file looks like. A file that is not there is wrong from beginning to end.
func (s *Store) scan(ctx context.Context, p laid, tree *heldTree, progress func(n int64)) (wrong []bao.Range, now disk.Stamp, err error) {
	all := []bao.Range{{First: 0, N: bao.Groups(p.bytes)}}
	f, err := os.OpenFile(p.path(), os.O_RDONLY|disk.OpenShared, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return all, now, nil
	}
	if err != nil {
		return nil, now, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, now, err
	}
	now = disk.StampOf(info)
	if !info.Mode().IsRegular() {
		return all, now, nil
	}
	src, close, err := p.source()
	if err != nil {
		return nil, now, err
	}
	defer close()
	holes := bao.NewHoles(src, p.bytes)
	d, err := digest.Read(ctx, s.trees(), holes, p.bytes, nil, progress)
	if err != nil {
		return nil, now, err
	}
	defer d.Drop()
	got, err := d.Open()
	if err != nil {
		return nil, now, err
	}
	defer got.Close()
	wrong, tree.mended, err = tree.Compare(d.Sum, got)
	bad := holes.Groups() // zeros may have been the right thing to read, and are still not there
	if bad.Count() > 0 || now.Size > p.bytes && p.header == nil {
		for _, r := range wrong {
			bad.Set(r)
		}
		if now.Size > p.bytes && p.header == nil { // it is longer: its last group is another one
			bad.Set(bao.Range{First: bad.Len() - 1, N: 1})
		}
		wrong = nil
		for r := range bad.Ranges() {
			wrong = append(wrong, r)
		}
	}
	return wrong, now, err
}

// A heldTree is the tree of a blob as it is kept, to be mended.
type heldTree struct {
	*bao.Tree
	file   *os.File // nil: it is in memory
	memory bao.Memory
	mended bool
}

// treeOf opens the tree of a blob.
func (s *Store) treeOf(ctx context.Context, p laid) (*heldTree, error) {
	h := &heldTree{}
	if err := s.db.QueryRowContext(ctx, "SELECT tree FROM blob WHERE id = ?", p.id).Scan((*[]byte)(&h.memory)); err != nil {
		return nil, err
	}
	var storage bao.Storage = h.memory
	if n := bao.OutboardSize(p.bytes); n > digest.InlineTree {
		f, err := os.OpenFile(s.outboard(p.sum), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		h.file, storage = f, f
	} else if int64(len(h.memory)) != n {
		h.memory = make([]byte, n)
		storage = h.memory
	}
	h.Tree = bao.NewTree(p.sum, p.bytes, storage)
	return h, nil
}

// keep makes durable what was mended.
func (h *heldTree) keep(ctx context.Context, s *Store, p laid) error {
	if !h.mended {
		return nil
	}
	s.log.Warn("hash tree was damaged and has been made again", "op", "verify", "ref", kith.RawRef(p.sum))
	if h.file != nil {
		return h.file.Sync()
	}
	_, err := s.db.ExecContext(ctx, "UPDATE blob SET tree = ? WHERE id = ?", []byte(h.memory), p.id)
	return err
}

func (h *heldTree) close() {
	if h.file != nil {
		h.file.Close()
	}
}
