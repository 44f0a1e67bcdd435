package report

import (
	_ "embed"
	"html/template"
	"io"
	"strings"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

// HTML writes the study as one page that needs nothing else.
func (s *Study) HTML(w io.Writer) error {
	type picture struct {
		Name string
		*Picture
	}
	data := struct {
		*Study
		Table    Table
		Legend   string
		Plots    []Plot
		Pictures []picture
		One      *Run    // if there is one
		Right    float64 // of it, in percent
		Parts    []part
	}{Study: s, Table: s.Table(), Legend: s.Legend(), Plots: s.plots()}
	for _, r := range s.few() {
		if r.Picture != nil {
			data.Pictures = append(data.Pictures, picture{r.Name(), r.Picture})
		}
	}
	if len(s.Runs) == 1 {
		data.One = &s.Runs[0]
		data.Right, data.Parts = data.One.right(), parts(data.One)
	}
	var b strings.Builder // so that a page is whole or not there
	if err := page.Execute(&b, data); err != nil {
		return err
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// A part is how one measure is distributed.
type part struct {
	Name   string
	Values []string
}

func parts(r *Run) (parts []part) {
	names := []string{"path, nodes", "timeouts", "latency, ms", "stretch, round trips", "load, of the mean"}
	for i, m := range spreads {
		v := m.of(r)
		p := part{Name: names[i]}
		for _, x := range []float64{v.Mean, v.P1, v.P50, v.P99, v.Max} {
			p.Values = append(p.Values, short(x))
		}
		parts = append(parts, p)
	}
	return parts
}
