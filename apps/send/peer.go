package send

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/network"
	"kith/wire"
)

// ProtocolID is what deliveries are spoken of over: on a stream one message and its reply.
const ProtocolID = "/kith/send/1"

const (
	maxFrame = 16 << 10         // bytes of a message or a reply
	talkTime = 20 * time.Second // for a message and its reply, with the dialling
)

// errNotReached says that a message has certainly not arrived.
var errNotReached = errors.New("not reached")

// serve answers one message.
func (s *Send) serve(ctx context.Context, st network.Stream) error {
	if !s.env.People.Contact(st.Peer()) { // a stranger's message is not even read
		return fmt.Errorf("send: %s is no contact: %w", st.Peer(), kith.Denied)
	}
	if err := st.SetDeadline(time.Now().Add(talkTime)); err != nil {
		return err
	}
	var msg message
	if err := wire.ReadMsg(bufio.NewReader(st), maxFrame, &msg); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	var r reply
	err := s.do(ctx, func(e *engine, now time.Time) (err error) {
		r, err = e.hear(now, st.Peer(), msg)
		return err
	})
	if err != nil {
		return err
	}
	return wire.WriteMsg(st, r)
}

// talk sends a message and reads the reply.
func (s *Send) talk(ctx context.Context, to peer.ID, msg message) (r reply, err error) {
	ctx, cancel := context.WithTimeout(ctx, talkTime)
	defer cancel()
	st, err := s.env.Net.Open(ctx, to, ProtocolID)
	if err != nil {
		return r, errors.Join(errNotReached, err)
	}
	defer func() {
		if err != nil {
			st.Reset()
		} else {
			st.Close()
		}
	}()
	if err := st.SetDeadline(time.Now().Add(talkTime)); err != nil {
		return r, err
	}
	if err := wire.WriteMsg(st, msg); err != nil {
		return r, err
	}
	if err := st.CloseWrite(); err != nil {
		return r, err
	}
	if err := wire.ReadMsg(bufio.NewReader(st), maxFrame, &r); err != nil {
		return r, fmt.Errorf("send: %w", err)
	}
	if len(r.State) > maxReason || len(r.Reason) > maxReason {
		return reply{}, fmt.Errorf("send: reply: %w", kith.Invalid)
	}
	return r, nil
}
