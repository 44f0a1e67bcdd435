package identity

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
)

const (
	// MaxList is the most bytes that a list of devices may have: one that fits into a record of the overlay.
	MaxList = 1500

	// MaxDevices is how many devices a person may have at once.
	MaxDevices = 32

	listVersion = 1
	listPrefix  = "kith device list\x00" // what is signed begins so, and nothing else that a master key signs does
	lastSerial  = 1 << 61
	// SerialStep is by how much the serials of two lists of one person differ at least.
	SerialStep = 64
)

// A List is what a person's master key says of all their devices: which there are, and which no longer act for them.
type List struct {
	Master  ed25519.PublicKey
	Serial  uint64       // milliseconds since 1970 when it was signed, or more; a later list has a greater one
	Devices []Listed     // in the order of their keys
	Revoked []Revocation // in the order of their names

	encoded []byte
}

// A Listed device acts for the person, unless it is revoked at the same time or later.
type Listed struct {
	Device peer.ID // of an Ed25519 key
	Name   string
	Issued time.Time // to the second
}

// A Revocation says that a device no longer acts for the person: whatever was issued for it until then is void.
type Revocation struct {
	Device Short
	At     time.Time // to the second
}

// A Short names a device that is known, in few bytes: the first half of the SHA-256 of its peer id.
type Short [16]byte

// ShortOf returns the short name of a device.
func ShortOf(id peer.ID) Short {
	sum := sha256.Sum256([]byte(id))
	return Short(sum[:16])
}

// listBody is what is signed, behind listPrefix, in core deterministic CBOR.
type listBody struct {
	Version uint64           `cbor:"1,keyasint"`
	Master  []byte           `cbor:"2,keyasint"`
	Serial  uint64           `cbor:"3,keyasint"`
	Devices []listDevice     `cbor:"4,keyasint"`
	Revoked []listRevocation `cbor:"5,keyasint"`
}

type listDevice struct {
	_      struct{} `cbor:",toarray"`
	Key    []byte   // Ed25519, 32 bytes
	Name   string
	Issued int64 // seconds since 1970, UTC
}

type listRevocation struct {
	_      struct{} `cbor:",toarray"`
	Device []byte   // Short
	At     int64    // seconds since 1970, UTC
}

var listDec = must(cbor.DecOptions{
	DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
	ExtraReturnErrors: cbor.ExtraDecErrorUnknownField, MaxNestedLevels: 4, MaxMapPairs: 16, MaxArrayElements: 128,
}.DecMode())

// signList makes a list. It is TooLarge if there is too much on it.
func signList(master ed25519.PrivateKey, serial uint64, devices []Listed, revoked []Revocation) (List, error) {
	b := listBody{listVersion, master.Public().(ed25519.PublicKey), serial, []listDevice{}, []listRevocation{}}
	for _, d := range devices {
		key, err := rawKey(d.Device)
		if err != nil {
			return List{}, err
		}
		b.Devices = append(b.Devices, listDevice{Key: key, Name: d.Name, Issued: d.Issued.Unix()})
	}
	for _, r := range revoked {
		b.Revoked = append(b.Revoked, listRevocation{Device: r.Device[:], At: r.At.Unix()})
	}
	slices.SortFunc(b.Devices, func(x, y listDevice) int { return bytes.Compare(x.Key, y.Key) })
	slices.SortFunc(b.Revoked, func(x, y listRevocation) int { return bytes.Compare(x.Device, y.Device) })
	body, err := certEnc.Marshal(b)
	if err != nil {
		return List{}, err
	}
	encoded, err := certEnc.Marshal(certWire{body, ed25519.Sign(master, append([]byte(listPrefix), body...))})
	if err != nil {
		return List{}, err
	}
	return ParseList(encoded)
}

func rawKey(id peer.ID) ([]byte, error) {
	pub, err := id.ExtractPublicKey()
	if err != nil || pub.Type() != crypto.Ed25519 {
		return nil, fmt.Errorf("the peer id of a device holds no Ed25519 key: %w", kith.Invalid)
	}
	return pub.Raw()
}

// ParseList reads and verifies a list. Its error is Corrupt, or TooLarge.
func ParseList(data []byte) (List, error) {
	l, err := parseList(data)
	if err != nil {
		return List{}, fmt.Errorf("identity: parse list of devices: %w", err)
	}
	return l, nil
}

func parseList(data []byte) (List, error) {
	if len(data) > MaxList {
		return List{}, kith.Hint(fmt.Errorf("%d bytes, at most %d: %w", len(data), MaxList, kith.TooLarge), "shorter names of devices make room: kith id rename OLD NEW")
	}
	var w certWire
	var b listBody
	if err := listDec.Unmarshal(data, &w); err != nil {
		return List{}, fmt.Errorf("%w: %v", kith.Corrupt, err)
	}
	if err := listDec.Unmarshal(w.Body, &b); err != nil {
		return List{}, fmt.Errorf("%w: %v", kith.Corrupt, err)
	}
	if b.Version != listVersion {
		return List{}, kith.Hint(fmt.Errorf("version %d, this program knows %d: %w", b.Version, listVersion, kith.Corrupt), "update kith")
	}
	if body, err := certEnc.Marshal(b); err != nil || !bytes.Equal(body, w.Body) {
		return List{}, fmt.Errorf("the encoding is not deterministic: %w", kith.Corrupt)
	}
	if all, err := certEnc.Marshal(w); err != nil || !bytes.Equal(all, data) {
		return List{}, fmt.Errorf("the encoding is not deterministic: %w", kith.Corrupt)
	}
	if len(b.Master) != ed25519.PublicKeySize || !ed25519.Verify(b.Master, append([]byte(listPrefix), w.Body...), w.Signature) {
		return List{}, fmt.Errorf("the signature is wrong: %w", kith.Corrupt)
	}
	if b.Serial > lastSerial || len(b.Devices) > MaxDevices {
		return List{}, fmt.Errorf("serial %d, %d devices, at most %d: %w", b.Serial, len(b.Devices), MaxDevices, kith.Corrupt)
	}
	return b.list(data)
}

// list checks what stands in the body, whose signature is right.
func (b listBody) list(data []byte) (List, error) {
	l := List{Master: b.Master, Serial: b.Serial, encoded: bytes.Clone(data)}
	for n, d := range b.Devices {
		if n > 0 && bytes.Compare(b.Devices[n-1].Key, d.Key) >= 0 {
			return List{}, fmt.Errorf("its devices are not in order: %w", kith.Corrupt)
		}
		pub, err := crypto.UnmarshalEd25519PublicKey(d.Key)
		if err != nil {
			return List{}, fmt.Errorf("the key of a device is malformed: %w", kith.Corrupt)
		}
		id, err := peer.IDFromPublicKey(pub)
		if err != nil || d.Name != cleanName(d.Name, maxDeviceName) || d.Issued < 0 || d.Issued > lastSerial/1000 {
			return List{}, fmt.Errorf("a device on it is malformed: %w", kith.Corrupt)
		}
		l.Devices = append(l.Devices, Listed{id, d.Name, time.Unix(d.Issued, 0).UTC()})
	}
	for n, r := range b.Revoked {
		if len(r.Device) != len(Short{}) || n > 0 && bytes.Compare(b.Revoked[n-1].Device, r.Device) >= 0 || r.At < 0 || r.At > lastSerial/1000 {
			return List{}, fmt.Errorf("a revocation on it is malformed: %w", kith.Corrupt)
		}
		l.Revoked = append(l.Revoked, Revocation{Short(r.Device), time.Unix(r.At, 0).UTC()})
	}
	return l, nil
}

// Bytes returns the list as it is stored and sent; nil for the zero List.
func (l List) Bytes() []byte { return bytes.Clone(l.encoded) }

// IsZero reports whether it is no list.
func (l List) IsZero() bool { return l.encoded == nil }

// newer reports whether l is to be shown to others rather than o.
func (l List) newer(o List) bool {
	return cmp.Or(cmp.Compare(l.Serial, o.Serial), bytes.Compare(l.encoded, o.encoded)) > 0
}
