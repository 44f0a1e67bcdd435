package torrents

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"kith"
	"kith/apps/torrents/feed"
	"kith/internal/room"
)

// Limits of feeds.
const (
	maxFeeds   = 200
	maxRules   = 500
	maxKept    = 5000 // items of one feed that are remembered
	minEvery   = 5 * time.Minute
	maxEvery   = 30 * 24 * time.Hour
	maxAtOnce  = 50 // items that one look at a feed fetches: a rule that takes everything shows early
	maxTries   = 5  // of one item that cannot be fetched
	maxFailing = 12 * time.Hour
)

// source is a feed as it is kept.
type source struct {
	id                             int64
	url, title, etag, mod, trouble string
	every                          time.Duration
	looked, next                   time.Time
	fails                          int
}

const sourceColumns = `id, url, title, etag, modified, trouble, every, looked, next, fails`

func (s *source) scan(row interface{ Scan(...any) error }) error {
	var every, looked, next int64
	err := row.Scan(&s.id, &s.url, &s.title, &s.etag, &s.mod, &s.trouble, &every, &looked, &next, &s.fails)
	s.every, s.looked, s.next = time.Duration(every)*time.Second, time.Unix(looked, 0), time.Unix(next, 0)
	return err
}

func (t *Torrents) sources(ctx context.Context) (all []source, err error) {
	rows, err := t.db.QueryContext(ctx, `SELECT `+sourceColumns+` FROM feeds ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("torrents: feeds: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var s source
		if err := s.scan(rows); err != nil {
			return nil, fmt.Errorf("torrents: feeds: %w", err)
		}
		all = append(all, s)
	}
	return all, rows.Err()
}

// rule is a person's rule as it is kept.
type rule struct {
	name   string
	feed   int64 // 0: every
	body   feed.Rule
	state  feed.State
	output string
	match  *feed.Matcher
}

func (t *Torrents) rules(ctx context.Context) (all []rule, err error) {
	rows, err := t.db.QueryContext(ctx, `SELECT name, feed, body, state, output FROM rules ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("torrents: rules: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var r rule
		var body, state string
		if err := rows.Scan(&r.name, &r.feed, &body, &state, &r.output); err != nil {
			return nil, fmt.Errorf("torrents: rules: %w", err)
		}
		if err := errors.Join(json.Unmarshal([]byte(body), &r.body), json.Unmarshal([]byte(state), &r.state)); err != nil {
			return nil, fmt.Errorf("torrents: rule %q: %w: %w", r.name, err, kith.Corrupt)
		}
		if r.match, err = r.body.Compile(); err != nil {
			return nil, fmt.Errorf("torrents: rule %q: %w", r.name, err)
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

// follow looks at feeds when they are due, until the node stops.
func (t *Torrents) follow(ctx context.Context) error {
	for {
		woken := t.wake.Wait()
		all, err := t.sources(ctx)
		if err != nil && ctx.Err() == nil {
			t.env.Log.Warn("feeds", "err", err)
		}
		var next time.Time
		for _, s := range all {
			if !s.next.After(time.Now()) {
				if err := t.lookAt(ctx, s.id); err != nil && ctx.Err() == nil {
					t.env.Log.Debug("feed", "err", err)
				}
				woken = nil // the others may be due by now
				break
			}
			if next.IsZero() || s.next.Before(next) {
				next = s.next
			}
		}
		if woken == nil {
			if ctx.Err() != nil {
				return nil
			}
			continue
		}
		var due <-chan time.Time
		if !next.IsZero() {
			due = time.After(time.Until(next))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-due:
		case <-woken:
		}
	}
}

// lookAt asks a feed what is new, and fetches what rules take. What goes wrong is written down with the feed; it is asked again ever more rarely.
func (t *Torrents) lookAt(ctx context.Context, id int64) error {
	t.looking.Lock()
	defer t.looking.Unlock()
	var s source
	if err := s.scan(t.db.QueryRowContext(ctx, `SELECT `+sourceColumns+` FROM feeds WHERE id = ?`, id)); err != nil {
		return fmt.Errorf("torrents: feed: %w", err)
	}
	if s.url == dhtFeed { // it is listened to all the time
		_, err := t.db.ExecContext(ctx, `UPDATE feeds SET title = ?, next = ? WHERE id = ?`, dhtTitle, time.Now().Add(maxEvery).Unix(), id)
		return err
	}
	home := atHome(ctx, s.url)
	a, err := fetchWeb(ctx, wordsIn(s.url, ""), s.etag, s.mod, feed.MaxBytes, home)
	now := time.Now()
	if err == nil && !a.same {
		var items []feed.Item
		if s.title, items, err = feed.Parse(a.body); err == nil {
			if err = t.keepItems(ctx, s, items, now); err != nil {
				return err // the disk: it is asked again with the same etag
			}
			s.etag, s.mod = a.etag, a.modified
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.trouble, s.fails = "", s.fails+1
	if err != nil {
		s.trouble = err.Error()
	} else {
		s.fails = 0
	}
	s.next = now.Add(pause(s, a.retry))
	if _, err := t.db.ExecContext(ctx, `UPDATE feeds SET title = ?, etag = ?, modified = ?, trouble = ?, looked = ?, next = ?, fails = ? WHERE id = ?`,
		s.title, s.etag, s.mod, s.trouble, now.Unix(), s.next.Unix(), s.fails, id); err != nil {
		return fmt.Errorf("torrents: feed: %w", room.Explain(err))
	}
	t.bell.Ring()
	if err != nil {
		return err
	}
	return t.apply(ctx, s, home, now)
}

// pause returns how long a feed is left alone: its interval, doubled with each failure in a row; a little more or less, so that not everybody asks at the same moment.
func pause(s source, retry time.Duration) time.Duration {
	d := s.every
	for range min(s.fails, 10) {
		d = min(2*d, max(maxFailing, s.every))
	}
	return max(d+time.Duration(rand.Int64N(int64(d/20)+1)), retry)
}

// keepItems remembers what a feed told of. Of what it told long ago the oldest is forgotten.
func (t *Torrents) keepItems(ctx context.Context, s source, items []feed.Item, now time.Time) error {
	tx, err := t.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("torrents: feed: %w", room.Explain(err))
	}
	defer tx.Rollback()
	for _, it := range items {
		if _, err := tx.ExecContext(ctx, `INSERT INTO items (feed, guid, title, link, page, size, published, came, files) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (feed, guid) DO UPDATE SET title = excluded.title, link = excluded.link, size = excluded.size, came = excluded.came, files = excluded.files`,
			s.id, it.GUID, it.Title, it.Link, it.Page, it.Size, unix(it.Published), now.Unix(), strings.Join(it.Files, "\n")); err != nil {
			return fmt.Errorf("torrents: feed: %w", room.Explain(err))
		}
	}
	n, most := 0, maxKept
	if s.url == dhtFeed {
		most = maxHeard
	}
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM items WHERE feed = ?`, s.id).Scan(&n); err != nil {
		return fmt.Errorf("torrents: feed: %w", err)
	}
	if n > most {
		if _, err := tx.ExecContext(ctx, `DELETE FROM items WHERE feed = ?1 AND guid IN (SELECT guid FROM items WHERE feed = ?1 ORDER BY came, rowid LIMIT ?2)`, s.id, n-most); err != nil {
			return fmt.Errorf("torrents: feed: %w", room.Explain(err))
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("torrents: feed: %w", room.Explain(err))
	}
	t.heard.Ring()
	return nil
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// kept is an item as it is remembered.
type kept struct {
	feed.Item
	feed           int64
	state, trouble string
	rule           string
	tries          int
}

func (t *Torrents) items(ctx context.Context, id int64, limit int) (all []kept, err error) {
	rows, err := t.db.QueryContext(ctx, `SELECT feed, guid, title, link, page, size, published, state, trouble, rule, tries FROM items WHERE feed = ? ORDER BY published DESC, came DESC, guid LIMIT ?`, id, limit)
	if err != nil {
		return nil, fmt.Errorf("torrents: feed: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var k kept
		var published int64
		if err := rows.Scan(&k.feed, &k.GUID, &k.Title, &k.Link, &k.Page, &k.Size, &published, &k.state, &k.trouble, &k.rule, &k.tries); err != nil {
			return nil, fmt.Errorf("torrents: feed: %w", err)
		}
		if published != 0 {
			k.Published = time.Unix(published, 0)
		}
		all = append(all, k)
	}
	return all, rows.Err()
}

// apply fetches what rules take of a feed's items that were not fetched before, the oldest first.
func (t *Torrents) apply(ctx context.Context, s source, home bool, now time.Time) error {
	rules, err := t.rules(ctx)
	if err != nil {
		return err
	}
	items, err := t.items(ctx, s.id, maxKept)
	if err != nil {
		return err
	}
	n := 0
	for i := len(items) - 1; i >= 0; i-- {
		k := items[i]
		if k.state == stateFetched || k.tries >= maxTries {
			continue
		}
		for j := range rules {
			r := &rules[j]
			if ok, _ := r.match.Match(k.Item, r.state, now); !ok || r.feed != 0 && r.feed != s.id {
				continue
			}
			if s.url == dhtFeed && r.feed == 0 { // anybody says anything there: a rule has to name it
				continue
			}
			if n++; n > maxAtOnce {
				t.env.Note(fmt.Sprintf("feed %s: rules take more than %d of its items at once; the others follow at the next look", s.name(), maxAtOnce))
				return nil
			}
			if err := t.take(ctx, k, r, home, now); err != nil {
				return err
			}
			break
		}
	}
	return nil
}

func (s source) name() string {
	if s.title != "" {
		return s.title
	}
	return host(s.url)
}

// State of an item.
const (
	stateFetched = "fetched"
	stateFailed  = "failed"
)

// take fetches an item for a rule, nil if a person asked for it. That it was begun and what the rule remembers are written down together; what goes wrong is written down with the item.
func (t *Torrents) take(ctx context.Context, k kept, r *rule, home bool, now time.Time) error {
	hash, failed := t.takeItem(ctx, k, r, home)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	k.state, k.trouble, k.rule = stateFetched, "", ""
	if failed != nil {
		k.state, k.trouble = stateFailed, failed.Error()
	}
	tx, err := t.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("torrents: feed: %w", room.Explain(err))
	}
	defer tx.Rollback()
	if r != nil {
		k.rule = r.name
		if failed == nil {
			r.state = r.match.Took(k.Item, r.state, now)
			state, err := json.Marshal(r.state)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `UPDATE rules SET state = ? WHERE name = ?`, string(state), r.name); err != nil {
				return fmt.Errorf("torrents: feed: %w", room.Explain(err))
			}
		}
	}
	_, err = tx.ExecContext(ctx, `UPDATE items SET state = ?, trouble = ?, rule = ?, tries = tries + 1 WHERE feed = ? AND guid = ?`, k.state, k.trouble, k.rule, k.feed, k.GUID)
	if err == nil && failed == nil && hash != (kith.InfoHash{}) {
		_, err = tx.ExecContext(ctx, `INSERT OR IGNORE INTO got (hash, at) VALUES (?, ?)`, hash[:], now.Unix())
	}
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		return fmt.Errorf("torrents: feed: %w", room.Explain(err))
	}
	t.bell.Ring()
	if r == nil {
		return failed
	}
	return nil
}

// takeItem begins to fetch an item, unless what it names was fetched before by a rule. It returns the infohash it goes by.
func (t *Torrents) takeItem(ctx context.Context, k kept, r *rule, home bool) (hash kith.InfoHash, err error) {
	torrent, link, err := fetchItem(ctx, k.Link, home)
	if err != nil {
		return hash, err
	}
	if torrent != nil {
		b, err := t.torrents()
		if err != nil {
			return hash, err
		}
		l, err := b.AddTorrent(ctx, torrent)
		if err != nil {
			return hash, err
		}
		link = l.String()
	}
	l, err := kith.ParseLink(link)
	if err != nil {
		return hash, err
	}
	if hash = l.V1; hash == (kith.InfoHash{}) {
		hash = kith.InfoHash(l.V2[:20])
	}
	output := ""
	if r != nil {
		output = r.output
		var n int
		if err := t.db.QueryRowContext(ctx, `SELECT count(*) FROM got WHERE hash = ?`, hash[:]).Scan(&n); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return hash, fmt.Errorf("torrents: feed: %w", err)
		}
		if n > 0 && hash != (kith.InfoHash{}) {
			return hash, nil // another feed told of it
		}
	}
	_, err = t.files.Fetch(ctx, link, output)
	return hash, err
}
