// Package blob keeps content: bytes once, under the digest that everybody calls them by.
//
// It is for whole files and folders that are shared where they are, for downloads that come group by group and survive being
// killed, and for small objects of Kith's own. It is no network: it asks nobody for anything. Its one idea: nothing leaves it, and nothing
// counts as here, that was not checked against its BLAKE3 tree at that moment; so a file that its owner changed is never served
// wrong, and a file that Kith did not download is never written to nor deleted.
package blob

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kith"
	"kith/blob/bao"
	"kith/blob/disk"
	"kith/blob/seal"
	"kith/internal/db"
	"kith/internal/human"
)

// Limits of what is kept.
const (
	MaxSize = 1 << 44 // bytes of one blob, 16 TiB: a have-map is held in memory
)

// Options says where a Store is and how much it may keep.
type Options struct {
	Dir   string // its folder; it is made if missing
	Quota int64  // bytes that Kith may keep itself; 0: no limit. Files shared in place and downloads to a path do not count
	Log   *slog.Logger

	Secret func(path string) bool // reports what is never shared, though it lies in a shared folder: the keys of the node; nil: nothing
}

// A Store keeps content in one folder and remembers content elsewhere. All methods may be called at once.
type Store struct {
	db    *sql.DB
	hot   hot
	dir   string
	quota int64
	log   *slog.Logger
	never func(path string) bool
	notes []string
	now   func() time.Time
	kept  atomic.Int64 // bytes that Kith keeps itself

	mu     sync.Mutex
	open   map[bao.Sum]*content
	idle   []*content // those of open that nobody has, the longest idle first
	watch  map[chan Change]bool
	closed bool
}

// Open opens the store in o.Dir. One process at a time may have it open; that is for the caller to see to.
func Open(ctx context.Context, o Options) (*Store, error) {
	s := &Store{dir: o.Dir, quota: o.Quota, log: o.Log, never: o.Secret, now: time.Now, open: map[bao.Sum]*content{}, watch: map[chan Change]bool{}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.never == nil {
		s.never = func(string) bool { return false }
	}
	if err := s.start(ctx); err != nil {
		return nil, fmt.Errorf("blob: open store: %w", disk.Error(err))
	}
	return s, nil
}

func (s *Store) start(ctx context.Context) (err error) {
	if s.dir, err = filepath.Abs(s.dir); err != nil {
		return err
	}
	for _, dir := range []string{"", "outboard", "keep"} {
		if err := os.MkdirAll(filepath.Join(s.dir, dir), 0o700); err != nil {
			return err
		}
	}
	var note string
	if s.db, note, err = db.Open(filepath.Join(s.dir, "blob.db"), s.log, migrations); err != nil {
		return err
	}
	if err := s.hot.prepare(ctx, s.db); err != nil {
		return join(err, s.db.Close())
	}
	if note != "" {
		s.notes = append(s.notes, note+". Share again what was shared; files were not touched")
	}
	if err := s.dropImports(ctx); err != nil {
		return join(err, s.db.Close())
	}
	var kept int64
	if err := s.db.QueryRowContext(ctx, "SELECT coalesce(sum(kept), 0) FROM blob").Scan(&kept); err != nil {
		return join(err, s.db.Close())
	}
	s.kept.Store(kept)
	return nil
}

// Close saves the state of what is being downloaded. Blobs that are still open fail from then on.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	all := slices.Collect(maps.Values(s.open))
	s.open, s.idle = map[bao.Sum]*content{}, nil
	s.mu.Unlock()
	var errs []error
	for _, c := range all {
		errs = append(errs, c.close())
	}
	return join(append(errs, s.db.Close())...)
}

// Notes returns what a person should know since Open: a database that was set aside.
func (s *Store) Notes() []string { return s.notes }

// Never reports whether a path is of what is never shared, whatever lies around it.
func (s *Store) Never(path string) bool { return s.never(path) }

// room reserves n bytes of the quota; the caller gives them back with s.kept.Add(-n) if they are not used after all.
func (s *Store) room(n int64) error {
	if have := s.kept.Add(n); s.quota > 0 && n > 0 && have > s.quota {
		s.kept.Add(-n)
		err := fmt.Errorf("%s more than the quota of %s: %w", human.Bytes(have-s.quota), human.Bytes(s.quota), kith.Unavailable)
		return kith.Hint(err, "raise quota in the configuration, or remove something with kith rm --delete")
	}
	return nil
}

// ImportOptions says how to share a file or folder.
type ImportOptions struct {
	Key      *seal.Key                            // nil: as it is; otherwise all that leaves is encrypted for it
	Progress func(file string, done, total int64) // bytes read; called often, from one goroutine at a time; total grows while folders are walked
	Taps     []func(files int, bytes int64) Tap   // called once it is known how much there is to read; what returns nil sees nothing
	Own      bool                                 // Kith fetched it from another network: it is a Download, and Delete may remove the files
	Ahead    func(file string) *bao.Ahead         // what is known of the tree of a file; may be nil, and return nil
}

// A Tree is a file or folder that is shared, or being or been downloaded, as a whole.
type Tree struct {
	Root  kith.Ref
	Name  string
	Size  int64  // bytes of its plain files
	Files int    // files, without folders and links
	Path  string // where it is, or will be

	Folder   bool
	Private  bool
	Download bool // Kith fetched it; otherwise it was here before
	Complete bool
	Gone     bool // at least one of its files was changed or removed by its owner
	Pinned   bool

	Skipped   int    // by Import: how many things inside the folder were left out
	SkipNotes []Skip // the first MaxSkips of them
}

// A Skip is something inside a shared folder that was left out.
type Skip struct{ Path, Why string }

// MaxSkips is how many things that were left out are named.
const MaxSkips = 100
