package sets

import (
	"encoding/binary"
	"fmt"
	"slices"

	"kith"
)

// A Wire is a Part as it is sent, in CBOR.
type Wire struct {
	Digits []byte `cbor:"1,keyasint,omitempty"` // of the prefix, two a byte
	Depth  uint8  `cbor:"2,keyasint,omitempty"` // how many digits
	Prints []byte `cbor:"3,keyasint,omitempty"` // 8 bytes each, little endian
	IDs    []byte `cbor:"4,keyasint,omitempty"`
}

// Encode returns parts as they are sent.
func Encode(list []Part) (out []Wire) {
	for _, p := range list {
		q := Wire{Digits: slices.Clone(p.Prefix.ID[:(p.Prefix.Depth+1)/2]), Depth: p.Prefix.Depth, IDs: EncodeIDs(p.IDs)}
		for _, print := range p.Prints {
			q.Prints = binary.LittleEndian.AppendUint64(q.Prints, print)
		}
		out = append(out, q)
	}
	return out
}

// Decode reads what Encode made. What it returns is not yet checked: Answer does so.
func Decode(list []Wire) (out []Part, err error) {
	for _, q := range list {
		p := Part{Prefix: Prefix{Depth: q.Depth}}
		if len(q.Digits) > len(p.Prefix.ID) || len(q.Prints)%8 != 0 {
			return nil, fmt.Errorf("sets: a part of %d digits and %d bytes: %w", q.Depth, len(q.Prints), kith.Invalid)
		}
		copy(p.Prefix.ID[:], q.Digits)
		for print := range slices.Chunk(q.Prints, 8) {
			p.Prints = append(p.Prints, binary.LittleEndian.Uint64(print))
		}
		if p.IDs, err = DecodeIDs(q.IDs); err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// EncodeIDs returns IDs as they are sent: one behind the other.
func EncodeIDs(ids []ID) (out []byte) {
	for _, id := range ids {
		out = append(out, id[:]...)
	}
	return out
}

// DecodeIDs reads what EncodeIDs made.
func DecodeIDs(data []byte) (ids []ID, err error) {
	if len(data)%len(ID{}) != 0 {
		return nil, fmt.Errorf("sets: %d bytes are no IDs: %w", len(data), kith.Invalid)
	}
	for id := range slices.Chunk(data, len(ID{})) {
		ids = append(ids, ID(id))
	}
	return ids, nil
}
