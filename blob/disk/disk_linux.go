package disk

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// renameNew renames, and fails if to exists.
func renameNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // a file system that cannot: to was looked at just now
		return os.Rename(from, to)
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// SyncData makes the bytes of f durable.
func SyncData(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }

// CanSyncAll says whether SyncAll makes files durable, or they must be synced one by one.
const CanSyncAll = true

// SyncAll makes everything durable that was written to the file system of dir.
func SyncAll(dir *os.Root) error {
	d, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	return unix.Syncfs(int(d.Fd()))
}
