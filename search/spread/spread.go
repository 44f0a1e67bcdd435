// Package spread keeps what devices publish about what they share, and brings it to every node of the network.
//
// It is no index, and it asks nobody a question for a person. Its one idea: all nodes keep the same set of publications, as far as they have room. What is new is
// offered to a few neighbours, who offer it on; and two nodes that meet, or have not talked for long, find out in what their sets differ (search/sets) and give each
// other what is missing. So nobody need be asked, and what one missed comes from the next.
package spread

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"kith/internal/db"
	"kith/network"
	"kith/search/publication"
	"kith/search/sets"
	"kith/search/talk"
)

// Life is how long what is published lasts, unless it is published again.
const Life = 30 * 24 * time.Hour

// When a node talks of its own accord.
const (
	neighbours  = 8                      // who are told at once of what is new
	gather      = 200 * time.Millisecond // what comes in so much time is told together
	meetEvery   = 10 * time.Minute       // it is compared with one peer, drawn at random, what both keep
	expireEvery = time.Hour
)

// Options of a Spread.
type Options struct {
	Path    string                                                       // of the database
	Key     crypto.PrivKey                                               // of this device
	Open    func(ctx context.Context, p peer.ID) (network.Stream, error) // a conversation with a peer
	Peers   func() []peer.ID                                             // who is connected
	Known   func(peer.ID) bool                                           // whether a device is a contact's, or of the person
	Changed func(ctx context.Context, c Change) error                    // hears of each change, one at a time, again after a crash or an error; nil: nobody does
	Most    int                                                          // publications of a stranger's device that are kept; 0: MaxStranger
	Now     func() time.Time                                             // nil: time.Now
	Work    int                                                          // bits without which nothing of a stranger is kept, and that what is published here has; 0: publication.MinWork
	Log     *slog.Logger
}

// A Spread is what is published, as far as this node knows.
type Spread struct {
	o  Options
	me peer.ID
	db *sql.DB

	write sync.Mutex   // one change at a time
	came  atomic.Int64 // bytes of what came that only a volunteer keeps
	left  atomic.Int64 // publications of this device for which work is still to be done

	mu      sync.Mutex // guards what is below
	set     sets.Set
	count   map[peer.ID]int  // publications of each publisher
	quiet   map[sets.ID]bool // those that are kept and not passed on: a contact's, without work
	own     sets.Set         // those of this device
	beyond  int              // how many more than others a volunteer keeps; 0: it is none
	far     far              // which these are
	refused map[sets.ID]bool

	news     *talk.News
	meetings *talk.Meetings
}

// Open opens what is kept. Of a database that was damaged and set aside, note says so.
func Open(ctx context.Context, o Options) (s *Spread, note string, err error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Most = cmp.Or(o.Most, MaxStranger)
	o.Work = cmp.Or(o.Work, publication.MinWork)
	me, err := peer.IDFromPrivateKey(o.Key)
	if err != nil {
		return nil, "", fmt.Errorf("spread: open: %w", err)
	}
	state, note, err := db.Open(o.Path, o.Log, database)
	if err != nil {
		return nil, "", fmt.Errorf("spread: open: %w", err)
	}
	s = &Spread{
		o: o, me: me, db: state, count: map[peer.ID]int{}, quiet: map[sets.ID]bool{}, refused: map[sets.ID]bool{},
		far: newFar(), news: talk.NewNews(), meetings: talk.NewMeetings(me),
	}
	if err := errors.Join(s.reckon(ctx), s.load(ctx)); err != nil {
		state.Close()
		return nil, "", fmt.Errorf("spread: open: %w", err)
	}
	return s, note, nil
}

// Close gives the database back. Run has ended before.
func (s *Spread) Close() error { return s.db.Close() }

// Met says that a peer is connected now.
func (s *Spread) Met(p peer.ID) { s.meetings.Met(p) }

// tell lets neighbours be told of what is new, but for who has told it. Of what a contact publishes without work it tells nobody: who does not know them would not keep it.
// Nor does it of what only a volunteer keeps.
func (s *Spread) tell(news []Kept, from peer.ID) {
	var ids []sets.ID
	for _, k := range news {
		if k.Work >= s.o.Work && !s.isFar(k.ID) {
			ids = append(ids, sets.ID(k.ID))
		}
	}
	s.news.Add(from, ids...)
}

// Run talks with peers until ctx ends.
func (s *Spread) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	if err := s.again(ctx); err != nil {
		return err
	}
	meet, expire := time.NewTicker(meetEvery), time.NewTicker(expireEvery)
	defer meet.Stop()
	defer expire.Stop()
	var due <-chan time.Time
	compare := talk.Few(ctx, &wg, neighbours, s.compare)
	for {
		select {
		case p := <-s.meetings.Came():
			compare(p)
		case <-meet.C:
			if list := s.o.Peers(); len(list) > 0 {
				compare(list[rand.IntN(len(list))])
			}
		case <-expire.C:
			if err := s.expire(ctx); err != nil {
				s.o.Log.Warn("what has expired is still there", "err", err)
			}
		case <-s.news.Rung():
			if due == nil {
				due = time.After(gather)
			}
		case <-due:
			due = nil
			s.spreadNews(ctx, &wg)
		case <-ctx.Done():
			return nil
		}
	}
}

// spreadNews offers what is new to some peers, drawn at random.
func (s *Spread) spreadNews(ctx context.Context, wg *sync.WaitGroup) {
	news := s.news.Take()
	list := s.o.Peers()
	rand.Shuffle(len(list), func(i, k int) { list[i], list[k] = list[k], list[i] })
	for _, p := range list[:min(len(list), neighbours)] {
		if ids := news.For(p); len(ids) > 0 {
			wg.Go(func() { s.offer(ctx, p, ids) })
		}
	}
}
