package bao

import (
	"fmt"
	"sync"

	"kith"

	"lukechampine.com/blake3/guts"
)

// scratch is room for the parents of a subtree that is read at once.
type scratch [(scratchGroups - 1) * parentSize]byte

const scratchGroups = 128

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// Proven reports whether the chaining value of a group is known, so that Verify can say whether data is the right one.
func (t *Tree) Proven(group int64) bool {
	if check(t.size, Range{group, 1}) != nil {
		return false
	}
	if t.groups == 1 {
		return true
	}
	buf := scratches.Get().(*scratch)
	defer scratches.Put(buf)
	d, side := root(t.groups).above(group)
	return t.read(buf[:parentSize], d.index) == nil && toCV(buf[side:]) != cv{}
}

// Verify checks the data of one group, which must be whole. Wrong data, or data of the wrong length, is kith.Corrupt; that the
// group is not proven yet is kith.NotFound.
func (t *Tree) Verify(group int64, data []byte) error {
	if len(data) > GroupSize {
		return fmt.Errorf("bao: verify group %d: %d bytes: %w", group, len(data), kith.Corrupt)
	}
	_, err := t.VerifyRange(group, data)
	return err
}

// VerifyRange checks the data of groups from first on, which must be whole, in order. If one is wrong (kith.Corrupt) or not
// proven yet (kith.NotFound), bad is its number, and those before it are right. Without an error, bad is -1.
func (t *Tree) VerifyRange(first int64, data []byte) (bad int64, err error) {
	if err := t.fits(first, data); err != nil {
		return first, err
	}
	if t.groups == 1 {
		return verifyGroup(0, data, toCV(t.root[:]), guts.FlagRoot)
	}
	v := verifier{t: t, r: Range{first, Groups(int64(len(data)))}, data: data, buf: scratches.Get().(*scratch)}
	defer scratches.Put(v.buf)
	return v.verify(root(t.groups))
}

// Whole reports whether n bytes are whole groups of a blob of size bytes, from first on.
func Whole(size, first, n int64) bool {
	r := Range{first, Groups(n)}
	return check(size, r) == nil && n == min(r.N*GroupSize, size-first*GroupSize)
}

// fits checks that data is whole groups from first on.
func (t *Tree) fits(first int64, data []byte) error {
	r := Range{first, Groups(int64(len(data)))}
	if err := check(t.size, r); err != nil {
		return fmt.Errorf("bao: verify: %w", err)
	}
	want := r.N * GroupSize
	if first+r.N == t.groups {
		want = t.size - first*GroupSize
	}
	if int64(len(data)) != want {
		return fmt.Errorf("bao: verify group %d: %d bytes, want %d: %w", first, len(data), want, kith.Corrupt)
	}
	return nil
}

func verifyGroup(group int64, data []byte, want cv, flags uint32) (bad int64, err error) {
	switch {
	case want == cv{}:
		return group, fmt.Errorf("bao: verify group %d: not proven yet: %w", group, kith.NotFound)
	case hashGroup(data, group, flags) != want:
		return group, fmt.Errorf("bao: verify group %d: %w", group, kith.Corrupt)
	}
	return -1, nil
}

// A verifier walks over the tree to the groups r, and reads only the parents right above them.
type verifier struct {
	t    *Tree
	r    Range
	data []byte
	buf  *scratch
}

// verify checks the groups that are in d, which is more than one.
func (v *verifier) verify(d node) (bad int64, err error) {
	if d.outside(v.r) {
		return -1, nil
	}
	if d.inside(v.r) && d.n <= scratchGroups {
		parents := v.buf[:(d.n-1)*parentSize]
		if err := v.t.read(parents, d.index); err != nil {
			return d.first, fmt.Errorf("bao: verify: %w", err)
		}
		return v.within(d, parents)
	}
	left, right := d.left(), d.right()
	var parent [parentSize]byte
	if left.n == 1 || right.n == 1 {
		if err := v.t.read(v.buf[:parentSize], d.index); err != nil {
			return max(d.first, v.r.First), fmt.Errorf("bao: verify: %w", err)
		}
		parent = [parentSize]byte(v.buf[:])
	}
	if bad, err := v.child(left, parent[:cvSize]); err != nil {
		return bad, err
	}
	return v.child(right, parent[cvSize:])
}

// child checks what is in d, of which sum is the chaining value if it is one group.
func (v *verifier) child(d node, sum []byte) (bad int64, err error) {
	if d.n > 1 || d.outside(v.r) {
		return v.verify(d)
	}
	return v.group(d.first, sum)
}

// within checks all groups of d, which is more than one, and whose parents are given.
func (v *verifier) within(d node, parents []byte) (bad int64, err error) {
	left, right := d.left(), d.right()
	if left.n == 1 {
		bad, err = v.group(left.first, parents)
	} else {
		bad, err = v.within(left, parents[parentSize:])
	}
	if err != nil {
		return bad, err
	}
	if right.n == 1 {
		return v.group(right.first, parents[cvSize:])
	}
	return v.within(right, parents[left.n*parentSize:])
}

func (v *verifier) group(group int64, sum []byte) (bad int64, err error) {
	from := (group - v.r.First) * GroupSize
	return verifyGroup(group, v.data[from:min(from+GroupSize, int64(len(v.data)))], toCV(sum), 0)
}
