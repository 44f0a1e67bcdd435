package spread

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith/search/publication"
)

// An intake is publications being taken in, in one transaction. What is kept in the end does not depend on the order in which they come: of one device about one content the last, of
// one device those that are worth most, as many as it may have, and of all of these those that are worth most.
type intake struct {
	s    *Spread
	tx   *sql.Tx
	c    Change
	gone []peer.ID       // whose c.Lost are
	more map[peer.ID]int // publications of each publisher, beyond those that were kept before
	all  int             // and of all

	moved map[publication.ID]peer.ID // whose those are that go beyond what others keep
	less  int                        // of what is beyond, those that went
}

// ofKnown is more than any work is worth.
const ofKnown = 1000

// worth returns what a publication is worth when there are too many: whom one knows comes before all strangers, and of these who has done more work.
func (s *Spread) worth(k Kept) int {
	switch {
	case k.Publisher == s.me:
		return 2*ofKnown + k.Work
	case s.o.Known(k.Publisher):
		return ofKnown + k.Work
	}
	return k.Work
}

// reckon finds out what those are worth that an older program kept, and takes out those that are not kept without work: they come again when whoever shares them has done it.
func (s *Spread) reckon(ctx context.Context) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	rows, err := tx.Query(`SELECT id, value FROM publications WHERE worth = 0`)
	if err != nil {
		return err
	}
	defer rows.Close()
	worth := map[publication.ID]int{}
	for rows.Next() {
		var id, value []byte
		if err := rows.Scan(&id, &value); err != nil {
			return err
		}
		if k, err := keptOf(value); err == nil && len(id) == len(publication.ID{}) {
			worth[publication.ID(id)] = s.worth(k)
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	var c Change
	for id, n := range worth {
		if n >= s.o.Work {
			_, err = tx.Exec(`UPDATE publications SET worth = ? WHERE id = ?`, n, id[:])
		} else {
			_, err = tx.Exec(`DELETE FROM publications WHERE id = ?`, id[:])
			c.Lost = append(c.Lost, id)
		}
		if err != nil {
			return err
		}
	}
	return errors.Join(writeChange(tx, c), tx.Commit())
}

const put = `INSERT INTO publications (id, publisher, root, issued, expires, value, worth, beyond) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
	ON CONFLICT (publisher, root) DO UPDATE SET id = excluded.id, issued = excluded.issued, expires = excluded.expires, value = excluded.value, worth = excluded.worth, beyond = excluded.beyond`

// take takes one publication in, or refuses it.
func (in *intake) take(k Kept) error {
	s, worth := in.s, in.s.worth(k)
	if worth < s.o.Work {
		s.refuse(k.ID, publication.ID{})
		return nil
	}
	old, had, err := before(in.tx, k)
	if err != nil {
		return err
	}
	if had && !k.Replaces(k.ID, old.Publication, old.ID) {
		s.refuse(k.ID, old.ID)
		return nil
	}
	beyond := had && s.isFar(old.ID)
	if _, is := in.moved[old.ID]; had && is {
		beyond = true
	}
	if !had {
		var ok bool
		ok, beyond, err = in.room(k, worth)
		if err != nil || !ok {
			return err
		}
	}
	if _, err := in.tx.Exec(put, k.ID[:], []byte(k.Publisher), k.Root.CID().Bytes(), k.Issued.UnixMilli(), k.Expires.Unix(), k.Value, worth, beyond); err != nil {
		return err
	}
	if had {
		in.lose(old.ID, k.Publisher, beyond)
	}
	if beyond {
		in.moved[k.ID] = k.Publisher
		s.came.Add(int64(len(k.Value)))
	} else {
		in.more[k.Publisher]++
		in.all++
	}
	in.c.New = append(in.c.New, k)
	return nil
}

// lose notes that a publication is kept no more.
func (in *intake) lose(id publication.ID, publisher peer.ID, beyond bool) {
	if _, is := in.moved[id]; is {
		delete(in.moved, id)
	} else if beyond {
		in.less++
	} else {
		in.more[publisher]--
		in.all--
	}
	if i := slices.IndexFunc(in.c.New, func(k Kept) bool { return k.ID == id }); i >= 0 { // nobody has heard of it
		in.c.New = slices.Delete(in.c.New, i, i+1)
		return
	}
	in.c.Lost, in.gone = append(in.c.Lost, id), append(in.gone, publisher)
}

// room makes room for one more: what is worth least goes, unless that is k itself. What this node publishes itself always has room. A volunteer keeps beyond that what others do not: beyond is whether k is such.
func (in *intake) room(k Kept, worth int) (ok, beyond bool, err error) {
	s := in.s
	least, full := s.fullest(k.Publisher, worth, in.more[k.Publisher], in.all)
	if !full {
		return true, false, nil
	}
	v, err := victimOf(in.tx.QueryRow(least, []byte(k.Publisher)))
	if err != nil {
		return false, false, err
	}
	if !v.below(worth, k.ID) {
		ok, err = in.tuck(k.ID, k.Publisher, worth)
		return ok, true, err
	}
	stays, err := in.tuck(v.id, v.publisher, v.worth)
	if err != nil {
		return false, false, err
	}
	if !stays {
		_, err = in.tx.Exec(`DELETE FROM publications WHERE id = ?`, v.id[:])
		in.lose(v.id, v.publisher, false)
		return err == nil, false, err
	}
	in.more[v.publisher]--
	in.all--
	in.moved[v.id] = v.publisher
	_, err = in.tx.Exec(`UPDATE publications SET beyond = 1 WHERE id = ?`, v.id[:])
	return err == nil, false, err
}

// fullest reports whether there is no room for one more of a publisher that is worth so much, beside those that are being taken in, and returns the query for what is worth least of those that are too many.
func (s *Spread) fullest(publisher peer.ID, worth, more, all int) (least string, full bool) {
	if publisher == s.me {
		return "", false
	}
	most := s.o.Most
	if worth >= ofKnown {
		most = MaxKnown
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.count[publisher]-s.far.of[publisher]+more >= most:
		return `SELECT id, publisher, worth FROM publications WHERE publisher = ? AND beyond = 0 ORDER BY worth, id LIMIT 1`, true
	case s.held()+all >= MaxKept:
		return `SELECT id, publisher, worth FROM publications WHERE ?1 = ?1 AND beyond = 0 ORDER BY worth, id LIMIT 1`, true
	}
	return "", false
}

// A victim is what is kept and worth least.
type victim struct {
	id        publication.ID
	publisher peer.ID
	worth     int
}

func victimOf(row *sql.Row) (v victim, err error) {
	var id, publisher []byte
	if err := row.Scan(&id, &publisher, &v.worth); err != nil {
		return v, err
	}
	copy(v.id[:], id)
	v.publisher = peer.ID(publisher)
	return v, nil
}

// below reports whether what is worth so much takes its place.
func (v victim) below(worth int, id publication.ID) bool {
	return cmp.Or(cmp.Compare(worth, v.worth), bytes.Compare(id[:], v.id[:])) > 0
}
