package blob

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"kith"
	"kith/blob/seal"
)

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
	if _, err := s.writeOut(ctx, r, o, c, packHeader(o.Header())); err != nil {
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
