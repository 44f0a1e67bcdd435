package feed

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"kith"
)

// A Rule says which items of feeds are fetched. The zero Rule takes every item.
type Rule struct {
	Must     string        // what the title must contain; "": anything
	MustNot  string        // what it must not contain; "": nothing is excluded
	Regex    bool          // these two are regular expressions (RE2); else words, all of which must be there in any order, with ? and *, and alternatives between |
	Episodes string        // such as "1x2;8-15;30-;": season, then numbers and ranges, each with a semicolon behind it; "": any
	Smart    bool          // each episode once, however often it is told of
	MinSize  int64         // bytes; 0: any. What does not say its size passes
	MaxSize  int64         // bytes; 0: any
	Ignore   time.Duration // after a match, what matches is left alone for so long; 0: not at all
}

// State is what a rule remembers.
type State struct {
	LastMatch time.Time
	Episodes  []string // that a Smart rule has taken, at most maxEpisodes, the oldest first
}

const maxEpisodes = 10_000

// A Matcher is a Rule that was read.
type Matcher struct {
	rule         Rule
	must, mustNo [][]*regexp.Regexp // alternatives, of which all parts must be found
	episodes     *episodes
}

// maxPattern bounds what a person may write as a pattern, in bytes.
const maxPattern = 4096

// Compile reads a rule. Its errors are Invalid and say what is wrong.
func (r Rule) Compile() (*Matcher, error) {
	m := &Matcher{rule: r}
	var err error
	if m.must, err = patterns(r.Must, r.Regex); err != nil {
		return nil, err
	}
	if m.mustNo, err = patterns(r.MustNot, r.Regex); err != nil {
		return nil, err
	}
	if r.MinSize < 0 || r.MaxSize < 0 || r.MaxSize > 0 && r.MinSize > r.MaxSize {
		return nil, fmt.Errorf("feed: a size from %d to %d is none: %w", r.MinSize, r.MaxSize, kith.Invalid)
	}
	m.episodes, err = parseEpisodes(r.Episodes)
	return m, err
}

func patterns(text string, isRegex bool) (all [][]*regexp.Regexp, err error) {
	if len(text) > maxPattern {
		return nil, fmt.Errorf("feed: a pattern of more than %d bytes: %w", maxPattern, kith.Invalid)
	}
	if text = strings.ToValidUTF8(text, "\ufffd"); strings.TrimSpace(text) == "" {
		return nil, nil
	}
	if isRegex {
		r, err := regexp.Compile("(?i)" + text)
		if err != nil {
			return nil, kith.Hint(fmt.Errorf("feed: %w: %w", err, kith.Invalid), "it is read as a regular expression (RE2: no lookahead, no back-references)")
		}
		return [][]*regexp.Regexp{{r}}, nil
	}
	for alternative := range strings.SplitSeq(text, "|") {
		var parts []*regexp.Regexp
		for word := range strings.FieldsSeq(alternative) {
			parts = append(parts, regexp.MustCompile("(?is)"+wildcard(word)))
		}
		if len(parts) > 0 {
			all = append(all, parts)
		}
	}
	return all, nil
}

// wildcard returns a word with ? and * as a regular expression.
func wildcard(word string) string {
	s := regexp.QuoteMeta(word)
	s = strings.ReplaceAll(s, `\?`, ".")
	return strings.ReplaceAll(s, `\*`, ".*")
}

// found reports whether one of the alternatives is in a title.
func found(all [][]*regexp.Regexp, title string) bool {
	for _, parts := range all {
		n := 0
		for _, p := range parts {
			if p.MatchString(title) {
				n++
			}
		}
		if n == len(parts) {
			return true
		}
	}
	return false
}

// Match reports whether a rule takes an item now; else why is the reason, for a person. It changes nothing.
func (m *Matcher) Match(it Item, s State, now time.Time) (ok bool, why string) {
	switch {
	case m.must != nil && !found(m.must, it.Title):
		return false, "does not contain what it must"
	case m.mustNo != nil && found(m.mustNo, it.Title):
		return false, "contains what it must not"
	case m.rule.MinSize > 0 && it.Size >= 0 && it.Size < m.rule.MinSize:
		return false, "is too small"
	case m.rule.MaxSize > 0 && it.Size > m.rule.MaxSize:
		return false, "is too large"
	case m.episodes != nil && !m.episodes.match(it.Title):
		return false, "is another episode"
	case m.rule.Ignore > 0 && !s.LastMatch.IsZero() && now.Sub(s.LastMatch) < m.rule.Ignore:
		return false, "comes too soon after the last match"
	}
	if m.rule.Smart {
		if e := Episode(it.Title); e != "" && contains(s.Episodes, e) {
			return false, "is an episode that was there before"
		}
	}
	return true, ""
}

// Took returns what a rule remembers once it has taken an item.
func (m *Matcher) Took(it Item, s State, now time.Time) State {
	s.LastMatch = now
	if e := Episode(it.Title); m.rule.Smart && e != "" && !contains(s.Episodes, e) {
		s.Episodes = append(s.Episodes[max(0, len(s.Episodes)+1-maxEpisodes):len(s.Episodes):len(s.Episodes)], e)
	}
	return s
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

// Forms in which titles name an episode: S01E02, 1x02; by date; and, after a dash, by number alone.
var (
	bySeason = regexp.MustCompile(`(?i)(?:^|[^a-z0-9])s(\d{1,4})[ ._-]?ep?[ ._-]?(\d{1,4})(?:v\d)?(?:[^a-z0-9]|$)`)
	byCross  = regexp.MustCompile(`(?i)(?:^|[^a-z0-9])(\d{1,2})x(\d{1,3})(?:[^a-z0-9]|$)`) // and not 1920x1080
	byDate   = regexp.MustCompile(`(?:^|\D)((?:19|20)\d\d)[ ._-](\d{1,2})[ ._-](\d{1,2})(?:\D|$)`)
	byNumber = regexp.MustCompile(`\s-\s(\d{1,4})(?:v\d)?(?:[^0-9a-zA-Z]|$)`)
)

// Episode returns which episode a title is of, such as 1x2, 2026-11-26 or 12; "" if it does not say.
func Episode(title string) string {
	if s, e, ok := seasonEpisode(title); ok {
		return fmt.Sprintf("%dx%d", s, e)
	}
	if d := byDate.FindStringSubmatch(title); d != nil {
		return fmt.Sprintf("%s-%02d-%02d", d[1], number(d[2]), number(d[3]))
	}
	if n := byNumber.FindStringSubmatch(title); n != nil {
		return strconv.Itoa(number(n[1]))
	}
	return ""
}

func seasonEpisode(title string) (season, episode int, ok bool) {
	m := bySeason.FindStringSubmatch(title)
	if m == nil {
		m = byCross.FindStringSubmatch(title)
	}
	if m == nil {
		return 0, 0, false
	}
	return number(m[1]), number(m[2]), true
}

// number reads at most four digits.
func number(s string) int { n, _ := strconv.Atoi(s); return n }

// episodes is what an episode filter says.
type episodes struct {
	season int
	ranges [][2]int // from, to; to -1: without an end, later seasons too
}

var episodeFilter = regexp.MustCompile(`^(\d{1,4})x((?:\d{1,4}(?:-\d{0,4})?;)+)$`)

func parseEpisodes(text string) (*episodes, error) {
	text = strings.ReplaceAll(text, " ", "")
	if text == "" {
		return nil, nil
	}
	if len(text) > maxPattern {
		return nil, fmt.Errorf("feed: an episode filter of more than %d bytes: %w", maxPattern, kith.Invalid)
	}
	if !strings.HasSuffix(text, ";") {
		text += ";"
	}
	m := episodeFilter.FindStringSubmatch(strings.ToLower(text))
	if m == nil {
		return nil, kith.Hint(fmt.Errorf("feed: episode filter %.60q: %w", text, kith.Invalid), "want a season, x, and numbers or ranges: 1x2;8-15;30-;")
	}
	e := &episodes{season: number(m[1])}
	for part := range strings.SplitSeq(strings.TrimSuffix(m[2], ";"), ";") {
		from, to, isRange := strings.Cut(part, "-")
		r := [2]int{number(from), number(from)}
		switch {
		case isRange && to == "":
			r[1] = -1
		case isRange:
			r[1] = number(to)
		}
		if r[1] >= 0 && cmp.Less(r[1], r[0]) {
			return nil, fmt.Errorf("feed: episodes %d to %d are none: %w", r[0], r[1], kith.Invalid)
		}
		e.ranges = append(e.ranges, r)
	}
	return e, nil
}

func (e *episodes) match(title string) bool {
	s, n, ok := seasonEpisode(title)
	if !ok {
		return false
	}
	for _, r := range e.ranges {
		switch {
		case s == e.season && n >= r[0] && (n <= r[1] || r[1] < 0), s > e.season && r[1] < 0:
			return true
		}
	}
	return false
}
