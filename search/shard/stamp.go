package shard

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/search/filter"
	"kith/search/sets"
	"kith/wire"
)

const (
	version    = 1
	signPrefix = "kith filter\x00" // what is signed begins so, and nothing else that a device's key signs does
	maxStamp   = 256               // bytes of a stamp
	lastMilli  = 1 << 50           // milliseconds since 1970

	// clockTolerance is by how much the clocks of two computers may differ.
	clockTolerance = 24 * time.Hour
)

// A stamp is what a device says of its filter: that it held at a time.
type stamp struct {
	device peer.ID
	at     time.Time // to the millisecond, by its clock
	digest digest    // of the filter, as it is sent
	count  uint32    // publications of the device
}

// A digest is the first half of a SHA-256.
type digest [16]byte

func digestOf(data []byte) digest {
	sum := sha256.Sum256(data)
	return digest(sum[:])
}

// body is what is signed, behind signPrefix.
type body struct {
	Version uint64 `cbor:"1,keyasint"`
	Key     []byte `cbor:"2,keyasint"` // Ed25519 public key
	At      uint64 `cbor:"3,keyasint"` // milliseconds since 1970, UTC
	Filter  []byte `cbor:"4,keyasint"` // its digest
	Count   uint32 `cbor:"5,keyasint"`
}

// signed is a stamp as it is kept and sent.
type signed struct {
	Body      []byte `cbor:"1,keyasint"`
	Signature []byte `cbor:"2,keyasint"`
}

// seal signs a stamp with the key of the device, which s need not say.
func seal(key crypto.PrivKey, s stamp) ([]byte, error) {
	pub, err := key.GetPublic().Raw()
	if err != nil {
		return nil, err
	}
	data, err := wire.Marshal(body{version, pub, uint64(s.at.UnixMilli()), s.digest[:], s.count})
	if err != nil {
		return nil, err
	}
	signature, err := key.Sign(append([]byte(signPrefix), data...))
	if err != nil {
		return nil, err
	}
	return wire.Marshal(signed{data, signature})
}

// parse verifies and reads a stamp. Its error is Corrupt.
func parse(value []byte) (stamp, error) {
	bad := func(why string) (stamp, error) {
		return stamp{}, fmt.Errorf("shard: a stamp: %s: %w", why, kith.Corrupt)
	}
	var s signed
	var b body
	if len(value) > maxStamp {
		return bad("it is too long")
	}
	if wire.Unmarshal(value, &s) != nil || wire.Unmarshal(s.Body, &b) != nil || b.Version != version || len(b.Filter) != len(digest{}) || b.At > lastMilli {
		return bad("it makes no sense")
	}
	for _, x := range []struct {
		v    any
		data []byte
	}{{b, s.Body}, {s, value}} {
		if data, err := wire.Marshal(x.v); err != nil || !bytes.Equal(data, x.data) { // or others could make more of one
			return bad("the encoding is not deterministic")
		}
	}
	key, err := crypto.UnmarshalEd25519PublicKey(b.Key)
	if err != nil {
		return bad("its key is none")
	}
	if ok, err := key.Verify(append([]byte(signPrefix), s.Body...), s.Signature); err != nil || !ok {
		return bad("the signature is wrong")
	}
	device, err := peer.IDFromPublicKey(key)
	if err != nil {
		return bad("its key is none")
	}
	return stamp{device, time.UnixMilli(int64(b.At)).UTC(), digest(b.Filter), b.Count}, nil
}

// idOf returns the ID of a stamp as it is sent.
func idOf(value []byte) sets.ID { return sets.ID(digestOf(value)) }

// filterOf reads a filter that a stamp is of. Its error is Corrupt.
func filterOf(data []byte, want digest) (*filter.Filter, error) {
	if digestOf(data) != want {
		return nil, fmt.Errorf("shard: a filter is not the one that is stamped: %w", kith.Corrupt)
	}
	f, err := filter.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("shard: %v: %w", err, kith.Corrupt)
	}
	return f, nil
}

// place returns where a device is: digits of it say to which shard it belongs. It is the place that it has in overlays.
func place(p peer.ID) [sha256.Size]byte { return sha256.Sum256([]byte(p)) }

// digits returns the first bits of a place, as a number.
func digits(p peer.ID, bits uint8) uint32 {
	at := place(p)
	n := uint32(at[0])<<24 | uint32(at[1])<<16 | uint32(at[2])<<8 | uint32(at[3])
	return uint32(uint64(n) >> (32 - bits))
}
