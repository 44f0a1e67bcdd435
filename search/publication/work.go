package publication

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"

	"github.com/libp2p/go-libp2p/core/crypto"

	"kith/wire"
)

// MinWork is the work, in bits, without which nobody keeps what a stranger publishes: 262,144 digests on average, 25 ms of one core that has instructions for SHA-256.
const MinWork = 18

const (
	workPrefix = "kith work\x00" // what is hashed as work begins so
	nonceKey   = 30              // of a body
)

// A work is what is hashed: the prefix, the SHA-256 of the body without its nonce, and the nonce, together one block of SHA-256.
type work [len(workPrefix) + sha256.Size + 8]byte

// workOf returns the work of a body. All that it says is part of it, also what this program does not know.
func workOf(data []byte) (w work, err error) {
	var said map[any]any
	if err := wire.Unmarshal(data, &said); err != nil {
		return w, err
	}
	delete(said, uint64(nonceKey))
	if data, err = wire.Marshal(said); err != nil {
		return w, err
	}
	sum := sha256.Sum256(data)
	copy(w[:], workPrefix)
	copy(w[len(workPrefix):], sum[:])
	return w, nil
}

// bits returns how many zeros the digest begins with.
func (w *work) bits(nonce uint64) int {
	binary.BigEndian.PutUint64(w[len(w)-8:], nonce)
	sum := sha256.Sum256(w[:])
	n := 0
	for i := 0; i < len(sum); i += 8 {
		zeros := bits.LeadingZeros64(binary.BigEndian.Uint64(sum[i:]))
		if n += zeros; zeros < 64 {
			break
		}
	}
	return n
}

// Prove returns p with a Nonce that gives it so many bits of work when it is sealed with the key; each bit takes twice as long. Files that would not fit are left out. Its
// errors are those of Seal, and of ctx if that ends before.
func Prove(ctx context.Context, key crypto.PubKey, p Publication, least int) (Publication, error) {
	pub, err := key.Raw()
	if err != nil {
		return p, fmt.Errorf("publication: work: %w", err)
	}
	p.Nonce = math.MaxUint64 // whatever it is, it will have room
	b, err := p.fit(pub)
	if err != nil {
		return p, fmt.Errorf("publication: work: %w", err)
	}
	p.Files = b.Files
	data, err := wire.Marshal(b)
	if err != nil {
		return p, fmt.Errorf("publication: work: %w", err)
	}
	w, err := workOf(data)
	if err != nil {
		return p, fmt.Errorf("publication: work: %w", err)
	}
	for p.Nonce = 1; w.bits(p.Nonce) < least; p.Nonce++ {
		if p.Nonce%4096 == 0 && ctx.Err() != nil {
			return p, context.Cause(ctx)
		}
	}
	return p, nil
}
