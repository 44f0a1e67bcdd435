package index

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kith"
	"kith/internal/db"
	"kith/search/fact"
	"kith/search/query"
)

var now = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func open(t testing.TB, o Options) *Index {
	t.Helper()
	if o.Path == "" {
		o.Path = filepath.Join(t.TempDir(), "search.db")
	}
	o.Now = func() time.Time { return now }
	x, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close() })
	return x
}

func root(s string) kith.Ref { return kith.RawRef(sha256.Sum256([]byte(s))) }

// doc returns a document of its own content.
func doc(name string, change ...func(*Doc)) Doc {
	d := Doc{ID: name, Root: root(name), Name: name, Type: query.Other, Size: 1000, Published: now.Add(-24 * time.Hour), Publisher: "anna"}
	for _, c := range change {
		c(&d)
	}
	return d
}

func put(t testing.TB, x *Index, docs ...Doc) {
	t.Helper()
	if err := x.Put(context.Background(), docs...); err != nil {
		t.Fatal(err)
	}
}

// TestSpellFresh: what came into an index since its words were read is known to the correction at once, also where the index was empty then.
func TestSpellFresh(t *testing.T) {
	x := open(t, Options{})
	for _, d := range []Doc{doc("Blue Train.flac"), doc("Kind of Blue (1959).flac")} {
		find(t, x, "nothing")
		put(t, x, d)
	}
	for text, meant := range map[string]string{"trian": "train", "blue trian": "blue train", "kidn blue": "kind blue"} {
		if r := find(t, x, text); !r.Corrected || r.DidYouMean != meant || len(r.Hits) != 1 {
			t.Errorf("%s: meant %q, %d hits", text, r.DidYouMean, len(r.Hits))
		}
	}
}

func find(t testing.TB, x *Index, text string, o ...SearchOptions) Results {
	t.Helper()
	q, err := query.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	r, err := x.Search(context.Background(), q, append(o, SearchOptions{})[0])
	if err != nil {
		t.Fatalf("search %q: %v", text, err)
	}
	return r
}

func names(r Results) string {
	var out []string
	for _, h := range r.Hits {
		out = append(out, h.Name)
	}
	return strings.Join(out, " | ")
}

func TestSearch(t *testing.T) {
	x := open(t, Options{})
	put(t, x,
		doc("Miles Davis - Kind of Blue (1959).flac", func(d *Doc) {
			d.Type, d.Size, d.Tags, d.Language = query.Audio, 300e6, []string{"jazz", "hard bop"}, "en"
		}),
		doc("Charlie Parker 1947.mp3", func(d *Doc) {
			d.Type, d.Size, d.Tags, d.Text = query.Audio, 5e6, []string{"jazz"}, "kind regards, blue notes"
		}),
		doc("Holiday", func(d *Doc) {
			d.Files = []string{"Strand/IMG_2041.jpg", "Häuser am Meer.jpg"}
			d.Language = "de"
			d.Publisher = "bob"
			d.Type = query.Image
		}),
		doc("A.Jazz.Documentary.S01E02.1080p.mkv", func(d *Doc) { d.Type, d.Size, d.Published = query.Video, 2e9, now.Add(-400*24*time.Hour) }),
		doc("東京都の天気", func(d *Doc) { d.Language = "ja" }),
	)
	for _, c := range []struct{ query, want string }{
		{"jazz 1959 flac type:audio size:>10MB", "Miles Davis - Kind of Blue (1959).flac"},
		{`"kind of blue"`, "Miles Davis - Kind of Blue (1959).flac"},
		{`"blue kind"`, ""},
		{"kind blue", "Miles Davis - Kind of Blue (1959).flac | Charlie Parker 1947.mp3"}, // name before text
		{"jazz -parker sort:age", "Miles Davis - Kind of Blue (1959).flac | A.Jazz.Documentary.S01E02.1080p.mkv"},
		{`jazz -"kind of" sort:size`, "A.Jazz.Documentary.S01E02.1080p.mkv | Charlie Parker 1947.mp3"},
		{"jazz sort:size", "A.Jazz.Documentary.S01E02.1080p.mkv | Miles Davis - Kind of Blue (1959).flac | Charlie Parker 1947.mp3"},
		{"jazz age:>1y", "A.Jazz.Documentary.S01E02.1080p.mkv"},
		{"jazz age:<30d size:<10MB", "Charlie Parker 1947.mp3"},
		{`tag:"Hard Bop"`, "Miles Davis - Kind of Blue (1959).flac"},
		{"by:@bob", "Holiday"},
		{"-by:anna size:>1", "Holiday"},
		{"haus", "Holiday"},
		{"lang:ja", "東京都の天気"},
		{"天気", "東京都の天気"},
		{"京", ""},
		{"s01e02", "A.Jazz.Documentary.S01E02.1080p.mkv"},
		{"type:image,video sort:size", "A.Jazz.Documentary.S01E02.1080p.mkv | Holiday"},
		{"-type:audio jazz", "A.Jazz.Documentary.S01E02.1080p.mkv"},
	} {
		if r := find(t, x, c.query); names(r) != c.want || r.Corrected || r.More {
			t.Errorf("%s: %s (%+v), want %s", c.query, names(r), r.DidYouMean, c.want)
		}
	}
}

func TestTwoThirdsOfTheWords(t *testing.T) {
	x := open(t, Options{})
	put(t, x, doc("alpha bravo charlie"), doc("alpha bravo"), doc("alpha"), doc("bravo charlie zulu"))
	r := find(t, x, "alpha bravo charlie")
	var got []string
	for _, h := range r.Hits {
		got = append(got, h.Name+":"+strings.Join(h.Missing, ","))
	}
	slices.Sort(got[1:])
	if want := []string{"alpha bravo charlie:", "alpha bravo:charlie", "bravo charlie zulu:alpha"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if r := find(t, x, "alpha bravo charlie d1 e2 f3 g4"); len(r.Hits) != 0 {
		t.Errorf("three of seven words find %s", names(r))
	}
	if r := find(t, x, "alpha bravo charlie alpha bravo charlie xylophone"); len(r.Hits) != 1 || !slices.Equal(r.Hits[0].Missing, []string{"xylophone"}) {
		t.Errorf("six of seven words find %s", names(r))
	}
}

func TestDidYouMean(t *testing.T) {
	x := open(t, Options{})
	for i := range 20 {
		put(t, x, doc(fmt.Sprintf("jazz saxophone %d", i)))
	}
	put(t, x, doc("saxofone solo"), doc("Ελληνικά"))
	for _, c := range []struct {
		query, meant string
		corrected    bool
		hits         int
	}{
		{"saxaphone", "saxophone", true, 20},
		{"jazz sxaophone type:other", "jazz saxophone type:other", true, 20},
		{"saxofone", "saxophone", false, 1},
		{"saxophone", "", false, 20},
		{"Ελλινικα", "ελληνικα", true, 1},
		{"quetzalcoatl", "", false, 0},
		{"1958", "", false, 0},
	} {
		if r := find(t, x, c.query); r.DidYouMean != c.meant || r.Corrected != c.corrected || len(r.Hits) != c.hits {
			t.Errorf("%s: meant %q, corrected %v, %d hits; want %q, %v, %d", c.query, r.DidYouMean, r.Corrected, len(r.Hits), c.meant, c.corrected, c.hits)
		}
	}
}

func TestTyping(t *testing.T) {
	x := open(t, Options{})
	put(t, x, doc("miles davis"), doc("miles teller"), doc("milestone"))
	if r := find(t, x, "miles d", SearchOptions{Typing: true}); len(r.Hits) != 0 {
		t.Errorf("one letter finds %s", names(r))
	}
	if r := find(t, x, "miles da", SearchOptions{Typing: true}); names(r) != "miles davis" {
		t.Errorf("got %s", names(r))
	}
	if r := find(t, x, "mil", SearchOptions{Typing: true}); len(r.Hits) != 3 {
		t.Errorf("got %s", names(r))
	}
	if r := find(t, x, "mil"); len(r.Hits) != 0 {
		t.Errorf("not typing, got %s", names(r))
	}
}

func TestGroups(t *testing.T) {
	x := open(t, Options{})
	same := func(id, publisher, name string) Doc {
		return doc(name, func(d *Doc) { d.ID, d.Publisher, d.Root = id, publisher, root("same") })
	}
	put(t, x, same("1", "anna", "film.mkv"), same("2", "bob", "The Film (2020).mkv"), same("3", "carl", "film.mkv"), doc("another film.mkv"),
		doc("film of no content", func(d *Doc) { d.Root = kith.Ref{} }), doc("film of no content 2", func(d *Doc) { d.Root = kith.Ref{} }))
	r := find(t, x, "film sort:sources")
	if len(r.Hits) != 4 || r.Total != 4 || r.More {
		t.Fatalf("%d hits of %d", len(r.Hits), r.Total)
	}
	h := r.Hits[0]
	slices.Sort(h.Publishers)
	slices.Sort(h.Names)
	if !slices.Equal(h.Names, []string{"The Film (2020).mkv", "film.mkv"}) || !slices.Equal(h.Publishers, []string{"anna", "bob", "carl"}) {
		t.Errorf("names %q, publishers %q", h.Names, h.Publishers)
	}
}

// TestWithin: of documents that are named only these are found, whatever else there is.
func TestWithin(t *testing.T) {
	x := open(t, Options{})
	for _, id := range []string{"1", "2", "3"} {
		put(t, x, doc("film "+id, func(d *Doc) { d.ID, d.Root = id, root(id) }))
	}
	if r := find(t, x, "film", SearchOptions{Within: []string{"3", "1", "none"}}); len(r.Hits) != 2 || strings.Contains(names(r), "film 2") {
		t.Errorf("got %s", names(r))
	}
	if r := find(t, x, "film", SearchOptions{Within: []string{}}); len(r.Hits) != 0 {
		t.Errorf("of none: %s", names(r))
	}
	for id, want := range map[string]bool{"1": true, "4": false} {
		if has, err := x.Has(t.Context(), root(id)); has != want || err != nil {
			t.Errorf("has %s: %v, %v", id, has, err)
		}
	}
}

// TestHotWord: of a word that many have the newest are looked at, and who publishes most of them hides nobody.
func TestHotWord(t *testing.T) {
	x := open(t, Options{})
	ctx := context.Background()
	put(t, x, doc("common old", func(d *Doc) { d.Publisher = "bob" }))
	var docs []Doc
	for i := range maxCandidates + 10 {
		docs = append(docs, doc(fmt.Sprintf("common %d", i)))
	}
	put(t, x, docs...)
	r := find(t, x, "common")
	if r.Total != maxCandidates+1 || !r.More || len(r.Hits) != DefaultLimit {
		t.Errorf("%d hits of %d, more is %v", len(r.Hits), r.Total, r.More)
	}
	if r = find(t, x, "common -by:carl", SearchOptions{Limit: 1, Trust: map[string]float64{"bob": 3, "dora": -3}}); names(r) != "common old" {
		t.Errorf("who is trusted stands behind %s", names(r))
	}
	if r = find(t, x, "common 7"); names(r) != "common 7" || r.More {
		t.Errorf("got %s", names(r))
	}
	if r = find(t, x, "common by:bob"); names(r) != "common old" || r.More {
		t.Errorf("got %s", names(r))
	}
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := x.Search(ctx, query.Query{Words: []string{"common"}}, SearchOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a search that was given up: %v", err)
	}
	if _, err := x.Search(context.Background(), query.Query{}, SearchOptions{}); kith.KindOf(err) != kith.Invalid || kith.HintOf(err) == "" {
		t.Errorf("a search for nothing: %v", err)
	}
}

// TestFacts: what is known of a content is kept as it is, is looked for, and what is not known is in no range; what somebody calls it wrongly is told of all documents.
func TestFacts(t *testing.T) {
	x := open(t, Options{})
	f := fact.Facts{Kind: query.Audio, Format: "FLAC", Title: "So What", Artist: "Miles Davis", Year: 1959, Length: 562}
	a := doc("01.flac", func(d *Doc) { d.Type, d.Facts, d.Text = query.Audio, f, f.Text() })
	b := doc("holiday.jpg", func(d *Doc) { d.ID, d.Root, d.Type, d.Says, d.Publisher = "b", a.Root, query.Audio, query.Image, "bob" })
	put(t, x, a, b, doc("02.flac"))
	for text, n := range map[string]int{
		"miles": 1, `"so what"`: 1, "flac 1959 length:>9m": 1, "length:9:22": 1, "flac length:<9m": 0, "length:<10m": 1, "year:1959": 1, "year:1950..1958": 0, "resolution:1080p": 0, "year:<2000": 1,
	} {
		if r := find(t, x, text); r.Total != n {
			t.Errorf("%s: %d, want %d", text, r.Total, n)
		}
	}
	r := find(t, x, "miles")
	if len(r.Hits) != 1 || r.Hits[0].Facts != f || !slices.Equal(r.Hits[0].Claims, []string{query.Image}) {
		t.Errorf("%+v", r.Hits)
	}
	docs, err := x.Of(context.Background(), a.Root)
	if err != nil || len(docs) != 2 || docs[0].Says+docs[1].Says != query.Image {
		t.Errorf("%+v, %v", docs, err)
	}
}

// TestOlder: an index of before there were facts is made anew while it is searched.
func TestOlder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "search.db")
	handle, _, err := db.Open(path, slog.New(slog.DiscardHandler), migrations[:1])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readState(handle); err != nil {
		t.Fatal(err)
	}
	if _, err := handle.Exec("INSERT INTO meta VALUES ('complete', 1)"); err != nil {
		t.Fatal(err)
	}
	handle.Close()
	x := open(t, Options{Path: path, All: all(doc("a song", func(d *Doc) { d.Facts.Year = 1959 }))})
	if !x.Status().Rebuilding {
		t.Fatal("it is taken for whole")
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go x.Run(ctx)
	for end := time.Now().Add(time.Minute); names(find(t, x, "year:1959")) != "a song"; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is not made anew")
		}
	}
}

func TestPutReplacesAndDeleteRemoves(t *testing.T) {
	x := open(t, Options{})
	a := doc("first name", func(d *Doc) { d.ID = "a" })
	put(t, x, a, a, doc("other"))
	a.Name = "second name"
	put(t, x, a)
	if n := names(find(t, x, "first")); n != "" {
		t.Errorf("the old name finds %s", n)
	}
	if n := names(find(t, x, "second")); n != "second name" {
		t.Errorf("the new name finds %q", n)
	}
	if err := x.Delete(context.Background(), "a", "nobody"); err != nil {
		t.Fatal(err)
	}
	if n := names(find(t, x, "name")); n != "" || x.Status().Docs != 1 {
		t.Errorf("deleted, and finds %q; %d documents", n, x.Status().Docs)
	}
	if r := find(t, x, "secondd"); r.DidYouMean != "" {
		t.Errorf("a word that is gone is suggested: %q", r.DidYouMean)
	}
	if err := x.Put(context.Background(), doc("good"), doc("bad", func(d *Doc) { d.ID = "" })); kith.KindOf(err) != kith.Invalid {
		t.Errorf("without an ID: %v", err)
	}
	if n := names(find(t, x, "good")); n != "" {
		t.Errorf("half a batch stayed: %s", n)
	}
}

func all(docs ...Doc) func(context.Context) iter.Seq2[Doc, error] {
	return func(context.Context) iter.Seq2[Doc, error] {
		return func(yield func(Doc, error) bool) {
			for _, d := range docs {
				if !yield(d, nil) {
					return
				}
			}
		}
	}
}

// run runs x until it is whole.
func run(t *testing.T, x *Index) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- x.Run(ctx) }()
	for x.Status().Rebuilding {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestRebuild(t *testing.T) {
	var docs []Doc
	for i := range 2000 {
		docs = append(docs, doc(fmt.Sprintf("document %d of many %x", i, sha256.Sum256([]byte{byte(i), byte(i >> 8)}))))
	}
	garbage := func(from, to int) func([]byte) {
		return func(b []byte) {
			for i := from; i < min(to, len(b)); i++ {
				b[i] = 0xa5
			}
		}
	}
	for name, damage := range map[string]struct {
		open bool // while it is open
		do   func([]byte)
	}{
		"header":     {false, garbage(0, 100)},
		"pages":      {false, garbage(4096, 1<<30)},
		"while open": {true, garbage(0, 1<<30)},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{Path: filepath.Join(t.TempDir(), "search.db"), All: all(docs...)}
			x := open(t, o)
			if st := x.Status(); !st.Rebuilding || st.Note != "" {
				t.Fatalf("new: %+v", st)
			}
			run(t, x)
			if st := x.Status(); st.Docs != len(docs) || st.Note != "" {
				t.Fatalf("whole: %+v", st)
			}
			spoil := func() {
				b, err := os.ReadFile(o.Path)
				if err != nil {
					t.Fatal(err)
				}
				damage.do(b)
				f, err := os.OpenFile(o.Path, os.O_WRONLY, 0)
				if err == nil {
					_, err = f.WriteAt(b, 0)
					f.Close()
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			// All of it into the file that is spoiled, and nothing in the log beside it, from which SQLite would mend it.
			var busy, pages, moved int
			if err := x.db.QueryRow("PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &moved); err != nil || busy != 0 {
				t.Fatal(busy, err)
			}
			if damage.open {
				spoil()
				x.db.SetMaxIdleConns(0) // so that no page is remembered
			} else {
				x.Close()
				spoil()
				x = open(t, o)
			}
			if r := find(t, x, "many"); !r.Rebuilding || len(r.Hits) != 0 {
				t.Errorf("damaged: rebuilding is %v, %d hits", r.Rebuilding, len(r.Hits))
			}
			put(t, x, doc("document put meanwhile"), doc(docs[7].Name, func(d *Doc) { d.Text = "newer" }))
			if err := x.Delete(context.Background(), docs[8].ID); err != nil {
				t.Fatal(err)
			}
			if r := find(t, x, "meanwhile"); !r.Rebuilding || len(r.Hits) != 1 {
				t.Errorf("meanwhile: rebuilding is %v, %d hits", r.Rebuilding, len(r.Hits))
			}
			if st := x.Status(); !strings.Contains(st.Note, "being made anew") {
				t.Errorf("note is %q", st.Note)
			}
			run(t, x)
			if r := find(t, x, "document 1999"); r.Rebuilding || len(r.Hits) != 1 {
				t.Errorf("rebuilt: rebuilding is %v, %d hits", r.Rebuilding, len(r.Hits))
			}
			if r := find(t, x, "newer"); len(r.Hits) != 1 {
				t.Error("what was put meanwhile was replaced by what was there before")
			}
			if st := x.Status(); st.Docs != len(docs) || !strings.Contains(st.Note, "has been made anew") {
				t.Errorf("rebuilt: %+v", st)
			}
			aside, _ := filepath.Glob(o.Path + ".corrupt-*")
			if len(aside) > 0 {
				t.Errorf("left behind: %q", aside)
			}
		})
	}
}

// TestAtOnce: searches go on while documents are put and deleted, and while the index is damaged and made anew.
func TestAtOnce(t *testing.T) {
	kept := doc("always here")
	x := open(t, Options{All: all(kept)})
	run(t, x)
	ctx, cancel := context.WithCancel(context.Background())
	var all, writer sync.WaitGroup
	all.Go(func() {
		if err := x.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	for range 2 {
		all.Go(func() {
			for ctx.Err() == nil {
				r, err := x.Search(ctx, query.Query{Words: []string{"here"}}, SearchOptions{})
				if err != nil && ctx.Err() == nil || err == nil && !r.Rebuilding && len(r.Hits) == 0 {
					t.Errorf("%d hits, %v", len(r.Hits), err)
					return
				}
			}
		})
	}
	writer.Go(func() {
		for i := range 10 {
			put(t, x, doc("now here"), doc("now there"))
			if err := x.Delete(ctx, "now here"); err != nil {
				t.Error(err)
			}
			if i == 4 {
				x.mu.RLock()
				gen := x.gen
				x.mu.RUnlock()
				if err := x.replace(gen, errors.New("as if")); err != nil {
					t.Error(err)
				}
			}
		}
	})
	writer.Wait()
	for x.Status().Rebuilding {
		time.Sleep(time.Millisecond)
	}
	cancel()
	all.Wait()
	if r := find(t, x, "here"); names(r) != kept.Name {
		t.Errorf("got %s", names(r))
	}
}

func TestOtherVersionIsRebuilt(t *testing.T) {
	for name, change := range map[string]string{"older words": "UPDATE meta SET value = 0 WHERE name = 'words'", "newer format": "PRAGMA user_version = 99"} {
		t.Run(name, func(t *testing.T) {
			o := Options{Path: filepath.Join(t.TempDir(), "search.db"), All: all(doc("a thing"))}
			x := open(t, o)
			run(t, x)
			if _, err := x.db.Exec(change); err != nil {
				t.Fatal(err)
			}
			x.Close()
			x = open(t, o)
			if st := x.Status(); !st.Rebuilding || st.Docs != 0 || !strings.Contains(st.Note, "another version") {
				t.Errorf("status %+v", st)
			}
			run(t, x)
			if r := find(t, x, "thing"); len(r.Hits) != 1 {
				t.Error("it is not whole again")
			}
		})
	}
}

func TestPublishers(t *testing.T) {
	x := open(t, Options{})
	ben := func(d *Doc) { d.Publisher = "ben" }
	put(t, x, doc("blue train"), doc("kind of blue"), doc("blue 1"), doc("blue 2"), doc("東京 blue", ben))
	check := func(want int, terms ...string) {
		t.Helper()
		if n, err := x.Publishers(context.Background(), terms...); err != nil || n != want {
			t.Errorf("%q: %d, %v; want %d", terms, n, err, want)
		}
	}
	check(2, "blue")
	check(1, "train")
	check(0, "nowhere")
	check(1, "blue", "train")
	check(0, "kind", "train")
	check(0, "nowhere", "blue")
	check(1, "東京", "blue")
	check(0)
	if err := x.Delete(context.Background(), "blue train", "東京 blue"); err != nil {
		t.Fatal(err)
	}
	check(1, "blue")
	check(0, "blue", "train")
}
