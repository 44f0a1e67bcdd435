package blob

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"

	"kith/blob/bao"
)

// A built is a digest and its tree: nil if there is one group, in memory if it is small, and otherwise in a file that is yet to be
// kept or dropped.
type built struct {
	sum  bao.Sum
	size int64
	tree []byte
	file string
}

// kept returns the bytes that keeping the tree takes.
func (b *built) kept() int64 { return bao.OutboardSize(b.size) }

// keep gives a tree that is in a file its place, unless the transaction fails. One in memory goes to the database.
func (b *built) keep(in *inserter) error {
	if b.file == "" {
		return nil
	}
	file := in.s.outboard(b.sum)
	err := os.Rename(b.file, file)
	if err == nil {
		b.file = ""
		in.undo = append(in.undo, file)
	}
	return err
}

// drop removes a tree that was not kept.
func (b *built) drop() {
	if b.file != "" {
		os.Remove(b.file)
	}
}

// bigFile is held while a file is hashed that keeps all cores busy by itself.
var bigFile sync.Mutex

const bigFileSize = 4 << 20

// build hashes size bytes of r, which may be read at many offsets at once.
func (s *Store) build(ctx context.Context, r io.ReaderAt, size int64, progress func(n int64)) (_ built, err error) {
	b := built{size: size}
	if bao.Groups(size) == 1 {
		buf := groupBuffers.Get().(*[bao.GroupSize]byte)
		defer groupBuffers.Put(buf)
		n, err := r.ReadAt(buf[:size], 0)
		if int64(n) < size {
			return b, join(errShort, err)
		}
		b.sum = bao.Hash(buf[:size])
		return b, ctx.Err()
	}
	if size > bigFileSize {
		bigFile.Lock()
		defer bigFile.Unlock()
	}
	var out bao.Storage
	if n := bao.OutboardSize(size); n <= inlineTree {
		b.tree = make([]byte, n)
		out = bao.Memory(b.tree)
	} else {
		f, errFile := os.CreateTemp(filepath.Join(s.dir, "outboard"), "new-*")
		if errFile != nil {
			return b, errFile
		}
		b.file = f.Name()
		defer func() {
			if err = join(err, f.Close()); err != nil {
				b.drop()
			}
		}()
		out = f
	}
	b.sum, err = bao.Build(ctx, r, size, out, progress)
	return b, err
}

// errShort is what a file gives that ended before its size.
var errShort = errors.New("it is shorter than it was")
