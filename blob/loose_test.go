package blob

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"kith"
	"kith/blob/bao"
	"kith/blob/folder"
)

// proveTo gives to the proof of some groups, and no data.
func proveTo(t testing.TB, from *Store, to *Blob, r bao.Range) {
	t.Helper()
	src, err := from.Blob(t.Context(), to.Ref())
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	proof, err := src.Proof(nil, r)
	if err != nil {
		t.Fatal(err)
	}
	if err := to.AddProof(r, proof); err != nil {
		t.Fatal(err)
	}
}

func sliceOf(data []byte, r bao.Range) []byte {
	return data[r.First*bao.GroupSize : min((r.First+r.N)*bao.GroupSize, int64(len(data)))]
}

func ranges(b bao.Bits) string {
	var all []bao.Range
	for r := range b.Ranges() {
		all = append(all, r)
	}
	return fmt.Sprint(all)
}

// Loose groups are read here and nowhere else, until a proof says that they are right.
func TestLoose(t *testing.T) {
	const size = 100*bao.GroupSize + 77
	data := random(size, 1)
	from, to := openStore(t, t.TempDir()), openStore(t, t.TempDir())
	src, out := filepath.Join(t.TempDir(), "x"), filepath.Join(t.TempDir(), "x")
	write(t, src, data)
	tree := share(t, from, src, nil)
	b, err := to.Create(t.Context(), tree.Root, size, out)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for name, c := range map[string]struct{ first, n int64 }{
		"half a group": {0, 100}, "behind the end": {101, 100}, "negative": {-1, bao.GroupSize}, "nothing": {0, 0}, "too short an end": {100, 76}, "too long an end": {100, 78},
	} {
		if err := b.WriteLoose(c.first, make([]byte, c.n)); !errors.Is(err, kith.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	fetch(t, from, b, 10)
	wrong := bytes.Clone(data)
	for _, g := range []int64{5, 30, 31, 99} {
		wrong[g*bao.GroupSize] ^= 1
	}
	all := bao.Range{First: 0, N: 101}
	if err := b.WriteLoose(0, wrong); err != nil {
		t.Fatal(err)
	}
	if err := b.WriteLoose(50, random(bao.GroupSize, 9)); err != nil { // it is here already
		t.Fatal(err)
	}
	if ranges(b.Have()) != "[{0 10}]" || ranges(b.Loose()) != "[{10 91}]" {
		t.Errorf("have %s, loose %s", ranges(b.Have()), ranges(b.Loose()))
	}
	got := make([]byte, size+10)
	if n, err := b.ReadAt(got, 0); n != 10*bao.GroupSize || !errors.Is(err, kith.NotFound) {
		t.Errorf("a peer is given %d bytes, %v", n, err)
	}
	want := bytes.Clone(wrong)
	want[5*bao.GroupSize] ^= 1 // it was proven, and is not written over
	if n, err := b.ReadHere(got, 0); n != size || err != io.EOF || !bytes.Equal(got[:n], want) {
		t.Errorf("read here: %d, %v", n, err)
	}
	if n, err := b.ReadHere(got[:100], 15*bao.GroupSize-50); n != 100 || err != nil || !bytes.Equal(got[:n], want[15*bao.GroupSize-50:][:100]) {
		t.Errorf("read here across groups: %d, %v", n, err)
	}
	if bad, err := b.Settle(t.Context(), all); err != nil || bad != nil || b.Loose().Count() != 91 {
		t.Errorf("without a proof: %v, %v", bad, err)
	}
	proveTo(t, from, b, bao.Range{First: 20, N: 30})
	if bad, err := b.Settle(t.Context(), all); err != nil || fmt.Sprint(bad) != "[{30 2}]" {
		t.Errorf("settled: %v, %v", bad, err)
	}
	have := b.Have()
	if !have.Get(20) || !have.Get(49) || have.Get(30) || b.Loose().Get(20) || b.Loose().Get(30) || !b.Loose().Get(60) {
		t.Errorf("have %s, loose %s", ranges(have), ranges(b.Loose()))
	}
	if n, err := b.ReadHere(got, 25*bao.GroupSize); n != 5*bao.GroupSize || !errors.Is(err, kith.NotFound) {
		t.Errorf("up to what was wrong: %d, %v", n, err)
	}
	if err := b.Finish(t.Context()); !errors.Is(err, kith.Invalid) {
		t.Errorf("finished with groups missing: %v", err)
	}
	if err := b.WriteLoose(30, sliceOf(data, bao.Range{First: 30, N: 2})); err != nil {
		t.Fatal(err)
	}
	// one is still wrong, and has no proof
	var mixed *Mixed
	if err := b.Finish(t.Context()); !errors.As(err, &mixed) || !errors.Is(err, kith.Corrupt) || mixed.Loose == 0 || mixed.Ref != tree.Root {
		t.Fatalf("finish of what is wrong: %v", err)
	}
	if b.Loose().Count() != 0 || !b.Have().Get(49) || b.Complete() {
		t.Errorf("have %s, loose %s", ranges(b.Have()), ranges(b.Loose()))
	}
	if err := b.WriteLoose(0, data); err != nil {
		t.Fatal(err)
	}
	if err := b.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !b.Complete() || b.Loose().Count() != 0 || !b.Have().All() {
		t.Error("it is not complete")
	}
	if n, err := b.ReadHere(got, 0); n != size || err != io.EOF || !bytes.Equal(got[:n], data) {
		t.Errorf("read when complete: %d, %v", n, err)
	}
	if proof, err := b.Proof(nil, all); err != nil || bao.NewTree(tree.Root.Sum, size, make(bao.Memory, bao.OutboardSize(size))).AddProof(all, proof) != nil {
		t.Errorf("it cannot be proven: %v", err)
	}
	if err := b.WriteLoose(0, wrong); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, data) {
		t.Errorf("the file: %d bytes, %v", len(got), err)
	}
}

// If something that was proven has rotted meanwhile, that is to blame, and not what other networks brought.
func TestLooseIsNotBlamedForWhatRots(t *testing.T) {
	const size = 10 << 20
	data := random(size, 1)
	from, to := openStore(t, t.TempDir()), openStore(t, t.TempDir())
	src, out := filepath.Join(t.TempDir(), "x"), filepath.Join(t.TempDir(), "x")
	write(t, src, data)
	tree := share(t, from, src, nil)
	b, err := to.Create(t.Context(), tree.Root, size, out)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	fetch(t, from, b, 300)
	if err := b.WriteLoose(300, data[300*bao.GroupSize:]); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(out+folder.PartSuffix, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{data[150*bao.GroupSize] ^ 1}, 150*bao.GroupSize); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := b.Finish(t.Context()); !errors.Is(err, kith.NotFound) || errors.As(err, new(*Mixed)) {
		t.Fatalf("finish: %v", err)
	}
	if b.Have().Get(150) || b.Have().Count() != 299 || b.Loose().Count() != 340 {
		t.Errorf("have %s, loose %s", ranges(b.Have()), ranges(b.Loose()))
	}
	if err := b.WriteLoose(150, sliceOf(data, bao.Range{First: 150, N: 1})); err != nil {
		t.Fatal(err)
	}
	if err := b.Finish(t.Context()); err != nil {
		t.Error(err)
	}
}

// However proven and loose groups, proofs, crashes and restarts follow each other: nothing unproven is served, nothing right is lost that was durable, and the end is the content or Mixed.
func TestLooseModel(t *testing.T) {
	const groups = 12
	const size = groups*bao.GroupSize - 100
	from := openStore(t, t.TempDir())
	src := filepath.Join(t.TempDir(), "x")
	data := random(size, 1)
	write(t, src, data)
	tree := share(t, from, src, nil)
	whole, err := from.Blob(t.Context(), tree.Root)
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close()
	const (
		absent = iota
		proven
		right // loose, and right
		wrong // loose, and wrong
	)
	rapid.Check(t, func(t *rapid.T) {
		tmp, err := os.MkdirTemp("", "kith-loose-")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(tmp)
		out := filepath.Join(tmp, "out", "x")
		open := func() (*Store, *Blob) {
			s, err := Open(t.Context(), Options{Dir: filepath.Join(tmp, "store")})
			if err != nil {
				t.Fatal(err)
			}
			b, err := s.Create(t.Context(), tree.Root, size, out)
			if err != nil {
				t.Fatal(err)
			}
			return s, b
		}
		s, b := open()
		defer func() { b.Close(); s.Close() }()
		var is [groups]int
		var known [groups]bool // has a proof
		var good [groups]bool  // the bytes on the disk are right, whatever is said of them
		ask := func() {        // what has a proof now: one of few groups is not kept for itself
			for g := range int64(groups) {
				known[g] = b.c.view.Load().tree.Proven(g)
			}
		}
		draw := func() bao.Range {
			first := rapid.Int64Range(0, groups-1).Draw(t, "first")
			return bao.Range{First: first, N: rapid.Int64Range(1, groups-first).Draw(t, "n")}
		}
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				have, loose := b.Have(), b.Loose()
				for g := range int64(groups) {
					if have.Get(g) != (is[g] == proven) || loose.Get(g) != (is[g] == right || is[g] == wrong) {
						t.Fatalf("group %d is %d, have %v, loose %v", g, is[g], have.Get(g), loose.Get(g))
					}
					p := make([]byte, len(sliceOf(data, bao.Range{First: g, N: 1})))
					_, err := b.ReadAt(p, g*bao.GroupSize)
					if (err == nil) != (is[g] == proven) || err == nil && !bytes.Equal(p, sliceOf(data, bao.Range{First: g, N: 1})) {
						t.Fatalf("group %d is %d, and read as %v", g, is[g], err)
					}
					_, err = b.ReadHere(p, g*bao.GroupSize)
					if (err == nil) != (is[g] != absent) || err == nil && bytes.Equal(p, sliceOf(data, bao.Range{First: g, N: 1})) == (is[g] == wrong) {
						t.Fatalf("group %d is %d, and read here as %v", g, is[g], err)
					}
				}
			},
			"loose": func(t *rapid.T) {
				r, lie := draw(), rapid.Bool().Draw(t, "lie")
				p := bytes.Clone(sliceOf(data, r))
				for g := r.First; g < r.First+r.N; g++ {
					if lie {
						p[(g-r.First)*bao.GroupSize] ^= 1
					}
					if is[g] == absent {
						is[g], good[g] = map[bool]int{true: wrong, false: right}[lie], !lie
					}
				}
				if err := b.WriteLoose(r.First, p); err != nil {
					t.Fatal(err)
				}
			},
			"prove": func(t *rapid.T) {
				r := draw()
				proof, err := whole.Proof(nil, r)
				if err != nil {
					t.Fatal(err)
				}
				if err := b.AddProof(r, proof); err != nil {
					t.Fatal(err)
				}
				ask()
				for g := r.First; g < r.First+r.N; g++ {
					if !known[g] {
						t.Fatalf("group %d has no proof", g)
					}
				}
			},
			"groups": func(t *rapid.T) {
				r := draw()
				err := b.WriteGroups(r.First, sliceOf(data, r))
				for g := r.First; g < r.First+r.N; g++ {
					if !known[g] {
						if !errors.Is(err, kith.NotFound) {
							t.Fatal(err)
						}
						return
					}
					is[g], good[g] = proven, true
				}
				if err != nil {
					t.Fatal(err)
				}
			},
			"settle": func(t *rapid.T) {
				r := draw()
				bad, err := b.Settle(t.Context(), r)
				if err != nil {
					t.Fatal(err)
				}
				said := bao.NewBits(groups)
				for _, w := range bad {
					said.Set(w)
				}
				for g := r.First; g < r.First+r.N; g++ {
					if said.Get(g) != (known[g] && is[g] == wrong) {
						t.Fatalf("group %d is %d, said to be wrong: %v", g, is[g], said.Get(g))
					}
					if known[g] && is[g] == right {
						is[g] = proven
					} else if said.Get(g) {
						is[g] = absent
					}
				}
			},
			"restart": func(t *rapid.T) {
				if err := errors.Join(b.Close(), s.Close()); err != nil {
					t.Fatal(err)
				}
				s, b = open()
				ask()
			},
			"crash": func(t *rapid.T) { // with all that is in the page cache; only the database knows no more than at the last checkpoint
				if err := b.Checkpoint(t.Context()); err != nil {
					t.Fatal(err)
				}
				if p := b.c.part.Load(); p != nil {
					p.abandon()
				}
				if err := errors.Join(b.Close(), s.Close()); err != nil {
					t.Fatal(err)
				}
				s, b = open()
				ask()
				for g := range int64(groups) { // what can be judged is
					if known[g] && good[g] {
						is[g] = proven
					} else if known[g] && is[g] == wrong {
						is[g] = absent
					}
				}
			},
			"finish": func(t *rapid.T) {
				missing, lies := false, false
				for _, g := range is {
					missing, lies = missing || g == absent, lies || g == wrong
				}
				err := b.Finish(t.Context())
				switch {
				case missing:
					if !errors.Is(err, kith.Invalid) {
						t.Fatal(err)
					}
				case lies:
					if !errors.As(err, new(*Mixed)) {
						t.Fatal(err)
					}
					for g := range is {
						if is[g] != proven {
							is[g] = absent
						}
					}
				default:
					if err != nil || !b.Complete() {
						t.Fatal(err)
					}
					for g := range is {
						is[g] = proven
					}
					ask()
				}
			},
		})
	})
}
