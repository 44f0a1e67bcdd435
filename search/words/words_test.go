package words

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTerms(t *testing.T) {
	for _, c := range []struct{ text, lang, want string }{
		{"Miles.Davis_-_Kind.Of.Blue", "", "miles mile davis davi kind of blue"},
		{"MilesDavis", "", "milesdavis miles mile davis davi"},
		{"HTTPServer2go", "", "httpserver2go http server 2 go"},
		{"The.Show.S01E02.1080p.x264-GRP.mkv", "en", "the show s01e02 01 02 1080p 1080 x264 264 grp mkv"},
		{"iPhone's", "en", "iphones phones phone"},
		{"don’t", "en", "dont"},
		{"Die Häuser am Fluß", "de", "die hauser haus am fluss"},
		{"Les étés passés à Œuvres", "fr", "les le etes ete passes pass a oeuvres oeuvr"},
		{"Война и миръ, ещё книги", "ru", "воина воин и миръ еще книги книг"},
		{"東京都の天気", "", "東京 京都 都の の天 天気"},
		{"ジャズ ｼﾞｬｽﾞ", "", "ジャ ャズ"},
		{"Jazz入門2024年", "", "jazz 入門 2024 年"},
		{"北京大学", "", "北京 京大 大学"},
		{"한국어 음악", "", "한국 국어 음악"},
		{"الكِتَابُ أحمد مكتبة", "", "الكتاب كتاب احمد مكتبه مكتب"},
		{"ＦＵＬＬ ｗｉｄｔｈ ﬁne", "fr", "full width fine fin"},
		{"Ørsted Łódź straße İstanbul", "xx", "orsted lodz strasse istanbul"},
		{"Ελληνικός Ομάς", "", "ελληνικοσ ομασ"},
		{"١٩٥٩ १९५९ 1959", "", "1959"},
		{"हिन्दी संगीत", "", "हिन्दी संगीत"},
		{"ภาษาไทย", "", "ภา าษ ษา าไ ไท ทย"},
		{"🎷 -- !! ـ", "", ""},
		{"a\xff\xfeb", "", "a b"},
	} {
		if got := strings.Join(Terms(nil, c.text, c.lang, 100), " "); got != c.want {
			t.Errorf("Terms(%q, %q)\n got %q\nwant %q", c.text, c.lang, got, c.want)
		}
	}
}

func TestSequence(t *testing.T) {
	if got := strings.Join(Sequence("S01E02 Kind.of-Blue"), " "); got != "s 01 e 02 kind of blue" {
		t.Errorf("got %q", got)
	}
}

// TestNeedsMeetTerms: what people type finds what others have written.
func TestNeedsMeetTerms(t *testing.T) {
	for _, c := range []struct {
		typed, text, lang string
		want              bool
	}{
		{"milesdavis", "MilesDavis", "en", true},
		{"MilesDavis", "miles davis", "en", true},
		{"s01e02", "The.Show.S01E02.mkv", "en", true},
		{"S01 E02", "s01e02", "en", false},
		{"hauser", "Die Häuser", "de", true},
		{"Häuser", "Das Haus", "de", true},
		{"houses", "The House", "en", true},
		{"livres", "le livre", "fr", true},
		{"книга", "книги", "ru", true},
		{"東京都", "京都と東京都", "ja", true},
		{"東京都", "京都 東京", "ja", true}, // pairs do not know that they were neighbours
		{"大阪", "東京", "ja", false},
		{"كتاب", "الكتاب", "ar", true},
		{"x264", "film x.264", "en", true},
		{"jazz", "blues", "en", false},
	} {
		terms := Terms(nil, c.text, c.lang, 100)
		got := true
		for _, need := range Needs(c.typed, "") {
			got = got && slices.ContainsFunc(need.Any, func(all []string) bool {
				return !slices.ContainsFunc(all, func(term string) bool { return !slices.Contains(terms, term) })
			})
		}
		if got != c.want {
			t.Errorf("%q finds %q (%q): %v, want %v; needs %v", c.typed, c.text, terms, got, c.want, Needs(c.typed, ""))
		}
	}
}

func TestDetect(t *testing.T) {
	for text, want := range map[string]string{
		"Kind of Blue": "en", "Debian": "en", "Die Verwandlung und das Urteil": "de", "Überall": "de", "Le temps des cerises et la mer": "fr",
		"El amor en los tiempos": "es", "Il nome della rosa": "it", "Não me diga": "pt", "Het huis van de buren": "nl", "Att vara och inte vara": "sv", "Tündér és az őz": "hu",
		"Преступление и наказание": "ru", "Кобзар і пісні": "", "東京物語": "zh", "となりのトトロ": "ja", "기생충": "ko", "ألف ليلة وليلة": "ar", "تاریخ پارسی": "",
		"1959": "", "": "", "Ζορμπάς": "el", "Jazz 入門": "zh",
	} {
		if got := Detect(text); got != want {
			t.Errorf("Detect(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestLimits(t *testing.T) {
	if got := Terms(nil, strings.Repeat("abc ", 10)+"a b c d e", "en", 3); len(got) != 3 {
		t.Errorf("%d terms, want 3: %q", len(got), got)
	}
	for _, term := range Terms(nil, strings.Repeat("ö", 1000)+" "+strings.Repeat("東", 1000)+strings.Repeat("ก็็็็็็็็็็็็็็็็็็็็็็็็็็็", 9), "", 1<<20) {
		if len(term) > MaxTerm || !utf8.ValidString(term) {
			t.Errorf("term %q of %d bytes", term, len(term))
		}
	}
}

func FuzzTerms(f *testing.F) {
	for _, s := range []string{"Miles.Davis S01E02", "Die Häuser am Fluß", "東京都2024年Jazz", "الكِتَابُ", "ภาษาไทย", "a\xffb", "ͅ٠ a'b’c", "İıſK", "ـــ"} {
		for _, lang := range []string{"", "de", "ar", "tr"} {
			f.Add(s, lang)
		}
	}
	f.Fuzz(func(t *testing.T, text, lang string) {
		terms := Terms(nil, text, lang, 256)
		if len(terms) > 256 {
			t.Fatalf("%d terms", len(terms))
		}
		for _, term := range terms {
			if term == "" || len(term) > MaxTerm || !utf8.ValidString(term) || strings.ContainsAny(term, " \x00=\"'*") {
				t.Fatalf("term %q", term)
			}
		}
		words, parts := Split(text), 0
		for _, w := range words {
			if len(w.Parts) == 0 || slices.Contains(w.Parts, "") || !w.Pairs && w.Whole == "" {
				t.Fatalf("word %+v", w)
			}
			parts += len(w.Parts)
		}
		if parts > 2*MaxText {
			t.Fatalf("%d parts", parts)
		}
		if len(text) > 2<<10 {
			return
		}
		all := Terms(nil, text, lang, 1<<20)
		for _, need := range Needs(text, lang) { // what is typed as it was written finds it
			found := slices.ContainsFunc(need.Any, func(alt []string) bool {
				return !slices.ContainsFunc(alt, func(term string) bool { return !slices.Contains(all, term) })
			})
			if !found {
				t.Fatalf("%q does not find itself: need %q, terms %q", text, need, all)
			}
		}
	})
}

func BenchmarkTerms(b *testing.B) {
	for name, text := range map[string]string{"ascii": "Miles.Davis_-_Kind.Of.Blue.1959.FLAC.24bit libx264-dev_0.164.3095_amd64.deb", "latin": "Die Häuser am Fluß", "cjk": "東京都の天気予報"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				Terms(nil, text, "", 100)
			}
		})
	}
}
