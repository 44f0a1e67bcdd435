package spread

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"kith"
	"kith/network"
	"kith/search/publication"
	"kith/search/sets"
	"kith/search/talk"
)

// OwnProtocolID is that of conversations about what the asked device publishes itself: the messages are those of ProtocolID, it gives and takes nothing.
const OwnProtocolID protocol.ID = "/kith/publications/own/1"

// MaxBeyond is how many publications a volunteer may keep that others do not.
const MaxBeyond = 5_000_000

// far is what only a volunteer keeps: publications of devices that publish more than everybody keeps of them. They are neither offered nor compared, since others would refuse them each time.
type far struct {
	ids map[sets.ID]bool
	of  map[peer.ID]int
}

func newFar() far { return far{map[sets.ID]bool{}, map[peer.ID]int{}} }

func (f *far) add(id sets.ID, publisher peer.ID) {
	if !f.ids[id] {
		f.ids[id] = true
		f.of[publisher]++
	}
}

func (f *far) remove(id sets.ID, publisher peer.ID) {
	if !f.ids[id] {
		return
	}
	delete(f.ids, id)
	if f.of[publisher]--; f.of[publisher] == 0 {
		delete(f.of, publisher)
	}
}

func (s *Spread) isFar(id publication.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.far.ids[sets.ID(id)]
}

// Beyond returns how many publications are kept at most that others do not keep.
func (s *Spread) Beyond() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.beyond
}

// Far returns how many publications are kept that others do not keep.
func (s *Spread) Far() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.far.ids)
}

// lostOf reads which publications went, and whose they were, and closes rows.
func lostOf(rows *sql.Rows) (c Change, publishers []peer.ID, err error) {
	defer rows.Close()
	for rows.Next() {
		var id, publisher []byte
		if err := rows.Scan(&id, &publisher); err != nil {
			return c, nil, err
		}
		if len(id) == len(publication.ID{}) {
			c.Lost, publishers = append(c.Lost, publication.ID(id)), append(publishers, peer.ID(publisher))
		}
	}
	return c, publishers, errors.Join(rows.Err(), rows.Close())
}

// FarCame returns how many bytes came, since this was opened, of publications that others do not keep.
func (s *Spread) FarCame() int64 { return s.came.Load() }

// SetBeyond says how many publications are to be kept that others do not keep, at most; of one device MaxKnown. Of more that are kept those go that are worth least: with 0, all of them.
func (s *Spread) SetBeyond(ctx context.Context, most int) error {
	s.write.Lock()
	defer s.write.Unlock()
	s.mu.Lock()
	s.beyond = most
	clear(s.refused) // it may be kept now
	s.mu.Unlock()
	for more := s.Far() - most; more > 0; more = s.Far() - most {
		if err := s.dropFar(ctx, min(more, atOnce)); err != nil {
			return fmt.Errorf("spread: keep less: %w", err)
		}
	}
	return nil
}

// atOnce is how many publications go in one transaction.
const atOnce = 1000

// dropFar takes out the n that are worth least of what only a volunteer keeps. The caller holds write.
func (s *Spread) dropFar(ctx context.Context, n int) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	rows, err := tx.Query(`DELETE FROM publications WHERE id IN (SELECT id FROM publications WHERE beyond = 1 ORDER BY worth, id LIMIT ?) RETURNING id, publisher`, n)
	if err != nil {
		return err
	}
	c, publishers, err := lostOf(rows)
	if err != nil {
		return err
	}
	if len(c.Lost) == 0 {
		return fmt.Errorf("spread: what is in memory is not on the disk: %w", kith.Internal)
	}
	if err := errors.Join(writeChange(tx, c), tx.Commit()); err != nil {
		return err
	}
	s.note(ctx, c, publishers, nil)
	return nil
}

// promote lets what only a volunteer keeps be what everybody keeps, where there is room again. The caller holds write.
func (s *Spread) promote(ctx context.Context) error {
	room := map[peer.ID]int{}
	s.mu.Lock()
	all := MaxKept - s.held()
	for p, n := range s.far.of {
		if r := min(s.o.Most-(s.count[p]-n), n, all); r > 0 {
			room[p] = r
			all -= r
		}
	}
	s.mu.Unlock()
	for p, n := range room {
		rows, err := s.db.QueryContext(ctx, `UPDATE publications SET beyond = 0 WHERE id IN (SELECT id FROM publications WHERE publisher = ? AND beyond = 1 ORDER BY worth DESC, id DESC LIMIT ?) RETURNING id, publisher`, []byte(p), n)
		if err != nil {
			return fmt.Errorf("spread: keep as everybody does: %w", err)
		}
		c, _, err := lostOf(rows)
		if err != nil {
			return fmt.Errorf("spread: keep as everybody does: %w", err)
		}
		s.mu.Lock()
		for _, id := range c.Lost {
			s.far.remove(sets.ID(id), p)
			s.set.Add(sets.ID(id))
		}
		s.mu.Unlock()
	}
	return nil
}

// tuck makes room for one that others do not keep, and is worth so much. It is false, and noted, if there is none.
func (in *intake) tuck(id publication.ID, publisher peer.ID, worth int) (bool, error) {
	s := in.s
	s.mu.Lock()
	all, most := len(s.far.ids)+len(in.moved)-in.less, s.beyond
	of := s.far.of[publisher]
	s.mu.Unlock()
	for _, p := range in.moved {
		if p == publisher {
			of++
		}
	}
	least := ""
	switch {
	case most == 0, worth >= ofKnown: // of whom one knows there is room enough
		s.refuse(id, publication.ID{})
		return false, nil
	case of+s.o.Most >= MaxKnown:
		least = `SELECT id, publisher, worth FROM publications WHERE publisher = ? AND beyond = 1 ORDER BY worth, id LIMIT 1`
	case all >= most:
		least = `SELECT id, publisher, worth FROM publications WHERE ?1 = ?1 AND beyond = 1 ORDER BY worth, id LIMIT 1`
	default:
		return true, nil
	}
	v, err := victimOf(in.tx.QueryRow(least, []byte(publisher)))
	if err != nil {
		return false, err
	}
	if !v.below(worth, id) {
		s.refuse(id, publication.ID{})
		return false, nil
	}
	if _, err := in.tx.Exec(`DELETE FROM publications WHERE id = ?`, v.id[:]); err != nil {
		return false, err
	}
	in.lose(v.id, v.publisher, true)
	s.refuse(v.id, publication.ID{})
	return true, nil
}

// ServeOwn has a conversation with a volunteer, who wants all that this device publishes.
func (s *Spread) ServeOwn(ctx context.Context, st network.Stream) error {
	return talk.Serve(ctx, st, maxTurns, s.ownSide(st.Peer()).turn(ctx))
}

func (s *Spread) ownSide(p peer.ID) *side {
	t := s.side(p)
	t.set, t.takes = &s.own, false
	return t
}

// Gather asks a device for all that it publishes and that is not kept here, and returns how many publications came that are new here.
func (s *Spread) Gather(ctx context.Context, open func(context.Context, peer.ID) (network.Stream, error), p peer.ID) (came int, err error) {
	had, err := s.idsOf(ctx, p)
	if err != nil {
		return 0, err
	}
	t := s.side(p)
	t.set, t.gives, t.salt = &sets.Set{}, false, rand.Uint64()
	for _, id := range had {
		t.set.Add(id)
	}
	first := &message{Salt: t.salt, Parts: sets.Encode(t.set.Begin(t.salt))}
	err = talk.Begin(ctx, open, p, maxTurns, first, t.turn(ctx))
	return t.came, err
}

// idsOf returns the IDs of what is kept of a device.
func (s *Spread) idsOf(ctx context.Context, p peer.ID) (list []sets.ID, err error) {
	rows, err := s.db.QueryContext(ctx, `SELECT id FROM publications WHERE publisher = ?`, []byte(p))
	if err != nil {
		return nil, fmt.Errorf("spread: read: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id []byte
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("spread: read: %w", err)
		}
		if len(id) == len(sets.ID{}) {
			list = append(list, sets.ID(id))
		}
	}
	return list, rows.Err()
}

// Outdated reports whether a publication is kept here that takes the place of k, which may say that what k is of is shared no more.
func (s *Spread) Outdated(ctx context.Context, k Kept) (bool, error) {
	var value []byte
	err := s.db.QueryRowContext(ctx, `SELECT value FROM publications WHERE publisher = ? AND root = ?`, []byte(k.Publisher), k.Root.CID().Bytes()).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("spread: read: %w", err)
	}
	old, err := keptOf(value)
	return err == nil && old.ID != k.ID && !k.Replaces(k.ID, old.Publication, old.ID), nil
}
