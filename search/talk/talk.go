// Package talk has the conversations in which two nodes even out what they keep, and says with whom to have one, and what of the new to tell.
//
// It knows neither what is kept nor what is said: that is search/spread's and search/shard's. Its one idea: both sides take turns, a message each, until neither has
// anything to say.
package talk

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/network"
	"kith/wire"
)

// Limits of a conversation.
const (
	MaxMessage = 1 << 20          // bytes of a message
	turnTime   = 30 * time.Second // for one message to come, or to go
)

// An Answer takes in what was heard, and returns what is to be said to it; over: neither side has anything to say. An error ends the conversation.
type Answer[M any] func(heard *M) (said *M, over bool, err error)

// Begin opens a conversation with a peer, and has it, of at most so many messages, until it is over.
func Begin[M any](ctx context.Context, open func(context.Context, peer.ID) (network.Stream, error), p peer.ID, most int, first *M, answer Answer[M]) error {
	opening, cancel := context.WithTimeout(ctx, turnTime)
	st, err := open(opening, p)
	cancel()
	if err != nil {
		return err
	}
	defer st.Close()
	defer context.AfterFunc(ctx, func() { st.Reset() })()
	r, said := bufio.NewReader(st), first
	for range most {
		if err := say(st, said); err != nil {
			return err
		}
		m, err := hear[M](st, r)
		if err != nil {
			return err
		}
		var over bool
		if said, over, err = answer(m); err != nil {
			st.Reset()
			return err
		}
		if over {
			return nil
		}
	}
	return tooLong(most)
}

// Serve has a conversation that a peer began, and ends when that one does.
func Serve[M any](ctx context.Context, st network.Stream, most int, answer Answer[M]) error {
	defer context.AfterFunc(ctx, func() { st.Reset() })()
	r := bufio.NewReader(st)
	for range most {
		m, err := hear[M](st, r)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		said, _, err := answer(m)
		if err != nil {
			return err
		}
		if err := say(st, said); err != nil {
			return err
		}
	}
	return tooLong(most)
}

func tooLong(most int) error {
	return fmt.Errorf("talk: %d messages and no end: %w", most, kith.TooLarge)
}

func hear[M any](st network.Stream, r *bufio.Reader) (*M, error) {
	st.SetReadDeadline(time.Now().Add(turnTime))
	m := new(M)
	return m, wire.ReadMsg(r, MaxMessage, m)
}

func say[M any](st network.Stream, m *M) error {
	st.SetWriteDeadline(time.Now().Add(turnTime))
	return wire.WriteMsg(st, m)
}
