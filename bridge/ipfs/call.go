package ipfs

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ipfs/go-cid"

	"kith"
	"kith/bridge/ipfs/unixfs"
)

// Call implements bridge.Web.
func (b *Bridge) Call(ctx context.Context, path, profile string) (kith.Names, error) {
	p := b.profile
	if profile != "" {
		var err error
		if p, err = unixfs.Named(profile); err != nil {
			return kith.Names{}, err
		}
	}
	l, err := call(ctx, path, p)
	if err != nil {
		return kith.Names{}, wrap("name", path, err)
	}
	return kith.Names{IPFS: l.Cid}, nil
}

// unkept is a unixfs.Sink that keeps nothing.
type unkept struct{}

func (unkept) Leaf(int64, [32]byte) error { return nil }
func (unkept) Node(cid.Cid, []byte) error { return nil }

func call(ctx context.Context, top string, p unixfs.Profile) (unixfs.Link, error) {
	info, err := os.Stat(top)
	if err != nil {
		return unixfs.Link{}, fmt.Errorf("%w: %w", err, kith.NotFound)
	}
	if !info.IsDir() {
		return callFile(ctx, top, p)
	}
	f := unixfs.NewFolder(p, func(cid.Cid, []byte) error { return nil })
	err = filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(top, path)
		if err != nil || rel == "." {
			return err
		}
		rel = filepath.ToSlash(rel)
		switch d.Type() {
		case fs.ModeDir:
			return f.Dir(rel)
		case fs.ModeSymlink:
			to, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return f.Symlink(rel, filepath.ToSlash(to))
		case 0:
			l, err := callFile(ctx, path, p)
			if err != nil {
				return err
			}
			return f.Add(rel, l)
		}
		return nil // a device, a socket
	})
	if err != nil {
		return unixfs.Link{}, err
	}
	return f.Close(ctx)
}

func callFile(ctx context.Context, path string, p unixfs.Profile) (unixfs.Link, error) {
	file, err := os.Open(path)
	if err != nil {
		return unixfs.Link{}, fmt.Errorf("%w: %w", err, kith.Denied)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return unixfs.Link{}, err
	}
	if !info.Mode().IsRegular() {
		return unixfs.Link{}, fmt.Errorf("it is neither a file nor a folder: %w", kith.Invalid)
	}
	made := unixfs.NewFile(p, info.Size(), unkept{})
	if _, err := io.Copy(made, bufio.NewReaderSize(&ctxReader{ctx, io.LimitReader(file, info.Size())}, readSize)); err != nil {
		return unixfs.Link{}, err
	}
	return made.Close()
}
