// Package db opens the SQLite databases in which the parts of a node keep their state.
//
// It is for small, durable state that one process owns, with pure Go and little memory; it is no query builder, and it does not
// guard a file against a second process. Its one idea: whatever is found at the path, the node starts. A database that is
// damaged is set aside under another name, never deleted, and a note says so.
package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"kith"
	"kith/internal/room"
)

const (
	conns     = 2        // one to write, one to read meanwhile: each costs memory for as long as it is kept
	cacheKiB  = 512      // page cache of each connection
	busyMS    = 10_000   // how long a statement waits for another's lock
	checkSize = 32 << 20 // bytes: a database up to this size is checked at every start, a larger one after an unclean stop
)

// Open opens the database at path, and makes it if there is none. Migrations are run in their order, each once and in a transaction
// of its own; more may be added at the end, and none may ever be changed. A file that is damaged or no database at all is
// renamed to NAME.corrupt-TIME, an empty one takes its place, and note tells a person so; otherwise note is "". A database made by a newer
// version is left alone: the error is Unavailable.
func Open(path string, log *slog.Logger, migrations []string) (db *sql.DB, note string, err error) {
	db, err = open(path, migrations)
	if err == nil || !Damaged(err) {
		return db, "", wrap(path, err)
	}
	aside, errAside := setAside(path, time.Now())
	if errAside != nil {
		return nil, "", wrap(path, errors.Join(err, errAside))
	}
	note = fmt.Sprintf("%s was damaged and has been set aside as %s; a new one was begun", filepath.Base(path), aside)
	log.Warn("database was damaged and has been set aside", "op", "open", "path", path, "aside", aside, "err", err)
	db, err = open(path, migrations)
	return db, note, wrap(path, err)
}

func wrap(path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("db: open %s: %w", path, room.Explain(err))
}

// dsn returns the name under which the sqlite driver opens the database at path, with the settings that every connection gets.
func dsn(path string) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/… on Windows
	}
	u := url.URL{Scheme: "file", Path: path}
	q := url.Values{"_txlock": {"immediate"}, "_pragma": {
		fmt.Sprintf("busy_timeout(%d)", busyMS), "journal_mode(WAL)", "synchronous(NORMAL)", "foreign_keys(1)",
		fmt.Sprintf("cache_size(-%d)", cacheKiB), "journal_size_limit(4194304)", "temp_store(MEMORY)",
	}}
	u.RawQuery = q.Encode()
	return u.String()
}

func open(path string, migrations []string) (_ *sql.DB, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	// Made here, so that nobody else can read it; SQLite gives the files beside it the same mode.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	wal, _ := os.Stat(path + "-wal") // a clean stop removes it
	unclean := wal != nil && wal.Size() > 0

	db, err := sql.Open("sqlite", dsn(path))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			db.Close()
		}
	}()
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	db.SetConnMaxIdleTime(time.Minute)
	if unclean || info.Size() <= checkSize {
		if err := check(db); err != nil {
			return nil, err
		}
	}
	if err := migrate(db, migrations); err != nil {
		return nil, err
	}
	return db, nil
}

// errDamaged is what a failed check is; the driver's own codes for it are in Damaged.
var errDamaged = errors.New("database is damaged")

func check(db *sql.DB) error {
	var result string
	if err := db.QueryRow("PRAGMA quick_check(1)").Scan(&result); err != nil {
		return err
	}
	if result != "ok" {
		return fmt.Errorf("%w: %s", errDamaged, result)
	}
	return nil
}

// Damaged reports whether err says that a database is damaged, or that a file is none: for who can make anew what was in it.
func Damaged(err error) bool {
	var se *sqlite.Error
	if errors.As(err, &se) {
		code := se.Code() & 0xff // the primary code, without its extension
		return code == sqlite3.SQLITE_CORRUPT || code == sqlite3.SQLITE_NOTADB
	}
	return errors.Is(err, errDamaged)
}

func migrate(db *sql.DB, migrations []string) error {
	ctx := context.Background()
	var have int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
		return err
	}
	if have > len(migrations) {
		err := fmt.Errorf("its format is %d, and this program knows formats up to %d: %w", have, len(migrations), kith.Unavailable)
		return kith.Hint(err, "it was written by a newer kith: start that one")
	}
	for i := have; i < len(migrations); i++ {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		if _, err = tx.ExecContext(ctx, migrations[i]); err == nil {
			_, err = tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", i+1))
		}
		if err != nil {
			return errors.Join(fmt.Errorf("migration %d: %w", i+1, err), tx.Rollback())
		}
		if err := tx.Commit(); err != nil {
			return fmt.Errorf("migration %d: %w", i+1, err)
		}
	}
	return nil
}

// setAside renames the database and the files beside it, and returns the new name.
func setAside(path string, now time.Time) (string, error) {
	base := path + ".corrupt-" + now.UTC().Format("20060102T150405")
	aside := base
	for n := 1; ; n++ {
		if _, err := os.Lstat(aside); errors.Is(err, os.ErrNotExist) {
			break
		}
		aside = fmt.Sprintf("%s-%d", base, n)
	}
	for _, suffix := range []string{"-wal", "-shm", ""} {
		err := os.Rename(path+suffix, aside+suffix)
		if err != nil && !(suffix != "" && errors.Is(err, os.ErrNotExist)) {
			return "", err
		}
	}
	return filepath.Base(aside), nil
}
