package blob

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"kith"
	"kith/internal/human"
	"kith/internal/room"
)

// A stamp tells whether a file may have changed since it was read.
type stamp struct{ size, mtime, dev, ino int64 }

func stampOf(info fs.FileInfo) stamp {
	s := stamp{size: info.Size(), mtime: info.ModTime().UnixNano()}
	s.dev, s.ino = inode(info)
	return s
}

// diskError makes of an error of the file system one that a person can act on.
func diskError(err error) error {
	switch {
	case err == nil || errors.As(err, new(kith.Kind)):
		return err
	case room.Full(err):
		return room.Explain(err)
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: %w", err, kith.NotFound)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w", err, kith.Denied)
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

// settle renames a finished file or folder to path, or to a free name beside it, and returns that. Nothing is ever replaced. Before, it tells note
// the name, so that after a crash it can be known what the renamed file is.
func settle(from, path string, note func(to string) error) (string, error) {
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
		return to, syncDir(filepath.Dir(to))
	}
}

// syncDir makes the names in a folder durable.
func syncDir(path string) error {
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

// roomFor fails if a disk has less than n bytes free.
func roomFor(dir string, n int64) error {
	if free, ok := freeRoom(dir); ok && free < n {
		err := fmt.Errorf("%s is needed in %s, %s is free: %w", human.Bytes(n), dir, human.Bytes(free), kith.Unavailable)
		return kith.Hint(err, "make room there; nothing is lost")
	}
	return nil
}

// join is errors.Join, but leaves a single error as it is, with its hint.
func join(errs ...error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}
