package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"kith"
	"kith/blob/bao"
	"kith/blob/digest"
)

// Loose groups are here, and another network's digests vouch for them: no proof has been found for them yet. They count when the blob is finished and a person can
// read them; peers are never given them.

// A Mixed says that groups which came without a proof were not all what the blob's name says. They have been removed. It is Corrupt.
type Mixed struct {
	Ref   kith.Ref
	Loose int64 // how many groups had no proof
}

func (e *Mixed) Error() string {
	return fmt.Sprintf("%d groups that came without a proof make it another content: %v", e.Loose, kith.Corrupt)
}

// Unwrap returns kith.Corrupt.
func (e *Mixed) Unwrap() error { return kith.Corrupt }

// WriteLoose writes data, which is whole groups from the group first on (the blob's last may be short), and which another network's digests have been compared with.
// Groups that are here already, proven or not, stay as they are. Errors: Invalid, Unavailable (disk full; nothing is lost).
func (b *Blob) WriteLoose(first int64, data []byte) error {
	p := b.c.part.Load()
	if p == nil {
		return nil
	}
	return b.wrap("write", p.writeLoose(first, data))
}

// Loose returns a snapshot of which groups are here and not proven. Have has the proven ones.
func (b *Blob) Loose() bao.Bits {
	if p := b.c.part.Load(); p != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.loose.Clone()
	}
	return bao.NewBits(bao.Groups(b.c.size))
}

// ReadHere is ReadAt, but also gives loose groups, as they are: for this node's person, and for the network that they came from.
func (b *Blob) ReadHere(p []byte, off int64) (int, error) {
	n, err := b.c.readHere(p, off)
	return n, b.wrap("read", err)
}

// Settle compares those loose groups of r with their proof whose proof was added meanwhile. What is right becomes proven; what is wrong is removed, and returned.
func (b *Blob) Settle(ctx context.Context, r bao.Range) (wrong []bao.Range, err error) {
	p := b.c.part.Load()
	if p == nil {
		return nil, nil
	}
	wrong, err = p.settle(ctx, b.c.view.Load(), r)
	return wrong, b.wrap("settle", err)
}

// writeLoose is Blob.WriteLoose. While it writes no proven group is written, so that none can be overwritten.
func (p *part) writeLoose(first int64, data []byte) error {
	r := bao.Range{First: first, N: bao.Groups(int64(len(data)))}
	if !bao.Whole(p.c.size, first, int64(len(data))) {
		return fmt.Errorf("%d bytes at group %d are no whole groups: %w", len(data), first, kith.Invalid)
	}
	p.pen.Lock()
	defer p.pen.Unlock()
	for g := r.First; g < r.First+r.N; {
		run := p.absent(g, r.First+r.N)
		if run.N == 0 {
			break
		}
		if err := fault("write"); err != nil {
			return err
		}
		from := (run.First - first) * bao.GroupSize
		if _, err := p.writer.WriteAt(p.f, data[from:min(from+run.N*bao.GroupSize, int64(len(data)))], run.First*bao.GroupSize); err != nil {
			return err
		}
		p.mu.Lock()
		p.loose.Set(run)
		p.dirty = true
		p.mu.Unlock()
		g = run.First + run.N
	}
	return nil
}

// absent returns the first run of groups from g on, below end, that are not here.
func (p *part) absent(g, end int64) bao.Range {
	p.mu.Lock()
	defer p.mu.Unlock()
	for g < end && (p.bits.Get(g) || p.loose.Get(g)) {
		g++
	}
	first := g
	for g < end && !p.bits.Get(g) && !p.loose.Get(g) {
		g++
	}
	return bao.Range{First: first, N: g - first}
}

// readHere is Blob.ReadHere.
func (c *content) readHere(buf []byte, off int64) (n int, err error) {
	v, p := c.view.Load(), c.part.Load()
	if p == nil || off < 0 || off >= c.size {
		return c.readAt(buf, off)
	}
	var end error
	if int64(len(buf)) > c.size-off {
		buf, end = buf[:c.size-off], io.EOF
	}
	for n < len(buf) {
		at := off + int64(n)
		g := at / bao.GroupSize
		p.mu.Lock()
		proven, loose := p.bits.Next(g, false), p.loose.Next(g, false)
		p.mu.Unlock()
		upTo := func(group int64) []byte { return buf[n : n+int(min(int64(len(buf)-n), group*bao.GroupSize-at))] }
		var m int
		switch {
		case proven > g:
			m, err = p.read(v, upTo(proven), at)
		case loose > g:
			m, err = p.f.ReadAt(upTo(loose), at)
		default:
			err = fmt.Errorf("group %d is not here yet: %w", g, kith.NotFound)
		}
		if errors.Is(err, fs.ErrClosed) {
			err = fmt.Errorf("it is closed: %w", kith.Unavailable)
		}
		if n += m; err != nil {
			return n, err
		}
	}
	return n, end
}

// settleStep is how many groups are compared at once.
const settleStep = 64

// settle is Blob.Settle.
func (p *part) settle(ctx context.Context, v *view, r bao.Range) (wrong []bao.Range, err error) {
	buf := make([]byte, settleStep*bao.GroupSize)
	end := min(r.First+r.N, bao.Groups(p.c.size))
	for g := max(r.First, 0); g < end; {
		if err := ctx.Err(); err != nil {
			return wrong, err
		}
		p.mu.Lock()
		first := p.loose.Next(g, true)
		g = min(p.loose.Next(first, false), end, first+settleStep)
		p.mu.Unlock()
		if first >= end {
			break
		}
		bad, err := p.settleRun(v, first, g, buf)
		for _, b := range bad {
			if last := len(wrong) - 1; last >= 0 && wrong[last].First+wrong[last].N == b {
				wrong[last].N++
			} else {
				wrong = append(wrong, bao.Range{First: b, N: 1})
			}
		}
		if err != nil {
			return wrong, err
		}
	}
	return wrong, nil
}

// settleRun compares the groups from first to end, and returns those that were wrong.
func (p *part) settleRun(v *view, first, end int64, buf []byte) (wrong []int64, err error) {
	p.pen.RLock()
	defer p.pen.RUnlock()
	data := buf[:min(end*bao.GroupSize, p.c.size)-first*bao.GroupSize]
	if n, err := p.f.ReadAt(data, first*bao.GroupSize); n < len(data) {
		return nil, err
	}
	for first < end {
		bad, err := v.tree.VerifyRange(first, data)
		if err == nil {
			bad = end
		}
		p.mu.Lock()
		for g := first; g < bad; g++ {
			if p.loose.Get(g) {
				p.prove(bao.Range{First: g, N: 1})
			}
		}
		if errors.Is(err, kith.Corrupt) && p.loose.Get(bad) {
			p.loose.Clear(bao.Range{First: bad, N: 1})
			p.dirty = true
			p.lost++
			wrong = append(wrong, bad)
		}
		p.mu.Unlock()
		if err != nil && !errors.Is(err, kith.Corrupt) && !errors.Is(err, kith.NotFound) {
			return wrong, err
		}
		data = data[min((bad+1-first)*bao.GroupSize, int64(len(data))):]
		first = bad + 1
	}
	return wrong, nil
}

// prove notes groups as proven. p.mu is held.
func (p *part) prove(r bao.Range) {
	p.bits.Set(r)
	p.loose.Clear(r)
	p.dirty = true
}

// settleAll makes all groups proven, of a part of which all are here, by hashing it whole. Nothing is locked while it hashes.
func (p *part) settleAll(ctx context.Context) error {
	p.mu.Lock()
	loose, lost := p.loose.Count(), p.lost
	p.mu.Unlock()
	if loose == 0 {
		return nil
	}
	b, err := digest.Read(ctx, p.c.s.trees(), p.f, p.c.size, nil, nil)
	if err != nil {
		return err
	}
	defer b.Drop()
	if b.Sum != p.c.sum {
		return p.mixed(ctx, loose)
	}
	if err := p.takeTree(b); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lost == lost { // otherwise something is missing again
		p.prove(bao.Range{First: 0, N: p.bits.Len()})
	}
	return nil
}

// takeTree fills the partial tree with one that is whole.
func (p *part) takeTree(b digest.Digest) error {
	var to io.WriterAt = p.mem
	if f, ok := p.tree.(*os.File); ok {
		to = f
	}
	tree, err := b.Open()
	if err != nil {
		return err
	}
	defer tree.Close()
	_, err = io.Copy(io.NewOffsetWriter(to, 0), io.NewSectionReader(tree, 0, b.Kept()))
	return err
}

// mixed removes what has no proof from a part whose bytes are not what its name says; but if something proven is no longer what it was, that is to blame, and is removed instead.
func (p *part) mixed(ctx context.Context, loose int64) error {
	buf := make([]byte, settleStep*bao.GroupSize)
	v := p.c.view.Load()
	for r := range p.have().Ranges() {
		for g := r.First; g < r.First+r.N; g += settleStep {
			if err := ctx.Err(); err != nil {
				return err
			}
			off := g * bao.GroupSize
			if _, err := p.read(v, buf[:min(int64(len(buf)), (r.First+r.N)*bao.GroupSize-off, p.c.size-off)], off); err != nil {
				return err
			}
		}
	}
	p.mu.Lock()
	p.loose = bao.NewBits(p.loose.Len())
	p.dirty = true
	p.lost++
	p.mu.Unlock()
	return join(&Mixed{Ref: kith.RawRef(p.c.sum), Loose: loose}, p.checkpoint(ctx, false))
}
