package blob

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"kith/blob/bao"
	"kith/blob/disk"
	"kith/blob/folder"
	"kith/internal/db"
)

// A store of an earlier version opens, and what was coming goes on.
func TestOldDatabase(t *testing.T) {
	const size = 3<<20 + 1
	data := random(size, 1)
	from := openStore(t, t.TempDir())
	src, out := filepath.Join(t.TempDir(), "x"), filepath.Join(t.TempDir(), "x")
	write(t, src, data)
	tree := share(t, from, src, nil)
	dir := t.TempDir()
	old, _, err := db.Open(filepath.Join(dir, "blob.db"), slog.New(slog.DiscardHandler), migrations[:1])
	if err != nil {
		t.Fatal(err)
	}
	write(t, out+folder.PartSuffix, append(bytes.Clone(data[:100*bao.GroupSize]), make([]byte, size-100*bao.GroupSize)...))
	info, err := os.Stat(out + folder.PartSuffix)
	if err != nil {
		t.Fatal(err)
	}
	ino := disk.StampOf(info).Ino
	bits := bao.NewBits(bao.Groups(size))
	bits.Set(bao.Range{First: 0, N: 100})
	for _, q := range []struct {
		query string
		args  []any
	}{
		{"INSERT INTO folder (id, path) VALUES (7, ?)", []any{filepath.Dir(out)}},
		{"INSERT INTO blob (id, sum, size, kept, made) VALUES (1, ?, ?, 0, 0)", []any{tree.Root.Sum[:], size}},
		{"INSERT INTO part (blob, folder, name, dest, mode, ino, bits, clean) VALUES (1, 7, ?, 'x', 0, ?, ?, 1)", []any{"x" + folder.PartSuffix, ino, bits.Encode()}},
		{"INSERT INTO tree (id, root, codec, name, size, files, folder, file, dest, state, private, download, pinned, gone) VALUES (1, ?, 85, 'x', ?, 1, 7, 'x', ?, 1, 0, 1, 1, 0)",
			[]any{tree.Root.Sum[:], size, out}},
		{"INSERT INTO member (tree, blob) VALUES (1, 1)", nil},
	} {
		if _, err := old.Exec(q.query, q.args...); err != nil {
			t.Fatal(err)
		}
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, dir)
	b, err := s.Create(t.Context(), tree.Root, size, out)
	if err != nil {
		t.Fatal(err)
	}
	if b.Have().Count() != 100 || b.Loose().Count() != 0 {
		t.Errorf("have %s, loose %s", ranges(b.Have()), ranges(b.Loose()))
	}
	if err := b.WriteLoose(100, data[100*bao.GroupSize:]); err != nil {
		t.Fatal(err)
	}
	if err := join(b.Finish(t.Context()), b.Close()); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if state, err := s.State(t.Context(), tree.Root); err != nil || !state.Complete || state.Path != out {
		t.Errorf("state %+v, %v", state, err)
	}
}
