package bao

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Whatever is damaged, in the data and in the tree that is kept: every group that is wrong is found, none that is right is blamed while the tree is right, and the tree gets back what the data prove.
func TestCompareModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		groups := rapid.Int64Range(1, 40).Draw(t, "groups")
		size := (groups-1)*GroupSize + rapid.Int64Range(1, GroupSize).Draw(t, "last")
		data := randomBytes(int(size))
		right := make(Memory, OutboardSize(size))
		root, err := Build(t.Context(), bytes.NewReader(data), size, right, nil)
		if err != nil {
			t.Fatal(err)
		}
		wrong := NewBits(groups)
		for _, g := range rapid.SliceOfN(rapid.Int64Range(0, groups-1), 0, 5).Draw(t, "wrong") {
			if !wrong.Get(g) {
				data[g*GroupSize] ^= 1
			}
			wrong.Set(Range{g, 1})
		}
		kept := slices.Clone(right)
		torn := rapid.SliceOfN(rapid.IntRange(0, max(len(kept)-1, 0)), 0, 3).Draw(t, "torn")
		for _, at := range torn {
			if len(kept) > 0 {
				kept[at] ^= 0x55
			}
		}
		torn = slices.DeleteFunc(torn, func(at int) bool { return len(kept) == 0 || kept[at] == right[at] })
		got := make(Memory, OutboardSize(size))
		sum, err := Build(t.Context(), bytes.NewReader(data), size, got, nil)
		if err != nil {
			t.Fatal(err)
		}
		tree := NewTree(root, size, kept)
		found, mended, err := tree.Compare(sum, got)
		if err != nil {
			t.Fatal(err)
		}
		said := NewBits(groups)
		for _, r := range found {
			said.Set(r)
		}
		for g := range groups {
			if wrong.Get(g) && !said.Get(g) {
				t.Fatalf("group %d is wrong, and was not found", g)
			}
			if !wrong.Get(g) && said.Get(g) && len(torn) == 0 {
				t.Fatalf("group %d is right, and was blamed", g)
			}
			if !said.Get(g) { // it can be proven
				r := Range{g, 1}
				if proof, err := tree.Proof(nil, r); err != nil || CheckProof(root, size, r, proof) != nil {
					t.Fatalf("group %d is right, and cannot be proven: %v", g, err)
				}
			}
		}
		if wrong.Count() == 0 && (!bytes.Equal(kept, right) || mended != (len(torn) > 0)) {
			t.Fatalf("the tree was not put right, mended %v", mended)
		}
	})
}

// What cannot be read is noted, and is no error.
func TestHoles(t *testing.T) {
	data := randomBytes(5*GroupSize + 10)
	h := NewHoles(bytes.NewReader(data[:3*GroupSize+100]), int64(len(data)))
	p := make([]byte, len(data))
	if n, err := h.ReadAt(p, 0); n != len(p) || err != nil || !bytes.Equal(p[:3*GroupSize], data[:3*GroupSize]) || !bytes.Equal(p[3*GroupSize:], make([]byte, 2*GroupSize+10)) {
		t.Errorf("%d, %v", n, err)
	}
	if got := slices.Collect(h.Groups().Ranges()); len(got) != 1 || got[0] != (Range{3, 3}) {
		t.Errorf("holes %v", got)
	}
}

// Read gives what is right, to the first group that is not.
func TestTreeRead(t *testing.T) {
	for _, size := range []int{1, GroupSize, 5*GroupSize + 10} {
		data := randomBytes(size)
		out, root := mustBuild(t, data, size)
		tree := NewTree(root, int64(size), out)
		for _, r := range [][2]int{{0, size}, {size / 2, size}, {size / 3, size/3 + 1}, {size - 1, size}} {
			p := make([]byte, r[1]-r[0])
			if n, bad, err := tree.Read(bytes.NewReader(data), p, int64(r[0])); n != len(p) || bad != -1 || err != nil || !bytes.Equal(p, data[r[0]:r[1]]) {
				t.Errorf("%d bytes, %v: %d, bad %d, %v", size, r, n, bad, err)
			}
		}
		damaged := bytes.Clone(data)
		last := (size - 1) / GroupSize
		damaged[last*GroupSize] ^= 1
		p := make([]byte, size)
		if n, bad, err := tree.Read(bytes.NewReader(damaged), p, 0); n != last*GroupSize || bad != int64(last) || err == nil {
			t.Errorf("%d bytes, damaged: %d, bad %d, %v", size, n, bad, err)
		}
		if n, bad, err := tree.Read(bytes.NewReader(data[:size-1]), p, 0); n != 0 || bad < 0 || !errors.Is(err, io.EOF) {
			t.Errorf("%d bytes, cut: %d, bad %d, %v", size, n, bad, err)
		}
	}
	for _, c := range []struct {
		size, first, n int64
		want           bool
	}{{10, 0, 10, true}, {10, 0, 9, false}, {10, 1, 10, false}, {2 * GroupSize, 1, GroupSize, true}, {2 * GroupSize, 0, 2 * GroupSize, true}, {2 * GroupSize, 0, GroupSize + 1, false}, {0, 0, 0, true}, {10, -1, 10, false}} {
		if got := Whole(c.size, c.first, c.n); got != c.want {
			t.Errorf("Whole(%d, %d, %d) = %v", c.size, c.first, c.n, got)
		}
	}
}
