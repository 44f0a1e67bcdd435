package ipfs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"kith"
	"kith/bridge"
	"kith/bridge/ipfs/unixfs"
)

// readSize is how much of a blob is read at once to be named.
const readSize = 1 << 20

// Publish implements bridge.Bridge.
func (b *Bridge) Publish(ctx context.Context, s bridge.Share) (kith.Names, error) {
	names, err := b.publish(ctx, s)
	return names, wrap("publish", s.Root.Short(), err)
}

func (b *Bridge) publish(ctx context.Context, s bridge.Share) (names kith.Names, err error) {
	if s.Root.IsZero() || len(s.Files) == 0 && !s.Folder || !s.Folder && len(s.Files) != 1 {
		return names, fmt.Errorf("a share of %d files: %w", len(s.Files), kith.Invalid)
	}
	if err := b.store.flush(ctx); err != nil {
		return names, err
	}
	var chosen *published
	for _, p := range b.profiles() {
		made, err := b.make(ctx, s, p)
		if err != nil {
			return names, err
		}
		if chosen == nil { // the first is what is published if none is what it was called before
			chosen = made
		}
		if !s.Names.IPFS.Defined() || s.Names.Path != "" {
			break
		}
		if made.root.Equals(s.Names.IPFS) || made.root.Hash().HexString() == s.Names.IPFS.Hash().HexString() {
			chosen = made
			break
		}
	}
	if err := b.store.share(ctx, s, chosen); err != nil {
		return names, err
	}
	b.announce(s.Root.String())
	names = s.Names
	names.IPFS, names.Path, names.IPNS = chosen.root, "", ""
	return names, nil
}

// profiles returns all, the one to be used first.
func (b *Bridge) profiles() []unixfs.Profile {
	all := []unixfs.Profile{b.profile}
	for _, p := range unixfs.Profiles {
		if p.ID != b.profile.ID {
			all = append(all, p)
		}
	}
	return all
}

// published is a share as one profile calls it.
type published struct {
	root   cid.Cid
	files  []int64 // dags
	folder *dag    // nil: it is the one file
}

// make names all of a share; blobs that no tap has seen are read.
func (b *Bridge) make(ctx context.Context, s bridge.Share, p unixfs.Profile) (*published, error) {
	out := &published{}
	var f *unixfs.Folder
	if s.Folder {
		out.folder = &dag{ref: s.Root, folder: true, profile: p}
		f = unixfs.NewFolder(p, out.folder.Node)
	}
	for _, file := range s.Files {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var err error
		switch {
		case file.Link != "":
			err = f.Symlink(file.Path, file.Link)
		case file.Mode.IsDir():
			err = f.Dir(file.Path)
		default:
			var d *dag
			if d, err = b.named(ctx, file, p); err != nil {
				break
			}
			out.files = append(out.files, d.id)
			if out.root = d.link.Cid; f != nil {
				err = f.Add(file.Path, d.link)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%q: %w", file.Path, err)
		}
	}
	if f == nil {
		return out, nil
	}
	l, err := f.Close(ctx)
	out.folder.link, out.root = l, l.Cid
	return out, err
}

// named returns what a blob is called.
func (b *Bridge) named(ctx context.Context, file bridge.File, p unixfs.Profile) (*dag, error) {
	d, err := b.store.find(ctx, file.Ref, false, p)
	if err == nil || !errors.Is(err, kith.NotFound) {
		return d, err
	}
	blob, err := b.o.Blobs.Blob(ctx, file.Ref)
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	d = &dag{ref: file.Ref, profile: p}
	made := unixfs.NewFile(p, blob.Size(), d)
	if _, err := io.CopyBuffer(made, &ctxReader{ctx, io.NewSectionReader(blob, 0, blob.Size())}, make([]byte, readSize)); err != nil {
		return nil, err
	}
	if d.link, err = made.Close(); err != nil {
		return nil, err
	}
	return d, b.store.write(ctx, func(tx *sql.Tx) error { return putDag(ctx, tx, d) })
}

// ctxReader reads until ctx ends.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (r *ctxReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// share writes down what is published. All of it is there afterwards, or nothing.
func (s *store) share(ctx context.Context, sh bridge.Share, p *published) error {
	root := sh.Root.String()
	return s.write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO share (root, name, cid, added) VALUES (?,?,?,?)
			ON CONFLICT DO UPDATE SET name = excluded.name, told = CASE WHEN cid = excluded.cid THEN told ELSE 0 END, cid = excluded.cid`,
			root, sh.Name, p.root.Bytes(), time.Now().Unix()); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM part WHERE share = ?`, root); err != nil {
			return err
		}
		files := p.files
		if p.folder != nil {
			if err := putDag(ctx, tx, p.folder); err != nil {
				return err
			}
			files = append(files, p.folder.id)
		}
		for _, id := range files {
			if _, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO part (share, dag) VALUES (?,?)`, root, id); err != nil {
				return err
			}
		}
		return nil
	})
}

// Withdraw implements bridge.Bridge. Records in the DHT end by themselves within two days.
func (b *Bridge) Withdraw(ctx context.Context, root kith.Ref) error {
	keys, err := b.store.keys(ctx, root.String(), b.o.Config.Provide)
	if err != nil {
		return wrap("withdraw", root.Short(), err)
	}
	if err := b.store.write(ctx, func(tx *sql.Tx) error {
		for _, q := range []string{`DELETE FROM share WHERE root = ?`, `DELETE FROM dag WHERE ref = ? AND folder = 1`} {
			if _, err := tx.ExecContext(ctx, q, root.String()); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return wrap("withdraw", root.Short(), err)
	}
	b.net.drop(root.String())
	return wrap("withdraw", root.Short(), b.forget(ctx, keys))
}

// keys returns what of a share the DHT is told.
func (s *store) keys(ctx context.Context, root, strategy string) ([]multihash.Multihash, error) {
	queries := []string{`SELECT cid FROM share WHERE root = ?`}
	if strategy != "roots" {
		queries = append(queries, `SELECT dag.cid FROM dag JOIN part ON part.dag = dag.id WHERE part.share = ?`,
			`SELECT x'1220' || node.sum FROM node JOIN dag ON dag.id = node.dag JOIN part ON part.dag = dag.id WHERE part.share = ? AND dag.folder = 1`)
	}
	if strategy == "all" {
		queries = append(queries, `SELECT x'1220' || node.sum FROM node JOIN part ON part.dag = node.dag WHERE part.share = ?`,
			`SELECT x'1220' || leaf.sum FROM leaf JOIN part ON part.dag = leaf.dag WHERE part.share = ?`)
	}
	seen := map[string]bool{}
	var out []multihash.Multihash
	for i, q := range queries {
		rows, err := s.db.QueryContext(ctx, q, root)
		if err != nil {
			return nil, err
		}
		for rows.Next() {
			var raw []byte
			if err := rows.Scan(&raw); err != nil {
				rows.Close()
				return nil, err
			}
			if i < 2 && len(raw) > 0 {
				if c, err := cid.Cast(raw); err == nil {
					raw = c.Hash()
				}
			}
			if !seen[string(raw)] {
				seen[string(raw)] = true
				out = append(out, multihash.Multihash(raw))
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Status implements bridge.Bridge.
func (b *Bridge) Status(root kith.Ref) (bridge.Status, error) {
	var raw []byte
	var up, told int64
	err := b.db.QueryRow(`SELECT cid, up, told FROM share WHERE root = ?`, root.String()).Scan(&raw, &up, &told)
	if errors.Is(err, sql.ErrNoRows) {
		return b.moves.status(root)
	}
	if err != nil {
		return bridge.Status{}, wrap("status", root.Short(), err)
	}
	c, err := cid.Cast(raw)
	if err != nil {
		return bridge.Status{}, wrap("status", root.Short(), err)
	}
	more, rate := b.store.counts(root.String())
	st := bridge.Status{Names: kith.Names{IPFS: c}, Up: up + more, UpRate: rate, Said: b.said(told)}
	st.Peers = b.moves.takers(c)
	return st, nil
}
