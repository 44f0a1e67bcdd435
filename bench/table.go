package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// A line is what one contestant did in one run.
type line struct {
	Name  string
	Took  time.Duration
	Ratio float64 // to the yardstick of the same run
	Notes []note
}

// A note is another number that is worth a column.
type note struct {
	Column string
	Value  float64
	Format string // of the value, such as "%.0f MB"
}

// print writes the medians of all runs as a table in markdown.
func print(w io.Writer, m benchmark, runs [][]line) {
	var columns []string
	for _, l := range runs[0] {
		for _, n := range l.Notes {
			if !slices.Contains(columns, n.Column) {
				columns = append(columns, n.Column)
			}
		}
	}
	fmt.Fprintf(w, "\n## %s\n\n%s. Medians of %d.\n\n", m.Name, m.About, len(runs))
	head := append([]string{"", "s", "× " + m.Yardstick}, columns...)
	fmt.Fprintf(w, "| %s |\n|---%s|\n", strings.Join(head, " | "), strings.Repeat("|---:", len(head)-1))
	for i, first := range runs[0] {
		cells := []string{first.Name}
		cells = append(cells, median(runs, i, "%.2f", func(l line) (float64, bool) { return l.Took.Seconds(), l.Took > 0 }))
		cells = append(cells, median(runs, i, "%.2f", func(l line) (float64, bool) { return l.Ratio, l.Ratio > 0 }))
		for _, column := range columns {
			format := ""
			of := func(l line) (float64, bool) {
				for _, n := range l.Notes {
					if n.Column == column {
						format = n.Format
						return n.Value, true
					}
				}
				return 0, false
			}
			of(first)
			cells = append(cells, median(runs, i, format, of))
		}
		fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | "))
	}
}

// median returns the median of a value of the i-th line of all runs, or nothing if it has none.
func median(runs [][]line, i int, format string, of func(line) (float64, bool)) string {
	var values []float64
	for _, lines := range runs {
		if i < len(lines) {
			if v, ok := of(lines[i]); ok {
				values = append(values, v)
			}
		}
	}
	if len(values) == 0 {
		return ""
	}
	slices.Sort(values)
	return fmt.Sprintf(format, values[len(values)/2])
}
