// Package files shares files and folders, and fetches what others share: "send anything to your people".
//
// It knows what is shared with whom, and what is being fetched, across restarts. It moves no bytes itself (transfer does) and keeps
// none (blob does). Its one idea: an Item, named by its Ref, is the same thing whether it was here first or has come from others; both
// are served on.
package files

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/app"
	"kith/apps/files/guest"
	"kith/apps/files/picker"
	"kith/internal/bell"
	"kith/internal/db"
	"kith/transfer"
)

// Files is the application.
type Files struct {
	// Label writes down by which tags a content is found and in which language it is, in the place of what was said of it before; of the zero Ref it only checks
	// them. It may be nil.
	Label func(ctx context.Context, ref kith.Ref, tags []string, lang string) error

	env  app.Env
	db   *sql.DB
	bell bell.Bell // rung when an item changes
	desk *guest.Desk

	changing sync.Mutex  // held while an item is changed
	stopping atomic.Bool // callers that go away now have not given up: the node stops
	mu       sync.Mutex
	items    map[kith.Ref]*item
	was      map[kith.Ref]kith.Ref // of a Pending ref, what it turned out to be
	ratio    float64               // how much of what came by a torrent is given back, as parts of its size …
	seedTime time.Duration         // … and for how long at most; 0: as long as it takes
	backed   chan struct{}         // cap 1: these have changed
}

// New returns Files that have not been started.
func New() *Files {
	return &Files{items: map[kith.Ref]*item{}, was: map[kith.Ref]kith.Ref{}, ratio: defaultRatio, backed: make(chan struct{}, 1)}
}

// App describes the application; it is the table of contents of this package.
func (f *Files) App() app.App {
	return app.App{
		Name: "files",
		Help: "share files and folders, and fetch what others share",
		Root: true,
		UI:   "Files",
		Ops: []app.Op{
			shareOp(f.share), getOp(f.get), lsOp(f.ls), showOp(f.show), rmOp(f.rm),
			publishOp(f.publish), unpublishOp(f.unpublish), selectOp(f.choose), verifyOp(f.verify),
			pauseOp(f.pause), resumeOp(f.resume), openOp(f.open), limitOp(f.limit),
			watchOp(f.watch), picker.Op(), limitsOp(f.limits), networksOp(f.listNetworks), guestsOp(f.listGuests), guestAddOp(f.addGuest), guestRmOp(f.rmGuest),
		},
		HTTP: f.uploads(),
		Listens: func() (string, []string) {
			if f.desk == nil {
				return "", nil
			}
			return "guests", f.desk.Listening()
		},
		Start: f.start,
		Stop:  f.stop,
	}
}

// database is the schema of files.db; each entry is applied once, in order.
var database = []string{`
CREATE TABLE items (
	ref     TEXT PRIMARY KEY,
	kind    TEXT NOT NULL,              -- share, download
	name    TEXT NOT NULL,
	path    TEXT NOT NULL,              -- where it is, or will be
	size    INTEGER NOT NULL,           -- -1: not known yet
	files   INTEGER NOT NULL,
	vis     TEXT NOT NULL,              -- link, contacts, public
	key     BLOB,                       -- of a private share
	link    TEXT NOT NULL DEFAULT '',   -- as it was given, for a download
	state   TEXT NOT NULL,              -- ready; fetching, paused, failed for a download
	reason  TEXT NOT NULL DEFAULT '',
	up      INTEGER NOT NULL DEFAULT 0, -- bytes sent
	sources INTEGER NOT NULL DEFAULT 0, -- peers that a finished download came from
	added   INTEGER NOT NULL            -- Unix seconds
) STRICT`, `
-- names in other networks, as a magnet URI of them alone; networks that it is published to, and those of them that it is given back to until the ratio
-- is reached, with spaces between; patterns of what of it is wanted, a line each; whether no more is here; pending refs that stood for it
ALTER TABLE items ADD COLUMN names TEXT NOT NULL DEFAULT '';
ALTER TABLE items ADD COLUMN networks TEXT NOT NULL DEFAULT '';
ALTER TABLE items ADD COLUMN seeds TEXT NOT NULL DEFAULT '';
ALTER TABLE items ADD COLUMN wanted TEXT NOT NULL DEFAULT '';
ALTER TABLE items ADD COLUMN part INTEGER NOT NULL DEFAULT 0;
ALTER TABLE items ADD COLUMN was TEXT NOT NULL DEFAULT '';`, `
ALTER TABLE items ADD COLUMN verified TEXT NOT NULL DEFAULT ''; -- networks that compared the whole with their digests, with spaces between
`, `
ALTER TABLE items ADD COLUMN brought TEXT NOT NULL DEFAULT ''; -- bytes that came from other networks: network=bytes, with spaces between
`, `
ALTER TABLE items ADD COLUMN since INTEGER NOT NULL DEFAULT 0; -- when the giving back began, Unix seconds
UPDATE items SET since = unixepoch() WHERE seeds != '';
`}

func (f *Files) start(ctx context.Context, env app.Env) error {
	f.env = env
	state, note, err := db.Open(filepath.Join(env.Dir, "files.db"), env.Log, database)
	if err != nil {
		return fmt.Errorf("files: start: %w", err)
	}
	if note != "" {
		env.Note(note)
	}
	f.db = state
	if err := f.load(ctx); err != nil {
		return err
	}
	f.dropUploads()
	set := settings{Ratio: f.ratio}
	if err := f.env.Config(&set); err != nil {
		return err
	}
	if !(set.Ratio >= 0) {
		return fmt.Errorf("files: setting apps.files.ratio: %v is less than nothing: %w", set.Ratio, kith.Invalid)
	}
	f.ratio = set.Ratio
	if f.seedTime, err = seedTime(set.SeedTime); err != nil {
		return fmt.Errorf("files: setting apps.files.seed_time: %w", err)
	}
	if err := f.openDesk(set); err != nil {
		return err
	}
	kept := f.all() // what is begun from now on need not be revived
	env.Go("files.revive", func(ctx context.Context) error { return f.revive(ctx, kept) })
	env.Go("files.changes", f.watchStore)
	env.Go("files.seeding", f.seeding)
	return nil
}

func (f *Files) stop(ctx context.Context) error {
	f.stopping.Store(true)
	if f.db == nil {
		return nil
	}
	if f.desk != nil {
		if err := f.desk.Close(); err != nil {
			f.env.Log.Warn("guest links not saved", "err", err)
		}
	}
	f.saveUploads(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.db.Close()
}

// Allow says whether peer p may fetch what root names: it implements transfer.Guard. Who may not is told the same as if there were
// nothing, so that nobody learns what is here.
func (f *Files) Allow(p peer.ID, root kith.Ref) error {
	f.mu.Lock()
	_, ok := f.items[root]
	f.mu.Unlock()
	if !ok || f.Narrow(root) && !f.env.People.Contact(p) {
		return fmt.Errorf("files: %s: %w", root.Short(), kith.NotFound)
	}
	return nil
}

// Narrow says whether root is for the person's contacts alone: they said so, or it is being fetched from those for whose contacts it is.
func (f *Files) Narrow(root kith.Ref) bool {
	it, ok := f.byRef(root)
	return ok && (it.For == forContacts || it.dl != nil && it.For == forLink && it.dl.Narrow())
}

var _ transfer.Guard = (*Files)(nil)

// revive goes on with what was being fetched when the node last stopped, and announces again what is shared.
func (f *Files) revive(ctx context.Context, kept []item) error {
	for _, it := range kept {
		switch it.State {
		case stateReady, stateGone, stateDone, statePaused, stateFailed:
			continue
		}
		now, ok := f.byRef(it.Ref)
		if !ok || now.dl != nil { // somebody was faster
			continue
		}
		if _, err := f.begin(now, nil, false); err != nil {
			f.settle(ctx, it.Ref, stateFailed, err.Error())
		}
	}
	for _, it := range kept {
		if ctx.Err() != nil {
			return nil
		}
		switch it.State {
		case stateReady, stateGone, stateDone:
			f.announce(ctx, it)
		}
	}
	return nil
}

// announce tells the overlay that this node has an item: under the blinded key for who has the link, and, if it is public, under its
// plain name too.
func (f *Files) announce(ctx context.Context, it item) {
	keys := rendezvous(it)
	for _, key := range keys {
		if err := f.env.Routes.Provide(ctx, key, true); err != nil && ctx.Err() == nil {
			f.env.Log.Debug("announce", "ref", it.Ref, "err", err)
		}
	}
}

// announceSoon is announce in the background, of the item as it is now.
func (f *Files) announceSoon(it item) {
	f.env.Go("files.announce", func(ctx context.Context) error { f.announce(ctx, it); return nil })
}

// watchStore marks items whose files were changed or removed behind our back.
func (f *Files) watchStore(ctx context.Context) error {
	for c := range f.env.Blobs.Changes(ctx) {
		it, ok := f.byRef(c.Root)
		switch {
		case !ok:
		case c.Gone:
			f.settle(ctx, c.Root, stateGone, fmt.Sprintf("%s was changed or moved since it was shared; share it again to serve it as it is now", c.Path))
		case it.Kind == kindShare:
			f.settle(ctx, c.Root, stateReady, "")
		default:
			f.settle(ctx, c.Root, stateDone, "")
		}
	}
	return nil
}
