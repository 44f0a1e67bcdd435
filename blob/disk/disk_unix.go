//go:build unix

package disk

import (
	"io/fs"
	"syscall"

	"golang.org/x/sys/unix"
)

// OpenShared opens a file that is shared: it is not a link, and opening it does not wait, whatever took its place meanwhile.
const OpenShared = unix.O_NOFOLLOW | unix.O_NONBLOCK

// Inode returns what tells a file from all others of this machine, or zeros where that is not known.
func Inode(info fs.FileInfo) (dev, ino int64) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int64(st.Dev), int64(st.Ino)
	}
	return 0, 0
}

// Free returns how many bytes may still be written to the disk that dir is on, if that can be known.
func Free(dir string) (int64, bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, false
	}
	return int64(st.Bavail) * int64(st.Bsize), true
}
