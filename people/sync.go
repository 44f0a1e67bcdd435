package people

import (
	"context"
	"fmt"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
)

func (p *People) answerSync(_ context.Context, from peer.ID, _ deviceRequest) (deviceAnswer, error) {
	return deviceAnswer{Says: saysStranger}, fmt.Errorf("people: sync: %s: %w", from, kith.NotFound)
}

// Pull fetches what another of the person's devices knows of their contacts, as far as this one does not.
func (p *People) Pull(ctx context.Context, from peer.ID) error { return nil }
