package blob

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

// walk finds what is in the folder.
func (im *importer) walk(ctx context.Context) error {
	taken := folder.NewNames()
	full := map[string]bool{} // folders that something is in
	err := filepath.WalkDir(im.dir, func(file string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if file == im.dir {
			return err
		}
		rel, errRel := filepath.Rel(im.dir, file)
		if errRel != nil {
			return errRel
		}
		rel = filepath.ToSlash(rel)
		if err != nil { // a folder that cannot be read
			im.skip(rel, disk.Error(err).Error())
			return fs.SkipDir
		}
		f, why := im.look(rel, file, d)
		if im.s.never(file) {
			why = "it is kith's own, with its keys in it"
		}
		if why == "" && !d.IsDir() {
			if err := taken.Add(f.entry.Path); err != nil {
				why = unfit(err)
			}
		}
		switch {
		case why != "":
			im.skip(rel, why)
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case len(im.found) >= folder.MaxEntries:
			return fmt.Errorf("more than %d files: %w", folder.MaxEntries, kith.TooLarge)
		case f.entry.Size > MaxSize-im.total:
			return fmt.Errorf("more than %d bytes: %w", int64(MaxSize), kith.TooLarge)
		}
		full[path.Dir(rel)] = true
		im.found = append(im.found, f)
		im.total += f.entry.Size
		return nil
	})
	for i, f := range im.found { // a folder is an entry only if it is empty
		im.found[i].drop = f.entry.Mode.IsDir() && (full[f.name] || taken.Add(f.entry.Path) != nil)
	}
	return err
}

// unfit says why a manifest cannot have an entry: here that is no corruption, as it would be in one that came from elsewhere.
func unfit(err error) string {
	return strings.TrimSuffix(err.Error(), ": "+kith.Corrupt.Error())
}

// look makes an entry of what the walk found, or says why it is left out.
func (im *importer) look(rel, file string, d fs.DirEntry) (f found, why string) {
	f.name = rel
	f.entry.Path = norm.NFC.String(rel)
	switch {
	case strings.HasSuffix(rel, folder.PartSuffix):
		return f, "it is a download that is not complete"
	case !d.IsDir() && !d.Type().IsRegular() && d.Type() != fs.ModeSymlink:
		return f, "it is " + describe(d.Type())
	}
	if err := folder.CheckPath(f.entry.Path); err != nil {
		return f, unfit(err)
	}
	info, err := d.Info()
	if err != nil {
		return f, disk.Error(err).Error()
	}
	f.info = info
	f.entry.Mode = info.Mode() & (fs.ModePerm | fs.ModeDir | fs.ModeSymlink)
	switch {
	case info.Mode().IsRegular():
		f.entry.Size = info.Size()
	case f.entry.Mode.Type() == fs.ModeSymlink:
		target, err := os.Readlink(file)
		if err != nil {
			return f, disk.Error(err).Error()
		}
		f.entry.Link, f.entry.Mode = filepath.ToSlash(target), fs.ModeSymlink|0o777
		if err := folder.CheckLink(f.entry.Path, f.entry.Link); err != nil {
			return f, unfit(err)
		}
	}
	return f, ""
}
