// Package torrents is what a person who comes from BitTorrent expects beside fetching and sharing: folders that are watched for .torrent files, feeds with rules, moving in
// from Transmission and qBittorrent, and, for who volunteers, a tracker.
//
// It moves no bytes and keeps no list of downloads (apps/files does). Its one idea: each of these ends in a link that is fetched as if the person had pasted it, and what was
// done once is written down before it is done again.
package torrents

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"kith"
	"kith/app"
	"kith/bridge"
	"kith/bridge/bittorrent/tracker"
	"kith/internal/bell"
	"kith/internal/db"
)

// Files is what torrents need of the application that shares and fetches.
type Files interface {
	// Fetch begins to fetch what a link names into output, a folder, and does not wait; "": where the node puts downloads. What is on the list already stays as it is.
	Fetch(ctx context.Context, link, output string) (began bool, err error)
	// Serves reports whether what a torrent names is shared or being fetched here.
	Serves(h kith.InfoHash) bool
	// Adopt shares a complete file or folder where it is, and serves it to BitTorrent under the torrent that l names, unless still; added says since when it was on a list. Exists: it is on the list already.
	Adopt(ctx context.Context, path string, l kith.Link, added time.Time, still bool, tell func(done, total int64)) error
	// FetchFrom is Fetch for what another program has begun: it takes what of it is right from what the opener, if any, brings; still, it is paused then. Exists: it is on the list already.
	FetchFrom(ctx context.Context, l kith.Link, output string, added time.Time, still bool, from Opener) error
}

// Torrents is the application.
type Torrents struct {
	files Files
	env   app.Env
	db    *sql.DB
	bell  bell.Bell // rung when something that is shown changes
	wake  bell.Bell // rung when there are other folders or feeds
	heard bell.Bell // rung when feeds have told of something else than before

	asked   answered
	looking sync.Mutex // feeds and folders are looked at one at a time

	mu      sync.Mutex
	tracker *tracker.Tracker // nil: off
	role    role
	ended   chan struct{}             // closed when the tracker has stopped
	allowed map[tracker.Hash]struct{} // that the person named
	looks   sync.Mutex                // one look at a time; it guards waiting
	waiting map[string]sight          // files in watched folders that are not complete yet
}

// New returns Torrents that have not been started.
func New(files Files) *Torrents {
	return &Torrents{files: files, allowed: map[tracker.Hash]struct{}{}, waiting: map[string]sight{}}
}

// App describes the application; it is the table of contents of this package.
func (t *Torrents) App() app.App {
	return app.App{
		Name: "torrents",
		Help: "watch folders, feeds and a tracker, for people who come from BitTorrent",
		Root: true,
		Ops: []app.Op{
			trackerOnOp(t.trackerOn), trackerOffOp(t.trackerOff), trackerStatusOp(t.trackerStatus), trackerAllowOp(t.trackerAllow), trackerForbidOp(t.trackerForbid),
			watchAddOp(t.watchAdd), watchLsOp(t.watchLs), watchRmOp(t.watchRm),
			feedAddOp(t.feedAdd), feedLsOp(t.feedLs), feedRmOp(t.feedRm), feedShowOp(t.feedShow), feedRefreshOp(t.feedRefresh), feedGetOp(t.feedGet),
			feedRulesOp(t.feedRules), feedRulesAddOp(t.ruleAdd), feedRulesRmOp(t.ruleRm), feedTryOp(t.feedTry),
			importTransmissionOp(t.importTransmission), importQBittorrentOp(t.importQBittorrent),
		},
		Groups: map[string]string{
			"tracker": "tell who wants a torrent of others who have it, as a role for others",
			"watch":   "fetch what is put into a folder as .torrent or .magnet",
			"feed":    "follow feeds (RSS, Atom), and fetch from them by rules",
			"import":  "move in from another BitTorrent program",
		},
		Listens:  t.listens,
		Findings: t.findings,
		Start:    t.start,
		Stop:     t.stop,
	}
}

// database is the schema of torrents.db; each entry is applied once, in order.
var database = []string{`
CREATE TABLE tracker (
	one  INTEGER PRIMARY KEY CHECK (one = 1),
	on_  INTEGER NOT NULL,
	for_ TEXT NOT NULL,     -- local, everyone
	what TEXT NOT NULL,     -- mine, any
	port INTEGER NOT NULL
) STRICT;
CREATE TABLE allowed (hash BLOB PRIMARY KEY) STRICT;
CREATE TABLE folders (
	path   TEXT PRIMARY KEY,
	output TEXT NOT NULL,   -- '': where the node puts downloads
	keep   INTEGER NOT NULL, -- what was added stays where it is
	added  INTEGER NOT NULL -- Unix seconds
) STRICT;
CREATE TABLE seen (          -- what was added of folders in which it stays
	folder TEXT NOT NULL REFERENCES folders(path) ON DELETE CASCADE,
	name   TEXT NOT NULL,
	size   INTEGER NOT NULL,
	mtime  INTEGER NOT NULL,
	PRIMARY KEY (folder, name)
) STRICT;
CREATE TABLE feeds (
	id       INTEGER PRIMARY KEY,
	url      TEXT NOT NULL UNIQUE,
	title    TEXT NOT NULL DEFAULT '',
	every    INTEGER NOT NULL,          -- seconds
	etag     TEXT NOT NULL DEFAULT '',
	modified TEXT NOT NULL DEFAULT '',
	looked   INTEGER NOT NULL DEFAULT 0, -- Unix seconds
	next     INTEGER NOT NULL DEFAULT 0,
	fails    INTEGER NOT NULL DEFAULT 0, -- in a row
	trouble  TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE items (
	feed      INTEGER NOT NULL REFERENCES feeds(id) ON DELETE CASCADE,
	guid      TEXT NOT NULL,
	title     TEXT NOT NULL,
	link      TEXT NOT NULL,
	page      TEXT NOT NULL,
	size      INTEGER NOT NULL,
	published INTEGER NOT NULL,
	came      INTEGER NOT NULL,
	state     TEXT NOT NULL DEFAULT '', -- '', fetched, failed
	rule      TEXT NOT NULL DEFAULT '',
	trouble   TEXT NOT NULL DEFAULT '',
	tries     INTEGER NOT NULL DEFAULT 0,
	PRIMARY KEY (feed, guid)
) STRICT;
CREATE TABLE got (hash BLOB PRIMARY KEY, at INTEGER NOT NULL) STRICT; -- infohashes that feeds brought: none is fetched twice
CREATE TABLE rules (
	name   TEXT PRIMARY KEY,
	feed   INTEGER NOT NULL DEFAULT 0,  -- 0: every feed
	body   TEXT NOT NULL,               -- JSON of what the person said
	state  TEXT NOT NULL DEFAULT '{}',  -- JSON of what it remembers
	output TEXT NOT NULL DEFAULT '',
	off    INTEGER NOT NULL DEFAULT 0
) STRICT`, `
-- files are names in it, one a line
ALTER TABLE items ADD COLUMN files TEXT NOT NULL DEFAULT ''`}

func (t *Torrents) start(ctx context.Context, env app.Env) error {
	state, note, err := db.Open(filepath.Join(env.Dir, "torrents.db"), env.Log, database)
	if err != nil {
		return fmt.Errorf("torrents: start: %w", err)
	}
	if note != "" {
		env.Note(note)
	}
	t.env, t.db = env, state
	if err := t.restore(ctx); err != nil {
		return errors.Join(err, state.Close())
	}
	env.Go("torrents.watch", t.watch)
	env.Go("torrents.feeds", t.follow)
	env.Go("torrents.dht", t.listen)
	return nil
}

func (t *Torrents) stop(context.Context) error {
	if t.db == nil {
		return nil
	}
	err := t.close()
	return errors.Join(err, t.db.Close())
}

// torrents returns the bridge to BitTorrent. Unavailable: this node has none.
func (t *Torrents) torrents() (bridge.Torrents, error) {
	for _, b := range t.env.Bridges {
		if b, ok := b.(bridge.Torrents); ok {
			return b, nil
		}
	}
	return nil, kith.Hint(fmt.Errorf("torrents: this node has no BitTorrent: %w", kith.Unavailable), "start it without --no-bittorrent")
}

// add begins to fetch what a .torrent file, or a link, names. It returns the infohash that it goes by.
func (t *Torrents) add(ctx context.Context, torrent []byte, link, output string) error {
	if torrent != nil {
		b, err := t.torrents()
		if err != nil {
			return err
		}
		l, err := b.AddTorrent(ctx, torrent)
		if err != nil {
			return err
		}
		link = l.String()
	}
	_, err := t.files.Fetch(ctx, link, output)
	return err
}
