// Package index finds what is shared by words, on this computer alone: a full-text index of documents, each of which says of one content what somebody calls it.
//
// It is for records of a few hundred bytes, by the million, that others make and keep: it asks nobody, checks no signature and trusts nothing, and what it keeps can
// always be made anew from what it was given. Its one idea: look at the newest first, and stop when enough has been seen. SQLite's FTS5 gives the documents that have
// the words, the newest first; each has beside it a few bytes that say which of its terms are in its name, tags, files and text, from which Go ranks it. So a word that
// is in a tenth of a million documents costs no more than one that is in some thousands, and such a search says that there is more than it counted.
//
// What is found is grouped by content: the same bytes under five names are one result. Terms are those of search/words, what is looked for is a search/query.
package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"kith"
	"kith/internal/db"
	"kith/internal/room"
	"kith/search/fact"
)

// Limits of one document. A longer ID or Publisher is an error; of everything else the rest is left out.
const (
	MaxID    = 256     // bytes of an ID, and of a Publisher
	MaxName  = 1 << 10 // bytes of a name, and of the name of a file in a folder
	MaxFiles = 256
	MaxTags  = 32
	MaxTag   = 128     // bytes
	MaxText  = 4 << 10 // bytes
)

// A Doc is what one publisher says of one content.
type Doc struct {
	ID        string    // of the record that says it; a Doc replaces the one with its ID
	Root      kith.Ref  // the content; documents of the same are one result. The zero Ref is a content of its own
	Name      string    // of the file or folder
	Files     []string  // names in a folder, with or without their paths
	Tags      []string  // each a word or several
	Type      string    // one of query.Types
	Size      int64     // bytes
	Published time.Time // to the second
	Language  string    // ISO 639-1; "" if nobody said: words.Detect guesses
	Publisher string
	Text      string // what is found beside the above; what Facts say has to be in it to be found by words
	Facts     fact.Facts
	Says      string // a type that somebody calls it and that it is not; "" if nobody does
}

// Options says what an Index is to be. Path is required.
type Options struct {
	Path string // of the database
	// All yields every document that is to be found, in any order. Run asks it when the index is new, damaged, or was made by other rules. An error stops the
	// rebuilding, which is tried again later.
	All func(context.Context) iter.Seq2[Doc, error]
	Now func() time.Time // time.Now if nil
	Log *slog.Logger
}

// An Index finds documents. Its methods may be called at once.
type Index struct {
	o    Options
	wake chan struct{} // Run has something to do

	mu   sync.RWMutex // whoever uses db holds it for reading; who replaces db, for writing
	db   *sql.DB      // nil when closed
	salt []byte       // of all hashes, so that nobody can choose names that meet
	gen  int          // how often db was replaced

	write sync.Mutex // one batch after the other

	state   sync.Mutex
	status  Status
	next    int64              // the row of the next document
	touched map[int64]struct{} // keys of what was put and deleted while it is rebuilt; nil otherwise
	spell   *speller           // nil until it is needed
}

// Status is what an index knows of itself.
type Status struct {
	Docs       int    // documents in it
	Rebuilding bool   // not all is in it yet
	Note       string // what a person should know: that it was damaged and is made anew; "" if there is nothing
}

// Open opens the index at o.Path, and makes it if there is none. What is damaged, or of another version, is removed and made anew by Run.
func Open(o Options) (*Index, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	x := &Index{o: o, wake: make(chan struct{}, 1)}
	if err := x.open(); err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	return x, nil
}

// Close closes the index. Run has to have ended.
func (x *Index) Close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.db == nil {
		return nil
	}
	err := x.db.Close()
	x.db = nil
	return err
}

// Status returns what the index knows of itself.
func (x *Index) Status() Status {
	x.state.Lock()
	defer x.state.Unlock()
	return x.status
}

// open opens the database, or an empty one in place of one that is damaged or that other rules made.
func (x *Index) open() error {
	handle, note, err := db.Open(x.o.Path, x.o.Log, migrations)
	if errors.Is(err, kith.Unavailable) && !room.Full(err) { // a newer version's
		note = "the search index was made by another version"
		if err = x.remove(); err == nil {
			handle, _, err = db.Open(x.o.Path, x.o.Log, migrations)
		}
	}
	if err != nil {
		return err
	}
	state, err := readState(handle)
	if err == nil && state.stale {
		note = "the search index was made by another version"
		handle.Close()
		if err = x.remove(); err == nil {
			handle, _, err = db.Open(x.o.Path, x.o.Log, migrations)
		}
		if err == nil {
			state, err = readState(handle)
		}
	}
	if err != nil {
		if handle != nil {
			handle.Close()
		}
		return err
	}
	if note != "" {
		note += "; it is being made anew, and until then a search finds only what is in it already"
		aside, _ := filepath.Glob(x.o.Path + ".corrupt-*")
		for _, p := range aside { // nothing is lost with it
			os.Remove(p)
		}
	}
	x.db, x.salt = handle, state.salt
	x.state.Lock()
	defer x.state.Unlock()
	x.status = Status{Docs: state.docs, Rebuilding: !state.complete, Note: note}
	x.next, x.spell, x.touched = state.next, nil, nil
	if !state.complete {
		x.touched = map[int64]struct{}{}
		x.signal()
	}
	return nil
}

func (x *Index) remove() error {
	for _, suffix := range []string{"-wal", "-shm", ""} {
		if err := os.Remove(x.o.Path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (x *Index) signal() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// use calls do with the database. If that is found to be damaged, an empty one takes its place, and do is called with it once more.
func (x *Index) use(do func(*sql.DB) error) error {
	for try := 0; ; try++ {
		x.mu.RLock()
		gen := x.gen
		err := error(kith.Unavailable)
		if x.db != nil {
			err = do(x.db)
		}
		x.mu.RUnlock()
		if !db.Damaged(err) || try > 0 {
			return err
		}
		if err := x.replace(gen, err); err != nil {
			return err
		}
	}
}

// replace puts an empty database in the place of the damaged one that was the gen-th.
func (x *Index) replace(gen int, cause error) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.gen != gen || x.db == nil {
		return nil
	}
	x.o.Log.Warn("search index is damaged and is made anew", "op", "search", "err", cause)
	x.db.Close()
	x.db = nil
	x.gen++
	if err := x.remove(); err != nil {
		return err
	}
	if err := x.open(); err != nil {
		return err
	}
	x.state.Lock()
	defer x.state.Unlock()
	x.status.Note = "the search index was damaged; it is being made anew, and until then a search finds only what is in it already"
	return nil
}

// How Run rebuilds.
const (
	rebuildBatch = 20_000           // documents that are put at once
	rebuildAgain = 30 * time.Second // until it is tried again after an error
)

// Run keeps the index whole until ctx ends: it puts in all that there is when the index is new, damaged, or was made by other rules.
func (x *Index) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		again := make(<-chan time.Time)
		if x.Status().Rebuilding {
			if err := x.rebuild(ctx); err != nil && ctx.Err() == nil {
				x.o.Log.Warn("search index could not be made anew", "op", "search", "err", err)
				again = time.After(rebuildAgain)
			}
		}
		if err := x.use(func(handle *sql.DB) error { _, err := x.speller(ctx, handle); return err }); err != nil && ctx.Err() == nil {
			x.o.Log.Warn("words of the search index could not be read", "op", "search", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-x.wake:
		case <-again:
		}
	}
	return nil
}

func (x *Index) rebuild(ctx context.Context) error {
	x.mu.RLock()
	gen := x.gen
	x.mu.RUnlock()
	batch := make([]Doc, 0, rebuildBatch)
	put := func() error {
		err := x.apply(ctx, batch, nil, true)
		batch = batch[:0]
		return err
	}
	if x.o.All != nil {
		for doc, err := range x.o.All(ctx) {
			if err != nil {
				return err
			}
			if batch = append(batch, doc); len(batch) == rebuildBatch {
				if err := put(); err != nil {
					return err
				}
			}
		}
	}
	if err := put(); err != nil {
		return err
	}
	x.write.Lock()
	defer x.write.Unlock()
	return x.use(func(handle *sql.DB) error {
		if x.gen != gen { // damaged meanwhile: Run begins anew
			x.signal()
			return nil
		}
		if _, err := handle.ExecContext(ctx, "INSERT OR REPLACE INTO meta VALUES ('complete', 1)"); err != nil {
			return err
		}
		x.state.Lock()
		defer x.state.Unlock()
		if x.status.Note != "" {
			x.status.Note = strings.SplitN(x.status.Note, ";", 2)[0] + "; it has been made anew"
		}
		x.status.Rebuilding, x.touched = false, nil
		return nil
	})
}
