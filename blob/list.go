package blob

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"kith"
	"kith/blob/bao"
	"kith/blob/digest"
	"kith/blob/disk"
	"kith/blob/folder"
	"kith/blob/seal"
)

// Put keeps data in the store itself, and returns its name. GC takes it after an hour if no pinned tree has it by then.
func (s *Store) Put(ctx context.Context, data []byte, codec kith.Codec) (kith.Ref, error) {
	if err := s.put(ctx, data, 0); err != nil {
		return kith.Ref{}, fmt.Errorf("blob: put %d bytes: %w", len(data), disk.Error(err))
	}
	return kith.Ref{Sum: bao.Hash(data), Codec: codec}, nil
}

// put keeps data, for a tree unless that is 0: in the database if it is small, and in keep/ otherwise.
func (s *Store) put(ctx context.Context, data []byte, tree int64) error {
	size := int64(len(data))
	b, err := digest.Read(ctx, s.trees(), bytes.NewReader(data), size, nil, nil)
	if err != nil {
		return err
	}
	defer b.Drop()
	file := ""
	if size > inlineData {
		if file, err = s.putFile(data, b.Sum); err != nil {
			return err
		}
		data = nil
	} else if data == nil {
		data = []byte{}
	}
	return s.within(ctx, func(in *inserter) error {
		id, fresh, err := in.blob(b.Sum, size, data, b.Tree, size+b.Kept())
		if err != nil {
			return err
		}
		if fresh {
			if err := in.keep(&b); err != nil {
				return err
			}
		}
		if file != "" {
			info, err := os.Stat(file)
			if err != nil {
				return err
			}
			at := place{spot: spot{folder: keepFolder, name: filepath.Base(file)}, Stamp: disk.StampOf(info), own: true}
			if err := in.place(id, at); err != nil {
				return err
			}
		}
		if tree == 0 {
			return nil
		}
		return in.member(tree, id)
	})
}

func (s *Store) putFile(data []byte, sum bao.Sum) (string, error) {
	f, err := os.CreateTemp(s.keep(), "new-*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	err = join(err, f.Sync(), f.Close())
	file := filepath.Join(s.dir, "keep", fmt.Sprintf("%x", sum))
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return "", join(err, os.Remove(f.Name()))
	}
	return file, disk.SyncDir(filepath.Dir(file))
}

// Manifest reads the manifest that root names; key opens that of a private share. Errors: NotFound (also if it is not complete), Corrupt, Denied (wrong key).
func (s *Store) Manifest(ctx context.Context, root kith.Ref, key *seal.Key) (*folder.Manifest, error) {
	m, err := s.manifest(ctx, root, key)
	if err != nil {
		return nil, fmt.Errorf("blob: manifest %s: %w", root.Short(), err)
	}
	return m, nil
}

func (s *Store) manifest(ctx context.Context, root kith.Ref, key *seal.Key) (*folder.Manifest, error) {
	b, err := s.Blob(ctx, root)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	switch {
	case !b.Complete():
		return nil, fmt.Errorf("it is not complete: %w", kith.NotFound)
	case b.Size() > folder.MaxEncoded+folder.MaxEncoded/1024:
		return nil, fmt.Errorf("%d bytes: %w", b.Size(), kith.TooLarge)
	}
	if key == nil {
		data := make([]byte, b.Size())
		if _, err := b.ReadAt(data, 0); err != nil && err != io.EOF {
			return nil, err
		}
		return folder.Decode(data)
	}
	opened, err := openSealed(*key, b, b.Size())
	if err != nil {
		return nil, err
	}
	data := make([]byte, opened.PlainSize())
	if _, err := opened.ReadAt(data, 0); err != nil && err != io.EOF {
		return nil, err
	}
	m, err := folder.Decode(data)
	if err == nil {
		m.Sealed = true
	}
	return m, err
}

// openSealed opens ciphertext, and says Denied if key is another one's.
func openSealed(key seal.Key, cipher io.ReaderAt, size int64) (*seal.Opened, error) {
	o, err := seal.Open(key, cipher, size)
	if errors.Is(err, kith.Denied) {
		err = kith.Hint(fmt.Errorf("the key does not open it: %w", kith.Denied), "copy the whole link, to its last character")
	}
	return o, err
}

// Contains reports whether ref is root or one of the files of the folder root, as far as they are here.
func (s *Store) Contains(ctx context.Context, root, ref kith.Ref) (bool, error) {
	var ok bool
	err := s.db.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM tree WHERE root = ?1 AND (?1 = ?2 OR EXISTS"+
		" (SELECT 1 FROM member JOIN blob ON blob.id = blob WHERE member.tree = tree.id AND sum = ?2)))", root.Sum[:], ref.Sum[:]).Scan(&ok)
	if err != nil {
		return false, fmt.Errorf("blob: look for %s in %s: %w", ref.Short(), root.Short(), err)
	}
	return ok, nil
}

const selectTree = "SELECT tree.id, root, codec, name, size, files, folder, path, file, dest, state, private, download, pinned, gone" +
	" FROM tree JOIN folder ON folder.id = folder"

// A treeRow is a Tree with what only the store needs to know of it.
type treeRow struct {
	Tree
	id, folder int64
	dir, file  string
	dest       string
	state      int
}

// placed reports whether it is a folder that lacks something and has its name, as TreeDownload.Place gives it.
func (t treeRow) placed() bool { return t.Folder && !t.Complete && t.dir == t.dest }

func scanTree(scan func(...any) error) (t treeRow, err error) {
	var sum []byte
	err = scan(&t.id, &sum, &t.Root.Codec, &t.Name, &t.Size, &t.Files, &t.folder, &t.dir, &t.file, &t.dest, &t.state, &t.Private, &t.Download, &t.Pinned, &t.Gone)
	copy(t.Root.Sum[:], sum)
	t.Complete = t.state == ready
	t.Folder = t.file == ""
	switch {
	case !t.Complete:
		t.Path = t.dest
	default:
		t.Path = spot{dir: t.dir, name: t.file}.path()
	}
	return t, err
}

func (s *Store) treeRow(ctx context.Context, root kith.Ref) (treeRow, error) {
	t, err := scanTree(s.db.QueryRowContext(ctx, selectTree+" WHERE root = ? AND state <> ?", root.Sum[:], importing).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		err = kith.NotFound
	}
	return t, err
}

// State returns what is known of a tree. Errors: NotFound.
func (s *Store) State(ctx context.Context, root kith.Ref) (Tree, error) {
	t, err := s.treeRow(ctx, root)
	if err != nil {
		return Tree{}, fmt.Errorf("blob: state of %s: %w", root.Short(), err)
	}
	return t.Tree, nil
}

// Trees returns all trees, in the order in which they were added.
func (s *Store) Trees(ctx context.Context) ([]Tree, error) {
	rows, err := s.db.QueryContext(ctx, selectTree+" WHERE state <> ? ORDER BY tree.id", importing)
	if err != nil {
		return nil, fmt.Errorf("blob: list: %w", err)
	}
	defer rows.Close()
	var all []Tree
	for rows.Next() {
		t, err := scanTree(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("blob: list: %w", err)
		}
		all = append(all, t.Tree)
	}
	return all, rows.Err()
}

// settleTree gives a tree that was imported its root. If that is a tree already, the new one becomes part of it.
func (s *Store) settleTree(ctx context.Context, id int64, t Tree) (Tree, error) {
	err := s.within(ctx, func(in *inserter) error {
		old, err := scanTree(in.tx.QueryRow(selectTree+" WHERE root = ?", t.Root.Sum[:]).Scan)
		switch {
		case errors.Is(err, sql.ErrNoRows):
		case err != nil:
			return err
		case old.Complete && !old.Gone: // it is in two places now
			t.Download = old.Download
			if _, err := in.exec("UPDATE tree SET pinned = 1 WHERE id = ?", old.id); err != nil {
				return err
			}
			return in.forgetTree(id)
		default: // the bytes that were missing are here
			if err := in.forgetTree(old.id); err != nil {
				return err
			}
		}
		_, err = in.exec("UPDATE tree SET root = ?, codec = ?, size = ?, files = ?, state = ? WHERE id = ?",
			t.Root.Sum[:], t.Root.Codec, t.Size, t.Files, ready, id)
		return err
	})
	return t, err
}

// Pin keeps a tree from GC. Import and a finished download pin theirs.
func (s *Store) Pin(ctx context.Context, root kith.Ref) error { return s.pin(ctx, root, true) }

// Unpin lets GC forget a tree.
func (s *Store) Unpin(ctx context.Context, root kith.Ref) error { return s.pin(ctx, root, false) }

func (s *Store) pin(ctx context.Context, root kith.Ref, pinned bool) error {
	res, err := s.db.ExecContext(ctx, "UPDATE tree SET pinned = ? WHERE root = ? AND state <> ?", pinned, root.Sum[:], importing)
	if err == nil {
		if n, _ := res.RowsAffected(); n == 0 {
			err = kith.NotFound
		}
	}
	if err != nil {
		return fmt.Errorf("blob: pin %s: %w", root.Short(), err)
	}
	return nil
}

// Stored returns the bytes that Kith keeps itself.
func (s *Store) Stored(ctx context.Context) (int64, error) { return s.kept.Load(), ctx.Err() }

// Room returns how many bytes are free on the disk that the store is on, if that can be known.
func (s *Store) Room() (int64, bool) { return disk.Free(s.dir) }
