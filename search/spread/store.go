package spread

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/search/publication"
	"kith/search/sets"
)

// How many publications are kept.
const (
	MaxKept     = 200_000 // in all; about 200 MB with the index
	MaxStranger = 1_000   // of a device that is nobody's who is known
	MaxKnown    = 50_000  // of a contact's, or an own one
	maxRefused  = 1 << 17 // IDs of those that were not kept, so that they are not asked for again and again
)

var database = []string{`
CREATE TABLE publications (
	id        BLOB PRIMARY KEY,  -- first half of the SHA-256 of value
	publisher BLOB NOT NULL,     -- peer id
	root      BLOB NOT NULL,     -- CID
	issued    INTEGER NOT NULL,  -- milliseconds since 1970
	expires   INTEGER NOT NULL,  -- seconds since 1970
	value     BLOB NOT NULL,
	UNIQUE (publisher, root)
) WITHOUT ROWID;
CREATE INDEX publications_expires ON publications (expires);
CREATE TABLE changes (id BLOB PRIMARY KEY) WITHOUT ROWID; -- publications that came or went, of which nobody has heard yet
`, `
ALTER TABLE publications ADD COLUMN worth INTEGER NOT NULL DEFAULT 0; -- of too many those are kept that are worth most
CREATE INDEX publications_worth ON publications (worth);
`, `
ALTER TABLE publications ADD COLUMN beyond INTEGER NOT NULL DEFAULT 0; -- 1: others would not keep it; a volunteer does
CREATE INDEX publications_beyond ON publications (beyond, worth) WHERE beyond = 1;
`}

// A Kept is a publication as this node keeps it.
type Kept struct {
	ID    publication.ID
	Value []byte
	publication.Publication
}

// A Change is what has changed in what is kept.
type Change struct {
	New  []Kept           // publications that are new here, of which some say that something is gone
	Lost []publication.ID // those that are kept no more: something newer has come, they have expired, or there was no room
}

// load reads which publications are kept.
func (s *Spread) load(ctx context.Context) error {
	rows, err := s.db.QueryContext(ctx, `SELECT id, publisher, worth, beyond FROM publications`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id, publisher []byte
		var worth int
		var beyond bool
		if err := rows.Scan(&id, &publisher, &worth, &beyond); err != nil {
			return err
		}
		if len(id) == len(sets.ID{}) {
			s.add(sets.ID(id), peer.ID(publisher), worth%ofKnown, beyond)
		}
	}
	return rows.Err()
}

// add notes in memory that a publication is kept.
func (s *Spread) add(id sets.ID, publisher peer.ID, work int, beyond bool) {
	switch {
	case beyond:
		s.far.add(id, publisher)
	case work >= s.o.Work:
		s.set.Add(id)
	default:
		s.quiet[id] = true
	}
	if publisher == s.me {
		s.own.Add(id)
	}
	s.count[publisher]++
}

// held returns how many publications are kept, as everybody keeps them. The caller holds mu.
func (s *Spread) held() int { return s.set.Len() + len(s.quiet) }

// All calls each with every publication that is kept, in no order, until it returns false.
func (s *Spread) All(ctx context.Context, each func(Kept) bool) error {
	rows, err := s.db.QueryContext(ctx, `SELECT value FROM publications`)
	if err != nil {
		return fmt.Errorf("spread: read: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var value []byte
		if err := rows.Scan(&value); err != nil {
			return fmt.Errorf("spread: read: %w", err)
		}
		k, err := keptOf(value)
		if err != nil {
			continue // an older program kept what this one does not know
		}
		if !each(k) {
			return nil
		}
	}
	return rows.Err()
}

// keptOf reads what is kept.
func keptOf(value []byte) (Kept, error) {
	p, err := publication.Read(value)
	return Kept{publication.IDOf(value), value, p}, err
}

// Len returns how many publications are kept.
func (s *Spread) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held() + len(s.far.ids)
}

// Publishers returns the devices of which anything is kept, in no order.
func (s *Spread) Publishers() []peer.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.count))
}

// Count returns how many publications of a device are kept, those among them that say that something is gone.
func (s *Spread) Count(publisher peer.ID) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count[publisher]
}

// Values returns publications as they are sent, those of the given IDs that are kept.
func (s *Spread) Values(ctx context.Context, ids []publication.ID) ([][]byte, error) {
	list := make([]sets.ID, len(ids))
	for i, id := range ids {
		list[i] = sets.ID(id)
	}
	values, _, err := s.values(ctx, list, math.MaxInt)
	return values, err
}

// of returns what a device publishes about a content, if it does.
func (s *Spread) of(ctx context.Context, publisher peer.ID, root kith.Ref) (Kept, bool, error) {
	var value []byte
	err := s.db.QueryRowContext(ctx, `SELECT value FROM publications WHERE publisher = ? AND root = ?`, []byte(publisher), root.CID().Bytes()).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return Kept{}, false, nil
	}
	if err != nil {
		return Kept{}, false, fmt.Errorf("spread: read: %w", err)
	}
	k, err := keptOf(value)
	return k, err == nil && !k.Gone, err
}

// keep takes publications in, durably, and returns which of them are new here. What is wrong, old or too much is passed over; of what a peer sends, bad is how many
// were not what a publication is.
func (s *Spread) keep(ctx context.Context, values [][]byte) (news []Kept, bad int, err error) {
	var good []Kept
	now := s.o.Now()
	for _, v := range values {
		if s.overfull(ctx, v) {
			continue
		}
		p, err := publication.Parse(v)
		switch {
		case err != nil:
			bad++
		case p.Current(now) == nil:
			good = append(good, Kept{publication.IDOf(v), v, p})
		}
	}
	if len(good) == 0 {
		return nil, bad, nil
	}
	s.write.Lock()
	defer s.write.Unlock()
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, bad, fmt.Errorf("spread: keep: %w", err)
	}
	defer tx.Rollback()
	in := intake{s: s, tx: tx, more: map[peer.ID]int{}, moved: map[publication.ID]peer.ID{}}
	for _, k := range good {
		if err := in.take(k); err != nil {
			return nil, bad, fmt.Errorf("spread: keep: %w", err)
		}
	}
	if err := writeChange(tx, in.c); err != nil {
		return nil, bad, fmt.Errorf("spread: keep: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return nil, bad, fmt.Errorf("spread: keep: %w", err)
	}
	s.note(ctx, in.c, in.gone, in.moved)
	return in.c.New, bad, nil
}

// writeChange writes down what is to be told, so that a crash before it is does not lose it.
func writeChange(tx *sql.Tx, c Change) error {
	for _, id := range c.ids() {
		if _, err := tx.Exec(`INSERT OR IGNORE INTO changes (id) VALUES (?)`, id[:]); err != nil {
			return err
		}
	}
	return nil
}

// ids returns the IDs of all that has changed.
func (c Change) ids() []publication.ID {
	ids := slices.Clone(c.Lost)
	for _, k := range c.New {
		ids = append(ids, k.ID)
	}
	return ids
}

// hear tells of a change, and notes that it was told.
func (s *Spread) hear(ctx context.Context, c Change) {
	ids := c.ids()
	if len(ids) == 0 || s.o.Changed == nil {
		return
	}
	err := s.o.Changed(ctx, c)
	for _, id := range ids {
		if err == nil {
			_, err = s.db.ExecContext(ctx, `DELETE FROM changes WHERE id = ?`, id[:])
		}
	}
	if err != nil && ctx.Err() == nil {
		s.o.Log.Warn("a change of publications is told again later", "err", err)
	}
}

// again tells of changes that nobody has heard of.
func (s *Spread) again(ctx context.Context) error {
	s.write.Lock()
	defer s.write.Unlock()
	rows, err := s.db.QueryContext(ctx, `SELECT changes.id, value FROM changes LEFT JOIN publications USING (id)`)
	if err != nil {
		return fmt.Errorf("spread: read: %w", err)
	}
	defer rows.Close()
	var c Change
	for rows.Next() {
		var id, value []byte
		if err := rows.Scan(&id, &value); err != nil {
			return fmt.Errorf("spread: read: %w", err)
		}
		if k, err := keptOf(value); err == nil {
			c.New = append(c.New, k)
		} else if len(id) == len(publication.ID{}) {
			c.Lost = append(c.Lost, publication.ID(id))
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("spread: read: %w", err)
	}
	rows.Close()
	s.hear(ctx, c)
	return nil
}

// before returns what is kept of the same device about the same content.
func before(tx *sql.Tx, k Kept) (Kept, bool, error) {
	var value []byte
	err := tx.QueryRow(`SELECT value FROM publications WHERE publisher = ? AND root = ?`, []byte(k.Publisher), k.Root.CID().Bytes()).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return Kept{}, false, nil
	}
	if err != nil {
		return Kept{}, false, err
	}
	old, err := keptOf(value)
	if err != nil { // it is of another version: the new one takes its place
		return Kept{ID: publication.IDOf(value)}, true, nil
	}
	return old, true, nil
}

// overfull reports whether a publication would not be kept whatever its signature is, and notes that it is not: of a device that publishes very much, most is not, and to look at each signature costs more
// than all else.
func (s *Spread) overfull(ctx context.Context, value []byte) bool {
	k, err := keptOf(value)
	if err != nil {
		return false
	}
	worth := s.worth(k)
	if worth >= s.o.Work {
		if s.Beyond() > 0 { // it is kept beside what others keep
			return false
		}
		least, full := s.fullest(k.Publisher, worth, 0, 0)
		if !full {
			return false
		}
		var has bool
		err = s.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM publications WHERE publisher = ? AND root = ?)`, []byte(k.Publisher), k.Root.CID().Bytes()).Scan(&has)
		if err != nil || has {
			return false
		}
		v, err := victimOf(s.db.QueryRowContext(ctx, least, []byte(k.Publisher)))
		if err != nil || v.below(worth, k.ID) {
			return false
		}
	}
	s.refuse(k.ID, publication.ID{})
	return true
}

// refuse notes that a publication is not kept, unless it is the one that is.
func (s *Spread) refuse(id, kept publication.ID) {
	if id == kept {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.refused) >= maxRefused {
		clear(s.refused)
	}
	s.refused[sets.ID(id)] = true
}

// note makes what is in memory what is on the disk, and tells of it. Of what was lost, publishers says whose it was; moved is whose those are that a volunteer keeps beyond what others do, and did not before.
func (s *Spread) note(ctx context.Context, c Change, publishers []peer.ID, moved map[publication.ID]peer.ID) {
	s.mu.Lock()
	for i, id := range c.Lost {
		s.set.Remove(sets.ID(id))
		s.own.Remove(sets.ID(id))
		s.far.remove(sets.ID(id), publishers[i])
		delete(s.quiet, sets.ID(id))
		if s.count[publishers[i]]--; s.count[publishers[i]] == 0 {
			delete(s.count, publishers[i])
		}
	}
	for _, k := range c.New {
		_, beyond := moved[k.ID]
		s.add(sets.ID(k.ID), k.Publisher, k.Work, beyond)
	}
	for id, publisher := range moved {
		s.set.Remove(sets.ID(id))
		s.far.add(sets.ID(id), publisher)
	}
	s.mu.Unlock()
	s.hear(ctx, c)
}

// expire takes out what has expired.
func (s *Spread) expire(ctx context.Context) error {
	s.write.Lock()
	defer s.write.Unlock()
	c, publishers, err := s.dropExpired(ctx)
	if err != nil {
		return fmt.Errorf("spread: expire: %w", err)
	}
	s.note(ctx, c, publishers, nil)
	return s.promote(ctx)
}

func (s *Spread) dropExpired(ctx context.Context) (c Change, publishers []peer.ID, err error) {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return c, nil, err
	}
	defer tx.Rollback()
	rows, err := tx.Query(`DELETE FROM publications WHERE expires < ? RETURNING id, publisher`, s.o.Now().Unix())
	if err != nil {
		return c, nil, err
	}
	c, publishers, err = lostOf(rows)
	if err := errors.Join(err, writeChange(tx, c)); err != nil {
		return c, nil, err
	}
	return c, publishers, tx.Commit()
}

// values returns publications by their IDs, those that are kept, until they have so many bytes together, and how many of the IDs that were.
func (s *Spread) values(ctx context.Context, ids []sets.ID, most int) (list [][]byte, done int, err error) {
	size := 0
	for _, id := range ids {
		var value []byte
		err := s.db.QueryRowContext(ctx, `SELECT value FROM publications WHERE id = ?`, id[:]).Scan(&value)
		switch {
		case errors.Is(err, sql.ErrNoRows): // it was replaced meanwhile
		case err != nil:
			return nil, done, fmt.Errorf("spread: read: %w", err)
		case size > 0 && size+len(value) > most:
			return list, done, nil
		default:
			list, size = append(list, value), size+len(value)
		}
		done++
	}
	return list, done, nil
}

// By returns what a device publishes.
func (s *Spread) By(ctx context.Context, publisher peer.ID) (list []Kept, err error) {
	rows, err := s.db.QueryContext(ctx, `SELECT value FROM publications WHERE publisher = ?`, []byte(publisher))
	if err != nil {
		return nil, fmt.Errorf("spread: read: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var value []byte
		if err := rows.Scan(&value); err != nil {
			return nil, fmt.Errorf("spread: read: %w", err)
		}
		if k, err := keptOf(value); err == nil && !k.Gone {
			list = append(list, k)
		}
	}
	return list, rows.Err()
}
