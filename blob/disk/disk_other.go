//go:build !linux

package disk

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

// SyncData makes the bytes of f durable.
func SyncData(f *os.File) error { return f.Sync() }

// CanSyncAll says whether SyncAll makes files durable, or they must be synced one by one.
const CanSyncAll = false

func SyncAll(*os.Root) error { return nil }
