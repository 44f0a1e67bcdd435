package people

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/identity"
	"kith/people/book"
	"kith/wire"
)

// Limits of what own devices tell each other at once.
const (
	maxEntries   = 64        // of a page
	maxPage      = 192 << 10 // bytes of a page, unless one entry alone has more
	maxCards     = 96 << 10  // bytes of the cards of one contact
	maxPages     = 2 * book.MaxEntries
	profileFirst = 'p' // with which the key of the person's own profile begins; the person's key follows
)

// entryWire is an entry of the book, with what belongs to it.
type entryWire struct {
	Key     []byte   `cbor:"1,keyasint"` // master public key; of who has shown none, peer id
	Time    uint64   `cbor:"2,keyasint"`
	By      []byte   `cbor:"3,keyasint"`
	Gone    bool     `cbor:"4,keyasint,omitempty"`
	Name    string   `cbor:"5,keyasint,omitempty"`
	Added   int64    `cbor:"6,keyasint,omitempty"`
	Sum     []byte   `cbor:"7,keyasint,omitempty"`
	List    []byte   `cbor:"8,keyasint,omitempty"` // of the contact's devices
	Cards   [][]byte `cbor:"9,keyasint,omitempty"` // of these devices
	Picture []byte   `cbor:"10,keyasint,omitempty"`
}

// openBook reads the book, and gives entries to contacts that have none: they are older than it is.
func (p *People) openBook(ctx context.Context) error {
	if err := p.readBook(ctx); err != nil {
		return err
	}
	return p.change(ctx, func(tx *sql.Tx) error {
		for _, c := range p.All() {
			for _, key := range c.keys() {
				if e, ok := p.book.Get(key); ok && !e.Gone || c.Me {
					continue
				}
				if err := p.keepEntry(tx, c.entry(key), uint64(c.Added.UnixMilli())); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// readBook makes the book what is on the disk. The caller holds p.write, or is Open.
func (p *People) readBook(ctx context.Context) error {
	if err := p.db.QueryRowContext(ctx, `SELECT id FROM epoch`).Scan(&p.epoch); errors.Is(err, sql.ErrNoRows) {
		p.epoch = make([]byte, 16)
		rand.Read(p.epoch)
		if _, err := p.db.ExecContext(ctx, `INSERT INTO epoch VALUES (1, ?)`, p.epoch); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	rows, err := p.db.QueryContext(ctx, `SELECT key, time, by, gone, name, added, sum, number FROM book`)
	if err != nil {
		return err
	}
	defer rows.Close()
	var had []book.Numbered
	for rows.Next() {
		var e book.Numbered
		var key, by, sum []byte
		if err := rows.Scan(&key, &e.Stamp.Time, &by, &e.Gone, &e.Name, &e.Added, &sum, &e.Number); err != nil {
			return err
		}
		copy(e.Stamp.By[:], by)
		e.Key, e.Sum = string(key), string(sum)
		had = append(had, e)
	}
	short := identity.ShortOf(p.o.Me.PeerID())
	p.book = book.New([8]byte(short[:8]), had)
	p.bookLast.Store(p.book.Last())
	return rows.Err()
}

// keys returns the keys of a contact's entries.
func (c Contact) keys() []string {
	if c.Person != nil {
		return []string{string(c.Person)}
	}
	var out []string
	for _, d := range c.Devices {
		out = append(out, string(d.Peer))
	}
	return out
}

func (c Contact) entry(key string) book.Entry {
	return book.Entry{Key: key, Name: c.Name, Added: c.Added.Unix()}
}

// keepEntry writes down what the person has decided here.
func (p *People) keepEntry(tx *sql.Tx, e book.Entry, now uint64) error {
	kept, dropped, ok := p.book.Decide(e, now)
	if !ok {
		return fmt.Errorf("people: too many were taken off the list: %w", kith.TooLarge)
	}
	return p.writeEntry(tx, kept, dropped)
}

func (p *People) writeEntry(tx *sql.Tx, e book.Numbered, dropped string) error {
	if dropped != "" {
		if _, err := tx.Exec(`DELETE FROM book WHERE key = ?`, []byte(dropped)); err != nil {
			return err
		}
	}
	_, err := tx.Exec(`INSERT INTO book (key, time, by, gone, name, added, sum, number) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (key) DO UPDATE SET time = excluded.time, by = excluded.by, gone = excluded.gone, name = excluded.name, added = excluded.added, sum = excluded.sum, number = excluded.number`,
		[]byte(e.Key), int64(e.Stamp.Time), e.Stamp.By[:], e.Gone, e.Name, e.Added, []byte(e.Sum), int64(e.Number))
	return err
}

// decided writes down that a contact is on the list now as it is there, or no longer.
func (p *People) decided(tx *sql.Tx, contact int64, gone bool) error {
	var name string
	var person []byte
	var added int64
	if err := tx.QueryRow(`SELECT name, person, added FROM contacts WHERE id = ?`, contact).Scan(&name, &person, &added); err != nil {
		return err
	}
	keys := [][]byte{person}
	if person == nil {
		var err error
		if keys, err = devicesOf(tx, contact); err != nil {
			return err
		}
	} else if p.mine(person) {
		return nil
	}
	for _, key := range keys {
		if err := p.keepEntry(tx, book.Entry{Key: string(key), Name: name, Added: added, Gone: gone}, uint64(p.now().UnixMilli())); err != nil {
			return err
		}
	}
	return nil
}

func devicesOf(tx *sql.Tx, contact int64) ([][]byte, error) {
	rows, err := tx.Query(`SELECT peer FROM devices WHERE contact = ?`, contact)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out [][]byte
	for rows.Next() {
		var id []byte
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		out = append(out, id)
	}
	return out, rows.Err()
}

// touched writes down that there is a newer card or list of a contact.
func (p *People) touched(tx *sql.Tx, person []byte) error {
	if e, ok := p.book.Touch(string(person)); ok {
		return p.writeEntry(tx, e, "")
	}
	return nil
}

// noteProfile writes down how the person is shown to contacts, if that is not how it stands in the book.
func (p *People) noteProfile(ctx context.Context) error {
	profile := p.o.Me.Profile()
	sum := ""
	if profile.Picture != nil {
		s := sha256.Sum256(profile.Picture)
		sum = string(s[:])
	}
	key := p.profileKey()
	p.write.Lock()
	e, ok := p.book.Get(key)
	p.write.Unlock()
	if ok && e.Name == profile.Name && e.Sum == sum || !ok && profile.Name == "" && sum == "" {
		return nil
	}
	return p.change(ctx, func(tx *sql.Tx) error {
		return p.keepEntry(tx, book.Entry{Key: key, Name: profile.Name, Sum: sum}, uint64(p.now().UnixMilli()))
	})
}

func (p *People) profileKey() string {
	return string(profileFirst) + string(p.o.Me.Certificate().Master)
}

// isOwn reports whether a device is the person's.
func (p *People) isOwn(id peer.ID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	i, ok := p.byPeer[id]
	return ok && p.list[i].Me && p.revokedAt.IsZero()
}

// answerSync tells another of the person's devices what has changed here; one that says where it is itself is asked in turn.
func (p *People) answerSync(ctx context.Context, from peer.ID, r deviceRequest) (deviceAnswer, error) {
	if !p.isOwn(from) {
		return deviceAnswer{Says: saysStranger}, fmt.Errorf("people: sync: %s is no device of ours: %w", from, kith.Denied)
	}
	if r.Poke {
		p.mu.Lock()
		defer p.mu.Unlock()
		if !p.closed && !p.pulling[from] {
			p.pulling[from] = true
			p.work.Go(func() { p.pullAfterPoke(from) })
		}
		return deviceAnswer{}, nil
	}
	a := deviceAnswer{Epoch: p.epoch, Next: r.Since}
	if !bytes.Equal(r.Epoch, p.epoch) {
		a.Next = 0
	}
	p.write.Lock()
	list, more := p.book.Since(a.Next, maxEntries)
	p.write.Unlock()
	size := 0
	for _, e := range list {
		if e.Key[0] == profileFirst && len(e.Key) == 33 && e.Key != p.profileKey() {
			a.Next = e.Number // of somebody whom this device acted for once
			continue
		}
		data, err := p.entry(ctx, e.Entry)
		if err != nil {
			return deviceAnswer{Says: saysLater}, err
		}
		if size += len(data); size > maxPage && len(a.Entries) > 0 {
			more = true
			break
		}
		a.Entries, a.Next = append(a.Entries, data), e.Number
	}
	a.More = more
	if ticket, dated := p.dated(ctx, p.o.Me.Certificate().Master); !bytes.Equal(sumOf(dated), r.Dated) {
		a.ownRecord = ownRecord{ticket, dated}
	}
	return a, nil
}

// sumOf says which versions of the record of the person's list these are; nil: none.
func sumOf(dated [][]byte) []byte {
	if len(dated) == 0 {
		return nil
	}
	sum := sha256.Sum256(dated[0])
	return sum[:]
}

// entry returns an entry as it is sent, with what belongs to it.
func (p *People) entry(ctx context.Context, e book.Entry) ([]byte, error) {
	w := entryWire{Key: []byte(e.Key), Time: e.Stamp.Time, By: e.Stamp.By[:], Gone: e.Gone, Name: e.Name, Added: e.Added, Sum: []byte(e.Sum)}
	if e.Key == p.profileKey() {
		if picture := p.o.Me.Profile().Picture; picture != nil {
			if sum := sha256.Sum256(picture); string(sum[:]) == e.Sum {
				w.Picture = picture
			}
		}
	} else if !e.Gone {
		w.List = p.newest(ctx, w.Key)
		rows, err := p.db.QueryContext(ctx, `SELECT d.card FROM devices d JOIN contacts c ON c.id = d.contact WHERE c.person = ? AND d.card IS NOT NULL`, w.Key)
		if err != nil {
			return nil, fmt.Errorf("people: %w", err)
		}
		defer rows.Close()
		for size := 0; rows.Next(); {
			var card []byte
			if err := rows.Scan(&card); err != nil {
				return nil, fmt.Errorf("people: %w", err)
			}
			if size += len(card); size <= maxCards {
				w.Cards = append(w.Cards, card)
			}
		}
		if err := rows.Err(); err != nil {
			return nil, fmt.Errorf("people: %w", err)
		}
	}
	return wire.Marshal(w)
}

// poke has another of the person's devices ask what has changed here.
func (p *People) poke(ctx context.Context, to peer.ID) error {
	a, err := p.askDevice(ctx, to, deviceRequest{Poke: true})
	if err == nil && a.Says != saysYes {
		err = fmt.Errorf("people: sync: %s does not listen: %w", to, kith.Denied)
	}
	return err
}

func (p *People) pullAfterPoke(from peer.ID) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*streamTimeout)
	defer cancel()
	p.mu.Lock()
	p.pulling[from] = false // what comes from now on is asked for by another
	p.mu.Unlock()
	if err := p.Pull(ctx, from); err != nil {
		p.log.Debug("contacts not fetched from own device", "peer", from, "err", err)
	}
}

// Pull fetches what another of the person's devices knows of their contacts, as far as this one does not.
func (p *People) Pull(ctx context.Context, from peer.ID) error {
	p.pull.Lock()
	defer p.pull.Unlock()
	for range maxPages {
		var r deviceRequest
		err := p.db.QueryRowContext(ctx, `SELECT epoch, number FROM cursors WHERE peer = ?`, []byte(from)).Scan(&r.Epoch, &r.Since)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("people: %w", err)
		}
		_, dated := p.dated(ctx, p.o.Me.Certificate().Master)
		r.Dated = sumOf(dated)
		a, err := p.askDevice(ctx, from, r)
		if err != nil {
			return err
		}
		if a.Says != saysYes {
			return fmt.Errorf("people: sync: %s tells nothing: %w", from, kith.Denied)
		}
		if bytes.Equal(a.Epoch, r.Epoch) && a.Next <= r.Since && a.Dated == nil {
			return nil
		}
		err = p.change(ctx, func(tx *sql.Tx) error {
			for _, data := range a.Entries {
				var w entryWire
				if err := wire.Unmarshal(data, &w); err != nil {
					return err
				}
				if err := p.merge(ctx, tx, w); err != nil {
					p.log.Debug("contact of own device not taken", "peer", from, "err", err)
				}
			}
			if a.Dated != nil {
				if err := p.keepDated(tx, a.Ticket, a.Dated); err != nil { // it may be the one that is behind
					p.log.Debug("record of own devices not taken", "peer", from, "err", err)
				}
			}
			_, err := tx.Exec(`INSERT INTO cursors (peer, epoch, number) VALUES (?1, ?2, ?3) ON CONFLICT (peer) DO UPDATE SET epoch = ?2, number = ?3`, []byte(from), a.Epoch, int64(a.Next))
			return err
		})
		if err != nil || !a.More {
			return err
		}
	}
	return nil
}

// merge takes in an entry of another device.
func (p *People) merge(ctx context.Context, tx *sql.Tx, w entryWire) error {
	e := book.Entry{Key: string(w.Key), Stamp: book.Stamp{Time: w.Time}, Gone: w.Gone, Name: w.Name, Added: w.Added, Sum: string(w.Sum)}
	copy(e.Stamp.By[:], w.By)
	own := e.Key == p.profileKey()
	switch id, err := peer.IDFromBytes(w.Key); {
	case len(w.Key) == 32 && !p.mine(w.Key), own:
	case err != nil || id == p.o.Me.PeerID():
		return fmt.Errorf("people: sync: it names nobody: %w", kith.Invalid)
	}
	if _, err := checkName(e.Name); err != nil && !own {
		return err
	}
	if e.Stamp.Time > 1<<62 || len(w.Sum) > sha256.Size {
		return fmt.Errorf("people: sync: numbers out of range: %w", kith.Invalid)
	}
	kept, dropped, news := p.book.Merge(e)
	if news {
		if err := p.writeEntry(tx, kept, dropped); err != nil {
			return err
		}
	}
	switch {
	case own && news:
		return p.takeProfile(e, w.Picture)
	case own:
		return nil
	case news && e.Gone:
		return p.takeOff(tx, w.Key)
	case news:
		if err := p.putOn(tx, e); err != nil {
			return err
		}
	}
	return p.takeCards(ctx, tx, w)
}

// takeProfile shows the person to contacts as another of their devices does.
func (p *People) takeProfile(e book.Entry, picture []byte) error {
	profile := identity.Profile{Name: e.Name, Picture: picture}
	if sum := sha256.Sum256(picture); (e.Sum == "") != (picture == nil) || picture != nil && string(sum[:]) != e.Sum {
		return fmt.Errorf("people: sync: the picture is another than its entry says: %w", kith.Corrupt)
	}
	return p.o.Me.SetProfile(profile)
}

// takeOff takes off the list whom another device has taken off.
func (p *People) takeOff(tx *sql.Tx, key []byte) error {
	if err := p.moveRecord(tx); err != nil {
		return err
	}
	if len(key) == 32 {
		return p.erase(tx, `DELETE FROM contacts WHERE person = ?`, key)
	}
	var contact int64
	var person []byte
	err := tx.QueryRow(`SELECT c.id, c.person FROM devices d JOIN contacts c ON c.id = d.contact WHERE d.peer = ?`, key).Scan(&contact, &person)
	if errors.Is(err, sql.ErrNoRows) || err == nil && person != nil { // they have shown who they are since
		return nil
	}
	if err == nil {
		err = p.erase(tx, `DELETE FROM devices WHERE peer = ?`, key)
	}
	if err == nil {
		err = p.erase(tx, `DELETE FROM contacts WHERE id = ? AND NOT EXISTS (SELECT 1 FROM devices WHERE contact = contacts.id)`, contact)
	}
	return err
}

func (p *People) erase(tx *sql.Tx, query string, arg any) error {
	_, err := tx.Exec(query, arg)
	return err
}

// putOn puts on the list, or renames, whom another device has put there.
func (p *People) putOn(tx *sql.Tx, e book.Entry) error {
	key := []byte(e.Key)
	if len(key) != 32 {
		return p.putDevice(tx, e)
	}
	var contact int64
	err := tx.QueryRow(`SELECT id FROM contacts WHERE person = ?`, key).Scan(&contact)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	name, err := p.nameFor(tx, contact, e)
	if err != nil {
		return err
	}
	if contact == 0 {
		_, err = insert(tx, name, true, key, time.Unix(e.Added, 0))
		return err
	}
	_, err = tx.Exec(`UPDATE contacts SET name = ?, chosen = 1 WHERE id = ?`, name, contact)
	return err
}

// nameFor returns what a contact is called here: as the entry says; but of two whom devices have given the same name, on all of them it is the one with the lower
// key who keeps it.
func (p *People) nameFor(tx *sql.Tx, contact int64, e book.Entry) (string, error) {
	var holder int64
	var person []byte
	err := tx.QueryRow(`SELECT id, person FROM contacts WHERE name = ?`, e.Name).Scan(&holder, &person)
	if errors.Is(err, sql.ErrNoRows) || err == nil && holder == contact {
		return e.Name, nil
	}
	if err != nil {
		return "", err
	}
	if other, ok := p.book.Get(string(person)); !ok || other.Name != e.Name || other.Key < e.Key {
		return free(tx, e.Name)
	}
	another, err := free(tx, e.Name)
	if err == nil {
		_, err = tx.Exec(`UPDATE contacts SET name = ? WHERE id = ?`, another, holder)
	}
	return e.Name, err
}

// putDevice puts on the list, or renames, somebody of whom only a peer id is known.
func (p *People) putDevice(tx *sql.Tx, e book.Entry) error {
	var contact, others int64
	var person []byte
	var name string
	err := tx.QueryRow(`SELECT c.id, c.person, c.name, (SELECT count(*) FROM devices o WHERE o.contact = c.id) FROM devices d JOIN contacts c ON c.id = d.contact WHERE d.peer = ?`,
		[]byte(e.Key)).Scan(&contact, &person, &name, &others)
	switch {
	case err == nil && (person != nil || name == e.Name):
		return nil
	case err == nil:
		if err := p.takeOff(tx, []byte(e.Key)); err != nil {
			return err
		}
	case !errors.Is(err, sql.ErrNoRows):
		return err
	}
	return p.add(tx, e.Name, peer.ID(e.Key), time.Unix(e.Added, 0))
}

// takeCards takes in what another device has of a contact who is on the list.
func (p *People) takeCards(ctx context.Context, tx *sql.Tx, w entryWire) error {
	var contact int64
	if err := tx.QueryRow(`SELECT id FROM contacts WHERE person = ?`, w.Key).Scan(&contact); err != nil {
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	}
	if w.List != nil {
		l, err := identity.ParseList(w.List)
		if err != nil {
			return err
		}
		r, err := p.rosterOf(ctx, tx, w.Key)
		if err == nil {
			err = r.Take(l)
		}
		if err == nil {
			err = p.keepRoster(ctx, tx, contact, r)
		}
		if err != nil {
			return err
		}
	}
	for _, data := range w.Cards {
		c, err := readAnyCard(data)
		if err != nil {
			return err
		}
		if !bytes.Equal(c.person(), w.Key) {
			return fmt.Errorf("people: sync: a card is another person's: %w", kith.Corrupt)
		}
		if _, err := p.accept(ctx, tx, c, true, ""); err != nil && !errors.Is(err, kith.Denied) { // one that is older, or of a device that was revoked since
			return err
		}
	}
	return nil
}
