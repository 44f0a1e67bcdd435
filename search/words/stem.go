package words

import (
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	snowball "github.com/blevesearch/snowballstem"
	"github.com/blevesearch/snowballstem/arabic"
	"github.com/blevesearch/snowballstem/danish"
	"github.com/blevesearch/snowballstem/dutch"
	"github.com/blevesearch/snowballstem/english"
	"github.com/blevesearch/snowballstem/finnish"
	"github.com/blevesearch/snowballstem/french"
	"github.com/blevesearch/snowballstem/german"
	"github.com/blevesearch/snowballstem/hungarian"
	"github.com/blevesearch/snowballstem/irish"
	"github.com/blevesearch/snowballstem/italian"
	"github.com/blevesearch/snowballstem/norwegian"
	"github.com/blevesearch/snowballstem/portuguese"
	"github.com/blevesearch/snowballstem/romanian"
	"github.com/blevesearch/snowballstem/russian"
	"github.com/blevesearch/snowballstem/spanish"
	"github.com/blevesearch/snowballstem/swedish"
	"github.com/blevesearch/snowballstem/tamil"
	"github.com/blevesearch/snowballstem/turkish"
)

// Words of other lengths than these, in letters, have no stem: the shortest are their own, the longest are no words.
const (
	minStem = 3
	maxStem = 32
)

var stemmers = map[string]func(*snowball.Env) bool{
	"ar": arabic.Stem, "da": danish.Stem, "nl": dutch.Stem, "en": english.Stem, "fi": finnish.Stem, "fr": french.Stem, "de": german.Stem, "hu": hungarian.Stem,
	"ga": irish.Stem, "it": italian.Stem, "no": norwegian.Stem, "nb": norwegian.Stem, "nn": norwegian.Stem, "pt": portuguese.Stem, "ro": romanian.Stem, "ru": russian.Stem,
	"es": spanish.Stem, "sv": swedish.Stem, "ta": tamil.Stem, "tr": turkish.Stem,
}

// common are the languages whose stems are looked for when none is given, of Latin letters: more would find what was not meant.
var common = []string{"en", "de", "fr", "es", "it", "pt", "nl", "sv"}

// Languages returns the ISO 639-1 codes of the languages that are stemmed, sorted.
func Languages() []string { return slices.Sorted(maps.Keys(stemmers)) }

// stemmed returns the folded stem of a word in lower case, or "" if there is none.
func stemmed(stem func(*snowball.Env) bool, word string) (out string) {
	if n := utf8.RuneCountInString(word); stem == nil || n < minStem || n > maxStem || strings.IndexFunc(word, notLetter) >= 0 {
		return ""
	}
	defer func() { // the stemmers are made by a machine from the rules, and log.Panic where these do not fit
		if recover() != nil {
			out = ""
		}
	}()
	env := snowball.NewEnv(word)
	stem(env)
	return clip(fold(env.Current()))
}

func notLetter(r rune) bool { return !letter(r) && !unicode.Is(unicode.M, r) }

// stems returns the stems of a word that differ from its folded form, each once.
func stems(word, lang string) []string {
	langs := []string{lang}
	if lang == "" {
		switch script(word) {
		case unicode.Latin:
			langs = common
		case unicode.Cyrillic:
			langs = []string{"ru"}
		case unicode.Arabic:
			langs = []string{"ar"}
		case unicode.Tamil:
			langs = []string{"ta"}
		}
	}
	var out []string
	folded := clip(fold(word))
	for _, l := range langs {
		if s := stemmed(stemmers[l], word); s != "" && s != folded && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
