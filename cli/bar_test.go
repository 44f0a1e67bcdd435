package cli

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"kith/app"
	"kith/internal/plain"
)

func TestBar(t *testing.T) {
	const MB = 1e6
	var out bytes.Buffer
	clock := time.Unix(0, 0)
	b := &bar{w: &out, width: func() int { return 120 }, now: func() time.Time { return clock }}
	step := func(after time.Duration, done int64) string {
		out.Reset()
		clock = clock.Add(after)
		b.draw(app.Progress{Label: "film.mkv", Done: done * MB, Total: 100 * MB, Note: "3 sources"})
		return out.String()
	}
	if got, want := step(0, 0), "\rfilm.mkv  ▕"+strings.Repeat("░", 24)+"▏  0 %  0 B of 100 MB  3 sources\x1b[K"; got != want {
		t.Errorf("first:\n got %q\nwant %q", got, want)
	}
	if got := step(50*time.Millisecond, 1); got != "" {
		t.Errorf("drawn again after 50 ms: %q", got)
	}
	if got, want := step(950*time.Millisecond, 25), "\rfilm.mkv  ▕██████░░░░░░░░░░░░░░░░░░▏ 25 %  25.0 MB of 100 MB  25.0 MB/s  3 s left  3 sources\x1b[K"; got != want {
		t.Errorf("after a second:\n got %q\nwant %q", got, want)
	}
	// The rate is that of the last seconds, not of all time.
	step(10*time.Second, 25)
	if got := step(time.Second, 26); !strings.Contains(got, "  90.9 kB/s  ") {
		t.Errorf("after a pause: %q", got)
	}
	out.Reset()
	b.clear()
	b.clear()
	if got := out.String(); got != "\r\x1b[K" {
		t.Errorf("clear wrote %q", got)
	}
}

// What is no terminal gets no drawing, but a line when nothing moves, and rarely another.
func TestNoTerminal(t *testing.T) {
	var out bytes.Buffer
	clock := time.Unix(0, 0)
	b := newBar(&out)
	b.now = func() time.Time { return clock }
	for at := range 100 {
		done := int64(0)
		if at >= 50 {
			done = int64(at)
		}
		clock = time.Unix(int64(at), 0)
		b.draw(app.Progress{Label: "film.mkv", Done: done, Total: 200, Note: fmt.Sprintf("no source found in %ds", at)})
	}
	b.clear()
	want := "kith: film.mkv: waiting: no source found in 3s\nkith: film.mkv: waiting: no source found in 33s\n"
	if got := out.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	out.Reset()
	b.draw(app.Progress{Label: "film.mkv", Done: 98, Note: "looking for sources"})
	clock = clock.Add(patient)
	b.draw(app.Progress{Label: "film.mkv", Done: 98, Note: "looking for sources"})
	if got := out.String(); got != "kith: film.mkv: looking for sources\n" {
		t.Errorf("what is done: %q", got)
	}
	out.Reset()
	b.draw(app.Progress{Done: 99, Note: "no source found"})
	clock = clock.Add(patient)
	b.draw(app.Progress{Done: 99, Note: "no source found"})
	if got := out.String(); got != "kith: waiting: no source found\n" {
		t.Errorf("without a name: %q", got)
	}
}

// However narrow the terminal and wild the texts, a line fits and holds no control character.
func TestLineFits(t *testing.T) {
	for _, p := range []app.Progress{
		{Label: "a\x1b[2J\n" + strings.Repeat("名", 200), Done: 1 << 40, Total: 1 << 41, Note: "waiting for \u202e3 sources" + strings.Repeat("x", 100)},
		{Label: "looking", Note: "no source yet, 3 min 20 s"},
		{Done: 7, Total: 3},
		{},
	} {
		for width := range 200 {
			got := line(p, 1<<30, width)
			if plain.Width(got) > width || strings.ContainsAny(got, "\x1b\n\r\u202e") {
				t.Errorf("width %d: %d columns: %q", width, plain.Width(got), got)
			}
		}
	}
}
