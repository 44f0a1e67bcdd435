package stage

import "kith/blob/bao"

// CheckEnd compares the last group of a blob of size bytes and its proof with the digest: that proves the size too, since the shape of the tree and the number of the last
// chunk go into the digest. Its error is a *Wrong.
func CheckEnd(sum bao.Sum, size int64, proof, data []byte) error {
	last := bao.Range{First: bao.Groups(size) - 1, N: 1}
	tree := bao.NewTree(sum, size, sparse{})
	if len(proof) > 0 {
		if err := tree.AddProof(last, proof); err != nil {
			return &Wrong{Group: last.First, What: "size", Err: err}
		}
	}
	if err := tree.Verify(last.First, data); err != nil {
		return &Wrong{Group: last.First, What: "size", Err: err}
	}
	return nil
}

// sparse is a bao.Storage of a few parents, each of 64 bytes.
type sparse map[int64][64]byte

func (s sparse) WriteAt(p []byte, off int64) (int, error) {
	for i := 0; i+64 <= len(p); i += 64 {
		s[off+int64(i)] = [64]byte(p[i:])
	}
	return len(p), nil
}

func (s sparse) ReadAt(p []byte, off int64) (int, error) {
	for i := 0; i+64 <= len(p); i += 64 {
		parent := s[off+int64(i)]
		copy(p[i:], parent[:])
	}
	return len(p), nil
}
