package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"kith"
	"kith/cli"
	"kith/internal/atomicfile"
	"kith/internal/human"
	"kith/overlay/sim"
	"kith/overlay/sim/report"
	"kith/overlay/sim/scenario"
)

// simOut is how a simulation is told.
type simOut struct {
	Engine string `json:"engine"`
	sim.Report
	Seconds float64 `json:"seconds"` // that it took
}

// redrawSim is how often the progress is drawn anew.
const redrawSim = 100 * time.Millisecond

// runSim runs what the flags of an engine say.
func runSim(cmd *cobra.Command, p scenario.Point) error {
	study := report.Study{Command: "kith sim " + p.Engine}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		switch {
		case f.Name == "csv" || f.Name == "html" || f.Name == "json":
		case f.Value.Type() == "bool":
			study.Command += " --" + f.Name
		default:
			study.Command += " --" + f.Name + " " + f.Value.String()
		}
	})
	study.Title = strings.ToUpper(p.Engine[:1]) + p.Engine[1:] + ", " + human.Count(p.Simulation(nil).Total(), "node")
	return runStudy(cmd, &study, []scenario.Point{p})
}

// runStudy runs the points one after the other, writes what the flags name, and tells what came of it.
func runStudy(cmd *cobra.Command, study *report.Study, points []scenario.Point) error {
	page, _ := cmd.Flags().GetString("html")
	table, _ := cmd.Flags().GetString("csv")
	for _, file := range []string{page, table} { // not after hours
		if err := writable(file); err != nil {
			return err
		}
	}
	for _, p := range points {
		s := p.Simulation(nil)
		_, atRest := s.(sim.Static)
		if err := fits(s.Total(), sim.Memory(s.Total(), p.Lookups, p.PerNode, !atRest), freeMemory()); err != nil {
			return err
		}
	}
	for i, p := range points {
		r, err := kept(cmd, study.Text, i, func() (report.Run, error) { return runPoint(cmd, p, i, len(points), page != "") })
		if err != nil {
			return err
		}
		r.Set, r.Deeds, r.Expect = p.Set, p.Deeds, p.Expect
		study.Runs = append(study.Runs, r)
	}
	for _, f := range []struct {
		name  string
		write func(io.Writer) error
	}{{page, study.HTML}, {table, study.CSV}} {
		if f.name == "" {
			continue
		}
		var b bytes.Buffer
		if err := f.write(&b); err != nil {
			return fmt.Errorf("sim: %w", err)
		}
		if err := atomicfile.Write(f.name, b.Bytes(), 0o644); err != nil {
			return err
		}
	}
	if len(study.Swept) == 0 && study.Text == "" {
		r := study.Runs[0]
		return cli.Print(cmd, simOut{r.Engine, r.Report, r.Seconds})
	}
	return cli.Print(cmd, studyOut{*study})
}

// kept returns the i-th run of a scenario: from the folder that --keep names, if it is there, else it runs it, and keeps it there.
func kept(cmd *cobra.Command, text string, i int, run func() (report.Run, error)) (r report.Run, err error) {
	folder, _ := cmd.Flags().GetString("keep")
	if folder == "" {
		return run()
	}
	file := filepath.Join(folder, fmt.Sprintf("%x-%04d.json", sha256.Sum256([]byte(text)), i))
	if data, err := os.ReadFile(file); err == nil && json.Unmarshal(data, &r) == nil {
		return r, nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return r, fmt.Errorf("sim: %w", err)
	}
	if r, err = run(); err != nil {
		return r, err
	}
	data, err := json.Marshal(r)
	if err != nil {
		return r, fmt.Errorf("sim: %w", err)
	}
	return r, atomicfile.Write(file, data, 0o644)
}

// writable says that a file, if one is named, cannot be written, before there is something to write.
func writable(file string) error {
	if file == "" {
		return nil
	}
	dir, err := os.Stat(filepath.Dir(file))
	if err != nil || !dir.IsDir() {
		return kith.Hint(fmt.Errorf("sim: %s: no such folder: %w", filepath.Dir(file), kith.NotFound), "make it, or name a file elsewhere")
	}
	if f, err := os.Stat(file); err == nil && f.IsDir() {
		return kith.Hint(fmt.Errorf("sim: %s is a folder: %w", file, kith.Invalid), "name a file in it")
	}
	return nil
}

// runPoint is one run, with its progress on a terminal.
func runPoint(cmd *cobra.Command, p scenario.Point, i, all int, picture bool) (report.Run, error) {
	begun, drawn := time.Now(), time.Time{}
	show := term.IsTerminal(int(os.Stderr.Fd())) && !cli.JSON(cmd)
	out := report.Run{Engine: p.Engine, Set: p.Set}
	var look func(*sim.Net)
	if picture {
		look = func(n *sim.Net) { out.Picture = report.Look(p.Engine == "kademlia", n) }
	}
	which := ""
	if all > 1 {
		which = fmt.Sprintf("run %d of %d, %s  ", i+1, all, out.Name())
	}
	r, err := p.Simulation(look).Run(p.Kind, func(done int) error {
		if now := time.Now(); show && now.Sub(drawn) >= redrawSim {
			drawn = now
			fmt.Fprintf(cmd.ErrOrStderr(), "\r%s%3d %%  %d of %d lookups\x1b[K", which, 100*done/p.Lookups, done, p.Lookups)
		}
		return context.Cause(cmd.Context())
	})
	if show {
		fmt.Fprint(cmd.ErrOrStderr(), "\r\x1b[K")
	}
	out.Report, out.Seconds = r, time.Since(begun).Seconds()
	return out, err
}

// fits says that there is not enough memory; where it is not known how much is free there is.
func fits(nodes int, need, free int64) error {
	if free == 0 || need <= free {
		return nil
	}
	return kith.Hint(fmt.Errorf("sim: %s need %s of memory, and %s is free: %w", human.Count(nodes, "node"), human.Bytes(need), human.Bytes(free), kith.TooLarge), "take fewer nodes or lookups")
}

// freeMemory returns how many bytes programs may still take, or 0 where the system does not say.
func freeMemory() int64 {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		var kB int64
		if n, _ := fmt.Sscanf(line, "MemAvailable: %d kB", &kB); n == 1 {
			return kB << 10
		}
	}
	return 0
}

// WriteText implements app.Texter.
func (o simOut) WriteText(w io.Writer, _ int) error {
	part := func(n int) string { return fmt.Sprintf("%7.3f %%", 100*float64(n)/float64(o.Lookups)) }
	went := fmt.Sprintf("of which %d failed", o.Failed)
	if o.Joined > 0 {
		went = fmt.Sprintf("%d gone and %d joined in %s", o.Failed, o.Joined, human.Seconds(o.Simulated))
	}
	fmt.Fprintf(w, "%s, %s, %s; %s; %s; seed %d\n\n", o.Engine, human.Count(o.Nodes, "node"), went, human.Count(o.Lookups, "lookup"), o.Model, o.Seed)
	fmt.Fprintf(w, "  right     %s  ended at whose the key is\n  wrong     %s\n  lost      %s\n\n", part(o.Right), part(o.Wrong), part(o.Lost))
	if o.Abandoned > 0 {
		fmt.Fprintf(w, "  abandoned %s  whoever searched was gone before the end\n\n", part(o.Abandoned))
	}
	fmt.Fprintf(w, "  %-12s %9s %9s %9s %9s %9s\n", "", "mean", "1st", "median", "99th", "most")
	for _, row := range []struct {
		name string
		sim.Spread
	}{{"path", o.Path}, {"timeouts", o.Timeouts}, {"latency, ms", o.Latency}, {"stretch", o.Stretch}, {"load", o.Load}} {
		fmt.Fprintf(w, "  %-12s %9.2f %9.4g %9.4g %9.4g %9.4g\n", row.name, row.Mean, row.P1, row.P50, row.P99, row.Max)
	}
	fmt.Fprintln(w)
	most := 1
	for _, n := range o.Hops {
		most = max(most, n)
	}
	for i, n := range o.Hops {
		if n > 0 {
			fmt.Fprintf(w, "  path %3d  %s  %s\n", i, part(n), strings.Repeat("█", (40*n+most-1)/most))
		}
	}
	sent := fmt.Sprintf("%.0f bytes a lookup", o.Bytes)
	if o.Joined > 0 {
		sent = fmt.Sprintf("%.1f bytes a node and second", o.Bandwidth)
	}
	_, err := fmt.Fprintf(w, "\n  load: bytes that a node has sent, of the mean\n  %s; %d events in %s; trace %s\n", sent, o.Events, human.Seconds(o.Seconds), o.TraceHash)
	return err
}
