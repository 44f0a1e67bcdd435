package bittorrent

import (
	"context"
	"crypto/sha1"
	"fmt"

	"kith"
	"kith/bridge/bittorrent/metainfo"
)

// verify reads all that a torrent consists of from the source, once, and compares it with the digests of both versions.
func verify(ctx context.Context, in *metainfo.Info, p *pieces, progress func(n int64)) error {
	buf := make([]byte, in.PieceLength)
	file := -1
	var tree *metainfo.Hasher
	check := func() error { // the digest of version 2 of the file that was read
		if tree == nil || !in.HasV2 {
			return nil
		}
		if f := in.Files[file]; tree.Sum().Root != f.Root {
			return fmt.Errorf("%q is not what its digest of BitTorrent version 2 says: %w", f.Path, kith.Corrupt)
		}
		return nil
	}
	for i := range in.NumPieces() {
		if err := ctx.Err(); err != nil {
			return err
		}
		b := buf[:p.len(i)]
		if err := p.read(b, p.start(i)); err != nil {
			return err
		}
		if in.HasV1 && sha1.Sum(b) != [sha1.Size]byte(in.Pieces[i*sha1.Size:]) {
			at := ""
			p.within(p.start(i), int64(len(b)), func(file int, _, _, _ int64) bool { at = in.Files[file].Path; return false })
			return fmt.Errorf("piece %d, in %q, is not what its digest of BitTorrent version 1 says: %w", i, at, kith.Corrupt)
		}
		if in.HasV2 {
			var err error
			p.within(p.start(i), int64(len(b)), func(f int, _, at, n int64) bool {
				if f != file {
					if err = check(); err != nil {
						return false
					}
					file, tree = f, metainfo.NewHasher(in.PieceLength)
				}
				tree.Write(b[at : at+n])
				return true
			})
			if err != nil {
				return err
			}
		}
		if progress != nil {
			progress(int64(len(b)))
		}
	}
	return check()
}
