package blob

import (
	"context"

	"kith/blob/bao"
)

// A TreeDownload is a folder that is being downloaded. All methods may be called at once.
type TreeDownload struct{}

// Manifest returns what it consists of. The index of a file is its place in Entries.
func (t *TreeDownload) Manifest() *Manifest { return nil }

// Path returns where it will be; after Finish, where it is.
func (t *TreeDownload) Path() string { return "" }

// Missing returns the indexes of the files that are not complete yet, in their order.
func (t *TreeDownload) Missing() []int { return nil }

// Put checks data, the whole blob of file i (ciphertext, if private; at most MaxPut bytes), and writes it. It survives a crash from the next Commit on.
// Errors: *WrongGroup (Corrupt), Unavailable (disk full).
func (t *TreeDownload) Put(ctx context.Context, i int, data []byte) error { return errSkeleton }

// MaxPut is how large a blob may be that is written at once. Larger ones go through Create.
const MaxPut = 4 * bao.GroupSize

// Create begins or resumes the blob of file i. Its Finish puts it in its place, decrypted if it is private.
func (t *TreeDownload) Create(ctx context.Context, i int) (*Blob, error) { return nil, errSkeleton }

// Commit makes what was put so far durable: one sync and one transaction for all of it. Call it every few seconds.
func (t *TreeDownload) Commit(ctx context.Context) error { return errSkeleton }

// Finish commits, makes links, and renames the folder into place: to a free name beside it if the name is taken. Errors: Invalid if files are missing.
func (t *TreeDownload) Finish(ctx context.Context) (Tree, error) { return Tree{}, errSkeleton }

// Close gives it back, to be resumed with BeginTree.
func (t *TreeDownload) Close() error { return errSkeleton }
