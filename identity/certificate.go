package identity

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multibase"

	"kith"
)

const (
	// MaxCertificate is the most bytes that a certificate may have.
	MaxCertificate = 512

	certVersion   = 1
	certPrefix    = "kith device certificate\x00" // what is signed begins so, and nothing else that a master key signs does
	maxDeviceName = 64                            // bytes
)

// A Certificate says that a device acts for a person. It has no end: a device that is lost is revoked, and a clock that is off locks
// nobody out.
type Certificate struct {
	Master ed25519.PublicKey // the person
	Device peer.ID           // an Ed25519 key, written out in the id
	Name   string            // of the device, at most 64 bytes
	Issued time.Time         // to the second, by the clock of who signed; not proven

	encoded []byte
}

// certBody is what is signed, behind certPrefix, in core deterministic CBOR (RFC 8949, section 4.2.1).
type certBody struct {
	Version uint64 `cbor:"1,keyasint"`
	Master  []byte `cbor:"2,keyasint"`
	Device  []byte `cbor:"3,keyasint"`
	Name    string `cbor:"4,keyasint"`
	Issued  int64  `cbor:"5,keyasint"` // seconds since 1970, UTC
}

// certWire is a certificate as it is stored and sent.
type certWire struct {
	Body      cbor.RawMessage `cbor:"1,keyasint"`
	Signature []byte          `cbor:"2,keyasint"`
}

var (
	certEnc = must(cbor.CoreDetEncOptions().EncMode())
	certDec = must(cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField, MaxNestedLevels: 4, MaxMapPairs: 16, MaxArrayElements: 16,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil { // only if the options above contradict each other
		panic(err)
	}
	return v
}

// sign makes the certificate of a device.
func sign(master ed25519.PrivateKey, device peer.ID, name string, issued time.Time) (Certificate, error) {
	body, err := certEnc.Marshal(certBody{certVersion, master.Public().(ed25519.PublicKey), []byte(device), name, issued.Unix()})
	if err != nil {
		return Certificate{}, err
	}
	encoded, err := certEnc.Marshal(certWire{body, ed25519.Sign(master, append([]byte(certPrefix), body...))})
	if err != nil {
		return Certificate{}, err
	}
	return ParseCertificate(encoded)
}

// ParseCertificate reads and verifies a certificate. Its error is Corrupt, or TooLarge.
func ParseCertificate(data []byte) (Certificate, error) {
	c, err := parseCertificate(data)
	if err != nil {
		return Certificate{}, fmt.Errorf("identity: parse certificate: %w", err)
	}
	return c, nil
}

func parseCertificate(data []byte) (Certificate, error) {
	if len(data) > MaxCertificate {
		return Certificate{}, fmt.Errorf("%d bytes, at most %d: %w", len(data), MaxCertificate, kith.TooLarge)
	}
	var w certWire
	var b certBody
	if err := certDec.Unmarshal(data, &w); err != nil {
		return Certificate{}, fmt.Errorf("%w: %v", kith.Corrupt, err)
	}
	if err := certDec.Unmarshal(w.Body, &b); err != nil {
		return Certificate{}, fmt.Errorf("%w: %v", kith.Corrupt, err)
	}
	if b.Version != certVersion {
		return Certificate{}, kith.Hint(fmt.Errorf("version %d, this program knows %d: %w", b.Version, certVersion, kith.Corrupt), "update kith")
	}
	if body, err := certEnc.Marshal(b); err != nil || !bytes.Equal(body, w.Body) {
		return Certificate{}, fmt.Errorf("the encoding is not deterministic: %w", kith.Corrupt)
	}
	if all, err := certEnc.Marshal(w); err != nil || !bytes.Equal(all, data) {
		return Certificate{}, fmt.Errorf("the encoding is not deterministic: %w", kith.Corrupt)
	}
	if len(b.Master) != ed25519.PublicKeySize || !ed25519.Verify(b.Master, append([]byte(certPrefix), w.Body...), w.Signature) {
		return Certificate{}, fmt.Errorf("the signature is wrong: %w", kith.Corrupt)
	}
	device, err := deviceID(b.Device)
	if err != nil {
		return Certificate{}, err
	}
	if b.Name != cleanName(b.Name, maxDeviceName) {
		return Certificate{}, fmt.Errorf("the device's name is too long or cannot be shown: %w", kith.Corrupt)
	}
	return Certificate{Master: b.Master, Device: device, Name: b.Name, Issued: time.Unix(b.Issued, 0).UTC(), encoded: bytes.Clone(data)}, nil
}

// deviceID returns raw as the peer id of an Ed25519 key.
func deviceID(raw []byte) (peer.ID, error) {
	id, err := peer.IDFromBytes(raw)
	if err != nil {
		return "", fmt.Errorf("the device's peer id is malformed: %w", kith.Corrupt)
	}
	if pub, err := id.ExtractPublicKey(); err != nil || pub.Type() != crypto.Ed25519 {
		return "", fmt.Errorf("the device's peer id holds no Ed25519 key: %w", kith.Corrupt)
	}
	return id, nil
}

// Bytes returns the certificate as it is stored and sent.
func (c Certificate) Bytes() []byte { return bytes.Clone(c.encoded) }

// Person returns the public name of the person who signed: a did:key (W3C CCG, "The did:key Method"), or "" for the zero Certificate.
func (c Certificate) Person() string {
	if c.Master == nil {
		return ""
	}
	const ed25519Pub = "\xed\x01" // multicodec 0xed as a varint
	text, err := multibase.Encode(multibase.Base58BTC, append([]byte(ed25519Pub), c.Master...))
	if err != nil { // cannot be: base58 encodes everything
		return ""
	}
	return "did:key:" + text
}

// cleanName returns s with what cannot be shown taken out, cut to max bytes.
func cleanName(s string, max int) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	for len(s) > max {
		_, n := utf8.DecodeLastRuneInString(s)
		s = strings.TrimSpace(s[:len(s)-n])
	}
	return s
}
