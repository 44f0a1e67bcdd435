package dirlock

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// lockAt is the offset of the one byte that is locked: far behind the content, since Windows lets nobody read what is locked.
const lockAt = 1 << 30

// tryLock takes the lock that belongs to the open file f, for f alone or shared, and reports whether somebody else's is in the way.
func tryLock(f *os.File, alone bool) (held bool, err error) {
	how := uint32(windows.LOCKFILE_FAIL_IMMEDIATELY)
	if alone {
		how |= windows.LOCKFILE_EXCLUSIVE_LOCK
	}
	err = windows.LockFileEx(windows.Handle(f.Fd()), how, 0, 1, 0, &windows.Overlapped{Offset: lockAt})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return true, nil
	}
	return false, err
}
