package people

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"kith"
	"kith/identity"
	"kith/internal/plain"
	"kith/record"
	"kith/wire"
)

// Limits of a card.
const (
	maxCard    = 32 << 10 // bytes
	maxDevices = 32       // of one person
	maxAddrs   = 16       // of one device
)

const (
	cardVersion = 1
	cardPrefix  = "kith card\x00" // what a device signs begins so
)

// A card is what a device tells contacts of its person: who that is, how they are called, which devices are theirs. The device signs it; who the device
// acts for, the certificate of the master key says.
type card struct {
	serial  uint64                 // grows with each change of this device's card
	name    string                 // as they call themselves; "" if they do not say
	picture []byte                 // SHA-256 of their picture; nil: none
	certs   []identity.Certificate // of the person's devices, all by one master key; the first is of the device that signed
	addrs   []ma.Multiaddr         // of that device, without /p2p
	ticket  record.Ticket          // of the record that says where it is; zero: it has none
	list    identity.List          // the newest of the person's devices that this one has; zero: none
	listAt  record.Ticket          // of the record that holds the newest list; zero: there is none

	encoded []byte
}

type cardBody struct {
	Version uint64   `cbor:"1,keyasint"`
	Serial  uint64   `cbor:"2,keyasint"`
	Name    string   `cbor:"3,keyasint"`
	Picture []byte   `cbor:"4,keyasint,omitempty"`
	Certs   [][]byte `cbor:"5,keyasint"`
	Addrs   [][]byte `cbor:"6,keyasint"`
	Ticket  []byte   `cbor:"7,keyasint,omitempty"`
	List    []byte   `cbor:"8,keyasint,omitempty"`
	ListAt  []byte   `cbor:"9,keyasint,omitempty"`
}

type cardWire struct {
	Body      cbor.RawMessage `cbor:"1,keyasint"`
	Signature []byte          `cbor:"2,keyasint"`
}

// errOld is that a newer card of the device has been seen.
var errOld = errors.New("it is older")

// person returns the person's master public key.
func (c card) person() []byte { return c.certs[0].Master }

// device returns the peer id of who signed.
func (c card) device() peer.ID { return c.certs[0].Device }

// body returns what is signed.
func (c card) body() ([]byte, error) {
	b := cardBody{Version: cardVersion, Serial: c.serial, Name: c.name, Picture: c.picture, Certs: [][]byte{}, Addrs: [][]byte{}}
	for _, cert := range c.certs {
		b.Certs = append(b.Certs, cert.Bytes())
	}
	for _, a := range c.addrs {
		b.Addrs = append(b.Addrs, a.Bytes())
	}
	if c.ticket != (record.Ticket{}) {
		b.Ticket = c.ticket.Bytes()
	}
	b.List = c.list.Bytes()
	if c.listAt != (record.Ticket{}) {
		b.ListAt = c.listAt.Bytes()
	}
	return wire.Marshal(b)
}

// sign returns the card as it is sent.
func (c card) sign(key crypto.PrivKey) (card, error) {
	body, err := c.body()
	if err != nil {
		return c, err
	}
	signature, err := key.Sign(append([]byte(cardPrefix), body...))
	if err != nil {
		return c, err
	}
	c.encoded, err = wire.Marshal(cardWire{body, signature})
	return c, err
}

// readAnyCard reads a card that somebody else has kept, and verifies it: it is of the device that its first certificate names.
func readAnyCard(data []byte) (card, error) {
	var w cardWire
	var b cardBody
	if len(data) > maxCard {
		return card{}, fmt.Errorf("people: card: %d bytes, at most %d: %w", len(data), maxCard, kith.TooLarge)
	}
	if err := wire.Unmarshal(data, &w); err != nil {
		return card{}, err
	}
	if err := wire.Unmarshal(w.Body, &b); err != nil {
		return card{}, err
	}
	if len(b.Certs) == 0 {
		return card{}, fmt.Errorf("people: card: no certificate: %w", kith.Invalid)
	}
	cert, err := identity.ParseCertificate(b.Certs[0])
	if err != nil {
		return card{}, err
	}
	return parseCard(data, cert.Device)
}

// parseCard reads a card and verifies it: its signature, its certificates, and that it is from's own. Its error is Invalid, Corrupt or TooLarge.
func parseCard(data []byte, from peer.ID) (card, error) {
	c, err := readCard(data, from)
	if err != nil {
		return card{}, fmt.Errorf("people: card of %s: %w", from, err)
	}
	return c, nil
}

func readCard(data []byte, from peer.ID) (card, error) {
	var w cardWire
	var b cardBody
	if len(data) > maxCard {
		return card{}, fmt.Errorf("%d bytes, at most %d: %w", len(data), maxCard, kith.TooLarge)
	}
	if err := wire.Unmarshal(data, &w); err != nil {
		return card{}, err
	}
	if err := wire.Unmarshal(w.Body, &b); err != nil {
		return card{}, err
	}
	key, err := from.ExtractPublicKey()
	if err != nil {
		return card{}, fmt.Errorf("the peer id holds no key: %w", kith.Corrupt)
	}
	if ok, err := key.Verify(append([]byte(cardPrefix), w.Body...), w.Signature); err != nil || !ok {
		return card{}, fmt.Errorf("the signature is wrong: %w", kith.Corrupt)
	}
	switch {
	case b.Version != cardVersion:
		return card{}, kith.Hint(fmt.Errorf("version %d, this program knows %d: %w", b.Version, cardVersion, kith.Invalid), "update kith")
	case b.Serial > 1<<62:
		return card{}, fmt.Errorf("serial out of range: %w", kith.Invalid)
	case len(b.Name) > identity.MaxName || !utf8.ValidString(b.Name) || b.Name != plain.Text(b.Name):
		return card{}, fmt.Errorf("the name is too long or cannot be shown: %w", kith.Invalid)
	case b.Picture != nil && len(b.Picture) != sha256.Size:
		return card{}, fmt.Errorf("the picture's digest has %d bytes: %w", len(b.Picture), kith.Invalid)
	case len(b.Certs) == 0 || len(b.Certs) > maxDevices || len(b.Addrs) > maxAddrs:
		return card{}, fmt.Errorf("%d devices and %d addresses: %w", len(b.Certs), len(b.Addrs), kith.TooLarge)
	}
	c := card{serial: b.Serial, name: b.Name, picture: b.Picture, encoded: data}
	for _, raw := range b.Certs {
		cert, err := identity.ParseCertificate(raw)
		if err != nil {
			return card{}, err
		}
		if len(c.certs) > 0 && !bytes.Equal(cert.Master, c.person()) {
			return card{}, fmt.Errorf("its certificates are of different people: %w", kith.Corrupt)
		}
		c.certs = append(c.certs, cert)
	}
	if c.device() != from {
		return card{}, fmt.Errorf("its certificate is for another device: %w", kith.Corrupt)
	}
	for _, raw := range b.Addrs {
		a, err := ma.NewMultiaddrBytes(raw)
		if err != nil {
			return card{}, fmt.Errorf("an address in it is malformed: %w", kith.Invalid)
		}
		c.addrs = append(c.addrs, a)
	}
	if b.Ticket != nil {
		if c.ticket, err = record.ParseTicket(b.Ticket); err != nil {
			return card{}, err
		}
	}
	if b.List != nil {
		if c.list, err = identity.ParseList(b.List); err != nil {
			return card{}, err
		}
		if !bytes.Equal(c.list.Master, c.person()) {
			return card{}, fmt.Errorf("its list of devices is another person's: %w", kith.Corrupt)
		}
	}
	if b.ListAt != nil {
		if c.listAt, err = record.ParseTicket(b.ListAt); err != nil {
			return card{}, err
		}
	}
	return c, nil
}
