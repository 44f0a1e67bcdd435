package search_test

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
	"kith/apps/files"
	"kith/apps/search"
	"kith/apps/torrents"
	"kith/apptest"
)

// A feed is a web server that tells of torrents.
type feed struct {
	mu    sync.Mutex
	items []string
}

func newFeed(t *testing.T, title string) (*feed, string) {
	f := &feed{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		fmt.Fprintf(w, `<rss version="2.0"><channel><title>%s</title>%s</channel></rss>`, title, strings.Join(f.items, ""))
	}))
	t.Cleanup(srv.Close)
	return f, srv.URL
}

func (f *feed) tell(title, link string, size int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.items = append(f.items, fmt.Sprintf(`<item><guid>%d</guid><title>%s</title><enclosure url="%s" length="%d" type="application/x-bittorrent"/></item>`,
		len(f.items), title, strings.ReplaceAll(link, "&", "&amp;"), size))
}

const torrent = "magnet:?xt=urn:btih:%040x"

func inWords(t *testing.T, out search.SearchOut) string {
	t.Helper()
	var b strings.Builder
	if err := out.WriteText(&b, 0); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// What feeds tell of is found beside what is shared, one torrent of two feeds once; nobody else is told of it, and it is gone with its feed.
func TestElsewhere(t *testing.T) {
	var w tap
	net := apptest.New(t, 2, w.build)
	a, b := net.Node(0), net.Node(1)
	one1, at1 := newFeed(t, "Sounds")
	two, at2 := newFeed(t, "More sounds")
	one1.tell("Penguin recordings 1956", fmt.Sprintf(torrent, 1), 5<<20)
	one1.tell("Walrus recordings 1957", "https://example.invalid/walrus.torrent", 10)
	two.tell("Penguin recordings, 1956 (mono)", fmt.Sprintf(torrent, 1), 0)
	share(t, b, "Penguin notes.txt", "1", files.ShareIn{For: "public"})
	until(t, a, "penguin", "what is public is not found", one)
	call[search.SearchOut](t, a, "search", search.SearchIn{Words: []string{"walrus"}, Save: "walrus"})
	for _, at := range []string{at1, at2} {
		if err := a.Call(t.Context(), "torrents", "feed add", torrents.FeedAddIn{URL: at, Every: "5m"}, new(any)); err != nil {
			t.Fatal(err)
		}
	}
	both := func(out search.SearchOut) bool { // what is found is looked up in two places, one a moment after the other
		return len(out.Results) == 1 && len(out.Results[0].Elsewhere) == 2 && len(out.Results[0].Names) == 1
	}
	r := until(t, a, "penguin recordings", "what feeds tell of is not found once", both).Results[0]
	slices.Sort(r.Elsewhere)
	if !strings.HasPrefix(r.Link, fmt.Sprintf(torrent, 1)) || r.Size != 5<<20 || r.Here || r.Sources != 0 || len(r.Names) != 1 || r.Elsewhere[1] != "Sounds" {
		t.Errorf("%+v", r)
	}
	if out := find(t, a, "penguin"); len(out.Results) != 2 {
		t.Errorf("%+v", out)
	}
	if out := find(t, a, "zebra"); !none(out) || out.Told != 2 || !strings.Contains(inWords(t, out), "1 publication known here, nor in 2 items of feeds.") {
		t.Errorf("what was looked through is not said: %+v", out)
	}
	if out := until(t, a, "walrus", "what has no infohash is not found", one); out.Results[0].Link != "https://example.invalid/walrus.torrent" || out.Results[0].Size != -1 {
		t.Errorf("%+v", out)
	}
	if n := news(t, a, "walrus"); n.Name != "Walrus recordings 1957" {
		t.Errorf("%+v", n)
	}
	if err := a.Call(t.Context(), "search", "search hide", search.HideIn{What: r.Ref.String()}, new(any)); err != nil {
		t.Fatal(err)
	}
	if out := find(t, a, "penguin recordings 1956"); !none(out) && len(out.Results[0].Missing) == 0 {
		t.Errorf("hidden: %+v", out)
	}
	if err := a.Call(t.Context(), "search", "search hide", search.HideIn{What: fmt.Sprintf(torrent, 1)}, new(any)); err != nil {
		t.Errorf("by its link: %v", err)
	}
	net.Restart(0)
	a = net.Node(0)
	if out := find(t, a, "penguin recordings 1956"); !none(out) && len(out.Results[0].Missing) == 0 {
		t.Errorf("hidden, after a restart: %+v", out)
	}
	if err := a.Call(t.Context(), "search", "search unhide", search.UnhideIn{What: r.Ref.String()}, new(any)); err != nil {
		t.Fatal(err)
	}
	until(t, a, "penguin recordings", "what is shown again is not found", both)
	if err := a.Call(t.Context(), "search", "search", search.SearchIn{Words: []string{"penguin recordings"}, Get: 1}, new(any)); !errors.Is(err, kith.Unavailable) || !strings.Contains(err.Error(), "other networks") {
		t.Errorf("it is fetched from another network, and this node is in none: %v", err)
	}
	if out := find(t, b, "recordings"); !none(out) {
		t.Errorf("another node found %+v", out)
	}
	if err := a.Call(t.Context(), "torrents", "feed rm", torrents.FeedIn{Feed: "2"}, new(any)); err != nil {
		t.Fatal(err)
	}
	until(t, a, "penguin recordings", "what a feed told of stays when it is gone", func(out search.SearchOut) bool {
		return len(out.Results) == 1 && slices.Equal(out.Results[0].Elsewhere, []string{"Sounds"})
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	heard := strings.ToLower(w.heard.String())
	if !strings.Contains(heard, "penguin notes") || strings.Contains(heard, "recordings") {
		t.Error("others are told of what a feed told of, or nothing was heard at all")
	}
}

// A feed that can be asked is asked when a person searches, and neither while they type nor with --local; what it answers is among the results, and why it does not is said.
func TestElsewhereAsked(t *testing.T) {
	var w tap
	net := apptest.New(t, 1, w.build)
	a := net.Node(0)
	var mu sync.Mutex
	var asked []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query().Get("q")
		mu.Lock()
		asked = append(asked, q)
		mu.Unlock()
		switch q {
		case "":
			fmt.Fprint(w, `<rss version="2.0"><channel><title>Indexer</title></channel></rss>`)
		case "broken":
			http.Error(w, "no", http.StatusInternalServerError)
		default:
			fmt.Fprintf(w, `<rss version="2.0"><channel><title>Indexer</title><item><guid>1</guid><title>%s of 1958</title><enclosure url="%s" length="5000000" type="application/x-bittorrent"/></item></channel></rss>`,
				q, fmt.Sprintf(torrent, 5))
		}
	}))
	defer srv.Close()
	if err := a.Call(t.Context(), "torrents", "feed add", torrents.FeedAddIn{URL: srv.URL + "/api?apikey=KEY", Every: "5m", Ask: true}, new(any)); err != nil {
		t.Fatal(err)
	}
	for _, in := range []search.SearchIn{{Words: []string{"penguin recordings"}, Local: true}, {Words: []string{"penguin recordings"}, Typing: true}} {
		var out search.SearchOut
		if err := a.Call(t.Context(), "search", "search", in, &out); err != nil || !none(out) || out.Feeds != 0 {
			t.Errorf("%+v: %+v, %v", in, out, err)
		}
	}
	if out := find(t, a, "penguin recordings size:>1MB"); !one(out) || out.Feeds != 1 || out.Results[0].Name != "penguin recordings of 1958" || out.Results[0].Elsewhere[0] != "Indexer" || out.Trouble != nil {
		t.Errorf("%+v", out)
	}
	if out := find(t, a, "broken"); !none(out) || len(out.Trouble) != 1 || !strings.Contains(out.Trouble[0], "500") || strings.Contains(out.Trouble[0], "KEY") {
		t.Errorf("%+v", out)
	}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(asked, []string{"", "penguin recordings", "broken"}) {
		t.Errorf("asked for %q", asked)
	}
}
