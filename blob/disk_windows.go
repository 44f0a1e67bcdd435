package blob

import (
	"io/fs"

	"golang.org/x/sys/windows"
)

const openShared = 0

func inode(fs.FileInfo) (dev, ino int64) { return 0, 0 }

func freeRoom(dir string) (int64, bool) {
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
