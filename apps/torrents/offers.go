package torrents

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"
)

// An Offer is something that a feed has told of, and that can be fetched.
type Offer struct {
	ID     string // tells it from others, and stays
	Name   string
	Size   int64     // bytes; -1: the feed does not say
	At     time.Time // zero: the feed does not say
	Link   string    // magnet link, or address of a .torrent file
	Source string    // title of the feed, or its host
	Files  []string  // names in it, as far as is known
}

// Offers yields what feeds have told of, and are remembered for.
func (t *Torrents) Offers(ctx context.Context) iter.Seq2[Offer, error] {
	return func(yield func(Offer, error) bool) {
		if t.db == nil { // not started
			return
		}
		rows, err := t.db.QueryContext(ctx, `SELECT feeds.id, guid, items.title, size, published, link, feeds.title, url, files FROM items JOIN feeds ON feeds.id = feed ORDER BY feeds.id, guid`)
		if err != nil {
			yield(Offer{}, fmt.Errorf("torrents: feeds: %w", err))
			return
		}
		defer rows.Close()
		for rows.Next() {
			var o Offer
			var feed, at int64
			var guid, url, files string
			if err := rows.Scan(&feed, &guid, &o.Name, &o.Size, &at, &o.Link, &o.Source, &url, &files); err != nil {
				yield(Offer{}, fmt.Errorf("torrents: feeds: %w", err))
				return
			}
			if o.ID = fmt.Sprintf("feed %d %s", feed, guid); at != 0 {
				o.At = time.Unix(at, 0)
			}
			if files != "" {
				o.Files = strings.Split(files, "\n")
			}
			if o.Source == "" {
				o.Source = host(url)
			}
			if !yield(o, nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(Offer{}, fmt.Errorf("torrents: feeds: %w", err))
		}
	}
}

// Changed returns a channel that is closed when what Offers yields may have changed.
func (t *Torrents) Changed() <-chan struct{} { return t.heard.Wait() }
