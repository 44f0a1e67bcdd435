package metainfo

import (
	"crypto/sha256"
	"fmt"
	"math/bits"
	"testing"
)

// TestHashes has every answer to a request that may be made lead to the root, and to no other.
func TestHashes(t *testing.T) {
	const piece = 4 * Block
	for _, n := range []int{2, 3, 4, 5, 7, 8, 13, 33} {
		layer := make([]byte, n*sha256.Size)
		rows := make([][sha256.Size]byte, n)
		for i := range rows {
			rows[i] = sha256.Sum256(fmt.Append(nil, i))
			copy(layer[i*sha256.Size:], rows[i][:])
		}
		tree := NewTree(layer, piece)
		root, width := layerRoot(rows, piece), ceil2(n)
		for length := 2; length <= width; length *= 2 {
			for index := 0; index < width; index += length {
				proofs := bits.Len(uint(width)) - 2 // that reach the root
				list, err := tree.Hashes(int64(index), int64(length), int64(proofs))
				if err != nil {
					t.Fatal(err)
				}
				got := merkle(list[:length], length, [sha256.Size]byte{})
				at := index / length
				for _, uncle := range list[length:] {
					if at%2 == 0 {
						got = parent(got, uncle)
					} else {
						got = parent(uncle, got)
					}
					at /= 2
				}
				if got != root || at != 0 {
					t.Errorf("%d of %d from %d on, with %d in proof, are not under the root", length, n, index, len(list)-length)
				}
				if bare, err := tree.Hashes(int64(index), int64(length), 0); err != nil || len(bare) != length {
					t.Errorf("%d without proof, %v", len(bare), err)
				}
			}
		}
		for _, r := range [][3]int64{{0, 1, 0}, {0, 3, 0}, {1, 2, 0}, {-2, 2, 0}, {int64(width), 2, 0}, {0, 2 * int64(width), 0}, {0, 2, -1}, {0, 2, int64(bits.Len(uint(width))) - 1}, {1<<32 - 2, 2, 99}, {0, 1 << 32, 1 << 32}} {
			if list, err := tree.Hashes(r[0], r[1], r[2]); err == nil {
				t.Errorf("%d of %d from %d on, with %d layers of proof: %d are given", r[1], n, r[0], r[2], len(list))
			}
		}
	}
}
