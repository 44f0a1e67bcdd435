// Package walk finds what of a folder can be shared.
//
// It reads names and no bytes, and keeps nothing. Its one idea: what it returns is good on every system, so that a manifest can be made of it; what is not is left out with a
// reason that a person understands.
package walk

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/text/unicode/norm"

	"kith"
	"kith/blob/disk"
	"kith/blob/folder"
)

// maxSize is how many bytes files may have in all, 16 TiB.
const maxSize = folder.MaxSize

// A Found is an entry of the manifest in the making. For files, Name is how the entry is really spelled on disk.
type Found struct {
	folder.Entry
	Name string
	Info fs.FileInfo
	Drop bool // it is left out after all
}

// Folder returns what is in the folder dir, and the bytes of its files. never says what is never shared; skip is told what is left out. Errors: TooLarge.
func Folder(ctx context.Context, dir string, never func(path string) bool, skip func(path, why string)) (all []Found, total int64, err error) {
	taken := folder.NewNames()
	full := map[string]bool{} // folders that something is in
	err = filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if file == dir {
			return err
		}
		rel, errRel := filepath.Rel(dir, file)
		if errRel != nil {
			return errRel
		}
		rel = filepath.ToSlash(rel)
		if err != nil { // a folder that cannot be read
			skip(rel, disk.Error(err).Error())
			return fs.SkipDir
		}
		f, why := look(rel, file, d)
		if never(file) {
			why = "it is kith's own, with its keys in it"
		}
		if why == "" && !d.IsDir() {
			if err := taken.Add(f.Path); err != nil {
				why = unfit(err)
			}
		}
		switch {
		case why != "":
			skip(rel, why)
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case len(all) >= folder.MaxEntries:
			return fmt.Errorf("more than %d files: %w", folder.MaxEntries, kith.TooLarge)
		case f.Size > maxSize-total:
			return fmt.Errorf("more than %d bytes: %w", int64(maxSize), kith.TooLarge)
		}
		full[path.Dir(rel)] = true
		all = append(all, f)
		total += f.Size
		return nil
	})
	for i, f := range all { // a folder is an entry only if it is empty
		all[i].Drop = f.Mode.IsDir() && (full[f.Name] || taken.Add(f.Path) != nil)
	}
	return all, total, err
}

// unfit says why a manifest cannot have an entry: here that is no corruption, as it would be in one that came from elsewhere.
func unfit(err error) string {
	return strings.TrimSuffix(err.Error(), ": "+kith.Corrupt.Error())
}

// look makes an entry of what the walk found, or says why it is left out.
func look(rel, file string, d fs.DirEntry) (f Found, why string) {
	f.Name = rel
	f.Path = norm.NFC.String(rel)
	switch {
	case strings.HasSuffix(rel, folder.PartSuffix):
		return f, "it is a download that is not complete"
	case !d.IsDir() && !d.Type().IsRegular() && d.Type() != fs.ModeSymlink:
		return f, "it is " + Describe(d.Type())
	}
	if err := folder.CheckPath(f.Path); err != nil {
		return f, unfit(err)
	}
	info, err := d.Info()
	if err != nil {
		return f, disk.Error(err).Error()
	}
	f.Info = info
	f.Mode = info.Mode() & (fs.ModePerm | fs.ModeDir | fs.ModeSymlink)
	switch {
	case info.Mode().IsRegular():
		f.Size = info.Size()
	case f.Mode.Type() == fs.ModeSymlink:
		target, err := os.Readlink(file)
		if err != nil {
			return f, disk.Error(err).Error()
		}
		f.Link, f.Mode = filepath.ToSlash(target), fs.ModeSymlink|0o777
		if err := folder.CheckLink(f.Path, f.Link); err != nil {
			return f, unfit(err)
		}
	}
	return f, ""
}

// Describe says what a file is that cannot be shared.
func Describe(m fs.FileMode) string {
	switch {
	case m&fs.ModeDevice != 0:
		return "a device"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeNamedPipe != 0:
		return "a pipe"
	}
	return "no file"
}
