package record

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/routing"

	"kith"
	"kith/internal/db"
)

// Life is how long a record that is published here holds: as long as the overlay keeps it unless it is published again.
const Life = 48 * time.Hour

// migrations of records.db; see db.Open.
var migrations = []string{
	`CREATE TABLE newest (
		path TEXT PRIMARY KEY,
		sequence INTEGER NOT NULL, -- the highest that was seen
		value BLOB NOT NULL        -- that version
	) WITHOUT ROWID`,
}

// Options says what a Store is to be. Routes, Validator and Path are required.
type Options struct {
	Routes    routing.ValueStore
	Validator *Validator // the one that Routes asks
	Path      string     // of the database
	Log       *slog.Logger
}

// A Store publishes and resolves records, and remembers the newest version of each. Its methods may be called at once.
type Store struct {
	o    Options
	db   *sql.DB
	note string

	publishing sync.Mutex // one version after the other
}

// New opens the store's memory.
func New(o Options) (*Store, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{o: o}
	var err error
	if s.db, s.note, err = db.Open(o.Path, o.Log, migrations); err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	return s, nil
}

// Note returns what a person should know: that the memory was damaged and has been begun anew. It is "" if there is nothing.
func (s *Store) Note() string { return s.note }

// Close closes the store's memory.
func (s *Store) Close() error { return s.db.Close() }

// Publish makes content the newest version of k's record, and gives it to the overlay once; Keep does so again and again. Without a peer it is kept here, and
// given to who asks.
func (s *Store) Publish(ctx context.Context, k Key, content []byte) error {
	if len(content) == 0 {
		return fmt.Errorf("record: publish: nothing: %w", kith.Invalid)
	}
	return s.publish(ctx, k, content)
}

// PublishSealed gives the overlay a version of a record that its owner has sealed, for who has no key to it. It is Exists if there is a newer one, and an error of
// Check's if it is not to be published now.
func (s *Store) PublishSealed(ctx context.Context, t Ticket, value []byte) error {
	r, err := Check(t.Path(), value, s.o.Validator.now())
	if last, _, e := s.newest(ctx, t.Path()); err == nil && e == nil && last > r.Sequence {
		err = fmt.Errorf("a newer version was seen: %w", kith.Exists)
	}
	if err == nil {
		err = s.remember(ctx, t.Path(), r.Sequence, value)
	}
	if err == nil {
		err = s.o.Routes.PutValue(ctx, t.Path(), value)
	}
	if err != nil {
		return fmt.Errorf("record: publish: %w", err)
	}
	return nil
}

// Withdraw replaces k's record by an empty one: who looks for it then learns that it is Gone, and not what it was.
func (s *Store) Withdraw(ctx context.Context, k Key) error { return s.publish(ctx, k, nil) }

func (s *Store) publish(ctx context.Context, k Key, content []byte) error {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	path, now := k.Ticket().Path(), s.o.Validator.now()
	last, _, err := s.newest(ctx, path)
	if errors.Is(err, kith.NotFound) { // perhaps this memory was lost, and others have newer versions than it would begin with
		last, err = s.lookup(ctx, path)
	}
	for try := 0; err == nil && try < 2; try++ {
		// Beginning with the time makes a version newer than all that went before, even if everything but the clock is lost.
		r := Record{Sequence: max(last+1, uint64(now.Unix())), Issued: now, Expires: now.Add(Life), Content: content}
		var value []byte
		if value, err = Seal(k, r); err != nil {
			break
		}
		if err = s.remember(ctx, path, r.Sequence, value); err != nil { // before anybody has it, so that no number is used twice
			break
		}
		if err = s.o.Routes.PutValue(ctx, path, value); !errors.Is(err, kith.Exists) {
			break
		}
		last, err = s.lookup(ctx, path)
	}
	if err != nil {
		return fmt.Errorf("record: publish: %w", err)
	}
	return nil
}

// lookup returns the highest sequence number of path that the overlay has; 0 if it has none.
func (s *Store) lookup(ctx context.Context, path string) (uint64, error) {
	value, err := s.o.Routes.GetValue(ctx, path)
	switch {
	case errors.Is(err, kith.NotFound), errors.Is(err, kith.Unavailable):
		return 0, nil
	case err != nil:
		return 0, err
	}
	r, err := Check(path, value, s.o.Validator.now())
	return r.Sequence, err
}

// Resolve returns the newest version of the record that t leads to, when the whole search is over. It is NotFound if nobody has it, Gone if its owner has
// withdrawn it or it has expired, and Unavailable if others have only older versions than was seen here before, or only such as are from the future by this
// computer's clock.
func (s *Store) Resolve(ctx context.Context, t Ticket) (Record, error) {
	var last Record
	for r, err := range s.Search(ctx, t) {
		if err != nil {
			return Record{}, err
		}
		last = r
	}
	return last, nil
}

// Search is Resolve for who can use a version before it is certain that there is no newer one: it yields each that is newer than those before. An error, one of
// Resolve's, comes last.
func (s *Store) Search(ctx context.Context, t Ticket) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		ctx, cancel := context.WithCancel(ctx) // ends the search when the caller has enough
		defer cancel()
		if err := s.search(ctx, t, func(r Record) bool { return yield(r, nil) }); err != nil {
			yield(Record{}, fmt.Errorf("record: resolve: %w", err))
		}
	}
}

// search returns nil if yield was given the newest version last, or has had enough.
func (s *Store) search(ctx context.Context, t Ticket, yield func(Record) bool) error {
	path := t.Path()
	seen, kept, err := s.newest(ctx, path)
	if err != nil && !errors.Is(err, kith.NotFound) {
		return err
	}
	refused := s.o.Validator.watch(path)
	last, why := s.ask(ctx, t, seen, yield)
	if e := refused(); e != nil && why == nil {
		why = e
	}
	if last == nil && kept != nil {
		if r, err := Open(t, kept, s.o.Validator.now()); err == nil {
			last = &r
			if len(r.Content) > 0 {
				yield(r)
			}
		}
	}
	switch {
	case last != nil && len(last.Content) == 0:
		return fmt.Errorf("its owner has withdrawn it: %w", kith.Gone)
	case last != nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ctx.Err(), kith.Timeout)
	case why != nil:
		return why
	}
	return kith.NotFound
}

// ask takes from the overlay what is no older than seen, and yields it unless it is withdrawn. It returns the last that it took, nil if there was none, and why
// others were not taken. It returns early when yield has had enough.
func (s *Store) ask(ctx context.Context, t Ticket, seen uint64, yield func(Record) bool) (last *Record, why error) {
	values, err := s.o.Routes.SearchValue(ctx, t.Path())
	if err != nil {
		return nil, err
	}
	for value := range values {
		r, err := Open(t, value, s.o.Validator.now())
		switch {
		case err != nil:
			why = err
			continue
		case r.Sequence < seen:
			why = fmt.Errorf("others have only older versions than was seen here before: %w", kith.Unavailable)
			continue
		}
		if err := s.remember(ctx, t.Path(), r.Sequence, value); err != nil {
			return nil, err
		}
		seen, last = r.Sequence, &r
		if len(r.Content) > 0 && !yield(r) {
			return last, nil
		}
	}
	return last, why
}

// Forget removes what is remembered of a record, for when nobody will look for it again.
func (s *Store) Forget(ctx context.Context, t Ticket) error {
	if _, err := s.db.ExecContext(ctx, "DELETE FROM newest WHERE path = ?", t.Path()); err != nil {
		return fmt.Errorf("record: forget: %w", err)
	}
	return nil
}

// newest returns what is remembered of path, or NotFound.
func (s *Store) newest(ctx context.Context, path string) (sequence uint64, value []byte, err error) {
	err = s.db.QueryRowContext(ctx, "SELECT sequence, value FROM newest WHERE path = ?", path).Scan(&sequence, &value)
	if errors.Is(err, sql.ErrNoRows) {
		err = kith.NotFound
	}
	return sequence, value, err
}

// remember keeps a version unless a newer one is kept.
func (s *Store) remember(ctx context.Context, path string, sequence uint64, value []byte) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO newest (path, sequence, value) VALUES (?, ?, ?)
		ON CONFLICT (path) DO UPDATE SET sequence = excluded.sequence, value = excluded.value WHERE excluded.sequence >= sequence`, path, int64(sequence), value)
	return err
}
