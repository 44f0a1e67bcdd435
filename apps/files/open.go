package files

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"kith"
	"kith/app"
	"kith/internal/media"
	"kith/transfer"
)

func openOp(run func(context.Context, OpenIn) (OpenOut, error)) app.Op {
	o := app.NewOp("open", "make an address at which a browser can see an item, even while it comes", run)
	o.Hidden = true // kith open calls it
	return o
}

func (f *Files) open(ctx context.Context, in OpenIn) (OpenOut, error) {
	it, err := f.find(in.Ref)
	if err != nil {
		return OpenOut{}, err
	}
	name, size, open, err := f.content(ctx, it, in.Index)
	if err != nil {
		return OpenOut{}, err
	}
	url, err := f.env.Origin.Mint(context.WithoutCancel(ctx), app.Content{Name: name, Size: size, Open: open})
	if err != nil {
		return OpenOut{}, err
	}
	return OpenOut{URL: url, Media: media.Type(name)}, nil
}

// content returns how one file of an item is read: from the disk when it is complete, else as it comes.
func (f *Files) content(ctx context.Context, it item, index int) (name string, size int64, open func(context.Context) (io.ReadSeekCloser, error), err error) {
	complete := it.State == stateReady || it.State == stateDone
	at := it.Path
	name, size = it.Name, it.Size
	if it.pending() {
		file, err := fileOf(it, index)
		if err != nil {
			return "", 0, nil, err
		}
		if name, size = path.Base(file.Path), file.Size; complete && file.Path != "" { // a part of a draft
			at = filepath.Join(it.Path, filepath.FromSlash(file.Path))
		}
	} else if it.manifest() {
		m, err := f.env.Blobs.Manifest(ctx, it.Ref, sealKey(it))
		if err != nil {
			return "", 0, nil, err
		}
		if index < 0 || index >= len(m.Entries) || !m.Entries[index].File() {
			return "", 0, nil, fmt.Errorf("files: view %s: no file of number %d: %w", it.Ref.Short(), index, kith.NotFound)
		}
		e := m.Entries[index]
		name, size = path.Base(e.Path), e.Size
		if st, err := os.Stat(it.Path); err == nil && st.IsDir() { // a private share of one file stands alone
			at = filepath.Join(it.Path, filepath.FromSlash(e.Path))
		}
	} else if index != 0 {
		return "", 0, nil, fmt.Errorf("files: view %s: it is one file: %w", it.Ref.Short(), kith.Invalid)
	}
	switch {
	case complete:
		return name, size, func(context.Context) (io.ReadSeekCloser, error) { return os.Open(at) }, nil
	case it.dl == nil:
		return "", 0, nil, kith.Hint(fmt.Errorf("files: view %s: it is %s: %w", it.Ref.Short(), it.State, kith.Unavailable), "kith resume %s", it.Ref)
	}
	r, size, err := it.dl.Reader(ctx, index)
	if err != nil {
		return "", 0, nil, err
	}
	r.Close()
	return name, size, func(ctx context.Context) (io.ReadSeekCloser, error) {
		r, _, err := it.dl.Reader(ctx, index)
		return r, err
	}, nil
}

// fileOf returns a file of what only other networks know so far.
func fileOf(it item, index int) (transfer.File, error) {
	for _, file := range filesOf(it, index+1) {
		if file.Index == index {
			return file, nil
		}
	}
	return transfer.File{}, fmt.Errorf("files: view %s: no file of number %d: %w", it.Ref.Short(), index, kith.NotFound)
}

// filesOf returns the files of what only other networks know so far, at most max: as its download says, or, of a part that was fetched before, as they are on disk.
func filesOf(it item, max int) (list []transfer.File) {
	if it.dl != nil {
		return it.dl.Files(max)
	}
	if it.State != stateDone {
		return nil
	}
	filepath.WalkDir(it.Path, func(at string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if len(list) == max {
			return fs.SkipAll
		}
		rel, err := filepath.Rel(it.Path, at)
		st, bad := d.Info()
		if err == nil && bad == nil && d.Type().IsRegular() {
			list = append(list, transfer.File{Index: len(list), Path: filepath.ToSlash(rel), Size: st.Size(), Done: st.Size()})
		}
		return nil
	})
	return list
}

// WriteText implements app.Texter.
func (o OpenOut) WriteText(w io.Writer, _ int) error {
	_, err := fmt.Fprintln(w, o.URL)
	return err
}
