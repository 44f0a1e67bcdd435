package metainfo

import (
	"crypto/sha1"
	"crypto/sha256"
	"hash"
	"math/bits"
)

// Block is what a leaf of the hash trees of version 2 covers, in bytes (BEP 52).
const Block = 16 << 10

// A Digest is what the pieces of one file are called, when the file begins at a piece.
type Digest struct {
	Size   int64
	Pieces []byte            // version 1: SHA-1 of each piece, the last one being as short as it is
	Padded [sha1.Size]byte   // version 1: SHA-1 of the last piece with zeros to its full length, as a pad file fills it (BEP 47)
	Layer  []byte            // version 2: SHA-256 of each piece's tree; nil if the file is not longer than a piece
	Root   [sha256.Size]byte // version 2: root of the whole tree; zero for an empty file
}

// A Hasher makes the Digest of one file from its bytes in order.
type Hasher struct {
	piece   int64 // length of a piece
	size    int64
	v1      hash.Hash
	v2      hash.Hash
	inPiece int64
	inBlock int
	tree    []([sha256.Size]byte) // leaves of the piece so far
	d       Digest
	layer   [][sha256.Size]byte
}

// NewHasher begins a file whose pieces have a length that Valid finds good for version 2.
func NewHasher(piece int64) *Hasher {
	return &Hasher{piece: piece, v1: sha1.New(), v2: sha256.New()}
}

// Write implements io.Writer. It never fails.
func (h *Hasher) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		m := min(len(p), Block-h.inBlock)
		h.v1.Write(p[:m])
		h.v2.Write(p[:m])
		p = p[m:]
		h.inBlock += m
		h.inPiece += int64(m)
		h.size += int64(m)
		if h.inBlock == Block {
			h.endBlock()
		}
		if h.inPiece == h.piece {
			h.endPiece()
		}
	}
	return n, nil
}

func (h *Hasher) endBlock() {
	var leaf [sha256.Size]byte
	h.v2.Sum(leaf[:0])
	h.v2.Reset()
	h.tree = append(h.tree, leaf)
	h.inBlock = 0
}

func (h *Hasher) endPiece() {
	h.d.Pieces = h.v1.Sum(h.d.Pieces)
	h.v1.Reset()
	h.layer = append(h.layer, merkle(h.tree, int(h.piece/Block), [sha256.Size]byte{}))
	h.tree = h.tree[:0]
	h.inPiece = 0
}

// Sum returns the Digest of what was written. Nothing may be written afterwards.
func (h *Hasher) Sum() Digest {
	d := &h.d
	d.Size = h.size
	if h.inBlock > 0 {
		h.endBlock()
	}
	if h.inPiece > 0 {
		short := h.inPiece
		d.Pieces = h.v1.Sum(d.Pieces)
		writeZeros(h.v1, h.piece-short)
		h.v1.Sum(d.Padded[:0])
		if len(h.layer) == 0 { // not longer than a piece: its tree is as small as it can be
			d.Root = merkle(h.tree, ceil2(len(h.tree)), [sha256.Size]byte{})
			return *d
		}
		h.layer = append(h.layer, merkle(h.tree, int(h.piece/Block), [sha256.Size]byte{}))
	} else if n := len(d.Pieces); n > 0 {
		copy(d.Padded[:], d.Pieces[n-sha1.Size:])
	}
	switch len(h.layer) {
	case 0:
	case 1:
		d.Root = h.layer[0]
	default:
		d.Layer = make([]byte, 0, len(h.layer)*sha256.Size)
		for _, l := range h.layer {
			d.Layer = append(d.Layer, l[:]...)
		}
		d.Root = layerRoot(h.layer, h.piece)
	}
	return *d
}

// PieceRoot returns the root of version 2 over one piece of a file, the last of which may be short; only says that it is the file's only one.
func PieceRoot(data []byte, piece int64, only bool) [sha256.Size]byte {
	leaves := make([][sha256.Size]byte, 0, (len(data)+Block-1)/Block)
	for ; len(data) > 0; data = data[min(Block, len(data)):] {
		leaves = append(leaves, sha256.Sum256(data[:min(Block, len(data))]))
	}
	if only {
		return merkle(leaves, ceil2(len(leaves)), [sha256.Size]byte{})
	}
	return merkle(leaves, int(piece/Block), [sha256.Size]byte{})
}

// FileRoot returns the root of version 2 of a file from those of its pieces.
func FileRoot(pieces [][sha256.Size]byte, piece int64) [sha256.Size]byte {
	if len(pieces) == 1 {
		return pieces[0]
	}
	return layerRoot(pieces, piece)
}

// layerRoot returns the root above the layer of a file's pieces.
func layerRoot(layer [][sha256.Size]byte, piece int64) [sha256.Size]byte {
	return merkle(layer, ceil2(len(layer)), padHash(piece))
}

// padHash is the root of a tree over a piece that is not there.
func padHash(piece int64) (pad [sha256.Size]byte) {
	for n := piece / Block; n > 1; n /= 2 {
		pad = parent(pad, pad)
	}
	return pad
}

func parent(a, b [sha256.Size]byte) [sha256.Size]byte {
	var both [2 * sha256.Size]byte
	copy(both[:], a[:])
	copy(both[sha256.Size:], b[:])
	return sha256.Sum256(both[:])
}

// merkle returns the root of a tree with n leaves, a power of two, of which those that are not in leaves are pad. It uses leaves as its scratch.
func merkle(leaves [][sha256.Size]byte, n int, pad [sha256.Size]byte) [sha256.Size]byte {
	if len(leaves) == 0 {
		for ; n > 1; n /= 2 {
			pad = parent(pad, pad)
		}
		return pad
	}
	row := append([][sha256.Size]byte(nil), leaves...)
	for ; n > 1; n /= 2 {
		if len(row)%2 == 1 {
			row = append(row, pad)
		}
		for i := range len(row) / 2 {
			row[i] = parent(row[2*i], row[2*i+1])
		}
		row = row[:len(row)/2]
		pad = parent(pad, pad)
	}
	return row[0]
}

// ceil2 returns the power of two that is not smaller than n.
func ceil2(n int) int {
	if n <= 1 {
		return 1
	}
	return 1 << bits.Len(uint(n-1))
}

var zeros [32 << 10]byte

func writeZeros(h hash.Hash, n int64) {
	for n > 0 {
		m := min(n, int64(len(zeros)))
		h.Write(zeros[:m])
		n -= m
	}
}
