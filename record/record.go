// Package record is signed, versioned, mutable records in the overlay: what a person says of themselves that changes, such as where a
// device can be reached now.
//
// It is no place for content, which never changes under its name (blob), nor for conversations. Its one idea: a record has a key pair of
// its own, made for one purpose, and what leads to it is a Ticket that its owner gives to whom it is for. Whoever keeps the record for the owner
// can check that it is whole and which is newer, and can neither read it, nor tell whose it is, nor find another of the same owner.
//
// Seal, Check and Open are pure. A Store publishes and resolves, and remembers the newest that it saw of each record, so that nobody can give it an older one.
package record

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"kith"
	"kith/wire"
)

// Limits of a record.
const (
	MaxSize    = 2048                // bytes of a record as it is kept by others
	MaxContent = 1600 - lengthPrefix // bytes of what is in it
	MaxLife    = 7 * 24 * time.Hour  // from when it was issued to when it expires

	// ClockTolerance is by how much the clocks of two computers may differ. It is large, so that somebody whose clock is in a wrong time zone is
	// found; what is newer is told by sequence numbers and not by clocks.
	ClockTolerance = 24 * time.Hour
)

const (
	version      = 1
	signPrefix   = "kith record\x00" // what is signed begins so, and nothing else that this key signs does
	lengthPrefix = 2                 // bytes, before the content and its padding
	lastSecond   = 1 << 40           // seconds since 1970 that a record may speak of
	lastSequence = 1 << 62           // so that it fits everywhere, and there is always a next
)

// classes are the sizes to which what is sealed is padded, so that its size tells little.
var classes = [...]int{256, 512, 1024, MaxContent + lengthPrefix}

// A Record is one version of a record.
type Record struct {
	Sequence uint64    // of two versions the one with the higher number is newer; at most 2 to the power of 62
	Issued   time.Time // to the second, by the owner's clock
	Expires  time.Time // to the second
	Content  []byte    // empty: the owner has withdrawn the record
}

// body is what is signed, behind signPrefix.
type body struct {
	Version  uint64 `cbor:"1,keyasint"`
	Key      []byte `cbor:"2,keyasint"`
	Sequence uint64 `cbor:"3,keyasint"`
	Issued   uint64 `cbor:"4,keyasint"` // seconds since 1970, UTC
	Expires  uint64 `cbor:"5,keyasint"`
	Content  []byte `cbor:"6,keyasint"` // nonce and ciphertext; plain if the record is for all
}

// signed is a record as it is kept and sent.
type signed struct {
	Body      []byte `cbor:"1,keyasint"`
	Signature []byte `cbor:"2,keyasint"`
}

// Seal makes the record that k's owner publishes. The same input gives the same bytes. It is TooLarge if there is too much in it, Corrupt if its
// numbers make no sense.
func Seal(k Key, r Record) ([]byte, error) {
	if len(r.Content) > MaxContent {
		return nil, fmt.Errorf("record: seal: %d bytes, at most %d: %w", len(r.Content), MaxContent, kith.TooLarge)
	}
	t := k.Ticket()
	b := body{version, t.Key[:], r.Sequence, uint64(r.Issued.Unix()), uint64(r.Expires.Unix()), r.Content}
	if err := b.checkNumbers(); err != nil {
		return nil, fmt.Errorf("record: seal: %w", err)
	}
	if !t.ForAll() && len(r.Content) > 0 {
		b.Content = t.encrypt(r.Sequence, r.Content)
	}
	data, err := wire.Marshal(b)
	if err != nil {
		return nil, err
	}
	return wire.Marshal(signed{data, ed25519.Sign(k.sign, append([]byte(signPrefix), data...))})
}

// Check verifies what stands under path, a Ticket's Path, as far as somebody can who has no ticket: form, size, key, signature and, at the
// time now, when it was issued and when it expires. It returns all but the content. Its errors are TooLarge, Corrupt, and, of a record that is otherwise good,
// Gone if it has expired and Unavailable if it is from the future.
func Check(path string, value []byte, now time.Time) (Record, error) {
	b, err := check(path, value, now)
	if err != nil {
		return Record{}, fmt.Errorf("record: check: %w", err)
	}
	return b.record(), nil
}

// Open checks a record as Check does, and reads it with the ticket. It is Corrupt if the ticket is not for what is in it.
func Open(t Ticket, value []byte, now time.Time) (Record, error) {
	b, err := check(t.Path(), value, now)
	if err != nil {
		return Record{}, fmt.Errorf("record: open: %w", err)
	}
	r := b.record()
	r.Content = b.Content
	if !t.ForAll() && len(b.Content) > 0 {
		if r.Content, err = t.decrypt(b.Content); err != nil {
			return Record{}, fmt.Errorf("record: open: %w", err)
		}
	}
	return r, nil
}

func check(path string, value []byte, now time.Time) (body, error) {
	b, err := parse(value)
	switch {
	case err != nil:
		return body{}, err
	case pathOf(b.Key) != path:
		return body{}, fmt.Errorf("it is the record of another key: %w", kith.Corrupt)
	}
	issued, expires := time.Unix(int64(b.Issued), 0).UTC(), time.Unix(int64(b.Expires), 0).UTC()
	switch {
	case issued.After(now.Add(ClockTolerance)):
		return body{}, offClock(fmt.Sprintf("it was issued on %s", issued.Format(time.DateOnly)), now, kith.Unavailable)
	case now.After(expires.Add(ClockTolerance)):
		return body{}, offClock(fmt.Sprintf("it expired on %s", expires.Format(time.DateOnly)), now, kith.Gone)
	}
	return b, nil
}

// offClock is the error of a record that is good but for its times.
func offClock(what string, now time.Time, k kith.Kind) error {
	return kith.Hint(fmt.Errorf("%s, and this computer's clock says %s: %w", what, now.UTC().Format(time.DateOnly), k),
		"check the clock here; if it is right, theirs was wrong or they have not been online since")
}

// parse takes value apart and verifies all but the times against a clock.
func parse(value []byte) (body, error) {
	var s signed
	var b body
	if len(value) > MaxSize {
		return b, fmt.Errorf("%d bytes, at most %d: %w", len(value), MaxSize, kith.TooLarge)
	}
	if err := wire.Unmarshal(value, &s); err != nil {
		return b, fmt.Errorf("%v: %w", err, kith.Corrupt)
	}
	if err := wire.Unmarshal(s.Body, &b); err != nil {
		return b, fmt.Errorf("%v: %w", err, kith.Corrupt)
	}
	if b.Version != version {
		return b, kith.Hint(fmt.Errorf("version %d, this program knows %d: %w", b.Version, version, kith.Corrupt), "update kith")
	}
	if data, err := wire.Marshal(b); err != nil || !bytes.Equal(data, s.Body) {
		return b, fmt.Errorf("the encoding is not deterministic: %w", kith.Corrupt)
	}
	if data, err := wire.Marshal(s); err != nil || !bytes.Equal(data, value) { // or others could make more of one
		return b, fmt.Errorf("the encoding is not deterministic: %w", kith.Corrupt)
	}
	if len(b.Key) != ed25519.PublicKeySize || !ed25519.Verify(b.Key, append([]byte(signPrefix), s.Body...), s.Signature) {
		return b, fmt.Errorf("the signature is wrong: %w", kith.Corrupt)
	}
	return b, b.checkNumbers()
}

func (b body) checkNumbers() error {
	if b.Sequence > lastSequence {
		return fmt.Errorf("sequence number %d, at most %d: %w", b.Sequence, uint64(lastSequence), kith.Corrupt)
	}
	if b.Issued > lastSecond || b.Expires > lastSecond || b.Expires <= b.Issued || b.Expires-b.Issued > uint64(MaxLife/time.Second) {
		return fmt.Errorf("it must expire after it was issued, within %v: %w", MaxLife, kith.Corrupt)
	}
	return nil
}

func (b body) record() Record {
	return Record{Sequence: b.Sequence, Issued: time.Unix(int64(b.Issued), 0).UTC(), Expires: time.Unix(int64(b.Expires), 0).UTC()}
}

// encrypt returns nonce and ciphertext of content, padded to the next class: XChaCha20-Poly1305. The nonce is computed from what is encrypted, so that nothing
// need be remembered or drawn, and two versions never share one.
func (t Ticket) encrypt(sequence uint64, content []byte) []byte {
	size := len(content) + lengthPrefix
	for _, c := range classes {
		if size <= c {
			size = c
			break
		}
	}
	padded := make([]byte, lengthPrefix, size)
	binary.BigEndian.PutUint16(padded, uint16(len(content)))
	padded = append(padded, content...)[:size]
	nonce := t.nonce(sequence, padded)
	return t.aead().Seal(nonce, nonce, padded, t.Key[:])
}

func (t Ticket) decrypt(sealed []byte) ([]byte, error) {
	const nonce = chacha20poly1305.NonceSizeX
	if len(sealed) < nonce {
		return nil, fmt.Errorf("what is in it is cut short: %w", kith.Corrupt)
	}
	padded, err := t.aead().Open(nil, sealed[:nonce], sealed[nonce:], t.Key[:])
	if err != nil {
		return nil, fmt.Errorf("this ticket does not open it: %w", kith.Corrupt)
	}
	if len(padded) < lengthPrefix || int(binary.BigEndian.Uint16(padded)) > len(padded)-lengthPrefix {
		return nil, fmt.Errorf("what is in it is cut short: %w", kith.Corrupt)
	}
	return padded[lengthPrefix:][:binary.BigEndian.Uint16(padded)], nil
}
