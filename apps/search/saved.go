package search

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"strings"
	"time"

	"kith"
	"kith/app"
	"kith/internal/human"
	"kith/internal/plain"
	"kith/internal/room"
	"kith/search/index"
	"kith/search/query"
)

// Limits of saved searches.
const (
	maxSaved     = 64
	maxSavedName = 64              // bytes
	maxNews      = 100             // of one search, that nobody has looked at
	freshBatch   = 1000            // documents that are compared at once
	gatherFresh  = 1 * time.Second // what comes in so much time is compared together
)

// SavedIn names a saved search.
type SavedIn struct {
	Name string `json:"name" arg:"0" suggest:"search saved" doc:"the name under which it is saved"`
}

// SavedSearch is a search that is kept.
type SavedSearch struct {
	Name    string    `json:"name"`
	Query   string    `json:"query"`
	Since   time.Time `json:"since"`
	News    []News    `json:"news" doc:"what is new since it was looked at, the latest first, at most 100"`
	Trouble string    `json:"trouble,omitempty" doc:"why nothing is found for it"`
}

// News is something that a saved search has found.
type News struct {
	Ref  kith.Ref  `json:"ref"`
	Name string    `json:"name"`
	Size int64     `json:"size" doc:"bytes"`
	At   time.Time `json:"at" doc:"when it came to this node"`
}

// SavedOut lists saved searches.
type SavedOut struct {
	Saved []SavedSearch `json:"saved"`
}

func savedOp(run func(context.Context, None) (SavedOut, error)) app.Op {
	o := app.NewOp("search saved", "list saved searches, and what is new for them", run)
	o.Long = "Save one with kith search --save NAME WORDS. What others publish later is compared with it as it comes, on this computer; the page says when there is something."
	o.Query = true
	return o
}

func savedSeenOp(run func(context.Context, SavedIn) (SavedOut, error)) app.Op {
	return app.NewOp("search saved seen", "say that what is new for a saved search has been looked at", run)
}

func savedRmOp(run func(context.Context, SavedIn) (SavedOut, error)) app.Op {
	return app.NewOp("search saved rm", "keep a saved search no more", run)
}

// save keeps a search under a name, in the place of the one that has it.
func (s *Search) save(ctx context.Context, name, text string) error {
	if strings.TrimSpace(name) != name || plain.Text(name) != name || len(name) > maxSavedName {
		return kith.Hint(fmt.Errorf("search: save: %.80q is no name: %w", name, kith.Invalid), "at most %d bytes that can be seen", maxSavedName)
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("search: save: %w", room.Explain(err))
	}
	defer tx.Rollback()
	if _, err := tx.Exec(`DELETE FROM saved WHERE name = ?`, name); err != nil {
		return fmt.Errorf("search: save: %w", room.Explain(err))
	}
	var n int
	if err := tx.QueryRow(`SELECT count(*) FROM saved`).Scan(&n); err != nil {
		return fmt.Errorf("search: save: %w", err)
	}
	if n >= maxSaved {
		return kith.Hint(fmt.Errorf("search: save: %d searches are saved already: %w", n, kith.TooLarge), "kith search saved rm NAME")
	}
	if _, err := tx.Exec(`INSERT INTO saved (name, query, at) VALUES (?, ?, ?)`, name, text, time.Now().Unix()); err != nil {
		return fmt.Errorf("search: save: %w", room.Explain(err))
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("search: save: %w", room.Explain(err))
	}
	return nil
}

func (s *Search) saved(ctx context.Context, _ None) (SavedOut, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT saved.name, query, saved.at, coalesce(root, ''), coalesce(news.name, ''), coalesce(size, 0), coalesce(news.at, 0)
		FROM saved LEFT JOIN news ON search = saved.name ORDER BY saved.name, news.at DESC, root`)
	if err != nil {
		return SavedOut{}, fmt.Errorf("search: %w", err)
	}
	defer rows.Close()
	out := SavedOut{Saved: []SavedSearch{}}
	for rows.Next() {
		var one SavedSearch
		var news News
		var root string
		var since, at int64
		if err := rows.Scan(&one.Name, &one.Query, &since, &root, &news.Name, &news.Size, &at); err != nil {
			return SavedOut{}, fmt.Errorf("search: %w", err)
		}
		if n := len(out.Saved); n == 0 || out.Saved[n-1].Name != one.Name {
			one.Since, one.News = time.Unix(since, 0).UTC(), []News{}
			if _, err := s.savedQuery(one.Query); err != nil {
				one.Trouble = err.Error()
			}
			out.Saved = append(out.Saved, one)
		}
		if root == "" {
			continue
		}
		if news.Ref, err = kith.ParseRef(root); err != nil {
			return SavedOut{}, err
		}
		news.At = time.Unix(at, 0).UTC()
		last := &out.Saved[len(out.Saved)-1]
		last.News = append(last.News, news)
	}
	return out, rows.Err()
}

// savedQuery reads a search as it is kept.
func (s *Search) savedQuery(text string) (query.Query, error) {
	q, err := query.Parse(text)
	if err == nil {
		err = s.whose(&q)
	}
	return q, err
}

func (s *Search) savedSeen(ctx context.Context, in SavedIn) (SavedOut, error) {
	return s.ofSaved(ctx, in, `DELETE FROM news WHERE search = ?`)
}

func (s *Search) savedRm(ctx context.Context, in SavedIn) (SavedOut, error) {
	return s.ofSaved(ctx, in, `DELETE FROM saved WHERE name = ?`)
}

// ofSaved changes a saved search.
func (s *Search) ofSaved(ctx context.Context, in SavedIn, change string) (SavedOut, error) {
	var there bool
	if err := s.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM saved WHERE name = ?)`, in.Name).Scan(&there); err != nil {
		return SavedOut{}, fmt.Errorf("search: %w", err)
	}
	if !there {
		return SavedOut{}, kith.Hint(fmt.Errorf("search: no search is saved as %.80s: %w", plain.Text(in.Name), kith.NotFound), "see which are: kith search saved")
	}
	if _, err := s.db.ExecContext(ctx, change, in.Name); err != nil {
		return SavedOut{}, fmt.Errorf("search: save: %w", room.Explain(err))
	}
	return s.saved(ctx, None{})
}

// freshen notes, before the index has them, which documents are of contents that nobody here knew of.
func (s *Search) freshen(ctx context.Context, docs []index.Doc) error {
	var any bool
	if err := s.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM saved)`).Scan(&any); err != nil || !any {
		return err
	}
	for _, d := range docs {
		if has, err := s.index.Has(ctx, d.Root); err != nil {
			return err
		} else if has || d.Publisher == s.me.String() {
			continue
		}
		if _, err := s.db.ExecContext(ctx, `INSERT OR IGNORE INTO fresh (id) VALUES (?)`, d.ID); err != nil {
			return err
		}
	}
	select {
	case s.bell <- struct{}{}:
	default:
	}
	return nil
}

// followSaved compares what comes with what is saved.
func (s *Search) followSaved(ctx context.Context) error {
	for {
		n, err := s.compare(ctx)
		if err != nil && ctx.Err() == nil {
			s.env.Log.Warn("what is new is compared with saved searches later", "err", err)
		}
		if n == freshBatch && err == nil {
			continue
		}
		select {
		case <-s.bell:
		case <-ctx.Done():
			return nil
		}
		pause := time.NewTimer(gatherFresh)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return nil
		}
	}
}

// compare searches in some of what is fresh, and returns in how much. What it found and that it did so is written down together.
func (s *Search) compare(ctx context.Context) (int, error) {
	s.shun.settling.Lock() // what is fresh is in the index then
	defer s.shun.settling.Unlock()
	ids, err := s.texts(ctx, `SELECT id FROM fresh LIMIT ?`, freshBatch)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	names, err := s.texts(ctx, `SELECT name FROM saved`)
	if err != nil {
		return 0, err
	}
	hits := map[string][]index.Hit{}
	for _, name := range names {
		if hits[name], err = s.matching(ctx, name, ids); err != nil {
			return 0, err
		}
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback()
	for name, list := range hits {
		if err := putNews(tx, name, list); err != nil {
			return 0, err
		}
	}
	for _, id := range ids {
		if _, err := tx.Exec(`DELETE FROM fresh WHERE id = ?`, id); err != nil {
			return 0, err
		}
	}
	return len(ids), tx.Commit()
}

// matching returns which of some documents have all that a saved search asks for.
func (s *Search) matching(ctx context.Context, name string, ids []string) (list []index.Hit, err error) {
	var text string
	if err := s.db.QueryRowContext(ctx, `SELECT coalesce(max(query), '') FROM saved WHERE name = ?`, name).Scan(&text); err != nil {
		return nil, err
	}
	q, err := s.savedQuery(text)
	if err != nil { // the list says so
		return nil, nil
	}
	found, err := s.index.Search(ctx, q, index.SearchOptions{Limit: maxNews, Within: ids})
	if err != nil || found.Corrected {
		return nil, err
	}
	for _, h := range found.Hits {
		if len(h.Missing) == 0 {
			list = append(list, h)
		}
	}
	return list, nil
}

// putNews writes down what is new for a search, and leaves the latest.
func putNews(tx *sql.Tx, name string, list []index.Hit) error {
	for _, h := range list {
		_, err := tx.Exec(`INSERT OR IGNORE INTO news (search, root, name, size, at) SELECT name, ?, ?, ?, ? FROM saved WHERE name = ?`, h.Root.String(), h.Name, h.Size, time.Now().Unix(), name)
		if err != nil {
			return err
		}
	}
	_, err := tx.Exec(`DELETE FROM news WHERE search = ?1 AND root NOT IN (SELECT root FROM news WHERE search = ?1 ORDER BY at DESC, root LIMIT ?2)`, name, maxNews)
	return err
}

// texts returns a column.
func (s *Search) texts(ctx context.Context, query string, args ...any) (list []string, err error) {
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		list = append(list, text)
	}
	return list, rows.Err()
}

// WriteText implements app.Texter.
func (out SavedOut) WriteText(w io.Writer, width int) error {
	var b strings.Builder
	for _, one := range out.Saved {
		fmt.Fprintf(&b, "%s  %s · %d new\n", plain.Text(one.Name), plain.Text(one.Query), len(one.News))
		if one.Trouble != "" {
			fmt.Fprintf(&b, "     %s\n", plain.Text(one.Trouble))
		}
		for _, n := range one.News {
			fmt.Fprintf(&b, "     %s · %s\n", plain.Text(n.Name), human.Bytes(n.Size))
		}
	}
	if len(out.Saved) == 0 {
		b.WriteString("No search is saved; save one with: kith search --save NAME WORDS\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Suggest implements app.Suggester.
func (out SavedOut) Suggest() (list []string) {
	for _, one := range out.Saved {
		list = append(list, one.Name)
	}
	return list
}
