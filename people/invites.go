package people

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
)

// Limits of invites.
const (
	maxInvites  = 1000                 // that are remembered
	minLife     = time.Minute          // of an invite
	maxLife     = 365 * 24 * time.Hour // of an invite
	inviteShort = 8                    // digits of an invite's id that are shown
	inviteKept  = 30 * 24 * time.Hour  // after it has ended, so that who comes late hears why
)

// States of an invite.
const (
	Unused  = "open"
	Used    = "used"
	Expired = "expired"
	Revoked = "withdrawn"
)

// An Issued invite is one that was made here.
type Issued struct {
	ID      string // hexadecimal; enough of it to tell it from others
	Link    string
	Name    string // what who joins is called; "": as they call themselves
	State   string // Unused, Used, Expired or Revoked
	By      peer.ID
	Created time.Time
	Expires time.Time
}

// Invite makes an invite that holds for life. Who joins by it is called name, or as they call themselves if that is "".
func (p *People) Invite(ctx context.Context, name string, life time.Duration) (Issued, error) {
	if at, ok := p.Revoked(); ok {
		return Issued{}, errRevoked(at)
	}
	if life < minLife || life > maxLife {
		return Issued{}, kith.Hint(fmt.Errorf("people: invite for %s: %w", life, kith.Invalid), "choose between a minute and 365 days: --for 24h, --for 7d")
	}
	var err error
	if name != "" {
		if name, err = checkName(name); err != nil {
			return Issued{}, err
		}
	}
	now := p.now()
	i := Invite{Device: p.o.Me.PeerID(), Expires: now.Add(life).Truncate(time.Second), Network: p.o.Net.Name(), Addrs: p.addrs()}
	if d := p.o.Net.Door(); d != nil {
		to := d.Network()
		i.Private = &to
	}
	if _, err := rand.Read(i.Secret[:]); err != nil {
		return Issued{}, fmt.Errorf("people: invite: %w", err)
	}
	i.Owner = owner(i.Secret, p.o.Me.Certificate().Master)
	if i, err = i.seal(p.o.Me.Key()); err != nil {
		return Issued{}, fmt.Errorf("people: invite: %w", err)
	}
	id := inviteID(i.Secret)
	err = p.change(ctx, func(tx *sql.Tx) error {
		if _, err := tx.Exec(`DELETE FROM invites WHERE expires < ?`, now.Add(-inviteKept).Unix()); err != nil {
			return err
		}
		var n int
		if err := tx.QueryRow(`SELECT count(*) FROM invites`).Scan(&n); err != nil {
			return err
		}
		if n >= maxInvites {
			return kith.Hint(fmt.Errorf("people: invite: at most %d: %w", maxInvites, kith.TooLarge), "withdraw some: kith invite ls, kith invite rm ID")
		}
		_, err := tx.Exec(`INSERT INTO invites (id, secret, name, link, created, expires) VALUES (?, ?, ?, ?, ?, ?)`,
			id, i.Secret[:], name, i.text, now.Unix(), i.Expires.Unix())
		return err
	})
	if err != nil {
		return Issued{}, err
	}
	return Issued{ID: hex.EncodeToString(id)[:inviteShort], Link: i.text, Name: name, State: Unused, Created: now.UTC().Truncate(time.Second), Expires: i.Expires.UTC()}, nil
}

// Invites returns the invites that were made here and not long ago, the newest first.
func (p *People) Invites(ctx context.Context) ([]Issued, error) {
	rows, err := p.db.QueryContext(ctx, `SELECT id, link, name, used, used_by, revoked, created, expires FROM invites ORDER BY created DESC, rowid DESC`)
	if err != nil {
		return nil, fmt.Errorf("people: %w", err)
	}
	defer rows.Close()
	var out []Issued
	for rows.Next() {
		var i Issued
		var id, by []byte
		var used, revoked, created, expires int64
		if err := rows.Scan(&id, &i.Link, &i.Name, &used, &by, &revoked, &created, &expires); err != nil {
			return nil, fmt.Errorf("people: %w", err)
		}
		i.ID, i.By, i.State = hex.EncodeToString(id)[:inviteShort], peer.ID(by), Unused
		i.Created, i.Expires = time.Unix(created, 0).UTC(), time.Unix(expires, 0).UTC()
		switch {
		case used != 0:
			i.State = Used
		case revoked != 0:
			i.State = Revoked
		case !p.now().Before(i.Expires):
			i.State = Expired
		}
		out = append(out, i)
	}
	return out, rows.Err()
}

// Revoke withdraws the invite whose id begins with prefix. One that was used can't be: the contact is taken off the list instead.
func (p *People) Revoke(ctx context.Context, prefix string) error {
	all, err := p.Invites(ctx)
	if err != nil {
		return err
	}
	var found []Issued
	for _, i := range all {
		if i.ID == prefix || i.Link == prefix {
			found = append(found, i)
		}
	}
	switch {
	case len(found) == 0:
		return kith.Hint(fmt.Errorf("people: invite %.40q: %w", prefix, kith.NotFound), "see which there are with: kith invite ls")
	case found[0].State == Used:
		return kith.Hint(fmt.Errorf("people: invite %s: it is used: %w", prefix, kith.Gone), "who joined by it is a contact; take them off with: kith people rm NAME")
	}
	return p.change(ctx, func(tx *sql.Tx) error {
		res, err := tx.Exec(`UPDATE invites SET revoked = 1 WHERE link = ? AND used = 0`, found[0].Link)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 { // somebody was faster
			return errors.Join(err, fmt.Errorf("people: invite %s: it is used: %w", prefix, kith.Gone))
		}
		return nil
	})
}
