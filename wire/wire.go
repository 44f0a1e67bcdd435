// Package wire puts values on a stream and takes them off again: frames of deterministic CBOR, every read bounded.
//
// It is not for bulk data, which goes beside the frames as it is. Its one idea: a reader says beforehand how much it will take, and
// what is longer, deeper or wider than that is refused before memory is spent on it.
package wire

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/fxamacker/cbor/v2"

	"kith"
)

// What a decoder takes, whatever the size of the frame.
const (
	MaxDepth = 16      // arrays and maps inside each other
	MaxArray = 1 << 17 // elements of one array
	MaxMap   = 1 << 12 // pairs of one map
)

// A Reader is what frames are read from; bufio.Reader is one.
type Reader interface {
	io.Reader
	io.ByteReader
}

var (
	enc = must(cbor.CoreDetEncOptions().EncMode())
	dec = must(cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		IndefLength:      cbor.IndefLengthForbidden,
		TagsMd:           cbor.TagsForbidden,
		MaxNestedLevels:  MaxDepth,
		MaxArrayElements: MaxArray,
		MaxMapPairs:      MaxMap,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // the options above are constants
	}
	return v
}

// Marshal returns v in deterministic CBOR (RFC 8949, section 4.2.1).
func Marshal(v any) ([]byte, error) {
	data, err := enc.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("wire: encode %T: %w", v, err)
	}
	return data, nil
}

// Unmarshal decodes all of data into v. Bytes that are not CBOR, trailing bytes, tags, indefinite lengths, keys that stand twice and
// what is over the limits are Invalid. Unknown keys are passed over, so that a protocol can grow.
func Unmarshal(data []byte, v any) error {
	if err := dec.Unmarshal(data, v); err != nil {
		return fmt.Errorf("wire: decode %T: %w: %w", v, err, kith.Invalid)
	}
	return nil
}

// AppendMsg appends to dst the frame that holds v: its length as an unsigned varint (LEB128), then its CBOR.
func AppendMsg(dst []byte, v any) ([]byte, error) {
	data, err := Marshal(v)
	if err != nil {
		return dst, err
	}
	return append(binary.AppendUvarint(dst, uint64(len(data))), data...), nil
}

// WriteMsg writes the frame that holds v with one Write.
func WriteMsg(w io.Writer, v any) error {
	frame, err := AppendMsg(nil, v)
	if err != nil {
		return err
	}
	if _, err := w.Write(frame); err != nil {
		return fmt.Errorf("wire: write %T: %w", v, err)
	}
	return nil
}

// ReadMsg reads one frame of at most max bytes into v, and takes no byte beyond it. A longer frame is TooLarge and a malformed one
// Invalid; the stream is of no use after either. io.EOF means that it ended between frames.
func ReadMsg(r Reader, max int, v any) error {
	n, err := readUvarint(r)
	switch {
	case err == io.EOF:
		return io.EOF
	case err != nil:
		return fmt.Errorf("wire: read %T: %w", v, err)
	case n > uint64(max):
		return fmt.Errorf("wire: read %T: %d bytes, at most %d: %w", v, n, max, kith.TooLarge)
	}
	data := make([]byte, n)
	if _, err := io.ReadFull(r, data); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("wire: read %T: %w", v, err)
	}
	return Unmarshal(data, v)
}

// readUvarint is binary.ReadUvarint, but refuses forms that are longer than need be: one value, one encoding.
func readUvarint(r io.ByteReader) (uint64, error) {
	var n uint64
	for i := 0; i < binary.MaxVarintLen64; i++ {
		b, err := r.ReadByte()
		switch {
		case err == io.EOF && i > 0:
			return 0, io.ErrUnexpectedEOF
		case err != nil:
			return 0, err
		case b == 0 && i > 0, i == binary.MaxVarintLen64-1 && b > 1:
			return 0, fmt.Errorf("length is not a varint: %w", kith.Invalid)
		}
		n |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			return n, nil
		}
	}
	return 0, fmt.Errorf("length is not a varint: %w", kith.Invalid)
}
