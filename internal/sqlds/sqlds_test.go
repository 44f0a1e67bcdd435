package sqlds

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	dstest "github.com/ipfs/go-datastore/test"
)

func open(t *testing.T, path string) *Store {
	t.Helper()
	s, note, err := Open(path, slog.New(slog.DiscardHandler))
	if err != nil || note != "" {
		t.Fatalf("open: %v, note %q", err, note)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// The library's own suite, without its combinations of every kind of query, which take long and are the library's own code here: whatever takes a
// datastore may rely on it.
func TestSuite(t *testing.T) {
	for _, f := range append([]func(*testing.T, datastore.Batching){dstest.RunBatchTest, dstest.RunBatchDeleteTest, dstest.RunBatchPutAndDeleteTest},
		batching(dstest.SubtestBasicPutGet, dstest.SubtestNotFounds, dstest.SubtestPrefix, dstest.SubtestOrder, dstest.SubtestLimit,
			dstest.SubtestManyKeysAndQuery, dstest.SubtestReturnSizes, dstest.SubtestBasicSync)...) {
		f(t, open(t, filepath.Join(t.TempDir(), "a.db")))
	}
}

func batching(tests ...func(*testing.T, datastore.Datastore)) (out []func(*testing.T, datastore.Batching)) {
	for _, f := range tests {
		out = append(out, func(t *testing.T, d datastore.Batching) { f(t, d) })
	}
	return out
}

// A query of more rows than one page gives each once and in order, only from below its prefix, and what was put outlives the process.
func TestQueryPages(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "a.db")
	s := open(t, path)
	b, _ := s.Batch(ctx)
	const n = 3*page + 7
	for i := range n {
		if err := b.Put(ctx, datastore.NewKey(fmt.Sprintf("/a/%05d", i)), []byte("v")); err != nil {
			t.Fatal(err)
		}
	}
	for _, beside := range []string{"/a", "/ab/c", "/a0", "/b/1"} {
		b.Put(ctx, datastore.NewKey(beside), nil)
	}
	if err := b.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	r, err := s.Query(ctx, query.Query{Prefix: "/a", KeysOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := r.Rest()
	if err != nil || len(rows) != n {
		t.Fatalf("%d rows, %v; want %d", len(rows), err, n)
	}
	for i, row := range rows {
		if want := fmt.Sprintf("/a/%05d", i); row.Key != want {
			t.Fatalf("row %d is %s, want %s", i, row.Key, want)
		}
	}
}
