package relay

import (
	"bufio"
	"fmt"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"kith"
	"kith/wire"
)

// Protocol is how a peer whose circuit was refused or cut asks a relay why, and for how long: circuit v2 has one status for all of it.
const Protocol protocol.ID = "/kith/relay/1"

const maxMsg = 128 // bytes of a question or an answer

// A Verdict is whether a circuit may begin. Those other than Carries are errors.
type Verdict uint8

// The verdicts, with their numbers on the wire.
const (
	Carries      Verdict = iota
	Spent                // the two have used what they may in an hour
	NotStrangers         // nothing is carried for peers who are no contacts of the node
	Full                 // all places or circuits are taken
	Closed               // it does not relay now
	verdicts
)

// Error says what a verdict means.
func (v Verdict) Error() string {
	switch v {
	case Carries:
		return "it is carried"
	case Spent:
		return "its limit for the two is reached"
	case NotStrangers:
		return "it relays for its contacts only"
	case Full:
		return "all its places are taken"
	}
	return "it does not relay now"
}

// A Standing is how a relay stands to a pair of peers.
type Standing struct {
	Verdict
	Left int64         // bytes that the two may still use in this hour
	Wait time.Duration // until it goes on, if it is Spent
}

type question struct {
	Peer []byte `cbor:"1,keyasint"`
}

type answer struct {
	Verdict uint8 `cbor:"1,keyasint"`
	Left    int64 `cbor:"2,keyasint"` // bytes
	Wait    int64 `cbor:"3,keyasint"` // seconds, rounded up
}

// Ask asks a relay, on a stream of Protocol, how it stands to the asker and p.
func Ask(s io.ReadWriter, p peer.ID) (Standing, error) {
	if err := wire.WriteMsg(s, question{[]byte(p)}); err != nil {
		return Standing{}, err
	}
	var a answer
	if err := wire.ReadMsg(bufio.NewReaderSize(s, maxMsg), maxMsg, &a); err != nil {
		return Standing{}, err
	}
	return a.standing()
}

func (a answer) standing() (Standing, error) {
	if a.Verdict >= uint8(verdicts) || a.Left < 0 || a.Wait < 0 || a.Wait > int64(hour/time.Second) {
		return Standing{}, fmt.Errorf("relay: an answer that makes no sense: %w", kith.Invalid)
	}
	return Standing{Verdict(a.Verdict), a.Left, time.Duration(a.Wait) * time.Second}, nil
}

// Answer answers the question of a peer on a stream of Protocol. It tells nobody of pairs that they are not one of.
func (r *Service) Answer(asker peer.ID, s io.ReadWriter) error {
	var q question
	if err := wire.ReadMsg(bufio.NewReaderSize(s, maxMsg), maxMsg, &q); err != nil {
		return err
	}
	p, err := peer.IDFromBytes(q.Peer)
	if err != nil || p == asker {
		return fmt.Errorf("relay: asked for no other peer: %w", kith.Invalid)
	}
	st := r.Standing(asker, p)
	return wire.WriteMsg(s, answer{uint8(st.Verdict), st.Left, int64((st.Wait + time.Second - 1) / time.Second)})
}
