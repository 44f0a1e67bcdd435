package report

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/protocol"

	"kith"
	"kith/network"
	"kith/wire"
)

// ProtocolID is that of reports: one telling a stream.
const ProtocolID protocol.ID = "/kith/reports/1"

// Limits of a telling.
const (
	tellTime = 20 * time.Second
	maxFrame = MaxSize + 64 // bytes
)

// A tell begins a telling: which list there is; and then, if it is asked for, that list.
type tell struct {
	Digest []byte `cbor:"1,keyasint,omitempty"`
	List   []byte `cbor:"2,keyasint,omitempty"`
}

// What who is told says.
const (
	saysDone     = iota // it has that list, or has taken it
	saysTell            // it has not: tell it
	saysStranger        // who tells is no contact
)

type says struct {
	Says uint64 `cbor:"1,keyasint"`
}

// Tell tells who is at the other end a list, as Seal wrote it, unless they have it. Its error is Denied if they do not listen: they do not call this device a contact's.
func Tell(ctx context.Context, st network.Stream, list []byte) error {
	defer context.AfterFunc(ctx, func() { st.Reset() })()
	st.SetDeadline(time.Now().Add(tellTime))
	r := bufio.NewReader(st)
	digest := DigestOf(list)
	for _, t := range []tell{{Digest: digest[:]}, {List: list}} {
		var s says
		err := wire.WriteMsg(st, t)
		if err == nil {
			err = wire.ReadMsg(r, maxFrame, &s)
		}
		switch {
		case err != nil:
			return fmt.Errorf("report: tell: %w", err)
		case s.Says == saysDone:
			return nil
		case s.Says == saysStranger:
			return fmt.Errorf("report: tell: they do not listen: %w", kith.Denied)
		case s.Says != saysTell:
			return fmt.Errorf("report: tell: they say %d: %w", s.Says, kith.Invalid)
		}
	}
	return fmt.Errorf("report: tell: they want it once more: %w", kith.Invalid)
}

// Listen hears what a contact at the other end reports: has is the digest of what is known of that, take is given another list, and what Parse reads in it. With known false they are told that they
// are no contact.
func Listen(ctx context.Context, st network.Stream, known bool, has Digest, take func(data []byte, list []Report) error) error {
	defer context.AfterFunc(ctx, func() { st.Reset() })()
	st.SetDeadline(time.Now().Add(tellTime))
	r := bufio.NewReader(st)
	var t tell
	if err := wire.ReadMsg(r, 128, &t); err != nil {
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}
	switch {
	case !known:
		return wire.WriteMsg(st, says{saysStranger})
	case len(t.Digest) != len(Digest{}):
		return fmt.Errorf("report: a digest of %d bytes: %w", len(t.Digest), kith.Invalid)
	case Digest(t.Digest) == has:
		return wire.WriteMsg(st, says{saysDone})
	}
	if err := wire.WriteMsg(st, says{saysTell}); err != nil {
		return err
	}
	claimed := Digest(t.Digest)
	t = tell{}
	if err := wire.ReadMsg(r, maxFrame, &t); err != nil {
		return err
	}
	if DigestOf(t.List) != claimed {
		return fmt.Errorf("report: another list than was named: %w", kith.Invalid)
	}
	list, err := Parse(t.List)
	if err == nil {
		err = take(t.List, list)
	}
	if err != nil {
		return err
	}
	return wire.WriteMsg(st, says{saysDone})
}
