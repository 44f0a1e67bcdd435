package index

import (
	"context"
	"slices"
	"testing"
	"time"

	"kith"
	"kith/search/query"
	"kith/search/words"
)

// FuzzSearch: whatever a document says and whatever is typed, a search fails only for what cannot be looked for, and a document is found by its own name.
func FuzzSearch(f *testing.F) {
	f.Add("Miles.Davis S01E02", "hard bop", `jazz -"kind of" tag:"hard bop" size:>1kB age:<1y`)
	f.Add("東京都 Ελληνικά \x00 \"quoted\" *", "=a", `"a b" AND OR NOT NEAR(x) -東京都 by:@x lang:de -type:text sort:sources`)
	f.Add("ǅ ͅ ١٩٥٩ ـ", "a\nb", "a* ^b {c} d:e")
	x := open(f, Options{})
	ctx := context.Background()
	f.Fuzz(func(t *testing.T, name, tag, text string) {
		d := Doc{ID: "1", Name: name, Tags: []string{tag}, Text: text, Publisher: tag, Published: now.Add(-time.Hour)}
		put(t, x, d)
		for _, typing := range []bool{false, true} {
			if q, err := query.Parse(text); err == nil {
				if _, err := x.Search(ctx, q, SearchOptions{Typing: typing}); err != nil && kith.KindOf(err) != kith.Invalid {
					t.Fatalf("%q: %v", q, err)
				}
			}
		}
		seq := words.Sequence(short(name, MaxName))
		if len(words.Terms(nil, name, "und", fields[inName].terms)) == fields[inName].terms || len(seq) == 0 {
			return
		}
		r, err := x.Search(ctx, query.Query{Words: []string{short(name, MaxName)}}, SearchOptions{})
		if err != nil || !slices.ContainsFunc(r.Hits, func(h Hit) bool { return h.ID == "1" }) || len(r.Hits[0].Missing) > 0 {
			t.Fatalf("%q (%q): %+v, %v", name, seq, r, err)
		}
	})
}
