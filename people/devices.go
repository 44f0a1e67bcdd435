package people

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/identity"
)

// Me is what the person's own other devices are called in the list of contacts.
const Me = "me"

// cutTime is how long a device that is revoked may take to hear that it is, before its connections are closed.
const cutTime = 3 * time.Second

// An OwnDevice is a device of the person's, this one too.
type OwnDevice struct {
	Peer    peer.ID
	Name    string
	Issued  time.Time
	Seen    time.Time // zero: never
	This    bool
	Revoked time.Time // zero: it acts for the person
}

// errCut is that a device was revoked by its person.
var errCut = errors.New("the device was revoked")

// A querier reads: a database or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// mine reports whether person is who this device acts for.
func (p *People) mine(person []byte) bool { return bytes.Equal(person, p.o.Me.Certificate().Master) }

// rosterOf returns what is known of a person's devices.
func (p *People) rosterOf(ctx context.Context, q querier, person []byte) (*identity.Roster, error) {
	r := identity.NewRoster(bytes.Clone(person))
	revoked, err := q.QueryContext(ctx, `SELECT device, at FROM revoked WHERE person = ?`, person)
	if err != nil {
		return nil, err
	}
	defer revoked.Close()
	for revoked.Next() {
		var device []byte
		var at int64
		if err := revoked.Scan(&device, &at); err != nil {
			return nil, err
		}
		if len(device) == len(identity.Short{}) {
			r.Revoke(identity.Revocation{Device: identity.Short(device), At: time.Unix(at, 0).UTC()})
		}
	}
	if err := errors.Join(revoked.Err(), revoked.Close()); err != nil {
		return nil, err
	}
	rows, err := q.QueryContext(ctx, `SELECT d.peer, d.name, d.issued, d.cert FROM devices d JOIN contacts c ON c.id = d.contact WHERE c.person = ?`, person)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id, cert []byte
		var name string
		var issued int64
		if err := rows.Scan(&id, &name, &issued, &cert); err != nil {
			return nil, err
		}
		if c, err := identity.ParseCertificate(cert); err == nil {
			r.Certify(c)
		}
		if issued != 0 {
			r.List(identity.Listed{Device: peer.ID(id), Name: name, Issued: time.Unix(issued, 0).UTC()})
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, err
	}
	if c := p.o.Me.Certificate(); p.mine(person) {
		r.Certify(c)
	}
	var list []byte
	if err := q.QueryRowContext(ctx, `SELECT list FROM lists WHERE person = ?`, person).Scan(&list); err == nil {
		if l, err := identity.ParseList(list); err == nil {
			r.Take(l)
		}
	} else if !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	return r, nil
}

// keepRoster writes down what is known of a person's devices: they are the contact's, if it is not 0; those that are revoked are cut off.
func (p *People) keepRoster(ctx context.Context, tx *sql.Tx, contact int64, r *identity.Roster) error {
	if !r.Newest.IsZero() {
		res, err := tx.Exec(`INSERT INTO lists (person, serial, list) VALUES (?1, ?2, ?3) ON CONFLICT (person) DO UPDATE SET serial = ?2, list = ?3 WHERE list != ?3`,
			[]byte(r.Master), int64(r.Newest.Serial), r.Newest.Bytes())
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n > 0 {
			p.relisted = true
			if err := errors.Join(err, p.touched(tx, r.Master)); err != nil {
				return err
			}
		}
	}
	for _, x := range r.Revocations() {
		if _, err := tx.Exec(`INSERT INTO revoked (person, device, at) VALUES (?1, ?2, ?3) ON CONFLICT (person, device) DO UPDATE SET at = ?3 WHERE at < ?3`,
			[]byte(r.Master), x.Device[:], x.At.Unix()); err != nil {
			return err
		}
	}
	if contact == 0 {
		return nil
	}
	for _, d := range r.Devices() {
		if d.Device == p.o.Me.PeerID() {
			continue
		}
		var holder int64
		err := tx.QueryRow(`SELECT contact FROM devices WHERE peer = ?`, []byte(d.Device)).Scan(&holder)
		if errors.Is(err, sql.ErrNoRows) {
			if holder, err = contact, addDevice(tx, contact, d.Device, nil); errors.Is(err, kith.TooLarge) {
				continue
			}
		}
		if err == nil && holder == contact { // a device that is only listed is theirs if nobody else's
			_, err = tx.Exec(`UPDATE devices SET name = ?, issued = ? WHERE peer = ?`, d.Name, d.Issued.Unix(), []byte(d.Device))
		}
		if err != nil {
			return err
		}
	}
	return p.cutRevoked(ctx, tx, contact, r)
}

// cutRevoked takes the contact's devices off the list that are revoked.
func (p *People) cutRevoked(ctx context.Context, tx *sql.Tx, contact int64, r *identity.Roster) error {
	rows, err := tx.QueryContext(ctx, `SELECT peer, name FROM devices WHERE contact = ?`, contact)
	if err != nil {
		return err
	}
	defer rows.Close()
	gone := map[peer.ID]string{}
	for rows.Next() {
		var id []byte
		var name string
		if err := rows.Scan(&id, &name); err != nil {
			return err
		}
		if _, ok := r.Revoked(peer.ID(id)); ok {
			gone[peer.ID(id)] = name
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	for id, name := range gone {
		short := identity.ShortOf(id)
		if _, err := tx.Exec(`DELETE FROM devices WHERE peer = ?`, []byte(id)); err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE revoked SET name = ? WHERE person = ? AND device = ?`, name, []byte(r.Master), short[:]); err != nil {
			return err
		}
		p.cut = append(p.cut, cutDevice{id, r.Newest.Bytes()})
	}
	if len(gone) > 0 {
		return p.moveRecord(tx)
	}
	return nil
}

// A cutDevice is one that was revoked, and the list that says so.
type cutDevice struct {
	peer peer.ID
	list []byte
}

// cutOff tells devices that they are revoked, and closes the connections to them.
func (p *People) cutOff(gone []cutDevice) {
	for _, g := range gone {
		p.log.Info("device revoked by its person", "peer", g.peer)
		p.mu.Lock()
		if !p.closed {
			p.work.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), cutTime)
				defer cancel()
				if p.connected(g.peer) {
					p.ask(ctx, g.peer, request{List: g.list}) // a device that is still its owner's says so then
				}
				p.o.Net.Block(g.peer)
				p.o.Net.Unblock(g.peer) // it may come again, and is told why it is no contact
			})
		}
		p.mu.Unlock()
	}
}

// ownContact returns the contact that stands for the person's other devices, and makes it if there are such devices and it is not there.
func (p *People) ownContact(tx *sql.Tx, r *identity.Roster) (contact int64, err error) {
	err = tx.QueryRow(`SELECT id FROM contacts WHERE person = ?`, []byte(r.Master)).Scan(&contact)
	if !errors.Is(err, sql.ErrNoRows) {
		return contact, err
	}
	if !slices.ContainsFunc(r.Devices(), func(d identity.Listed) bool { return d.Device != p.o.Me.PeerID() }) {
		return 0, nil
	}
	name, err := free(tx, Me)
	if err != nil {
		return 0, err
	}
	return insert(tx, name, true, r.Master, p.now())
}

// OwnDevices returns the person's devices, this one first, then by name, then those that were revoked.
func (p *People) OwnDevices(ctx context.Context) ([]OwnDevice, error) {
	r, err := p.rosterOf(ctx, p.db, p.o.Me.Certificate().Master)
	if err != nil {
		return nil, fmt.Errorf("people: %w", err)
	}
	seen := map[peer.ID]time.Time{}
	for _, c := range p.All() {
		for _, d := range c.Devices {
			seen[d.Peer] = d.Seen
		}
	}
	var out []OwnDevice
	for _, d := range r.Devices() {
		out = append(out, OwnDevice{Peer: d.Device, Name: d.Name, Issued: d.Issued, Seen: seen[d.Device], This: d.Device == p.o.Me.PeerID()})
	}
	rows, err := p.db.QueryContext(ctx, `SELECT name, at FROM revoked WHERE person = ? AND name != '' ORDER BY at DESC`, []byte(r.Master))
	if err != nil {
		return nil, fmt.Errorf("people: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var d OwnDevice
		var at int64
		if err := rows.Scan(&d.Name, &at); err != nil {
			return nil, fmt.Errorf("people: %w", err)
		}
		d.Revoked = time.Unix(at, 0).UTC()
		out = append(out, d)
	}
	if at, ok := p.Revoked(); ok {
		out = append(out, OwnDevice{Peer: p.o.Me.PeerID(), Name: p.o.Me.Device(), This: true, Revoked: at})
	}
	slices.SortStableFunc(out, func(a, b OwnDevice) int {
		switch {
		case a.This != b.This:
			return map[bool]int{true: -1, false: 1}[a.This]
		case a.Revoked.IsZero() != b.Revoked.IsZero():
			return map[bool]int{true: -1, false: 1}[a.Revoked.IsZero()]
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out, rows.Err()
}

// Revoked returns since when this device no longer acts for its person; ok is false while it does.
func (p *People) Revoked() (at time.Time, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.revokedAt, !p.revokedAt.IsZero()
}

// Acts implements app.People.
func (p *People) Acts() error {
	if at, ok := p.Revoked(); ok {
		return errRevoked(at)
	}
	return nil
}

// Trouble returns what a person should know now: that this device was revoked, and what to do.
func (p *People) Trouble() []string {
	if at, ok := p.Revoked(); ok {
		err := errRevoked(at)
		return []string{strings.TrimPrefix(strings.TrimSuffix(err.Error(), ": "+kith.Denied.Error()), "people: ") + "; " + kith.HintOf(err)}
	}
	return nil
}

// errRevoked is what a device says that was revoked.
func errRevoked(at time.Time) error {
	return kith.Hint(fmt.Errorf("people: this device was revoked on %s by who holds your master key: %w", at.Local().Format("2 January 2006, 15:04"), kith.Denied),
		"to use it again, link it anew: kith id link, on a device that is yours")
}

// own returns the person's device that is called so, or has that peer id. Its error is NotFound.
func (p *People) own(ctx context.Context, name string) (OwnDevice, error) {
	list, err := p.OwnDevices(ctx)
	if err != nil {
		return OwnDevice{}, err
	}
	var found []OwnDevice
	for _, d := range list {
		if d.Revoked.IsZero() && (d.Peer.String() == name || strings.EqualFold(d.Name, strings.TrimSpace(name))) {
			found = append(found, d)
		}
	}
	switch len(found) {
	case 0:
		return OwnDevice{}, kith.Hint(fmt.Errorf("people: none of your devices is called %.70q: %w", name, kith.NotFound), "see which there are with: kith id devices")
	case 1:
		return found[0], nil
	}
	return OwnDevice{}, kith.Hint(fmt.Errorf("people: %d of your devices are called %.70q: %w", len(found), name, kith.Invalid), "name it by its peer id, which kith id devices shows")
}

// RevokeDevice takes a device away from the person: it no longer acts for them, and contacts cut it off when they hear of it.
func (p *People) RevokeDevice(ctx context.Context, m identity.Master, name string) (OwnDevice, error) {
	d, err := p.own(ctx, name)
	if err != nil {
		return d, err
	}
	if d.This {
		return d, kith.Hint(fmt.Errorf("people: revoke %s: that is this device itself: %w", d.Name, kith.Invalid), "revoke it on another of your devices; to give it away, delete its data directory too")
	}
	return d, p.decide(ctx, m, func(r *identity.Roster) error { return m.Revoke(r, d.Peer, p.now()) })
}

// RenameDevice calls one of the person's devices otherwise.
func (p *People) RenameDevice(ctx context.Context, m identity.Master, name, to string) error {
	d, err := p.own(ctx, name)
	if err != nil {
		return err
	}
	if _, err := checkName(to); err != nil {
		return err
	}
	if other, err := p.own(ctx, to); err == nil && other.Peer != d.Peer {
		return kith.Hint(fmt.Errorf("people: another of your devices is called %s: %w", to, kith.Exists), "choose another name")
	}
	var cert identity.Certificate
	err = p.decide(ctx, m, func(r *identity.Roster) (err error) {
		cert, err = m.Admit(r, d.Peer, to, p.now())
		return err
	})
	if err == nil && d.This {
		err = p.o.Me.Adopt(cert, p.o.Me.Profile())
		p.Changed()
	}
	return err
}

// decide changes what there is to say of the person's devices.
func (p *People) decide(ctx context.Context, m identity.Master, change func(*identity.Roster) error) error {
	if at, ok := p.Revoked(); ok {
		return errRevoked(at)
	}
	return p.change(ctx, func(tx *sql.Tx) error {
		r, err := p.rosterOf(ctx, tx, p.o.Me.Certificate().Master)
		if err != nil {
			return err
		}
		if err := change(r); err != nil {
			return err
		}
		reached("list signed")
		if err := p.keepOwn(ctx, tx, r); err != nil {
			return err
		}
		dated, err := p.date(m, r.Newest)
		if err != nil {
			return err
		}
		return p.keepDated(tx, p.listKey(m).Ticket().Bytes(), dated)
	})
}

// keepOwn writes down what is known of the person's devices.
func (p *People) keepOwn(ctx context.Context, tx *sql.Tx, r *identity.Roster) error {
	contact, err := p.ownContact(tx, r)
	if err != nil {
		return err
	}
	return p.keepRoster(ctx, tx, contact, r)
}

// hearList takes in a list of the person's own devices, whoever brings it.
func (p *People) hearList(ctx context.Context, data []byte) error {
	l, err := identity.ParseList(data)
	if err != nil {
		return err
	}
	if !p.mine(l.Master) {
		return fmt.Errorf("people: the list of devices is another person's: %w", kith.Denied)
	}
	var known []byte
	err = p.db.QueryRowContext(ctx, `SELECT list FROM lists WHERE person = ?`, []byte(l.Master)).Scan(&known)
	if err == nil && bytes.Equal(known, data) {
		return nil
	}
	return p.change(ctx, func(tx *sql.Tx) error {
		r, err := p.rosterOf(ctx, tx, l.Master)
		if err == nil {
			err = r.Take(l)
		}
		if err != nil {
			return err
		}
		return p.keepOwn(ctx, tx, r)
	})
}

// newest returns the newest list of a person's devices, nil if there is none.
func (p *People) newest(ctx context.Context, person []byte) []byte {
	var list []byte
	if err := p.db.QueryRowContext(ctx, `SELECT list FROM lists WHERE person = ?`, person).Scan(&list); err != nil {
		return nil
	}
	return list
}

// reached is called at the points where a test kills the process.
var reached = func(point string) {}
