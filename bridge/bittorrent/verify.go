package bittorrent

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"runtime"
	"sync"

	"kith"
	"kith/bridge/bittorrent/metainfo"
)

// maxChecking is how many bytes of pieces are in memory while a torrent is verified, unless one piece is longer.
const maxChecking = 64 << 20

// A verifier gives pieces to those who read them, in order.
type verifier struct {
	in    *metainfo.Info
	p     *pieces
	roots [][sha256.Size]byte // of version 2, by piece: each is written by who has the piece

	mu       sync.Mutex
	progress func(n int64)
	next     int
	bad      int // the first piece that is wrong
	err      error
}

// verify reads all that a torrent consists of from the source, once, on all cores, and compares it with the digests of both versions.
func verify(ctx context.Context, in *metainfo.Info, p *pieces, progress func(n int64)) error {
	v := &verifier{in: in, p: p, progress: progress, bad: in.NumPieces()}
	if in.HasV2 {
		v.roots = make([][sha256.Size]byte, in.NumPieces())
	}
	var wg sync.WaitGroup
	for range max(1, min(runtime.GOMAXPROCS(0), in.NumPieces(), int(maxChecking/in.PieceLength))) {
		wg.Go(func() {
			buf := make([]byte, in.PieceLength)
			for n := int64(0); ; {
				i, ok := v.take(ctx, n)
				if !ok {
					return
				}
				n = p.len(i)
				if err := v.check(i, buf[:n]); err != nil {
					v.fail(i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if v.err != nil {
		return v.err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return v.files()
}

// take returns the next piece, unless an earlier one is wrong; n bytes were read since the last.
func (v *verifier) take(ctx context.Context, n int64) (i int, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if n > 0 && v.progress != nil {
		v.progress(n)
	}
	if v.next >= v.bad || ctx.Err() != nil {
		return 0, false
	}
	v.next++
	return v.next - 1, true
}

// fail keeps the error of the first piece.
func (v *verifier) fail(i int, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if i < v.bad {
		v.bad, v.err = i, err
	}
}

// check reads a piece into b.
func (v *verifier) check(i int, b []byte) error {
	start := v.p.start(i)
	if err := v.p.read(b, start); err != nil {
		return err
	}
	if v.in.HasV1 && sha1.Sum(b) != [sha1.Size]byte(v.in.Pieces[i*sha1.Size:]) {
		at := ""
		v.p.within(start, int64(len(b)), func(file int, _, _, _ int64) bool { at = v.in.Files[file].Path; return false })
		return fmt.Errorf("piece %d, in %q, is not what its digest of BitTorrent version 1 says: %w", i, at, kith.Corrupt)
	}
	if v.in.HasV2 { // where every file begins at a piece
		v.p.within(start, int64(len(b)), func(file int, _, _, n int64) bool {
			v.roots[i] = metainfo.PieceRoot(b[:n], v.in.PieceLength, v.in.Files[file].Size <= v.in.PieceLength)
			return false
		})
	}
	return nil
}

// files compares the roots of version 2.
func (v *verifier) files() error {
	for _, f := range v.in.Files {
		if !v.in.HasV2 || f.Size == 0 {
			continue
		}
		first := f.Off / v.in.PieceLength
		if n := (f.Size + v.in.PieceLength - 1) / v.in.PieceLength; metainfo.FileRoot(v.roots[first:first+n], v.in.PieceLength) != f.Root {
			return fmt.Errorf("%q is not what its digest of BitTorrent version 2 says: %w", f.Path, kith.Corrupt)
		}
	}
	return nil
}
