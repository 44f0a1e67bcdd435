package stage

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"

	"kith"
	"kith/blob"
	"kith/blob/bao"
	"kith/blob/draft"
	"kith/transfer/proto"
)

func TestSelection(t *testing.T) {
	for _, c := range []struct {
		only []string
		file string
		n    int
		want bool
	}{
		{nil, "a/b", 0, true},
		{[]string{"a"}, "a/b/c", 0, true},
		{[]string{"a/"}, "a/b", 0, true},
		{[]string{"a"}, "ab", 0, false},
		{[]string{"*.mkv"}, "film.mkv", 0, true},
		{[]string{"*.mkv"}, "a/film.mkv", 0, true},
		{[]string{"*/*.mkv"}, "a/film.mkv", 0, true},
		{[]string{"s0[12]"}, "s02/e01.mkv", 0, true},
		{[]string{"[x]"}, "[x]", 0, true}, // a name with brackets is itself, too
		{[]string{"b"}, "a/b", 0, false},
	} {
		if got := (Selection{Only: c.only}).Has(c.n, c.file); got != c.want {
			t.Errorf("%v has %s: %v", c.only, c.file, got)
		}
	}
	ranges := Selection{Select: []kith.FileRange{{First: 2, Last: 3}}}
	if ranges.Has(1, "a") || !ranges.Has(3, "b") || ranges.Has(-1, "c") {
		t.Error("ranges are not what they say")
	}
	if (Selection{Only: []string{"[a"}}).Check() == nil || (Selection{Only: []string{""}}).Check() == nil || (Selection{Only: []string{"a*"}}).Check() != nil {
		t.Error("what is no pattern is taken for one")
	}
}

// TestSkip: small files share a piece; with some of them left out, and the others here, all that is wanted is here.
func TestSkip(t *testing.T) {
	var files []draft.File
	for i := range 5000 {
		files = append(files, draft.File{Path: string(rune('a' + i)), Size: 2*bao.GroupSize - 5})
	}
	s := New(Options{Number: proto.RowDraft, Row: DraftRow(files)})
	for i := range files {
		if i%3 == 0 {
			s.Skip(i)
		}
	}
	for i := range files {
		if s.Engine.Complete() {
			t.Fatalf("it is complete before file %d", i)
		}
		if i%3 > 0 {
			s.Has(i, bao.Range{N: 1}, s.Loose)
			s.Has(i, bao.Range{First: 1, N: 1}, s.Loose)
		}
	}
	select {
	case <-s.Done:
	default:
		t.Errorf("it is not complete; %.3f of it is", s.Engine.Had())
	}
	if got := s.Want(bao.Range{N: 12}); len(got) != 4 || got[0].File != 1 || got[3].File != 5 {
		t.Errorf("of six files %v are wanted", got)
	}
	if st := (Stretch{1, bao.Range{First: 1, N: 1}}); s.Row.Bytes(st) != bao.GroupSize-5 {
		t.Errorf("%d bytes", s.Row.Bytes(st))
	}
}

// An answer that is checked when the download was paused meanwhile is dropped: it is no reason to end, and nothing is noted as here.
func TestTakeAfterClose(t *testing.T) {
	store, err := blob.Open(t.Context(), blob.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	data := make([]byte, 5*bao.GroupSize)
	ref := kith.RawRef(bao.Hash(data))
	b, err := store.Create(t.Context(), ref, int64(len(data)), filepath.Join(t.TempDir(), "film.mkv"))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	s := New(Options{Number: proto.RowRoot, Row: RootRow(ref, int64(len(data)))})
	s.OpenRoot(b)
	s.Close()
	st := Stretch{Range: bao.Range{N: 5}}
	for name, take := range map[string]func() error{
		"a peer's":    func() error { return s.Take(t.Context(), st, nil, data) },
		"a network's": func() error { return s.TakeLoose(t.Context(), st, data) },
	} {
		if err := take(); !errors.Is(err, kith.Unavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s.Here.Count() > 0 || b.Have().Count() > 0 {
		t.Error("something is noted as here")
	}
}

// A group that a proof shows to be wrong is taken away, so the whole cannot be put in place: what is said is that it is wrong, and not that it is missing.
func TestCause(t *testing.T) {
	store, err := blob.Open(t.Context(), blob.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	data := make([]byte, 5*bao.GroupSize)
	parents := make(bao.Memory, bao.OutboardSize(int64(len(data))))
	sum, err := bao.Build(t.Context(), bytes.NewReader(data), int64(len(data)), parents, nil)
	if err != nil {
		t.Fatal(err)
	}
	ref, all := kith.RawRef(sum), Stretch{Range: bao.Range{N: 5}}
	proof, err := bao.NewTree(sum, int64(len(data)), parents).Proof(nil, all.Range)
	if err != nil {
		t.Fatal(err)
	}
	b, err := store.Create(t.Context(), ref, int64(len(data)), filepath.Join(t.TempDir(), "film.mkv"))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	s := New(Options{Number: proto.RowRoot, Row: RootRow(ref, int64(len(data)))})
	s.OpenRoot(b)
	defer s.Close()
	data[3*bao.GroupSize] = 1
	if err := s.TakeLoose(t.Context(), all, data); err != nil {
		t.Fatal(err)
	}
	var m *blob.Mixed
	if err := s.Prove(t.Context(), all, proof); !errors.As(err, &m) || m.Loose != 1 {
		t.Errorf("proven: %v", err)
	}
	missing := b.Finish(t.Context())
	if !errors.Is(missing, kith.Invalid) {
		t.Errorf("finished: %v", missing)
	}
	if err := s.Cause(missing); !errors.As(err, &m) {
		t.Errorf("the cause: %v", err)
	}
	if err := s.Cause(nil); err != nil {
		t.Errorf("of nothing: %v", err)
	}
}
