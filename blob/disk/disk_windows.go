package disk

import (
	"io/fs"

	"golang.org/x/sys/windows"
)

// OpenShared opens a file that is shared: nothing special here.
const OpenShared = 0

// Inode returns what tells a file from all others of this machine: nothing that a FileInfo has here.
func Inode(fs.FileInfo) (dev, ino int64) { return 0, 0 }

// Free returns how many bytes may still be written to the disk that dir is on, if that can be known.
func Free(dir string) (int64, bool) {
	path, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, false
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(path, &free, nil, nil); err != nil {
		return 0, false
	}
	return int64(free), true
}
