//go:build !linux

package blob

import (
	"io/fs"
	"os"
)

// renameNew renames, and fails if to exists.
func renameNew(from, to string) error {
	if _, err := os.Lstat(to); err == nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: fs.ErrExist}
	}
	return os.Rename(from, to)
}

// syncData makes the bytes of f durable.
func syncData(f *os.File) error { return f.Sync() }

// canSyncAll says whether syncAll makes files durable, or they must be synced one by one.
const canSyncAll = false

func syncAll(*os.Root) error { return nil }
