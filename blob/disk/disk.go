// Package disk is what a store asks of a file system and package os does not give: errors that a person can act on, room, renames that replace
// nothing, and durability.
//
// It is not a store: it knows paths and files, not blobs. Its one idea is that the differences between systems are here, and nowhere
// else in the store.
package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"kith"
	"kith/internal/room"
)

// Error makes of an error of the file system one that a person can act on.
func Error(err error) error {
	switch {
	case err == nil || errors.As(err, new(kith.Kind)):
		return err
	case room.Full(err):
		return room.Explain(err)
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: %w", err, kith.NotFound)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w", err, kith.Denied)
	case errors.Is(err, syscall.EROFS):
		return kith.Hint(fmt.Errorf("%w: %w", err, kith.Denied), "choose a place that can be written")
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%w: %w", err, kith.Exists)
	}
	return err
}

// freeName returns a name beside path that nothing has: "film (1).mkv".
func freeName(path string) string {
	dir, file := filepath.Split(path)
	ext := filepath.Ext(file)
	stem := strings.TrimSuffix(file, ext)
	if stem == "" || strings.HasPrefix(ext, ". ") {
		stem, ext = file, ""
	}
	for n := 0; ; n++ {
		name := path
		if n > 0 {
			name = filepath.Join(dir, fmt.Sprintf("%s (%d)%s", stem, n, ext))
		}
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			return name
		}
	}
}

// Settle renames a finished file or folder to path, or to a free name beside it, and returns that. Nothing is ever replaced. Before, it tells note
// the name, so that after a crash it can be known what the renamed file is.
func Settle(from, path string, note func(to string) error) (string, error) {
	for {
		to := freeName(path)
		if err := note(to); err != nil {
			return "", err
		}
		err := renameNew(from, to)
		if errors.Is(err, fs.ErrExist) {
			continue // somebody was faster
		}
		if err != nil {
			return "", err
		}
		return to, SyncDir(filepath.Dir(to))
	}
}

// SyncDir makes the names in a folder durable.
func SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}

// Room fails if a disk has less than n bytes free.
func Room(dir string, n int64) error {
	if free, ok := Free(dir); ok && free < n {
		err := fmt.Errorf("%w: %w", room.Short{Need: n, Free: free, Dir: dir}, kith.Unavailable)
		return kith.Hint(err, "make room there; nothing is lost")
	}
	return nil
}
