// Package sqlds is go-datastore's key-value store over one SQLite database: what the overlay and the network remember.
//
// It is not for blobs nor for anything that wants a query of its own. Its one idea: nothing is held between calls, so that a
// store at rest costs no memory: a query is read in pages, a batch is one transaction.
package sqlds

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"

	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"

	"kith/internal/db"
)

const (
	page     = 256  // rows that a query reads at a time
	maxBatch = 4096 // operations that a batch collects before it writes them
)

var migrations = []string{`CREATE TABLE kv (k TEXT PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID`}

// Store is a datastore.Batching. It may be used by several goroutines at once. Its methods do not end when their context does: each is short, and
// go-libp2p-kad-dht's provider, for one, writes down what is left to do under a context that it has cancelled.
type Store struct{ db *sql.DB }

var _ datastore.Batching = (*Store)(nil)
var _ datastore.PersistentDatastore = (*Store)(nil)

// Open opens the store in the file at path, and makes it if there is none. A damaged file is set aside; note then says so to a person.
func Open(path string, log *slog.Logger) (s *Store, note string, err error) {
	d, note, err := db.Open(path, log, migrations)
	if err != nil {
		return nil, note, fmt.Errorf("sqlds: open: %w", err)
	}
	return &Store{d}, note, nil
}

// Close implements datastore.Datastore.
func (s *Store) Close() error { return s.db.Close() }

// Get implements datastore.Datastore.
func (s *Store) Get(_ context.Context, key datastore.Key) (value []byte, err error) {
	err = s.db.QueryRow(`SELECT v FROM kv WHERE k = ?`, key.String()).Scan(&value)
	return value, notFound(err)
}

// Has implements datastore.Datastore.
func (s *Store) Has(ctx context.Context, key datastore.Key) (bool, error) {
	_, err := s.GetSize(ctx, key)
	if errors.Is(err, datastore.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// GetSize implements datastore.Datastore.
func (s *Store) GetSize(_ context.Context, key datastore.Key) (size int, err error) {
	err = s.db.QueryRow(`SELECT length(v) FROM kv WHERE k = ?`, key.String()).Scan(&size)
	if err != nil {
		size = -1
	}
	return size, notFound(err)
}

func notFound(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return datastore.ErrNotFound
	}
	return err
}

const (
	sqlPut    = `INSERT INTO kv (k, v) VALUES (?, ?) ON CONFLICT (k) DO UPDATE SET v = excluded.v`
	sqlDelete = `DELETE FROM kv WHERE k = ?`
)

// Put implements datastore.Datastore.
func (s *Store) Put(_ context.Context, key datastore.Key, value []byte) error {
	_, err := s.db.Exec(sqlPut, key.String(), notNil(value))
	return err
}

// Delete implements datastore.Datastore.
func (s *Store) Delete(_ context.Context, key datastore.Key) error {
	_, err := s.db.Exec(sqlDelete, key.String())
	return err
}

// notNil keeps an empty value from being stored as NULL.
func notNil(value []byte) []byte {
	if value == nil {
		return []byte{}
	}
	return value
}

// Sync implements datastore.Datastore: what was put before is on disk when it returns.
func (s *Store) Sync(_ context.Context, _ datastore.Key) error {
	_, err := s.db.Exec(`PRAGMA wal_checkpoint(FULL)`)
	return err
}

// DiskUsage implements datastore.PersistentDatastore, in bytes.
func (s *Store) DiskUsage(_ context.Context) (n uint64, err error) {
	err = s.db.QueryRow(`SELECT page_count * page_size FROM pragma_page_count, pragma_page_size`).Scan(&n)
	return n, err
}

// Query implements datastore.Datastore. Rows that change while the results are read may or may not be among them.
func (s *Store) Query(_ context.Context, q query.Query) (query.Results, error) {
	low := "/" // the last key that was seen; a prefix takes what lies below it, never the key itself
	if prefix := datastore.NewKey(q.Prefix).String(); prefix != "/" {
		low = prefix + "/"
	}
	high := low[:len(low)-1] + "0" // '0' follows '/'
	columns := `k, length(v), v`
	if q.KeysOnly {
		columns = `k, length(v), NULL`
	}
	next := `SELECT ` + columns + ` FROM kv WHERE k > ? AND k < ? ORDER BY k LIMIT ?`

	var rows []query.Entry
	done := false
	read := func() (query.Result, bool) {
		if len(rows) == 0 && !done {
			var err error
			if rows, err = s.page(next, low, high); err != nil {
				done = true
				return query.Result{Error: err}, true
			}
			done = len(rows) < page
		}
		if len(rows) == 0 {
			return query.Result{}, false
		}
		e := rows[0]
		rows, low = rows[1:], e.Key
		return query.Result{Entry: e}, true
	}
	rest := q
	rest.Prefix = "" // done here
	all := query.ResultsFromIterator(q, query.Iterator{Next: read})
	return query.ResultsReplaceQuery(query.NaiveQueryApply(rest, all), q), nil
}

func (s *Store) page(text, low, high string) ([]query.Entry, error) {
	rows, err := s.db.Query(text, low, high, page)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []query.Entry
	for rows.Next() {
		var e query.Entry
		if err := rows.Scan(&e.Key, &e.Size, &e.Value); err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, rows.Err()
}

// Batch implements datastore.Batching: what is put and deleted in it becomes visible at Commit, in one transaction (or in several,
// if it is more than maxBatch operations).
func (s *Store) Batch(context.Context) (datastore.Batch, error) { return &batch{s: s}, nil }

type batch struct {
	s   *Store
	ops []op
}

type op struct {
	key    string
	value  []byte
	delete bool
}

func (b *batch) Put(ctx context.Context, key datastore.Key, value []byte) error {
	return b.add(ctx, op{key: key.String(), value: notNil(value)})
}

func (b *batch) Delete(ctx context.Context, key datastore.Key) error {
	return b.add(ctx, op{key: key.String(), delete: true})
}

func (b *batch) add(ctx context.Context, o op) error {
	b.ops = append(b.ops, o)
	if len(b.ops) < maxBatch {
		return nil
	}
	return b.Commit(ctx)
}

func (b *batch) Commit(_ context.Context) error {
	if len(b.ops) == 0 {
		return nil
	}
	tx, err := b.s.db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after Commit
	for _, o := range b.ops {
		if o.delete {
			_, err = tx.Exec(sqlDelete, o.key)
		} else {
			_, err = tx.Exec(sqlPut, o.key, o.value)
		}
		if err != nil {
			return err
		}
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	b.ops = b.ops[:0]
	return nil
}
