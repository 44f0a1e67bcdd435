package blob

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"kith"
	"kith/blob/bao"
	"kith/blob/digest"
	"kith/blob/disk"
)

// A part is what a content has while it is being downloaded. Bytes are written before their bits are set, and are durable before
// a bit is in the database: whatever stops the process or the computer, a bit that is found set is true.
type part struct {
	c      *content
	spot          // the file that the bytes are in
	dest   string // what it will be called
	repair int    // what it was before
	header []byte // of what is being repaired, if its file is the plaintext
	mode   fs.FileMode
	f      *os.File
	writer disk.Pen
	tree   io.Closer   // the file of the partial tree; nil: in memory
	mem    *bao.Shared // the partial tree, if it is in memory

	pen sync.RWMutex // held for reading while proven groups are written or loose ones judged, and for writing while loose ones are written

	mu    sync.Mutex
	bits  bao.Bits
	loose bao.Bits      // groups that are here without a proof; never one that is in bits
	lost  int           // how often something that was here was taken back
	dirty bool          // bits or loose have changed since the last checkpoint
	owner *TreeDownload // whose file it is; nil: nobody's
	entry int

	save sync.Mutex // one checkpoint or finish at a time
	done bool       // guarded by save: it is complete
	dead bool       // guarded by save: it was deleted
}

// abandon makes sure that nothing more is written about a part that was deleted.
func (p *part) abandon() {
	p.save.Lock()
	p.dead = true
	p.save.Unlock()
}

// smallTree is how large a partial tree may be to be kept in memory and written with each checkpoint; larger ones have a file.
const smallTree = 4 << 10

func (p *part) have() bao.Bits {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bits.Clone()
}

// write is Blob.WriteGroups. Nothing is locked while it hashes and writes.
func (p *part) write(v *view, first int64, data []byte) error {
	bad, wrong := v.tree.VerifyRange(first, data)
	n := bao.Groups(int64(len(data)))
	if wrong != nil {
		if n = bad - first; n < 0 || !errors.Is(wrong, kith.Corrupt) && !errors.Is(wrong, kith.NotFound) {
			return wrong
		}
		data = data[:n*bao.GroupSize]
		if errors.Is(wrong, kith.Corrupt) {
			wrong = &WrongGroup{bad}
		}
	}
	if n > 0 {
		if err := p.put(bao.Range{First: first, N: n}, data); err != nil {
			return err
		}
	}
	return wrong
}

// put writes groups that are proven.
func (p *part) put(r bao.Range, data []byte) error {
	p.pen.RLock()
	defer p.pen.RUnlock()
	p.mu.Lock()
	known := p.bits.Next(r.First, false) >= r.First+r.N
	p.mu.Unlock()
	if known { // a write would make a file that is finished look changed
		return nil
	}
	if err := fault("write"); err != nil {
		return err
	}
	if _, err := p.writer.WriteAt(p.f, data, r.First*bao.GroupSize); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.prove(r)
	return nil
}

// read reads what is here and proven, and nothing else. A group that is not what it was when it was written is taken back, to be fetched again.
func (p *part) read(v *view, buf []byte, off int64) (int, error) {
	first, last := off/bao.GroupSize, (off+int64(len(buf))-1)/bao.GroupSize
	p.mu.Lock()
	end := p.bits.Next(first, false)
	p.mu.Unlock()
	var missing error
	if end <= last {
		missing = fmt.Errorf("group %d is not here yet: %w", end, kith.NotFound)
		if end == first {
			return 0, missing
		}
		buf = buf[:end*bao.GroupSize-off]
	}
	n, bad, err := v.read(buf, off)
	if errors.Is(err, errBad) {
		if errors.Is(err, fs.ErrClosed) {
			return n, fmt.Errorf("it is closed: %w", kith.Unavailable)
		}
		p.mu.Lock()
		p.bits.Clear(bao.Range{First: bad, N: 1})
		p.dirty = true
		p.lost++
		p.mu.Unlock()
		return n, fmt.Errorf("group %d is no longer what it was: %w", bad, kith.NotFound)
	}
	return n, join(err, missing)
}

// checkpoint makes what is set so far durable, and then says so in the database.
func (p *part) checkpoint(ctx context.Context, closing bool) error {
	p.save.Lock()
	defer p.save.Unlock()
	if p.done || p.dead {
		return nil
	}
	p.mu.Lock()
	dirty := p.dirty
	var here [2][]byte
	if dirty {
		here, p.dirty = p.encode(), false
	}
	p.mu.Unlock()
	if !dirty && !closing {
		return nil
	}
	err := p.record(ctx, dirty, here, closing)
	if err != nil {
		p.mu.Lock()
		p.dirty = p.dirty || dirty
		p.mu.Unlock()
	}
	return err
}

// encode returns the proven and the loose groups as the database keeps them. p.mu is held.
func (p *part) encode() (here [2][]byte) {
	here[0] = p.bits.Encode()
	if p.loose.Next(0, true) < p.loose.Len() {
		here[1] = p.loose.Encode()
	}
	return here
}

func (p *part) record(ctx context.Context, dirty bool, here [2][]byte, closing bool) error {
	if !dirty {
		_, err := p.c.s.db.ExecContext(ctx, "UPDATE part SET clean = ? WHERE blob = ?", closing, p.c.id)
		return err
	}
	if err := disk.SyncData(p.f); err != nil {
		return err
	}
	if f, ok := p.tree.(*os.File); ok {
		if err := disk.SyncData(f); err != nil {
			return err
		}
	}
	if err := fault("checkpoint"); err != nil {
		return err
	}
	return p.c.s.within(ctx, func(in *inserter) error {
		if p.mem != nil {
			if _, err := in.exec("UPDATE blob SET tree = ? WHERE id = ?", p.mem.Snapshot(), p.c.id); err != nil {
				return err
			}
		}
		_, err := in.exec("UPDATE part SET bits = ?, loose = ?, clean = ? WHERE blob = ?", here[0], here[1], closing, p.c.id)
		return err
	})
}

// isHere reports whether all groups are here, proven or not.
func (p *part) isHere() bool { return p.absent(0, bao.Groups(p.c.size)).N == 0 }

// finish is Blob.Finish.
func (p *part) finish(ctx context.Context) error {
	if p.isHere() {
		if err := p.settleAll(ctx); err != nil {
			return err
		}
	}
	p.save.Lock()
	defer p.save.Unlock()
	if p.done {
		return nil
	}
	if p.dead {
		return fmt.Errorf("it was deleted meanwhile: %w", kith.NotFound)
	}
	if have := p.have(); !have.All() {
		return fmt.Errorf("%d of %d groups are here: %w", have.Count(), have.Len(), kith.Invalid)
	}
	if err := p.sync(); err != nil {
		return err
	}
	p.mu.Lock()
	owner, entry := p.owner, p.entry
	p.mu.Unlock()
	if owner != nil && owner.key != nil {
		return p.finishSealed(ctx, owner, entry)
	}
	if p.header != nil {
		return p.finishRepair(ctx)
	}
	at, err := p.rename(ctx)
	if err != nil {
		return err
	}
	if err := fault("renamed"); err != nil {
		return err
	}
	info, err := p.f.Stat()
	if err != nil {
		return err
	}
	return p.complete(ctx, place{spot: at, Stamp: disk.StampOf(info), own: p.repair != othersRepair})
}

// sync makes the bytes of a part durable of which all is here, when who still writes some of them again is done.
func (p *part) sync() error {
	p.pen.Lock()
	defer p.pen.Unlock()
	return p.f.Sync()
}

// rename gives the file its name, and says which.
func (p *part) rename(ctx context.Context) (spot, error) {
	if p.mode != 0 && p.mode&0o200 == 0 { // it was made writable to be written
		info, err := p.f.Stat()
		if err != nil {
			return spot{}, err
		}
		if err := p.f.Chmod(info.Mode().Perm() &^ 0o222); err != nil {
			return spot{}, err
		}
	}
	to, err := disk.Settle(p.path(), spot{p.folder, p.dir, p.dest}.path(), func(to string) error {
		_, err := p.c.s.db.ExecContext(ctx, "UPDATE part SET dest = ? WHERE blob = ?", pathIn(p.dest, filepath.Base(to)), p.c.id)
		return err
	})
	if err != nil {
		return spot{}, err
	}
	at := p.spot
	at.name = pathIn(p.dest, filepath.Base(to))
	return at, nil
}

// complete makes the content a complete one, which is at the place.
func (p *part) complete(ctx context.Context, at place) error {
	c, s := p.c, p.c.s
	tree, err := p.wholeTree()
	if err != nil {
		return err
	}
	keptFile := int64(0)
	if at.folder == keepFolder {
		keptFile = c.size
	}
	err = s.within(ctx, func(in *inserter) error {
		if _, err := in.exec("UPDATE blob SET tree = ?, kept = ? WHERE id = ?", tree, keptFile+bao.OutboardSize(c.size), c.id); err != nil {
			return err
		}
		if _, err := in.exec("DELETE FROM part WHERE blob = ?", c.id); err != nil {
			return err
		}
		if _, err := in.exec("UPDATE tree SET state = ?, file = ? WHERE root = ? AND state = ? AND folder = ? AND file <> ''",
			ready, at.name, c.sum[:], coming, p.folder); err != nil { // a file that was asked for by itself
			return err
		}
		if p.repair != noRepair {
			if _, err := in.exec("UPDATE tree SET file = ? WHERE root = ? AND folder = ? AND file <> ''", at.name, c.sum[:], p.folder); err != nil {
				return err
			}
		}
		return in.place(c.id, at)
	})
	if err != nil {
		return err
	}
	p.done = true
	next, err := at.open()
	if err != nil {
		return err
	}
	if err := c.openTree(next, tree); err != nil {
		return join(err, next.close())
	}
	if old := c.view.Load(); old != nil {
		next.files = append(next.files, old.files...) // a read may be using them
	} else if p.tree != nil {
		next.files = append(next.files, p.tree)
	}
	c.view.Store(next)
	c.part.Store(nil)
	if tree != nil && p.tree != nil {
		os.Remove(s.outboard(c.sum))
	}
	if p.repair != noRepair {
		at.gone = true
		return s.setGone(ctx, c.id, &at, false) // what it means for its trees
	}
	return nil
}

// wholeTree returns the tree if it is small enough for the database, and otherwise makes its file durable.
func (p *part) wholeTree() ([]byte, error) {
	n := bao.OutboardSize(p.c.size)
	switch {
	case n == 0:
		return nil, nil
	case p.mem != nil:
		return p.mem.Snapshot(), nil
	case n > digest.InlineTree:
		return nil, p.tree.(*os.File).Sync()
	}
	tree := make([]byte, n)
	_, err := p.tree.(*os.File).ReadAt(tree, 0)
	return tree, err
}

// loadPart loads a content that is not complete, and reports whether there was such a one.
func (c *content) loadPart(ctx context.Context, tree []byte) (bool, error) {
	p := &part{c: c}
	var code, loose []byte
	var clean bool
	var ino int64
	err := c.s.db.QueryRowContext(ctx, "SELECT folder, path, name, dest, mode, ino, bits, loose, clean, repair, header FROM part JOIN folder ON folder = folder.id WHERE blob = ?", c.id).
		Scan(&p.folder, &p.dir, &p.name, &p.dest, &p.mode, &ino, &code, &loose, &clean, &p.repair, &p.header)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return true, err
	}
	if p.folder == keepFolder {
		p.dir = c.s.keep()
	}
	return true, p.open(ctx, [2][]byte{code, loose}, clean, ino, tree)
}
