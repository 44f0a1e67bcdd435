package network

import (
	"context"
	"errors"
	"strings"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	msmux "github.com/multiformats/go-multistream"

	"kith"
)

// A kinded error is one of libp2p's, in words for a person, with the Kind that fits.
type kinded struct {
	kind error
	text string
	err  error
}

func (e kinded) Error() string   { return e.text }
func (e kinded) Unwrap() []error { return []error{e.kind, e.err} }

// netError says what an error of libp2p's means.
func netError(ctx context.Context, err error) error {
	var mismatch sec.ErrPeerIDMismatch
	var unsupported msmux.ErrNotSupported[string]
	switch text := err.Error(); {
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return kinded{kith.Timeout, "no answer in time", err}
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &mismatch):
		return kinded{kith.Denied, "somebody else answers there: " + short(mismatch.Actual), err}
	case errors.Is(err, swarm.ErrGaterDisallowedConnection):
		return kinded{kith.Denied, "that peer is blocked here", err}
	case errors.Is(err, swarm.ErrDialToSelf):
		return kinded{kith.Invalid, "that is this node", err}
	case errors.Is(err, swarm.ErrNoAddresses):
		return kinded{kith.Unavailable, "no address is known", err}
	case errors.Is(err, swarm.ErrNoGoodAddresses):
		return kinded{kith.Unavailable, "none of its addresses can be used from here", err}
	case errors.As(err, &unsupported), strings.Contains(text, "protocols not supported"):
		return kinded{kith.NotFound, "it does not speak that protocol", err}
	case strings.Contains(text, "certificate has expired or is not yet valid"):
		return kith.Hint(kinded{kith.Unavailable, "one of the two clocks is wrong: its certificate is from another time", err}, "see that both computers' clocks are set; kith doctor looks at this one's")
	case errors.Is(err, network.ErrResourceLimitExceeded):
		return kinded{kith.Unavailable, "too many connections", err}
	}
	return kinded{kith.Unavailable, "not reachable: " + firstCause(err), err}
}

// firstCause keeps of an error of many lines (libp2p lists every address that it tried) what was first.
func firstCause(err error) string {
	var dial *swarm.DialError
	if errors.As(err, &dial) && len(dial.DialErrors) > 0 {
		e := dial.DialErrors[0]
		return e.Address.String() + ": " + e.Cause.Error()
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text
}

func short(p peer.ID) string {
	s := p.String()
	return s[max(0, len(s)-6):]
}
