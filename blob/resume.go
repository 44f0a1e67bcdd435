package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"kith"
	"kith/blob/bao"
	"kith/blob/digest"
	"kith/blob/disk"
	"kith/blob/folder"
)

// open opens the files of a part that was begun before, and finds out what of it is true.
//
// What the bits claim is trusted, since data and tree were durable before the bits were written: against kill -9 and against a power
// loss. After an unclean stop more may be there than they claim: those groups are taken whose proof leads to the root and whose
// bytes have the right hash. If the file is another one than it was, or shorter, nothing is trusted that was not hashed again.
func (p *part) open(ctx context.Context, here [2][]byte, clean bool, ino int64, tree []byte) error {
	var err error
	p.decode(here)
	if err := p.openTree(tree); err != nil {
		return err
	}
	p.f, err = os.OpenFile(p.path(), os.O_RDWR|disk.OpenShared, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if renamed, err := p.renamed(ctx, ino); renamed || err != nil {
			return err
		}
		p.f, err = os.OpenFile(p.path(), os.O_RDWR|disk.OpenShared, 0)
	}
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(p.path()), 0o777); err != nil {
			return err
		}
		p.decode([2][]byte{})
		ino = 0
		p.f, err = os.OpenFile(p.path(), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
	}
	if err != nil {
		return err
	}
	info, err := p.f.Stat()
	if err != nil {
		return err
	}
	if info.Size() != p.c.size {
		if err := p.f.Truncate(p.c.size); err != nil {
			return err
		}
	}
	v := p.view()
	if now := disk.StampOf(info); now.Size != p.c.size || now.Ino != ino {
		p.decode([2][]byte{})
		clean = false
		if _, err := p.c.s.db.ExecContext(ctx, "UPDATE part SET ino = ? WHERE blob = ?", now.Ino, p.c.id); err != nil {
			return err
		}
	}
	if p.c.size == 0 && p.c.sum == bao.Hash(nil) { // there is nothing to wait for
		p.bits.Set(bao.Range{First: 0, N: 1})
	}
	if !clean {
		if err := p.recover(ctx, v); err != nil {
			return err
		}
	}
	if _, err := p.c.s.db.ExecContext(ctx, "UPDATE part SET clean = 0 WHERE blob = ?", p.c.id); err != nil {
		return err
	}
	p.c.view.Store(v)
	p.c.part.Store(p)
	return nil
}

// decode is the opposite of encode; what cannot be read is not here.
func (p *part) decode(here [2][]byte) {
	groups := bao.Groups(p.c.size)
	for i, bits := range []*bao.Bits{&p.bits, &p.loose} {
		var err error
		if *bits, err = bao.DecodeBits(here[i], groups); err != nil {
			*bits = bao.NewBits(groups)
		}
	}
	for r := range p.bits.Ranges() {
		p.loose.Clear(r)
	}
}

// openTree opens the partial tree, which is in memory if it is small.
func (p *part) openTree(tree []byte) error {
	n := bao.OutboardSize(p.c.size)
	if n <= smallTree {
		if int64(len(tree)) != n {
			tree = make([]byte, n)
		}
		p.mem = bao.NewShared(tree)
		return nil
	}
	f, err := os.OpenFile(p.c.s.outboard(p.c.sum), os.O_RDWR|os.O_CREATE, 0o600)
	p.tree = f
	return err
}

func (p *part) view() *view {
	v := &view{src: p.f, files: []io.Closer{p.f}}
	if p.mem != nil {
		v.tree = bao.NewTree(p.c.sum, p.c.size, p.mem)
		return v
	}
	f := p.tree.(*os.File)
	v.files = append(v.files, f)
	v.tree = bao.NewTree(p.c.sum, p.c.size, f)
	return v
}

// recover checks the proofs of all groups that are claimed, and takes the other groups that are proven and right.
func (p *part) recover(ctx context.Context, v *view) error {
	groups := bao.Groups(p.c.size)
	buf := make([]byte, bao.GroupSize)
	var proof []byte
	for g := int64(0); g < groups; g++ {
		if g%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		claimed := p.bits.Get(g)
		if !claimed && !v.tree.Proven(g) {
			continue
		}
		r := bao.Range{First: g, N: 1}
		var err error
		if proof, err = v.tree.Proof(proof[:0], r); err == nil {
			err = bao.CheckProof(p.c.sum, p.c.size, r, proof)
		}
		proven := err == nil
		if proven && !claimed {
			data := buf[:min(bao.GroupSize, p.c.size-g*bao.GroupSize)]
			if n, _ := p.f.ReadAt(data, g*bao.GroupSize); n == len(data) {
				err = v.tree.Verify(g, data)
			} else {
				err = kith.Corrupt
			}
		}
		switch {
		case err == nil && !claimed:
			p.prove(r)
		case err != nil && claimed:
			p.bits.Clear(r)
			p.dirty = true
		case proven && p.loose.Get(g): // it is wrong
			p.loose.Clear(r)
			p.dirty = true
		}
	}
	return nil
}

// renamed reports whether the file got its name already, and only the database does not know; then the content is complete. If it is not, the file is to be repaired and still has its name; it loses
// that.
func (p *part) renamed(ctx context.Context, ino int64) (bool, error) {
	at := spot{p.folder, p.dir, p.dest}
	stamp, same, err := p.c.s.same(ctx, at.path(), p.c.sum, p.c.size)
	if info, errStat := os.Lstat(at.path()); !same && err == nil && ino != 0 && errStat == nil && disk.StampOf(info).Ino == ino {
		return false, os.Rename(at.path(), p.path())
	}
	if !same || err != nil || ino == 0 || stamp.Ino != ino {
		return false, err
	}
	p.done = true
	return true, p.complete(ctx, place{spot: at, Stamp: stamp, own: p.repair != othersRepair})
}

// same reports whether the file at path has the content sum.
func (s *Store) same(ctx context.Context, path string, sum bao.Sum, size int64) (disk.Stamp, bool, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|disk.OpenShared, 0)
	if err != nil {
		return disk.Stamp{}, false, nil // whatever it is, it is not that
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() != size {
		return disk.Stamp{}, false, err
	}
	b, err := digest.Read(ctx, s.trees(), f, size, nil, nil)
	b.Drop()
	if err != nil {
		return disk.Stamp{}, false, err
	}
	return disk.StampOf(info), b.Sum == sum, nil
}

// pathIn returns the name that stands beside another one in the same folder.
func pathIn(beside, base string) string { return path.Join(path.Dir(beside), base) }

// Create begins or resumes the download of ref, of size bytes, which will be at path (absolute), or within the store if path is "".
// Its directory is made. While it comes the bytes are in path+folder.PartSuffix. If path is taken when it is finished, it gets a free name beside it,
// unless what is there has the very content. If ref is already being downloaded, that download is returned, wherever it
// goes. If ref is already here, it is copied from there. Errors: Invalid, TooLarge, Unavailable (no room; over quota), Denied.
func (s *Store) Create(ctx context.Context, ref kith.Ref, size int64, path string) (*Blob, error) {
	b, err := s.create(ctx, ref, size, path)
	if err != nil {
		return nil, fmt.Errorf("blob: create %s: %w", ref.Short(), disk.Error(err))
	}
	return b, nil
}

func (s *Store) create(ctx context.Context, ref kith.Ref, size int64, path string) (*Blob, error) {
	switch {
	case size < 0 || path != "" && !filepath.IsAbs(path):
		return nil, fmt.Errorf("%d bytes at %q: %w", size, path, kith.Invalid)
	case size > MaxSize:
		return nil, fmt.Errorf("%d bytes, at most %d: %w", size, int64(MaxSize), kith.TooLarge)
	}
	want := request{ref: ref, size: size, folder: keepFolder, dir: s.keep(), dest: fmt.Sprintf("%x", ref.Sum)}
	if path != "" {
		path = filepath.Clean(path)
		want.folder, want.dir, want.dest = -1, filepath.Dir(path), filepath.Base(path)
	}
	for {
		c, err := s.acquire(ctx, ref.Sum)
		if errors.Is(err, kith.NotFound) || errors.Is(err, kith.Gone) {
			if err = s.begin(ctx, want); err == nil || errors.Is(err, errBegun) {
				continue
			}
		}
		if err != nil {
			return nil, err
		}
		b := &Blob{c: c, ref: ref}
		if c.size != size {
			return nil, join(fmt.Errorf("it has %d bytes, not %d: %w", c.size, size, kith.Invalid), b.Close())
		}
		if path == "" || !b.Complete() || b.Path() == path {
			return b, nil
		}
		if b.at, err = s.copyTo(ctx, b, path); err != nil {
			return nil, join(err, b.Close())
		}
		return b, nil
	}
}

// errBegun is what the slower of two gets that begin the same download.
var errBegun = errors.New("it was begun by another at the same time")

// A request is for a download to begin.
type request struct {
	ref    kith.Ref
	size   int64
	folder int64 // -1: that of dir
	dir    string
	dest   string      // the name it will have in dir, slash-separated
	mode   fs.FileMode // 0: what new files have
	tree   int64       // the tree that it belongs to; 0: its own, unless it is kept in the store
}

// begin makes the file and the rows of a download. If the file is there already, its content becomes known instead.
func (s *Store) begin(ctx context.Context, r request) error {
	final := spot{r.folder, r.dir, r.dest}
	if err := os.MkdirAll(filepath.Dir(final.path()), 0o777); err != nil {
		return err
	}
	have, same, err := s.same(ctx, final.path(), r.ref.Sum, r.size)
	if err != nil {
		return err
	}
	if same {
		return s.adopt(ctx, r, place{spot: final, Stamp: have, own: r.tree != 0})
	}
	if err := disk.Room(filepath.Dir(final.path()), r.size); err != nil {
		return err
	}
	kept := bao.OutboardSize(r.size)
	if r.folder == keepFolder {
		kept += r.size
	}
	return s.beginFile(ctx, r, kept)
}

func (s *Store) beginFile(ctx context.Context, r request, kept int64) error {
	name := r.dest + folder.PartSuffix
	mode := fs.FileMode(0o666)
	if r.mode != 0 {
		mode = r.mode | 0o600
	}
	f, err := os.OpenFile(spot{0, r.dir, name}.path(), os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
	for n := 1; errors.Is(err, fs.ErrExist); n++ { // not ours: it is in no row
		name = fmt.Sprintf("%s.%d%s", r.dest, n, folder.PartSuffix)
		f, err = os.OpenFile(spot{0, r.dir, name}.path(), os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	err = s.beginRows(ctx, r, kept, name, f)
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

func (s *Store) beginRows(ctx context.Context, r request, kept int64, name string, f *os.File) error {
	if err := f.Truncate(r.size); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	ino := disk.StampOf(info).Ino
	return s.within(ctx, func(in *inserter) error {
		id, _, err := in.blob(r.ref.Sum, r.size, nil, nil, kept)
		if err != nil {
			return err
		}
		if r.folder < 0 {
			if r.folder, err = in.folder(r.dir); err != nil {
				return err
			}
		}
		res, err := in.exec("INSERT INTO part (blob, folder, name, dest, mode, ino, bits, clean) VALUES (?, ?, ?, ?, ?, ?, ?, 1) ON CONFLICT DO NOTHING",
			id, r.folder, name, r.dest, r.mode, ino, bao.NewBits(bao.Groups(r.size)).Encode())
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); n == 0 || err != nil {
			return join(err, errBegun)
		}
		return in.belong(r, id, coming)
	})
}

// belong makes a blob a member of the tree that it is downloaded for: a file that is asked for by itself is one of its own.
func (in *inserter) belong(r request, id int64, state int) error {
	if r.tree != 0 {
		return in.member(r.tree, id)
	}
	if r.folder == keepFolder {
		return nil
	}
	_, err := in.exec("INSERT INTO tree (root, codec, name, size, files, folder, file, dest, state, private, download, pinned, gone)"+
		" VALUES (?, ?, ?, ?, 1, ?, ?, ?, ?, 0, 1, 1, 0) ON CONFLICT DO UPDATE SET pinned = 1",
		r.ref.Sum[:], r.ref.Codec, r.dest, r.size, r.folder, r.dest, filepath.Join(r.dir, r.dest), state)
	if err != nil {
		return err
	}
	var tree int64
	if err := in.tx.QueryRow("SELECT id FROM tree WHERE root = ?", r.ref.Sum[:]).Scan(&tree); err != nil {
		return err
	}
	return in.member(tree, id)
}

// adopt notes a file that was there before it was to be downloaded.
func (s *Store) adopt(ctx context.Context, r request, at place) error {
	f, err := os.Open(at.path())
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := digest.Read(ctx, s.trees(), f, r.size, nil, nil)
	if err != nil {
		return err
	}
	defer b.Drop()
	if b.Sum != r.ref.Sum {
		return fmt.Errorf("%s changes while it is read: %w", at.path(), kith.Gone)
	}
	return s.within(ctx, func(in *inserter) error {
		id, _, err := in.blob(r.ref.Sum, r.size, nil, b.Tree, b.Kept())
		if err != nil {
			return err
		}
		if at.folder < 0 {
			if at.folder, err = in.folder(at.dir); err != nil {
				return err
			}
		}
		if err := in.keep(&b); err != nil {
			return err
		}
		r.folder = at.folder
		if err := in.belong(r, id, ready); err != nil {
			return err
		}
		return in.place(id, at)
	})
}

// copyTo puts a copy of a complete blob at path, or at a free name beside it, and returns where it is.
func (s *Store) copyTo(ctx context.Context, b *Blob, path string) (string, error) {
	if _, same, err := s.same(ctx, path, b.ref.Sum, b.c.size); same || err != nil {
		return path, err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", err
	}
	if err := disk.Room(dir, b.c.size); err != nil {
		return "", err
	}
	r := request{ref: b.ref, size: b.c.size, dir: dir, dest: filepath.Base(path)}
	return s.writeOut(ctx, r, b, b.c, nil)
}

// writeOut writes src durably to the file that r asks for, or to a free name beside it, which it returns, and notes that c is there too: sealed with
// header, unless that is nil.
func (s *Store) writeOut(ctx context.Context, r request, src io.ReaderAt, c *content, header []byte) (final string, err error) {
	f, err := os.CreateTemp(r.dir, ".*"+folder.PartSuffix)
	if err != nil {
		return "", err
	}
	defer os.Remove(f.Name()) // if it is still called so
	defer f.Close()
	if r.mode == 0 {
		r.mode = 0o644
	}
	if _, err := io.Copy(f, &ctxReader{ctx, io.NewSectionReader(src, 0, r.size)}); err != nil {
		return "", err
	}
	if err := join(f.Chmod(r.mode), f.Sync()); err != nil {
		return "", err
	}
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if final, err = disk.Settle(f.Name(), filepath.Join(r.dir, r.dest), func(string) error { return nil }); err != nil {
		return "", err
	}
	r.dest = filepath.Base(final)
	return final, s.within(ctx, func(in *inserter) error {
		if r.folder, err = in.folder(r.dir); err != nil {
			return err
		}
		if err := in.belong(r, c.id, ready); err != nil {
			return err
		}
		at := spot{folder: r.folder, dir: r.dir, name: r.dest}
		return in.place(c.id, place{spot: at, Stamp: disk.StampOf(info), own: true, header: header})
	})
}

// ctxReader ends a copy when ctx does.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (r *ctxReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
