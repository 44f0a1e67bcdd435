package cli

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"kith/app"
)

// A screen is a terminal of so many columns and rows, as far as is needed here.
type screen struct {
	columns, rows int
	lines         []string
	x, y          int // y from the first line that was ever there
}

func (s *screen) Write(data []byte) (int, error) {
	for text := string(data); text != ""; {
		switch {
		case strings.HasPrefix(text, "\x1b["):
			n, end := 0, strings.IndexAny(text, "AJK")
			fmt.Sscanf(text[2:end], "%d", &n)
			switch text[end] {
			case 'A':
				s.y = max(s.y-n, len(s.lines)-s.rows, 0) // what has left the screen is out of reach
			case 'J':
				s.lines = append(s.lines[:min(s.y, len(s.lines))], string([]rune(s.line())[:s.x]))
			case 'K':
				s.set(string([]rune(s.line())[:s.x]))
			}
			text = text[end+1:]
			continue
		case text[0] == '\r':
			s.x = 0
		case text[0] == '\n':
			s.x, s.y = 0, s.y+1
			s.line()
		default:
			if s.x == s.columns {
				s.x, s.y = 0, s.y+1
			}
			line := []rune(s.line())
			r, size := utf8.DecodeRuneInString(text)
			s.set(string(line[:s.x]) + string(r) + string(line[min(len(line), s.x+1):]))
			s.x++
			text = text[size-1:]
		}
		text = text[1:]
	}
	return len(data), nil
}

func (s *screen) line() string {
	for len(s.lines) <= s.y {
		s.lines = append(s.lines, "")
	}
	return s.lines[s.y]
}

func (s *screen) set(line string) { s.line(); s.lines[s.y] = line }

// sees returns what stands on the terminal, and what has left it above.
func (s *screen) sees() string {
	var all string
	for _, line := range s.lines {
		all += strings.TrimRight(line, " ") + "\n"
	}
	return strings.TrimRight(all, "\n")
}

type said string

func (s said) WriteText(w io.Writer, _ int) error {
	_, err := io.WriteString(w, string(s))
	return err
}

// What a stream has so far stands where the last of it stood, never more than there is room for, with the bar below it; in the end it is gone.
func TestPreview(t *testing.T) {
	s := &screen{columns: 20, rows: 6}
	io.WriteString(s, "$ kith search\n")
	clock := time.Unix(0, 0)
	b := &bar{w: s, width: func() int { return s.columns }, now: func() time.Time { return clock }}
	p := &preview{w: s, size: func() (int, int) { return s.columns, s.rows }}
	for _, c := range []struct{ text, want string }{
		{"  1  one\n     more\n", "  1  one\n     more"},
		{"  1  one\n     more\n", "  1  one\n     more"},
		{"  1  two\n", "  1  two"},
		{"a\nb\nc\nd\ne\nf\n", "a\nb\nc\nd"},
		{"a line that is longer than the terminal\nb\n", "a line th… terminal\nb"},
	} {
		b.clear()
		b.drawn = time.Time{}
		if err := p.show(said(c.text)); err != nil {
			t.Fatal(err)
		}
		b.draw(app.Progress{Label: "asking others"})
		if got, want := s.sees(), "$ kith search\n"+c.want+"\nasking others"; got != want {
			t.Errorf("%q shows\n%s\nwant\n%s", c.text, got, want)
		}
	}
	b.clear()
	p.clear()
	io.WriteString(s, "all\nthere\nis\n")
	if got := s.sees(); got != "$ kith search\nall\nthere\nis" {
		t.Errorf("in the end\n%s", got)
	}
	p.clear()
	if got := s.sees(); got != "$ kith search\nall\nthere\nis" {
		t.Errorf("taken away twice\n%s", got)
	}
}

// Where there is no terminal nothing is shown.
func TestPreviewNowhere(t *testing.T) {
	var b strings.Builder
	p := newPreview(&b)
	if err := p.show(said("text\n")); err != nil {
		t.Fatal(err)
	}
	if p.clear(); b.Len() != 0 {
		t.Errorf("wrote %q", b.String())
	}
}
