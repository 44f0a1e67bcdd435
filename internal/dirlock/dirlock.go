// Package dirlock lets one node at a time use a data directory, and tells a second one who the first is.
//
// It is not a record of who ran last: the operating system drops the lock with the process that holds it, so a node that was killed
// blocks nobody. Its one idea: an advisory lock on DIR/lock, whose content names the holder.
package dirlock

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"kith"
	"kith/internal/room"
)

const (
	fileName = "lock"
	// recordSize is the length to which the content is padded: one write replaces all of it, so that a reader never sees half.
	recordSize = 512
	// patience is how long Acquire waits for the lock: Find takes it for a moment to see whether it is free.
	patience = 200 * time.Millisecond
)

// A Holder is the node that uses a data directory.
type Holder struct {
	PID   int       `json:"pid"`
	API   string    `json:"api,omitempty"` // address of its local interface; "" while it is starting
	Since time.Time `json:"since"`
}

// String describes h in words.
func (h Holder) String() string {
	s := fmt.Sprintf("process %d", h.PID)
	if h.API != "" {
		s += " at " + h.API
	}
	return s + ", since " + h.Since.Local().Format("2 Jan 2006 15:04:05")
}

// A Lock is the right to use a data directory. Its methods may be called at once.
type Lock struct {
	mu   sync.Mutex
	f    *os.File
	dir  string
	self Holder
}

// Acquire takes the lock of dir, which must exist. If another process has it, the error is Exists and names that process.
func Acquire(dir string) (*Lock, error) {
	f, err := os.OpenFile(filepath.Join(dir, fileName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		if errors.Is(err, syscall.EROFS) || errors.Is(err, fs.ErrPermission) {
			err = kith.Hint(fmt.Errorf("%w: %w", err, kith.Denied), "choose a data directory that you may write, with --dir")
		}
		return nil, fmt.Errorf("dirlock: lock %s: %w", dir, room.Explain(err))
	}
	held, err := tryLock(f, true)
	for begin := time.Now(); held && time.Since(begin) < patience; held, err = tryLock(f, true) {
		time.Sleep(patience / 20)
	}
	switch {
	case err != nil:
		f.Close()
		return nil, fmt.Errorf("dirlock: lock %s: %w", dir, err)
	case held:
		h, readErr := read(f)
		f.Close()
		return nil, heldError(dir, h, readErr)
	}
	l := &Lock{f: f, dir: dir, self: Holder{PID: os.Getpid(), Since: time.Now().Truncate(time.Second)}}
	if err := l.SetAPI(""); err != nil {
		l.Release()
		return nil, err
	}
	return l, nil
}

func heldError(dir string, h Holder, readErr error) error {
	who := "another node that is just starting"
	if readErr == nil {
		who = "another node: " + h.String()
	}
	return kith.Hint(fmt.Errorf("dirlock: %s is in use by %s: %w", dir, who, kith.Exists),
		"kith status --dir '%s' asks that node how it is; for a second node, choose another folder: kith up --dir FOLDER", dir)
}

// SetAPI makes known where the holder's local interface listens.
func (l *Lock) SetAPI(addr string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.self.API = addr
	data, err := json.Marshal(l.self)
	if err == nil && len(data) >= recordSize {
		err = kith.TooLarge
	}
	if err == nil {
		data = append(data, bytes.Repeat([]byte(" "), recordSize-1-len(data))...)
		_, err = l.f.WriteAt(append(data, '\n'), 0)
	}
	if err != nil {
		return fmt.Errorf("dirlock: name the holder of %s: %w", l.dir, room.Explain(err))
	}
	return nil
}

// Release gives the directory up. The file stays: removing it would let two nodes hold locks on two files of the same name.
func (l *Lock) Release() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.f.Close() // which drops the lock
}

// Find returns who holds the lock of dir; the error is NotFound if nobody does.
func Find(dir string) (Holder, error) {
	none := fmt.Errorf("dirlock: no node uses %s: %w", dir, kith.NotFound)
	f, err := os.OpenFile(filepath.Join(dir, fileName), os.O_RDWR, 0)
	switch {
	case os.IsNotExist(err):
		return Holder{}, none
	case err != nil:
		return Holder{}, fmt.Errorf("dirlock: find the node in %s: %w", dir, err)
	}
	defer f.Close() // also drops the lock, if this took it
	held, err := tryLock(f, false)
	switch {
	case err != nil:
		return Holder{}, fmt.Errorf("dirlock: find the node in %s: %w", dir, err)
	case !held:
		return Holder{}, none
	}
	return read(f)
}

func read(f *os.File) (Holder, error) {
	data, err := io.ReadAll(io.NewSectionReader(f, 0, recordSize))
	if err != nil {
		return Holder{}, err
	}
	var h Holder
	if err := json.Unmarshal(data, &h); err != nil || h.PID <= 0 {
		return Holder{}, fmt.Errorf("dirlock: %s names no holder: %w", f.Name(), kith.Corrupt)
	}
	return h, nil
}
