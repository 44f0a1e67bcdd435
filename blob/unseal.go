package blob

import (
	"context"
	"fmt"
	"io"
	"os"

	"kith"
	"kith/blob/disk"
)

// finishSealed decrypts a complete blob of a private tree into its place; the ciphertext is made again from then on.
func (p *part) finishSealed(ctx context.Context, t *TreeDownload, i int) error {
	o, err := openSealed(*t.key, p.f, p.c.size)
	if err != nil {
		return err
	}
	if o.PlainSize() != t.m.Entries[i].Size {
		return fmt.Errorf("it has %d bytes, not %d: %w", o.PlainSize(), t.m.Entries[i].Size, kith.Corrupt)
	}
	if err := disk.Room(p.dir, o.PlainSize()); err != nil {
		return err
	}
	st, err := t.write(i, func(f *os.File) error {
		_, err := io.Copy(f, &ctxReader{ctx, io.NewSectionReader(o, 0, o.PlainSize())})
		return err
	}, true)
	if err != nil {
		return err
	}
	at := spot{p.folder, p.dir, t.m.Entries[i].Path}
	if err := p.complete(ctx, place{spot: at, Stamp: st, own: true, header: o.Header().Pack()}); err != nil {
		return err
	}
	return os.Remove(p.path())
}
