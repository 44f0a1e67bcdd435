// Package plain makes text that came from peers safe to show on a terminal.
//
// A name may hold escape sequences that move the cursor, set the window's title or answer for the person, and letters that turn the
// direction of what follows. None of that is shown; every letter that people write with is.
package plain

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// Text returns s on one line, with every control character, escape, line break, direction mark and broken byte shown as U+FFFD, and with
// no more than maxMarks marks on one letter.
func Text(s string) string { return clean(s, false) }

// Lines is Text, but keeps line feeds and tabs.
func Lines(s string) string { return clean(s, true) }

func clean(s string, lines bool) string {
	marks := 0
	return strings.Map(func(r rune) rune {
		if !unicode.Is(unicode.M, r) {
			marks = 0
		} else if marks++; marks > maxMarks {
			return -1
		}
		if unsafe(r, lines) {
			return utf8.RuneError
		}
		return r
	}, s)
}

// maxMarks is how many combining marks may stand on one letter; no script needs more, and more cover the lines around.
const maxMarks = 6

func unsafe(r rune, lines bool) bool {
	switch {
	case r == '\n' || r == '\t':
		return !lines
	case r == 0x200c || r == 0x200d: // joiners: Persian, Indic scripts and emoji need them
		return false
	}
	return r == utf8.RuneError || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs, unicode.Zl, unicode.Zp)
}

// Width returns how many columns of a terminal s takes.
func Width(s string) int { return uniseg.StringWidth(s) }

// Fit returns Text of s in at most width columns, with … in place of what is left out of its middle, so that the ending of a file name
// is seen.
func Fit(s string, width int) string {
	s = Text(s)
	if Width(s) <= width {
		return s
	}
	if width < 1 {
		return ""
	}
	tail := take(reverse(s), (width-1)/2)
	head := take(s, width-1-Width(tail))
	return head + "…" + reverse(tail)
}

// take returns the longest beginning of s that fits in width columns.
func take(s string, width int) string {
	end, state := 0, -1
	for rest := s; rest != ""; {
		var cluster string
		var w int
		cluster, rest, w, state = uniseg.FirstGraphemeClusterInString(rest, state)
		if width -= w; width < 0 {
			break
		}
		end += len(cluster)
	}
	return s[:end]
}

func reverse(s string) string { return uniseg.ReverseString(s) }
