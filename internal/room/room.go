// Package room tells a disk that is full from other errors, wherever that shows: in a file or in a database.
//
// It does not make room, nor look how much there is. Its one idea: a full disk is nobody's fault and passes, so the error is Unavailable, and says which
// disk it is.
package room

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"kith"
	"kith/internal/human"
)

// A Short says that something larger than what is free is to go into a folder: nothing of it was written.
type Short struct {
	Need, Free int64 // bytes
	Dir        string
}

// Error implements error.
func (s Short) Error() string {
	return fmt.Sprintf("%s is needed in %s, %s is free", human.Bytes(s.Need), s.Dir, human.Bytes(s.Free))
}

// Full reports whether err says that a disk, or a person's part of it, is full, or has less room than is needed. What a database holds is then as it was before.
func Full(err error) bool {
	for _, full := range errs {
		if errors.Is(err, full) {
			return true
		}
	}
	if errors.As(err, new(Short)) {
		return true
	}
	var se *sqlite.Error // SHMSIZE: the file that connections share could not be made as large as it must be
	return errors.As(err, &se) && (se.Code()&0xff == sqlite3.SQLITE_FULL || se.Code() == sqlite3.SQLITE_IOERR_SHMSIZE)
}

// Explain returns err as Unavailable and with what a person can do, if the disk is full; any other error as it is.
func Explain(err error) error {
	if !Full(err) || errors.As(err, new(Short)) { // of which disk.Room has said it
		return err
	}
	where := "with Kith's data directory"
	if at := (*fs.PathError)(nil); errors.As(err, &at) {
		where = "that " + at.Path + " is on"
	}
	if !errors.Is(err, kith.Unavailable) {
		err = fmt.Errorf("the disk is full: %w: %w", err, kith.Unavailable)
	}
	return kith.Hint(err, "make room on the disk %s; nothing is lost", where)
}

// errs are what a file system says; syscall.ENOSPC is none of Windows' own.
var errs = append([]error{syscall.ENOSPC}, systemErrs...)
