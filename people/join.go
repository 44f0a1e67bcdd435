package people

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/network"
	"kith/network/member"
)

// How long somebody who joins waits between two attempts.
const (
	againMin = time.Second
	againMax = 15 * time.Second
	tryFor   = 20 * time.Second // one attempt to connect
)

// Join makes the contact whose invite the link is, and this person theirs. While the inviter cannot be reached it tries again, and tells say
// why, until ctx ends. The contact is called name here, or as they call themselves if that is "".
func (p *People) Join(ctx context.Context, text, name string, say func(why string)) (Contact, error) {
	i, err := ParseInvite(text)
	if err == nil && name != "" {
		name, err = checkName(name)
	}
	if err == nil {
		err = p.mayJoin(i)
	}
	if err != nil {
		return Contact{}, err
	}
	events, cancel := p.o.Net.Subscribe()
	defer cancel()
	for wait := againMin; ; wait = min(2*wait, againMax) {
		contact, err := p.tryJoin(ctx, i, name)
		if err == nil || !errors.Is(err, errAway) && !errors.Is(err, errBusy) {
			return contact, err
		}
		say(waiting(err))
		if err := until(ctx, time.After(wait), events, i.Device); err != nil {
			return Contact{}, kith.Hint(fmt.Errorf("people: join: %v: %w", reason(err), kith.Timeout),
				"ask them to start kith, and try again: the invite holds until %s", i.Expires.Local().Format("2 January, 15:04"))
		}
	}
}

// reason says why waiting ended.
func reason(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "they did not come online in time"
	}
	return "stopped before they came online"
}

// What of the other side may be better at the next attempt.
var (
	errAway = errors.New("they cannot be reached")
	errBusy = errors.New("they cannot answer now")
)

// waiting says in words why an attempt failed.
func waiting(err error) string {
	if errors.Is(err, errBusy) {
		return "their node is busy"
	}
	return "they are not online, or cannot be reached from here"
}

// until waits for the next attempt: a while, or less if the peer comes by itself.
func until(ctx context.Context, later <-chan time.Time, events <-chan network.Event, id peer.ID) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-later:
			return nil
		case e, ok := <-events:
			if !ok {
				return context.Canceled
			}
			if e.Peer == id && e.Connected {
				return nil
			}
		}
	}
}

// mayJoin checks what can be known without asking.
func (p *People) mayJoin(i Invite) error {
	fail := func(kind kith.Kind, what, hint string, args ...any) error {
		return kith.Hint(fmt.Errorf("people: join: %s: %w", what, kind), hint, args...)
	}
	if at, ok := p.Revoked(); ok {
		return errRevoked(at)
	}
	switch {
	case i.Device == p.o.Me.PeerID() || i.Owner == owner(i.Secret, p.o.Me.Certificate().Master) && p.Contact(i.Device):
		return fail(kith.Invalid, "this invite is your own", "send it to one other person; they open it on their computer")
	case !p.now().Before(i.Expires):
		return fail(kith.Gone, "the invite has expired, on "+i.Expires.Local().Format("2 January 2006, 15:04"),
			"ask for a new one; or, if that day is still to come, set this computer's clock")
	case i.Private != nil && !p.in(*i.Private):
		return fmt.Errorf("people: join: %w", Elsewhere{*i.Private, p.o.Net.Name()})
	case i.Private == nil && p.o.Net.Private():
		return fail(kith.Invalid, fmt.Sprintf("the invite is for the public network %q, and this node is in the private network %q", i.Network, p.o.Net.Name()),
			"leave the private network first: kith network leave; or start a second node, with a data directory of its own: kith --dir DIR up")
	case i.Network != p.o.Net.Name():
		return fail(kith.Invalid, fmt.Sprintf("the invite is for the network %q, and this node is on %q", i.Network, p.o.Net.Name()),
			"start a node there, with a data directory of its own: kith --dir DIR up --network %s", i.Network)
	}
	return nil
}

// in reports whether the node is in a private network.
func (p *People) in(to member.Network) bool {
	d := p.o.Net.Door()
	return d != nil && d.Network() == to
}

// Elsewhere is the error of Join for an invite into a private network that the node is not in.
type Elsewhere struct {
	Network member.Network
	here    string
}

// Error implements error.
func (e Elsewhere) Error() string {
	return fmt.Sprintf("the invite is for the private network %q, and this node is in another, %q", e.Network.Name, e.here)
}

// Unwrap returns the kind.
func (e Elsewhere) Unwrap() error { return kith.Invalid }

// tryJoin asks once. The error is errAway or errBusy if asking again may help.
func (p *People) tryJoin(ctx context.Context, i Invite, name string) (Contact, error) {
	if err := p.reach(ctx, i); err != nil {
		return Contact{}, err
	}
	mine, err := p.card(ctx)
	if err != nil {
		return Contact{}, err
	}
	a, err := p.ask(ctx, i.Device, request{
		Card: mine.encoded, Invite: inviteID(i.Secret), Proof: proof(i.Secret, i.Device, p.o.Me.PeerID(), mine.encoded),
	})
	if errors.Is(err, kith.NotFound) {
		return Contact{}, kith.Hint(fmt.Errorf("people: join: their program knows no invites: %w", kith.Denied), "ask them to update kith")
	}
	if err != nil {
		return Contact{}, fmt.Errorf("%w: %w", errAway, err)
	}
	if err := refusal(a.Says); err != nil {
		return Contact{}, err
	}
	c, err := parseCard(a.Card, i.Device)
	if err != nil {
		return Contact{}, err
	}
	if owner(i.Secret, c.certs[0].Master) != i.Owner {
		return Contact{}, kith.Hint(fmt.Errorf("people: join: who answers is not who made the invite: %w", kith.Denied),
			"they may have restored another recovery phrase since: ask for a new invite")
	}
	err = p.change(ctx, func(tx *sql.Tx) error { // Run then exchanges cards once more: only now would they get our picture
		_, err := p.accept(ctx, tx, c, true, name)
		return err
	})
	if err != nil && !errors.Is(err, errOld) { // their own devices have told each other meanwhile
		return Contact{}, err
	}
	for _, contact := range p.All() {
		if bytes.Equal(contact.Person, c.person()) {
			return contact, nil
		}
	}
	return Contact{}, fmt.Errorf("people: join: they were taken off the list at once: %w", kith.Gone)
}

// reach connects to the inviter: where the invite says, or else where the overlay does.
func (p *People) reach(ctx context.Context, i Invite) error {
	ctx, cancel := context.WithTimeout(ctx, tryFor)
	defer cancel()
	err := p.o.Net.Connect(ctx, peer.AddrInfo{ID: i.Device, Addrs: i.Addrs})
	if err != nil && p.o.Routes != nil {
		if info, lost := p.o.Routes.FindPeer(ctx, i.Device); lost == nil {
			err = p.o.Net.Connect(ctx, info)
		}
	}
	if err != nil {
		return fmt.Errorf("people: join: %w: %w", errAway, err)
	}
	return nil
}

// refusal returns what a person is told of an answer; nil if it is yes.
func refusal(says uint64) error {
	fail := func(kind kith.Kind, what, hint string) error {
		return kith.Hint(fmt.Errorf("people: join: %s: %w", what, kind), "%s", hint)
	}
	const again = "ask for a new one: each is for one person, once"
	switch says {
	case saysYes:
		return nil
	case saysNoInvite:
		return fail(kith.NotFound, "they know no such invite", "they may have moved to a new data directory: ask for a new one")
	case saysUsed:
		return fail(kith.Gone, "the invite has been used", again)
	case saysExpired:
		return fail(kith.Gone, "the invite has expired, by their clock", again)
	case saysRevoked:
		return fail(kith.Gone, "the invite has been withdrawn", again)
	case saysLater:
		return fmt.Errorf("people: join: %w: %w", errBusy, kith.Unavailable)
	}
	return fail(kith.Denied, "they refuse what this node says of you", "update kith on both sides; if your data directory is a copy from a backup, change your name once: kith id profile --name NAME")
}
