package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
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
	cmd.AddCommand(simChordCommand())
	return cmd
}

func simChordCommand() *cobra.Command {
	var s sim.Static
	c := chord.Default()
	var latency string
	cmd := &cobra.Command{
		Use:   "chord",
		Short: "simulate Chord: searches after a part of the nodes has failed",
		Long: "Makes a Chord ring at rest, lets a part of its nodes fail in one moment, and lets those that are left search for random keys before anything\n" +
			"is mended: the setting of Table II of Chord's paper (IEEE/ACM Transactions on Networking 11(1), 2003), which --nodes 1000 --successors 20 repeats.\n\n" +
			"path counts the nodes that a search asked and that answered, the last one included; timeouts those that did not.",
		Example: "  kith sim chord\n  kith sim chord --nodes 100000 --lookups 10000 --fail 0.3\n  kith sim chord --latency 3d --seed 7 --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if s.Latency, err = sim.ParseLatency(latency); err != nil {
				return err
			}
			if err := c.Check(); err != nil {
				return err
			}
			if err := s.Check(); err != nil {
				return err
			}
			return runSim(cmd, s, "chord", chord.BytesPerNode, func(t *kbr.Table) sim.Kind { return chord.New(c, t) })
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&s.Nodes, "nodes", 1000, fmt.Sprintf("how many, 1 to %d", sim.MaxNodes))
	flags.IntVar(&s.Lookups, "lookups", 10_000, "how many searches")
	flags.Float64Var(&s.Fail, "fail", 0, "`PART` of the nodes that fails, such as 0.3")
	flags.Float64Var(&s.Loss, "loss", 0, "`PART` of the messages that is lost, such as 0.01")
	flags.Uint64Var(&s.Seed, "seed", 1, "the same `NUMBER` gives the same run")
	flags.StringVar(&latency, "latency", "constant", "`MODEL` of the lines: constant (50 ms each way) or 3d (nodes in a cube, at most 200 ms)")
	flags.IntVar(&c.Successors, "successors", c.Successors, fmt.Sprintf("length of successor lists, 1 to %d", chord.MaxSuccessors))
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

func runSim(cmd *cobra.Command, s sim.Static, engine string, perNode int, kind func(*kbr.Table) sim.Kind) error {
	if need, have := sim.Memory(s, perNode), freeMemory(); have > 0 && need > have {
		return kith.Hint(fmt.Errorf("sim: %s need %s of memory, and %s is free: %w", human.Count(s.Nodes, "node"), human.Bytes(need), human.Bytes(have), kith.TooLarge),
			"take fewer nodes or lookups")
	}
	begun, drawn := time.Now(), time.Time{}
	show := term.IsTerminal(int(os.Stderr.Fd())) && !cli.JSON(cmd)
	r, err := s.Run(kind, func(done int) error {
		if now := time.Now(); show && now.Sub(drawn) >= redrawSim {
			drawn = now
			fmt.Fprintf(cmd.ErrOrStderr(), "\r%3d %%  %d of %d lookups\x1b[K", 100*done/s.Lookups, done, s.Lookups)
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
	fmt.Fprintf(w, "%s, %s, of which %d failed; %s; %s; seed %d\n\n", o.Engine, human.Count(o.Nodes, "node"), o.Failed, human.Count(o.Lookups, "lookup"), o.Model, o.Seed)
	fmt.Fprintf(w, "  right     %s  ended at whose the key is\n  wrong     %s\n  lost      %s\n\n", part(o.Right), part(o.Wrong), part(o.Lost))
	fmt.Fprintf(w, "  %-12s %9s %9s %9s %9s %9s\n", "", "mean", "1st", "median", "99th", "most")
	for _, row := range []struct {
		name string
		sim.Spread
	}{{"path", o.Path}, {"timeouts", o.Timeouts}, {"latency, ms", o.Latency}} {
		fmt.Fprintf(w, "  %-12s %9.2f %9.0f %9.0f %9.0f %9.0f\n", row.name, row.Mean, row.P1, row.P50, row.P99, row.Max)
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
	_, err := fmt.Fprintf(w, "\n  %.0f bytes a lookup; %d events in %s; trace %s\n", o.Bytes, o.Events, human.Seconds(o.Seconds), o.TraceHash)
	return err
}
