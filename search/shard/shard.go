// Package shard keeps the filters of the devices of a shard, so that a search knows whom to ask: which words each publishes, in few bytes (search/filter), signed by it.
//
// It keeps no publication, and asks nobody a question for a person. Its one idea: a device says by a stamp, of about 150 bytes, which filter it has and that it still
// holds; stamps spread as publications do (search/spread), and the filter is fetched only by whom has another one. Whose stamp is not renewed is forgotten.
//
// A shard is the devices whose places (the SHA-256 of their peer ID, as in overlays) begin with the same bits as that of this one: none, while there are at most MaxDevices, one more whenever
// there are more. Of other shards it keeps the stamps of some devices without their filters: its guides, who can be asked who fits there.
package shard

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"

	"kith/network"
	"kith/search/filter"
	"kith/search/sets"
	"kith/search/talk"
)

// What is kept.
const (
	MaxDevices = 2_000     // of a shard
	MaxBytes   = 32 << 20  // of their filters together; a mean one has 1.4 kB
	Life       = time.Hour // without a new stamp, until a device is forgotten
	maxGuides  = 3         // of each other shard
	maxDepth   = 6         // bits of a place that say the shard: 64 shards, 128,000 devices
)

// When a node talks of its own accord.
const (
	stampEvery  = 15 * time.Minute // it says that its filter still holds
	changeEvery = 5 * time.Minute  // and that it is another one, but for the first few
	changeBurst = 4
	neighbours  = 8                      // who are told at once of what is new …
	strangers   = 2                      // … and others, of other shards
	few         = 4                      // with fewer of its shard connected, a node asks others for them
	gather      = 200 * time.Millisecond // what comes in so much time is told together
	meetEvery   = 10 * time.Minute       // it is compared with one peer, drawn at random, what both keep
	askAgain    = 5 * time.Second        // what one was asked for is not asked of others meanwhile
)

// Options of a Shard.
type Options struct {
	Key   crypto.PrivKey                                               // of this device
	Open  func(ctx context.Context, p peer.ID) (network.Stream, error) // a conversation with a peer
	Peers func() []peer.ID                                             // who is connected
	Most  int                                                          // devices of a shard; 0: MaxDevices
	Log   *slog.Logger
}

// A Shard is what is known of who has what. Its methods may be called at once.
type Shard struct {
	o  Options
	me peer.ID

	mu      sync.Mutex // guards what is below
	depth   uint8      // bits of a place that say the shard
	set     sets.Set   // IDs of stamps of the shard
	kept    map[peer.ID]*entry
	byID    map[sets.ID]peer.ID
	bytes   int                       // of filters, but for this device's
	paces   map[peer.ID]*rate.Limiter // how often each may be stamped anew
	budgets map[peer.ID]*rate.Limiter // bytes of filters that each peer may give
	refused map[sets.ID]bool
	coming  map[sets.ID]time.Time // stamps that were asked for, and when
	mine    *filter.Filter        // what is to be said; nil: nothing
	count   int

	news     *talk.News // of the IDs of stamps
	meetings *talk.Meetings
	changed  chan struct{} // cap 1: mine is another one
}

// An entry is a device as it is kept.
type entry struct {
	stamp
	id     sets.ID
	value  []byte
	heard  time.Time      // when it was said, by this computer's clock
	filter *filter.Filter // nil: a guide
	size   int            // bytes of the filter as it is sent
}

// New returns a Shard that knows nobody.
func New(o Options) (*Shard, error) {
	me, err := peer.IDFromPrivateKey(o.Key)
	if err != nil {
		return nil, fmt.Errorf("shard: %w", err)
	}
	o.Most = cmp.Or(o.Most, MaxDevices)
	return &Shard{
		o: o, me: me, kept: map[peer.ID]*entry{}, byID: map[sets.ID]peer.ID{}, paces: map[peer.ID]*rate.Limiter{}, budgets: map[peer.ID]*rate.Limiter{},
		refused: map[sets.ID]bool{}, coming: map[sets.ID]time.Time{}, news: talk.NewNews(), meetings: talk.NewMeetings(me), changed: make(chan struct{}, 1),
	}, nil
}

// Set says what this device publishes: the filter of all of it, and how many publications it is. A nil filter is of a device that publishes nothing: it is told no more.
func (s *Shard) Set(f *filter.Filter, publications int) {
	s.mu.Lock()
	s.mine, s.count = f, publications
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// A Known is a device whose filter is here.
type Known struct {
	Device peer.ID
	Filter *filter.Filter
	Count  int // publications that it says it has
}

// Known returns the other devices of the shard, in the order of their IDs.
func (s *Shard) Known() (list []Known) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, e := range s.kept {
		if p != s.me && e.filter != nil {
			list = append(list, Known{p, e.filter, int(e.count)})
		}
	}
	slices.SortFunc(list, func(a, b Known) int { return cmp.Compare(a.Device, b.Device) })
	return list
}

// Shards returns how many shards there are, as far as this node has seen: a power of two.
func (s *Shard) Shards() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return 1 << s.depth
}

// Guides returns for each other shard of which any device is known those that can be asked, first those that are connected.
func (s *Shard) Guides() (list [][]peer.ID) {
	connected := s.o.Peers()
	s.mu.Lock()
	defer s.mu.Unlock()
	by := map[uint32][]peer.ID{}
	add := func(p peer.ID) {
		if at := digits(p, s.depth); at != digits(s.me, s.depth) && len(by[at]) < maxGuides && !slices.Contains(by[at], p) {
			by[at] = append(by[at], p)
		}
	}
	for _, p := range connected {
		add(p)
	}
	for p := range s.kept {
		add(p)
	}
	for at := range uint32(1) << s.depth {
		if len(by[at]) > 0 {
			list = append(list, by[at])
		}
	}
	return list
}

// Met says that a peer is connected now.
func (s *Shard) Met(p peer.ID) { s.meetings.Met(p) }

// Run talks with peers until ctx ends.
func (s *Shard) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	meet, renew, forget := time.NewTicker(meetEvery), time.NewTicker(stampEvery), time.NewTicker(Life/12)
	defer meet.Stop()
	defer renew.Stop()
	defer forget.Stop()
	pace := rate.NewLimiter(rate.Every(changeEvery), changeBurst)
	compare := talk.Few(ctx, &wg, neighbours, s.compare)
	var due, change <-chan time.Time
	for {
		select {
		case p := <-s.meetings.Came():
			compare(p)
		case <-meet.C:
			near, far := s.peers()
			if len(near) > 0 {
				compare(near[0])
			}
			if len(near) < few && len(far) > 0 {
				compare(far[0])
			}
		case <-forget.C:
			s.forget(time.Now())
		case <-s.changed:
			if change == nil {
				change = time.After(pace.Reserve().Delay())
			}
		case <-change:
			change = nil
			s.say(time.Now())
		case <-renew.C:
			s.say(time.Now())
		case <-s.news.Rung():
			if due == nil {
				due = time.After(gather)
			}
		case <-due:
			due = nil
			s.spread(ctx, &wg)
		case <-ctx.Done():
			return nil
		}
	}
}

// peers returns who is connected, those of this shard and the others, in no order.
func (s *Shard) peers() (near, far []peer.ID) {
	list := s.o.Peers()
	rand.Shuffle(len(list), func(i, k int) { list[i], list[k] = list[k], list[i] })
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range list {
		if s.inside(p) {
			near = append(near, p)
		} else {
			far = append(far, p)
		}
	}
	return near, far
}

// spread offers what is new to some peers, drawn at random.
func (s *Shard) spread(ctx context.Context, wg *sync.WaitGroup) {
	news := s.news.Take()
	near, far := s.peers()
	for _, p := range slices.Concat(near[:min(len(near), neighbours)], far[:min(len(far), strangers)]) {
		if ids := news.For(p); len(ids) > 0 {
			wg.Go(func() { s.converse(ctx, p, &message{Offer: sets.EncodeIDs(ids)}) })
		}
	}
}
