package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"kith"
	"kith/overlay/sim/report"
	"kith/overlay/sim/scenario"
)

// simList is the scenarios that come with the program.
type simList struct {
	Scenarios []simListed `json:"scenarios"`
}

type simListed struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Runs  int    `json:"runs"`
}

func shippedScenarios() (l simList) {
	for _, name := range scenario.Names() {
		if s, err := scenario.Parse(scenario.Shipped(name)); err == nil { // a test sees to that
			l.Scenarios = append(l.Scenarios, simListed{name, s.Title, len(s.Points)})
		}
	}
	return l
}

// WriteText implements app.Texter.
func (l simList) WriteText(w io.Writer, _ int) error {
	for _, s := range l.Scenarios {
		if _, err := fmt.Fprintf(w, "%-12s %s\n", s.Name, s.Title); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(w, "\nRun one: kith sim --scenario NAME --html FILE. Change one: kith sim --scenario NAME --show >FILE")
	return err
}

// scenarioText returns a scenario: that of the name, if there is one, or else the file.
func scenarioText(name string) ([]byte, error) {
	if data := scenario.Shipped(name); data != nil {
		return data, nil
	}
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, kith.Hint(fmt.Errorf("sim: no scenario and no file %q: %w", name, kith.NotFound), "kith sim --list names those that come with the program: %s", strings.Join(scenario.Names(), ", "))
	}
	if err != nil {
		return nil, fmt.Errorf("sim: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, scenario.MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("sim: %w", err)
	}
	return data, nil
}

func runScenario(cmd *cobra.Command, name string, show bool) error {
	text, err := scenarioText(name)
	if err != nil {
		return err
	}
	if show {
		_, err := cmd.OutOrStdout().Write(text)
		return err
	}
	s, err := scenario.Parse(text)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	study := report.Study{Title: s.Title, About: s.About, Command: "kith sim --scenario " + name, Text: s.Text, Swept: s.Swept}
	if study.Title == "" {
		study.Title = name
	}
	return runStudy(cmd, &study, s.Points)
}

// studyOut is how several runs are told.
type studyOut struct{ report.Study }

// WriteText implements app.Texter.
func (o studyOut) WriteText(w io.Writer, _ int) error {
	fmt.Fprintf(w, "%s\n", o.Title)
	if o.About != "" {
		fmt.Fprintf(w, "%s\n", o.About)
	}
	fmt.Fprintln(w)
	t := o.Table()
	wide := make([]int, len(t.Header))
	for _, row := range append([][]string{t.Header}, t.Rows...) {
		for i, v := range row {
			wide[i] = max(wide[i], len([]rune(v)))
		}
	}
	for _, row := range append([][]string{t.Header}, t.Rows...) {
		var b strings.Builder
		for i, v := range row {
			pad := strings.Repeat(" ", wide[i]-len([]rune(v)))
			if i < t.Words {
				b.WriteString("  " + v + pad)
			} else {
				b.WriteString("  " + pad + v)
			}
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
	for i := range o.Runs {
		writeSeries(w, &o.Runs[i])
	}
	_, err := fmt.Fprintf(w, "\n%s.\n", o.Legend())
	return err
}

// lines of a timeline that a terminal is told.
const seriesLines = 20

// writeSeries tells how a timeline went in which something happened.
func writeSeries(w io.Writer, r *report.Run) {
	if len(r.Series) == 0 || len(r.Deeds) == 0 {
		return
	}
	fmt.Fprintf(w, "\n  %s\n  %8s %8s %10s %12s %9s\n", r.Name(), "minute", "up", "right", "latency", "bytes")
	for part := range slices.Chunk(r.Series, (len(r.Series)+seriesLines-1)/seriesLines) {
		var sum struct {
			right, ended  int
			left, found   int
			latency, sent float64
		}
		for _, s := range part {
			sum.right += s.Right
			sum.ended += s.Right + s.Wrong + s.Lost
			sum.left += s.Left
			sum.found += s.Found
			sum.latency += s.Latency * float64(s.Right)
			sum.sent += s.Bandwidth / float64(len(part))
		}
		if sum.ended == 0 {
			continue
		}
		right := float64(sum.right) / float64(sum.ended)
		fmt.Fprintf(w, "  %8.1f %8d %8.2f %% %9.0f ms %9.0f  %s\n", part[0].From/60, part[0].Up, 100*right, sum.latency/float64(max(1, sum.right)), sum.sent, strings.Repeat("█", int(20*right+0.5)))
		if sum.left > sum.found {
			fmt.Fprintf(w, "  %8s %d of %d searches did not find a value of which a copy was left\n", "", sum.left-sum.found, sum.left)
		}
	}
}
