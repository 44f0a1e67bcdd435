package report

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strconv"
	"strings"
)

// Size of a plot, and of its margins, in the units of its drawing. It is as wide as a phone, so that letters can be read there.
const (
	plotWide, plotHigh = 440, 290
	left, right        = 54, 12
	top, bottom        = 28, 44
)

// A series is a line of a plot, or points.
type series struct {
	name   string
	colour int
	x, y   []float64
	say    []string // of each point, when a mouse is over it
	dashed bool     // what is to be expected, and not what was measured
	line   bool
	dots   bool
	stairs bool // filled bars
}

// An axis is the way across or up a plot.
type scale struct {
	label  string
	log    bool
	zero   bool     // it begins at 0, across too
	words  []string // where there are words and not numbers: 0 is the first
	lo, hi float64
}

// A span is a part of the time of a plot in which something is so.
type span struct {
	from, to float64
	say      string
}

type plot struct {
	title, note string
	x, y        scale
	spans       []span
	series      []series
}

// Plot is a plot as the page has it.
type Plot struct {
	Title, Note string
	Legend      []Entry
	SVG         template.HTML
}

// An Entry is a line of a legend.
type Entry struct {
	Name   string
	Colour int
	Dashed bool
}

// render draws the plot.
func (p *plot) render() Plot {
	p.fit()
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" role="img" aria-label="%s">`, plotWide, plotHigh, html.EscapeString(p.title+": "+p.y.label+" by "+p.x.label))
	for _, s := range p.spans {
		x0, x1 := p.across(s.from), p.across(s.to)
		fmt.Fprintf(&b, `<rect class="span" x="%.1f" y="%d" width="%.1f" height="%d"><title>%s</title></rect>`, x0, top, max(1.5, x1-x0), plotHigh-top-bottom, html.EscapeString(s.say))
	}
	for _, v := range p.y.ticks(5) {
		y := p.up(v)
		fmt.Fprintf(&b, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`, left, plotWide-right, y, y, left-6, y+4, number(v))
	}
	for _, v := range p.x.ticks(6) {
		word := number(v)
		if p.x.words != nil {
			word = p.x.words[int(v)]
		}
		x := p.across(v)
		fmt.Fprintf(&b, `<line class="tick" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/><text x="%.1f" y="%d" text-anchor="middle">%s</text>`, x, x, plotHigh-bottom, plotHigh-bottom+4, x, plotHigh-bottom+18,
			html.EscapeString(word))
	}
	fmt.Fprintf(&b, `<line class="axis" x1="%d" x2="%d" y1="%d" y2="%d"/>`, left, plotWide-right, plotHigh-bottom, plotHigh-bottom)
	fmt.Fprintf(&b, `<text class="label" x="%d" y="%d" text-anchor="middle">%s</text>`, (left+plotWide-right)/2, plotHigh-6, html.EscapeString(p.x.label))
	fmt.Fprintf(&b, `<text class="label" x="%d" y="14">%s</text>`, 2, html.EscapeString(p.y.label))
	for _, s := range p.series {
		p.draw(&b, s)
	}
	b.WriteString("</svg>")
	return Plot{p.title, p.note, p.legend(), template.HTML(b.String())}
}

func (p *plot) legend() (entries []Entry) {
	for _, s := range p.series {
		if s.name != "" {
			entries = append(entries, Entry{s.name, s.colour, s.dashed})
		}
	}
	if len(entries) == 1 && !entries[0].Dashed {
		return nil
	}
	return entries
}

func (p *plot) draw(b *strings.Builder, s series) {
	fmt.Fprintf(b, `<g class="c%d">`, s.colour)
	if s.line {
		var points []string
		for i := range s.x {
			points = append(points, fmt.Sprintf("%.1f,%.1f", p.across(s.x[i]), p.up(s.y[i])))
		}
		class := "line"
		if s.dashed {
			class = "line dashed"
		}
		fmt.Fprintf(b, `<polyline class="%s" points="%s"/>`, class, strings.Join(points, " "))
	}
	for i := range s.x {
		say := ""
		if i < len(s.say) {
			say = "<title>" + html.EscapeString(s.say[i]) + "</title>"
		}
		x, y := p.across(s.x[i]), p.up(s.y[i])
		switch {
		case s.stairs:
			wide := max(2, 0.8*(p.across(1)-p.across(0)))
			fmt.Fprintf(b, `<rect class="bar" x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="2">%s</rect>`, x-wide/2, y, wide, max(0, plotHigh-bottom-y), say)
		case s.dots:
			fmt.Fprintf(b, `<circle class="dot" cx="%.1f" cy="%.1f" r="3.5">%s</circle>`, x, y, say)
		}
	}
	b.WriteString("</g>")
}

// fit finds where the axes begin and end.
func (p *plot) fit() {
	p.x.lo, p.x.hi, p.y.lo, p.y.hi = math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for _, s := range p.series {
		for i := range s.x {
			p.x.lo, p.x.hi = min(p.x.lo, s.x[i]), max(p.x.hi, s.x[i])
			p.y.lo, p.y.hi = min(p.y.lo, s.y[i]), max(p.y.hi, s.y[i])
		}
		if s.stairs {
			p.x.lo, p.x.hi = p.x.lo-0.5, p.x.hi+0.5
		}
	}
	if p.x.words != nil {
		p.x.lo, p.x.hi = -0.5, float64(len(p.x.words))-0.5
	}
	p.y.round()
	if p.x.log || p.x.hi <= p.x.lo || p.x.zero {
		p.x.round()
	}
}

// round widens an axis to where it has a tick: from 0 if it is not logarithmic.
func (s *scale) round() {
	if !(s.lo <= s.hi) {
		s.lo, s.hi = 0, 1
	}
	if s.log {
		s.lo, s.hi = s.lo/1.12, s.hi*1.12
		return
	}
	s.lo = min(0, s.lo)
	if s.hi <= s.lo {
		s.hi = s.lo + 1
	}
	step := step(s.hi-s.lo, 5)
	s.hi = math.Ceil(s.hi*1.02/step) * step
}

// part returns where on an axis a value is, from 0 to 1.
func (s *scale) part(v float64) float64 {
	if s.log {
		return math.Log(v/s.lo) / math.Log(s.hi/s.lo)
	}
	return (v - s.lo) / (s.hi - s.lo)
}

func (p *plot) across(v float64) float64 { return left + p.x.part(v)*(plotWide-left-right) }

func (p *plot) up(v float64) float64 { return plotHigh - bottom - p.y.part(v)*(plotHigh-top-bottom) }

// step returns a round distance of about so many ticks.
func step(length float64, count int) float64 {
	raw := length / float64(count)
	unit := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, f := range []float64{1, 2, 5} {
		if raw <= f*unit {
			return f * unit
		}
	}
	return 10 * unit
}

// ticks returns where an axis has a number.
func (s *scale) ticks(count int) (at []float64) {
	switch {
	case s.words != nil:
		for i := range s.words {
			at = append(at, float64(i))
		}
	case s.log:
		for unit := math.Pow(10, math.Floor(math.Log10(s.lo))); unit <= s.hi; unit *= 10 {
			for _, f := range []float64{1, 2, 5} {
				if v := f * unit; v >= s.lo && v <= s.hi && (f == 1 || s.hi/s.lo < 30) {
					at = append(at, v)
				}
			}
		}
	default:
		d := step(s.hi-s.lo, count)
		for i := math.Ceil(s.lo/d - 1e-9); i*d <= s.hi+d*1e-9; i++ {
			at = append(at, i*d)
		}
	}
	return at
}

// number writes a number of an axis.
func number(v float64) string {
	switch a := math.Abs(v); {
	case a >= 1e6:
		return strconv.FormatFloat(v/1e6, 'g', 3, 64) + " M"
	case a >= 1e4:
		return strconv.FormatFloat(v/1e3, 'g', 4, 64) + " k"
	}
	return strconv.FormatFloat(math.Round(v*1e6)/1e6+0, 'g', 6, 64) // and no -0
}

// short writes a number of a table: three digits, or all before the point.
func short(v float64) string {
	if math.Abs(v) >= 100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}
