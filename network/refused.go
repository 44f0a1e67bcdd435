package network

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	libp2p "github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	circuitproto "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"

	"kith"
	"kith/internal/human"
	"kith/network/maddr"
	"kith/network/relay"
)

const (
	askRelay       = 3 * time.Second // for a relay to say why it refuses
	maxAskedRelays = 4               // relays that are asked about one peer
	refusedBy      = "error opening relay circuit: "
)

// A Refused is an error of Connect and Open: a peer can be reached through relays alone, and none carries now. It is Unavailable.
type Refused struct {
	Relay   peer.ID       // of several, the one that goes on first
	Peer    peer.ID       // who is not reached
	Verdict relay.Verdict // why
	Until   time.Time     // when it goes on, if its verdict is relay.Spent
	Tried   []peer.ID     // the relays that refused
	err     error
}

// Error says what a person can understand of it; relays are named by their ids.
func (e *Refused) Error() string { return e.In("…" + short(e.Relay)) }

// In is Error for who knows what the person calls the relay.
func (e *Refused) In(name string) string {
	switch e.Verdict {
	case relay.Spent:
		text := "relayed through " + name + ": its limit is reached, it goes on"
		if wait := time.Until(e.Until); wait > time.Minute {
			return text + " in " + human.Duration(wait.Round(time.Minute))
		}
		return text + " within a minute"
	case relay.Full:
		if len(e.Tried) > 1 {
			return fmt.Sprintf("no direct way, and all %d relays that lead there are full", len(e.Tried))
		}
		return "no direct way, and the relay that leads there is full: " + name
	case relay.NotStrangers:
		return "no direct way, and the relay " + name + " carries for its contacts only"
	}
	return "no direct way, and the relay " + name + " does not carry now"
}

// Unwrap returns the kind of the error and its cause.
func (e *Refused) Unwrap() []error { return []error{kith.Unavailable, e.err} }

// whyNot returns what an error of a dial to p means. A relay that refused is asked for its reason.
func (n *Network) whyNot(ctx context.Context, p peer.ID, err error) error {
	var dial *swarm.DialError
	if ctx.Err() != nil || !errors.As(err, &dial) {
		return netError(ctx, err)
	}
	var away peer.ID // a relay that would carry, but where p is not
	worst := &Refused{Peer: p, Verdict: relay.Closed, err: err}
	for _, e := range dial.DialErrors {
		at := relayOf(e.Address)
		_, status, refused := strings.Cut(e.Cause.Error(), refusedBy)
		if maddr.Transport(e.Address) != "relay" || !refused || slices.Contains(worst.Tried, at) || len(worst.Tried) >= maxAskedRelays {
			continue
		}
		r := Refused{Relay: at, Peer: p, Verdict: relay.Closed, err: err}
		switch status, _, _ = strings.Cut(status, " "); status {
		case "RESOURCE_LIMIT_EXCEEDED", "RESERVATION_REFUSED":
			r.Verdict = relay.Full
		case "PERMISSION_DENIED":
			if st, err := n.askRelay(ctx, at, p); err == nil && st.Verdict != relay.Carries {
				r.Verdict, r.Until = st.Verdict, time.Now().Add(st.Wait)
			} else if err != nil {
				n.log.Debug("relay does not say why", "peer", at, "err", err)
			}
		default:
			away = at
			continue
		}
		r.Tried = append(worst.Tried, at)
		if better(&r, worst) {
			*worst = r
		}
		worst.Tried = r.Tried
	}
	switch {
	case len(worst.Tried) == 0 && away != "":
		return kith.Hint(kinded{kith.Unavailable, "no direct way, and it is not at its relay …" + short(away) + " now", err}, "it may be off, or have moved; it is found again when it is back")
	case len(worst.Tried) == 0:
		return netError(ctx, err)
	}
	return kith.Hint(worst, "%s", worst.hint())
}

// better reports whether a says more than b of when it goes on.
func better(a, b *Refused) bool {
	rank := []relay.Verdict{relay.Spent, relay.Full, relay.NotStrangers, relay.Closed}
	switch x, y := slices.Index(rank, a.Verdict), slices.Index(rank, b.Verdict); {
	case b.Relay == "":
		return true
	case x != y:
		return x < y
	}
	return a.Until.Before(b.Until)
}

func (e *Refused) hint() string {
	switch e.Verdict {
	case relay.Spent:
		return "wait, or ask a contact whose node can be reached from outside to keep it up: it relays for you too"
	case relay.NotStrangers:
		return "kith people add there makes you a contact of the relay's; or ask a contact whose node can be reached from outside to keep it up"
	}
	return "try again later, or ask a contact whose node can be reached from outside to keep it up: it relays for its contacts"
}

// askRelay asks a connected relay how it stands to this node and p.
func (n *Network) askRelay(ctx context.Context, at, p peer.ID) (relay.Standing, error) {
	ctx, cancel := context.WithTimeout(ctx, askRelay)
	defer cancel()
	s, err := n.host.NewStream(libp2p.WithNoDial(ctx, "relay"), at, n.OnWire(relay.Protocol))
	if err != nil {
		return relay.Standing{}, err
	}
	defer s.Close()
	s.SetDeadline(time.Now().Add(askRelay))
	return relay.Ask(s, p)
}

// Helpers returns the peers that relay for others, or did when they were last connected, those that are connected first.
func (n *Network) Helpers() (list []peer.ID) {
	for _, p := range n.host.Network().Peers() {
		if n.speaksHop(p) {
			list = append(list, p)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for id, k := range n.known {
		if k.Relays && !slices.Contains(list, id) {
			list = append(list, id)
		}
	}
	return list
}

// speaksHop reports whether a connected peer relays for others.
// Foreign reports whether a peer is a node of the public IPFS network.
func (n *Network) Foreign(p peer.ID) bool {
	speaks, err := n.host.Peerstore().SupportsProtocols(p, "/ipfs/kad/1.0.0")
	return err == nil && len(speaks) > 0
}

func (n *Network) speaksHop(p peer.ID) bool {
	speaks, err := n.host.Peerstore().SupportsProtocols(p, circuitproto.ProtoIDv2Hop)
	return err == nil && len(speaks) > 0
}
