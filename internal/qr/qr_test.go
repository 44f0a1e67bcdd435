package qr

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"rsc.io/qr"

	"kith"
	"kith/internal/plain"
)

const link = "kith:bafkr4iabaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// What is drawn is the code, module by module, with its border.
func TestText(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	got, err := Text(link, 80)
	if err != nil {
		t.Fatal(err)
	}
	code, err := qr.Encode(link, qr.L)
	if err != nil {
		t.Fatal(err)
	}
	side := code.Size + 2*quiet
	lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
	if len(lines) != (side+1)/2 {
		t.Fatalf("%d lines for %d rows of modules", len(lines), side)
	}
	for i, line := range lines {
		line, ok := strings.CutPrefix(line, "\x1b[97;40m")
		line, ok2 := strings.CutSuffix(line, "\x1b[0m")
		if !ok || !ok2 || plain.Width(line) != side {
			t.Fatalf("line %d: %q", i, line)
		}
		for x, r := range []rune(line) {
			top := r == '█' || r == '▀'
			bottom := r == '█' || r == '▄'
			if top == code.Black(x-quiet, 2*i-quiet) || 2*i+1 < side && bottom == code.Black(x-quiet, 2*i+1-quiet) {
				t.Fatalf("module %d,%d is wrong", x, 2*i)
			}
		}
	}
	t.Setenv("NO_COLOR", "1")
	if got, err := Text(link, 80); err != nil || strings.Contains(got, "\x1b") {
		t.Errorf("NO_COLOR: %q, %v", got, err)
	}
	if _, err := Text(link, side); err != nil {
		t.Errorf("a terminal just wide enough: %v", err)
	}
	if _, err := Text(link, side-1); !errors.Is(err, kith.TooLarge) {
		t.Errorf("a terminal too narrow: %v", err)
	}
	if _, err := Text(strings.Repeat("x", 3000), 1<<20); !errors.Is(err, kith.TooLarge) {
		t.Errorf("too much text: %v", err)
	}
	// The longest short link fits on a common terminal.
	if _, err := Text(strings.Repeat("x", kith.MaxShortLen), 80); err != nil {
		t.Errorf("230 characters in 80 columns: %v", err)
	}
}

func TestSVG(t *testing.T) {
	got, err := SVG(link)
	if err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(strings.NewReader(got))
	for {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("SVG is not XML: %v", err)
		}
	}
	code, err := qr.Encode(link, qr.L)
	if err != nil {
		t.Fatal(err)
	}
	black := 0
	for y := range code.Size {
		for x := range code.Size {
			if code.Black(x, y) {
				black++
			}
		}
	}
	drawn := 0
	_, path, _ := strings.Cut(got, `"/><path d="`)
	for _, run := range strings.Split(strings.TrimSuffix(path, `z"/></svg>`), "z") {
		var x, y, n, back int
		if _, err := fmt.Sscanf(run, "M%d %dh%dv1h-%d", &x, &y, &n, &back); err != nil || n != back {
			t.Fatalf("run %q: %v", run, err)
		}
		for i := range n {
			if !code.Black(x+i-quiet, y-quiet) {
				t.Errorf("module %d,%d is drawn", x+i, y)
			}
			drawn++
		}
	}
	if drawn != black {
		t.Errorf("%d modules drawn, %d are black", drawn, black)
	}
}
