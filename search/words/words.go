// Package words turns text into the terms under which a search index keeps it, and turns what somebody looks for into the same terms.
//
// Its one idea: what is written and what is typed go the same way, so that they meet whatever their case, accents, punctuation and script. It keeps nothing and
// knows no index. For a text it does, in this order:
//
//   - Unicode NFKC: full-width letters, half-width kana and ligatures become the ordinary ones (UAX 15).
//   - Words are runs of letters and digits; all else ends one, so dots, dashes and underscores of file names do. An apostrophe inside a word is left out.
//   - A word is split where a small letter meets a capital (MilesDavis: miles, davis; HTTPServer: http, server), where letters meet digits (S01E02, x264), and
//     where a script without spaces meets another. Its whole is a term too (milesdavis, s01e02), and its parts are unless they are single letters.
//   - Folding: lower case, no accents (ü u, é e, ñ n, ё е, ά α), ß ss, æ ae, œ oe, ø o, ł l, đ d, þ th, ı i, final ς σ; of Arabic the vowel signs, the hamza on a letter
//     and the tatweel go, ى is ي and ة is ه, and so are their Persian forms; digits of other scripts become 0 to 9. Marks of Indic scripts and of kana stay: they are letters.
//   - Chinese, Japanese, Korean, Thai, Lao, Khmer and Burmese, which do not part their words, become overlapping pairs (東京都: 東京, 京都), as in Lucene's CJKBigramFilter.
//     A single sign stays as it is.
//   - Stemming, by the Snowball stemmer of the text's language (see [Languages]), which sees the accents. The folded word and its folded stem are both terms. Of a text
//     in no language that is given, [Detect] guesses one.
//
// Simplified and traditional Chinese, hiragana and katakana, and ue for ü are not brought together.
package words

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Version changes when the same text gives other terms, so that an index knows that it was made by other rules.
const Version = 1

// Limits.
const (
	MaxTerm = 64       // bytes of a term: the rest of a longer one is left out
	MaxText = 64 << 10 // bytes of a text: the rest of a longer one is left out
)

// A Word is one run of letters and digits.
type Word struct {
	Text  string   // as it was written, in NFKC
	Whole string   // folded
	Parts []string // folded, in their order: what it was split into, or its pairs; it alone if it was not split
	Pairs bool     // that Parts overlap, of a script without spaces; then Whole is no term
	raw   []string // of each part, in lower case with its accents: what a stemmer reads; nil if Pairs
}

// Split returns the words of text in their order.
func Split(text string) []Word {
	var words []Word
	each(text, func(run string) bool {
		words = append(words, cut(run)...)
		return true
	})
	return words
}

// Terms appends to dst the terms of text in their order, each once, at most n of them. lang is an ISO 639-1 code, or "" to guess.
func Terms(dst []string, text, lang string, n int) []string {
	return new(Memo).Terms(dst, text, lang, n)
}

// A Memo remembers the terms of words, for who has many texts in which the same words stand. It is not for two at once. The zero Memo is ready.
type Memo struct {
	terms map[string]map[string][]string // by language and run
	size  int
}

// maxMemo is how many words a Memo remembers. It then begins anew.
const maxMemo = 50_000

// Terms is the function Terms.
func (m *Memo) Terms(dst []string, text, lang string, n int) []string {
	if lang == "" {
		lang = Detect(text)
	}
	from := len(dst)
	each(text, func(run string) bool {
		for _, term := range m.run(run, lang) {
			if len(dst)-from >= n {
				return false
			}
			if !slices.Contains(dst[from:], term) {
				dst = append(dst, term)
			}
		}
		return true
	})
	return dst
}

// run returns the terms of one run.
func (m *Memo) run(run, lang string) []string {
	terms, known := m.terms[lang][run]
	if known {
		return terms
	}
	for _, w := range cut(run) {
		terms = w.terms(terms, lang)
	}
	if m.terms[lang] == nil || m.size >= maxMemo {
		if m.size >= maxMemo || m.terms == nil {
			m.terms, m.size = map[string]map[string][]string{}, 0
		}
		m.terms[lang] = map[string][]string{}
	}
	m.terms[lang][strings.Clone(run)] = terms
	m.size++
	return terms
}

// terms appends the terms of w, perhaps some twice.
func (w Word) terms(dst []string, lang string) []string {
	if w.Pairs {
		return append(dst, w.Parts...)
	}
	if len(w.Parts) > 1 {
		dst = append(dst, w.Whole)
	}
	for i, p := range w.Parts {
		if len(w.Parts) > 1 && single(p) && !digit(p) {
			continue
		}
		dst = append(dst, p)
		if stem := stemmed(stemmers[lang], w.raw[i]); stem != "" && stem != p {
			dst = append(dst, stem)
		}
	}
	return dst
}

// Sequence returns the folded parts of text in their order, with single letters and without stems or wholes: what a phrase is compared with.
func Sequence(text string) []string {
	var parts []string
	for _, w := range Split(text) {
		parts = append(parts, w.Parts...)
	}
	return parts
}

// A Need is one word that somebody looks for.
type Need struct {
	Text string     // the word as it was typed
	Any  [][]string // what satisfies it: all the terms of any of these. The first is what was typed, the others are its parts and its stems
}

// Needs returns what a text has to have to answer what was typed. lang is that of the texts that are looked for, or "" for any: then the stems of the commonest
// languages of the word's script are looked for.
func Needs(typed, lang string) []Need {
	var needs []Need
	for _, w := range Split(typed) {
		need := Need{Text: w.Text}
		if !w.Pairs {
			need.Any = append(need.Any, []string{w.Whole})
		}
		if w.Pairs || len(w.Parts) > 1 {
			need.Any = append(need.Any, w.Parts)
		} else {
			for _, stem := range stems(w.raw[0], lang) {
				need.Any = append(need.Any, []string{stem})
			}
		}
		needs = append(needs, need)
	}
	return needs
}

// Fold returns text in NFKC, in lower case and without accents, with its punctuation and spaces: what two names are compared by.
func Fold(text string) string { return fold(norm.NFKC.String(strings.ToValidUTF8(text, ""))) }

// each calls do with every run of letters and digits of text, in NFKC, until it returns false.
func each(text string, do func(run string) bool) {
	if len(text) > MaxText {
		text = text[:MaxText]
	}
	if !ascii(text) {
		text = norm.NFKC.String(strings.ToValidUTF8(text, " "))
	}
	start := -1
	for i, r := range text {
		switch {
		case letter(r) || unicode.IsDigit(r) || start >= 0 && (unicode.Is(unicode.M, r) || r == 'ـ'):
			if start < 0 {
				start = i
			}
		case start >= 0 && (r == '\'' || r == '’') && followed(text[i+utf8.RuneLen(r):]):
		case start >= 0:
			if !do(text[start:i]) {
				return
			}
			start = -1
		}
	}
	if start >= 0 {
		do(text[start:])
	}
}

func followed(rest string) bool {
	r, _ := utf8.DecodeRuneInString(rest)
	return letter(r)
}

func letter(r rune) bool {
	return r < utf8.RuneSelf && (r|0x20) >= 'a' && (r|0x20) <= 'z' || r >= utf8.RuneSelf && unicode.IsLetter(r)
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func single(s string) bool { return utf8.RuneCountInString(s) == 1 }
func digit(s string) bool  { return s[0] >= '0' && s[0] <= '9' }

// The kinds of signs between which a word is split.
const (
	small = iota
	capital
	number
	unspaced // of a script that does not part its words
)

func kind(r rune) int {
	switch {
	case r < utf8.RuneSelf && r >= '0' && r <= '9' || r >= utf8.RuneSelf && unicode.IsDigit(r):
		return number
	case r >= 0x0e00 && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar), r == 'ー':
		return unspaced
	case unicode.IsUpper(r):
		return capital
	}
	return small
}

// cut makes a run into words: one, or several where a script without spaces meets another.
func cut(run string) []Word {
	var words []Word
	add := func(w Word) {
		if len(w.Parts) > 0 { // else it was nothing but marks
			words = append(words, w)
		}
	}
	var pieces []string // of the word at hand
	end := func(upTo string) {
		add(spaced(upTo, pieces))
		pieces = nil
	}
	begin, start, prev, last := 0, 0, -1, 0 // of the word, of the piece; the kind of the sign before, and where that sign is
	flush := func(to int) {
		if to > start {
			if prev == unspaced {
				add(paired(run[start:to]))
				begin = to
			} else {
				pieces = append(pieces, run[start:to])
			}
		}
		start = to
	}
	for i, r := range run {
		if unicode.Is(unicode.M, r) || r == '\'' || r == '’' || r == 'ـ' {
			continue // belongs to the sign before
		}
		k := kind(r)
		switch {
		case prev < 0:
		case k == unspaced && prev != unspaced:
			flush(i)
			end(run[begin:i])
			begin = i
		case prev == unspaced && k != unspaced, (k == number) != (prev == number), prev == small && k == capital:
			flush(i)
		case prev == capital && k == small && last > start: // the capital before begins a word: HTTPServer
			flush(last)
		}
		prev, last = k, i
	}
	flush(len(run))
	end(run[begin:])
	return words
}

// spaced returns the word of a run that was split into pieces.
func spaced(run string, pieces []string) Word {
	w := Word{Text: run, Whole: clip(fold(run)), Parts: make([]string, 0, len(pieces)), raw: make([]string, 0, len(pieces))}
	for _, p := range pieces {
		low := lower(p)
		folded := clip(fold(low))
		if folded == "" {
			continue
		}
		w.Parts, w.raw = append(w.Parts, folded), append(w.raw, low)
	}
	return w
}

// paired returns the word of a run of a script without spaces.
func paired(run string) Word {
	folded := fold(run)
	w := Word{Text: run, Whole: clip(folded), Pairs: true}
	var before string
	for _, sign := range signs(folded) {
		if before != "" {
			w.Parts = append(w.Parts, before+sign)
		}
		before = sign
	}
	if len(w.Parts) == 0 && before != "" {
		w.Parts = []string{before}
	}
	return w
}

// signs returns the letters of s, each with its marks.
func signs(s string) []string {
	var out []string
	start := 0
	for i, r := range s {
		if i > start && !unicode.Is(unicode.M, r) || i-start > MaxTerm/2-utf8.UTFMax {
			out = append(out, s[start:i])
			start = i
		}
	}
	return append(out, s[start:])
}

func clip(s string) string {
	if len(s) <= MaxTerm {
		return s
	}
	n := MaxTerm
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\'' || r == '’' || r == 'ـ' {
			return -1
		}
		return unicode.ToLower(r)
	}, s)
}
