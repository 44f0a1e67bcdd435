package fact

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestString(t *testing.T) {
	for want, f := range map[string]Facts{
		"":                                   {},
		"4:33 · FLAC · 1959":                 {Length: 273, Format: "FLAC", Year: 1959},
		"1920×1080 · 1 h 52 min":             {Width: 1920, Height: 1080, Length: 6720},
		"12 pages":                           {Pages: 12},
		"1 page":                             {Pages: 1},
		"Anna – A Book · PDF":                {Artist: "Anna", Title: "A Book", Album: "A Book", Format: "PDF"},
		"120×80 · JPEG · 2023-07-14 · X-T5":  {Width: 120, Height: 80, Format: "JPEG", Taken: "2023-07-14", Year: 2023, Camera: "X-T5"},
		"Miles Davis · Kind of Blue · 59:59": {Artist: "Miles Davis", Album: "Kind of Blue", Length: 3599},
	} {
		if got := f.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestResolution(t *testing.T) {
	for _, c := range [][3]int{{0, 0, 0}, {100, 100, 0}, {640, 480, 480}, {640, 360, 360}, {1280, 720, 720}, {1920, 1080, 1080}, {1920, 800, 1080}, {1080, 1920, 1080}, {1916, 1076, 1080},
		{3840, 2160, 2160}, {4096, 2160, 2160}, {7680, 4320, 4320}, {4000, 3000, 2160}} {
		if got := (Facts{Width: c[0], Height: c[1]}).Resolution(); got != c[2] {
			t.Errorf("%d×%d is %d, want %d", c[0], c[1], got, c[2])
		}
	}
}

// What bytes are counts more than what a name says, but where they may be many things; and not every other name is a lie.
func TestDecide(t *testing.T) {
	for _, c := range []struct {
		kind, format, named, decided string
		lie                          bool
	}{
		{"", "", "audio", "audio", false},
		{"program", "ELF", "audio", "program", true},
		{"program", "ELF", "other", "program", false},
		{"program", "Windows", "archive", "program", true},
		{"audio", "M4A", "video", "audio", false},
		{"audio", "MP3", "image", "audio", true},
		{"image", "WebP", "video", "image", false},
		{"image", "JPEG", "audio", "image", true},
		{"video", "MP4", "text", "video", true},
		{"archive", "ZIP", "text", "text", false},
		{"archive", "ZIP", "program", "program", false},
		{"archive", "RAR", "video", "archive", true},
		{"archive", "ZIP", "other", "archive", false},
		{"text", Plain, "program", "program", false},
		{"text", Plain, "other", "text", false},
		{"text", "PDF", "audio", "text", true},
	} {
		f := Facts{Kind: c.kind, Format: c.format}
		if got := f.Decide(c.named); got != c.decided || f.Denies(c.named) != c.lie {
			t.Errorf("%s %s, called %s: %s, %v", c.kind, c.format, c.named, got, f.Denies(c.named))
		}
	}
}

func TestJoin(t *testing.T) {
	a := Facts{Kind: "audio", Format: "FLAC", Title: "So What", Artist: "Miles Davis", Album: "Kind of Blue", Year: 1959, Length: 562}
	b := a
	b.Title, b.Length = "Blue in Green", 337
	cover := Facts{Kind: "image", Format: "JPEG", Width: 500, Height: 500}
	want := Facts{Kind: "audio", Format: "FLAC", Artist: "Miles Davis", Album: "Kind of Blue", Year: 1959, Length: 899, Words: "So What Miles Davis Blue in Green"}
	if got := Join([]Facts{a, b, cover}); got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	b.Artist, b.Length, b.Year = "Bill Evans", 0, 1961
	if got := Join([]Facts{a, b}); got.Artist != "" || got.Length != 0 || got.Year != 0 || got.Album != "Kind of Blue" || !strings.Contains(got.Words, "Bill Evans") {
		t.Errorf("%+v", got)
	}
	if got := Join([]Facts{{}, {}}); got != (Facts{}) {
		t.Errorf("of nothing: %+v", got)
	}
}

func FuzzClean(f *testing.F) {
	f.Add("So What", "a\u202eb\x1b[2J\n", "2023-07-14", 1959, -1)
	f.Add(strings.Repeat("日", 300), "\xff\xfe", "2023-02-31", 1<<40, 1<<21)
	f.Fuzz(func(t *testing.T, a, b, taken string, n, m int) {
		got := Clean(Facts{Kind: a, Format: b, Title: b, Artist: a, Album: b, Genre: a, Camera: b, Words: a + b, Taken: taken, Year: n, Length: m, Width: n, Height: m, Pages: m})
		if Clean(got) != got {
			t.Fatalf("clean is not clean: %+v, %+v", got, Clean(got))
		}
		if p := got.Public(); Clean(p) != p || p.Public() != p || p.Camera != "" || p.Taken != "" {
			t.Fatalf("%+v", p)
		}
		for _, s := range []string{got.Title, got.Words, got.Format} {
			if !utf8.ValidString(s) || strings.ContainsAny(s, "\n\x1b\u202e") || len(s) > MaxWords {
				t.Fatalf("%q", s)
			}
		}
		if got.Year < 0 || got.Width < 0 || got.Pages > maxPages || (got.Width == 0) != (got.Height == 0) {
			t.Fatalf("%+v", got)
		}
	})
}
