// Package seal keeps private files as age files (age-encryption.org/v1, C2SP age.md) without keeping them twice: the
// ciphertext is made again, at any offset, whenever a peer asks for a part of it.
//
// Somebody who shares a folder in private has the plain files and wants to keep them as they are; what peers fetch,
// store and serve must be ciphertext. So an import makes a [Header] with fresh randomness, once per file, and keeps it.
// From it and the plain file, [NewReaderAt] makes the age file, byte by byte the same every time, and only the 64 KiB
// segments that are asked for. [Open] is the way back: plaintext at any offset of a ciphertext, as far as that is
// there. Who has the [Key] needs no Kith: `age --decrypt` opens what a peer has fetched.
//
// It is not a format of our own, and not a place where keys are kept. Header and key handling are those of
// filippo.io/age; what this package adds is the payload at random (STREAM: ChaCha20-Poly1305 in segments of 64 KiB, a
// counter and a last mark in the nonce).
//
// # The same plaintext, or nothing
//
// To seal the same bytes again under the same file key and nonce is safe: the result is what was given out before, so
// nobody learns anything. To seal OTHER bytes under them is not. ChaCha20 is a key stream: who gets two ciphertexts of
// the same segment of two versions of a file has the difference of the two plaintexts, and can forge further segments.
//
// A plain file that its owner shares in place may change at any time, and this package cannot know. Therefore:
//
//   - THE CALLER MUST CHECK EVERY GROUP OF CIPHERTEXT AGAINST ITS OWN HASH TREE BEFORE IT LEAVES THE MACHINE. The tree
//     was made over the ciphertext at import; bytes that do not pass are of a changed file and must not be sent, logged
//     or stored.
//   - A Header is for one plaintext. A file that changed is a new import with a new Header.
//
// Two files with the same bytes get two Headers, and so two ciphertexts: nobody sees that they are equal.
package seal

import (
	"fmt"
	"io"

	"kith"
)

const (
	segmentSize = 64 << 10 // bytes of plaintext
	tagSize     = 16
	sealedSize  = segmentSize + tagSize
)

// SealedSize returns the bytes of the age file of plain bytes.
func SealedSize(h Header, plain int64) int64 {
	return h.size() + plain + max(1, ceil(plain, segmentSize))*tagSize
}

// NewReaderAt returns the age file of plainSize bytes of plain: SealedSize bytes, the same every time. It may be used
// by many at once if plain may. A read that finds plain too short is kith.Gone. What it returns may leave the machine
// only after a check against the tree that was made at import: see "The same plaintext, or nothing".
func NewReaderAt(h Header, plain io.ReaderAt, plainSize int64) io.ReaderAt {
	head := append(append(make([]byte, 0, h.size()), h.Bytes...), h.Nonce[:]...)
	return &sealer{head, newStream(h, seal, part{plain, 0, plainSize})}
}

type sealer struct {
	head    []byte
	payload *stream
}

// ReadAt implements io.ReaderAt.
func (s *sealer) ReadAt(p []byte, off int64) (n int, err error) {
	head := int64(len(s.head))
	if off >= head {
		return s.payload.ReadAt(p, off-head)
	}
	if off < 0 {
		return 0, fmt.Errorf("seal: read at %d: %w", off, kith.Invalid)
	}
	n = copy(p, s.head[off:])
	if n == len(p) {
		return n, nil
	}
	m, err := s.payload.ReadAt(p[n:], 0)
	return n + m, err
}
