package disk

import "io/fs"

// A Stamp tells whether a file may have changed since it was read.
type Stamp struct{ Size, Mtime, Dev, Ino int64 } // Mtime: Unix nanoseconds

// StampOf returns the Stamp of a file.
func StampOf(info fs.FileInfo) Stamp {
	s := Stamp{Size: info.Size(), Mtime: info.ModTime().UnixNano()}
	s.Dev, s.Ino = Inode(info)
	return s
}
