package torrents

import (
	"bytes"
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anacrolix/torrent/bencode"
	atracker "github.com/anacrolix/torrent/tracker"
	ma "github.com/multiformats/go-multiaddr"

	"kith"
	"kith/app"
	"kith/blob"
	"kith/bridge"
	"kith/bridge/bittorrent"
	"kith/bridge/bittorrent/tracker"
	"kith/network"
	"kith/transfer"
)

// asked is an application of files that writes down what it is asked for.
type asked struct {
	mu      sync.Mutex
	fetched []string // names of links, and where to
	adopted []string
	serves  map[kith.InfoHash]bool
	fail    error
}

func (a *asked) Fetch(_ context.Context, link, output string) (bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fail != nil {
		return false, a.fail
	}
	l, err := kith.ParseLink(link)
	if err != nil {
		return false, err
	}
	a.fetched = append(a.fetched, strings.TrimSpace(l.Name+" "+filepath.Base(output)))
	return true, nil
}

func (a *asked) Serves(h kith.InfoHash) bool { return a.serves[h] }

func (a *asked) Adopt(_ context.Context, path string, l kith.Link, _ time.Time, still bool, _ func(int64, int64)) error {
	a.adopted = append(a.adopted, fmt.Sprint("whole ", filepath.Base(path), " ", still))
	return nil
}

func (a *asked) FetchFrom(ctx context.Context, l kith.Link, _ string, _ time.Time, still bool, from transfer.Opener) error {
	what := "link "
	if from != nil {
		o, err := from(ctx, nil)
		if err != nil {
			return err
		}
		defer o.Close()
		layout, err := o.Layout(ctx)
		if err != nil {
			return err
		}
		n := int64(0)
		for i, f := range layout.Files {
			for off := int64(0); off < f.Size; off += layout.Unit {
				b, err := o.Fetch(ctx, transfer.Span{File: i, Off: off, N: min(layout.Unit, f.Size-off)}, func() {})
				if err != nil && !errors.Is(err, kith.NotFound) {
					return err
				}
				n += int64(len(b))
			}
		}
		what = fmt.Sprintf("%d bytes of ", n)
	}
	a.adopted = append(a.adopted, fmt.Sprint(what, l.Name, " ", still))
	return nil
}

func (a *asked) got() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.fetched)
}

// kit is Torrents over a real bridge to BitTorrent.
type kit struct {
	*Torrents
	t     *testing.T
	files *asked
	dir   string
	notes []string
	stop  func()
	there func(*bittorrent.Options) // more of the bridge's; may be nil
}

func newKit(t *testing.T) *kit {
	t.Helper()
	k := &kit{t: t, files: &asked{serves: map[kith.InfoHash]bool{}}, dir: t.TempDir()}
	k.open()
	t.Cleanup(func() { k.stop() })
	return k
}

func (k *kit) open() {
	k.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	run := func(_ string, f func(context.Context) error) { tasks.Go(func() { f(ctx) }) }
	store, err := blob.Open(ctx, blob.Options{Dir: filepath.Join(k.dir, "blobs")})
	if err != nil {
		k.t.Fatal(err)
	}
	o := bittorrent.Options{Blobs: store, Dir: filepath.Join(k.dir, "bittorrent"), Bind: netip.MustParseAddr("127.0.0.1"), Go: run, Version: "test"}
	if k.there != nil {
		k.there(&o)
	}
	b, err := bittorrent.New(o)
	if err != nil {
		k.t.Fatal(err)
	}
	k.Torrents = New(k.files)
	var mu sync.Mutex
	err = k.Torrents.start(ctx, app.Env{
		Dir: k.dir, Files: k.t.TempDir(), Bridges: []bridge.Bridge{b}, Log: slog.New(slog.DiscardHandler), Go: run,
		Note: func(text string) { mu.Lock(); k.notes = append(k.notes, text); mu.Unlock() },
	})
	if err != nil {
		k.t.Fatal(err)
	}
	tor := k.Torrents
	k.stop = sync.OnceFunc(func() {
		cancel()
		tasks.Wait()
		if err := errors.Join(tor.Stop(), b.Close(), store.Close()); err != nil {
			k.t.Error(err)
		}
	})
}

// Stop stops it.
func (t *Torrents) Stop() error { return t.stop(context.Background()) }

// restart is a restart of the node.
func (k *kit) restart() {
	k.t.Helper()
	k.stop()
	k.open()
}

// torrentOf returns a .torrent file of version 1.
func torrentOf(t testing.TB, name string, data []byte, announce string) []byte {
	t.Helper()
	const piece = 1 << 15
	var pieces []byte
	for at := 0; at < len(data); at += piece {
		h := sha1.Sum(data[at:min(at+piece, len(data))])
		pieces = append(pieces, h[:]...)
	}
	m := map[string]any{"info": map[string]any{"name": name, "length": len(data), "piece length": piece, "pieces": string(pieces)}}
	if announce != "" {
		m["announce"] = announce
	}
	b, err := bencode.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func put(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	all := []string{}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

const magnet = "magnet:?xt=urn:btih:%040x&dn=%s"

func TestWatchedFolder(t *testing.T) {
	k := newKit(t)
	dir, now := t.TempDir(), time.Now()
	f := WatchFolder{Path: dir}
	look := func(after time.Duration) {
		t.Helper()
		now = now.Add(after)
		if err := k.look(t.Context(), f, now); err != nil {
			t.Fatal(err)
		}
	}
	whole := torrentOf(t, "a.bin", make([]byte, 100_000), "")
	put(t, dir+"/a.torrent", whole[:100]) // it is being written
	put(t, dir+"/b.magnet", []byte("# two\n"+fmt.Sprintf(magnet, 1, "one")+"\n\n"+fmt.Sprintf(magnet, 2, "two")+"\n"))
	put(t, dir+"/notes.txt", []byte("no torrent"))
	look(0)
	look(time.Second)
	if got := k.files.got(); len(got) > 0 {
		t.Errorf("added too early: %q", got)
	}
	look(2 * time.Second)
	if got := k.files.got(); !slices.Equal(got, []string{"one .", "two ."}) {
		t.Errorf("got %q", got)
	}
	put(t, dir+"/a.torrent", whole)
	look(time.Second)
	look(3 * time.Second)
	if got := k.files.got(); len(got) != 3 || got[2] != "a.bin ." {
		t.Errorf("got %q", got)
	}
	put(t, dir+"/a.torrent", whole) // dropped once more
	put(t, dir+"/broken.torrent", []byte("d4:infoi1ee"))
	look(0)
	look(3 * time.Second)
	look(time.Minute)
	if got := names(t, dir); !slices.Equal(got, []string{"added", "failed", "notes.txt"}) {
		t.Errorf("left: %q", got)
	}
	if got := names(t, dir+"/added"); !slices.Equal(got, []string{"a (2).torrent", "a.torrent", "b.magnet"}) {
		t.Errorf("added: %q", got)
	}
	if got := names(t, dir+"/failed"); !slices.Equal(got, []string{"broken.torrent"}) || len(k.notes) != 1 || !strings.Contains(k.notes[0], "broken.torrent was not added") {
		t.Errorf("failed: %q, %q", got, k.notes)
	}
	k.looks.Lock()
	defer k.looks.Unlock()
	if len(k.waiting) != 0 {
		t.Errorf("still waiting: %v", k.waiting)
	}
}

// What stays where it is is not added again, not even after a restart; what could not be added for another reason is tried again.
func TestWatchedFolderKeeps(t *testing.T) {
	k := newKit(t)
	dir, out, now := t.TempDir(), t.TempDir(), time.Now()
	if _, err := k.watchAdd(t.Context(), WatchAddIn{Path: dir, Output: out, Keep: true}); err != nil {
		t.Fatal(err)
	}
	all, err := k.folders(t.Context())
	if err != nil || len(all) != 1 || all[0].Output != out || !all[0].Keep {
		t.Fatalf("%v %+v", err, all)
	}
	k.files.fail = kith.Unavailable
	put(t, dir+"/x.magnet", []byte(fmt.Sprintf(magnet, 1, "one")))
	for range 5 {
		now = now.Add(time.Minute)
		k.look(t.Context(), all[0], now)
	}
	k.files.fail = nil
	for range 5 {
		now = now.Add(time.Minute)
		k.look(t.Context(), all[0], now)
	}
	k.restart()
	for range 5 {
		now = now.Add(time.Minute)
		k.look(t.Context(), all[0], now)
	}
	if got := k.files.got(); !slices.Equal(got, []string{"one " + filepath.Base(out)}) {
		t.Errorf("got %q", got)
	}
	if got := names(t, dir); !slices.Equal(got, []string{"x.magnet"}) {
		t.Errorf("left %q", got)
	}
	if _, err := k.watchRm(t.Context(), WatchRmIn{Path: dir}); err != nil {
		t.Error(err)
	}
	if _, err := k.watchRm(t.Context(), WatchRmIn{Path: dir}); !errors.Is(err, kith.NotFound) {
		t.Errorf("once more: %v", err)
	}
	if _, err := k.watchAdd(t.Context(), WatchAddIn{Path: dir + "/nowhere"}); !errors.Is(err, kith.NotFound) || kith.HintOf(err) == "" {
		t.Errorf("nowhere: %v", err)
	}
}

// site is a web server with a feed.
type site struct {
	*httptest.Server
	mu       sync.Mutex
	items    []string
	asked    int
	same     int
	torrents map[string][]byte
}

func newSite(t *testing.T) *site {
	s := &site{torrents: map[string][]byte{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		switch b, ok := s.torrents[r.URL.Path]; {
		case ok:
			w.Write(b)
		case r.URL.Path == "/leads.torrent":
			http.Redirect(w, r, fmt.Sprintf(magnet, 77, "led"), http.StatusFound)
		case r.URL.Path == "/feed":
			s.asked++
			tag := fmt.Sprintf(`"%d"`, len(s.items))
			if r.Header.Get("If-None-Match") == tag {
				s.same++
				w.WriteHeader(http.StatusNotModified)
				return
			}
			w.Header().Set("ETag", tag)
			fmt.Fprintf(w, `<rss version="2.0"><channel><title>Shows</title>%s</channel></rss>`, strings.Join(s.items, ""))
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *site) tell(guid, title, link string, size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.HasPrefix(link, "/") {
		link = s.URL + link
	}
	s.items = append(s.items, fmt.Sprintf(`<item><guid>%s</guid><title>%s</title><enclosure url="%s" length="%d" type="application/x-bittorrent"/></item>`, guid, title, strings.ReplaceAll(link, "&", "&amp;"), size))
}

func TestFeeds(t *testing.T) {
	k, s := newKit(t), newSite(t)
	s.tell("1", "Show S01E01 720p", fmt.Sprintf(magnet, 1, "e1"), 500_000_000)
	s.tell("2", "Show S01E02 CAM", fmt.Sprintf(magnet, 2, "cam"), 500_000_000)
	s.tell("3", "Other", fmt.Sprintf(magnet, 3, "other"), 500_000_000)
	got, err := k.feedAdd(t.Context(), FeedAddIn{URL: s.URL + "/feed", Every: "5m"})
	if err != nil || got.Feed.Title != "Shows" || len(got.Items) != 3 {
		t.Fatalf("%v %+v", err, got)
	}
	try, err := k.feedTry(t.Context(), TryIn{RuleBody: RuleBody{Must: "show", Not: "cam", Once: true}})
	if err != nil || len(try.Matches) != 1 || try.Matches[0].Title != "Show S01E01 720p" || len(try.Left) != 2 {
		t.Errorf("%v %+v", err, try)
	}
	if got := k.files.got(); len(got) != 0 {
		t.Errorf("a dry run fetched %q", got)
	}
	out := t.TempDir()
	if _, err := k.ruleAdd(t.Context(), RuleAddIn{Name: "show", RuleBody: RuleBody{Must: "show", Not: "cam", Once: true, Output: out}}); err != nil {
		t.Fatal(err)
	}
	refresh := func() {
		t.Helper()
		if _, err := k.feedRefresh(t.Context(), FeedIn{Feed: "shows"}); err != nil {
			t.Fatal(err)
		}
	}
	refresh()
	want := []string{"e1 " + filepath.Base(out)}
	check := func(what string) {
		t.Helper()
		if got := k.files.got(); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", what, got, want)
		}
	}
	check("at first")
	s.torrents["/e3.torrent"] = torrentOf(t, "e3", make([]byte, 50_000), "")
	s.tell("4", "Show S01E03 720p", "/e3.torrent", 10)
	s.tell("5", "Show S01E03 1080p", fmt.Sprintf(magnet, 5, "again"), 500_000_000) // another release
	s.tell("6", "Show S01E04", "/leads.torrent", 10)
	s.tell("7", "Show S01E05", "/nowhere.torrent", 10)
	refresh()
	want = append(want, "again "+filepath.Base(out), "led "+filepath.Base(out))
	slices.Sort(want)
	k.files.mu.Lock()
	slices.Sort(k.files.fetched)
	for i, f := range k.files.fetched { // which of the two releases comes first is the feed's to say
		if strings.HasPrefix(f, "e3 ") {
			k.files.fetched[i] = "again " + filepath.Base(out)
		}
	}
	slices.Sort(k.files.fetched)
	k.files.mu.Unlock()
	check("later")
	k.restart()
	refresh()
	refresh()
	check("after a restart, asked twice more")
	if s.same < 2 {
		t.Errorf("asked %d times, of which %d were answered with 304", s.asked, s.same)
	}
	shown, err := k.feedShow(t.Context(), FeedIn{Feed: "1"})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range shown.Items {
		if i.GUID == "7" && (i.State != stateFailed || !strings.Contains(i.Why, "404")) {
			t.Errorf("%+v", i)
		}
	}
	if one, err := k.feedGet(t.Context(), FeedGetIn{Feed: "1", Item: "Other"}); err != nil || one.State != stateFetched {
		t.Errorf("%v %+v", err, one)
	}
	if _, err := k.feedGet(t.Context(), FeedGetIn{Feed: "1", Item: "Show"}); !errors.Is(err, kith.NotFound) {
		t.Errorf("an item that several are: %v", err)
	}
	rules, err := k.feedRules(t.Context(), None{})
	if err != nil || len(rules.Rules) != 1 || rules.Rules[0].LastMatch.IsZero() || rules.Rules[0].Must != "show" {
		t.Errorf("%v %+v", err, rules)
	}
	if out, err := k.feedRm(t.Context(), FeedIn{Feed: "shows"}); err != nil || len(out.Feeds) != 0 {
		t.Errorf("%v %+v", err, out)
	}
}

// The same torrent that two feeds tell of is fetched once.
func TestFeedsOfTheSame(t *testing.T) {
	k, a, b := newKit(t), newSite(t), newSite(t)
	a.tell("1", "Show", fmt.Sprintf(magnet, 1, "one"), 0)
	b.tell("x", "Show!", fmt.Sprintf(magnet, 1, "one"), 0)
	if _, err := k.ruleAdd(t.Context(), RuleAddIn{Name: "all"}); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*site{a, b} {
		if _, err := k.feedAdd(t.Context(), FeedAddIn{URL: s.URL + "/feed", Every: "1h"}); err != nil {
			t.Fatal(err)
		}
	}
	if got := k.files.got(); len(got) != 1 {
		t.Errorf("got %q", got)
	}
}

func TestBadFeeds(t *testing.T) {
	k, s := newKit(t), newSite(t)
	s.torrents["/page"] = []byte("<html><title>no feed</title></html>")
	for what, tt := range map[string]struct {
		in   FeedAddIn
		want kith.Kind
	}{
		"a page":     {FeedAddIn{URL: s.URL + "/page", Every: "1h"}, kith.Invalid},
		"a file":     {FeedAddIn{URL: "file:///etc/passwd", Every: "1h"}, kith.Invalid},
		"no address": {FeedAddIn{URL: "feed", Every: "1h"}, kith.Invalid},
		"too often":  {FeedAddIn{URL: s.URL + "/feed", Every: "1s"}, kith.Invalid},
		"no time":    {FeedAddIn{URL: s.URL + "/feed", Every: "soon"}, kith.Invalid},
	} {
		if _, err := k.feedAdd(t.Context(), tt.in); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	got, err := k.feedAdd(t.Context(), FeedAddIn{URL: s.URL + "/nowhere", Every: "1h"}) // it may be there tomorrow
	if err != nil || !strings.Contains(got.Feed.Trouble, "404") || got.Feed.Next.Before(time.Now().Add(time.Hour)) {
		t.Errorf("%v %+v", err, got)
	}
	if out, err := k.feedLs(t.Context(), None{}); err != nil || len(out.Feeds) != 1 {
		t.Errorf("%v %+v", err, out)
	}
}

func TestPause(t *testing.T) {
	s := source{every: time.Hour}
	for fails, want := range []time.Duration{time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 12 * time.Hour, 12 * time.Hour} {
		if s.fails = fails; pause(s, 0) < want || pause(s, 0) > want*21/20+1 {
			t.Errorf("after %d failures %s, want %s", fails, pause(s, 0), want)
		}
	}
	if got := pause(source{every: time.Hour}, 5*time.Hour); got != 5*time.Hour {
		t.Errorf("asked to wait five hours: %s", got)
	}
}

// What strangers write in a feed leads no node to its own network.
func TestWhereFeedsMayLead(t *testing.T) {
	for addr, want := range map[string]bool{
		"93.184.216.34:80": true, "[2606:2800:220:1::1]:80": true, "127.0.0.1:80": false, "[::1]:80": false, "192.168.1.1:80": false, "10.0.0.1:80": false, "169.254.169.254:80": false,
		"100.64.0.1:80": false, "[fe80::1%eth0]:80": false, "[fd00::1]:80": false, "[::ffff:127.0.0.1]:80": false, "0.0.0.0:80": false, "224.0.0.1:80": false,
	} {
		if err := mayDial(addr, false); (err == nil) != want {
			t.Errorf("%s: %v", addr, err)
		}
		if err := mayDial(addr, true); err != nil {
			t.Errorf("%s, from home: %v", addr, err)
		}
	}
	s := newSite(t)
	if _, err := fetchWeb(t.Context(), s.URL+"/feed", "", "", 1000, false); !errors.Is(err, kith.Denied) {
		t.Errorf("%v", err)
	}
	s.torrents["/big"] = bytes.Repeat([]byte("x"), 1001)
	if _, err := fetchWeb(t.Context(), s.URL+"/big", "", "", 1000, true); !errors.Is(err, kith.TooLarge) {
		t.Errorf("%v", err)
	}
}

// TestTrackerFinding: what the doctor says of a tracker for everyone depends on how the computer is reached.
func TestTrackerFinding(t *testing.T) {
	own, router := ma.StringCast("/ip4/11.0.0.7/tcp/4001"), ma.StringCast("/ip4/11.0.0.8/tcp/4001")
	out := TrackerOut{On: true, For: forEveryone, Port: 6969, URLs: []string{"udp://ADDRESS:6969/announce"}, Stats: &tracker.Stats{}}
	for _, c := range []struct {
		health network.Health
		state  string
	}{
		{network.Health{}, "weak"},
		{network.Health{Reachable: []ma.Multiaddr{router}, Mapped: []ma.Multiaddr{router}}, "weak"},
		{network.Health{Reachable: []ma.Multiaddr{router, own}, Mapped: []ma.Multiaddr{router}}, "ok"},
	} {
		if f := out.finding(direct(c.health)); f.State != c.state || (f.Do == "") != (c.state == "ok") {
			t.Errorf("%+v: %+v", c.health, f)
		}
	}
	if f := (TrackerOut{Trouble: "the port is taken"}).finding(false); f.State != "wrong" || !strings.Contains(f.Says, "the port is taken") {
		t.Errorf("%+v", f)
	}
}

// The tracker serves what this node has and what was allowed, through a restart.
func TestTracker(t *testing.T) {
	k := newKit(t)
	if f := k.findings(); f != nil {
		t.Errorf("the doctor says %v of a tracker that nobody wants", f)
	}
	if what, at := k.listens(); what != "" || at != nil {
		t.Errorf("it listens at %v before anybody asked for it", at)
	}
	mine, allowed, other := [20]byte{1}, [20]byte{2}, [20]byte{3}
	k.files.serves[mine] = true
	on, err := k.trackerOn(t.Context(), TrackerOnIn{For: forLocal, What: whatMine, Port: freePort(t)})
	if err != nil || !on.On || len(on.URLs) == 0 {
		t.Fatalf("%v %+v", err, on)
	}
	if _, err := k.trackerAllow(t.Context(), TrackerAllowIn{[]string{fmt.Sprintf("%x", allowed)}}); err != nil {
		t.Fatal(err)
	}
	announce := func(hash [20]byte) error {
		res, err := atracker.Announce{TrackerUrl: fmt.Sprintf("http://127.0.0.1:%d/announce", on.Port), Request: atracker.AnnounceRequest{InfoHash: hash, Port: 7, NumWant: -1}}.Do()
		_ = res
		return err
	}
	for range 2 {
		for hash, want := range map[[20]byte]bool{mine: true, allowed: true, other: false} {
			if err := announce(hash); (err == nil) != want {
				t.Errorf("%x: %v", hash[0], err)
			}
		}
		f := k.findings()
		if len(f) != 1 || f[0].State != "ok" || !strings.Contains(f[0].Says, on.URLs[0]+", ") || !strings.HasSuffix(f[0].Says, "; 2 peers in 2 torrents, asked 3 times") {
			t.Errorf("the doctor says %+v", f)
		}
		k.restart()
	}
	if _, at := k.listens(); len(at) == 0 {
		t.Error("after a restart it does not listen")
	}
	if off, err := k.trackerOff(t.Context(), None{}); err != nil || off.On {
		t.Errorf("%v %+v", err, off)
	}
	k.restart()
	if err := announce(mine); err == nil {
		t.Error("it answers though it is off")
	}
	taken := httptest.NewServer(nil)
	defer taken.Close()
	u, _ := url.Parse(taken.URL)
	var port int
	fmt.Sscan(u.Port(), &port)
	if _, err := k.trackerOn(t.Context(), TrackerOnIn{For: forLocal, What: whatAny, Port: port}); !errors.Is(err, kith.Unavailable) || kith.HintOf(err) == "" {
		t.Errorf("a port that is taken: %v", err)
	}
}

// TestTrackerOfItself: what a node serves and fetches is told to the tracker that it is itself, also after a restart.
func TestTrackerOfItself(t *testing.T) {
	k := newKit(t)
	b, err := k.torrents()
	if err != nil {
		t.Fatal(err)
	}
	mine, err := b.AddTorrent(t.Context(), torrentOf(t, "film.mkv", make([]byte, 100_000), ""))
	if err != nil {
		t.Fatal(err)
	}
	k.files.serves[mine.V1] = true
	if _, err := k.trackerOn(t.Context(), TrackerOnIn{For: forLocal, What: whatMine, Port: freePort(t)}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		o, err := k.env.Bridges[0].Open(mine)(t.Context(), nothing{})
		if err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			now, err := k.trackerStatus(t.Context(), None{})
			if err != nil || time.Now().After(end) {
				t.Fatalf("%+v, %v", now, err)
			}
			if now.Stats.Peers == 1 {
				break
			}
		}
		o.Close()
		k.restart()
	}
}

// nothing is a download of which nothing is here.
type nothing struct{}

// ReadAt implements transfer.Content.
func (nothing) ReadAt([]byte, int, int64) (int, error) { return 0, kith.NotFound }

// Has implements transfer.Content.
func (nothing) Has(transfer.Span) bool { return false }

func freePort(t *testing.T) int {
	s := httptest.NewServer(nil)
	defer s.Close()
	return int(netip.MustParseAddrPort(s.Listener.Addr().String()).Port())
}
