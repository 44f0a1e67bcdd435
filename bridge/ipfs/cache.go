package ipfs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"

	"kith"
	"kith/internal/atomicfile"
	"kith/internal/room"
)

// cache keeps blocks that the gateway fetched, as many as there is room for, and those that are pinned. Each is a file; the database knows which was
// used last. A file is checked against its CID whenever it is read.
type cache struct {
	db   *sql.DB
	dir  string
	max  int64
	held atomic.Int64 // bytes that are not pinned

	opened time.Time // less a second, for the coarse clock of file systems
}

// touchEvery is how long a block that is used is not written down again as used.
const touchEvery = time.Minute

func openCache(db *sql.DB, dir string, max int64) (*cache, error) {
	if max == 0 {
		max = DefaultCache
	}
	c := &cache{db: db, dir: dir, max: max, opened: time.Now().Add(-time.Second)}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	var held int64
	err := db.QueryRow(`SELECT coalesce(sum(size), 0) FROM block WHERE pins = 0`).Scan(&held)
	c.held.Store(held)
	return c, err
}

func (c *cache) path(id cid.Cid) string {
	name := cid.NewCidV1(cid.Raw, id.Hash()).String()
	return filepath.Join(c.dir, name[len(name)-2:], name)
}

// key names a block whatever its codec.
func (c *cache) key(id cid.Cid) []byte { return id.Hash() }

func (c *cache) size(ctx context.Context, id cid.Cid, pinned bool) (int, error) {
	n, _, err := c.row(ctx, id, pinned)
	return n, err
}

func (c *cache) row(ctx context.Context, id cid.Cid, pinned bool) (size int, used int64, err error) {
	err = c.db.QueryRowContext(ctx, `SELECT size, used FROM block WHERE cid = ? AND pins >= ?`, c.key(id), pinned).Scan(&size, &used)
	if errors.Is(err, sql.ErrNoRows) {
		err = kith.NotFound
	}
	return size, used, err
}

// get returns a block. Errors: NotFound.
func (c *cache) get(ctx context.Context, id cid.Cid, pinned bool) ([]byte, error) {
	size, used, err := c.row(ctx, id, pinned)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(c.path(id))
	if err != nil || len(data) != size || check(id, data) != nil {
		c.drop(ctx, id)
		return nil, fmt.Errorf("ipfs: block %v was damaged: %w", id, kith.NotFound)
	}
	if now := time.Now().Unix(); now-used > int64(touchEvery/time.Second) {
		c.db.ExecContext(ctx, `UPDATE block SET used = ? WHERE cid = ?`, now, c.key(id))
	}
	return data, nil
}

// check compares bytes with a CID. Errors: Corrupt.
func check(id cid.Cid, data []byte) error {
	got, err := id.Prefix().Sum(data)
	if err != nil {
		return fmt.Errorf("ipfs: %v: %w: %w", id, err, kith.Invalid)
	}
	if !got.Equals(id) {
		return fmt.Errorf("ipfs: what came as %v is another block: %w", id, kith.Corrupt)
	}
	return nil
}

// put keeps a block that was checked. Unless it is to be pinned, it may not be kept.
func (c *cache) put(ctx context.Context, id cid.Cid, data []byte, pin bool) error {
	if c.max < 0 && !pin {
		return nil
	}
	if _, _, err := c.row(ctx, id, false); err == nil {
		return nil
	}
	path := c.path(id)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := atomicfile.Write(path, data, 0o600); err != nil {
		return room.Explain(err)
	}
	if _, err := c.db.ExecContext(ctx, `INSERT OR IGNORE INTO block (cid, size, used) VALUES (?,?,?)`, c.key(id), len(data), time.Now().Unix()); err != nil {
		return room.Explain(err)
	}
	c.held.Add(int64(len(data)))
	if !pin {
		return c.trim(ctx)
	}
	return nil
}

// drop forgets a block.
func (c *cache) drop(ctx context.Context, id cid.Cid) {
	var size int64
	var pins int
	if c.db.QueryRowContext(ctx, `DELETE FROM block WHERE cid = ? RETURNING size, pins`, c.key(id)).Scan(&size, &pins) == nil && pins == 0 {
		c.held.Add(-size)
	}
	os.Remove(c.path(id))
}

// trimMost bounds the blocks that one trim takes.
const trimMost = 256

// trim drops blocks that were not used for longest until there is room.
func (c *cache) trim(ctx context.Context) error {
	for c.held.Load() > max(0, c.max) {
		rows, err := c.db.QueryContext(ctx, `SELECT cid FROM block WHERE pins = 0 ORDER BY used LIMIT ?`, trimMost)
		if err != nil {
			return err
		}
		var ids []cid.Cid
		for rows.Next() {
			var hash []byte
			if err := rows.Scan(&hash); err != nil {
				rows.Close()
				return err
			}
			ids = append(ids, cid.NewCidV1(cid.Raw, hash))
		}
		if err := rows.Close(); err != nil || len(ids) == 0 {
			return err
		}
		for _, id := range ids {
			if c.held.Load() <= max(0, c.max)*9/10 {
				break
			}
			c.drop(ctx, id)
		}
	}
	return nil
}

// sweep removes files of before that the database knows nothing of: what is being put has its row last.
func (c *cache) sweep(ctx context.Context) error {
	return filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || ctx.Err() != nil {
			return cmpOr(ctx.Err(), err)
		}
		if info, err := d.Info(); err != nil || info.ModTime().After(c.opened) {
			return nil
		}
		id, err := cid.Decode(d.Name())
		if err == nil {
			if _, _, err = c.row(ctx, id, false); err == nil {
				return nil
			}
		}
		if kith.KindOf(err) == kith.NotFound || err != nil && ctx.Err() == nil {
			os.Remove(path)
		}
		return ctx.Err()
	})
}

func cmpOr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
