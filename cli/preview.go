package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"kith/app"
	"kith/internal/plain"
)

// A preview shows on a terminal what a stream has so far, each time in the place of what it had before. Where there is no terminal it shows nothing.
type preview struct {
	w    io.Writer
	size func() (columns, rows int) // of the terminal; 0: none
	text string                     // that stands there …
	rows int                        // … on so many rows
}

func newPreview(w io.Writer) *preview {
	return &preview{w: w, size: func() (int, int) {
		columns := width(w)
		if columns == 0 {
			return 0, 0
		}
		if _, rows, err := term.GetSize(int(w.(*os.File).Fd())); err == nil && rows > 0 {
			return columns, rows
		}
		return columns, 24
	}}
}

// show shows t, as far as there is room: a line is cut to one row, and of the rows one is left for the bar.
func (p *preview) show(t app.Texter) error {
	columns, most := p.size()
	if columns == 0 {
		return nil
	}
	var b bytes.Buffer
	if err := t.WriteText(&b, columns); err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	lines = lines[:max(0, min(len(lines), most-2))]
	var text strings.Builder
	for _, line := range lines {
		fmt.Fprintf(&text, "%s\x1b[K\n", plain.Fit(line, columns-1))
	}
	if text.String() == p.text {
		return nil
	}
	_, err := io.WriteString(p.w, p.up()+text.String()+"\x1b[J")
	p.text, p.rows = text.String(), len(lines)
	return err
}

// clear takes away what is shown.
func (p *preview) clear() {
	if p.rows > 0 {
		io.WriteString(p.w, p.up()+"\x1b[J")
	}
	p.text, p.rows = "", 0
}

// up is what leads to the first row of what is shown.
func (p *preview) up() string {
	if p.rows == 0 {
		return "\r"
	}
	return fmt.Sprintf("\r\x1b[%dA", p.rows)
}
