package index

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"kith/search/fact"
	"kith/search/query"
)

// What is looked at beside the index is found as if it were in it.
func TestBeside(t *testing.T) {
	var docs []Doc
	for i, name := range []string{
		"Kind of Blue.flac", "Blue Train (1957).flac", "Blue Note sessions, disc 1", "train timetables", "Giant Steps", "Züge im Winter.pdf", "日本の電車.mkv", "live in blue", "kind words", "blue kind of",
	} {
		docs = append(docs, doc(name, func(d *Doc) {
			d.Publisher = []string{"anna", "bert", "cleo"}[i%3]
			d.Type, d.Size = []string{query.Audio, query.Text}[i%2], int64(1000<<i)
			d.Tags, d.Files = [][]string{{"vinyl"}, {"live"}, nil}[i%3], [][]string{nil, {"side a/blue in green.flac"}}[i%2]
			d.Facts = fact.Facts{Artist: "Miles Davis", Year: 1950 + i, Length: 60 * i, Width: 1920 / (1 + i%2), Height: 1080 / (1 + i%2)}
			d.Text = d.Facts.Text()
			d.Published = now.Add(-time.Duration(i) * 60 * 24 * time.Hour)
		}))
	}
	same := docs[0] // the same content under another name
	same.ID, same.Name, same.Publisher = "other", "Miles Davis, blue", "dora"
	docs = append(docs, same)
	all := open(t, Options{})
	put(t, all, docs...)
	for some := range len(docs) + 1 {
		x := open(t, Options{})
		put(t, x, docs[:some]...)
		for _, text := range []string{
			"blue", "blue train", "kind of blue", `"blue in green"`, `"kind of blue" -live`, "train -blue", "-\"blue train\" blue", "電車", "zug", "type:text", "blue type:audio", "blue -type:audio", "tag:vinyl", "blue by:anna",
			"size:>5kB", "age:<90d", "blue age:>1y", "blue sort:size", "miles", "blue year:1955", "length:>3m", "length:>3m resolution:1080p", "resolution:<720p blue", "blue nowhere steps", "Lang:de",
		} {
			want := find(t, all, text)
			got := find(t, x, text, SearchOptions{Beside: docs})
			if g, w := said(got), said(want); !slices.Equal(g, w) || got.Total != want.Total {
				t.Errorf("%s with %d in the index: %q, want %q", text, some, g, w)
			}
		}
	}
	x := open(t, Options{})
	put(t, x, docs[1])
	if r := find(t, x, "blue", SearchOptions{Beside: docs[:4]}); !slices.Equal(r.Beside, []string{docs[1].ID, docs[0].ID, docs[2].ID, docs[3].ID}) {
		t.Errorf("of what is beside it answer %q", r.Beside)
	}
	if r := find(t, x, "kidn", SearchOptions{Beside: docs[8:9]}); r.Corrected || len(r.Hits) != 0 {
		t.Errorf("a word that is nowhere: %+v", r)
	}
}

// said returns what a search found, without the order of what is worth the same.
func said(r Results) (list []string) {
	for _, h := range r.Hits {
		slices.Sort(h.Names)
		slices.Sort(h.Publishers)
		list = append(list, fmt.Sprint(h.Names, h.Publishers, h.Missing))
	}
	slices.Sort(list)
	return list
}
