//go:build unix

package blob

import (
	"io/fs"
	"syscall"

	"golang.org/x/sys/unix"
)

// A file that is opened to be shared is not a link, and opening it does not wait, whatever took its place meanwhile.
const openShared = unix.O_NOFOLLOW | unix.O_NONBLOCK

func inode(info fs.FileInfo) (dev, ino int64) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int64(st.Dev), int64(st.Ino)
	}
	return 0, 0
}

func freeRoom(dir string) (int64, bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, false
	}
	return int64(st.Bavail) * int64(st.Bsize), true
}
