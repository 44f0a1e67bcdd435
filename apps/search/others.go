package search

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"kith"
	"kith/network"
	"kith/search/ask"
	"kith/search/filter"
	"kith/search/index"
	"kith/search/plan"
	"kith/search/publication"
	"kith/search/query"
	"kith/search/report"
	"kith/search/shard"
	"kith/search/spread"
	"kith/search/words"
)

// startOthers makes what knows who has what, and what asks them.
func (s *Search) startOthers() (err error) {
	s.shard, err = shard.New(shard.Options{
		Key: s.env.Me.Key(), Log: s.env.Log, Peers: s.peers,
		Open: func(ctx context.Context, p peer.ID) (network.Stream, error) {
			return s.env.Net.Open(ctx, p, shard.ProtocolID)
		},
	})
	s.asker = ask.New(ask.Options{
		Open: func(ctx context.Context, p peer.ID) (network.Stream, error) { return s.open(ctx, p, ask.ProtocolID) },
		Find: s.published, Who: s.who, Guides: s.shard.Guides, Log: s.env.Log, Contacts: s.contacts, Contact: s.env.People.Contact, FindAsides: s.asides,
		Rare:       ask.Rare{Keys: s.lookRare, Find: s.findRare},
		Volunteers: s.volunteers, FindAll: s.everybodys,
	})
	return err
}

// open begins a conversation with a peer, who is looked for in the overlay if nobody here knows where it is.
func (s *Search) open(ctx context.Context, p peer.ID, id protocol.ID) (network.Stream, error) {
	st, err := s.env.Net.Open(ctx, p, id)
	if err == nil || !errors.Is(err, kith.Unavailable) || s.env.Routes == nil {
		return st, err
	}
	info, lost := s.env.Routes.FindPeer(ctx, p)
	if lost != nil {
		return nil, err
	}
	if err := s.env.Host.Connect(ctx, info); err != nil {
		return nil, err
	}
	return s.env.Net.Open(ctx, p, id)
}

// stamp says by a filter what this device publishes: its publications, which are public, and nothing else but whether it volunteers.
func (s *Search) stamp(ctx context.Context) error {
	s.rare.ring()
	s.stamping.Lock()
	defer s.stamping.Unlock()
	volunteers, said := s.volunteer.Says()
	mine, err := s.spread.By(ctx, s.me)
	if err != nil {
		return err
	}
	if len(mine) == 0 && !said { // else others would not hear for an hour that it volunteers no more
		s.shard.Set(nil, 0)
		return nil
	}
	slices.SortFunc(mine, func(a, b spread.Kept) int { return b.Issued.Compare(a.Issued) })
	var keys []filter.Key
	var memo words.Memo
	for _, k := range mine { // the newest first, if there are more than a filter holds
		more := ask.Keys(keys, k.Publication, &memo)
		if len(more) > filter.MaxKeys-filter.Marks {
			slices.Sort(more)
			if more = slices.Compact(more); len(more) > filter.MaxKeys-filter.Marks {
				break
			}
		}
		keys = more
	}
	if volunteers {
		keys = filter.Volunteer(keys)
	}
	f, err := filter.New(keys)
	if err != nil {
		return err
	}
	s.shard.Set(f, s.spread.Count(s.me))
	return nil
}

// who returns which devices may have what is looked for; missing: only those that publish more than is kept here of them, since all else is found without asking.
func (s *Search) who(sought filter.Sought, missing bool) (list []ask.Candidate) {
	for _, k := range s.shard.Known() {
		if missing && (s.spread.Count(k.Device) >= k.Count || s.shunned(k.Device)) {
			continue
		}
		if fit := k.Filter.Fit(sought); fit != filter.Unfit {
			list = append(list, ask.Candidate{Device: k.Device, Fit: fit, Score: plan.Score(k.Filter.Len())})
		}
	}
	return ask.Best(list)
}

// shunned reports whether nothing of a device is shown.
func (s *Search) shunned(p peer.ID) bool {
	s.shun.mu.Lock()
	defer s.shun.mu.Unlock()
	return s.shun.all[p.String()] > 0
}

// published returns what this device publishes that answers a query of somebody else. The index knows more of what is here than is published, as the camera of a photo: so what it
// finds is looked at once more, as everybody can see it, nothing is corrected, and the order is that of IDs: or questions could find out the rest.
func (s *Search) published(ctx context.Context, q query.Query, most int) ([][]byte, error) {
	found, err := s.index.Search(ctx, widened(q, s.me.String()), index.SearchOptions{Limit: 4 * most, Exact: true})
	if err != nil {
		return nil, err
	}
	var ids []publication.ID
	for _, h := range found.Hits {
		id, err := hex.DecodeString(h.ID)
		if err == nil && len(id) == len(publication.ID{}) && h.Publisher == s.me.String() {
			ids = append(ids, publication.ID(id))
		}
	}
	return s.answering(ctx, q, ids, most)
}

// answering returns those of some publications that answer a query as everybody can see them, in the order of their IDs.
func (s *Search) answering(ctx context.Context, q query.Query, ids []publication.ID, most int) ([][]byte, error) {
	values, err := s.spread.Values(ctx, ids)
	if err != nil {
		return nil, err
	}
	var docs []index.Doc
	for _, value := range values {
		p, err := publication.Read(value)
		if err != nil {
			return nil, err
		}
		docs = append(docs, asSaid(spread.Kept{ID: publication.IDOf(value), Publication: p}))
	}
	answer, err := s.among(ctx, q, docs, most)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(values, func(a, b []byte) int {
		x, y := publication.IDOf(a), publication.IDOf(b)
		return bytes.Compare(x[:], y[:])
	})
	values = slices.DeleteFunc(values, func(value []byte) bool { return !answer[docID(publication.IDOf(value))] })
	return values[:min(len(values), most)], nil
}

// widened returns what everything has that answers q as others see it, of one publisher: what may not be there, may be here.
func widened(q query.Query, publisher string) query.Query {
	return query.Query{Words: q.Words, Phrases: q.Phrases, Tag: query.Choice{In: q.Tag.In}, By: query.Choice{In: []string{publisher}}}
}

// among returns the IDs of those documents that answer a query, whatever else is here.
func (s *Search) among(ctx context.Context, q query.Query, docs []index.Doc, most int) (map[string]bool, error) {
	const said = "said "
	docs = slices.Clone(docs)
	for i := range docs {
		docs[i].ID = said + docs[i].ID // they are in the index too, as they are known here
	}
	found, err := s.index.Search(ctx, q, index.SearchOptions{Limit: most, Exact: true, Within: []string{}, Beside: docs})
	if err != nil {
		return nil, err
	}
	answer := map[string]bool{}
	for _, id := range found.Beside {
		answer[strings.TrimPrefix(id, said)] = true
	}
	return answer, nil
}

// asked returns what others are asked of a query. They are not told of whom it is, nor in which order: one that says no more than that asks for whatever there is.
func asked(q query.Query) query.Query {
	said := q
	said.By, said.Sort = query.Choice{}, query.ByRelevance
	if said.String() == "" {
		q.Type.In = query.Types()
	}
	return q
}

// An asking is a search that others are asked for.
type asking struct {
	s       *Search
	ctx     context.Context
	q       query.Query
	o       index.SearchOptions
	found   index.Results
	report  ask.Report
	feeds   int                    // that were asked
	trouble []string               // why some of them did not answer
	asides  map[kith.Ref][]peer.ID // who has said in an aside that they have it
	voices  report.Voices          // what contacts report
	err     error
}

// take ranks an answer with what was found before. What does not answer the query goes.
func (a *asking) take(so ask.Report, list []ask.Found) (fit, fresh int) {
	a.report = so
	before := len(a.o.Beside)
	for _, f := range list {
		k := spread.Kept{ID: f.ID, Publication: f.Publication}
		if a.s.shown(k) && !(f.Lent && a.s.outdated(a.ctx, k)) {
			a.o.Beside = append(a.o.Beside, a.s.docOf(k))
			if f.Aside {
				a.asides[f.Root] = append(a.asides[f.Root], f.Publisher)
			}
		} else {
			fit++ // it may well answer, and is not to be seen
		}
	}
	found, err := a.s.index.Search(a.ctx, a.q, a.o)
	if err != nil {
		a.err = err
		return len(list), 0
	}
	had := whole(a.found)
	a.found = found
	kept := slices.DeleteFunc(slices.Clone(a.o.Beside[before:]), func(d index.Doc) bool { return !slices.Contains(found.Beside, d.ID) })
	a.o.Beside = append(a.o.Beside[:before], kept...)
	return fit + len(kept), max(0, whole(found)-had)
}

// whole returns how many results have all words.
func whole(found index.Results) (n int) {
	for _, h := range found.Hits {
		if len(h.Missing) == 0 {
			n++
		}
	}
	return n
}
