package ipfs

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"

	"kith"
	"kith/bridge/ipfs/unixfs"
)

// Verify implements transfer.Origin: every leaf is compared with the bytes that are here, every inner node with its CID. Leaves of dag-pb whose wrapping nobody
// uses are fetched to be compared.
func (o *origin) Verify(ctx context.Context, progress func(n int64)) error {
	ctx, stop := o.joined(ctx)
	defer stop()
	o.mu.Lock()
	layout, files := o.layout, o.files
	o.mu.Unlock()
	if layout == nil {
		return fmt.Errorf("ipfs: verify %s: nothing is known of it yet: %w", o.named(), kith.Unavailable)
	}
	var mu sync.Mutex
	leaves, inside := errgroup.WithContext(ctx)
	leaves.SetLimit(runtime.GOMAXPROCS(0))
	v := &verify{o: o, leaves: leaves, progress: func(n int64) {
		mu.Lock()
		defer mu.Unlock()
		progress(n)
	}}
	for i, f := range layout.Files {
		if f.Link != "" {
			continue
		}
		v.file, v.path = i, f.Path
		if err := v.part(inside, unixfs.Part{Cid: files[i].cid, Size: f.Size}, 0, 0); err != nil {
			if leaf := leaves.Wait(); leaf != nil { // which ended the rest
				return leaf
			}
			return v.wrong(f.Path, err)
		}
	}
	return leaves.Wait()
}

// A verify goes through a tree, and has its raw leaves compared on all cores meanwhile.
type verify struct {
	o        *origin
	file     int
	path     string
	progress func(n int64)
	leaves   *errgroup.Group
	buf      []byte
}

func (v *verify) wrong(path string, err error) error {
	return fmt.Errorf("ipfs: verify %s: %q: %w", v.o.named(), path, err)
}

// blockBuffers hold one leaf each.
var blockBuffers = sync.Pool{New: func() any { return new([]byte) }}

// raw has a raw leaf compared.
func (v *verify) raw(p unixfs.Part, off int64) {
	file, path := v.file, v.path
	v.leaves.Go(func() error {
		buf := blockBuffers.Get().(*[]byte)
		defer blockBuffers.Put(buf)
		if int64(cap(*buf)) < p.Size {
			*buf = make([]byte, p.Size)
		}
		data := (*buf)[:p.Size]
		if p.Size > 0 {
			if _, err := v.o.content.ReadAt(data, file, off); err != nil {
				return v.wrong(path, err)
			}
		}
		if check(p.Cid, data) != nil {
			return v.wrong(path, fmt.Errorf("bytes %d to %d are not those of %v: %w", off, off+p.Size, p.Cid, kith.Corrupt))
		}
		v.progress(p.Size)
		return nil
	})
}

// part compares a part of a file that stands at off.
func (v *verify) part(ctx context.Context, p unixfs.Part, off int64, depth int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if depth > maxDepth {
		return fmt.Errorf("more than %d nodes above each other: %w", maxDepth, kith.TooLarge)
	}
	if p.Size <= maxBlock && p.Cid.Type() == cid.Raw {
		v.raw(p, off)
		return nil
	}
	if p.Size <= maxBlock && !v.o.inner(p.Cid) {
		same, err := v.leaf(p, off)
		if err != nil || same {
			return err
		}
	}
	n, err := v.o.node(ctx, p.Cid)
	if err != nil {
		return unavailable(err)
	}
	if n.Kind != unixfs.IsFile || n.Size != p.Size {
		return fmt.Errorf("%v has %d bytes, and its parent says %d: %w", p.Cid, n.Size, p.Size, kith.Corrupt)
	}
	if len(n.Data) > 0 {
		have, err := v.read(off, int64(len(n.Data)))
		if err != nil {
			return err
		}
		if string(have) != string(n.Data) {
			return fmt.Errorf("bytes %d to %d are not those of %v: %w", off, off+int64(len(n.Data)), p.Cid, kith.Corrupt)
		}
		v.progress(int64(len(have)))
		off += int64(len(n.Data))
	}
	for _, below := range n.Parts {
		if err := v.part(ctx, below, off, depth+1); err != nil {
			return err
		}
		off += below.Size
	}
	return nil
}

// inner reports whether c is known to have parts.
func (o *origin) inner(c cid.Cid) bool {
	o.mu.Lock()
	n, ok := o.decoded[c]
	o.mu.Unlock()
	if !ok && c.Type() != cid.Raw {
		data, err := o.b.moves.fetched(c)
		if err != nil {
			return false
		}
		n, err = unixfs.Decode(c, data)
		ok = err == nil
	}
	return ok && len(n.Parts) > 0
}

func (v *verify) read(off, n int64) ([]byte, error) {
	if int64(cap(v.buf)) < n {
		v.buf = make([]byte, n)
	}
	b := v.buf[:n]
	if n == 0 {
		return b, nil
	}
	if _, err := v.o.content.ReadAt(b, v.file, off); err != nil {
		return nil, err
	}
	return b, nil
}

// leaf reports whether the bytes here are those of a leaf of dag-pb, as programs wrap it.
func (v *verify) leaf(p unixfs.Part, off int64) (bool, error) {
	data, err := v.read(off, p.Size)
	if err != nil {
		return false, err
	}
	for _, w := range unixfs.Wraps(p.Size) {
		block := append(append(append(make([]byte, 0, len(w[0])+len(data)+len(w[1])), w[0]...), data...), w[1]...)
		if check(p.Cid, block) == nil {
			v.progress(p.Size)
			return true, nil
		}
	}
	return false, nil
}
