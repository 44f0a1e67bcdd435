package search

import (
	"context"
	"encoding/hex"
	"path/filepath"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith/apps/search/volunteer"
	"kith/network"
	"kith/search/filter"
	"kith/search/index"
	"kith/search/publication"
	"kith/search/query"
	"kith/search/spread"
)

// fullFilter is how many keys of a filter there are beyond which there may be names that it does not have.
const fullFilter = filter.MaxKeys / 16 * 15

// startVolunteer starts the role of a volunteer, if it is on.
func (s *Search) startVolunteer(ctx context.Context) error {
	return s.volunteer.Start(ctx, volunteer.Options{
		DB: s.db, Spread: s.spread, Shard: s.shard, Hidden: s.shunned, Say: s.stamp, Log: s.env.Log,
		Open: func(ctx context.Context, p peer.ID) (network.Stream, error) {
			return s.open(ctx, p, spread.OwnProtocolID)
		},
		Files: []string{filepath.Join(s.env.Dir, "publications.db"), filepath.Join(s.env.Dir, "index.db")},
	})
}

// serveOwn gives a volunteer what this device publishes.
func (s *Search) serveOwn(ctx context.Context, st network.Stream) error {
	return s.spread.ServeOwn(ctx, st)
}

// volunteers returns who says that it has everything of this shard, if there is anything that is not here and may answer: a filter has the words, or has no room for all that there is.
func (s *Search) volunteers(sought filter.Sought) (list []peer.ID) {
	lacks := false
	for _, k := range s.shard.Known() {
		if s.shunned(k.Device) {
			continue
		}
		if s.spread.Count(k.Device) < k.Count && (k.Filter.Len() > fullFilter || k.Filter.Fit(sought) != filter.Unfit) {
			lacks = true
		}
		if k.Filter.Volunteers() {
			list = append(list, k.Device)
		}
	}
	if !lacks {
		return nil
	}
	return list
}

// everybodys returns what anybody publishes that answers a query of somebody else, as far as this node keeps it, as whoever publishes it has signed it. Who does not volunteer gives what it publishes itself.
func (s *Search) everybodys(ctx context.Context, q query.Query, most int) ([][]byte, error) {
	if !s.volunteer.Volunteers() {
		return s.published(ctx, q, most)
	}
	wide := widened(q, "")
	sources, err := s.sources(ctx)
	if err != nil {
		return nil, err
	}
	wide.By = query.Choice{Out: append(sources, ofMine, forContacts)} // or what is here stands in the place of what is published
	found, err := s.index.Search(ctx, wide, index.SearchOptions{Limit: 4 * most, Exact: true})
	if err != nil {
		return nil, err
	}
	var ids []publication.ID
	for _, h := range found.Hits {
		id, err := hex.DecodeString(h.ID)
		if err == nil && len(id) == len(publication.ID{}) {
			ids = append(ids, publication.ID(id))
		}
	}
	values, err := s.answering(ctx, q, ids, most)
	s.volunteer.Gave(values)
	return values, err
}

// sources returns as whose the index has what other networks have.
func (s *Search) sources(ctx context.Context) (list []string, err error) {
	rows, err := s.db.QueryContext(ctx, `SELECT DISTINCT source FROM offers`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var source string
		if err := rows.Scan(&source); err != nil {
			return nil, err
		}
		list = append(list, elsewhere+source)
	}
	return list, rows.Err()
}

// outdated reports whether something that a volunteer gave was replaced or taken back since, as far as is known here.
func (s *Search) outdated(ctx context.Context, k spread.Kept) bool {
	old, err := s.spread.Outdated(ctx, k)
	return err == nil && old
}
