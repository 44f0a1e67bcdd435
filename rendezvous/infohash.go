package rendezvous

import (
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
)

// An Infohash is a place on the mainline DHT: 20 bytes (BEP 5).
type Infohash [20]byte

// Public returns where the nodes of a network meet on a day of UTC: the first 20 bytes of a SHA2-256. Each day has another place, so that nobody can sit
// at it for good.
func Public(network string, day time.Time) (h Infohash) {
	sum := sha256.Sum256([]byte("kith mainline\x00" + network + "\x00" + day.UTC().Format(time.DateOnly)))
	copy(h[:], sum[:])
	return h
}

// Meeting returns where the device there says to the device of own where it is, on a day of UTC; or, if tell, where own says so to it. Only the two can
// compute it: it is made of what X25519 (RFC 7748) gives of both devices' Ed25519 keys. Its error is Invalid if there's id holds no Ed25519 key.
func Meeting(own crypto.PrivKey, there peer.ID, tell bool, network string, day time.Time) (h Infohash, err error) {
	shared, err := agree(own, there)
	if err != nil {
		return h, fmt.Errorf("rendezvous: meet %s: %w", there, err)
	}
	from := there
	if tell {
		if from, err = peer.IDFromPrivateKey(own); err != nil {
			return h, fmt.Errorf("rendezvous: %w", err)
		}
	}
	info := "kith mainline meeting\x00" + network + "\x00" + string(from) + "\x00" + day.UTC().Format(time.DateOnly)
	key, err := hkdf.Key(sha256.New, shared, nil, info, len(h))
	if err != nil {
		return h, fmt.Errorf("rendezvous: %w", err)
	}
	copy(h[:], key)
	return h, nil
}

// agree is X25519 between two Ed25519 keys.
func agree(own crypto.PrivKey, there peer.ID) ([]byte, error) {
	pub, err := there.ExtractPublicKey()
	if err != nil || own.Type() != crypto.Ed25519 || pub.Type() != crypto.Ed25519 {
		return nil, fmt.Errorf("no Ed25519 keys: %w", kith.Invalid)
	}
	seed, err := own.Raw()
	if err != nil {
		return nil, err
	}
	point, err := pub.Raw()
	if err != nil {
		return nil, err
	}
	sum := sha512.Sum512(seed[:32]) // RFC 8032, 5.1.5: its first half is the scalar
	scalar, err := ecdh.X25519().NewPrivateKey(sum[:32])
	if err != nil {
		return nil, err
	}
	u, err := ecdh.X25519().NewPublicKey(montgomery(point))
	if err != nil {
		return nil, err
	}
	shared, err := scalar.ECDH(u)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, kith.Invalid) // a key of small order
	}
	return shared, nil
}

var fieldPrime = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))

// montgomery returns the u coordinate on Curve25519 of a point on Ed25519: (1+y)/(1-y) (RFC 7748, 4.1). Nothing in it is secret.
func montgomery(point []byte) []byte {
	raw := slices.Clone(point)
	slices.Reverse(raw)
	raw[0] &= 0x7f // the sign of x
	y, one := new(big.Int).SetBytes(raw), big.NewInt(1)
	below := new(big.Int).Sub(one, y)
	below.Mod(below, fieldPrime)
	u := new(big.Int)
	if below.Sign() != 0 {
		u.Mul(new(big.Int).Add(one, y), below.ModInverse(below, fieldPrime))
		u.Mod(u, fieldPrime)
	}
	out := u.FillBytes(make([]byte, 32))
	slices.Reverse(out)
	return out
}

// around returns the days of UTC on which others may think that it is: today first, then yesterday and tomorrow.
func around(now time.Time) []time.Time {
	return []time.Time{now, now.AddDate(0, 0, -1), now.AddDate(0, 0, 1)}
}

// near returns the days of UTC within drift of now: almost always one.
func near(now time.Time) []time.Time {
	days := []time.Time{now}
	for _, t := range []time.Time{now.Add(-drift), now.Add(drift)} {
		if t.UTC().Format(time.DateOnly) != now.UTC().Format(time.DateOnly) {
			days = append(days, t)
		}
	}
	return days
}
