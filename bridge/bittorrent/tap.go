package bittorrent

import (
	"context"

	"kith"
	"kith/blob"
	"kith/bridge/bittorrent/metainfo"
)

// Taps implements bridge.Bridge.
func (b *Bridge) Taps(files int, bytes int64) blob.Tap {
	return tap{b, metainfo.PieceLength(files, bytes)}
}

// A tap makes digests of files while they are imported.
type tap struct {
	b     *Bridge
	piece int64
}

// File implements blob.Tap.
func (t tap) File(int64) blob.TapFile { return &tapFile{Hasher: metainfo.NewHasher(t.piece), tap: t} }

type tapFile struct {
	*metainfo.Hasher
	tap
}

// Done implements blob.TapFile.
func (f *tapFile) Done(ref kith.Ref) {
	if ref.IsZero() {
		return
	}
	if err := f.b.store.keepDigest(context.Background(), ref, f.piece, f.Sum()); err != nil {
		f.b.log.Warn("digests not kept; the file is read again when it is published", "op", "import", "ref", ref, "err", err)
	}
}
