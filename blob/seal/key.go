package seal

import (
	"crypto/rand"
	"fmt"
	"strings"

	"filippo.io/age"
)

// A Key is the X25519 scalar of an age identity: who has it opens every file that is sealed for it. It is what stands
// behind the
// # of a link.
type Key [32]byte

// NewKey returns a fresh Key.
func NewKey() (k Key) {
	rand.Read(k[:]) // never fails
	return k
}

// Identity returns k as age writes it, AGE-SECRET-KEY-1…, which is what `age --decrypt --identity` reads.
func (k Key) Identity() string { return strings.ToUpper(bech32("age-secret-key-", k[:])) }

// String keeps keys out of logs.
func (k Key) String() string { return "seal.Key(…)" }

// GoString keeps keys out of logs.
func (k Key) GoString() string { return k.String() }

func (k Key) identity() (*age.X25519Identity, error) {
	id, err := age.ParseX25519Identity(k.Identity())
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	return id, nil
}

// bech32 encodes data as BIP 173 does, but for its limit on the length.
func bech32(prefix string, data []byte) string {
	const charset = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
	var values []byte // of five bits
	var acc, n uint
	for _, b := range data {
		acc, n = acc<<8|uint(b), n+8
		for ; n >= 5; n -= 5 {
			values = append(values, byte(acc>>(n-5)&31))
		}
	}
	if n > 0 {
		values = append(values, byte(acc<<(5-n)&31))
	}

	check := uint32(1)
	step := func(v byte) {
		top := check >> 25
		check = check&(1<<25-1)<<5 ^ uint32(v)
		for i, g := range [...]uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3} {
			if top>>i&1 == 1 {
				check ^= g
			}
		}
	}
	for _, c := range []byte(prefix) {
		step(c >> 5)
	}
	step(0)
	for _, c := range []byte(prefix) {
		step(c & 31)
	}
	for _, v := range append(values, 0, 0, 0, 0, 0, 0) {
		step(v)
	}
	check ^= 1
	for i := range 6 {
		values = append(values, byte(check>>(5*(5-i))&31))
	}
	for i, v := range values {
		values[i] = charset[v]
	}
	return prefix + "1" + string(values)
}
