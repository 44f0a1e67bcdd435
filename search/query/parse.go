package query

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"kith"
	"kith/internal/human"
	"kith/search/fact"
)

// quotes are the signs that may begin and end a phrase: phones and typesetters make others of the plain one.
const quotes = "\"“”„«»"

// A SyntaxError is a text that is no query, and says where. It is Invalid, and carries a hint.
type SyntaxError struct {
	Offset int    // bytes before Piece in the text; -1 in a Flag
	Piece  string // what is wrong, as it was typed
	err    error
}

func (e *SyntaxError) Error() string {
	if e.Offset < 0 {
		return fmt.Sprintf("query: %.60q: %v", e.Piece, e.err)
	}
	return fmt.Sprintf("query: at byte %d, %.60q: %v", e.Offset, e.Piece, e.err)
}

func (e *SyntaxError) Unwrap() error { return e.err }

// Parse reads a query from its text and the flags beside it. Its error is Invalid with a hint, or TooLarge for a query over one of the limits; of broken syntax it is a
// SyntaxError.
func Parse(text string, flags ...Flag) (Query, error) {
	if len(text) > MaxText {
		return Query{}, kith.Hint(fmt.Errorf("query: a text of %d bytes, at most %d: %w", len(text), MaxText, kith.TooLarge), "look for fewer words")
	}
	p := parser{text: text}
	for p.pos < len(text) {
		start := p.pos
		if err := p.next(); err != nil {
			return Query{}, &SyntaxError{start, text[start:max(p.pos, start+1)], err}
		}
	}
	for _, f := range flags {
		if err := p.q.filter(strings.ToLower(f.Name), f.Value, false); err != nil {
			return Query{}, &SyntaxError{-1, "--" + f.Name + " " + f.Value, err}
		}
	}
	return p.q, p.q.check()
}

// check returns why q, whose parts are in order, cannot be looked for.
func (q Query) check() error {
	words := 0
	for _, list := range [][]string{q.Words, q.Phrases, q.Not} {
		for _, s := range list {
			words += max(1, strings.Count(s, " ")+1)
		}
	}
	values := 0
	for _, c := range []Choice{q.Type, q.Lang, q.Tag, q.By} {
		values += len(c.In) + len(c.Out)
	}
	switch {
	case words > MaxWords:
		return kith.Hint(fmt.Errorf("query: %d words, at most %d: %w", words, MaxWords, kith.TooLarge), "look for fewer words")
	case values > MaxFilters:
		return kith.Hint(fmt.Errorf("query: %d filters, at most %d: %w", values, MaxFilters, kith.TooLarge), "name fewer things to filter by")
	case !q.positive() && len(q.Not) > 0:
		return kith.Hint(fmt.Errorf("query: it says only what to leave out: %w", kith.Invalid), "add a word to look for")
	case !q.positive():
		return kith.Hint(fmt.Errorf("query: nothing to look for: %w", kith.Invalid), "type a word or a filter, such as: jazz type:audio")
	}
	return nil
}

type parser struct {
	text string
	pos  int
	q    Query
}

// next reads one word, phrase, exclusion or filter. When it fails, pos is where the piece ends that it failed at.
func (p *parser) next() error {
	r, n := utf8.DecodeRuneInString(p.text[p.pos:])
	if unicode.IsSpace(r) {
		p.pos += n
		return nil
	}
	not := r == '-'
	if not {
		p.pos++
		if strings.HasPrefix(p.text[p.pos:], "-") {
			word := p.word()
			return bad("write %s", "type:audio, without dashes", "%.40q is a flag of the command line", "-"+word)
		}
	}
	if p.quoted() {
		phrase, err := p.phrase()
		if err != nil {
			return err
		}
		p.add(phrase, true, not)
		return nil
	}
	from := p.pos
	word := p.word()
	if name, value, ok := strings.Cut(word, ":"); ok && isName(name) {
		p.pos = from + len(name) + 1
		if p.quoted() {
			phrase, err := p.phrase()
			if err != nil {
				return err
			}
			return p.q.filter(strings.ToLower(name), phrase, not)
		}
		p.pos += len(value)
		return p.q.filter(strings.ToLower(name), value, not)
	}
	if utf8.ValidString(word) {
		p.add(word, false, not)
		return nil
	}
	return bad("type it anew", "", "it is no text")
}

// quoted reports whether a quote is next.
func (p *parser) quoted() bool {
	r, _ := utf8.DecodeRuneInString(p.text[p.pos:])
	return p.pos < len(p.text) && strings.ContainsRune(quotes, r)
}

// word reads up to the next space.
func (p *parser) word() string {
	from := p.pos
	if n := strings.IndexFunc(p.text[from:], unicode.IsSpace); n >= 0 {
		p.pos += n
	} else {
		p.pos = len(p.text)
	}
	return p.text[from:p.pos]
}

// phrase reads what is between quotes, with single spaces between its words.
func (p *parser) phrase() (string, error) {
	_, n := utf8.DecodeRuneInString(p.text[p.pos:])
	from := p.pos + n
	end := strings.IndexAny(p.text[from:], quotes)
	if end < 0 {
		p.pos = len(p.text)
		return "", bad(`add a " where it ends`, "", "a quote that is not closed")
	}
	phrase := p.text[from : from+end]
	_, n = utf8.DecodeRuneInString(p.text[from+end:])
	p.pos = from + end + n
	switch {
	case !utf8.ValidString(phrase):
		return "", bad("type it anew", "", "it is no text")
	case !something(phrase):
		return "", bad("put words between the quotes", "", "nothing between quotes")
	}
	return strings.Join(strings.Fields(phrase), " "), nil
}

// add adds a word or phrase. What has no letter and no digit, such as the & of "rock & roll", is nothing that could be looked for.
func (p *parser) add(s string, phrase, not bool) {
	switch {
	case !something(s):
	case not:
		p.q.Not = append(p.q.Not, s)
	case phrase:
		p.q.Phrases = append(p.q.Phrases, s)
	default:
		p.q.Words = append(p.q.Words, s)
	}
}

func something(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) })
}

// isName reports whether what stands before a colon can be a filter's name: 12:30 has none.
func isName(s string) bool {
	return s != "" && strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz") == ""
}

// plain reports whether s, after a minus, is read as that word.
func plain(s string) bool {
	p := parser{text: "-" + s}
	return p.next() == nil && p.pos == len(p.text) && len(p.q.Not) == 1 && p.q.Not[0] == s
}

func parseSize(s string) (int64, error) { return human.ParseBytes(s) }

var ageUnits = []struct {
	name   string
	length time.Duration
}{{"y", 365 * 24 * time.Hour}, {"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}}

// parseAge reads a time in whole seconds: 90d, 2w, 1y, or what human.ParseDuration reads.
func parseAge(s string) (time.Duration, error) {
	for _, u := range ageUnits {
		if n, ok := strings.CutSuffix(strings.ToLower(s), u.name); ok {
			if f, err := strconv.ParseFloat(n, 64); err == nil && f >= 0 && f*float64(u.length) < math.MaxInt64 {
				return time.Duration(f * float64(u.length)).Truncate(time.Second), nil
			}
		}
	}
	if _, err := strconv.ParseFloat(s, 64); err == nil {
		return 0, kith.Hint(fmt.Errorf("%.40q has no unit: %w", s, kith.Invalid), "write it like 12h, 30d, 2w or 1y")
	}
	d, err := human.ParseDuration(s)
	if err != nil {
		err = kith.Hint(errors.Join(err), "write it like 12h, 30d, 2w or 1y")
	}
	return d.Truncate(time.Second), err
}

// parseLength reads how long something plays: 45s, 3m, 1h30m, 4:33, 1:52:00.
func parseLength(s string) (time.Duration, error) {
	parts := strings.Split(s, ":")
	if len(parts) == 1 {
		d, err := parseAge(s)
		if err != nil {
			err = kith.Hint(errors.Join(err), "write it like 45s, 3m, 1h30m or 4:33")
		}
		return d, err
	}
	var d time.Duration
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 16)
		if err != nil || i > 2 || i > 0 && n > 59 {
			return 0, kith.Hint(fmt.Errorf("%.40q is no length: %w", s, kith.Invalid), "write it like 45s, 3m, 1h30m or 4:33")
		}
		d = 60*d + time.Duration(n)*time.Second
	}
	return d, nil
}

func parseYear(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n < 1 || n > 9999 {
		return 0, kith.Hint(fmt.Errorf("%.40q is no year: %w", s, kith.Invalid), "write it like 1959, 1950..1960 or >1990")
	}
	return int64(n), nil
}

// parseLines reads a resolution: 1080p, 1080, 4k.
func parseLines(s string) (int64, error) {
	s = strings.ToLower(s)
	switch s {
	case "4k":
		s = "2160"
	case "8k":
		s = "4320"
	}
	n, err := strconv.ParseInt(strings.TrimSuffix(s, "p"), 10, 16)
	if err != nil || !slices.Contains(fact.Resolutions(), int(n)) {
		return 0, kith.Hint(fmt.Errorf("%.40q is no resolution: %w", s, kith.Invalid), "it is one of 240p, 360p, 480p, 576p, 720p, 1080p, 1440p, 2160p (4k), 4320p (8k)")
	}
	return n, nil
}
