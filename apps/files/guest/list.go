package guest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"kith"
	"kith/blob/folder"
)

// maxFiles bounds the files of a folder that are given.
const maxFiles = 100_000

// An entry is a file of a folder.
type entry struct {
	path    string // below the folder, with slashes
	size    int64
	changed time.Time
}

// A listing is what is in a folder now.
type listing struct {
	files []entry
	size  int64
	more  bool // there are more files than are given
}

// list finds the files of a folder: what is no plain file is left out, and so is what is never given and what is not complete.
func (d *Desk) list(l Link) listing {
	var all listing
	filepath.WalkDir(l.Path, func(file string, e fs.DirEntry, err error) error {
		rel, errRel := filepath.Rel(l.Path, file)
		switch {
		case err != nil || errRel != nil:
			return nil // what cannot be read cannot be given
		case d.o.Secret(file):
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		case !plainFile(e.Name(), e.Type()):
			return nil
		case len(all.files) == maxFiles:
			all.more = true
			return fs.SkipAll
		}
		if info, err := e.Info(); err == nil {
			all.files = append(all.files, entry{filepath.ToSlash(rel), info.Size(), info.ModTime()})
			all.size += info.Size()
		}
		return nil
	})
	return all
}

func plainFile(name string, mode fs.FileMode) bool {
	return mode.IsRegular() && !strings.HasSuffix(name, folder.PartSuffix)
}

var errChanged = fmt.Errorf("guest: it was changed or moved since the link was made: %w", kith.Gone)

// open opens what a link names, or the file rel of the folder that it names. Its error is NotFound, or Gone if the file is another now.
func (d *Desk) openFile(l Link, rel string) (*os.File, fs.FileInfo, error) {
	dir, name := l.Path, rel
	if !l.Folder {
		dir, name = filepath.Split(l.Path)
	}
	f, info, err := d.openIn(dir, filepath.ToSlash(name))
	switch {
	case err == nil && !l.Folder && (info.Size() != l.Size || !info.ModTime().Equal(l.Changed)):
		f.Close()
		return nil, nil, errChanged
	case err != nil && !l.Folder:
		return nil, nil, errChanged
	}
	return f, info, err
}

// openIn opens a plain file below dir, and nothing that is reached through a link or lies elsewhere, whatever name says.
func (d *Desk) openIn(dir, name string) (*os.File, fs.FileInfo, error) {
	missing := fmt.Errorf("guest: no such file: %w", kith.NotFound)
	if !fs.ValidPath(name) || !filepath.IsLocal(filepath.FromSlash(name)) {
		return nil, nil, missing
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, missing
	}
	defer root.Close()
	for at := name; at != "."; at = path.Dir(at) {
		info, err := root.Lstat(at)
		if err != nil || at == name && !plainFile(path.Base(name), info.Mode()) || at != name && !info.IsDir() {
			return nil, nil, missing
		}
	}
	if d.secret(filepath.Join(dir, filepath.FromSlash(name))) {
		return nil, nil, missing
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, nil, errors.Join(missing, err)
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, nil, missing
	}
	return f, info, nil
}
