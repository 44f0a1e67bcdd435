package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"kith"
	"kith/cli"
	"kith/internal/human"
	"kith/overlay/chord"
	"kith/overlay/kbr"
	"kith/overlay/sim"
)

func simCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sim",
		Short: "simulate overlay networks of up to millions of nodes",
		Long: "Runs an overlay network in this process, with nodes, lines and failures that are made up and engines that are the real ones, and says how it\n" +
			"did. Nobody is connected to, and nothing is written. The same flags give the same run to the bit: its trace_hash says so.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(simChordCommand(), simKademliaCommand(), simPastryCommand())
	return cmd
}

// simFlags are the flags that the simulation of every engine has.
type simFlags struct {
	sim.Options
	lookups int
	fail    float64
	latency string
	churn   string
	hours   float64
	every   time.Duration
	drop    bool
}

func (f *simFlags) add(flags *pflag.FlagSet) {
	flags.IntVar(&f.Nodes, "nodes", 1000, fmt.Sprintf("how many, 1 to %d", sim.MaxNodes))
	flags.IntVar(&f.lookups, "lookups", 10_000, "how many searches")
	flags.Float64Var(&f.fail, "fail", 0, "`PART` of the nodes that fails, such as 0.3")
	flags.StringVar(&f.churn, "churn", "", "`HOW` nodes come and go: rate:0.4 (joins a second, and as many take leave), exponential:median=60m or weibull:0.5,median=23m (sessions)")
	flags.Float64Var(&f.hours, "hours", 0, "with --churn, how long it goes on, instead of --lookups")
	flags.DurationVar(&f.every, "every", time.Second, "with --churn, mean time between two searches of anybody's")
	flags.BoolVar(&f.Carried, "recursive", false, "searches are handed on from node to node; else who searches asks each one itself")
	flags.Float64Var(&f.Hostile, "hostile", 0, "`PART` of the nodes that is hostile, such as 0.2, and names others of its kind when it is asked for the way")
	flags.BoolVar(&f.drop, "drop", false, "with --hostile, they do not answer instead")
	flags.BoolVar(&f.Nodewise, "nodewise", false, "searches are for the places of nodes that are up; else for random keys")
	flags.Float64Var(&f.Loss, "loss", 0, "`PART` of the messages that is lost, such as 0.01")
	flags.Uint64Var(&f.Seed, "seed", 1, "the same `NUMBER` gives the same run")
	flags.IntVar(&f.Cores, "cores", 0, "on how many, 1 or 2; 0 is as many as are worth it. The result is the same")
	flags.StringVar(&f.latency, "latency", "constant", "`MODEL` of the lines: constant (50 ms each way) or 3d (nodes in a cube, at most 200 ms)")
}

// A simulation is what sim can run.
type simulation interface {
	Check() error
	Total() int // nodes, those that come later included
	Run(kind func(*kbr.Table) sim.Kind, progress func(done int) error) (sim.Report, error)
}

// simulation makes of the flags what to run.
func (f *simFlags) simulation(cmd *cobra.Command) (s simulation, err error) {
	if f.Latency, err = sim.ParseLatency(f.latency); err != nil {
		return nil, err
	}
	given := cmd.Flags().Changed
	if f.drop && f.Hostile == 0 {
		return nil, kith.Hint(fmt.Errorf("sim: --drop without --hostile: %w", kith.Invalid), "nobody is hostile; say --hostile 0.2, for one")
	}
	if f.drop {
		f.Attack = sim.Drop
	}
	if f.churn == "" {
		for _, name := range []string{"hours", "every"} {
			if given(name) {
				return nil, kith.Hint(fmt.Errorf("sim: --%s without --churn: %w", name, kith.Invalid), "nothing happens in a network at rest but its searches; say --churn exponential:median=60m, for one")
			}
		}
		s = sim.Static{Options: f.Options, Lookups: f.lookups, Fail: f.fail}
		return s, s.Check()
	}
	c := sim.Churn{Options: f.Options, Lookups: f.lookups, Every: kbr.Ticks(f.every.Microseconds())}
	switch {
	case given("fail"):
		return nil, kith.Hint(fmt.Errorf("sim: --fail and --churn: %w", kith.Invalid), "one of both says who goes")
	case given("hours") && given("lookups"):
		return nil, kith.Hint(fmt.Errorf("sim: --hours and --lookups: %w", kith.Invalid), "one of both says how long it goes on")
	case given("hours"):
		if !(f.hours > 0 && f.hours <= 10_000) {
			return nil, kith.Hint(fmt.Errorf("sim: %v hours: %w", f.hours, kith.Invalid), "more than 0, and at most 10000")
		}
		if c.Every > 0 {
			f.lookups = int(min(f.hours*3600*float64(kbr.Second)/float64(c.Every), sim.MaxLookups))
			c.Lookups = f.lookups
		}
	}
	if c.Rate, c.Session, err = sim.ParseChurn(f.churn); err != nil {
		return nil, err
	}
	return c, c.Check()
}

func simChordCommand() *cobra.Command {
	var f simFlags
	c := chord.Default()
	round := 30 * time.Second
	cmd := &cobra.Command{
		Use:   "chord",
		Short: "simulate Chord: searches after a part of the nodes has failed, or while nodes come and go",
		Long: "Makes a Chord ring at rest, lets a part of its nodes fail in one moment, and lets those that are left search for random keys before anything\n" +
			"is mended: the setting of Table II of Chord's paper (IEEE/ACM Transactions on Networking 11(1), 2003), which --nodes 1000 --successors 20 repeats.\n\n" +
			"With --churn nodes come and go all the time, and upkeep goes on: the setting of its Table III is --churn rate:0.4.\n\n" +
			"path counts the nodes that a search asked and that answered, the last one included; timeouts those that did not.",
		Example: "  kith sim chord\n  kith sim chord --nodes 100000 --lookups 10000 --fail 0.3\n  kith sim chord --latency 3d --seed 7 --json\n" +
			"  kith sim chord --churn weibull:0.5,median=23m --hours 6 --round 15s",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.Round = kbr.Ticks(round.Microseconds())
			if err := c.Check(); err != nil {
				return err
			}
			s, err := f.simulation(cmd)
			if err != nil {
				return err
			}
			return runSim(cmd, s, f.lookups, "chord", chord.BytesPerNode, func(t *kbr.Table) sim.Kind { return chord.New(c, t) })
		},
	}
	flags := cmd.Flags()
	f.add(flags)
	flags.IntVar(&c.Successors, "successors", c.Successors, fmt.Sprintf("length of successor lists, 1 to %d", chord.MaxSuccessors))
	flags.DurationVar(&round, "round", round, "mean time between two rounds of a node's upkeep")
	flags.IntVar(&c.Alternates, "alternates", c.Alternates, "a finger is the nearest, in time, of so many nodes")
	flags.IntVar(&c.Repair, "repair", c.Repair, "every how many rounds a finger is looked for anew")
	return cmd
}

// simOut is how a simulation is told.
type simOut struct {
	Engine string `json:"engine"`
	sim.Report
	Seconds float64 `json:"seconds"` // that it took
}

// redrawSim is how often the progress is drawn anew.
const redrawSim = 100 * time.Millisecond

func runSim(cmd *cobra.Command, s simulation, lookups int, engine string, perNode int, kind func(*kbr.Table) sim.Kind) error {
	if err := fits(s.Total(), sim.Memory(s.Total(), lookups, perNode), freeMemory()); err != nil {
		return err
	}
	begun, drawn := time.Now(), time.Time{}
	show := term.IsTerminal(int(os.Stderr.Fd())) && !cli.JSON(cmd)
	r, err := s.Run(kind, func(done int) error {
		if now := time.Now(); show && now.Sub(drawn) >= redrawSim {
			drawn = now
			fmt.Fprintf(cmd.ErrOrStderr(), "\r%3d %%  %d of %d lookups\x1b[K", 100*done/lookups, done, lookups)
		}
		return context.Cause(cmd.Context())
	})
	if show {
		fmt.Fprint(cmd.ErrOrStderr(), "\r\x1b[K")
	}
	if err != nil {
		return err
	}
	return cli.Print(cmd, simOut{engine, r, time.Since(begun).Seconds()})
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
	}{{"path", o.Path}, {"timeouts", o.Timeouts}, {"latency, ms", o.Latency}, {"stretch", o.Stretch}} {
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
	_, err := fmt.Fprintf(w, "\n  %s; %d events in %s; trace %s\n", sent, o.Events, human.Seconds(o.Seconds), o.TraceHash)
	return err
}
