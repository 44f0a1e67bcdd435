package feed

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"kith"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Feeds as sites of different makers write them.
func TestParse(t *testing.T) {
	day := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	const magnet = "magnet:?xt=urn:btih:0123456789abcdef0123456789abcdef01234567&dn=x"
	for name, want := range map[string][]Item{
		"enclosure.rss": {
			{GUID: "tag:1", Title: "Debian 13 amd64 netinst", Link: "https://example.org/d.torrent", Page: "https://example.org/debian", Size: 734003200, Published: day},
			{GUID: "tag:2", Title: "A & B – “quoted”", Link: "https://example.org/get?torrent=2", Size: -1},
		},
		"ezrss.rss": {{GUID: "https://example.org/1", Title: "Show S01E02", Link: magnet, Page: "https://example.org/1", Size: 1048577000, Published: day}},
		"nyaa.rss":  {{GUID: "https://example.org/view/7", Title: "[Group] Show - 12 [1080p]", Link: "https://example.org/download/7.torrent", Size: 1503238554, Published: day}},
		"torznab.rss": {
			{GUID: "g1", Title: "Linux Mint", Link: magnet, Size: 2000000000}, {GUID: "g2", Title: "Linux Mint 2", Link: magnet, Page: "https://example.org/2", Size: 7},
			{GUID: "g3", Title: "Linux Mint 3", Link: "magnet:?xt=urn:btih:0123456789abcdef0123456789abcdef01234567", Size: -1},
		},
		"feed.atom":  {{GUID: "urn:uuid:1", Title: "Film (2026)", Link: magnet, Page: "https://example.org/film", Size: 5000000, Published: day}},
		"feed.json":  {{GUID: "1", Title: "In JSON", Link: "https://example.org/j.torrent", Size: -1, Published: day}},
		"latin1.rss": {{GUID: "é", Title: "Café", Link: "https://example.org/c.torrent", Size: -1}},
	} {
		title, got, err := Parse(read(t, name))
		if err != nil || title == "" {
			t.Errorf("%s: %q, %v", name, title, err)
		}
		for i := range got {
			got[i].Published = got[i].Published.UTC()
		}
		if !slices.EqualFunc(got, want, func(a, b Item) bool { return fmt.Sprintf("%+v", a) == fmt.Sprintf("%+v", b) }) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, got, want)
		}
	}
}

func TestBombs(t *testing.T) {
	laughs := `<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol1 "&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;">]><rss><channel><title>&lol1;</title></channel></rss>`
	external := `<?xml version="1.0"?><!DOCTYPE foo [<!ENTITY xxe SYSTEM "file:///etc/passwd">]><rss version="2.0"><channel><title>&xxe;</title></channel></rss>`
	for what, tt := range map[string]struct {
		data string
		want kith.Kind
	}{
		"entities in entities": {laughs, kith.Invalid},
		"entities from files":  {external, kith.Invalid},
		"depth":                {"<rss><channel>" + strings.Repeat("<a:b>", 300_000), kith.TooLarge},
		"size":                 {strings.Repeat(" ", MaxBytes+1), kith.TooLarge},
		"number":               {"<rss><channel>" + strings.Repeat("<i/>", 600_000), kith.TooLarge},
		"nothing":              {"", kith.Invalid},
		"an indexer's refusal": {`<?xml version="1.0" encoding="UTF-8"?><error code="100" description="Invalid API Key"/>`, kith.Denied},
		"a page":               {"<!doctype html><title>log in first</title>", kith.Invalid},
		"deep JSON":            {`{"version":"https://jsonfeed.org/version/1","x":` + strings.Repeat("[", 1_000_000), kith.Invalid},
	} {
		begin := time.Now()
		if _, _, err := Parse([]byte(tt.data)); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", what, err)
		}
		t.Logf("%s: %s", what, time.Since(begin))
	}
	many := "<rss version='2.0'><channel><title>t</title>"
	for i := range 5000 {
		many += fmt.Sprintf("<item><guid>%d</guid><enclosure url='https://example.org/%d.torrent'/></item>", i, i)
	}
	if _, items, err := Parse([]byte(many + "</channel></rss>")); err != nil || len(items) != MaxItems {
		t.Errorf("%d items, %v", len(items), err)
	}
}

func TestRules(t *testing.T) {
	now := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		what  string
		rule  Rule
		item  Item
		state State
		want  string // "" is a match
	}{
		{"no rule takes all", Rule{}, Item{Title: "x", Size: -1}, State{}, ""},
		{"words in any order", Rule{Must: "1080p show"}, Item{Title: "The Show S01 1080P"}, State{}, ""},
		{"all words", Rule{Must: "show 720p"}, Item{Title: "The Show S01 1080p"}, State{}, "does not contain what it must"},
		{"alternatives", Rule{Must: "film|show 1080p"}, Item{Title: "The Show S01 1080p"}, State{}, ""},
		{"wildcards", Rule{Must: "sh?w*10*p"}, Item{Title: "The Show S01 1080p"}, State{}, ""},
		{"a dot is a dot", Rule{Must: "s.ow"}, Item{Title: "The Show"}, State{}, "does not contain what it must"},
		{"must not", Rule{MustNot: "cam|ts"}, Item{Title: "Film CAM"}, State{}, "contains what it must not"},
		{"regular expression", Rule{Must: `^show\b.*(720|1080)p$`, Regex: true}, Item{Title: "Show x 1080p"}, State{}, ""},
		{"too small", Rule{MinSize: 100}, Item{Title: "x", Size: 99}, State{}, "is too small"},
		{"too large", Rule{MaxSize: 100}, Item{Title: "x", Size: 101}, State{}, "is too large"},
		{"size not told", Rule{MinSize: 100, MaxSize: 200}, Item{Title: "x", Size: -1}, State{}, ""},
		{"episode", Rule{Episodes: "1x2;"}, Item{Title: "Show S01E02 x264"}, State{}, ""},
		{"episode otherwise", Rule{Episodes: "1x2;"}, Item{Title: "Show 1x02 1920x1080"}, State{}, ""},
		{"other episode", Rule{Episodes: "1x2;"}, Item{Title: "Show S01E03"}, State{}, "is another episode"},
		{"range", Rule{Episodes: "1x1;8-15;"}, Item{Title: "Show S01E12"}, State{}, ""},
		{"no end", Rule{Episodes: "1x25-;"}, Item{Title: "Show S01E24"}, State{}, "is another episode"},
		{"later season", Rule{Episodes: "1x25-;"}, Item{Title: "Show S02E01"}, State{}, ""},
		{"no season is none", Rule{Episodes: "1x2;"}, Item{Title: "Show x264 1920x1080"}, State{}, "is another episode"},
		{"too soon", Rule{Ignore: 48 * time.Hour}, Item{Title: "x"}, State{LastMatch: now.Add(-47 * time.Hour)}, "comes too soon after the last match"},
		{"late enough", Rule{Ignore: 48 * time.Hour}, Item{Title: "x"}, State{LastMatch: now.Add(-49 * time.Hour)}, ""},
		{"seen before", Rule{Smart: true}, Item{Title: "Show.S01E02.720p"}, State{Episodes: []string{"1x2"}}, "is an episode that was there before"},
		{"not seen", Rule{Smart: true}, Item{Title: "Show.S01E03.720p"}, State{Episodes: []string{"1x2"}}, ""},
		{"no episode", Rule{Smart: true}, Item{Title: "Film"}, State{Episodes: []string{"1x2"}}, ""},
	} {
		m, err := tt.rule.Compile()
		if err != nil {
			t.Errorf("%s: %v", tt.what, err)
			continue
		}
		if ok, why := m.Match(tt.item, tt.state, now); ok != (tt.want == "") || why != tt.want {
			t.Errorf("%s: %v, %q", tt.what, ok, why)
		}
	}
	for what, r := range map[string]Rule{
		"bad expression": {Must: "(", Regex: true}, "no filter": {Episodes: "two"}, "backwards": {Episodes: "1x9-2;"}, "sizes": {MinSize: 2, MaxSize: 1}, "long": {Must: strings.Repeat("x", 5000)},
	} {
		if _, err := r.Compile(); !errors.Is(err, kith.Invalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestEpisode(t *testing.T) {
	for title, want := range map[string]string{
		"Show S01E02 720p": "1x2", "show.s1.e2": "1x2", "Show 1x02": "1x2", "Show Ep02": "", "News 2026.11.26 720p": "2026-11-26", "[Group] Show - 12 [1080p]": "12", "[Group] Show - 12v2 [1080p]": "12",
		"Film 1920x1080 x264": "", "Film (2026)": "",
	} {
		if got := Episode(title); got != want {
			t.Errorf("%s: %q, want %q", title, got, want)
		}
	}
}

func TestTook(t *testing.T) {
	m, err := Rule{Smart: true}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	s, now := State{}, time.Unix(1e9, 0)
	for range 2 {
		s = m.Took(Item{Title: "Show S01E02"}, s, now)
	}
	if len(s.Episodes) != 1 || !s.LastMatch.Equal(now) {
		t.Errorf("%+v", s)
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"enclosure.rss", "ezrss.rss", "nyaa.rss", "torznab.rss", "feed.atom", "feed.json", "latin1.rss"} {
		f.Add(read(f, name))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_, items, err := Parse(data)
		if err != nil && kith.KindOf(err) == kith.Internal {
			t.Fatalf("an error without a kind: %v", err)
		}
		for _, i := range items {
			if i.Link == "" || i.GUID == "" || len(i.Title) > maxText || i.Size < -1 {
				t.Fatalf("%+v", i)
			}
		}
	})
}

func FuzzRule(f *testing.F) {
	f.Add("a b|c?*", "x", "1x2;8-15;30-;", "Show S01E02", true)
	f.Fuzz(func(t *testing.T, must, not, eps, title string, regex bool) {
		m, err := Rule{Must: must, MustNot: not, Episodes: eps, Regex: regex, Smart: true}.Compile()
		if err == nil {
			m.Match(Item{Title: title}, m.Took(Item{Title: title}, State{}, time.Now()), time.Now())
		}
	})
}
