package query

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kith"
)

const day = 24 * time.Hour

func TestParse(t *testing.T) {
	for _, c := range []struct {
		text  string
		flags []Flag
		want  Query
	}{
		{"jazz 1959 flac", []Flag{{"type", "audio"}, {"size", "+10MB"}},
			Query{Words: []string{"jazz", "1959", "flac"}, Type: Choice{In: []string{"audio"}}, Size: Range[int64]{Min: 10e6}}},
		{"jazz 1959 type:audio flac size:>10MB", nil,
			Query{Words: []string{"jazz", "1959", "flac"}, Type: Choice{In: []string{"audio"}}, Size: Range[int64]{Min: 10e6}}},
		{`  "kind  of blue" -live -"greatest hits"`, nil, Query{Phrases: []string{"kind of blue"}, Not: []string{"live", "greatest hits"}}},
		{"„Kind of Blue“ «so what»", nil, Query{Phrases: []string{"Kind of Blue", "so what"}}},
		{"rock & roll", nil, Query{Words: []string{"rock", "roll"}}},
		{"12:30 jean-luc", nil, Query{Words: []string{"12:30", "jean-luc"}}},
		{`"re:zero"`, nil, Query{Phrases: []string{"re:zero"}}},
		{"type:audio,VIDEO -type:other lang:pt-BR", nil,
			Query{Type: Choice{In: []string{"audio", "video"}, Out: []string{"other"}}, Lang: Choice{In: []string{"pt"}}}},
		{`tag:"hard bop" -tag:live by:@anna,bob`, nil,
			Query{Tag: Choice{In: []string{"hard bop"}, Out: []string{"live"}}, By: Choice{In: []string{"anna", "bob"}}}},
		{"x size:1kB..2KiB size:<1.5kB", nil, Query{Words: []string{"x"}, Size: Range[int64]{1000, 1500}}},
		{"x size:-1GB", nil, Query{Words: []string{"x"}, Size: Range[int64]{Max: 1e9}}},
		{"x size:700MB", nil, Query{Words: []string{"x"}, Size: Range[int64]{700e6, 700e6}}},
		{"age:<30d sort:Age", nil, Query{Age: Range[time.Duration]{Max: 30 * day}, Sort: ByAge}},
		{"length:>3m year:1959", nil, Query{Length: Range[time.Duration]{Min: 3 * time.Minute}, Year: Range[int64]{1959, 1959}}},
		{"x length:4:33 year:1950..1960 resolution:>720p", nil,
			Query{Words: []string{"x"}, Length: Range[time.Duration]{273 * time.Second, 273 * time.Second}, Year: Range[int64]{1950, 1960}, Lines: Range[int64]{Min: 720}}},
		{"resolution:4K length:1:00:00..1h30m", nil, Query{Length: Range[time.Duration]{time.Hour, 90 * time.Minute}, Lines: Range[int64]{2160, 2160}}},
		{"x age:1w..1y sort:relevance", nil, Query{Words: []string{"x"}, Age: Range[time.Duration]{7 * day, 365 * day}}},
	} {
		got, err := Parse(c.text, c.flags...)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("Parse(%q, %v)\n got %+v, %v\nwant %+v", c.text, c.flags, got, err, c.want)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		text   string
		flags  []Flag
		offset int // of a SyntaxError; -2: it is none
		piece  string
		kind   kith.Kind
		says   string
	}{
		{"", nil, -2, "", kith.Invalid, "nothing to look for"},
		{" & ", nil, -2, "", kith.Invalid, "nothing to look for"},
		{"-live", nil, -2, "", kith.Invalid, "only what to leave out"},
		{"sort:size", nil, -2, "", kith.Invalid, "nothing to look for"},
		{strings.Repeat("a ", 65), nil, -2, "", kith.TooLarge, "65 words, at most 64"},
		{strings.Repeat("a ", 10_000), nil, -2, "", kith.TooLarge, "20000 bytes, at most 4096"},
		{`"` + strings.Repeat("a ", 65) + `"`, nil, -2, "", kith.TooLarge, "65 words"},
		{"a" + manyTags(), nil, -2, "", kith.TooLarge, "filters, at most 64"},
		{`jazz "kind of`, nil, 5, `"kind of`, kith.Invalid, "not closed"},
		{`jazz ""`, nil, 5, `""`, kith.Invalid, "nothing between quotes"},
		{"jazz size:big x", nil, 5, "size:big", kith.Invalid, "not a size"},
		{"jazz size:>", nil, 5, "size:>", kith.Invalid, "without a number"},
		{"jazz size:<>3", nil, 5, "size:<>3", kith.Invalid, "no comparison"},
		{"jazz size:>2MB size:<1MB", nil, 15, "size:<1MB", kith.Invalid, "no number"},
		{"jazz age:30", nil, 5, "age:30", kith.Invalid, "no unit"},
		{"jazz length:3", nil, 5, "length:3", kith.Invalid, "no unit"},
		{"jazz length:4:99", nil, 5, "length:4:99", kith.Invalid, "no length"},
		{"jazz year:59AD", nil, 5, "year:59AD", kith.Invalid, "no year"},
		{"jazz resolution:1081p", nil, 5, "resolution:1081p", kith.Invalid, "no resolution"},
		{"jazz -size:3", nil, 5, "-size:3", kith.Invalid, "left out"},
		{"jazz -sort:age", nil, 5, "-sort:age", kith.Invalid, "left out"},
		{"jazz type:", nil, 5, "type:", kith.Invalid, "no value"},
		{"jazz type:song", nil, 5, "type:song", kith.Invalid, "no type"},
		{"jazz lang:german", nil, 5, "lang:german", kith.Invalid, "no language"},
		{"jazz sort:name", nil, 5, "sort:name", kith.Invalid, "no order"},
		{"jazz by:@", nil, 5, "by:@", kith.Invalid, "empty value"},
		{"jazz re:zero", nil, 5, "re:zero", kith.Invalid, "no filter"},
		{"jazz --type audio", nil, 5, "--type", kith.Invalid, "command line"},
		{"jazz", []Flag{{"size", "big"}}, -1, "--size big", kith.Invalid, "not a size"},
		{"jazz \xff", nil, 5, "\xff", kith.Invalid, "no text"},
	} {
		_, err := Parse(c.text, c.flags...)
		var se *SyntaxError
		switch {
		case !errors.Is(err, c.kind) || kith.HintOf(err) == "" || !strings.Contains(err.Error(), c.says):
			t.Errorf("Parse(%.40q) is %v (hint %q), want %v with %q", c.text, err, kith.HintOf(err), c.kind, c.says)
		case errors.As(err, &se) != (c.offset != -2):
			t.Errorf("Parse(%.40q) is a %T", c.text, err)
		case se != nil && (se.Offset != c.offset || se.Piece != c.piece):
			t.Errorf("Parse(%.40q): at %d, %q, want %d, %q", c.text, se.Offset, se.Piece, c.offset, c.piece)
		}
	}
	if _, err := Parse("re:zero"); !strings.Contains(kith.HintOf(err), "type, lang, tag, by, size, age, length, year, resolution, sort") {
		t.Errorf("the hint does not name the filters: %q", kith.HintOf(err))
	}
}

func manyTags() string {
	var b strings.Builder
	for i := range 70 {
		b.WriteString(" tag:t" + strings.Repeat("i", i))
	}
	return b.String()
}

// TestStringIsRead: the text of a query is the same query.
func TestStringIsRead(t *testing.T) {
	word := rapid.StringMatching(`[a-zé東-][a-z0-9.:,'é東-]{0,8}|[0-9]{1,4}`)
	piece := rapid.Custom(func(t *rapid.T) string {
		w := word.Draw(t, "word")
		switch rapid.IntRange(0, 9).Draw(t, "what") {
		case 0:
			return `"` + w + " " + word.Draw(t, "second") + `"`
		case 1:
			return `-"` + w + `"`
		case 2:
			return rapid.SampledFrom([]string{"type:audio", "type:video,text", "-type:other", "lang:de", "-lang:fr", "sort:size", "sort:age"}).Draw(t, "filter")
		case 3:
			return rapid.SampledFrom([]string{"tag:", "-tag:", "by:", "by:@", "-by:"}).Draw(t, "filter") + `"` + w + " " + word.Draw(t, "second") + `"`
		case 4:
			return "size:>" + rapid.StringMatching(`[0-9]{1,4}(\.[0-9])?(kB|MiB|)`).Draw(t, "size")
		case 5:
			if rapid.Bool().Draw(t, "media") {
				return rapid.SampledFrom([]string{"length:", "length:<", "length:>"}).Draw(t, "op") + rapid.SampledFrom([]string{"3m", "4:33", "1h30m", "0s"}).Draw(t, "length") +
					" year:" + rapid.SampledFrom([]string{"1959", "<2000", "1..9999"}).Draw(t, "year") + " resolution:" + rapid.SampledFrom([]string{"4k", ">720p"}).Draw(t, "lines")
			}
			return "age:" + rapid.SampledFrom([]string{"<", "-", ">", ""}).Draw(t, "op") + rapid.StringMatching(`[0-9]{1,3}(\.5)?[smhdw]|1h30m`).Draw(t, "age")
		}
		return w
	})
	read := 0
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(piece, 0, 8).Draw(t, "pieces"), " ")
		if q, err := Parse(text); err == nil {
			read++
			same(t, q)
		}
	})
	if read == 0 {
		t.Error("no text was a query")
	}
}

func same(t interface{ Fatalf(string, ...any) }, q Query) {
	again, err := Parse(q.String())
	if err != nil || !reflect.DeepEqual(again, q) {
		t.Fatalf("%+v\n is %q, which is\n%+v, %v", q, q.String(), again, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{`jazz 1959 "kind of blue" -live type:audio size:>10MB lang:de tag:vinyl by:@anna age:<30d sort:size`, `-"a b" -tag:"x y",z size:1..2`,
		"„a“ «b»", "a\u00a0b", "age:1.5w..1y", "by:@@a", "-- -", "size:>1e9", "tag:,", "\xff", `a:"b`, "size:<0", "age:<0s x", "TYPE:audio"} {
		f.Add(s, "+1MB")
	}
	f.Fuzz(func(t *testing.T, text, size string) {
		q, err := Parse(text, Flag{"size", size})
		if err != nil {
			if k := kith.KindOf(err); k != kith.Invalid && k != kith.TooLarge || kith.HintOf(err) == "" {
				t.Fatalf("%q: %v, hint %q", text, err, kith.HintOf(err))
			}
			return
		}
		if s := q.String(); len(s) <= MaxText {
			same(t, q)
		}
	})
}
