package blob

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"kith"
	"kith/blob/bao"
	"kith/blob/digest"
	"kith/blob/disk"
	"kith/blob/seal"
)

// maxIdle is how many complete blobs stay open when nobody has them, since they may be asked for again soon.
const maxIdle = 64

// A content is what all Blobs of the same bytes share. It is loaded by whoever is first.
type content struct {
	s    *Store
	sum  bao.Sum
	refs int // guarded by s.mu
	once sync.Once
	err  error // of loading

	id   int64
	size int64
	view atomic.Pointer[view]
	part atomic.Pointer[part] // nil: complete
	heal sync.Mutex           // one at a time looks for another source
}

// A view is one way to read a blob: a source, and the tree that it is checked against.
type view struct {
	src    io.ReaderAt
	tree   *bao.Tree
	files  []io.Closer
	place  *place // nil: the source is the store's own
	mended bool   // the tree was made again from this very source
}

func (v *view) close() error {
	var errs []error
	for _, f := range v.files {
		errs = append(errs, f.Close())
	}
	return join(errs...)
}

// acquire returns the content with one more reference; release it.
func (s *Store) acquire(ctx context.Context, sum bao.Sum) (*content, error) {
	for {
		c, fromIdle, err := s.hold(ctx, sum)
		if err != nil {
			return nil, err
		}
		fresh, err := c.ready(fromIdle, nil)
		if err != nil {
			return nil, err
		}
		if fresh {
			return c, nil
		}
	}
}

// hold returns the content, loaded or not, with one more reference, and whether nobody had it.
func (s *Store) hold(ctx context.Context, sum bao.Sum) (c *content, fromIdle bool, err error) {
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, false, fmt.Errorf("the store is closed: %w", kith.Unavailable)
	}
	c, known := s.open[sum]
	if !known {
		c = &content{s: s, sum: sum}
		s.open[sum] = c
	}
	fromIdle = known && c.refs == 0
	c.refs++
	if fromIdle {
		s.idle = slices.DeleteFunc(s.idle, func(i *content) bool { return i == c })
	}
	return c, fromIdle, nil
}

// ready loads a content that is held, from r if the database was asked since. One that cannot be loaded, or is no longer fresh, is released.
func (c *content) ready(fromIdle bool, r *row) (fresh bool, err error) {
	c.once.Do(func() { c.err = c.load(r) })
	if c.err == nil && !(fromIdle && c.stale()) {
		return true, nil
	}
	err = c.err
	c.s.forget(c)
	return false, cmp.Or(c.release(), err)
}

// forget makes the next who asks load the content again.
func (s *Store) forget(c *content) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[c.sum] == c {
		delete(s.open, c.sum)
	}
	s.idle = slices.DeleteFunc(s.idle, func(i *content) bool { return i == c })
}

func (c *content) release() error {
	s := c.s
	s.mu.Lock()
	c.refs--
	var old *content
	switch {
	case c.refs > 0:
	case s.closed: // Close has closed it
	case s.open[c.sum] != c:
		old = c
	case c.part.Load() != nil:
		old = c
		delete(s.open, c.sum)
	default:
		if s.idle = append(s.idle, c); len(s.idle) > maxIdle {
			old, s.idle = s.idle[0], s.idle[1:]
			delete(s.open, old.sum)
		}
	}
	s.mu.Unlock()
	if old == nil {
		return nil
	}
	return old.close()
}

func (c *content) close() error {
	var err error
	if p := c.part.Load(); p != nil {
		err = p.checkpoint(context.Background(), true)
	}
	if v := c.view.Load(); v != nil {
		err = join(err, v.close())
	}
	return err
}

// stale reports whether the file of a content that was idle is no longer what its name leads to.
func (c *content) stale() bool {
	v := c.view.Load()
	if v == nil || v.place == nil {
		return false
	}
	info, err := os.Lstat(v.place.path())
	return err != nil || disk.StampOf(info) != v.place.Stamp
}

func (c *content) load(r *row) (err error) {
	ctx := context.Background() // whoever is first loads for all
	if r == nil {
		if r, err = c.s.lookUp(ctx, c.sum); err != nil {
			return err
		}
	}
	c.id, c.size = r.id, r.size
	if r.data != nil {
		c.inline(r.data)
		return nil
	}
	if r.part { // it may have become complete since
		if isPart, err := c.loadPart(ctx, r.tree); isPart || err != nil {
			return err
		}
		if r, err = c.s.lookUp(ctx, c.sum); err != nil {
			return err
		}
	}
	err = c.openPlace(ctx, r)
	if c.size == 0 && (errors.Is(err, kith.NotFound) || errors.Is(err, kith.Gone)) {
		c.inline(nil) // nothing can always be had
		return nil
	}
	return err
}

// inline makes a view of bytes in memory.
func (c *content) inline(data []byte) {
	c.view.Store(&view{src: bytes.NewReader(data), tree: bao.NewTree(c.sum, c.size, bao.Memory(nil))})
}

// openPlace makes a view of the first place that is there.
func (c *content) openPlace(ctx context.Context, r *row) error {
	for _, p := range r.places {
		v, err := p.open()
		if err != nil {
			if err := c.s.setGone(ctx, c.id, &p, true); err != nil {
				return err
			}
			continue
		}
		if p.gone {
			if err := c.s.setGone(ctx, c.id, &p, false); err != nil {
				return err
			}
		}
		if err := c.openTree(v, r.tree); err != nil {
			return join(err, v.close())
		}
		c.view.Store(v)
		return nil
	}
	if len(r.places) == 0 {
		return kith.NotFound
	}
	return fmt.Errorf("%s was changed or removed: %w", r.places[0].path(), kith.Gone)
}

// openTree gives v the tree that is kept in the database or beside it. One that is damaged is found out when it is used.
func (c *content) openTree(v *view, tree []byte) error {
	var storage bao.Storage = bao.Memory(tree)
	if tree == nil && bao.Groups(c.size) > 1 {
		f, err := os.Open(c.s.outboard(c.sum))
		switch {
		case err == nil:
			storage = f
			v.files = append(v.files, f)
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	v.tree = bao.NewTree(c.sum, c.size, storage)
	return nil
}

// keep is where blobs of the store's own are that are too large for the database.
func (s *Store) keep() string { return filepath.Join(s.dir, "keep") }

// trees is where large trees are.
func (s *Store) trees() string { return filepath.Join(s.dir, "outboard") }

func (s *Store) outboard(sum bao.Sum) string {
	return filepath.Join(s.dir, "outboard", fmt.Sprintf("%x", sum))
}

// open opens the file if it may still be what it was. One that was found changed must be exactly as it was before.
func (p place) open() (*view, error) {
	f, err := os.OpenFile(p.path(), os.O_RDONLY|disk.OpenShared, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, join(err, f.Close())
	}
	if now := disk.StampOf(info); !info.Mode().IsRegular() || now.Size != p.Size || p.gone && now != p.Stamp {
		return nil, join(fmt.Errorf("%s: %w", p.path(), kith.Gone), f.Close())
	}
	v := &view{src: f, files: []io.Closer{f}, place: &p}
	if p.header != nil {
		h, err := seal.Unpack(p.header)
		if err != nil {
			return nil, join(err, f.Close())
		}
		v.src = seal.NewReaderAt(h, f, p.Size)
	}
	return v, nil
}

// errBad is what a source gives that is not what it was.
var errBad = errors.New("source is not what it was")

// read fills p from off on; both are within the blob. bad is the group that was wrong.
func (v *view) read(p []byte, off int64) (n int, bad int64, err error) {
	if n, bad, err = v.tree.Read(v.src, p, off); err != nil {
		err = fmt.Errorf("%w: %w", errBad, err)
	}
	return n, bad, err
}

// readAt is Blob.ReadAt.
func (c *content) readAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, kith.Invalid
	}
	if off >= c.size {
		return 0, io.EOF
	}
	short := int64(len(p)) > c.size-off
	if short {
		p = p[:c.size-off]
	}
	for {
		v := c.view.Load()
		if part := c.part.Load(); part != nil {
			n, err = part.read(v, p, off)
		} else if n, _, err = v.read(p, off); errors.Is(err, errBad) {
			if err = c.another(v, err); err == nil {
				continue
			}
		}
		if err == nil && short {
			err = io.EOF
		}
		return n, err
	}
}

// another replaces a view that gave wrong bytes: by the same file with a tree made again, if the file looks untouched, or by another place.
// When there is none, the error is kith.Gone.
func (c *content) another(v *view, cause error) error {
	c.heal.Lock()
	defer c.heal.Unlock()
	switch {
	case c.view.Load() != v:
		return nil // another was found meanwhile
	case errors.Is(cause, fs.ErrClosed):
		return fmt.Errorf("it is closed: %w", kith.Unavailable)
	case v.place == nil:
		return fmt.Errorf("what the store keeps is damaged: %w", kith.Corrupt)
	}
	ctx := context.Background()
	if info, err := os.Lstat(v.place.path()); err == nil && disk.StampOf(info) == v.place.Stamp {
		right, err := c.mend(ctx, v)
		if right || err != nil {
			return err
		}
		v.place.Mtime = -1 // its bytes are wrong though it looks as it did: no look will make it good again
	}
	if err := c.s.setGone(ctx, c.id, v.place, true); err != nil {
		return err
	}
	r, err := c.s.lookUp(ctx, c.sum)
	if err != nil {
		return err
	}
	if err := c.openPlace(ctx, r); err != nil {
		return err
	}
	return v.close()
}

// mend makes the tree of a file that looks untouched again. It reports whether the file was right, and the tree to blame.
func (c *content) mend(ctx context.Context, v *view) (right bool, err error) {
	if v.mended {
		return false, nil
	}
	built, err := digest.Read(ctx, c.s.trees(), v.src, c.size, nil, nil)
	if err != nil {
		return false, err // it cannot be read: that says nothing about what is in it
	}
	defer built.Drop()
	if built.Sum != c.sum {
		return false, nil
	}
	tree := built.Tree
	err = c.s.within(ctx, func(in *inserter) error {
		_, err := in.exec("UPDATE blob SET tree = ? WHERE id = ?", tree, c.id)
		return join(err, in.keep(&built))
	})
	if err != nil {
		return false, err
	}
	c.s.log.Warn("hash tree was damaged and has been made again", "op", "read", "ref", kith.RawRef(c.sum))
	next := &view{src: v.src, place: v.place, mended: true, files: slices.Clone(v.files)}
	if err := c.openTree(next, tree); err != nil {
		return false, err
	}
	c.view.Store(next)
	return true, nil
}

// proof is Blob.Proof. What is handed out is checked first: a damaged tree would make an honest node look like a liar.
func (c *content) proof(dst []byte, r bao.Range) ([]byte, error) {
	for {
		v := c.view.Load()
		have := len(dst)
		dst, err := v.tree.Proof(dst, r)
		if err == nil {
			err = bao.CheckProof(c.sum, c.size, r, dst[have:])
		}
		if err == nil || errors.Is(err, kith.Invalid) {
			return dst, err
		}
		if c.part.Load() != nil {
			return dst[:have], fmt.Errorf("not proven yet: %w", kith.NotFound)
		}
		if err := c.another(v, err); err != nil {
			return dst[:have], err
		}
	}
}
