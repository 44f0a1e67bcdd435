package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"kith"

	"filippo.io/age"
)

// Limits of the header of a file that Open reads. Those that Kith writes have about 200 bytes and one stanza.
const (
	MaxHeader  = 16 << 10 // bytes, with the nonce
	MaxStanzas = 32       // recipients
)

const (
	nonceSize   = 16
	fileKeySize = 16
)

// A Header is all that, beside the plaintext, makes a ciphertext. It is secret, for the file key in it opens the file.
// It is for one plaintext only: see the package comment.
type Header struct {
	Bytes   []byte            // the text of the age header, to the end of its --- line
	Nonce   [nonceSize]byte   // what follows it
	FileKey [fileKeySize]byte // what the header hides
}

// String keeps file keys out of logs.
func (h Header) String() string { return fmt.Sprintf("seal.Header(%d bytes)", len(h.Bytes)) }

// GoString keeps file keys out of logs.
func (h Header) GoString() string { return h.String() }

func (h Header) size() int64 { return int64(len(h.Bytes)) + nonceSize }

// NewHeader returns the Header of a new file that k opens, with a fresh file key and nonce.
func NewHeader(k Key) (Header, error) {
	id, err := k.identity()
	if err != nil {
		return Header{}, fmt.Errorf("seal: new header: %w", err)
	}
	// age writes header and nonce as soon as it knows the recipients. The payload would follow, but that is ours to make.
	var out bytes.Buffer
	to := witness{to: id.Recipient()}
	if _, err := age.Encrypt(&out, &to); err != nil {
		return Header{}, fmt.Errorf("seal: new header: %w", err)
	}
	h := Header{Bytes: out.Next(out.Len() - nonceSize)}
	copy(h.Nonce[:], out.Bytes())
	copy(h.FileKey[:], to.fileKey)
	return h, nil
}

// A witness is a recipient that remembers the file key that was wrapped.
type witness struct {
	to      age.Recipient
	fileKey []byte
}

func (w *witness) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	w.fileKey = bytes.Clone(fileKey)
	return w.to.Wrap(fileKey)
}

// readHeader reads the header of an age file of the given size, and opens it with k.
func readHeader(k Key, cipher io.ReaderAt, size int64) (Header, error) {
	head := make([]byte, max(0, min(size, MaxHeader)))
	if n, err := cipher.ReadAt(head, 0); n < len(head) {
		if errors.Is(err, io.EOF) {
			err = kith.Corrupt
		}
		return Header{}, fmt.Errorf("read header: %w", err)
	}
	text, err := age.ExtractHeader(bytes.NewReader(head))
	if err != nil {
		return Header{}, fmt.Errorf("no age header in the first %d bytes: %v: %w", len(head), err, kith.Corrupt)
	}
	rest, exact := bytes.CutPrefix(head, text)
	if !exact || len(rest) < nonceSize {
		return Header{}, fmt.Errorf("header of %d bytes: %w", len(text), kith.Corrupt)
	}
	if n := bytes.Count(text, []byte("\n-> ")); n > MaxStanzas {
		return Header{}, fmt.Errorf("header has %d stanzas, at most %d: %w", n, MaxStanzas, kith.TooLarge)
	}
	h := Header{Bytes: text, Nonce: [nonceSize]byte(rest)}
	fileKey, err := unwrap(k, text)
	copy(h.FileKey[:], fileKey)
	return h, err
}

func unwrap(k Key, header []byte) (fileKey []byte, err error) {
	id, err := k.identity()
	if err != nil {
		return nil, err
	}
	fileKey, err = age.DecryptHeader(header, id)
	if other := (*age.NoIdentityMatchError)(nil); errors.As(err, &other) {
		return nil, kith.Hint(fmt.Errorf("it is sealed for another key: %w", kith.Denied), "the key in the link does not open this")
	}
	if err != nil {
		return nil, fmt.Errorf("%v: %w", err, kith.Corrupt)
	}
	return fileKey, nil
}

// Pack returns h as bytes, for a database: they are secret.
func (h Header) Pack() []byte {
	return append(append(append([]byte{}, h.Nonce[:]...), h.FileKey[:]...), h.Bytes...)
}

// Unpack reads what Pack returned. Errors: Internal.
func Unpack(data []byte) (h Header, err error) {
	if len(data) < nonceSize+fileKeySize {
		return h, fmt.Errorf("seal: a header is cut short: %w", kith.Internal)
	}
	n := copy(h.Nonce[:], data)
	n += copy(h.FileKey[:], data[n:])
	h.Bytes = data[n:]
	return h, nil
}
