package torrents

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"kith"
	"kith/apps/torrents/feed"
)

// searchTerms stands in the address of a feed that can be asked for something, where the words are put (OpenSearch 1.1, URL template syntax).
const searchTerms = "{searchTerms}"

// asks reports whether a feed can be asked for something.
func asks(at string) bool { return strings.Contains(at, searchTerms) }

// wordsIn returns where a feed says what it has for some words; for none that is what is new.
func wordsIn(at, words string) string {
	return strings.ReplaceAll(at, searchTerms, url.QueryEscape(words))
}

// Limits of asking.
const (
	askTime  = 10 * time.Second // indexers ask others, which takes them seconds
	maxWords = 512              // bytes
	askAgain = time.Minute      // before that an answer is taken for still right
	maxAsked = 256              // answers that are remembered
)

// answered remembers what was asked, so that nobody is asked twice for turning a page.
type answered struct {
	mu sync.Mutex
	at map[string]time.Time // by number of the feed and words
}

// due reports whether a feed is to be asked, and takes it that it is.
func (a *answered) due(key string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if at, ok := a.at[key]; ok && now.Sub(at) < askAgain {
		return false
	}
	if a.at == nil || len(a.at) >= maxAsked {
		a.at = map[string]time.Time{}
	}
	a.at[key] = now
	return true
}

// forget has a feed asked again at once.
func (a *answered) forget(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.at, key)
}

// Askable returns how many feeds are asked when the person searches.
func (t *Torrents) Askable(ctx context.Context) (n int, err error) {
	all, err := t.sources(ctx)
	for _, s := range all {
		if asks(s.url) {
			n++
		}
	}
	return n, err
}

// Ask asks all feeds that can be asked for what has some words, and remembers what they tell of; Offers has it then. It returns when all have answered or ten seconds are over, and says of each that
// did not what went wrong.
func (t *Torrents) Ask(ctx context.Context, words string) error {
	if words = strings.TrimSpace(words); words == "" || len(words) > maxWords {
		return nil
	}
	all, err := t.sources(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	var wg sync.WaitGroup
	wrong := make([]error, len(all))
	for i, s := range all {
		if key := fmt.Sprint(s.id, " ", words); asks(s.url) && t.asked.due(key, time.Now()) {
			wg.Go(func() {
				if wrong[i] = t.askOne(ctx, s, words); wrong[i] != nil {
					t.asked.forget(key)
				}
			})
		}
	}
	wg.Wait()
	return errors.Join(wrong...)
}

// askOne asks one feed.
func (t *Torrents) askOne(ctx context.Context, s source, words string) error {
	a, err := fetchWeb(ctx, wordsIn(s.url, words), "", "", feed.MaxBytes, atHome(ctx, s.url))
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("torrents: %s does not answer within %s: %w", host(s.url), askTime, kith.Unavailable)
		}
		return err
	}
	_, items, err := feed.Parse(a.body)
	if err != nil {
		return fmt.Errorf("torrents: %s: %w", host(s.url), err)
	}
	t.looking.Lock()
	defer t.looking.Unlock()
	return t.keepItems(ctx, s, items, time.Now())
}
