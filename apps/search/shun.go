package search

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/internal/human"
	"kith/internal/plain"
	"kith/internal/room"
	"kith/search/index"
	"kith/search/spread"
)

// A shun is who and what is not shown here. What is published stays in what is kept, and spreads on; it is the index that does not have it.
type shun struct {
	settling sync.Mutex // one who tells the index what is shown, at a time

	mu  sync.Mutex
	all map[string]int // by peer ID or CID: how many lists name it, hidden by hand being one
}

// byHand is the list of what the person hides.
const byHand = ""

// shown reports whether a search may find a publication.
func (s *Search) shown(k spread.Kept) bool {
	if k.Gone {
		return false
	}
	s.shun.mu.Lock()
	defer s.shun.mu.Unlock()
	return k.Publisher == s.me || s.shun.all[k.Publisher.String()] == 0 && s.shun.all[k.Root.String()] == 0
}

func (s *Search) readShunned(ctx context.Context) (map[string]int, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT what, count(*) FROM shunned GROUP BY what`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[string]int{}
	for rows.Next() {
		var what string
		var n int
		if err := rows.Scan(&what, &n); err != nil {
			return nil, err
		}
		all[what] = n
	}
	return all, rows.Err()
}

// changeShunned changes in one transaction what is shunned; change returns what the index has to be told of. When it returns nil, searches find what they may.
func (s *Search) changeShunned(ctx context.Context, change func(tx *sql.Tx) (whats []string, err error)) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("search: save: %w", room.Explain(err))
	}
	defer tx.Rollback()
	whats, err := change(tx)
	if err != nil {
		return err
	}
	for _, what := range whats {
		if _, err := tx.Exec(`INSERT OR IGNORE INTO unsettled (what) VALUES (?)`, what); err != nil {
			return fmt.Errorf("search: save: %w", room.Explain(err))
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("search: save: %w", room.Explain(err))
	}
	return s.settle(ctx)
}

// settleBatch is of how many publications the index is told at once.
const settleBatch = 1000

// settle makes the index have what is shown, and nothing that is not.
func (s *Search) settle(ctx context.Context) error {
	s.shun.settling.Lock()
	defer s.shun.settling.Unlock()
	whats, err := s.unsettled(ctx)
	if err != nil || len(whats) == 0 {
		return err
	}
	all, err := s.readShunned(ctx)
	if err != nil {
		return err
	}
	s.shun.mu.Lock()
	s.shun.all = all
	s.shun.mu.Unlock()
	var docs []index.Doc
	var gone []string
	flush := func() error {
		err := errors.Join(s.index.Delete(ctx, gone...), s.index.Put(ctx, docs...))
		docs, gone = docs[:0], gone[:0]
		return err
	}
	var told error
	err = s.spread.All(ctx, func(k spread.Kept) bool {
		switch {
		case k.Gone || !whats[k.Publisher.String()] && !whats[k.Root.String()]:
		case s.shown(k):
			docs = append(docs, s.docOf(k))
		default:
			gone = append(gone, docID(k.ID))
		}
		if len(docs)+len(gone) >= settleBatch {
			told = flush()
		}
		return told == nil
	})
	if err = errors.Join(err, told, flush()); err != nil {
		return fmt.Errorf("search: hide: %w", err)
	}
	for what := range whats {
		if err := s.settleOffers(ctx, what); err != nil {
			return fmt.Errorf("search: hide: %w", err)
		}
		if _, err := s.db.ExecContext(ctx, `DELETE FROM unsettled WHERE what = ?`, what); err != nil {
			return fmt.Errorf("search: hide: %w", err)
		}
	}
	return nil
}

func (s *Search) unsettled(ctx context.Context) (map[string]bool, error) {
	list, err := s.texts(ctx, `SELECT what FROM unsettled`)
	if err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	whats := map[string]bool{}
	for _, what := range list {
		whats[what] = true
	}
	return whats, nil
}

// hide shuns by hand.
func (s *Search) hide(ctx context.Context, in HideIn) (HiddenOut, error) {
	return s.hideAnd(ctx, in, func(*sql.Tx, []string) error { return nil })
}

// hideAnd shuns by hand, and does something with what it shuns in the same transaction.
func (s *Search) hideAnd(ctx context.Context, in HideIn, also func(tx *sql.Tx, whats []string) error) (HiddenOut, error) {
	whats, err := s.hideable(in.What)
	if err != nil {
		return HiddenOut{}, err
	}
	if len(in.Why) > maxWhy {
		return HiddenOut{}, kith.Hint(fmt.Errorf("search: hide: %d bytes of a reason: %w", len(in.Why), kith.TooLarge), "at most %d", maxWhy)
	}
	err = s.changeShunned(ctx, func(tx *sql.Tx) ([]string, error) {
		var n int
		if err := tx.QueryRow(`SELECT count(*) FROM shunned WHERE list = ?`, byHand).Scan(&n); err != nil {
			return nil, err
		}
		if n+len(whats) > maxHidden {
			return nil, kith.Hint(fmt.Errorf("search: hide: %d are hidden already: %w", n, kith.TooLarge), "put them into a file, and: kith search block add FILE")
		}
		for _, what := range whats {
			if _, err := tx.Exec(`INSERT INTO shunned (what, list, why, at) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET why = excluded.why`, what, byHand, in.Why, time.Now().Unix()); err != nil {
				return nil, fmt.Errorf("search: save: %w", room.Explain(err))
			}
		}
		return whats, also(tx, whats)
	})
	if err != nil {
		return HiddenOut{}, err
	}
	return s.hidden(ctx, None{})
}

// hides returns how many publishers and contents are not found.
func (s *Search) hides() int {
	s.shun.mu.Lock()
	defer s.shun.mu.Unlock()
	return len(s.shun.all)
}

// hideable returns the peer IDs, or the CID, of what a person names to hide it.
func (s *Search) hideable(name string) (whats []string, err error) {
	publishers := s.spread.Publishers()
	for _, p := range s.env.People.Devices(strings.TrimPrefix(name, "@")) { // whatever they publish: what is for contacts is known only when they are asked
		whats = append(whats, p.String())
	}
	if whats != nil {
		return whats, nil
	}
	end := strings.TrimPrefix(name, "…")
	for _, p := range publishers {
		if text := p.String(); len(end) >= tailLen && strings.HasSuffix(text, end) {
			whats = append(whats, text)
		}
	}
	switch {
	case slices.Contains(whats, s.me.String()):
		return nil, kith.Hint(fmt.Errorf("search: hide %s: that is this device: %w", plain.Text(name), kith.Invalid), "what you publish is taken back with: kith unpublish ITEM --for link")
	case len(whats) > 1:
		return nil, kith.Hint(fmt.Errorf("search: hide %s: %s end so: %w", plain.Text(name), human.Count(len(whats), "publisher"), kith.Invalid), "name more of it")
	case len(whats) == 1:
		return whats, nil
	}
	if root, err := kith.ParseRef(name); err == nil && root.Codec == kith.Pending { // of another network; it is not here
		return []string{root.String()}, nil
	}
	if link, err := kith.ParseLink(name); err == nil {
		if root := (Offer{Link: name}).rootOf(nil); link.Ref.IsZero() && !root.IsZero() {
			return []string{root.String()}, nil
		} else if !link.Ref.IsZero() {
			return []string{link.Ref.String()}, nil
		}
	}
	return nil, kith.Hint(fmt.Errorf("search: %.80q is no publisher that is known here, and no content: %w", plain.Text(name), kith.NotFound),
		"name a contact, a publisher by what a search shows of it, such as …x7Kq2p9d, or a link")
}

func (s *Search) unhide(ctx context.Context, in UnhideIn) (HiddenOut, error) {
	all, err := s.hidden(ctx, None{})
	if err != nil {
		return HiddenOut{}, err
	}
	var whats []string
	for _, h := range all.Hidden {
		if h.called(in.What) {
			whats = append(whats, h.What)
		}
	}
	if len(whats) == 0 {
		err := fmt.Errorf("search: unhide %.80s: it is not hidden: %w", plain.Text(in.What), kith.NotFound)
		return HiddenOut{}, kith.Hint(err, "see what is: kith search hidden; and what block lists name: kith search block")
	}
	err = s.changeShunned(ctx, func(tx *sql.Tx) ([]string, error) {
		for _, what := range whats {
			if _, err := tx.Exec(`DELETE FROM shunned WHERE what = ? AND list = ?`, what, byHand); err != nil {
				return nil, fmt.Errorf("search: save: %w", room.Explain(err))
			}
		}
		return whats, unreport(tx, whats)
	})
	if err == nil {
		err = s.readMine(ctx)
	}
	if err != nil {
		return HiddenOut{}, err
	}
	return s.hidden(ctx, None{})
}

// called reports whether a person names what is hidden so.
func (h Hidden) called(name string) bool {
	end := strings.TrimPrefix(name, "…")
	return h.What == name || len(end) >= tailLen && strings.HasSuffix(h.What, end) || h.Name != "" && strings.EqualFold(h.Name, strings.TrimPrefix(name, "@"))
}

func (s *Search) hidden(ctx context.Context, _ None) (HiddenOut, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT what, why, at FROM shunned WHERE list = ? ORDER BY at DESC, what`, byHand)
	if err != nil {
		return HiddenOut{}, fmt.Errorf("search: %w", err)
	}
	defer rows.Close()
	out := HiddenOut{Hidden: []Hidden{}}
	reported := s.mine()
	for rows.Next() {
		h := Hidden{Kind: "content"}
		var at int64
		if err := rows.Scan(&h.What, &h.Why, &at); err != nil {
			return HiddenOut{}, fmt.Errorf("search: %w", err)
		}
		h.Since, h.Reported = time.Unix(at, 0).UTC(), reported[h.What]
		if p, err := peer.Decode(h.What); err == nil {
			h.Kind, h.Name = "publisher", s.env.People.Name(p)
		}
		out.Hidden = append(out.Hidden, h)
	}
	return out, rows.Err()
}
