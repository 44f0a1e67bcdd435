package seal

import (
	"bytes"
	"fmt"
	"io"

	"kith"

	"filippo.io/age"
)

// MaxHeader is the most bytes of an age header that Open reads. Kith writes headers of about 200.
const MaxHeader = 16 << 10

const (
	nonceSize   = 16
	fileKeySize = 16
)

// A Header is all that, beside the plaintext, makes a ciphertext: with the same Header and plaintext it is the same again, byte by
// byte. It is secret, for the file key in it opens the file.
type Header struct {
	Bytes   []byte            // the text of the age header, to the end of its --- line
	Nonce   [nonceSize]byte   // what follows it
	FileKey [fileKeySize]byte // what the header hides
}

// NewHeader returns a fresh Header of a file for k. Use it for one plaintext only.
func NewHeader(k Key) (Header, error) {
	id, err := k.identity()
	if err != nil {
		return Header{}, fmt.Errorf("seal: header: %w", err)
	}
	// age writes the header and the nonce when it is told to whom; the payload is made by this package.
	var out bytes.Buffer
	to := spy{to: id.Recipient()}
	if _, err := age.Encrypt(&out, &to); err != nil {
		return Header{}, fmt.Errorf("seal: header: %w", err)
	}
	h := Header{Bytes: out.Next(out.Len() - nonceSize)}
	copy(h.Nonce[:], out.Bytes())
	copy(h.FileKey[:], to.fileKey)
	return h, nil
}

// A spy is a recipient that remembers the file key.
type spy struct {
	to      age.Recipient
	fileKey []byte
}

func (s *spy) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	s.fileKey = bytes.Clone(fileKey)
	return s.to.Wrap(fileKey)
}

// readHeader reads and opens the header of an age file.
func readHeader(k Key, cipher io.ReaderAt, size int64) (h Header, err error) {
	id, err := k.identity()
	if err != nil {
		return Header{}, err
	}
	h.Bytes, err = age.ExtractHeader(io.NewSectionReader(cipher, 0, min(size, MaxHeader)))
	if err != nil {
		return Header{}, fmt.Errorf("%w: %w", err, kith.Corrupt)
	}
	fileKey, err := age.DecryptHeader(h.Bytes, id)
	if err != nil {
		return Header{}, err
	}
	copy(h.FileKey[:], fileKey)
	if _, err := cipher.ReadAt(h.Nonce[:], int64(len(h.Bytes))); err != nil {
		return Header{}, err
	}
	return h, nil
}
