package search

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"kith"
	"kith/internal/room"
	"kith/search/index"
	"kith/search/query"
	"kith/transfer"
)

// Elsewhere is what this node has heard of that other networks have, and that can be fetched from them. It is found on this computer alone, and told to nobody.
type Elsewhere interface {
	// Offers yields all of it, in any order.
	Offers(ctx context.Context) iter.Seq2[Offer, error]
	// Changed returns a channel that is closed when that has changed.
	Changed() <-chan struct{}
	// Askable returns how many feeds can be asked for words.
	Askable(ctx context.Context) (int, error)
	// Ask asks them, and returns when all have answered or had time enough: Offers yields what they told of. Its error says of each that did not answer why.
	Ask(ctx context.Context, words string) error
}

// An Offer is one thing that another network has.
type Offer struct {
	ID     string // tells it from others, and stays
	Name   string
	Size   int64     // bytes; -1: that is not known
	At     time.Time // when it was published; zero: that is not known
	Link   string    // what kith get takes: a magnet link, the address of a .torrent file
	Source string    // where it was heard of, as a person sees it: the title of a feed
	Files  []string  // names in it, as far as is known
}

// elsewhere begins the publisher of what the index is told of an offer; behind it is the source.
const elsewhere = "elsewhere "

func offerID(id string) string { return "offer " + id }

// offersBatch is of how many offers the index is told at once.
const offersBatch = 1000

// rootOf returns the content of an offer: that of what is here, or else what stands for it until it is fetched; the zero Ref if there is no fetching it.
func (o Offer) rootOf(here map[kith.InfoHash]kith.Ref) kith.Ref {
	l, err := kith.ParseLink(o.Link)
	if err != nil {
		return kith.Ref{}
	}
	for _, h := range torrentOf(l) {
		if root, ok := here[h]; ok {
			return root
		}
	}
	return transfer.PendingRef(l.Names)
}

// torrentOf returns the infohashes of a link.
func torrentOf(l kith.Link) (list []kith.InfoHash) {
	if l.V1 != (kith.InfoHash{}) {
		list = append(list, l.V1)
	}
	if l.V2 != [32]byte{} {
		list = append(list, kith.InfoHash(l.V2[:]))
	}
	return list
}

// offered is an offer as it is written down.
type offered struct {
	Offer
	root kith.Ref
}

func (o offered) same(p offered) bool {
	return o.root == p.root && o.Name == p.Name && o.Size == p.Size && o.At.Equal(p.At) && o.Link == p.Link && o.Source == p.Source && slices.Equal(o.Files, p.Files)
}

// doc returns what the index is told of an offer.
func (o offered) doc() index.Doc {
	return index.Doc{
		ID: offerID(o.ID), Root: o.root, Name: o.Name, Files: o.Files, Type: sortOf(o.Name, o.Files).String(), Size: max(o.Size, 0), Published: o.At, Publisher: elsewhere + o.Source,
	}
}

// offers yields what is written down of offers, all where is "".
func (s *Search) offers(ctx context.Context, where string, args ...any) iter.Seq2[offered, error] {
	return func(yield func(offered, error) bool) {
		rows, err := s.db.QueryContext(ctx, `SELECT id, root, name, size, at, link, source, files FROM offers `+where, args...)
		if err != nil {
			yield(offered{}, err)
			return
		}
		defer rows.Close()
		for rows.Next() {
			var o offered
			var root, files string
			var at int64
			err := rows.Scan(&o.ID, &root, &o.Name, &o.Size, &at, &o.Link, &o.Source, &files)
			if files != "" {
				o.Files = strings.Split(files, "\n")
			}
			if err == nil {
				o.root, err = kith.ParseRef(root)
			}
			o.At = time.Unix(at, 0)
			if !yield(o, err) || err != nil {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(offered{}, err)
		}
	}
}

// syncOffers makes the index find what was heard of elsewhere, and nothing that was forgotten.
func (s *Search) syncOffers(ctx context.Context, items []Item) error {
	s.offering.Lock()
	defer s.offering.Unlock()
	here := map[kith.InfoHash]kith.Ref{}
	for _, it := range items {
		for _, h := range torrentOf(it.Link) {
			here[h] = it.Link.Ref
		}
	}
	before := map[string]offered{}
	for o, err := range s.offers(ctx, "") {
		if err != nil {
			return err
		}
		before[o.ID] = o
	}
	var batch []offered
	for o, err := range s.elsewhere.Offers(ctx) {
		if err != nil {
			return err
		}
		one := offered{Offer: o, root: o.rootOf(here)}
		if one.root.IsZero() {
			continue
		}
		had, ok := before[o.ID]
		delete(before, o.ID)
		switch {
		case !one.At.IsZero():
			one.At = time.Unix(one.At.Unix(), 0)
		case ok:
			one.At = had.At
		default:
			one.At = time.Unix(time.Now().Unix(), 0) // when it was heard of
		}
		if ok && had.same(one) {
			continue
		}
		if batch = append(batch, one); len(batch) == offersBatch {
			if err := s.putOffers(ctx, batch); err != nil {
				return err
			}
			batch = nil
		}
	}
	if err := s.putOffers(ctx, batch); err != nil {
		return err
	}
	return s.dropOffers(ctx, before)
}

// putOffers tells the index of offers, and notes that it was told.
func (s *Search) putOffers(ctx context.Context, list []offered) error {
	if len(list) == 0 {
		return nil
	}
	s.shun.settling.Lock()
	defer s.shun.settling.Unlock()
	docs, gone := s.split(list)
	if err := s.freshen(ctx, docs); err != nil {
		return err
	}
	if err := errors.Join(s.index.Delete(ctx, gone...), s.index.Put(ctx, docs...)); err != nil {
		return err
	}
	return s.inOne(ctx, func(tx *sql.Tx) error {
		for _, o := range list {
			if _, err := tx.Exec(`INSERT OR REPLACE INTO offers (id, root, name, size, at, link, source, files) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, o.ID, o.root.String(), o.Name, o.Size, o.At.Unix(), o.Link,
				o.Source, strings.Join(o.Files, "\n")); err != nil {
				return err
			}
		}
		return nil
	})
}

// split returns what of offers the index is to have, and what not.
func (s *Search) split(list []offered) (docs []index.Doc, gone []string) {
	s.shun.mu.Lock()
	defer s.shun.mu.Unlock()
	for _, o := range list {
		if s.shun.all[o.root.String()] == 0 {
			docs = append(docs, s.asKnown(o.doc()))
		} else {
			gone = append(gone, offerID(o.ID))
		}
	}
	return docs, gone
}

// settleOffers makes the index have of a content what is shown. The caller holds settling.
func (s *Search) settleOffers(ctx context.Context, what string) error {
	var list []offered
	for o, err := range s.offers(ctx, `WHERE root = ?`, what) {
		if err != nil {
			return err
		}
		list = append(list, o)
	}
	docs, gone := s.split(list)
	return errors.Join(s.index.Delete(ctx, gone...), s.index.Put(ctx, docs...))
}

// dropOffers makes the index forget offers.
func (s *Search) dropOffers(ctx context.Context, ids map[string]offered) error {
	if len(ids) == 0 {
		return nil
	}
	var gone []string
	for id := range ids {
		gone = append(gone, offerID(id))
	}
	if err := s.index.Delete(ctx, gone...); err != nil {
		return err
	}
	return s.inOne(ctx, func(tx *sql.Tx) error {
		for id := range ids {
			if _, err := tx.Exec(`DELETE FROM offers WHERE id = ?`, id); err != nil {
				return err
			}
		}
		return nil
	})
}

// inOne changes the database in one transaction.
func (s *Search) inOne(ctx context.Context, change func(tx *sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("search: save: %w", room.Explain(err))
	}
	defer tx.Rollback()
	if err := errors.Join(change(tx), ctx.Err()); err != nil {
		return fmt.Errorf("search: save: %w", room.Explain(err))
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("search: save: %w", room.Explain(err))
	}
	return nil
}

// offerCount returns of how many contents elsewhere this node has heard.
func (s *Search) offerCount(ctx context.Context) (n int, err error) {
	if err := s.db.QueryRowContext(ctx, `SELECT count(DISTINCT root) FROM offers`).Scan(&n); err != nil {
		return 0, fmt.Errorf("search: %w", err)
	}
	return n, nil
}

// maxOffers is how many sources of one content are named.
const maxOffers = 8

// offersOf returns how a content can be fetched from elsewhere, and where it was heard of; the zero Offer if it was not.
func (s *Search) offersOf(ctx context.Context, root kith.Ref) (best Offer, sources []string, err error) {
	best.Size = -1
	for o, err := range s.offers(ctx, `WHERE root = ? ORDER BY link NOT LIKE 'magnet:%', id LIMIT ?`, root.String(), maxOffers) {
		if err != nil {
			return Offer{}, nil, fmt.Errorf("search: %w", err)
		}
		size := max(best.Size, o.Size)
		if best.Link == "" {
			best = o.Offer
		}
		best.Size = size
		if !slices.Contains(sources, o.Source) {
			sources = append(sources, o.Source)
		}
	}
	return best, sources, nil
}

// askFeeds asks the feeds that can be asked for what has the words of a query, and returns how many these are; done is told when the index has what they answered, and why some did not.
func (s *Search) askFeeds(ctx context.Context, q query.Query) (n int, done <-chan error) {
	words := strings.Join(append(slices.Clone(q.Words), q.Phrases...), " ")
	n, err := s.elsewhere.Askable(ctx)
	if err != nil || n == 0 || words == "" {
		return 0, nil
	}
	c := make(chan error, 1)
	go func() {
		why := s.elsewhere.Ask(ctx, words)
		if err := s.syncOffers(ctx, s.files.Findable()); err != nil && ctx.Err() == nil {
			why = errors.Join(why, err)
		}
		c <- why
	}()
	return n, c
}

// again looks once more in what is here, of which there is more now.
func (a *asking) again(why error) {
	if why != nil {
		a.trouble = strings.Split(why.Error(), "\n")
	}
	found, err := a.s.index.Search(a.ctx, a.q, a.o)
	if err != nil {
		a.err = err
		return
	}
	a.found = found
}

// isOffer reports whether a publisher of a document in the index is none, but a place where it was heard of.
func isOffer(publisher string) bool { return strings.HasPrefix(publisher, elsewhere) }
