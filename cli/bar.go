package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"kith/app"
	"kith/internal/human"
	"kith/internal/plain"
)

const (
	redraw  = 100 * time.Millisecond // between two drawings
	recent  = 5 * time.Second        // over which the rate is taken
	barSize = 24                     // columns
	patient = 3 * time.Second        // without a byte, before that is said where there is no terminal
	again   = 30 * time.Second       // before it is said again
)

// A bar shows the progress of one operation on one line of a terminal. Where there is none, it says now and then why nothing moves.
type bar struct {
	w       io.Writer
	width   func() int // columns; 0: no terminal
	now     func() time.Time
	drawn   time.Time
	shown   bool
	samples []sample // the last few seconds

	still int64     // where there is no terminal: what was done when something last moved
	speak time.Time // and when it is said that nothing moves
}

type sample struct {
	at   time.Time
	done int64
}

func newBar(w io.Writer) *bar {
	return &bar{w: w, width: func() int { return width(w) }, now: time.Now}
}

func (b *bar) draw(p app.Progress) {
	columns, now := b.width(), b.now()
	if columns == 0 {
		b.explain(now, p)
		return
	}
	rate := b.rate(now, p.Done)
	if now.Sub(b.drawn) < redraw {
		return
	}
	b.drawn, b.shown = now, true
	fmt.Fprintf(b.w, "\r%s\x1b[K", line(p, rate, columns-1))
}

// explain says why nothing has moved for a while.
func (b *bar) explain(now time.Time, p app.Progress) {
	switch {
	case b.speak.IsZero() || p.Done != b.still:
		b.still, b.speak = p.Done, now.Add(patient)
	case p.Note != "" && !now.Before(b.speak):
		b.speak = now.Add(again)
		note := plain.Text(p.Note)
		if !strings.HasPrefix(note, "looking for ") { // which says itself what is done
			note = "waiting: " + strings.TrimPrefix(note, "waiting ")
		}
		fmt.Fprintf(b.w, "kith: %s\n", strings.TrimPrefix(plain.Text(p.Label)+": "+note, ": "))
	}
}

// rate returns bytes a second over the recent past; -1 while it is not known.
func (b *bar) rate(now time.Time, done int64) float64 {
	if n := len(b.samples); n > 0 && done < b.samples[n-1].done {
		b.samples = nil // another file
	}
	b.samples = append(b.samples, sample{now, done})
	for len(b.samples) > 2 && now.Sub(b.samples[1].at) >= recent {
		b.samples = b.samples[1:]
	}
	first := b.samples[0]
	if d := now.Sub(first.at); d >= redraw {
		return float64(done-first.done) / d.Seconds()
	}
	return -1
}

// clear takes the bar away.
func (b *bar) clear() {
	if b.shown {
		fmt.Fprint(b.w, "\r\x1b[K")
		b.shown = false
	}
}

// line returns the bar's text in at most width columns; where there is no room for all, the drawing goes first, then the note.
func line(p app.Progress, rate float64, width int) string {
	var facts []string
	if p.Total > 0 {
		facts = append(facts, fmt.Sprintf("%s of %s", human.Bytes(p.Done), human.Bytes(p.Total)))
	} else if p.Done > 0 {
		facts = append(facts, human.Bytes(p.Done))
	}
	if rate >= 0 && p.Done > 0 && p.Done != p.Total {
		facts = append(facts, human.Rate(rate))
		if p.Total > p.Done && rate > 0 {
			facts = append(facts, human.Seconds(float64(p.Total-p.Done)/rate)+" left")
		}
	}
	text := strings.Join(facts, "  ")
	if note := plain.Text(p.Note); note != "" && plain.Width(text)+plain.Width(note)+4 < width {
		text = strings.TrimPrefix(text+"  "+note, "  ")
	}
	if p.Total > 0 {
		part := min(1, float64(p.Done)/float64(p.Total))
		text = fmt.Sprintf("%3d %%  %s", int(part*100), text)
		if plain.Width(text)+barSize+2+16 <= width {
			full := int(part * barSize)
			text = "▕" + strings.Repeat("█", full) + strings.Repeat("░", barSize-full) + "▏" + text
		}
	}
	room := width - plain.Width(text) - 2
	if p.Label != "" && room >= 8 {
		text = plain.Fit(p.Label, room) + "  " + text
	}
	return plain.Fit(text, width)
}

// width returns the columns of the terminal behind w, or 0 if it is none.
func width(w any) int {
	f, ok := w.(*os.File)
	if !ok || !terminal(f) {
		return 0
	}
	n, _, err := term.GetSize(int(f.Fd()))
	if err != nil || n <= 0 {
		return 80
	}
	return n
}

func terminal(f *os.File) bool {
	return term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}
