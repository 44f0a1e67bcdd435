package search

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith/search/index"
	"kith/search/publication"
	"kith/search/query"
	"kith/search/spread"
)

// contacts returns the devices of contacts, and the person's own others, that are connected and not hidden. Who is not connected is not dialled: people does that, again and
// again, so that who is up is connected.
func (s *Search) contacts() (list []peer.ID) {
	for _, p := range s.peers() {
		if p != s.me && s.env.People.Contact(p) && !s.shunned(p) {
			list = append(list, p)
		}
	}
	return list
}

// asides returns what the person shares with contacts that answers a query of one of them: as a contact can see it, and with nothing corrected, and in the order of their refs, as published does.
// It is what is for contacts now, whatever the index has been told of.
func (s *Search) asides(ctx context.Context, q query.Query, most int) ([][]byte, error) {
	found, err := s.index.Search(ctx, widened(q, forContacts), index.SearchOptions{Limit: 4 * most, Exact: true})
	if err != nil || len(found.Hits) == 0 {
		return nil, err
	}
	items := map[string]Item{}
	for _, it := range s.files.Findable() {
		if it.Contacts {
			items[ownID(it.Link.Ref.String())] = it
		}
	}
	values := map[string][]byte{}
	var docs []index.Doc
	for _, h := range found.Hits {
		it, ok := items[h.ID]
		if !ok {
			continue
		}
		p, err := s.publicationOf(ctx, it)
		if err != nil { // its manifest is not to be read now
			continue
		}
		p.Publisher, p.Issued = s.me, it.Added.Truncate(time.Second)
		if p.Issued.Unix() < 0 {
			p.Issued = time.Unix(0, 0)
		}
		value, err := publication.Aside(p)
		if err != nil {
			s.env.Log.Debug("an item cannot be said to contacts", "ref", it.Link.Ref, "err", err)
			continue
		}
		if p, err = publication.ReadAside(value, s.me, time.Now()); err != nil {
			return nil, err
		}
		d := asSaid(spread.Kept{Publication: p})
		d.ID = h.ID
		docs, values[d.ID] = append(docs, d), value
	}
	answer, err := s.among(ctx, q, docs, most)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(docs, func(a, b index.Doc) int { return cmp.Compare(a.ID, b.ID) })
	var list [][]byte
	for _, d := range docs {
		if answer[d.ID] && len(list) < most {
			list = append(list, values[d.ID])
		}
	}
	return list, nil
}

// confided reports whether a result is for contacts alone, as far as this node knows: all others who share it have said so in an aside.
func (a *asking) confided(h *index.Hit) bool {
	said := a.asides[h.Root]
	for _, text := range h.Publishers {
		p, err := peer.Decode(text)
		if isOffer(text) || err == nil && p != a.s.me && !slices.Contains(said, p) {
			return false
		}
	}
	return len(said) > 0
}
