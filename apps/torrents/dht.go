package torrents

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"time"

	"kith"
	"kith/apps/torrents/feed"
	"kith/bridge"
	"kith/internal/plain"
)

// The DHT of BitTorrent is a feed like any other, but that it is listened to all the time (bridge.Torrents.Hear).
const (
	dhtFeed  = "dht:" // its address
	dhtTitle = "BitTorrent DHT"
)

const (
	heardFirst = time.Second // after so long what was heard of is written down, then ever more rarely …
	heardEvery = time.Minute // … until it is this
	maxHeard   = 100_000     // that are remembered
	maxInside  = 32          // files of one that are
)

// listen hears what there is in the DHT while it is followed.
func (t *Torrents) listen(ctx context.Context) error {
	for {
		woken := t.wake.Wait()
		if s, ok := t.dht(ctx); ok {
			t.hear(ctx, s, woken)
			woken = t.wake.Wait()
			if _, ok := t.dht(ctx); ok && ctx.Err() == nil { // it ended by itself: the bridge stops, or there is no DHT
				select {
				case <-time.After(heardEvery):
				case <-ctx.Done():
				}
				continue
			}
		}
		select {
		case <-woken:
		case <-ctx.Done():
			return nil
		}
	}
}

// dht returns the feed that the DHT is, if it is followed.
func (t *Torrents) dht(ctx context.Context) (source, bool) {
	all, err := t.sources(ctx)
	if err != nil {
		return source{}, false
	}
	i := slices.IndexFunc(all, func(s source) bool { return s.url == dhtFeed })
	if i < 0 {
		return source{}, false
	}
	return all[i], true
}

// hear listens until ctx ends or feeds change, and what it listens to is no longer followed.
func (t *Torrents) hear(ctx context.Context, s source, woken <-chan struct{}) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	var fresh []feed.Item
	flush := func() {
		mu.Lock()
		list := fresh
		fresh = nil
		mu.Unlock()
		if len(list) > 0 {
			if err := t.keepHeard(context.WithoutCancel(ctx), s, list); err != nil {
				t.env.Log.Warn("what the DHT has is not remembered", "err", err)
			}
		}
	}
	defer flush()
	b, err := t.torrents()
	var all sync.WaitGroup
	defer all.Wait()
	ended := make(chan struct{})
	all.Go(func() {
		defer close(ended)
		if err == nil {
			err = b.Hear(ctx, func(h kith.InfoHash) bool { return t.heardOf(ctx, s, h) }, func(h bridge.Heard) {
				if it, ok := itemOf(h); ok {
					mu.Lock()
					fresh = append(fresh, it)
					mu.Unlock()
				}
			})
		}
		t.trouble(ctx, s, err)
	})
	wait := heardFirst
	tick := time.NewTimer(wait)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			flush()
			wait = min(2*wait, heardEvery)
			tick.Reset(wait)
		case <-woken:
			if woken = t.wake.Wait(); !t.followed(ctx, s) {
				cancel()
				<-ended
				return
			}
		case <-ended:
			return
		}
	}
}

func (t *Torrents) followed(ctx context.Context, s source) bool {
	now, ok := t.dht(ctx)
	return ok && now.id == s.id
}

// heardOf reports whether a torrent is remembered.
func (t *Torrents) heardOf(ctx context.Context, s source, h kith.InfoHash) (is bool) {
	err := t.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM items WHERE feed = ? AND guid = ?)`, s.id, hex.EncodeToString(h[:])).Scan(&is)
	return err == nil && is
}

// itemOf returns what was heard of as an item of a feed.
func itemOf(h bridge.Heard) (feed.Item, bool) {
	l := kith.Link{Name: feed.Cut(h.Name), Size: h.Size, Names: kith.Names{V1: h.Names.V1, V2: h.Names.V2}}
	key := h.Names.V1[:]
	if h.Names.V1 == (kith.InfoHash{}) {
		key = h.Names.V2[:len(h.Names.V1)]
	}
	it := feed.Item{GUID: hex.EncodeToString(key), Title: feed.Cut(plain.Text(h.Name)), Link: l.String(), Size: h.Size}
	if len(h.Files) > 1 {
		for _, f := range h.Files[:min(len(h.Files), maxInside)] {
			it.Files = append(it.Files, feed.Cut(plain.Text(f)))
		}
	}
	return it, it.Title != "" && it.Link != ""
}

// keepHeard writes down what was heard of, and fetches what rules for this feed take of it.
func (t *Torrents) keepHeard(ctx context.Context, s source, list []feed.Item) error {
	t.looking.Lock()
	defer t.looking.Unlock()
	if !t.followed(ctx, s) {
		return nil
	}
	now := time.Now()
	if err := t.keepItems(ctx, s, list, now); err != nil {
		return err
	}
	if _, err := t.db.ExecContext(ctx, `UPDATE feeds SET looked = ?, trouble = '' WHERE id = ?`, now.Unix(), s.id); err != nil {
		return fmt.Errorf("torrents: feed: %w", err)
	}
	t.bell.Ring()
	return t.apply(ctx, s, false, now)
}

// trouble writes down why nothing is heard.
func (t *Torrents) trouble(ctx context.Context, s source, err error) {
	said := ""
	if err != nil {
		said = err.Error()
	}
	if _, err := t.db.ExecContext(context.WithoutCancel(ctx), `UPDATE feeds SET trouble = ? WHERE id = ?`, said, s.id); err != nil {
		t.env.Log.Debug("feed", "err", err)
	}
	t.bell.Ring()
}
