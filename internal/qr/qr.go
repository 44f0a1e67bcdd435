// Package qr draws QR codes for terminals and for the page.
package qr

import (
	"fmt"
	"os"
	"strings"

	"rsc.io/qr"

	"kith"
)

// quiet is the width of the light border that readers need (ISO/IEC 18004), in modules.
const quiet = 4

// Text returns text as a QR code for a terminal of width columns, two rows of modules to a line. It sets its own colours, so that it is
// dark on light whatever the terminal's are; with NO_COLOR in the environment it takes the terminal to be light on dark. Its error is
// TooLarge if it does not fit.
func Text(text string, width int) (string, error) {
	code, err := encode(text)
	if err != nil {
		return "", err
	}
	side := code.Size + 2*quiet
	if side > width {
		return "", fmt.Errorf("qr: %d columns wide, terminal has %d: %w", side, width, kith.TooLarge)
	}
	begin, end := "\x1b[97;40m", "\x1b[0m\n" // light modules are drawn, on dark
	if os.Getenv("NO_COLOR") != "" {
		begin, end = "", "\n"
	}
	light := func(x, y int) bool { return y < side && !code.Black(x-quiet, y-quiet) }
	var b strings.Builder
	for y := 0; y < side; y += 2 {
		b.WriteString(begin)
		for x := range side {
			switch top, bottom := light(x, y), light(x, y+1); {
			case top && bottom:
				b.WriteRune('█')
			case top:
				b.WriteRune('▀')
			case bottom:
				b.WriteRune('▄')
			default:
				b.WriteByte(' ')
			}
		}
		b.WriteString(end)
	}
	return b.String(), nil
}

// SVG returns text as a QR code that scales to any size, black on white.
func SVG(text string) (string, error) {
	code, err := encode(text)
	if err != nil {
		return "", err
	}
	side := code.Size + 2*quiet
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" shape-rendering="crispEdges">`, side, side)
	fmt.Fprintf(&b, `<path fill="#fff" d="M0 0h%dv%dH0z"/><path d="`, side, side)
	for y := range code.Size {
		for x := 0; x < code.Size; x++ {
			run := 0
			for code.Black(x+run, y) {
				run++
			}
			if run > 0 {
				fmt.Fprintf(&b, "M%d %dh%dv1h-%dz", x+quiet, y+quiet, run, run)
				x += run
			}
		}
	}
	b.WriteString(`"/></svg>`)
	return b.String(), nil
}

func encode(text string) (*qr.Code, error) {
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return nil, fmt.Errorf("qr: encode %d bytes: %w: %w", len(text), err, kith.TooLarge)
	}
	return code, nil
}
