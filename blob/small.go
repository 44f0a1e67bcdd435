package blob

import (
	"context"
	"fmt"
	"sync"

	"kith"
	"kith/blob/bao"
	"kith/blob/digest"
	"kith/blob/disk"
)

// A SmallFile is a file of a folder, of at most MaxPut bytes, that comes group by group: it is gathered in memory, checked as it comes, and
// written whole. All methods may be called at once.
type SmallFile struct {
	t     *TreeDownload
	i     int
	built digest.Digest
	tree  *bao.Tree

	mu   sync.Mutex
	data []byte
	have bao.Bits
}

// Small begins file i. Errors: Invalid if it is none of at most MaxPut bytes.
func (t *TreeDownload) Small(i int) (*SmallFile, error) {
	if i < 0 || i >= len(t.m.Entries) || !t.m.Entries[i].File() || t.m.BlobSize(i) > MaxPut {
		return nil, fmt.Errorf("blob: small file %d of %s: %w", i, t.root.Short(), kith.Invalid)
	}
	b := digest.Digest{Sum: t.m.Entries[i].Ref.Sum, Size: t.m.BlobSize(i)}
	if n := bao.OutboardSize(b.Size); n > 0 {
		b.Tree = make([]byte, n)
	}
	return &SmallFile{
		t: t, i: i, built: b, tree: bao.NewTree(b.Sum, b.Size, bao.Memory(b.Tree)),
		data: make([]byte, b.Size), have: bao.NewBits(bao.Groups(b.Size)),
	}, nil
}

// AddProof is Blob.AddProof.
func (f *SmallFile) AddProof(r bao.Range, proof []byte) error { return f.tree.AddProof(r, proof) }

// WriteGroups is Blob.WriteGroups, but a wrong group takes all of data with it.
func (f *SmallFile) WriteGroups(first int64, data []byte) error {
	if bad, err := f.tree.VerifyRange(first, data); err != nil {
		return join(&WrongGroup{bad}, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	copy(f.data[first*bao.GroupSize:], data)
	f.have.Set(bao.Range{First: first, N: bao.Groups(int64(len(data)))})
	return nil
}

// Put writes the file, of which all groups must be here. It survives a crash from the next Commit on. Errors: NotFound, Unavailable (disk full).
func (f *SmallFile) Put(ctx context.Context) error {
	f.mu.Lock()
	all := f.have.All()
	f.mu.Unlock()
	err := ctx.Err()
	if err == nil && !all {
		err = kith.NotFound
	}
	if err == nil {
		err = f.t.place(f.i, f.built, f.data)
	}
	if err != nil {
		return fmt.Errorf("blob: put file %d of %s: %w", f.i, f.t.root.Short(), disk.Error(err))
	}
	return nil
}
