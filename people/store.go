package people

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"kith"
	"kith/identity"
	"kith/internal/plain"
	"kith/internal/room"
	"kith/record"
	"kith/wire"
)

// Limits of the list of contacts.
const (
	maxPeople = 10000
	maxName   = 64 // bytes of what the person calls somebody
)

var database = []string{`
CREATE TABLE contacts (
	id      INTEGER PRIMARY KEY,
	name    TEXT NOT NULL UNIQUE,       -- what the person calls them
	chosen  INTEGER NOT NULL,           -- 0: it is that of a device, until they say how they are called
	person  BLOB UNIQUE,                -- master public key; NULL until they have shown a certificate
	profile TEXT NOT NULL DEFAULT '',   -- as they call themselves
	digest  BLOB,                       -- SHA-256 of their picture
	picture BLOB,                       -- once it has come
	serial  INTEGER NOT NULL DEFAULT 0, -- of the card that said so
	added   INTEGER NOT NULL            -- seconds since 1970
);
CREATE TABLE devices (
	peer    BLOB PRIMARY KEY,
	contact INTEGER NOT NULL REFERENCES contacts ON DELETE CASCADE,
	cert    BLOB,                       -- NULL: added by its peer id alone
	serial  INTEGER NOT NULL DEFAULT 0, -- of the newest card that it signed
	addrs   BLOB,                       -- CBOR list of multiaddrs, of that card
	seen    INTEGER NOT NULL DEFAULT 0  -- when it was last connected
);
CREATE INDEX devices_contact ON devices (contact);
CREATE TABLE invites (
	id      BLOB PRIMARY KEY,
	secret  BLOB NOT NULL,
	name    TEXT NOT NULL,              -- what who joins will be called; '': as they call themselves
	link    TEXT NOT NULL,
	created INTEGER NOT NULL,
	expires INTEGER NOT NULL,
	used    INTEGER NOT NULL DEFAULT 0, -- when
	used_by BLOB,                       -- peer id
	revoked INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE own (one INTEGER PRIMARY KEY CHECK (one = 1), serial INTEGER NOT NULL, digest BLOB NOT NULL);
`, `
ALTER TABLE devices ADD COLUMN ticket BLOB; -- of the record that says where it is, by that card
`, `
ALTER TABLE devices ADD COLUMN name TEXT NOT NULL DEFAULT '';    -- by the newest certificate or list
ALTER TABLE devices ADD COLUMN issued INTEGER NOT NULL DEFAULT 0; -- when that was signed; 0: it has neither
ALTER TABLE devices ADD COLUMN card BLOB;                         -- the newest
CREATE TABLE lists (
	person BLOB PRIMARY KEY,  -- master public key, of a contact or of the person
	serial INTEGER NOT NULL,
	list   BLOB NOT NULL      -- the newest of their devices
);
CREATE TABLE revoked (
	person BLOB NOT NULL,
	device BLOB NOT NULL,            -- first half of the SHA-256 of its peer id
	at     INTEGER NOT NULL,
	name   TEXT NOT NULL DEFAULT '', -- what it was called, if that was known here
	PRIMARY KEY (person, device)
);
CREATE TABLE book (               -- what the devices of the person agree on; see package book
	key    BLOB PRIMARY KEY,      -- master public key, peer id, or p and the own master public key
	time   INTEGER NOT NULL,      -- stamp
	by     BLOB NOT NULL,
	gone   INTEGER NOT NULL,
	name   TEXT NOT NULL,
	added  INTEGER NOT NULL,
	sum    BLOB NOT NULL,
	number INTEGER NOT NULL
);
CREATE TABLE epoch (one INTEGER PRIMARY KEY CHECK (one = 1), id BLOB NOT NULL);
CREATE TABLE cursors (peer BLOB PRIMARY KEY, epoch BLOB NOT NULL, number INTEGER NOT NULL); -- how far the book of another device was read
`, `
CREATE TABLE place (
	one  INTEGER PRIMARY KEY CHECK (one = 1),
	salt BLOB NOT NULL, -- of the key of this device's record
	left BLOB           -- that of the key before, while the record under that is to be withdrawn; empty: there was none
);
ALTER TABLE lists ADD COLUMN ticket BLOB; -- of the record that holds the newest list
ALTER TABLE lists ADD COLUMN dated BLOB;  -- of the person's own list: CBOR list of that record's versions for the months to come
`}

// A Contact is somebody the person knows.
type Contact struct {
	ID      int64
	Name    string // what the person calls them
	Profile string // what they call themselves
	Person  []byte // master public key; nil until they have shown a certificate
	Picture []byte // SHA-256 of their picture, if it is here
	Added   time.Time
	Me      bool // it is the person, with other devices
	Devices []Device
}

// A Device is one of a contact's.
type Device struct {
	Peer  peer.ID
	Name  string // by its certificate, or by the list of its person's devices
	Addrs []ma.Multiaddr
	Seen  time.Time // zero: never

	Ticket record.Ticket // of the record that says where it is; zero: it has none
}

// load reads the contacts into memory, where they are asked for at every request of a peer. The caller holds p.write, or is Open.
func (p *People) load(ctx context.Context) error {
	rows, err := p.db.QueryContext(ctx, `SELECT c.id, c.name, c.profile, c.person, CASE WHEN c.picture IS NULL THEN NULL ELSE c.digest END, c.added,
		d.peer, d.name, d.cert, d.addrs, d.ticket, d.seen FROM contacts c LEFT JOIN devices d ON d.contact = c.id ORDER BY c.name COLLATE NOCASE, c.id, d.rowid`)
	if err != nil {
		return err
	}
	defer rows.Close()
	var list []Contact
	for rows.Next() {
		var c Contact
		var id, cert, addrs, ticket []byte
		var added int64
		var seen sql.NullInt64
		var name sql.NullString
		if err := rows.Scan(&c.ID, &c.Name, &c.Profile, &c.Person, &c.Picture, &added, &id, &name, &cert, &addrs, &ticket, &seen); err != nil {
			return err
		}
		if n := len(list); n == 0 || list[n-1].ID != c.ID {
			c.Added, c.Me = time.Unix(added, 0).UTC(), c.Person != nil && bytes.Equal(c.Person, p.o.Me.Certificate().Master)
			list = append(list, c)
		}
		if id != nil {
			last := &list[len(list)-1]
			last.Devices = append(last.Devices, device(id, name.String, cert, addrs, ticket, seen.Int64))
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	byPeer := map[peer.ID]int{}
	for i, c := range list {
		for _, d := range c.Devices {
			byPeer[d.Peer] = i
		}
	}
	me, err := p.rosterOf(ctx, p.db, p.o.Me.Certificate().Master)
	if err != nil {
		return err
	}
	revoked, _ := me.Revoked(p.o.Me.PeerID())
	var salt []byte
	if err := p.db.QueryRowContext(ctx, `SELECT salt FROM place`).Scan(&salt); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list, p.byPeer, p.revokedAt, p.salt = list, byPeer, revoked, salt
	return nil
}

// change runs do in a transaction, and reads the contacts anew. What do returns as an error undoes all of it.
func (p *People) change(ctx context.Context, do func(*sql.Tx) error) error {
	p.write.Lock()
	defer p.write.Unlock()
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("people: %w", room.Explain(err))
	}
	defer tx.Rollback()
	p.cut, p.relisted = nil, false
	err = do(tx)
	if err == nil {
		if err = tx.Commit(); err != nil {
			err = fmt.Errorf("people: %w", err)
		}
	}
	if err != nil {
		tx.Rollback()
		if p.book.Last() != p.bookLast.Load() { // what it says was undone
			if err := p.readBook(context.WithoutCancel(ctx)); err != nil {
				return fmt.Errorf("people: %w", err)
			}
		}
		return room.Explain(err)
	}
	p.bookLast.Store(p.book.Last())
	if err := p.load(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("people: %w", err)
	}
	p.cutOff(p.cut)
	if p.relisted {
		wake(p.listed)
	}
	p.Changed()
	return nil
}

// checkName returns name as it is kept. Its error is Invalid.
func checkName(name string) (string, error) {
	name = strings.TrimSpace(name)
	if name == "" || len(name) > maxName || !utf8.ValidString(name) || name != plain.Text(name) {
		return "", fmt.Errorf("people: name %.70q: want 1 to %d bytes without control characters: %w", name, maxName, kith.Invalid)
	}
	return name, nil
}

func noSuch(name string) error {
	return kith.Hint(fmt.Errorf("people: %.70q: %w", name, kith.NotFound), "see who is there with: kith people")
}

// Add gives a device to the contact called name, who is made if there is none. Who they are is learnt from them when they connect.
func (p *People) Add(ctx context.Context, name string, id peer.ID) error {
	name, err := checkName(name)
	if err != nil {
		return err
	}
	if id == p.o.Me.PeerID() {
		return fmt.Errorf("people: add %s: that is this device itself: %w", name, kith.Invalid)
	}
	return p.change(ctx, func(tx *sql.Tx) error { return p.add(tx, name, id, p.now()) })
}

func (p *People) add(tx *sql.Tx, name string, id peer.ID, added time.Time) error {
	var owner string
	err := tx.QueryRow(`SELECT c.name FROM devices d JOIN contacts c ON c.id = d.contact WHERE d.peer = ?`, []byte(id)).Scan(&owner)
	switch {
	case err == nil && owner == name:
		return nil
	case err == nil:
		return kith.Hint(fmt.Errorf("people: that device is %s's: %w", owner, kith.Exists), "take it away first: kith people rm '%s'", owner)
	case !errors.Is(err, sql.ErrNoRows):
		return err
	}
	var contact int64
	err = tx.QueryRow(`SELECT id FROM contacts WHERE name = ?`, name).Scan(&contact)
	if errors.Is(err, sql.ErrNoRows) {
		contact, err = insert(tx, name, true, nil, added)
	}
	if err != nil {
		return err
	}
	if err := addDevice(tx, contact, id, nil); err != nil {
		return err
	}
	return p.decided(tx, contact, false)
}

// insert makes a contact.
func insert(tx *sql.Tx, name string, chosen bool, person []byte, added time.Time) (int64, error) {
	var n int
	if err := tx.QueryRow(`SELECT count(*) FROM contacts`).Scan(&n); err != nil {
		return 0, err
	}
	if n >= maxPeople {
		return 0, fmt.Errorf("people: at most %d: %w", maxPeople, kith.TooLarge)
	}
	res, err := tx.Exec(`INSERT INTO contacts (name, chosen, person, added) VALUES (?, ?, ?, ?)`, name, chosen, person, added.Unix())
	if err != nil {
		return 0, err
	}
	return res.LastInsertId()
}

// addDevice makes a device the contact's. It must not be there.
func addDevice(tx *sql.Tx, contact int64, id peer.ID, cert []byte) error {
	var n int
	if err := tx.QueryRow(`SELECT count(*) FROM devices WHERE contact = ?`, contact).Scan(&n); err != nil {
		return err
	}
	if n >= maxDevices {
		return fmt.Errorf("people: they have %d devices already: %w", maxDevices, kith.TooLarge)
	}
	_, err := tx.Exec(`INSERT INTO devices (peer, contact, cert) VALUES (?, ?, ?)`, []byte(id), contact, cert)
	return err
}

// Remove takes a contact and all of their devices off the list.
func (p *People) Remove(ctx context.Context, name string) error {
	var gone []Device
	for _, c := range p.All() {
		if c.Name == name && c.Me {
			return kith.Hint(fmt.Errorf("people: %s: these are your own devices: %w", name, kith.Invalid), "take one away with: kith id revoke DEVICE")
		}
		if c.Name == name {
			gone = c.Devices
		}
	}
	err := p.change(ctx, func(tx *sql.Tx) error {
		var contact int64
		if err := tx.QueryRow(`SELECT id FROM contacts WHERE name = ?`, name).Scan(&contact); err == nil {
			if err := errors.Join(p.decided(tx, contact, true), p.moveRecord(tx)); err != nil {
				return err
			}
		}
		return one(tx, name, `DELETE FROM contacts WHERE name = ?`, name)
	})
	for _, d := range gone {
		if err == nil && p.o.Records != nil {
			err = p.o.Records.Forget(ctx, d.Ticket)
		}
	}
	return err
}

// Rename calls a contact otherwise.
func (p *People) Rename(ctx context.Context, name, to string) error {
	to, err := checkName(to)
	if err != nil {
		return err
	}
	return p.change(ctx, func(tx *sql.Tx) error {
		var taken int
		if err := tx.QueryRow(`SELECT count(*) FROM contacts WHERE name = ? AND name != ?`, to, name).Scan(&taken); err != nil {
			return err
		}
		if taken > 0 {
			return kith.Hint(fmt.Errorf("people: somebody else is called %s: %w", to, kith.Exists), "choose another name")
		}
		if err := one(tx, name, `UPDATE contacts SET name = ?, chosen = 1 WHERE name = ?`, to, name); err != nil {
			return err
		}
		var contact int64
		if err := tx.QueryRow(`SELECT id FROM contacts WHERE name = ?`, to).Scan(&contact); err != nil {
			return err
		}
		return p.decided(tx, contact, false)
	})
}

// one runs a statement that is to change the contact called name.
func one(tx *sql.Tx, name, query string, args ...any) error {
	res, err := tx.Exec(query, args...)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, noSuch(name))
	}
	return nil
}

// free returns name, or name with the first number behind it that makes it nobody else's.
func free(tx *sql.Tx, name string) (string, error) {
	for n, try := 2, name; ; n++ {
		var taken int
		if err := tx.QueryRow(`SELECT count(*) FROM contacts WHERE name = ?`, try).Scan(&taken); err != nil || taken == 0 {
			return try, err
		}
		tail := fmt.Sprintf(" %d", n)
		for try = name; len(try)+len(tail) > maxName; {
			_, size := utf8.DecodeLastRuneInString(try)
			try = try[:len(try)-size]
		}
		try += tail
	}
}

// accept takes in a card whose signatures have been checked, and returns whose it is. Who is not a contact becomes one only if invited, and is then
// called name, or as they call themselves if that is ""; the person's own devices need no invitation. Otherwise the error is NotFound. A card that is older than
// one that came before is Denied, and one of a device that its person has revoked is Denied and errCut.
func (p *People) accept(ctx context.Context, tx *sql.Tx, c card, invited bool, name string) (contact int64, err error) {
	if p.mine(c.person()) {
		invited, name = true, Me
	}
	r, err := p.rosterOf(ctx, tx, c.person())
	if err != nil {
		return 0, err
	}
	if !c.list.IsZero() {
		if err := r.Take(c.list); err != nil {
			return 0, err
		}
	}
	if err := r.Certify(c.certs[0]); err != nil {
		return 0, fmt.Errorf("people: card of %s: %w: %w", c.device(), errCut, err)
	}
	contact, news, err := p.claim(tx, c, invited, name)
	if err != nil {
		return 0, err
	}
	id := []byte(c.device())
	var last uint64
	switch err := tx.QueryRow(`SELECT serial FROM devices WHERE peer = ?`, id).Scan(&last); {
	case errors.Is(err, sql.ErrNoRows):
		if err := addDevice(tx, contact, c.device(), nil); err != nil {
			return 0, err
		}
	case err != nil:
		return 0, err
	case c.serial < last:
		return 0, fmt.Errorf("people: card of %s: number %d, and %d has been seen: %w: %w", c.device(), c.serial, last, errOld, kith.Denied)
	}
	addrs := [][]byte{}
	for _, a := range c.addrs {
		addrs = append(addrs, a.Bytes())
	}
	encoded, err := wire.Marshal(addrs)
	if err != nil {
		return 0, err
	}
	var ticket []byte
	if c.ticket != (record.Ticket{}) {
		ticket = c.ticket.Bytes()
	}
	if _, err := tx.Exec(`UPDATE devices SET contact = ?, cert = ?, serial = ?, addrs = ?, ticket = ?, card = ?, seen = CASE WHEN ? THEN ? ELSE seen END WHERE peer = ?`,
		contact, c.certs[0].Bytes(), c.serial, encoded, ticket, c.encoded, p.connected(c.device()), p.now().Unix(), id); err != nil {
		return 0, err
	}
	for _, cert := range c.certs[1:] {
		r.Certify(cert) // one that was revoked since is passed over
	}
	if err := p.keepRoster(ctx, tx, contact, r); err != nil {
		return 0, err
	}
	if c.listAt != (record.Ticket{}) {
		if _, err := tx.Exec(`UPDATE lists SET ticket = ?1 WHERE person = ?2 AND ticket IS NOT ?1`, c.listAt.Bytes(), c.person()); err != nil {
			return 0, err
		}
	}
	renamed, err := describe(tx, contact, c)
	switch {
	case err != nil:
		return 0, err
	case news || renamed:
		err = p.decided(tx, contact, false)
	case c.serial > last:
		err = p.touched(tx, c.person())
	}
	return contact, err
}

// claim returns the contact whose card c is; news is true if they were none before, or only by a peer id.
func (p *People) claim(tx *sql.Tx, c card, invited bool, name string) (contact int64, news bool, err error) {
	var known, holder int64 // contact by person; contact to whom the device belongs so far
	var person []byte       // of holder
	err = tx.QueryRow(`SELECT id FROM contacts WHERE person = ?`, c.person()).Scan(&known)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, false, err
	}
	err = tx.QueryRow(`SELECT c.id, c.person FROM devices d JOIN contacts c ON c.id = d.contact WHERE d.peer = ?`, []byte(c.device())).Scan(&holder, &person)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, false, err
	}
	switch {
	case holder != 0 && person == nil: // added by its peer id: now they say who they are
		if err := p.decided(tx, holder, true); err != nil {
			return 0, false, err
		}
		if known == 0 {
			_, err := tx.Exec(`UPDATE contacts SET person = ? WHERE id = ?`, c.person(), holder)
			return holder, true, err
		}
		_, err := tx.Exec(`UPDATE devices SET contact = ? WHERE contact = ?`, known, holder)
		if err == nil {
			_, err = tx.Exec(`DELETE FROM contacts WHERE id = ?`, holder)
		}
		return known, false, err
	case holder != 0 && !bytes.Equal(person, c.person()) && !invited && known == 0:
		return 0, false, fmt.Errorf("people: card of %s: the device is certified for somebody else than before: %w", c.device(), kith.Denied)
	case known != 0:
		return known, false, nil
	case !invited:
		return 0, false, fmt.Errorf("people: card of %s: not a contact: %w", c.device(), kith.NotFound)
	}
	chosen := true
	if name == "" {
		name = c.name
	}
	if name, err = checkName(name); err != nil {
		chosen = false
		if name, err = checkName(c.certs[0].Name); err != nil {
			name = "somebody"
		}
	}
	if name, err = free(tx, name); err != nil {
		return 0, false, err
	}
	contact, err = insert(tx, name, chosen, c.person(), p.now())
	return contact, true, err
}

// describe takes over how they call themselves and what they look like, from the newest card of any of their devices. renamed is true if they are called so from now
// on.
func describe(tx *sql.Tx, contact int64, c card) (renamed bool, err error) {
	var last uint64
	var chosen bool
	if err := tx.QueryRow(`SELECT serial, chosen FROM contacts WHERE id = ?`, contact).Scan(&last, &chosen); err != nil || c.serial < last {
		return false, err
	}
	if name, err := checkName(c.name); err == nil && !chosen {
		if name, err = free(tx, name); err != nil {
			return false, err
		}
		if _, err := tx.Exec(`UPDATE contacts SET name = ?, chosen = 1 WHERE id = ?`, name, contact); err != nil {
			return false, err
		}
		renamed = true
	}
	_, err = tx.Exec(`UPDATE contacts SET profile = ?, serial = ?, picture = CASE WHEN digest IS ?3 THEN picture ELSE NULL END, digest = ?3 WHERE id = ?4`,
		c.name, c.serial, c.picture, contact)
	return renamed, err
}

// nextSerial returns the number of the own card with the content that digest names: the last one, or a greater one if it has changed.
func (p *People) nextSerial(ctx context.Context, digest [sha256.Size]byte) (serial uint64, err error) {
	p.write.Lock()
	defer p.write.Unlock()
	var last []byte
	err = p.db.QueryRowContext(ctx, `SELECT serial, digest FROM own`).Scan(&serial, &last)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, err
	}
	if bytes.Equal(last, digest[:]) {
		return serial, nil
	}
	serial = max(serial+1, uint64(p.now().UnixMilli())) // also above what was used before this file was lost
	_, err = p.db.ExecContext(ctx, `INSERT INTO own VALUES (1, ?, ?) ON CONFLICT (one) DO UPDATE SET serial = excluded.serial, digest = excluded.digest`, serial, digest[:])
	return serial, err
}

// device reads a row of devices; what cannot be read of it is left out.
func device(id []byte, name string, cert, addrs, ticket []byte, seen int64) Device {
	d := Device{Peer: peer.ID(id), Name: name}
	if c, err := identity.ParseCertificate(cert); err == nil && name == "" {
		d.Name = c.Name
	}
	var raw [][]byte
	if addrs != nil && wire.Unmarshal(addrs, &raw) == nil {
		for _, b := range raw {
			if a, err := ma.NewMultiaddrBytes(b); err == nil {
				d.Addrs = append(d.Addrs, a)
			}
		}
	}
	if ticket != nil {
		d.Ticket, _ = record.ParseTicket(ticket)
	}
	if seen != 0 {
		d.Seen = time.Unix(seen, 0).UTC()
	}
	return d
}
