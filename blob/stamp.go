package blob

import (
	"errors"
	"io/fs"
	"slices"

	"kith/blob/disk"
)

// A stamp tells whether a file may have changed since it was read.
type stamp struct{ size, mtime, dev, ino int64 }

func stampOf(info fs.FileInfo) stamp {
	s := stamp{size: info.Size(), mtime: info.ModTime().UnixNano()}
	s.dev, s.ino = disk.Inode(info)
	return s
}

// join is errors.Join, but leaves a single error as it is, with its hint.
func join(errs ...error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}
