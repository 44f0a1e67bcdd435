package blob

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"

	"kith"
	"kith/blob/bao"
	"kith/blob/disk"
)

// A Blob is an open blob, complete or coming. All methods may be called at once.
type Blob struct {
	c      *content
	ref    kith.Ref
	at     string // the copy of it that Create made
	closed atomic.Bool
}

// Blob opens what ref names, complete or partial; Close it. Errors: NotFound, Gone.
func (s *Store) Blob(ctx context.Context, ref kith.Ref) (*Blob, error) {
	c, err := s.acquire(ctx, ref.Sum)
	if err != nil {
		return nil, fmt.Errorf("blob: open %s: %w", ref.Short(), disk.Error(err))
	}
	return &Blob{c: c, ref: ref}, nil
}

// Blobs opens at most MaxAhead blobs with one question to the database; it passes over those that Blob would not open.
func (s *Store) Blobs(ctx context.Context, refs []kith.Ref) ([]*Blob, error) {
	type held struct {
		*Blob
		fromIdle bool
	}
	var all []held
	var sums []bao.Sum
	defer func() {
		for _, h := range all { // after an error
			h.c.release()
		}
	}()
	for _, ref := range refs {
		c, fromIdle, err := s.hold(ctx, ref.Sum)
		if err != nil {
			return nil, fmt.Errorf("blob: open %s: %w", ref.Short(), err)
		}
		all, sums = append(all, held{&Blob{c: c, ref: ref}, fromIdle}), append(sums, ref.Sum)
	}
	rows, err := s.lookUpAll(ctx, sums)
	if err != nil {
		return nil, fmt.Errorf("blob: open %d blobs: %w", len(refs), err)
	}
	var open []*Blob
	for _, h := range all {
		if fresh, err := h.c.ready(h.fromIdle, rows[h.c.sum]); err == nil && fresh {
			open = append(open, h.Blob)
		}
	}
	all = nil
	return open, nil
}

// Ref returns what the blob is called.
func (b *Blob) Ref() kith.Ref { return b.ref }

// Size returns its bytes.
func (b *Blob) Size() int64 { return b.c.size }

// Path returns the file it is in, or will be; "" if it is in the store.
func (b *Blob) Path() string {
	if p := b.c.part.Load(); p != nil {
		if p.folder == keepFolder {
			return ""
		}
		return spot{p.folder, p.dir, p.dest}.path()
	}
	if b.at != "" {
		return b.at
	}
	if v := b.c.view.Load(); v.place != nil && v.place.folder != keepFolder {
		return v.place.path()
	}
	return ""
}

// Complete reports whether all of it is here.
func (b *Blob) Complete() bool { return b.c.part.Load() == nil }

// Have returns a snapshot of which groups are here.
func (b *Blob) Have() bao.Bits {
	if p := b.c.part.Load(); p != nil {
		return p.have()
	}
	all := bao.NewBits(bao.Groups(b.c.size))
	all.Set(bao.Range{First: 0, N: all.Len()})
	return all
}

// ReadAt implements io.ReaderAt. Every group that it touches is checked as it is read. Errors: Gone if the file was
// changed or removed, NotFound if a group is not here yet, io.EOF as io.ReaderAt says.
func (b *Blob) ReadAt(p []byte, off int64) (int, error) {
	n, err := b.c.readAt(p, off)
	return n, b.wrap("read", err)
}

// Proof appends to dst the proof of the groups r, as bao.Tree.Proof. Errors: NotFound.
func (b *Blob) Proof(dst []byte, r bao.Range) ([]byte, error) {
	dst, err := b.c.proof(dst, r)
	return dst, b.wrap("prove", err)
}

// AddProof checks the proof of the groups r and keeps it, as bao.Tree.AddProof. Errors: Corrupt, Unavailable (disk full).
func (b *Blob) AddProof(r bao.Range, proof []byte) error {
	if b.Complete() {
		return nil
	}
	return b.wrap("add proof to", b.c.view.Load().tree.AddProof(r, proof))
}

// WriteGroups checks data, which is whole groups from the group first on (the blob's last may be short), against proofs added before, and writes it. The
// groups before a wrong one are kept. Errors: *WrongGroup, NotFound (not proven yet), Unavailable (disk full; nothing is lost).
func (b *Blob) WriteGroups(first int64, data []byte) error {
	p := b.c.part.Load()
	if p == nil {
		return nil
	}
	return b.wrap("write", p.write(b.c.view.Load(), first, data))
}

// A WrongGroup says which group is not what its name says. It is Corrupt.
type WrongGroup struct{ Group int64 }

func (e *WrongGroup) Error() string { return fmt.Sprintf("group %d: %v", e.Group, kith.Corrupt) }

// Unwrap returns kith.Corrupt.
func (e *WrongGroup) Unwrap() error { return kith.Corrupt }

// Checkpoint makes what was written so far survive a power loss. Call it every few seconds.
func (b *Blob) Checkpoint(ctx context.Context) error {
	p := b.c.part.Load()
	if p == nil {
		return nil
	}
	return b.wrap("checkpoint", p.checkpoint(ctx, false))
}

// Finish makes a blob of which all groups are here complete: it is made durable and gets its name. Errors: Invalid if groups are missing.
func (b *Blob) Finish(ctx context.Context) error {
	p := b.c.part.Load()
	if p == nil {
		return nil
	}
	return b.wrap("finish", p.finish(ctx))
}

// Close gives the blob back. A partial one is checkpointed when its last user closes it.
func (b *Blob) Close() error {
	if b.closed.Swap(true) {
		return nil
	}
	return b.wrap("close", b.c.release())
}

func (b *Blob) wrap(verb string, err error) error {
	if err == nil || err == io.EOF { // io.EOF is for comparing
		return err
	}
	return fmt.Errorf("blob: %s %s: %w", verb, b.ref.Short(), disk.Error(err))
}
