package blob

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"kith"
	"kith/blob/bao"
	"kith/blob/digest"
	"kith/blob/disk"
)

// migrations make the tables, in order; what has been released is never changed.
var migrations = []string{schema1, schema2, schema3}

var (
	//go:embed schema/1.sql
	schema1 string
	//go:embed schema/2.sql
	schema2 string
	//go:embed schema/3.sql
	schema3 string
)

// The states of a tree.
const (
	importing = iota // being read; dropped at the next start
	coming           // being downloaded
	ready
)

// keepFolder is the folder that is keep/ in the store, wherever that is.
const keepFolder = 0

const (
	inlineData = bao.GroupSize // bytes of a blob of Kith's own that are kept in the database
)

// A spot is a file, by its folder's number.
type spot struct {
	folder int64
	dir    string // its path
	name   string
}

func (s spot) path() string { return filepath.Join(s.dir, filepath.FromSlash(s.name)) }

// A place is a file that holds a blob.
type place struct {
	spot
	disk.Stamp
	own, gone bool
	header    []byte
}

// An inserter adds rows within one transaction.
type inserter struct {
	s        *Store
	tx       *sql.Tx
	stmts    map[string]*sql.Stmt
	now      int64
	reserved int64    // bytes of the quota, given back if the transaction fails
	undo     []string // files to be removed if it fails
}

func (s *Store) inserter(ctx context.Context) (*inserter, error) {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	return &inserter{s: s, tx: tx, stmts: map[string]*sql.Stmt{}, now: s.now().Unix()}, nil
}

// exec runs a statement that is prepared once for the transaction, which ends it.
func (in *inserter) exec(query string, args ...any) (sql.Result, error) {
	stmt := in.stmts[query]
	if stmt == nil {
		var err error
		if stmt, err = in.tx.Prepare(query); err != nil {
			return nil, err
		}
		in.stmts[query] = stmt
	}
	return stmt.Exec(args...)
}

// end commits if err is nil, and rolls back otherwise.
func (in *inserter) end(err error) error {
	if err != nil {
		if rollback := in.tx.Rollback(); !errors.Is(rollback, sql.ErrTxDone) { // done: its context has ended
			err = join(err, rollback)
		}
	} else {
		err = in.tx.Commit()
	}
	if err != nil {
		in.s.kept.Add(-in.reserved)
		for _, file := range in.undo {
			os.Remove(file)
		}
	}
	return err
}

// room reserves n bytes of the quota.
func (in *inserter) room(n int64) error {
	err := in.s.room(n)
	if err == nil {
		in.reserved += n
	}
	return err
}

// blob adds a blob unless it is known, and returns its number. data and tree are nil if they are not kept in the database. For a fresh one, kept
// bytes of the quota are reserved.
func (in *inserter) blob(sum bao.Sum, size int64, data, tree []byte, kept int64) (id int64, fresh bool, err error) {
	res, err := in.exec("INSERT INTO blob (sum, size, data, tree, kept, made) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
		sum[:], size, data, tree, kept, in.now)
	if err != nil {
		return 0, false, err
	}
	if n, err := res.RowsAffected(); err != nil {
		return 0, false, err
	} else if n == 1 {
		if err := in.room(kept); err != nil {
			return 0, false, err
		}
		id, err = res.LastInsertId()
		return id, true, err
	}
	var have int64
	err = in.tx.QueryRow("SELECT id, size FROM blob WHERE sum = ?", sum[:]).Scan(&id, &have)
	if err == nil && have != size {
		err = fmt.Errorf("a blob of %d bytes is known with %d: %w", size, have, kith.Invalid)
	}
	return id, false, err
}

// built adds the blob that was read, unless it is known, and gives its tree a place.
func (in *inserter) built(d *digest.Digest) (id int64, err error) {
	id, fresh, err := in.blob(d.Sum, d.Size, nil, d.Tree, d.Kept())
	if err == nil && fresh {
		err = in.keep(d)
	}
	return id, err
}

// keep gives a tree that is in a file its place, unless the transaction fails. One in memory goes to the database.
func (in *inserter) keep(d *digest.Digest) error {
	if d.File == "" {
		return nil
	}
	file := in.s.outboard(d.Sum)
	err := os.Rename(d.File, file)
	if err == nil {
		d.File = ""
		in.undo = append(in.undo, file)
	}
	return err
}

// place notes where a blob is. That Kith made the file, once noted, stays.
func (in *inserter) place(blob int64, p place) error {
	_, err := in.exec("INSERT INTO place (folder, name, blob, size, mtime, dev, ino, own, gone, header) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?)"+
		" ON CONFLICT DO UPDATE SET size = excluded.size, mtime = excluded.mtime, dev = excluded.dev, ino = excluded.ino,"+
		" own = max(own, excluded.own), gone = 0, header = excluded.header",
		p.folder, p.name, blob, p.Size, p.Mtime, p.Dev, p.Ino, p.own, p.header)
	return err
}

func (in *inserter) member(tree, blob int64) error {
	_, err := in.exec("INSERT INTO member (tree, blob) VALUES (?, ?) ON CONFLICT DO NOTHING", tree, blob)
	return err
}

// folder returns the number of a folder of shares, which all of the same path have in common.
func (in *inserter) folder(path string) (id int64, err error) {
	err = in.tx.QueryRow("SELECT id FROM folder WHERE path = ? LIMIT 1", path).Scan(&id)
	if !errors.Is(err, sql.ErrNoRows) {
		return id, err
	}
	res, err := in.exec("INSERT INTO folder (path) VALUES (?)", path)
	if err != nil {
		return 0, err
	}
	return res.LastInsertId()
}

// within runs f in a transaction.
func (s *Store) within(ctx context.Context, f func(in *inserter) error) error {
	in, err := s.inserter(ctx)
	if err != nil {
		return err
	}
	return in.end(f(in))
}

// join is errors.Join, but leaves a single error as it is, with its hint.
func join(errs ...error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}
