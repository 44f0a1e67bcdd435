package people

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/identity"
	"kith/record"
	"kith/wire"
)

// When the record that holds a list of devices is published, and looked for.
const (
	datedEvery  = 6 * 24 * time.Hour  // from one version to the next
	datedCount  = 26                  // versions that are signed at once, for five months; less than identity.SerialStep
	datedEarly  = 60 * 24 * time.Hour // before the last of them, new ones are signed if the master key is here
	listsEvery  = 6 * time.Hour       // between two times that a contact's record is looked for, and that the own one is put
	listsJitter = time.Hour           // more or less
	listsFirst  = 5 * time.Second     // after one that was not found, as just after a start when few peers are known; it doubles
	listsAgain  = 10 * time.Minute    // up to this
	listsSure   = 4                   // times that it is looked for once more after a start, 5 seconds later and each time after three times as long: the overlay has all who are connected after two minutes, and who was asked first may have an older version, as a revoked device does
	listsAtOnce = 4                   // that are looked for at a time
)

// listKey returns the key of the record that holds the person's list. Only the master key gives it, so that a device that is revoked cannot write the record; and it
// stays the same, since contacts who were away for long look there for who has been revoked.
func (p *People) listKey(m identity.Master) record.Key {
	return record.Derive(m.Secret("list of devices"), "devices/"+p.o.Net.Name())
}

// date signs the record's versions for the months to come, each of which the person's devices publish when its time has come: they have no key to it.
func (p *People) date(m identity.Master, l identity.List) (dated [][]byte, err error) {
	key, now := p.listKey(m), p.now()
	for n := range datedCount {
		issued := now.Add(time.Duration(n) * datedEvery)
		value, err := record.Seal(key, record.Record{Sequence: l.Serial + uint64(n), Issued: issued, Expires: issued.Add(record.MaxLife), Content: l.Bytes()})
		if err != nil {
			return nil, fmt.Errorf("people: %w", err)
		}
		dated = append(dated, value)
	}
	return dated, nil
}

// keepDated writes down the record of the person's own list, if it holds the list that is kept.
func (p *People) keepDated(tx *sql.Tx, ticket []byte, dated [][]byte) error {
	t, err := record.ParseTicket(ticket)
	if err != nil || len(dated) == 0 || len(dated) > datedCount {
		return errors.Join(err, fmt.Errorf("people: record of own devices: %d versions: %w", len(dated), kith.Invalid))
	}
	person := []byte(p.o.Me.Certificate().Master)
	var list []byte
	if err := tx.QueryRow(`SELECT list FROM lists WHERE person = ?`, person).Scan(&list); err != nil {
		return err
	}
	if r, err := record.Open(t, dated[0], p.now()); err != nil && !errors.Is(err, kith.Gone) || err == nil && !bytes.Equal(r.Content, list) {
		return errors.Join(err, fmt.Errorf("people: record of own devices: not of the newest list: %w", kith.Denied))
	}
	encoded, err := wire.Marshal(dated)
	if err == nil {
		_, err = tx.Exec(`UPDATE lists SET ticket = ?, dated = ? WHERE person = ?`, ticket, encoded, person)
	}
	return err
}

// dated returns the record of a person's list: the versions to come are there for the person's own.
func (p *People) dated(ctx context.Context, person []byte) (ticket []byte, dated [][]byte) {
	var encoded []byte
	if err := p.db.QueryRowContext(ctx, `SELECT ticket, dated FROM lists WHERE person = ?`, person).Scan(&ticket, &encoded); err != nil {
		return nil, nil
	}
	if encoded != nil && wire.Unmarshal(encoded, &dated) != nil {
		dated = nil
	}
	return ticket, dated
}

// followLists publishes the own list and looks for those of contacts, now and then, until ctx ends.
func (p *People) followLists(ctx context.Context) {
	tick := time.NewTimer(joined)
	defer tick.Stop()
	var put time.Time // when the own one is put again
	var shown uint64  // the sequence number of what was put last
	soon := true
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.listed:
			if !soon { // or wishes without end would put it off without end
				tick.Reset(joined)
				soon = true
			}
			continue
		case <-tick.C:
		}
		tick.Reset(lookEvery)
		soon = false
		if len(p.o.Net.Host().Network().Peers()) == 0 {
			continue
		}
		if err := p.renewList(ctx); err != nil {
			p.log.Debug("list of own devices not signed anew", "err", err)
		}
		if sequence, err := p.putList(ctx, shown, put); err != nil {
			p.log.Debug("list of own devices not published", "err", err)
		} else if sequence != 0 {
			shown, put = sequence, p.now().Add(listsEvery-listsJitter+rand.N(2*listsJitter))
		}
		p.findLists(ctx)
	}
}

// renewList signs the list anew if the master key is here, and lists that did not know of each other have met, or the record's versions come to an end.
func (p *People) renewList(ctx context.Context) error {
	me := p.o.Me.Certificate().Master
	if _, revoked := p.Revoked(); revoked || p.o.Me.Master() != identity.Here || p.newest(ctx, me) == nil {
		return nil
	}
	r, err := p.rosterOf(ctx, p.db, me)
	if err != nil {
		return err
	}
	_, dated := p.dated(ctx, me)
	if !r.Behind() && len(dated) > 0 {
		_, err := record.Check(p.ticketOf(ctx, me).Path(), dated[len(dated)-1], p.now().Add(datedEarly))
		if !errors.Is(err, kith.Gone) { // it is of then, or of later
			return nil
		}
	}
	m, err := p.o.Me.Unlock(nil, "")
	if err != nil {
		return err
	}
	return p.decide(ctx, m, func(r *identity.Roster) error { return m.Renew(r, p.now()) })
}

func (p *People) ticketOf(ctx context.Context, person []byte) record.Ticket {
	raw, _ := p.dated(ctx, person)
	t, err := record.ParseTicket(raw)
	if err != nil {
		return record.Ticket{}
	}
	return t
}

// putList publishes the version of the own list's record whose time has come, unless that was done and it is not due again. It returns the version's sequence
// number, 0 if nothing was published.
func (p *People) putList(ctx context.Context, shown uint64, due time.Time) (uint64, error) {
	me := p.o.Me.Certificate().Master
	t := p.ticketOf(ctx, me)
	if _, revoked := p.Revoked(); revoked || t == (record.Ticket{}) {
		return 0, nil
	}
	_, dated := p.dated(ctx, me)
	for n := len(dated) - 1; n >= 0; n-- {
		r, err := record.Check(t.Path(), dated[n], p.now())
		if err != nil || r.Issued.After(p.now()) || r.Sequence == shown && p.now().Before(due) {
			if err == nil && !r.Issued.After(p.now()) {
				return 0, nil
			}
			continue
		}
		return r.Sequence, p.o.Records.PublishSealed(ctx, t, dated[n])
	}
	return 0, nil
}

// findLists looks for the records of those persons whose time has come.
func (p *People) findLists(ctx context.Context) {
	people := [][]byte{p.o.Me.Certificate().Master}
	for _, c := range p.All() {
		if c.Person != nil && !c.Me {
			people = append(people, c.Person)
		}
	}
	busy := make(chan struct{}, listsAtOnce)
	for _, person := range people {
		t := p.ticketOf(ctx, person)
		if t == (record.Ticket{}) || !p.listDue(person) {
			continue
		}
		select {
		case busy <- struct{}{}:
		case <-ctx.Done():
			return
		}
		p.mu.Lock()
		if !p.closed {
			p.work.Go(func() {
				defer func() { <-busy }()
				err := p.findList(ctx, person, t)
				if err != nil {
					p.log.Debug("no newer list of devices", "err", err)
				}
				p.lookedForList(string(person), err == nil)
			})
		}
		p.mu.Unlock()
	}
}

// lookedForList decides when a person's list is looked for again.
func (p *People) lookedForList(person string, found bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	wait := min(max(2*p.missed[person], listsFirst), listsAgain)
	if found {
		delete(p.missed, person)
		n := p.sure[person]
		if n == listsSure {
			p.lists[person] = p.now().Add(listsEvery - listsJitter + rand.N(2*listsJitter))
			return
		}
		p.sure[person], wait = n+1, listsFirst*[...]time.Duration{1, 3, 9, 27}[n]
	} else {
		p.missed[person] = wait
	}
	p.lists[person] = p.now().Add(wait)
	time.AfterFunc(wait, func() { wake(p.listed) })
}

// listDue reports whether a person's list is to be looked for now, and if so has nobody else do it.
func (p *People) listDue(person []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now().Before(p.lists[string(person)]) {
		return false
	}
	if len(p.lists) > maxPeople {
		clear(p.lists) // of those who were taken off the list, too
		clear(p.missed)
		clear(p.sure)
	}
	p.lists[string(person)] = p.now().Add(listsEvery)
	return true
}

// wantList has a contact's list looked for soon, since one of their devices has come: it may be one that was revoked meanwhile.
func (p *People) wantList(id peer.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i, ok := p.byPeer[id]
	if !ok {
		return
	}
	person := string(p.list[i].Person)
	if left := p.lists[person].Sub(p.now()); left > listsAgain && left < listsEvery-2*listsJitter { // found, and not long ago
		delete(p.lists, person)
	}
	wake(p.listed)
}

// findList takes in the list of a person's devices that the overlay has.
func (p *People) findList(ctx context.Context, person []byte, t record.Ticket) error {
	ctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	r, err := p.o.Records.Resolve(ctx, t)
	if err != nil {
		return err
	}
	l, err := identity.ParseList(r.Content)
	if err != nil {
		return err
	}
	if p.mine(person) {
		return p.hearList(ctx, r.Content)
	}
	if bytes.Equal(p.newest(ctx, person), r.Content) {
		return nil
	}
	return p.change(ctx, func(tx *sql.Tx) error {
		var contact int64
		if err := tx.QueryRow(`SELECT id FROM contacts WHERE person = ?`, person).Scan(&contact); err != nil {
			return err
		}
		roster, err := p.rosterOf(ctx, tx, person)
		if err == nil {
			err = roster.Take(l)
		}
		if err != nil {
			return err
		}
		return p.keepRoster(ctx, tx, contact, roster)
	})
}
