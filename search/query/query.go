// Package query is what a person looks for: the text of a search box or a command line, as a value.
//
// It decides nothing about how things are found, and knows no index. Its one idea: whatever way a search was typed, the same search is the same [Query], which can be
// written as text again and read back. The text is
//
//	jazz 1959 "kind of blue" -live type:audio size:>10MB lang:de tag:vinyl by:@anna age:<30d sort:size
//
// Words are all looked for. Words between quotes stand together in that order, those after a minus must not occur, and NAME:VALUE is a filter:
//
//	type:audio,video     what it is: audio, video, image, text, archive, program, other; any of those that are named
//	lang:de              its language, an ISO 639 code; any of those that are named
//	by:@anna             who publishes it; any of those that are named
//	tag:vinyl            its tags; all of those that are named
//	size:>10MB           at least; size:<1GB at most; size:10MB..1GB between; size:+10MB and size:-1GB are the same, as in find(1). Bounds are inclusive
//	age:<30d             published at most that long ago: s, m, h, d, w, or y of 365 days; otherwise as size
//	length:>3m           it plays so long: 45s, 3m, 1h30m, 4:33; otherwise as size
//	year:1959            of the recording, film or photo; year:1950..1960, year:>1990
//	resolution:1080p     of the picture, by the lines that people name: 240p 360p 480p 576p 720p 1080p 1440p 2160p (4k) 4320p (8k); resolution:>720p is at least
//	sort:size            relevance (if nothing is said), size (largest first), age (newest first), sources (most first)
//
// -type:, -lang:, -tag: and -by: leave out what has any of those that are named. What looks like a filter and is a word goes between quotes.
package query

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"kith"
)

// Limits of one query.
const (
	MaxText    = 4 << 10 // bytes of its text
	MaxWords   = 64      // words, those of phrases and exclusions too
	MaxFilters = 64      // values of filters
)

// What something is.
const (
	Audio   = "audio"
	Video   = "video"
	Image   = "image"
	Text    = "text"
	Archive = "archive"
	Program = "program"
	Other   = "other"
)

// Types returns what type: may be.
func Types() []string { return []string{Audio, Video, Image, Text, Archive, Program, Other} }

// A Sort is the order of results.
type Sort string

// The orders: best first by relevance, largest, newest, most sources.
const (
	ByRelevance Sort = ""
	BySize      Sort = "size"
	ByAge       Sort = "age"
	BySources   Sort = "sources"
)

// A Choice is what may be and what may not be.
type Choice struct {
	In  []string `json:"in,omitempty"`  // nothing: all
	Out []string `json:"out,omitempty"` // none of these
}

// A Range is from Min to Max, both inclusive; a Max of 0 is no bound.
type Range[T ~int64] struct {
	Min T `json:"min,omitempty"`
	Max T `json:"max,omitempty"`
}

// Holds reports whether n is in the range.
func (r Range[T]) Holds(n T) bool { return n >= r.Min && (r.Max == 0 || n <= r.Max) }

// A Query is what is looked for. Words, Phrases and Not are as they were typed, with single spaces between words.
type Query struct {
	Words   []string             `json:"words,omitempty"`
	Phrases []string             `json:"phrases,omitempty"`
	Not     []string             `json:"not,omitempty"` // words and phrases that must not occur
	Type    Choice               `json:"type,omitzero"`
	Lang    Choice               `json:"lang,omitzero"`
	Tag     Choice               `json:"tag,omitzero"`  // all of In
	By      Choice               `json:"by,omitzero"`   // without @
	Size    Range[int64]         `json:"size,omitzero"` // bytes
	Age     Range[time.Duration] `json:"age,omitzero"`
	Length  Range[time.Duration] `json:"length,omitzero"`
	Year    Range[int64]         `json:"year,omitzero"`
	Lines   Range[int64]         `json:"resolution,omitzero"` // of the steps of fact.Facts.Resolution
	Sort    Sort                 `json:"sort,omitempty"`
}

// A Flag is a filter that was given beside the text: {"size", "+10MB"} is size:+10MB.
type Flag struct{ Name, Value string }

// filters are the names of all filters, as an error shows them.
var filters = []string{"type", "lang", "tag", "by", "size", "age", "length", "year", "resolution", "sort"}

// Filters returns the names of the filters.
func Filters() []string { return slices.Clone(filters) }

// filter adds one filter to q. Its errors do not say where; see parser.
func (q *Query) filter(name, value string, not bool) error {
	if strings.TrimSpace(value) == "" {
		return bad("write %s", example(name), "%s: has no value", name)
	}
	if !utf8.ValidString(value) {
		return bad("type it anew", "", "%s: has a value that is no text", name)
	}
	if strings.ContainsAny(value, quotes) {
		return bad("leave the quotes out", "", "%s: has a quote in its value", name)
	}
	switch name {
	case "type", "lang", "tag", "by":
		return q.choose(name, value, not)
	case "size", "age", "length", "year", "resolution", "sort":
		if not {
			return bad("write %s", example(name), "-%s: only type, lang, tag and by can be left out", name)
		}
		if name == "sort" {
			return q.sort(value)
		}
		return q.bound(name, value)
	}
	return bad("the filters are "+strings.Join(filters, ", ")+"; put quotes around a word that has a colon", "", "%.40q is no filter", name+":")
}

func (q *Query) choose(name, value string, not bool) error {
	choice := map[string]*Choice{"type": &q.Type, "lang": &q.Lang, "tag": &q.Tag, "by": &q.By}[name]
	list := &choice.In
	if not {
		list = &choice.Out
	}
	for v := range strings.SplitSeq(value, ",") {
		v = strings.Join(strings.Fields(v), " ")
		switch name {
		case "type":
			if v = strings.ToLower(v); !slices.Contains(Types(), v) {
				return bad("the types are "+strings.Join(Types(), ", "), "", "%.40q is no type", v)
			}
		case "lang":
			v, _, _ = strings.Cut(strings.ToLower(v), "-") // pt-BR
			if len(v) < 2 || len(v) > 3 || strings.Trim(v, "abcdefghijklmnopqrstuvwxyz") != "" {
				return bad("write the two letters of the language, such as lang:de", "", "%.40q is no language", v)
			}
		case "by":
			v = strings.TrimSpace(strings.TrimLeft(v, "@"))
		}
		if v == "" {
			return bad("write %s", example(name), "%s: has an empty value", name)
		}
		if !slices.Contains(*list, v) {
			*list = append(*list, v)
		}
	}
	return nil
}

func (q *Query) sort(value string) error {
	switch s := strings.ToLower(value); s {
	case "relevance":
		q.Sort = ByRelevance
	case string(BySize), string(ByAge), string(BySources):
		q.Sort = Sort(s)
	default:
		return bad("the orders are relevance, size, age, sources", "", "%.40q is no order", value)
	}
	return nil
}

func (q *Query) bound(name, value string) error {
	var err error
	switch name {
	case "size":
		q.Size, err = bound(q.Size, value, parseSize)
	case "age":
		q.Age, err = bound(q.Age, value, parseAge)
	case "length":
		q.Length, err = bound(q.Length, value, parseLength)
	case "year":
		q.Year, err = bound(q.Year, value, parseYear)
	default:
		q.Lines, err = bound(q.Lines, value, parseLines)
	}
	if err != nil && kith.HintOf(err) == "" {
		err = kith.Hint(err, "write %s", example(name))
	}
	return err
}

// bound narrows r by what value says.
func bound[T ~int64](r Range[T], value string, parse func(string) (T, error)) (Range[T], error) {
	low, high := "", ""
	if from, to, between := strings.Cut(value, ".."); between {
		low, high = from, to
	} else if rest := strings.TrimLeft(value, "<>=+-"); rest != value {
		switch op := value[:len(value)-len(rest)]; op {
		case ">", ">=", "+":
			low = rest
		case "<", "<=", "-":
			high = rest
		case "=":
			low, high = rest, rest
		default:
			return r, fmt.Errorf("%.10q is no comparison: %w", op, kith.Invalid)
		}
	} else {
		low, high = value, value
	}
	if low == "" && high == "" {
		return r, fmt.Errorf("a bound without a number: %w", kith.Invalid)
	}
	if low != "" {
		n, err := parse(low)
		if err != nil {
			return r, err
		}
		r.Min = max(r.Min, n)
	}
	if high != "" {
		n, err := parse(high)
		if err != nil {
			return r, err
		}
		if n = max(n, 1); r.Max == 0 || n < r.Max { // 0 would be no bound
			r.Max = n
		}
	}
	if r.Max != 0 && r.Min > r.Max {
		return r, kith.Hint(fmt.Errorf("no number is in these bounds: %w", kith.Invalid), "the lower bound has to be below the upper one")
	}
	return r, nil
}

func example(name string) string {
	return map[string]string{"type": "type:audio", "lang": "lang:de", "tag": "tag:vinyl", "by": "by:@anna", "size": "size:>10MB", "age": "age:<30d", "length": "length:>3m",
		"year": "year:1959", "resolution": "resolution:1080p", "sort": "sort:size"}[name]
}

// bad returns an Invalid error with a hint, into which what is filled if it is not "".
func bad(hint, what, format string, args ...any) error {
	if what != "" {
		hint = fmt.Sprintf(hint, what)
	}
	return kith.Hint(fmt.Errorf(format+": %w", append(args, kith.Invalid)...), "%s", hint)
}

// positive reports whether q says what it wants, and not only what it does not.
func (q Query) positive() bool {
	return len(q.Words)+len(q.Phrases)+len(q.Type.In)+len(q.Lang.In)+len(q.Tag.In)+len(q.By.In) > 0 || q.Size != Range[int64]{} || q.Age != Range[time.Duration]{} ||
		q.Length != Range[time.Duration]{} || q.Year != Range[int64]{} || q.Lines != Range[int64]{}
}

// String returns q as text, which Parse reads as the same query.
func (q Query) String() string {
	out := slices.Clone(q.Words)
	add := func(name, value string) {
		if strings.Contains(value, " ") {
			value = `"` + value + `"`
		}
		out = append(out, name+value)
	}
	for _, p := range q.Phrases {
		out = append(out, `"`+p+`"`)
	}
	for _, n := range q.Not {
		if plain(n) {
			out = append(out, "-"+n)
		} else {
			out = append(out, `-"`+n+`"`)
		}
	}
	for _, f := range []struct {
		name string
		c    Choice
	}{{"type:", q.Type}, {"lang:", q.Lang}, {"tag:", q.Tag}, {"by:", q.By}} {
		for _, v := range f.c.In {
			add(f.name, v)
		}
		for _, v := range f.c.Out {
			add("-"+f.name, v)
		}
	}
	if q.Size != (Range[int64]{}) {
		out = append(out, "size:"+text(q.Size, formatSize))
	}
	if q.Age != (Range[time.Duration]{}) {
		out = append(out, "age:"+text(q.Age, formatAge))
	}
	if q.Length != (Range[time.Duration]{}) {
		out = append(out, "length:"+text(q.Length, formatAge))
	}
	if q.Year != (Range[int64]{}) {
		out = append(out, "year:"+text(q.Year, formatYear))
	}
	if q.Lines != (Range[int64]{}) {
		out = append(out, "resolution:"+text(q.Lines, formatLines))
	}
	if q.Sort != ByRelevance {
		out = append(out, "sort:"+string(q.Sort))
	}
	return strings.Join(out, " ")
}

func text[T ~int64](r Range[T], format func(T) string) string {
	switch {
	case r.Max == 0:
		return ">" + format(r.Min)
	case r.Min == 0:
		return "<" + format(r.Max)
	}
	return format(r.Min) + ".." + format(r.Max)
}

// formatSize returns n in the largest unit in which it is whole.
func formatSize(n int64) string {
	for _, u := range []struct {
		factor int64
		name   string
	}{{1e12, "TB"}, {1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}} {
		if n > 0 && n%u.factor == 0 {
			return strconv.FormatInt(n/u.factor, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

func formatYear(n int64) string { return strconv.FormatInt(n, 10) }

func formatLines(n int64) string { return strconv.FormatInt(n, 10) + "p" }

// formatAge returns d, of whole seconds, in the largest unit in which it is whole.
func formatAge(d time.Duration) string {
	for _, u := range ageUnits {
		if d > 0 && d%u.length == 0 {
			return strconv.FormatInt(int64(d/u.length), 10) + u.name
		}
	}
	return "0s"
}
