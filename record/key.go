package record

import (
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"

	"kith"
)

const (
	// Namespace is the first part of the keys under which the overlay keeps records.
	Namespace = "kith-record"

	// TicketSize is the length of a Ticket in bytes.
	TicketSize = ed25519.PublicKeySize + secretSize

	secretSize = 32
)

// A Key writes one record. Whoever has it can publish under it.
type Key struct {
	sign   ed25519.PrivateKey
	secret [secretSize]byte
}

// A Ticket finds and reads one record, and cannot write it: the record's public key, and the secret under which it is sealed. It says nothing of who the
// owner is. A zero secret is that of a record which is for all who know its key.
type Ticket struct {
	Key    [ed25519.PublicKeySize]byte
	Secret [secretSize]byte
}

// Derive returns the key of the record that the owner of secret, at least 16 random bytes, keeps for a purpose. Each purpose has another key, and from none
// can another be told, nor the secret. To shut out somebody who has a ticket, change the purpose.
func Derive(secret []byte, purpose string) Key {
	k := Key{sign: ed25519.NewKeyFromSeed(expand(secret, "kith record key\x00"+purpose))}
	copy(k.secret[:], expand(secret, "kith record secret\x00"+purpose))
	return k
}

// ForAll returns the key of the same record, which then everybody can read who knows its public key, those who keep it among them.
func (k Key) ForAll() Key {
	k.secret = [secretSize]byte{}
	return k
}

// Ticket returns what the owner gives to those who are to find the record.
func (k Key) Ticket() Ticket {
	t := Ticket{Secret: k.secret}
	copy(t.Key[:], k.sign.Public().(ed25519.PublicKey))
	return t
}

// ParseTicket reads what Bytes wrote. It is Invalid if it has another length.
func ParseTicket(b []byte) (Ticket, error) {
	var t Ticket
	if len(b) != TicketSize {
		return t, fmt.Errorf("record: ticket of %d bytes, want %d: %w", len(b), TicketSize, kith.Invalid)
	}
	copy(t.Secret[:], b[copy(t.Key[:], b):])
	return t, nil
}

// Bytes returns the public key, then the secret.
func (t Ticket) Bytes() []byte { return append(t.Key[:], t.Secret[:]...) }

// ForAll reports whether the record is not encrypted.
func (t Ticket) ForAll() bool { return t.Secret == [secretSize]byte{} }

// Path returns the key under which the overlay keeps the record: /kith-record/ and the SHA2-256, in hexadecimal, of the public key behind a prefix.
func (t Ticket) Path() string { return pathOf(t.Key[:]) }

func pathOf(key []byte) string {
	sum := sha256.Sum256(append([]byte("kith record path\x00"), key...))
	return "/" + Namespace + "/" + hex.EncodeToString(sum[:])
}

func (t Ticket) aead() cipher.AEAD {
	a, err := chacha20poly1305.NewX(expand(t.Secret[:], "kith record seal"))
	if err != nil {
		panic(err) // the key has the right length
	}
	return a
}

func (t Ticket) nonce(sequence uint64, padded []byte) []byte {
	h := hmac.New(sha256.New, expand(t.Secret[:], "kith record nonce"))
	h.Write(binary.BigEndian.AppendUint64(nil, sequence))
	h.Write(padded)
	return h.Sum(nil)[:chacha20poly1305.NonceSizeX]
}

// expand derives 32 bytes for a purpose: HKDF-SHA256 (RFC 5869) without a salt.
func expand(secret []byte, info string) []byte {
	out, err := hkdf.Key(sha256.New, secret, nil, info, 32)
	if err != nil {
		panic(err) // the length is a constant that HKDF can give
	}
	return out
}

// KeyOf returns the key of the record, for all to read, of a key pair that names something elsewhere too, as an IPNS name does: who knows the name can find the
// record. What is signed for a record begins with a prefix of its own, so that it is no signature of anything else.
func KeyOf(pair ed25519.PrivateKey) Key { return Key{sign: pair} }

// TicketOf returns the ticket to the record that KeyOf's key writes, from the public half. It is Invalid if it has another length.
func TicketOf(public ed25519.PublicKey) (Ticket, error) {
	return ParseTicket(append(append(make([]byte, 0, TicketSize), public...), make([]byte, secretSize)...))
}
