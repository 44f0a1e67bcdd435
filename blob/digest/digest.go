// Package digest reads bytes to their end and says what they are called: BLAKE3's root, and the tree that proves each group of them.
//
// It keeps nothing: whoever asked gives the tree its place, or drops it. Its one idea: what is read is one state of a file, or it is an error; and who wants other digests of
// the same bytes looks on.
package digest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"kith"
	"kith/blob/bao"
	"kith/blob/disk"
	"kith/blob/seal"
	"kith/blob/tee"
	"kith/blob/walk"
)

// InlineTree is how many bytes of a tree are kept in memory; a larger one is in a file.
const InlineTree = 64 << 10

// A Digest is what bytes are called, and their tree: nil if there is one group, in memory if it is small, and otherwise in a file that is yet to be kept or dropped.
type Digest struct {
	Sum  bao.Sum
	Size int64
	Tree []byte
	File string
}

// Kept returns the bytes that keeping the tree takes.
func (d *Digest) Kept() int64 { return bao.OutboardSize(d.Size) }

// Drop removes a tree that was not kept.
func (d *Digest) Drop() {
	if d.File != "" {
		os.Remove(d.File)
	}
}

// bigFile is held while a file is hashed that keeps all cores busy by itself.
var bigFile sync.Mutex

const bigFileSize = 4 << 20

var groups = sync.Pool{New: func() any { return new([bao.GroupSize]byte) }}

// Read hashes size bytes of r, which may be read at many offsets at once; taps, if there are any, see them in order. What ahead knows is not read, unless there are taps. A large tree is put
// into dir. Errors: *tee.Error; kith.Gone if r ends before size.
func Read(ctx context.Context, dir string, r io.ReaderAt, size int64, ahead *bao.Ahead, progress func(n int64), taps ...io.Writer) (_ Digest, err error) {
	d := Digest{Size: size}
	if bao.Groups(size) == 1 {
		d.Sum, err = readGroup(r, size, taps)
		return d, errors.Join(err, ctx.Err())
	}
	if size > bigFileSize {
		bigFile.Lock()
		defer bigFile.Unlock()
	}
	var out bao.Storage
	if n := d.Kept(); n <= InlineTree {
		d.Tree = make([]byte, n)
		out = bao.Memory(d.Tree)
	} else {
		f, errFile := os.CreateTemp(dir, "new-*")
		if errFile != nil {
			return d, errFile
		}
		d.File = f.Name()
		defer func() {
			if errClose := f.Close(); err == nil {
				err = errClose
			}
			if err != nil {
				d.Drop()
			}
		}()
		out = f
	}
	if len(taps) > 0 {
		d.Sum, err = tee.Build(ctx, r, size, out, taps, progress)
	} else {
		d.Sum, err = ahead.Build(ctx, r, size, out, progress)
	}
	return d, err
}

// readGroup hashes what is one group.
func readGroup(r io.ReaderAt, size int64, taps []io.Writer) (bao.Sum, error) {
	buf := groups.Get().(*[bao.GroupSize]byte)
	defer groups.Put(buf)
	if n, err := r.ReadAt(buf[:size], 0); int64(n) < size {
		return bao.Sum{}, errors.Join(fmt.Errorf("it is shorter than it was: %w", kith.Gone), err)
	}
	for _, t := range taps {
		if _, err := t.Write(buf[:size]); err != nil {
			return bao.Sum{}, &tee.Error{Err: err}
		}
	}
	return bao.Hash(buf[:size]), nil
}

// A File is one state of a file.
type File struct {
	Digest
	disk.Stamp
	Header *seal.Header // what Sum is of is the file sealed with this; nil: it is of the file itself
}

// ErrChanging is what a file gives that changed while it was read.
var ErrChanging = kith.Hint(fmt.Errorf("it changes while it is read: %w", kith.Unavailable), "wait until it is complete, and share it again")

// ReadFile hashes the file at path; with a key, what it becomes when it is sealed for that. When its size is known it asks who looks on. progress is told how many bytes of the file are done, and of
// how many at last. ahead is of the file as it is. Errors: ErrChanging, Invalid (it is none), *tee.Error.
func ReadFile(ctx context.Context, dir, path string, key *seal.Key, ahead *bao.Ahead, progress func(n int64), ask func(size int64) []io.Writer) (f File, err error) {
	file, err := os.OpenFile(path, os.O_RDONLY|disk.OpenShared, 0)
	if err != nil {
		return f, err
	}
	defer file.Close()
	before, err := file.Stat()
	if err != nil {
		return f, err
	}
	if !before.Mode().IsRegular() {
		return f, fmt.Errorf("it is %s: %w", walk.Describe(before.Mode()), kith.Invalid)
	}
	var src io.ReaderAt = file
	size := before.Size()
	if key != nil {
		h, err := seal.NewHeader(*key)
		if err != nil {
			return f, err
		}
		f.Header = &h
		src, size, ahead = seal.NewReaderAt(h, file, size), seal.SealedSize(h, size), nil
	}
	f.Digest, err = Read(ctx, dir, src, size, ahead, func(n int64) { progress(min(n, before.Size())) }, ask(size)...)
	if err != nil {
		if ctx.Err() == nil && errors.Is(err, kith.Gone) && !errors.As(err, new(*tee.Error)) {
			err = ErrChanging
		}
		return f, err
	}
	after, err := file.Stat()
	if f.Stamp = disk.StampOf(before); err == nil && disk.StampOf(after) != f.Stamp {
		err = ErrChanging
	}
	if err != nil {
		f.Drop()
		return f, err
	}
	progress(before.Size())
	return f, nil
}

// Open returns the tree, to be read. Close it.
func (d *Digest) Open() (interface {
	io.ReaderAt
	io.Closer
}, error) {
	if d.File != "" {
		return os.Open(d.File)
	}
	return inMemory{bao.Memory(d.Tree)}, nil
}

type inMemory struct{ bao.Memory }

func (inMemory) Close() error { return nil }
