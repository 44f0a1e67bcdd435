// Package atomicfile replaces small files so that a crash leaves either the old bytes or the new ones, whole and durable.
//
// It is not for large files, which are written in place and renamed by who downloads them. Its one idea: write beside, sync, rename,
// sync the folder.
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"kith"
	"kith/internal/room"
)

// tempMark stands in the name of every file that is not yet in place.
const tempMark = ".kith-tmp-"

// Write makes path hold exactly data with permissions perm (on Windows only the read-only bit counts). When it returns nil the bytes
// survive a power cut; when it fails, path is as it was before. A full disk is Unavailable, a folder that may not be written Denied. Writers
// of the same path may run at once: one of them wins.
func Write(path string, data []byte, perm fs.FileMode) error {
	temp, err := writeTemp(path, data, perm)
	if err != nil {
		return failed(path, err)
	}
	reached("written")
	if err := os.Rename(temp, path); err != nil {
		os.Remove(temp)
		return failed(path, err)
	}
	reached("renamed")
	if err := SyncDir(filepath.Dir(path)); err != nil {
		return failed(path, err)
	}
	return nil
}

// failed returns err, of a write to path, with its kind.
func failed(path string, err error) error {
	err = fmt.Errorf("atomicfile: write %s: %w", path, err)
	switch {
	case room.Full(err):
		return kith.Hint(fmt.Errorf("%w: %w", err, kith.Unavailable), "make room on the disk that %s is on", path)
	case errors.Is(err, fs.ErrPermission):
		return kith.Hint(fmt.Errorf("%w: %w", err, kith.Denied), "make %s a folder that you may write", filepath.Dir(path))
	}
	return err
}

// writeTemp puts data, synced, in a new file beside path, and returns its name. On failure it leaves none.
func writeTemp(path string, data []byte, perm fs.FileMode) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+tempMark+"*") // 0600
	if err != nil {
		return "", err
	}
	defer func() {
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	if _, err := f.Write(data); err != nil {
		return "", err
	}
	if err := f.Chmod(perm); err != nil {
		return "", err
	}
	return f.Name(), f.Sync()
}

// Remove deletes path durably. It is no error if there is none.
func Remove(path string) error {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("atomicfile: remove %s: %w", path, err)
	}
	return SyncDir(filepath.Dir(path))
}

// Sweep deletes what writers that were killed left in dir. The caller makes sure that nobody is writing there.
func Sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("atomicfile: sweep %s: %w", dir, err)
	}
	for _, e := range entries {
		if !strings.Contains(e.Name(), tempMark) || !e.Type().IsRegular() {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("atomicfile: sweep: %w", err)
		}
	}
	return nil
}

// reached is called at the points where a test kills the process.
var reached = func(point string) {}
