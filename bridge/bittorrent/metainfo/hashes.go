package metainfo

import (
	"crypto/sha256"
	"fmt"

	"kith"
)

// HashesMany is how many digests of pieces one message brings at most (BEP 52 leaves it open, libtorrent asks for 512, and nobody for more than this).
const HashesMany = 8192

// A Tree is the hash tree of version 2 over the pieces of a file.
type Tree struct {
	rows [][][sha256.Size]byte // from the pieces up to the row below the root
	pads [][sha256.Size]byte   // of each row, what stands for pieces that are not there
}

// NewTree makes the tree of the pieces that layer has the digests of, which are at least two.
func NewTree(layer []byte, piece int64) *Tree {
	row, pad := make([][sha256.Size]byte, len(layer)/sha256.Size), padHash(piece)
	for i := range row {
		row[i] = [sha256.Size]byte(layer[i*sha256.Size:])
	}
	t := new(Tree)
	for len(row) > 1 {
		t.rows, t.pads = append(t.rows, row), append(t.pads, pad)
		up := make([][sha256.Size]byte, (len(row)+1)/2)
		for i := range up {
			up[i] = parent(row[2*i], t.at(len(t.rows)-1, int64(2*i+1)))
		}
		row, pad = up, parent(pad, pad)
	}
	return t
}

func (t *Tree) at(row int, i int64) [sha256.Size]byte {
	if i < int64(len(t.rows[row])) {
		return t.rows[row][i]
	}
	return t.pads[row]
}

// Hashes answers who asks for digests (BEP 52, hash request): length of those of pieces from index on, those behind the last piece being of pieces that are not there, and what it takes to see
// that they are right: for each node on their way up, for so many rows as proofs says, the node beside it, where it cannot be made of those that are sent. Its error is Invalid.
func (t *Tree) Hashes(index, length, proofs int64) ([][sha256.Size]byte, error) {
	width := int64(1) << len(t.rows)
	if length < 2 || length > HashesMany || length&(length-1) != 0 || index < 0 || index%length != 0 || index > width-length || proofs < 0 || proofs >= int64(len(t.rows)) {
		return nil, fmt.Errorf("metainfo: %d digests from %d on with %d rows of proof, of %d: %w", length, index, proofs, width, kith.Invalid)
	}
	list := make([][sha256.Size]byte, 0, length+proofs)
	for i := range length {
		list = append(list, t.at(0, index+i))
	}
	for row := 1; row <= int(proofs); row++ {
		index /= 2
		if 1<<row >= length {
			list = append(list, t.at(row, index^1))
		}
	}
	return list, nil
}
