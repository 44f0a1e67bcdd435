package db

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"kith"
)

var migrations = []string{
	"CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT)",
	"ALTER TABLE note ADD COLUMN more TEXT; CREATE INDEX note_text ON note(text)",
}

func TestOpenMigratesOnceAndKeeps(t *testing.T) {
	path := filepath.Join(t.TempDir(), "odd ?name%20#.db")
	db, note, err := Open(path, slog.New(slog.DiscardHandler), migrations[:1])
	if err != nil || note != "" {
		t.Fatalf("open: %q, %v", note, err)
	}
	if _, err := db.Exec("INSERT INTO note(text) VALUES ('kept')"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second migration runs at the first of these, and not again
		if db, note, err = Open(path, slog.New(slog.DiscardHandler), migrations); err != nil || note != "" {
			t.Fatalf("open again: %q, %v", note, err)
		}
		var text string
		if err := db.QueryRow("SELECT text FROM note WHERE more IS NULL").Scan(&text); err != nil || text != "kept" {
			t.Fatalf("got %q, %v", text, err)
		}
		db.Close()
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatalf("it is not where it was asked for: %v", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode is %v, want 0600", info.Mode())
	}
}

func TestFailedMigrationChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	bad := append(migrations[:1:1], "CREATE TABLE other (x); CREATE TABLE note (x)")
	if _, _, err := Open(path, slog.New(slog.DiscardHandler), bad); err == nil {
		t.Fatal("a migration that cannot be run was run")
	}
	db, _, err := Open(path, slog.New(slog.DiscardHandler), migrations)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var n int
	if err := db.QueryRow("SELECT count(*) FROM sqlite_schema WHERE name = 'other'").Scan(&n); err != nil || n != 0 {
		t.Errorf("half a migration stayed: %d, %v", n, err)
	}
}

func TestNewerFormatIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	db, _, err := Open(path, slog.New(slog.DiscardHandler), migrations)
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	_, _, err = Open(path, slog.New(slog.DiscardHandler), migrations[:1])
	if !errors.Is(err, kith.Unavailable) || kith.HintOf(err) == "" {
		t.Errorf("got %v, want Unavailable with a hint", err)
	}
}

func TestDamagedIsSetAside(t *testing.T) {
	garbage := bytes.Repeat([]byte("no database "), 1000)
	damage := map[string]func(good []byte) []byte{
		"garbage":   func([]byte) []byte { return garbage },
		"truncated": func(good []byte) []byte { return good[:len(good)/2] },
		"one page": func(good []byte) []byte {
			return append(append(bytes.Clone(good[:8192]), bytes.Repeat([]byte{0xa5}, 4096)...), good[12288:]...)
		},
	}
	for name, spoil := range damage {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "a.db")
			db, _, err := Open(path, slog.New(slog.DiscardHandler), migrations)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.Exec("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 2000)" +
				" INSERT INTO note(text) SELECT 'line ' || i FROM n"); err != nil {
				t.Fatal(err)
			}
			db.Close()
			good, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			bad := spoil(good)
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			db, note, err := Open(path, slog.New(slog.DiscardHandler), migrations)
			if err != nil {
				t.Fatalf("open: %v", err)
			}
			defer db.Close()
			if _, err := db.Exec("INSERT INTO note(text) VALUES ('new')"); err != nil {
				t.Errorf("the new database does not work: %v", err)
			}
			aside, _ := filepath.Glob(path + ".corrupt-*")
			if len(aside) != 1 || !strings.Contains(note, filepath.Base(aside[0])) {
				t.Fatalf("set aside: %q, note: %q", aside, note)
			}
			if kept, err := os.ReadFile(aside[0]); err != nil || !bytes.Equal(kept, bad) {
				t.Errorf("what was set aside is not what was there (%d bytes, %v)", len(kept), err)
			}
		})
	}
}
