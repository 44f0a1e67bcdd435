// Package volunteer is the role of a node that indexes all of its shard for others too: it keeps whether it is on, and while it is, it fetches of each device what that publishes and others do not keep.
//
// It answers nobody: what it fetches lies with all else in search/spread, and the application answers from there (Search.everybodys). Its one idea: who says to have more than is kept here of it is asked for that, and nobody else is.
package volunteer

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/network"
	"kith/search/filter"
	"kith/search/shard"
	"kith/search/spread"
)

// Table is what is written down, in the database of the application.
const Table = `
CREATE TABLE volunteer (most INTEGER NOT NULL) STRICT -- publications that are kept beyond what others keep; no row: it does not volunteer`

// What a volunteer does.
const (
	defaultBeyond = 1_000_000       // publications that it keeps and others do not; about 1 GB with the index
	gatherEvery   = 5 * time.Second // it looks who has said something new
	gatherAtOnce  = 4               // devices
	gatherAgain   = 10 * time.Minute
	gatherTime    = 5 * time.Minute // for one device
)

// Options of a Role. All are required.
type Options struct {
	DB     *sql.DB // with Table
	Spread *spread.Spread
	Shard  *shard.Shard
	Open   func(ctx context.Context, p peer.ID) (network.Stream, error) // a conversation of spread.OwnProtocolID
	Hidden func(p peer.ID) bool                                         // nothing is fetched of it
	Say    func(ctx context.Context) error                              // makes the filter anew, by what Says says
	Files  []string                                                     // of the disk, of what is published and of the index
	Log    *slog.Logger
}

// A Role is whether this node volunteers, and what came of it since it was started. Its methods may be called at once, after Start.
type Role struct {
	o    Options
	bell chan struct{} // cap 1: it is switched on

	mu   sync.Mutex
	most int  // publications beyond those that everybody keeps; 0: it does not volunteer
	said bool // others have been told that it volunteers
	had  map[peer.ID]gathered

	asked, given, bytes atomic.Int64 // questions, publications in answers to them, and bytes of these
}

// A gathered is what was fetched of a device, or not.
type gathered struct {
	filter *filter.Filter // as it was then; nil: it could not be fetched
	after  time.Time      // it is not tried again before
}

// New returns a Role that has not been started.
func New() *Role { return &Role{bell: make(chan struct{}, 1), had: map[peer.ID]gathered{}} }

// Start goes on with what was on when the node stopped.
func (r *Role) Start(ctx context.Context, o Options) error {
	r.o = o
	if err := o.DB.QueryRowContext(ctx, `SELECT most FROM volunteer`).Scan(&r.most); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	return o.Spread.SetBeyond(ctx, r.most) // with 0 those go that are left of when it was on
}

// Volunteers reports whether it is on.
func (r *Role) Volunteers() bool { return r.beyond() > 0 }

func (r *Role) beyond() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.most
}

// Says returns whether others are to be told that this node volunteers, and whether they have been at any time, and so have to hear when it does no more.
func (r *Role) Says() (now, ever bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = r.said || r.most > 0
	return r.most > 0, r.said
}

// Gave counts an answer to a question of somebody else.
func (r *Role) Gave(values [][]byte) {
	r.asked.Add(1)
	r.given.Add(int64(len(values)))
	for _, value := range values {
		r.bytes.Add(int64(len(value)))
	}
}

// set says how many publications are kept for others, and everybody that they are, or are no more.
func (r *Role) set(ctx context.Context, most int) error {
	if most < 0 || most > spread.MaxBeyond {
		return kith.Hint(fmt.Errorf("search: volunteer with %d publications: %w", most, kith.Invalid), "1 to %d", spread.MaxBeyond)
	}
	tx, err := r.o.DB.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("search: volunteer: %w", err)
	}
	defer tx.Rollback()
	if _, err = tx.Exec(`DELETE FROM volunteer`); err == nil && most > 0 {
		_, err = tx.Exec(`INSERT INTO volunteer (most) VALUES (?)`, most)
	}
	if err = errors.Join(err, tx.Commit()); err != nil {
		return fmt.Errorf("search: volunteer: %w", err)
	}
	r.mu.Lock()
	r.most = most
	r.had = map[peer.ID]gathered{}
	r.mu.Unlock()
	if err := errors.Join(r.o.Say(ctx), r.o.Spread.SetBeyond(context.WithoutCancel(ctx), most)); err != nil {
		return fmt.Errorf("search: volunteer: %w", err)
	}
	select {
	case r.bell <- struct{}{}:
	default:
	}
	return nil
}

// Run fetches what devices of the shard publish and is not kept here, while this device volunteers.
func (r *Role) Run(ctx context.Context) error {
	look := time.NewTicker(gatherEvery)
	defer look.Stop()
	for {
		if r.Volunteers() {
			var wg sync.WaitGroup
			places := make(chan struct{}, gatherAtOnce)
			for _, k := range r.lacking(time.Now()) {
				places <- struct{}{}
				wg.Go(func() {
					r.gatherOf(ctx, k)
					<-places
				})
			}
			wg.Wait()
		}
		select {
		case <-look.C:
		case <-r.bell:
		case <-ctx.Done():
			return nil
		}
	}
}

// lacking returns the devices of the shard that publish what is not kept here, as far as is known.
func (r *Role) lacking(now time.Time) (list []shard.Known) {
	for _, k := range r.o.Shard.Known() {
		r.mu.Lock()
		had, is := r.had[k.Device]
		r.mu.Unlock()
		switch {
		case is && (had.filter == k.Filter || now.Before(had.after)), r.o.Hidden(k.Device):
		case is || r.o.Spread.Count(k.Device) < k.Count: // what a device has changed may be as many as before
			list = append(list, k)
		}
	}
	return list
}

// gatherOf fetches what one device publishes.
func (r *Role) gatherOf(ctx context.Context, k shard.Known) {
	ctx, cancel := context.WithTimeout(ctx, gatherTime)
	defer cancel()
	_, err := r.o.Spread.Gather(ctx, r.o.Open, k.Device)
	g := gathered{filter: k.Filter}
	if err != nil {
		g = gathered{after: time.Now().Add(gatherAgain)}
		r.o.Log.Debug("what a device publishes was not fetched", "peer", k.Device, "err", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.had) >= 2*shard.MaxDevices {
		clear(r.had)
	}
	r.had[k.Device] = g
}

// disk returns how many bytes all that is published and the index have on the disk.
func (r *Role) disk() (size int64) {
	for _, name := range r.o.Files {
		for _, part := range []string{"", "-wal"} {
			if info, err := os.Stat(name + part); err == nil {
				size += info.Size()
			}
		}
	}
	return size
}
