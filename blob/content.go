package blob

import (
	"context"

	"kith"
	"kith/blob/bao"
)

// A Blob is an open blob, complete or coming. All methods may be called at once.
type Blob struct{}

// Ref returns what the blob is called.
func (b *Blob) Ref() kith.Ref { return kith.Ref{} }

// Size returns its bytes.
func (b *Blob) Size() int64 { return 0 }

// Path returns the file it is in, or will be; "" if it is in the store.
func (b *Blob) Path() string { return "" }

// Complete reports whether all of it is here.
func (b *Blob) Complete() bool { return false }

// Have returns a snapshot of which groups are here.
func (b *Blob) Have() Bits { return Bits{} }

// ReadAt implements io.ReaderAt. Every group that it touches is checked as it is read. Errors: Gone if the file was
// changed or removed, NotFound if a group is not here yet, io.EOF as io.ReaderAt says.
func (b *Blob) ReadAt(p []byte, off int64) (int, error) { return 0, errSkeleton }

// Proof appends to dst the proof of the groups r, as bao.Tree.Proof. Errors: NotFound.
func (b *Blob) Proof(dst []byte, r bao.Range) ([]byte, error) { return nil, errSkeleton }

// AddProof checks the proof of the groups r and keeps it, as bao.Tree.AddProof. Errors: Corrupt, Unavailable (disk full).
func (b *Blob) AddProof(r bao.Range, proof []byte) error { return errSkeleton }

// WriteGroups checks data, which is whole groups from the group first on (the blob's last may be short), against proofs added before, and writes it. The
// groups before a wrong one are kept. Errors: *WrongGroup, NotFound (not proven yet), Unavailable (disk full; nothing is lost).
func (b *Blob) WriteGroups(first int64, data []byte) error { return errSkeleton }

// A WrongGroup says which group is not what its name says. It is Corrupt.
type WrongGroup struct{ Group int64 }

func (e *WrongGroup) Error() string { return "" }

// Unwrap returns kith.Corrupt.
func (e *WrongGroup) Unwrap() error { return kith.Corrupt }

// Checkpoint makes what was written so far survive a power loss. Call it every few seconds.
func (b *Blob) Checkpoint(ctx context.Context) error { return errSkeleton }

// Finish makes a blob of which all groups are here complete: it is made durable and gets its name. Errors: Invalid if groups are missing.
func (b *Blob) Finish(ctx context.Context) error { return errSkeleton }

// Close gives the blob back. A partial one is checkpointed when its last user closes it.
func (b *Blob) Close() error { return errSkeleton }
