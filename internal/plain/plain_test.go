package plain

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"film.mkv":              "film.mkv",
		"Ünïcødé 名前 שלום مرحبا": "Ünïcødé 名前 שלום مرحبا", // letters of any direction are letters
		"می\u200cخواهم":         "می\u200cخواهم",         // with the joiner that Persian needs
		"👩‍👩‍👧 🇩🇪":              "👩‍👩‍👧 🇩🇪",
		"a\x1b[2Jb":             "a\ufffd[2Jb",            // clears the screen
		"a\x1b]0;title\ab":      "a\ufffd]0;title\ufffdb", // sets the window's title
		"a\u009b2Jb":            "a\ufffd2Jb",             // the same, in one character of C1
		"a\r\nb\tc\x00\x7f":     "a\ufffd\ufffdb\ufffdc\ufffd\ufffd",
		"photo\u202egpj.exe":    "photo\ufffdgpj.exe", // turns what follows around
		"a\u2066b\u2069\u200e":  "a\ufffdb\ufffd\ufffd",
		"a\u2028b\u2029":        "a\ufffdb\ufffd",
		"a\u200bb\ufeff\u00ad":  "a\ufffdb\ufffd\ufffd", // seen by nobody
		"\xff\xc3(":             "\ufffd\ufffd(",
		"\U000e0041":            "\ufffd", // tag characters
		"\ue000":                "\ufffd", // private use: a terminal's own symbols
	} {
		if got := Text(in); got != want {
			t.Errorf("Text(%q) = %q, want %q", in, got, want)
		}
	}
	if got, want := Lines("a\n\tb\r\x1b"), "a\n\tb\ufffd\ufffd"; got != want {
		t.Errorf("Lines = %q, want %q", got, want)
	}
	// Marks piled on one letter would cover the lines around.
	if got := Text("z" + strings.Repeat("\u0335", 1000) + "y"); utf8.RuneCountInString(got) > maxMarks+2 || !strings.HasSuffix(got, "y") {
		t.Errorf("%d characters are left of a pile of marks", utf8.RuneCountInString(got))
	}
}

func TestFit(t *testing.T) {
	for _, tt := range []struct {
		in    string
		width int
		want  string
	}{
		{"film.mkv", 8, "film.mkv"},
		{"festival of film.mkv", 10, "festi….mkv"},
		{"名前名前名前", 6, "名…前"},
		{"abc", 1, "…"},
		{"abc", 0, ""},
		{"abc", -3, ""},
		{"a\nb", 3, "a\ufffdb"},
	} {
		if got := Fit(tt.in, tt.width); got != tt.want {
			t.Errorf("Fit(%q, %d) = %q, want %q", tt.in, tt.width, got, tt.want)
		}
	}
}

// FuzzText: nothing that a terminal obeys comes through, cleaning twice is cleaning once, and what must fit does.
func FuzzText(f *testing.F) {
	for _, s := range []string{"a", "a\x1b[2J", "\u202e", "👩‍👩‍👧", "名前", "\xff", "e\u0301\u0301"} {
		f.Add(s, 5)
	}
	f.Fuzz(func(t *testing.T, s string, width int) {
		got := Text(s)
		for _, r := range got {
			if r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
				t.Errorf("Text(%q) = %q has %U", s, got, r)
			}
		}
		if !utf8.ValidString(got) || Text(got) != got {
			t.Errorf("Text(%q) = %q, then %q", s, got, Text(got))
		}
		if fit := Fit(s, width); Width(fit) > max(0, width) || !utf8.ValidString(fit) {
			t.Errorf("Fit(%q, %d) = %q of %d columns", s, width, fit, Width(fit))
		}
	})
}
