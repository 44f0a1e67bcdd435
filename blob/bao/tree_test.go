package bao

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"kith"

	library "lukechampine.com/blake3/bao"
	"pgregory.net/rapid"
)

// slice returns the data of the groups r.
func slice(data []byte, r Range) []byte {
	return data[r.First*GroupSize : min((r.First+r.N)*GroupSize, int64(len(data)))]
}

// libraryProof returns what the library puts between the groups of a slice: their parents.
func libraryProof(t *rapid.T, data, outboard []byte, r Range) []byte {
	header := make([]byte, 8)
	for i := range header {
		header[i] = byte(len(data) >> (8 * i))
	}
	var out bytes.Buffer
	part := slice(data, r)
	err := library.ExtractSlice(&out, bytes.NewReader(part), io.MultiReader(bytes.NewReader(header), bytes.NewReader(outboard)), 4,
		uint64(r.First*GroupSize), uint64(len(part)))
	if err != nil {
		t.Fatal(err)
	}
	proof := bytes.TrimSuffix(out.Bytes()[8:], slice(part, Range{r.N - 1, 1}))
	for g := range r.N - 1 {
		proof = bytes.Replace(proof, slice(part, Range{g, 1}), nil, 1)
	}
	return proof
}

func drawRange(t *rapid.T, groups int64) Range {
	first := rapid.Int64Range(0, groups-1).Draw(t, "first")
	return Range{first, rapid.Int64Range(1, groups-first).Draw(t, "n")}
}

func flip(b []byte, bit int) []byte {
	b = bytes.Clone(b)
	b[bit/8] ^= 1 << (bit % 8)
	return b
}

// A tree that has only begun is filled in any order, with wrong proofs and wrong data between the right ones. The model is the
// set of groups that it was told of, and the library's tree.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.OneOf(rapid.IntRange(1, 20*GroupSize), rapid.IntRange(GroupSize, 300*GroupSize),
			rapid.Map(rapid.IntRange(1, 64), func(n int) int { return n * GroupSize })).Draw(t, "size")
		data := randomBytes(size)
		outboard, sum := encode(data)
		groups := Groups(int64(size))
		stored := make(Memory, len(outboard))
		tree := NewTree(sum, int64(size), stored)
		proven := make([]bool, groups)
		if groups == 1 {
			proven[0] = true
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				r := drawRange(t, groups)
				proof, err := NewTree(sum, int64(size), outboard).Proof(nil, r)
				if err != nil {
					t.Fatal(err)
				}
				if want := libraryProof(t, data, outboard, r); !bytes.Equal(proof, want) || int64(len(proof)) != ProofSize(int64(size), r) {
					t.Fatalf("proof of %v: %d bytes, the library has %d, ProofSize %d", r, len(proof), len(want), ProofSize(int64(size), r))
				}
				if err := tree.AddProof(r, proof); err != nil {
					t.Fatal(err)
				}
				// A parent has both of its children, so the neighbour of an edge may be proven too.
				for g := range groups {
					d, side := node{}, 0
					if groups > 1 {
						d, side = root(groups).above(g)
						proven[g] = [32]byte(stored[d.index*parentSize+int64(side):]) != [32]byte{}
					}
					if g >= r.First && g < r.First+r.N && !proven[g] {
						t.Fatalf("%v added, %d is not proven", r, g)
					}
				}
			},
			"addWrong": func(t *rapid.T) {
				r := drawRange(t, groups)
				proof, err := NewTree(sum, int64(size), outboard).Proof(nil, r)
				if err != nil {
					t.Fatal(err)
				}
				before := bytes.Clone(stored)
				wrong := append(proof, make([]byte, parentSize)...)
				if len(proof) > 0 && rapid.Bool().Draw(t, "flip") {
					wrong = flip(proof, rapid.IntRange(0, len(proof)*8-1).Draw(t, "bit"))
				}
				if err := tree.AddProof(r, wrong); !errors.Is(err, kith.Corrupt) {
					t.Fatalf("a wrong proof of %v: %v", r, err)
				}
				if !bytes.Equal(before, stored) {
					t.Fatal("something of a wrong proof was kept")
				}
			},
			"verify": func(t *rapid.T) {
				r := drawRange(t, groups)
				part := slice(data, r)
				want := int64(-1) // the first that is not right
				var kind error
				if rapid.Bool().Draw(t, "flip") {
					bit := rapid.IntRange(0, len(part)*8-1).Draw(t, "bit")
					part = flip(part, bit)
					want, kind = r.First+int64(bit/8/GroupSize), kith.Corrupt
				}
				for g := r.First + r.N - 1; g >= r.First; g-- {
					if !proven[g] && (want < 0 || g <= want) {
						want, kind = g, kith.NotFound
					}
				}
				if bad, err := tree.VerifyRange(r.First, part); bad != want || !errors.Is(err, kind) {
					t.Fatalf("groups %v: %d, %v; want %d, %v", r, bad, err, want, kind)
				}
			},
			"": func(t *rapid.T) {
				for g := range groups {
					if tree.Proven(g) != proven[g] {
						t.Fatalf("group %d: Proven is %v", g, !proven[g])
					}
				}
				for i := 0; i < len(stored); i += parentSize {
					if p := stored[i : i+parentSize]; !bytes.Equal(p, outboard[i:i+parentSize]) && !bytes.Equal(p, make([]byte, parentSize)) {
						t.Fatalf("parent %d is neither unknown nor right", i/parentSize)
					}
				}
			},
		})
	})
}

// What one partial tree got, it can prove to the next, and no more.
func TestPartialTreeProves(t *testing.T) {
	data := randomBytes(100*GroupSize + 1)
	outboard, sum := encode(data)
	size := int64(len(data))
	full := NewTree(sum, size, outboard)
	partial := NewTree(sum, size, make(Memory, len(outboard)))
	r := Range{17, 30}
	if _, err := partial.Proof(nil, r); !errors.Is(err, kith.NotFound) {
		t.Fatal(err)
	}
	proof, err := full.Proof(nil, r)
	if err != nil {
		t.Fatal(err)
	}
	if err := partial.AddProof(r, proof); err != nil {
		t.Fatal(err)
	}
	got, err := partial.Proof([]byte("before"), r)
	if err != nil || string(got) != "before"+string(proof) {
		t.Fatal(err)
	}
	if got, err := partial.Proof([]byte("before"), Range{16, 40}); !errors.Is(err, kith.NotFound) || string(got) != "before" {
		t.Fatal(got, err)
	}
}

// Every bit of a proof counts.
func TestEveryBitOfAProof(t *testing.T) {
	data := randomBytes(7*GroupSize - 5)
	outboard, sum := encode(data)
	full := NewTree(sum, int64(len(data)), outboard)
	r := Range{1, 4}
	proof, err := full.Proof(nil, r)
	if err != nil {
		t.Fatal(err)
	}
	stored := make(Memory, len(outboard))
	tree := NewTree(sum, int64(len(data)), stored)
	for bit := range len(proof) * 8 {
		if err := tree.AddProof(r, flip(proof, bit)); !errors.Is(err, kith.Corrupt) {
			t.Fatalf("bit %d: %v", bit, err)
		}
	}
	for n := range len(proof) {
		if err := tree.AddProof(r, proof[:n]); !errors.Is(err, kith.Corrupt) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
	if !bytes.Equal(stored, make([]byte, len(stored))) {
		t.Fatal("something of a wrong proof was kept")
	}
	if err := tree.AddProof(r, proof); err != nil {
		t.Fatal(err)
	}
}

// A wrong size is found out by the last group at the latest, whatever is said to be in it.
func TestSizeIsProven(t *testing.T) {
	const size = 5*GroupSize + 3000
	data := randomBytes(size)
	outboard, sum := encode(data)
	padded := append(bytes.Clone(data), make([]byte, 10*GroupSize)...)
	for claim := int64(0); claim < 14*GroupSize; claim += 500 {
		if claim == size {
			continue
		}
		groups := Groups(claim)
		last := Range{groups - 1, 1}
		tree := NewTree(sum, claim, make(Memory, OutboardSize(claim)))
		// Right at least at the root; or all of it, where the tree is the same but for the length of its last group.
		proof := append(bytes.Clone(outboard), outboard...)[:ProofSize(claim, last)]
		if groups == 6 {
			proof, _ = NewTree(sum, size, outboard).Proof(nil, last)
		}
		if err := tree.AddProof(last, proof); err != nil && !errors.Is(err, kith.Corrupt) {
			t.Errorf("size %d: %v", claim, err)
		}
		for g := range groups {
			if err := tree.Verify(groups-1, padded[g*GroupSize:][:claim-(groups-1)*GroupSize]); err == nil {
				t.Errorf("size %d: group %d is right as the last", claim, g)
			}
		}
	}
}

func TestWrongCalls(t *testing.T) {
	data := randomBytes(3*GroupSize + 7)
	outboard, sum := encode(data)
	tree := NewTree(sum, int64(len(data)), outboard)
	for _, c := range []struct {
		first int64
		n     int
		want  error
	}{
		{0, GroupSize - 1, kith.Corrupt}, {0, GroupSize + 1, kith.Corrupt}, {0, 0, kith.Corrupt},
		{3, 6, kith.Corrupt}, {3, 8, kith.Corrupt}, {3, GroupSize, kith.Corrupt},
		{4, 7, kith.Invalid}, {-1, GroupSize, kith.Invalid}, {2, 3 * GroupSize, kith.Invalid}, {1 << 62, 1, kith.Invalid},
	} {
		if _, err := tree.VerifyRange(c.first, make([]byte, c.n)); !errors.Is(err, c.want) {
			t.Errorf("%d bytes from group %d on: %v, want %v", c.n, c.first, err, c.want)
		}
	}
	if err := tree.Verify(0, data[:2*GroupSize]); !errors.Is(err, kith.Corrupt) {
		t.Error("two groups for one:", err)
	}
	for _, r := range []Range{{0, 0}, {-1, 1}, {4, 1}, {0, 5}, {1 << 62, 1 << 62}} {
		if _, err := tree.Proof(nil, r); !errors.Is(err, kith.Invalid) {
			t.Errorf("proof of %v: %v", r, err)
		}
		if err := tree.AddProof(r, nil); !errors.Is(err, kith.Invalid) {
			t.Errorf("add proof of %v: %v", r, err)
		}
	}
	if tree.Proven(-1) || tree.Proven(4) || !tree.Proven(3) {
		t.Error("Proven")
	}
	negative := NewTree(sum, -1, outboard)
	if err := negative.Verify(0, nil); !errors.Is(err, kith.Invalid) || negative.Proven(0) {
		t.Error("negative size:", err)
	}
}

func TestStorageFails(t *testing.T) {
	data := randomBytes(300 * GroupSize)
	outboard, sum := encode(data)
	proof, err := NewTree(sum, int64(len(data)), outboard).Proof(nil, Range{0, 2})
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	tree := NewTree(sum, int64(len(data)), failing{broken})
	if err := tree.AddProof(Range{0, 2}, proof); !errors.Is(err, broken) {
		t.Error(err)
	}
	if _, err := tree.Proof(nil, Range{0, 2}); !errors.Is(err, broken) {
		t.Error(err)
	}
	if bad, err := tree.VerifyRange(1, data[GroupSize:200*GroupSize]); !errors.Is(err, broken) || bad != 1 {
		t.Error(bad, err)
	}
	if tree.Proven(0) {
		t.Error("proven by what cannot be read")
	}
}

// A tree in a file, which is empty at first, comes from several peers at once and is read meanwhile.
func TestConcurrentUse(t *testing.T) {
	const groups = 256
	data := randomBytes(groups * GroupSize)
	outboard, sum := encode(data)
	full := NewTree(sum, int64(len(data)), outboard)
	f, err := os.Create(filepath.Join(t.TempDir(), "outboard"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tree := NewTree(sum, int64(len(data)), f)
	var wg sync.WaitGroup
	for seed := range uint64(4) {
		wg.Go(func() {
			for _, i := range rand.New(rand.NewPCG(seed, 0)).Perm(groups / 16) {
				r := Range{int64(i) * 16, 16}
				proof, err := full.Proof(nil, r)
				if err != nil {
					t.Error(err)
				}
				if err := tree.AddProof(r, proof); err != nil {
					t.Error(err)
				}
				if bad, err := tree.VerifyRange(r.First, slice(data, r)); err != nil {
					t.Error(bad, err)
				}
				if again, err := tree.Proof(nil, r); err != nil || !bytes.Equal(again, proof) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<30))
	if err != nil || !bytes.Equal(got, outboard) {
		t.Fatalf("the file is not the tree: %d bytes, %v", len(got), err)
	}
}

// Only the right proof is taken, and nothing else is kept.
func FuzzAddProof(f *testing.F) {
	data := randomBytes(40*GroupSize + 3)
	outboard, sum := encode(data)
	for _, r := range []Range{{0, 1}, {5, 7}, {0, 41}, {40, 1}, {41, 1}, {-1, 3}, {0, 1 << 62}} {
		proof, _ := NewTree(sum, int64(len(data)), outboard).Proof(nil, r)
		f.Add(int64(len(data)), r.First, r.N, proof)
		f.Add(int64(len(data))+GroupSize, r.First, r.N, proof)
	}
	f.Fuzz(func(t *testing.T, size, first, n int64, proof []byte) {
		r := Range{first, n}
		stored := make(Memory, len(outboard)+parentSize)
		err := NewTree(sum, size, stored).AddProof(r, proof)
		if err != nil {
			if !bytes.Equal(stored, make([]byte, len(stored))) {
				t.Fatal("something of a wrong proof was kept")
			}
			if !errors.Is(err, kith.Corrupt) && !errors.Is(err, kith.Invalid) {
				t.Fatal(err)
			}
			return
		}
		if Groups(size) == 1 {
			return // it has no proof, and its data is checked against the root
		}
		want, err := NewTree(sum, int64(len(data)), outboard).Proof(nil, r)
		if err != nil || !bytes.Equal(proof, want) {
			t.Fatalf("size %d, %v: a proof was taken that is not the right one: %v", size, r, err)
		}
	})
}
