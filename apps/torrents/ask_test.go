package torrents

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"kith"
)

// An indexer answers as Jackett and Prowlarr do (Torznab).
type indexer struct {
	*httptest.Server
	mu  sync.Mutex
	had []string // what it was asked for
}

func newIndexer(t *testing.T) *indexer {
	x := &indexer{}
	x.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := r.URL.Query()
		if v.Get("apikey") != "KEY" || v.Get("t") != "search" {
			fmt.Fprint(w, `<?xml version="1.0" encoding="UTF-8"?><error code="100" description="Invalid API Key"/>`)
			return
		}
		x.mu.Lock()
		x.had = append(x.had, v.Get("q"))
		x.mu.Unlock()
		title := "What is new"
		if q := v.Get("q"); q != "" {
			title = q + " & more"
		}
		if strings.Contains(title, "garbage") {
			fmt.Fprint(w, "<html>")
			return
		}
		fmt.Fprintf(w, `<rss version="2.0" xmlns:torznab="http://torznab.com/schemas/2015/feed"><channel><title>All</title><item><guid>%s</guid><title>%s</title><size>5000000</size>
<torznab:attr name="magneturl" value="%s"/></item></channel></rss>`, strings.ReplaceAll(title, "&", "&amp;"), strings.ReplaceAll(title, "&", "&amp;"), strings.ReplaceAll(fmt.Sprintf(magnet, 9, "x"), "&", "&amp;"))
	}))
	t.Cleanup(x.Close)
	return x
}

func (x *indexer) words() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.had)
}

func (k *kit) offered(t *testing.T) (names []string) {
	for o, err := range k.Offers(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, o.Name)
	}
	slices.Sort(names)
	return names
}

// An indexer is asked for what is looked for, once, and otherwise for what is new, as any feed; a feed that cannot be asked is not.
func TestAsk(t *testing.T) {
	k, x, s := newKit(t), newIndexer(t), newSite(t)
	s.tell("1", "Show S01E01", fmt.Sprintf(magnet, 1, "e1"), 500_000_000)
	if _, err := k.feedAdd(t.Context(), FeedAddIn{URL: s.URL + "/feed", Every: "5m"}); err != nil {
		t.Fatal(err)
	}
	if _, err := k.feedAdd(t.Context(), FeedAddIn{URL: x.URL + "/api?apikey=WRONG", Every: "5m", Ask: true}); !errors.Is(err, kith.Denied) || !strings.Contains(err.Error(), "Invalid API Key") {
		t.Errorf("%v", err)
	}
	got, err := k.feedAdd(t.Context(), FeedAddIn{URL: x.URL + "/api?apikey=KEY", Every: "5m", Ask: true})
	if err != nil || !got.Feed.Asked || !slices.Equal(x.words(), []string{""}) {
		t.Fatalf("%v %+v, asked for %q", err, got, x.words())
	}
	if list, err := k.feedLs(t.Context(), None{}); err != nil || len(list.Feeds) != 2 || list.Feeds[0].Asked {
		t.Errorf("%v %+v", err, list)
	}
	asked := s.asked
	heard := k.Changed()
	for range 2 {
		if err := k.Ask(t.Context(), "kind & blue"); err != nil {
			t.Error(err)
		}
	}
	select {
	case <-heard:
	default:
		t.Error("nobody is told that there is more")
	}
	if names := k.offered(t); !slices.Equal(names, []string{"Show S01E01", "What is new", "kind & blue & more"}) || !slices.Equal(x.words(), []string{"", "kind & blue"}) || s.asked != asked {
		t.Errorf("%q, asked for %q", names, x.words())
	}
	for range 2 {
		if err := k.Ask(t.Context(), "garbage"); !errors.Is(err, kith.Invalid) || strings.Contains(err.Error(), "KEY") {
			t.Errorf("%v", err)
		}
	}
	if n := len(x.words()); n != 4 {
		t.Errorf("what failed is not asked again: %q", x.words())
	}
	x.Close()
	if err := k.Ask(t.Context(), "gone"); !errors.Is(err, kith.Unavailable) || strings.Contains(err.Error(), "KEY") {
		t.Errorf("%v", err)
	}
	if _, err := k.feedAdd(t.Context(), FeedAddIn{URL: s.URL + "/feed?words={searchTerms}", Every: "5m"}); err != nil {
		t.Fatal(err)
	}
	if n, err := k.Askable(t.Context()); n != 2 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}
