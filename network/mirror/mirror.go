// Package mirror tells a node how the world sees its TCP port.
//
// It is for nodes behind a router that hear of themselves only over QUIC, and are to open TCP connections through two routers at the same time. It is not
// for finding out whether anybody gets in (AutoNAT is). Its one idea: every libp2p node says in identify under which address it sees who asks, so
// that a connection that is opened from the listening port, asks this and ends is what STUN is for UDP (RFC 8489).
package mirror

import (
	"context"
	"fmt"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/util"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify/pb"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multistream"

	"kith"
)

const (
	maxMessage  = 8 << 10 // bytes, as identify has it
	maxMessages = 10      // in one answer, as identify has it
)

// Ask opens a connection to p at an address, and returns from where it was opened and as what p sees that. p notices a connection that comes and goes.
func Ask(ctx context.Context, t transport.Transport, at ma.Multiaddr, p peer.ID) (local, seen ma.Multiaddr, err error) {
	c, err := t.Dial(ctx, at, p)
	if err != nil {
		return nil, nil, fmt.Errorf("mirror: dial %s: %w: %w", at, err, kith.Unavailable)
	}
	defer c.Close()
	s, err := c.OpenStream(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("mirror: ask %s: %w: %w", p, err, kith.Unavailable)
	}
	defer s.Reset()
	if until, ok := ctx.Deadline(); ok {
		s.SetDeadline(until)
	}
	if err := multistream.SelectProtoOrFail(identify.ID, s); err != nil {
		return nil, nil, fmt.Errorf("mirror: ask %s: %w: %w", p, err, kith.Unavailable)
	}
	r := util.NewDelimitedReader(s, maxMessage)
	defer r.Close()
	for range maxMessages {
		var m pb.Identify
		if err := r.ReadMsg(&m); err != nil {
			return nil, nil, fmt.Errorf("mirror: answer of %s: %w: %w", p, err, kith.Unavailable)
		}
		if b := m.GetObservedAddr(); len(b) > 0 {
			if seen, err = ma.NewMultiaddrBytes(b); err != nil {
				return nil, nil, fmt.Errorf("mirror: answer of %s: %w: %w", p, err, kith.Invalid)
			}
			return c.LocalMultiaddr(), seen, nil
		}
	}
	return nil, nil, fmt.Errorf("mirror: %s does not say what it sees: %w", p, kith.Unavailable)
}
