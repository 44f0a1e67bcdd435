// Package report makes of simulations what people and other programs read: a table as CSV, and a page with plots and a drawing of the network.
//
// It runs nothing, and its page needs nothing: no script, no font, no picture from elsewhere. Its one idea: what is drawn is decided by what was swept, so that no file
// says how it wants to be drawn.
package report

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"kith/overlay/sim"
	"kith/overlay/sim/scenario"
)

// A Study is what was run, and what came of it.
type Study struct {
	Title   string   `json:"title"`
	About   string   `json:"about,omitempty"`
	Command string   `json:"command"`            // as it was typed
	Text    string   `json:"scenario,omitempty"` // the file
	Swept   []string `json:"swept,omitempty"`    // settings, in order
	Runs    []Run    `json:"runs"`
}

// A Run is one of its runs.
type Run struct {
	Engine string             `json:"engine"`
	Set    []scenario.Setting `json:"set,omitempty"` // what the sweep has set
	sim.Report
	Seconds float64              `json:"seconds"` // that it took
	Deeds   []sim.Deed           `json:"-"`
	Expect  scenario.Expectation `json:"-"`
	Picture *Picture             `json:"-"` // nil if there is none
}

// text returns a setting of the run as a person reads it; "" if the run has none of that name.
func (r *Run) text(name string) string {
	for _, s := range r.Set {
		if s.Name == name {
			return fmt.Sprint(s.Value)
		}
	}
	return ""
}

// Name tells the run from the others.
func (r *Run) Name() string {
	if len(r.Set) == 0 {
		return r.Engine
	}
	names := make([]string, 0, len(r.Set))
	for _, s := range r.Set {
		names = append(names, label(s))
	}
	return strings.Join(names, ", ")
}

// label says what a setting is: the value alone where that says it.
func label(s scenario.Setting) string {
	if v, ok := s.Value.(string); ok && (s.Name == "engine" || s.Name == "churn" || s.Name == "latency") {
		return v
	}
	return fmt.Sprintf("%s %v", s.Name[strings.LastIndexByte(s.Name, '.')+1:], s.Value)
}

// right returns the part of the searches that was right, of those whose end somebody was there to see, in percent.
func (r *Run) right() float64 {
	return 100 * float64(r.Right) / float64(max(1, r.Lookups-r.Abandoned))
}

// upkeep reports whether time passed for the network, so that what it sends is counted by the second.
func (r *Run) upkeep() bool { return r.Joined > 0 || r.Series != nil }

// cost returns what the run has sent, and in what unit.
func (r *Run) cost() (float64, string) {
	if r.upkeep() {
		return r.Bandwidth, "bytes a node and second"
	}
	return r.Bytes, "bytes a lookup"
}

var spreads = []struct {
	name string
	of   func(*Run) sim.Spread
}{
	{"path_nodes", func(r *Run) sim.Spread { return r.Path }},
	{"timeouts", func(r *Run) sim.Spread { return r.Timeouts }},
	{"latency_ms", func(r *Run) sim.Spread { return r.Latency }},
	{"stretch_round_trips", func(r *Run) sim.Spread { return r.Stretch }},
	{"load_of_mean", func(r *Run) sim.Spread { return r.Load }},
}

// CSV writes the runs as a table, one a row, whose header has the units.
func (s *Study) CSV(w io.Writer) error {
	out := csv.NewWriter(w)
	swept := slices.DeleteFunc(slices.Clone(s.Swept), func(name string) bool { return name == "engine" || name == "nodes" || name == "seed" })
	header := append([]string{"engine", "nodes", "seed"}, swept...)
	header = append(header, "failed_nodes", "joined_nodes", "lookups", "right", "wrong", "lost", "abandoned", "right_percent")
	for _, m := range spreads {
		for _, at := range []string{"mean", "p1", "p10", "p50", "p90", "p99", "max"} {
			header = append(header, m.name+"_"+at)
		}
	}
	header = append(header, "bytes_per_lookup", "bytes_per_node_and_second", "latency_model", "events", "simulated_seconds", "took_seconds", "trace_hash")
	if err := out.Write(header); err != nil {
		return err
	}
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }
	for i := range s.Runs {
		r := &s.Runs[i]
		row := []string{r.Engine, strconv.Itoa(r.Nodes), strconv.FormatUint(r.Seed, 10)}
		for _, name := range swept {
			row = append(row, r.text(name))
		}
		for _, n := range []int{r.Failed, r.Joined, r.Lookups, r.Right, r.Wrong, r.Lost, r.Abandoned} {
			row = append(row, strconv.Itoa(n))
		}
		row = append(row, number(r.right()))
		for _, m := range spreads {
			v := m.of(r)
			for _, x := range []float64{v.Mean, v.P1, v.P10, v.P50, v.P90, v.P99, v.Max} {
				row = append(row, number(x))
			}
		}
		row = append(row, number(r.Bytes), number(r.Bandwidth), r.Model, strconv.FormatUint(r.Events, 10), number(r.Simulated), number(r.Seconds), r.TraceHash)
		if err := out.Write(row); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// A Table is figures as a person reads them. The first Words columns are words, and the others numbers.
type Table struct {
	Words  int
	Header []string
	Rows   [][]string
}

// Table returns the figures of the runs, one a row.
func (s *Study) Table() Table {
	names := s.Swept
	if len(names) == 0 {
		names = []string{"engine"}
	}
	t := Table{Words: len(names)}
	for _, name := range names {
		_, short, below := strings.Cut(name, ".")
		if !below || slices.ContainsFunc(names, func(other string) bool { return other != name && strings.HasSuffix(other, "."+short) }) {
			short = name
		}
		t.Header = append(t.Header, short)
	}
	t.Header = append(t.Header, "right", "path", "timeouts", "latency", "99th", "stretch", "load 99th", "bytes")
	for i := range s.Runs {
		r := &s.Runs[i]
		var row []string
		for _, name := range names {
			if name == "engine" {
				row = append(row, r.Engine)
			} else {
				row = append(row, r.text(name))
			}
		}
		cost, _ := r.cost()
		t.Rows = append(t.Rows, append(row, fmt.Sprintf("%.2f %%", r.right()), fmt.Sprintf("%.2f", r.Path.Mean), fmt.Sprintf("%.2f", r.Timeouts.Mean),
			fmt.Sprintf("%.0f ms", r.Latency.P50), fmt.Sprintf("%.0f ms", r.Latency.P99), fmt.Sprintf("%.2f", r.Stretch.P50), fmt.Sprintf("%.2f", r.Load.P99), fmt.Sprintf("%.0f", cost)))
	}
	return t
}

// Legend says what the columns of Table are.
func (s *Study) Legend() string {
	unit := "a lookup"
	if len(s.Runs) > 0 && s.Runs[0].upkeep() {
		unit = "a node and second"
	}
	return "right: of all searches; path: nodes that answered, and timeouts: that did not, mean; latency and stretch: median; load: bytes that the busiest hundredth of the nodes has sent, of the mean; bytes: " + unit
}
