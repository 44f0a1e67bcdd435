package kith

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
)

// RefSize is the length of a BLAKE3-256 digest, in bytes.
const RefSize = 32

// A Codec says what the bytes that a Ref names are; its values are those of the multicodec table.
type Codec uint64

// The codecs in use.
const (
	Raw      Codec = cid.Raw     // bytes
	Manifest Codec = cid.DagCBOR // a folder: a folder.Manifest in deterministic CBOR
	Pending  Codec = 0x300b17    // of the private range: a download of which only other networks' names are known until it is complete; never leaves the node
)

// A Ref names content by its BLAKE3-256 digest. It is comparable, and its text form is a CID (version 1,
// base32). The zero Ref names nothing.
type Ref struct {
	Sum   [RefSize]byte
	Codec Codec
}

// RawRef returns the Ref of bytes with the given digest.
func RawRef(sum [RefSize]byte) Ref { return Ref{sum, Raw} }

// ManifestRef returns the Ref of a folder whose manifest has the given digest.
func ManifestRef(sum [RefSize]byte) Ref { return Ref{sum, Manifest} }

// IsZero reports whether r names nothing.
func (r Ref) IsZero() bool { return r == Ref{} }

// CID returns r as other programs write it.
func (r Ref) CID() cid.Cid {
	mh, err := multihash.Encode(r.Sum[:], multihash.BLAKE3)
	if err != nil { // cannot be: the code is known and the length is right
		return cid.Undef
	}
	return cid.NewCidV1(uint64(r.Codec), mh)
}

// String returns r as a CID, or "" for the zero Ref.
func (r Ref) String() string {
	if r.IsZero() {
		return ""
	}
	return r.CID().String()
}

// Short returns enough of r to tell it from its neighbours in a log or a list.
func (r Ref) Short() string {
	s := r.String()
	if len(s) <= 10 {
		return s
	}
	return s[len(s)-8:]
}

// LogValue keeps logs readable.
func (r Ref) LogValue() slog.Value { return slog.StringValue(r.Short()) }

// MarshalText implements encoding.TextMarshaler.
func (r Ref) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler; an empty text is the zero Ref.
func (r *Ref) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*r = Ref{}
		return nil
	}
	got, err := ParseRef(string(text))
	if err == nil {
		*r = got
	}
	return err
}

// ParseRef reads what String wrote: a CID whose digest is BLAKE3-256 and whose codec is raw, dag-cbor or Pending.
func ParseRef(s string) (Ref, error) {
	c, err := cid.Decode(strings.TrimSpace(s))
	if err != nil {
		return Ref{}, fmt.Errorf("kith: parse ref %.80q: not a CID: %w", s, Invalid)
	}
	if c.Type() == uint64(Pending) {
		r, err := RefOfCID(cid.NewCidV1(uint64(Raw), c.Hash()))
		r.Codec = Pending
		return r, err
	}
	return RefOfCID(c)
}

// RefOfCID returns c as a Ref, or an Invalid error if it is of another kind: a digest other than BLAKE3-256, a codec other than raw and dag-cbor.
func RefOfCID(c cid.Cid) (Ref, error) {
	mh, err := multihash.Decode(c.Hash())
	switch {
	case err != nil:
		return Ref{}, fmt.Errorf("kith: ref %v: %w", c, Invalid)
	case mh.Code != multihash.BLAKE3 || mh.Length != RefSize:
		return Ref{}, fmt.Errorf("kith: ref %v: digest is %s, want blake3 of 256 bits: %w", c, mh.Name, Invalid)
	case c.Type() != uint64(Raw) && c.Type() != uint64(Manifest):
		return Ref{}, fmt.Errorf("kith: ref %v: codec %#x, want raw or dag-cbor: %w", c, c.Type(), Invalid)
	}
	r := Ref{Codec: Codec(c.Type())}
	copy(r.Sum[:], mh.Digest)
	return r, nil
}
