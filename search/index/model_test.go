package index

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kith"
	"kith/search/fact"
	"kith/search/query"
	"kith/search/words"
)

// A model is an index that looks at every document.
type model map[string]Doc

// terms returns the terms of a document and its texts.
func (m model) terms(d Doc) (terms []string, lang string, texts []string) {
	if lang = d.Language; lang == "" {
		lang = words.Detect(d.Name + " " + d.Text)
	}
	texts = append(append([]string{d.Name, d.Text}, d.Tags...), d.Files...)
	for _, t := range []string{d.Name, d.Text, strings.Join(d.Tags, "\n"), strings.Join(d.Files, "\n")} { // a field is of one language, if nobody said which
		terms = words.Terms(terms, t, lang, 1<<10)
	}
	return terms, lang, texts
}

func answers(terms []string, any [][]string) bool {
	return slices.ContainsFunc(any, func(all []string) bool {
		return !slices.ContainsFunc(all, func(t string) bool { return !slices.Contains(terms, t) })
	})
}

func (m model) says(texts []string, phrase string) bool {
	parts := words.Sequence(phrase)
	return slices.ContainsFunc(texts, func(t string) bool { return stands(parts, words.Sequence(t)) })
}

// missing returns how many words d lacks, and whether it is all else that is asked for.
func (m model) missing(d Doc, q query.Query) (missing, of int, ok bool) {
	terms, lang, texts := m.terms(d)
	for _, w := range q.Words {
		for _, n := range words.Needs(w, "") {
			of++
			if !answers(terms, n.Any) {
				missing++
			}
		}
	}
	folded := func(list []string) (out []string) {
		for _, s := range list {
			out = append(out, words.Fold(s))
		}
		return out
	}
	tags := folded(d.Tags)
	choice := func(c query.Choice, is string) bool {
		return (len(c.In) == 0 || slices.Contains(c.In, is)) && !slices.Contains(c.Out, is)
	}
	ok = choice(q.Type, d.Type) && choice(q.Lang, lang) && choice(q.By, d.Publisher) && q.Size.Holds(d.Size) && q.Age.Holds(now.Sub(d.Published)) &&
		(q.Length == query.Range[time.Duration]{} || d.Facts.Length > 0 && q.Length.Holds(time.Duration(d.Facts.Length)*time.Second)) &&
		(q.Year == query.Range[int64]{} || d.Facts.Year > 0 && q.Year.Holds(int64(d.Facts.Year))) &&
		(q.Lines == query.Range[int64]{} || d.Facts.Resolution() > 0 && q.Lines.Holds(int64(d.Facts.Resolution())))
	for _, t := range folded(q.Tag.In) {
		ok = ok && slices.Contains(tags, t)
	}
	for _, t := range folded(q.Tag.Out) {
		ok = ok && !slices.Contains(tags, t)
	}
	for _, p := range q.Phrases {
		ok = ok && m.says(texts, p)
	}
	for _, n := range q.Not {
		if needs := words.Needs(n, ""); len(needs) == 1 {
			ok = ok && !answers(terms, needs[0].Any[:1])
		} else {
			ok = ok && !m.says(texts, n)
		}
	}
	return missing, of, ok
}

// search returns the contents that answer q, each with how many words its best document lacks.
func (m model) search(q query.Query, limit int) map[kith.Ref]int {
	full, some := map[kith.Ref]int{}, map[kith.Ref]int{}
	for _, d := range m {
		missing, of, ok := m.missing(d, q)
		if !ok || missing > of-(2*of+2)/3 {
			continue
		}
		if best, known := some[d.Root]; !known || missing < best {
			some[d.Root] = missing
		}
		if missing == 0 {
			full[d.Root] = 0
		}
	}
	if len(full) >= limit {
		return full
	}
	return some
}

// TestModel: whatever is put, deleted and searched, the index finds what one finds who looks at every document.
func TestModel(t *testing.T) {
	vocabulary := []string{"jazz", "saxophone", "1959", "北京大学", "Miles", "MilesDavis", "Häuser", "blue", "S01E02", "the", "книги", "x264"}
	text := rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(rapid.SampledFrom(vocabulary), 0, 5).Draw(t, "words"), rapid.SampledFrom([]string{" ", ".", "_-_"}).Draw(t, "between"))
	})
	tag := rapid.SampledFrom([]string{"Hard Bop", "live", "vinyl"})
	docs := rapid.Custom(func(t *rapid.T) Doc {
		return Doc{ID: fmt.Sprint(rapid.IntRange(0, 30).Draw(t, "id")), Root: root(fmt.Sprint(rapid.IntRange(0, 12).Draw(t, "root"))), Name: text.Draw(t, "name"), Text: text.Draw(t, "text"),
			Files: shorts(rapid.SliceOfN(text, 0, 3).Draw(t, "files"), MaxFiles, MaxName), Tags: shorts(rapid.SliceOfN(tag, 0, 2).Draw(t, "tags"), MaxTags, MaxTag),
			Type: rapid.SampledFrom(query.Types()).Draw(t, "type"), Size: rapid.Int64Range(0, 1<<20).Draw(t, "size"), Language: rapid.SampledFrom([]string{"", "en", "de", "ru"}).Draw(t, "language"),
			Facts: fact.Clean(fact.Facts{Length: rapid.SampledFrom([]int{0, 0, 45, 179, 180, 273, 6720}).Draw(t, "length"), Year: rapid.SampledFrom([]int{0, 0, 900, 1959, 1960, 2150}).Draw(t, "year"),
				Width: rapid.SampledFrom([]int{0, 640, 1920, 3840}).Draw(t, "width"), Height: 480}),
			Publisher: rapid.SampledFrom([]string{"anna", "bob"}).Draw(t, "publisher"), Published: now.Add(-time.Duration(rapid.IntRange(0, 3*365).Draw(t, "days")) * 24 * time.Hour)}
	})
	piece := rapid.OneOf(rapid.SampledFrom(vocabulary), rapid.SampledFrom(vocabulary), rapid.SampledFrom([]string{"miles", "hauser", "haus", "bluer", "книга", "京大", "xylograph", "milesdavis", "s01e02"}),
		rapid.SampledFrom([]string{`"the jazz"`, `"miles blue"`, `"Miles 1959"`, "-the", "-blue", `-"jazz blue"`, "-MilesDavis", "type:audio,video", "-type:text", "lang:de", "lang:en,ru", "-lang:ru",
			`tag:"hard bop"`, "tag:live", "-tag:vinyl", "by:anna", "-by:bob", "size:>100kB", "size:1kB..500kB", "age:<1y", "age:>400d", "length:>3m", "length:<3m", "length:4:33", "length:<0s", "year:1959", "year:<1960", "year:>1950", "year:>2140",
			"resolution:480p", "resolution:>720p", "resolution:<4k", "sort:size", "sort:age"}))
	asked := rapid.Custom(func(t *rapid.T) string { return strings.Join(rapid.SliceOfN(piece, 1, 7).Draw(t, "query"), " ") })

	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp("", "index")
		if err != nil {
			rt.Fatal(err)
		}
		defer os.RemoveAll(dir)
		x, err := Open(Options{Path: filepath.Join(dir, "search.db"), Now: func() time.Time { return now }})
		if err != nil {
			rt.Fatal(err)
		}
		defer x.Close()
		m, ctx := model{}, context.Background()
		rt.Repeat(map[string]func(*rapid.T){
			"put": func(rt *rapid.T) {
				batch := rapid.SliceOfN(docs, 1, 12).Draw(rt, "docs")
				if err := x.Put(ctx, batch...); err != nil {
					rt.Fatal(err)
				}
				for _, d := range batch {
					m[d.ID] = d
				}
			},
			"delete": func(rt *rapid.T) {
				id := fmt.Sprint(rapid.IntRange(0, 30).Draw(rt, "id"))
				if err := x.Delete(ctx, id); err != nil {
					rt.Fatal(err)
				}
				delete(m, id)
			},
			"search": func(rt *rapid.T) {
				compare(rt, x, m, asked.Draw(rt, "query"), rapid.SampledFrom([]int{3, 50}).Draw(rt, "limit"))
			},
			"": func(rt *rapid.T) {
				if n := x.Status().Docs; n != len(m) {
					rt.Fatalf("%d documents, want %d", n, len(m))
				}
			},
		})
		for _, d := range m { // nothing of a document stays when it is gone
			if err := x.Delete(ctx, d.ID); err != nil {
				rt.Fatal(err)
			}
		}
		for _, table := range []string{"doc", "body", "fts_docsize", "term"} {
			n := -1
			if err := x.db.QueryRow("SELECT count(*) FROM " + table).Scan(&n); err != nil || n != 0 {
				rt.Fatalf("%d rows are left in %s: %v", n, table, err)
			}
		}
	})
}

func compare(rt *rapid.T, x *Index, m model, text string, limit int) {
	q, err := query.Parse(text)
	if err != nil {
		return
	}
	r, err := x.Search(context.Background(), q, SearchOptions{Limit: limit})
	if err != nil {
		rt.Fatalf("%s: %v", q, err)
	}
	if r.Corrected { // the model does not know what may be meant
		return
	}
	want := m.search(q, limit)
	if r.More || r.Total != len(want) || len(r.Hits) != min(limit, len(want)) {
		rt.Fatalf("%s: %d of %d contents, want %v", q, len(r.Hits), r.Total, want)
	}
	last, of := Hit{}, map[string]int{} // how many of each publisher stand before
	for i, h := range r.Hits {
		missing, known := want[h.Root]
		if !known || len(h.Missing) != missing {
			rt.Fatalf("%s: %v lacks %q, want %d, %v", q, h.Doc, h.Missing, missing, known)
		}
		names, publishers, newest := map[string]bool{}, map[string]bool{}, int64(0)
		for _, d := range m {
			if d.Root == h.Root {
				names[d.Name], publishers[d.Publisher], newest = true, true, max(newest, d.Published.Unix())
			}
		}
		slices.Sort(h.Names)
		slices.Sort(h.Publishers)
		if !slices.Equal(h.Names, slices.Sorted(maps.Keys(names))) || !slices.Equal(h.Publishers, slices.Sorted(maps.Keys(publishers))) {
			rt.Fatalf("%s: names %q, publishers %q, want %v, %v", q, h.Names, h.Publishers, names, publishers)
		}
		mingled := of[h.Publisher] >= maxAlone // then others may come first
		if i > 0 && (q.Sort == query.BySize && h.Size > last.Size || q.Sort == query.ByRelevance && (len(h.Missing) < len(last.Missing) || len(h.Missing) == len(last.Missing) && h.Score > last.Score && !mingled)) {
			rt.Fatalf("%s: %+v stands behind %+v", q, h, last)
		}
		last = h
		of[h.Publisher]++
	}
}

// TestKill: what was acknowledged is there after a kill -9.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "search.db")
	for round := range 3 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), "KITH_TEST_INDEX="+path, fmt.Sprint("KITH_TEST_ROUND=", round))
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		acknowledged := 0
		for s := bufio.NewScanner(out); acknowledged < 20 && s.Scan(); {
			acknowledged++
		}
		child.Process.Kill()
		child.Wait()
		if acknowledged < 20 {
			t.Fatalf("the child put %d batches", acknowledged)
		}
		x := open(t, Options{Path: path})
		for batch := range acknowledged {
			if r := find(t, x, fmt.Sprintf(`"round %d batch %d"`, round, batch)); r.Total != 10 {
				t.Errorf("round %d, batch %d: %d of 10", round, batch, r.Total)
			}
		}
		if r := find(t, x, "batch", SearchOptions{Limit: maxLimit}); r.Total%10 != 0 || r.Total != x.Status().Docs {
			t.Errorf("half a batch is there: %d documents of %d", r.Total, x.Status().Docs)
		}
		x.Close()
	}
}

func TestMain(m *testing.M) {
	if path := os.Getenv("KITH_TEST_INDEX"); path != "" {
		beKilled(path, os.Getenv("KITH_TEST_ROUND"))
	}
	os.Exit(m.Run())
}

// beKilled puts batches of ten documents, and writes a line after each, until it is killed or has put a thousand.
func beKilled(path, round string) {
	x, err := Open(Options{Path: path})
	for batch := 0; batch < 1000 && err == nil; batch++ {
		var docs []Doc
		for i := range 10 {
			docs = append(docs, doc(fmt.Sprintf("round %s batch %d number %d", round, batch, i)))
		}
		if err = x.Put(context.Background(), docs...); err == nil {
			fmt.Println(batch)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
