package words

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// letters that Unicode does not take apart, and those that people write for each other.
var letters = map[rune]string{
	'ß': "ss", 'æ': "ae", 'œ': "oe", 'ø': "o", 'ł': "l", 'đ': "d", 'ð': "d", 'þ': "th", 'ħ': "h", 'ı': "i", 'ŋ': "n", 'ς': "σ",
	'ى': "ي", 'ی': "ي", 'ة': "ه", 'ک': "ك", 'ـ': "", '\'': "", '’': "",
}

// fold returns s, which is in NFKC, in lower case and without accents.
func fold(s string) string {
	if ascii(s) {
		return strings.ReplaceAll(strings.ToLower(s), "'", "")
	}
	var b strings.Builder
	for _, r := range norm.NFKD.String(s) {
		r = unicode.ToLower(r)
		switch to, special := letters[r]; {
		case special:
			b.WriteString(to)
		case accent(r):
		case r >= utf8.RuneSelf && unicode.IsDigit(r):
			b.WriteByte(value(r))
		default:
			b.WriteRune(r)
		}
	}
	return norm.NFC.String(b.String())
}

// accent reports whether r is a mark that readers leave out. Marks of one script only are letters of it, but for the vowel signs of Arabic and Hebrew; so are the
// two marks of kana.
func accent(r rune) bool {
	return r >= 0x300 && r != '\u3099' && r != '\u309a' && unicode.Is(unicode.M, r) && unicode.In(r, unicode.Inherited, unicode.Arabic, unicode.Hebrew, unicode.Cyrillic, unicode.Greek)
}

// value returns a decimal digit of any script as one of ASCII: Unicode has them in blocks of ten, in their order.
func value(r rune) byte {
	n := 0
	for n < 9 && unicode.IsDigit(r-1) {
		r, n = r-1, n+1
	}
	return byte('0' + n)
}
