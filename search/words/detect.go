package words

import (
	"strings"
	"unicode"
)

// detectText is how many bytes of a text are looked at to tell its language.
const detectText = 1 << 10

// scripts in the order in which they decide: kana and Hangul stand among Han signs.
var scripts = []struct {
	table *unicode.RangeTable
	lang  string
}{
	{unicode.Hiragana, "ja"}, {unicode.Katakana, "ja"}, {unicode.Hangul, "ko"}, {unicode.Han, "zh"}, {unicode.Cyrillic, "ru"}, {unicode.Arabic, "ar"}, {unicode.Greek, "el"},
	{unicode.Hebrew, "he"}, {unicode.Thai, "th"}, {unicode.Tamil, "ta"}, {unicode.Devanagari, "hi"}, {unicode.Armenian, "hy"}, {unicode.Georgian, "ka"},
}

// telling are words and letters that stand in one language often and in the others seldom. The first that has the most of a text's wins.
var telling = []struct{ lang, words, letters string }{
	{"en", "the of and to in for with is on from by this that", ""},
	{"de", "der die das und ist nicht ein eine mit von im zu auf den dem für", "ßäöü"},
	{"fr", "le les des et est une du dans pour sur avec au que qui", "èêçœàù"},
	{"es", "el los las y una por con para del que en es", "ñ¿¡"},
	{"it", "il lo gli della di che per non una con sono e", "òì"},
	{"pt", "o os da do dos das em um uma não com para que", "ãõ"},
	{"nl", "het een van en voor niet met op zijn dat de", "ĳ"},
	{"sv", "och att det som en ett är för inte med på av", "å"},
	{"da", "og det er ikke til af på med en et jeg", "øæ"},
	{"fi", "ja on ei se että oli hän mutta kun niin", ""},
	{"hu", "az és hogy nem egy is meg", "őű"},
	{"ro", "și în cu pe nu este din la un", "ășțţş"},
	{"tr", "ve bir bu için ile da de mi", "ğıİ"},
}

// tells has for each telling word the indexes of its languages.
var tells = func() map[string][]int {
	m := map[string][]int{}
	for i, t := range telling {
		for _, w := range strings.Fields(t.words) {
			m[w] = append(m[w], i)
		}
	}
	return m
}()

// Detect guesses the language of a text, as its ISO 639-1 code: by its script, and among languages of Latin letters by their commonest words and letters. It is a guess from
// little, since names are short: English where nothing tells, and "" of a text without letters or in a script or language that it does not know.
func Detect(text string) string {
	if len(text) > detectText {
		text = text[:detectText]
	}
	if !ascii(text) {
		if s := script(text); s != unicode.Latin {
			return scriptLang(s, text)
		}
	}
	var score [16]int
	low, letters := strings.ToLower(text), false
	for field := range strings.FieldsFuncSeq(low, func(r rune) bool { return !unicode.IsLetter(r) }) {
		letters = true
		for _, i := range tells[field] {
			score[i]++
		}
	}
	if !letters {
		return ""
	}
	if !ascii(low) {
		for i, t := range telling {
			for _, r := range t.letters {
				score[i] += 2 * strings.Count(low, string(r))
			}
		}
	}
	best := 0
	for i := range telling {
		if score[i] > score[best] {
			best = i
		}
	}
	return telling[best].lang
}

// scriptLang returns the language of a text in a script of its own.
func scriptLang(s *unicode.RangeTable, text string) string {
	switch {
	case s == unicode.Cyrillic && strings.ContainsAny(text, "іїєґІЇЄҐўЎјљњћђџЈЉЊЋЂЏ"): // Ukrainian, Belarusian, Serbian, Macedonian
		return ""
	case s == unicode.Arabic && strings.ContainsAny(text, "پچژگ"): // Persian, Urdu
		return ""
	}
	for _, x := range scripts {
		if x.table == s {
			return x.lang
		}
	}
	return ""
}

// script returns the script of a text: Latin unless another has more letters, and kana or Hangul before Han where there are any; nil if there is no letter.
func script(text string) *unicode.RangeTable {
	var count [16]int
	latin := 0
	for _, r := range text {
		if letter(r) && unicode.Is(unicode.Latin, r) {
			latin++
			continue
		}
		for i, s := range scripts {
			if unicode.Is(s.table, r) {
				count[i]++
				break
			}
		}
	}
	sum, first, best := 0, -1, 0
	for i := range scripts {
		if i < 4 && count[i] > 0 { // those of East Asia are mixed with each other
			sum += count[i]
			if first < 0 {
				first = i
			}
		}
		if count[i] > count[best] {
			best = i
		}
	}
	if sum > 0 && sum >= count[best] {
		best = first
		count[best] = sum
	}
	switch {
	case count[best] > latin, count[best] > 0 && best < 4 && 3*count[best] > latin:
		return scripts[best].table
	case latin > 0:
		return unicode.Latin
	}
	return nil
}
