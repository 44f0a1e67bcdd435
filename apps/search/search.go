// Package search finds what is shared, by words, with nobody in the middle.
//
// It moves and keeps no content. Its one idea: what may be found by everybody is published (search/publication), publications spread to every node (search/spread),
// each node looks for words in what it has (search/index), and only what is nowhere but at who publishes it is asked for: those who
// may have it, as their filters say (search/shard, search/ask). What is for contacts is published nowhere: contacts are asked for it.
package search

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/app"
	"kith/apps/search/volunteer"
	"kith/internal/db"
	"kith/network"
	"kith/search/ask"
	"kith/search/index"
	"kith/search/report"
	"kith/search/shard"
	"kith/search/spread"
)

// Files is what search needs of the application that shares and fetches.
type Files interface {
	// Findable returns what there is to be found of what is here.
	Findable() []Item
	// Changed returns a channel that is closed when that has changed.
	Changed() <-chan struct{}
	// Fetch begins to fetch what link names, or goes on with it; began is false if it was on the list before.
	Fetch(ctx context.Context, link, dir string) (began bool, err error)
}

// An Item is something that is whole here.
type Item struct {
	Link   kith.Link // without places where it is; with the key
	Folder bool
	Files  int
	Public bool // anybody may find it; else only who sits at this computer
	// Contacts says that the person's contacts may find it too, who ask for it; nothing of it is published.
	Contacts bool
	Added    time.Time
}

// Search is the application.
type Search struct {
	files     Files
	elsewhere Elsewhere
	env       app.Env
	db        *sql.DB
	index     *index.Index
	spread    *spread.Spread
	shard     *shard.Shard
	asker     *ask.Asker
	local     bool // nobody is asked
	me        peer.ID
	shun      shun
	bell      chan struct{} // cap 1: there is something fresh
	offering  sync.Mutex    // one who tells the index of offers, at a time
	tagged    tagged
	learned   learned
	rare      rareIndex
	reports   reports
	seen      seen
	volunteer *volunteer.Role
	stamping  sync.Mutex // one who makes the filter, at a time
}

// New returns a Search that has not been started.
func New(files Files, elsewhere Elsewhere) *Search {
	return &Search{files: files, elsewhere: elsewhere, bell: make(chan struct{}, 1), tagged: tagged{bell: make(chan struct{}, 1)}, learned: learned{failed: map[string]bool{}},
		rare: rareIndex{bell: make(chan struct{}, 1)}, reports: newReports(), volunteer: volunteer.New()}
}

// App describes the application; it is the table of contents of this package.
func (s *Search) App() app.App {
	return app.App{
		Name: "search",
		Help: "find what is shared",
		Root: true,
		Ops: []app.Op{
			searchOp(s.search), hideOp(s.hide), unhideOp(s.unhide), hiddenOp(s.hidden), reportOp(s.report), reportsOp(s.reported), blockAddOp(s.blockAdd), blockLsOp(s.blockLs), blockRmOp(s.blockRm),
			savedOp(s.saved), savedSeenOp(s.savedSeen), savedRmOp(s.savedRm), tagOp(s.tag), aboutOp(s.about),
			volunteer.ShowOp(s.volunteer.Show), volunteer.OnOp(s.volunteer.On), volunteer.OffOp(s.volunteer.Off),
		},
		Protocols: []app.Protocol{
			{ID: spread.ProtocolID, Serve: s.serve}, {ID: shard.ProtocolID, Serve: s.serveFilters}, {ID: ask.ProtocolID, Serve: s.serveQuestions}, {ID: report.ProtocolID, Serve: s.serveReports},
			{ID: spread.OwnProtocolID, Serve: s.serveOwn},
		},
		Start: s.start,
		Stop:  s.stop,
	}
}

// database is what this application itself writes down.
var database = []string{`
CREATE TABLE own (
	ref  TEXT PRIMARY KEY, -- of what is here and in the index
	told BLOB NOT NULL     -- digest of what the index was told of it
) STRICT`, `
CREATE TABLE shunned (
	what TEXT NOT NULL,    -- peer ID of a publisher, or CID of a content
	list TEXT NOT NULL,    -- the block list that names it; '' is hidden by hand
	why  TEXT NOT NULL,
	at   INTEGER NOT NULL, -- seconds since 1970
	PRIMARY KEY (what, list)
) STRICT;
CREATE TABLE lists (
	name TEXT PRIMARY KEY,
	path TEXT NOT NULL,    -- of the file that is read again; '' if there is none
	at   INTEGER NOT NULL  -- when it was read, seconds since 1970
) STRICT;
CREATE TABLE unsettled (what TEXT PRIMARY KEY) STRICT; -- of which the index does not know yet that it is shunned, or is no more`, `
CREATE TABLE saved (
	name  TEXT PRIMARY KEY,
	query TEXT NOT NULL,
	at    INTEGER NOT NULL -- when it was saved, seconds since 1970
) STRICT;
CREATE TABLE news (
	search TEXT NOT NULL REFERENCES saved (name) ON DELETE CASCADE,
	root   TEXT NOT NULL, -- CID of what is new for it
	name   TEXT NOT NULL,
	size   INTEGER NOT NULL,
	at     INTEGER NOT NULL,
	PRIMARY KEY (search, root)
) STRICT;
CREATE TABLE fresh (id TEXT PRIMARY KEY) STRICT; -- documents of contents that were not known before, which are to be compared with what is saved`, `
CREATE TABLE tags (
	ref      TEXT PRIMARY KEY, -- of what is here
	tags     TEXT NOT NULL,    -- one a line
	language TEXT NOT NULL     -- ISO 639-1, or ''
) STRICT`, `
CREATE TABLE offers (
	id     TEXT PRIMARY KEY, -- of what other networks have and the index has been told of
	root   TEXT NOT NULL,    -- CID of what it is, or what stands for it
	name   TEXT NOT NULL,
	size   INTEGER NOT NULL, -- bytes; -1: not known
	at     INTEGER NOT NULL, -- when it was told of, seconds since 1970
	link   TEXT NOT NULL,
	source TEXT NOT NULL,
	files  TEXT NOT NULL     -- names in it, one a line
) STRICT;
CREATE INDEX offers_root ON offers (root)`, `
CREATE TABLE media (
	ref     TEXT PRIMARY KEY, -- of what is here
	version INTEGER NOT NULL, -- of the rules by which it was read
	facts   BLOB NOT NULL     -- what it says of itself, JSON
) STRICT`, `
CREATE TABLE rare (key BLOB PRIMARY KEY) STRICT; -- what the overlay may have been told that this node has something by`, reportsTables, volunteer.Table}

// settings are the section of the application in the configuration.
type settings struct {
	Local      bool   `toml:"local"`       // searches ask nobody
	OfStranger int    `toml:"of_stranger"` // publications of a stranger's device that are kept; what it has beyond them is asked for
	Rare       string `toml:"rare"`        // whether the overlay is an index of what is rare: auto, always, never
}

func (s *Search) start(ctx context.Context, env app.Env) (err error) {
	s.env, s.me = env, env.Me.PeerID()
	set := settings{OfStranger: spread.MaxStranger}
	if err := env.Config(&set); err != nil {
		return err
	}
	if set.OfStranger < 1 || set.OfStranger > spread.MaxKnown {
		return kith.Hint(fmt.Errorf("search: setting apps.search.of_stranger: %d: %w", set.OfStranger, kith.Invalid), "1 to %d", spread.MaxKnown)
	}
	s.local, s.rare.when = set.Local, set.Rare
	if err := s.rare.check(); err != nil {
		return err
	}
	state, note, err := db.Open(filepath.Join(env.Dir, "search.db"), env.Log, database)
	if err != nil {
		return fmt.Errorf("search: start: %w", err)
	}
	s.db = state
	if note != "" { // what the index has of what is here is told anew
		env.Note(note)
	}
	if s.shun.all, err = s.readShunned(ctx); err != nil {
		return fmt.Errorf("search: start: %w", err)
	}
	if err := s.readReports(ctx); err != nil {
		return fmt.Errorf("search: start: %w", err)
	}
	if s.tagged.all, err = s.readTags(ctx); err != nil {
		return fmt.Errorf("search: start: %w", err)
	}
	if s.learned.all, err = s.readLearned(ctx); err != nil {
		return fmt.Errorf("search: start: %w", err)
	}
	s.index, err = index.Open(index.Options{Path: filepath.Join(env.Dir, "index.db"), All: s.all, Log: env.Log})
	if err != nil {
		return fmt.Errorf("search: start: %w", err)
	}
	s.spread, note, err = spread.Open(ctx, spread.Options{
		Path: filepath.Join(env.Dir, "publications.db"), Key: env.Me.Key(), Log: env.Log, Known: env.People.Contact, Peers: s.peers, Changed: s.changed,
		Most: set.OfStranger,
		Open: func(ctx context.Context, p peer.ID) (network.Stream, error) {
			return env.Net.Open(ctx, p, spread.ProtocolID)
		},
	})
	if err != nil {
		return fmt.Errorf("search: start: %w", err)
	}
	if note != "" {
		env.Note(note)
	}
	if err := errors.Join(s.startOthers(), s.startVolunteer(ctx)); err != nil {
		return fmt.Errorf("search: start: %w", err)
	}
	if err := s.stamp(ctx); err != nil {
		return fmt.Errorf("search: start: %w", err)
	}
	if err := s.settle(ctx); err != nil { // what the last run did not come to
		return fmt.Errorf("search: start: %w", err)
	}
	env.Go("search.index", s.index.Run)
	env.Go("search.spread", s.spread.Run)
	env.Go("search.shard", s.shard.Run)
	env.Go("search.meet", s.meet)
	env.Go("search.follow", s.follow)
	env.Go("search.lists", s.followLists)
	env.Go("search.reports", s.tellReports)
	env.Go("search.seen", s.followSeen)
	env.Go("search.saved", s.followSaved)
	env.Go("search.rare", s.followRare)
	env.Go("search.volunteer", s.volunteer.Run)
	return nil
}

func (s *Search) stop(context.Context) error {
	var errs []error
	if s.spread != nil {
		errs = append(errs, s.spread.Close())
	}
	if s.index != nil {
		errs = append(errs, s.index.Close())
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	return errors.Join(errs...)
}

func (s *Search) serve(ctx context.Context, st network.Stream) error { return s.spread.Serve(ctx, st) }

func (s *Search) serveFilters(ctx context.Context, st network.Stream) error {
	return s.shard.Serve(ctx, st)
}

func (s *Search) serveQuestions(ctx context.Context, st network.Stream) error {
	return s.asker.Serve(ctx, st)
}

// peers returns who is connected.
func (s *Search) peers() (list []peer.ID) {
	for _, p := range s.env.Host.Peers() {
		if !s.env.Host.Foreign(p.ID) {
			list = append(list, p.ID)
		}
	}
	return list
}

// meet tells of each peer that comes.
func (s *Search) meet(ctx context.Context) error {
	events, cancel := s.env.Host.Subscribe()
	defer cancel()
	for _, p := range s.peers() {
		s.met(p)
	}
	for {
		select {
		case e, ok := <-events:
			if !ok {
				return nil
			}
			s.saw(e.Peer) // also when it goes
			if e.Connected {
				s.met(e.Peer)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *Search) met(p peer.ID) {
	s.spread.Met(p)
	s.shard.Met(p)
}

// all yields all that is to be in the index.
func (s *Search) all(ctx context.Context) iter.Seq2[index.Doc, error] {
	return func(yield func(index.Doc, error) bool) {
		for _, it := range s.files.Findable() {
			if d, err := s.ownDoc(ctx, it); err == nil && !yield(d, nil) {
				return
			}
		}
		for o, err := range s.offers(ctx, "") {
			if err != nil {
				yield(index.Doc{}, err)
				return
			}
			if docs, _ := s.split([]offered{o}); len(docs) > 0 && !yield(docs[0], nil) {
				return
			}
		}
		more := true
		err := s.spread.All(ctx, func(k spread.Kept) bool {
			more = !s.shown(k) || yield(s.docOf(k), nil)
			return more
		})
		if err != nil && more {
			yield(index.Doc{}, err)
		}
	}
}

// changed takes a change of what is published into the index.
func (s *Search) changed(ctx context.Context, c spread.Change) error {
	s.shun.settling.Lock()
	defer s.shun.settling.Unlock()
	var docs []index.Doc
	var gone []string
	for _, id := range c.Lost {
		gone = append(gone, docID(id))
	}
	for _, k := range c.New {
		if s.shown(k) {
			docs = append(docs, s.docOf(k))
		}
	}
	if err := s.freshen(ctx, docs); err != nil {
		return err
	}
	return errors.Join(s.index.Delete(ctx, gone...), s.index.Put(ctx, docs...))
}

// followEvery bounds how often it is looked at what is shared.
const followEvery = time.Second

// follow keeps what is published, and what is found here, what the person shares.
func (s *Search) follow(ctx context.Context) error {
	renew := time.NewTicker(time.Hour)
	defer renew.Stop()
	var done [32]byte // digest of the items that all was done for
	fresh := true     // something was heard of elsewhere
	for {
		changed, heard := s.files.Changed(), s.elsewhere.Changed()
		items := s.files.Findable()
		more := s.learn(ctx, items)
		if fresh || s.digest(items) != done {
			digest := s.digest(items)
			switch err := s.sync(ctx, heard, items); {
			case err == nil:
				done, fresh = digest, false
			case errors.Is(err, errChanged):
				fresh, more = true, true
			case ctx.Err() == nil:
				s.env.Log.Warn("what is shared is not all found", "err", err)
			}
		}
		pause := time.NewTimer(followEvery)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return nil
		}
		if more {
			continue
		}
		select {
		case <-changed:
		case <-heard:
			fresh = true
		case <-s.tagged.bell:
		case <-renew.C:
			done = [32]byte{}
		case <-ctx.Done():
			return nil
		}
	}
}

// errChanged ends what is done for what is no longer shared as it was.
var errChanged = errors.New("what is shared has changed")

// until returns a context that ends when what is shared has another digest, or when heard is closed, and what gives it back: to publish takes work, and what is taken back is not to wait for it. It looks
// once in followEvery, and not before that, so that some work is done however often something changes; that a download goes on is no change.
func (s *Search) until(ctx context.Context, heard <-chan struct{}, digest [32]byte) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	s.env.Go("search.changed", func(context.Context) error {
		look := time.NewTicker(followEvery)
		defer look.Stop()
		for {
			select {
			case <-look.C:
			case <-ctx.Done():
				return nil
			}
			select {
			case <-heard:
				cancel(errChanged)
			default:
			}
			if s.digest(s.files.Findable()) != digest {
				cancel(errChanged)
			}
		}
	})
	return ctx, func() { cancel(nil) }
}
