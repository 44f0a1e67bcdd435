package search

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/multiformats/go-multihash"
	"golang.org/x/time/rate"

	"kith"
	"kith/search/ask"
	"kith/search/filter"
	"kith/search/query"
	"kith/search/rare"
	"kith/search/shard"
	"kith/search/spread"
)

// How what is published here is announced by its rarest words (search/rare).
const (
	maxRare    = 3_000            // keys
	rareBurst  = 50               // keys that are announced at once …
	rarePace   = 5                // … and a second afterwards
	rareEvery  = 15 * time.Minute // it is looked whether the network has become large …
	rareCount  = 6 * time.Hour    // … and how rare words are
	rareRest   = time.Second      // between two looks, at least, …
	rareRests  = 10               // … and so many times as long as counting took
	rareAddrs  = 16               // of who is announced
	rareSettle = shard.Life       // after the start, until it is believed that the network is small
)

// When the overlay is used as an index of what is rare.
const (
	rareAuto   = "auto" // in networks of more than one shard: in smaller ones the filters of all are here
	rareAlways = "always"
	rareNever  = "never"
)

// rareIndex is what is announced.
type rareIndex struct {
	when string        // "", which is auto, auto, always or never
	bell chan struct{} // cap 1: other things are published
}

// check says what is wrong with the setting.
func (r *rareIndex) check() error {
	if r.when = cmp.Or(r.when, rareAuto); !slices.Contains([]string{rareAuto, rareAlways, rareNever}, r.when) {
		return kith.Hint(fmt.Errorf("search: setting apps.search.rare: %q: %w", r.when, kith.Invalid), "%s, %s or %s", rareAuto, rareAlways, rareNever)
	}
	return nil
}

// ring says that other things are published than before.
func (r *rareIndex) ring() {
	select {
	case r.bell <- struct{}{}:
	default:
	}
}

// usesRare reports whether the overlay is used as an index.
func (s *Search) usesRare() bool {
	return s.env.Routes != nil && (s.rare.when == rareAlways || s.rare.when == rareAuto && s.shard.Shards() > 1)
}

// rareCID returns the key as the overlay has it: it hashes that again, or keeps it as it is.
func rareCID(k rare.Key) cid.Cid {
	mh, err := multihash.Encode(k[:], multihash.SHA2_256)
	if err != nil { // cannot be: the hash is known
		return cid.Undef
	}
	return cid.NewCidV1(cid.Raw, mh)
}

// reach returns what counts how many devices publish something with words: by the filters of the shard, of all shards; and by the index, of all who publish.
func (s *Search) reach(ctx context.Context) rare.Reach {
	known, shards := s.shard.Known(), s.shard.Shards()
	scale := max(1, float64(len(known)*shards)/float64(max(1, len(s.spread.Publishers()))))
	chance := float64(len(known)) / filter.FalseOnes
	chance += 3 * math.Sqrt(chance) // filters that say so of any word
	counted := map[string]int{}
	return func(words ...string) int {
		memo := strings.Join(words, "\x00")
		if n, known := counted[memo]; known {
			return n
		}
		key := filter.Term(words[0])
		if len(words) > 1 {
			key = filter.Pair(key, filter.Term(words[1]))
		}
		have := 0
		for _, k := range known {
			if k.Filter.Has(key) {
				have++
			}
		}
		publish, err := s.index.Publishers(ctx, words...)
		if err != nil && ctx.Err() == nil {
			s.env.Log.Debug("words are not counted", "err", err)
		}
		counted[memo] = int(max(float64(publish)*scale, (float64(have)-chance)*float64(shards)))
		return counted[memo]
	}
}

// rareKeys returns what is to be announced: of contents that nobody else is known to publish first, then of what was published last.
func (s *Search) rareKeys(ctx context.Context) ([]rare.Key, error) {
	mine, err := s.spread.By(ctx, s.me)
	if err != nil {
		return nil, err
	}
	type one struct {
		spread.Kept
		others int
	}
	var list []one
	for _, k := range mine {
		docs, err := s.index.Of(ctx, k.Root)
		if err != nil {
			return nil, err
		}
		o := one{Kept: k}
		for _, d := range docs {
			if d.Publisher != "" && d.Publisher != s.me.String() && !isOffer(d.Publisher) {
				o.others++
			}
		}
		if o.others < rare.Hot { // else it is not rare, whatever its words
			list = append(list, o)
		}
	}
	slices.SortFunc(list, func(a, b one) int { return cmp.Or(cmp.Compare(a.others, b.others), b.Issued.Compare(a.Issued)) })
	reach := s.reach(ctx)
	var keys []rare.Key
	known := map[rare.Key]bool{}
	for _, k := range list {
		if len(keys) == maxRare || ctx.Err() != nil {
			break
		}
		for _, key := range rare.Keys(ask.WordsOf(k.Publication), reach) {
			if !known[key] && len(keys) < maxRare {
				known[key] = true
				keys = append(keys, key)
			}
		}
	}
	return keys, ctx.Err()
}

// followRare keeps announced what is published, while the network is one for which that pays.
func (s *Search) followRare(ctx context.Context) error {
	before, err := s.readRare(ctx)
	if err != nil {
		return err
	}
	began, pace := time.Now(), rate.NewLimiter(rarePace, rareBurst)
	announced := map[rare.Key]bool{} // in this run; the overlay itself announces them again
	look := time.NewTicker(rareEvery)
	defer look.Stop()
	var counted time.Time
	used := false
	for {
		start, uses, pause := time.Now(), s.usesRare(), rareRest
		switch {
		case !uses && s.rare.when == rareAuto && time.Since(began) < rareSettle:
		case uses && used && time.Since(counted) < rareCount:
		default:
			var keys []rare.Key
			var err error
			if uses {
				keys, err = s.rareKeys(ctx)
				pause = max(pause, rareRests*time.Since(start))
			}
			if err == nil {
				err = s.announceRare(ctx, keys, before, announced, pace)
			}
			if err != nil && ctx.Err() == nil {
				s.env.Log.Warn("what is rare is not all announced", "err", err)
			}
			used, counted = uses && err == nil, start
		}
		rest := time.NewTimer(pause)
		select {
		case <-rest.C:
		case <-ctx.Done():
			rest.Stop()
			return nil
		}
		select {
		case <-s.rare.bell:
			counted = time.Time{}
		case <-look.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// announceRare announces keys, and ends announcing others. What is written down is what the overlay may have been told; it is told after that was written.
func (s *Search) announceRare(ctx context.Context, keys []rare.Key, before, announced map[rare.Key]bool, pace *rate.Limiter) error {
	wanted := map[rare.Key]bool{}
	for _, k := range keys {
		wanted[k] = true
	}
	var gone []cid.Cid
	for k := range before {
		if !wanted[k] {
			gone = append(gone, rareCID(k))
		}
	}
	if len(gone) > 0 && s.env.Routes != nil {
		if err := s.env.Routes.Withdraw(ctx, gone...); err != nil {
			return err
		}
	}
	for k := range before {
		if !wanted[k] {
			if _, err := s.db.ExecContext(ctx, `DELETE FROM rare WHERE key = ?`, k[:]); err != nil {
				return err
			}
			delete(before, k)
			delete(announced, k)
		}
	}
	for _, k := range keys {
		if announced[k] {
			continue
		}
		if err := pace.Wait(ctx); err != nil {
			return err
		}
		if len(s.rare.bell) > 0 { // perhaps it is to be announced no more
			return nil
		}
		if _, err := s.db.ExecContext(ctx, `INSERT OR IGNORE INTO rare (key) VALUES (?)`, k[:]); err != nil {
			return err
		}
		before[k] = true
		if err := s.env.Routes.Provide(ctx, rareCID(k), true); err != nil {
			return err
		}
		announced[k] = true
	}
	return nil
}

// readRare returns what an earlier run has announced.
func (s *Search) readRare(ctx context.Context) (map[rare.Key]bool, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT key FROM rare`)
	if err != nil {
		return nil, fmt.Errorf("search: read: %w", err)
	}
	defer rows.Close()
	keys := map[rare.Key]bool{}
	for rows.Next() {
		var key []byte
		if err := rows.Scan(&key); err != nil {
			return nil, fmt.Errorf("search: read: %w", err)
		}
		if len(key) == len(rare.Key{}) {
			keys[rare.Key(key)] = true
		}
	}
	return keys, rows.Err()
}

// lookRare returns what a search looks up in the overlay, when a guide of so many other shards has said who fits there: if that is all of them, it brings nothing more.
func (s *Search) lookRare(ctx context.Context, q query.Query, guided int) []rare.Key {
	if !s.usesRare() || s.rare.when == rareAuto && guided >= s.shard.Shards()-1 {
		return nil
	}
	return rare.Looks(ask.WordsIn(q), s.reach(ctx))
}

// findRare yields who is announced under a key, but for this node and whom it does not want to hear of.
func (s *Search) findRare(ctx context.Context, key rare.Key, most int) iter.Seq[peer.ID] {
	return func(yield func(peer.ID) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		for info := range s.env.Routes.FindProvidersAsync(ctx, rareCID(key), most) {
			if info.ID == s.me || s.shunned(info.ID) {
				continue
			}
			s.env.Host.Host().Peerstore().AddAddrs(info.ID, info.Addrs[:min(len(info.Addrs), rareAddrs)], peerstore.TempAddrTTL)
			if !yield(info.ID) {
				return
			}
		}
	}
}
