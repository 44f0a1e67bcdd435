package people

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"kith"
	"kith/identity"
	"kith/network"
	"kith/wire"
)

// Protocol is how people become contacts, and stay informed of each other. One stream carries one request and its answer.
const Protocol = "/kith/people/1"

// Limits of a stream.
const (
	maxRequest    = maxCard + 1<<10             // bytes
	maxAnswer     = identity.MaxPicture + 1<<10 // bytes; a picture is larger than a card
	maxServed     = 16                          // streams at once
	streamTimeout = 20 * time.Second
)

// A request is one of four: to become a contact (Invite), to exchange cards (Card alone), for a picture (Picture), or none but to tell the other a newer list of
// its own person's devices (List).
type request struct {
	Card    []byte `cbor:"1,keyasint,omitempty"`
	Invite  []byte `cbor:"2,keyasint,omitempty"` // id of the invite
	Proof   []byte `cbor:"3,keyasint,omitempty"` // that the asker has its secret
	Picture []byte `cbor:"4,keyasint,omitempty"` // SHA-256
	List    []byte `cbor:"5,keyasint,omitempty"`
}

// What an answer says.
const (
	saysYes      = iota
	saysNoInvite // there is no such invite, or the proof is wrong
	saysUsed
	saysExpired
	saysRevoked
	saysStranger // the asker is not a contact
	saysBadCard  // the card is wrong, or older than one that came before
	saysLater    // it cannot answer now
	saysCut      // the asker was revoked by its person
)

type answer struct {
	Says    uint64 `cbor:"1,keyasint"`
	Card    []byte `cbor:"2,keyasint,omitempty"`
	Picture []byte `cbor:"3,keyasint,omitempty"`
	List    []byte `cbor:"4,keyasint,omitempty"` // the newest of the asker's person's devices, if the asker's card has another
}

// Serve answers one request. It is the handler of Protocol.
func (p *People) Serve(ctx context.Context, s network.Stream) error {
	select {
	case p.serve <- struct{}{}:
		defer func() { <-p.serve }()
	default:
		return fmt.Errorf("people: serve: %d streams at once: %w", maxServed, kith.Unavailable)
	}
	ctx, cancel := context.WithTimeout(ctx, streamTimeout)
	defer cancel()
	if err := s.SetDeadline(time.Now().Add(streamTimeout)); err != nil {
		return err
	}
	var r request
	if err := wire.ReadMsg(bufio.NewReader(s), maxRequest, &r); err != nil {
		return err
	}
	a, err := p.answer(ctx, s.Peer(), r)
	if err != nil {
		p.log.Debug("people: request refused", "peer", s.Peer(), "err", err)
	}
	return wire.WriteMsg(s, a)
}

// answer carries out what from asks for. The error says why the answer is not yes.
func (p *People) answer(ctx context.Context, from peer.ID, r request) (answer, error) {
	if r.Picture != nil {
		return p.answerPicture(from, r.Picture)
	}
	if r.List != nil {
		if err := p.hearList(ctx, r.List); err != nil {
			return answer{Says: saysBadCard}, err
		}
		return answer{}, nil
	}
	c, err := parseCard(r.Card, from)
	if err != nil {
		return answer{Says: saysBadCard}, err
	}
	mine, err := p.card(ctx)
	if err != nil {
		return answer{Says: saysLater}, err
	}
	says := uint64(saysYes)
	err = p.change(ctx, func(tx *sql.Tx) error {
		if r.Invite == nil {
			_, err := p.accept(ctx, tx, c, false, "")
			return err
		}
		var err error
		says, err = p.redeem(ctx, tx, c, r)
		return err
	})
	switch {
	case errors.Is(err, errCut):
		return answer{Says: saysCut, List: p.newest(ctx, c.person())}, err
	case says != saysYes:
		return answer{Says: says}, err
	case errors.Is(err, kith.NotFound):
		return answer{Says: saysStranger}, err
	case errors.Is(err, kith.Denied):
		return answer{Says: saysBadCard}, err
	case err != nil:
		return answer{Says: saysLater}, err
	}
	p.met(c, mine)
	a := answer{Card: mine.encoded}
	if list := p.newest(ctx, c.person()); !bytes.Equal(list, c.list.Bytes()) {
		a.List = list
	}
	return a, nil
}

func (p *People) answerPicture(from peer.ID, digest []byte) (answer, error) {
	picture := p.o.Me.Profile().Picture
	sum := sha256.Sum256(picture)
	if !p.Contact(from) || picture == nil || !bytes.Equal(digest, sum[:]) {
		return answer{Says: saysStranger}, fmt.Errorf("people: picture: %w", kith.NotFound)
	}
	return answer{Picture: picture}, nil
}

// redeem uses an invite up. It may be asked again by who has used it: the answer may have been lost.
func (p *People) redeem(ctx context.Context, tx *sql.Tx, c card, r request) (says uint64, err error) {
	var secret, by []byte
	var name string
	var expires, used, revoked int64
	err = tx.QueryRow(`SELECT secret, name, expires, used, used_by, revoked FROM invites WHERE id = ?`, r.Invite).Scan(&secret, &name, &expires, &used, &by, &revoked)
	if errors.Is(err, sql.ErrNoRows) || err == nil && (len(secret) != secretSize ||
		!bytes.Equal(r.Proof, proof([secretSize]byte(secret), p.o.Me.PeerID(), c.device(), c.encoded))) {
		return saysNoInvite, fmt.Errorf("people: join: no such invite: %w", kith.NotFound)
	}
	switch {
	case err != nil:
		return saysLater, err
	case used != 0 && bytes.Equal(by, []byte(c.device())):
		if _, err := p.accept(ctx, tx, c, false, ""); err != nil { // unless they were taken off the list since
			return saysUsed, err
		}
		return saysYes, nil
	case used != 0:
		return saysUsed, fmt.Errorf("people: join: the invite is used: %w", kith.Gone)
	case revoked != 0:
		return saysRevoked, fmt.Errorf("people: join: the invite is withdrawn: %w", kith.Gone)
	case p.now().Unix() >= expires:
		return saysExpired, fmt.Errorf("people: join: the invite has expired: %w", kith.Gone)
	}
	if _, err := p.accept(ctx, tx, c, true, name); err != nil {
		if errors.Is(err, kith.Denied) {
			return saysBadCard, err
		}
		return saysLater, err
	}
	_, err = tx.Exec(`UPDATE invites SET used = ?, used_by = ? WHERE id = ?`, p.now().Unix(), []byte(c.device()), r.Invite)
	return saysYes, err
}

// card returns this device's card as it is now.
func (p *People) card(ctx context.Context) (card, error) {
	if at, ok := p.Revoked(); ok {
		return card{}, errRevoked(at)
	}
	profile := p.o.Me.Profile()
	c := card{name: profile.Name, certs: []identity.Certificate{p.o.Me.Certificate()}, addrs: p.addrs()}
	if profile.Picture != nil {
		sum := sha256.Sum256(profile.Picture)
		c.picture = sum[:]
	}
	if p.o.Records != nil {
		key, err := p.placeKey()
		if err != nil {
			return c, err
		}
		c.ticket = key.Ticket()
	}
	rows, err := p.db.QueryContext(ctx, `SELECT d.cert FROM devices d JOIN contacts c ON c.id = d.contact WHERE c.person = ? AND d.cert IS NOT NULL ORDER BY d.peer LIMIT ?`,
		[]byte(c.person()), maxDevices-1)
	if err != nil {
		return c, fmt.Errorf("people: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var raw []byte
		if err := rows.Scan(&raw); err != nil {
			return c, fmt.Errorf("people: %w", err)
		}
		if cert, err := identity.ParseCertificate(raw); err == nil {
			c.certs = append(c.certs, cert)
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return c, fmt.Errorf("people: %w", err)
	}
	if list := p.newest(ctx, c.person()); list != nil {
		if c.list, err = identity.ParseList(list); err != nil {
			return c, err
		}
		c.listAt = p.ticketOf(ctx, c.person())
	}
	content, err := c.body()
	if err != nil {
		return c, err
	}
	if c.serial, err = p.nextSerial(ctx, sha256.Sum256(content)); err != nil {
		return c, fmt.Errorf("people: %w", err)
	}
	return c.sign(p.o.Me.Key())
}

// ask sends a request to a peer and returns its answer.
func (p *People) ask(ctx context.Context, to peer.ID, r request) (answer, error) {
	var a answer
	err := p.exchange(ctx, to, Protocol, r, maxAnswer, &a)
	return a, err
}

// exchange sends a request to a peer and reads an answer of at most max bytes.
func (p *People) exchange(ctx context.Context, to peer.ID, over protocol.ID, r any, max int, a any) error {
	ctx, cancel := context.WithTimeout(ctx, streamTimeout)
	defer cancel()
	s, err := p.o.Net.Open(ctx, to, over)
	if err != nil {
		return err
	}
	defer s.Close()
	stop := context.AfterFunc(ctx, func() { s.Reset() })
	defer stop()
	if err := s.SetDeadline(time.Now().Add(streamTimeout)); err != nil {
		return fmt.Errorf("people: ask %s: %v: %w", to, err, kith.Unavailable)
	}
	if err = wire.WriteMsg(s, r); err == nil {
		err = wire.ReadMsg(bufio.NewReader(s), max, a)
	}
	if err != nil {
		return fmt.Errorf("people: ask %s: %v: %w", to, err, kith.Unavailable)
	}
	return nil
}
