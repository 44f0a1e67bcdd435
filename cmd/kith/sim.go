package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"kith"
	"kith/cli"
	"kith/overlay/chord"
	"kith/overlay/kbr"
	"kith/overlay/sim"
	"kith/overlay/sim/scenario"
)

func simCommand() *cobra.Command {
	var file string
	var list, show bool
	cmd := &cobra.Command{
		Use:   "sim",
		Short: "simulate overlay networks of up to millions of nodes",
		Long: "Runs an overlay network in this process, with nodes, lines and failures that are made up and engines that are the real ones, and says how it\n" +
			"did. Nobody is connected to, and nothing is written but what --csv and --html name. The same flags give the same run to the bit: its trace_hash\n" +
			"says so.\n\n" +
			"A scenario is a file that says what happens and when, and what is swept: docs/overlays.md. Some come with the program: --list names them.",
		Example: "  kith sim chord --nodes 100000 --lookups 10000 --fail 0.3 --html chord.html\n  kith sim --list\n  kith sim --scenario partition --html partition.html\n" +
			"  kith sim --scenario partition --show >mine.toml\n  kith sim --scenario mine.toml --csv mine.csv",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case list:
				return cli.Print(cmd, shippedScenarios())
			case file != "":
				return runScenario(cmd, file, show)
			case show:
				return kith.Hint(fmt.Errorf("sim: --show without --scenario: %w", kith.Invalid), "say which one: kith sim --list")
			}
			return cmd.Help()
		},
	}
	cmd.Flags().StringVar(&file, "scenario", "", "run the `FILE`, or the scenario of that name that comes with the program")
	cmd.Flags().BoolVar(&list, "list", false, "name the scenarios that come with the program")
	cmd.Flags().BoolVar(&show, "show", false, "print the scenario instead of running it")
	cmd.Flags().String("keep", "", "keep what came of each run of the scenario in `FOLDER`, and do not run again what is there: for sweeps that take hours (pictures are not kept)")
	cmd.PersistentFlags().String("csv", "", "write a table to `FILE`, a run a row")
	cmd.PersistentFlags().String("html", "", "write a page with plots to `FILE`, and a drawing of the network with a search in it")
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
	attack  string
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
	flags.IntVar(&f.Sybils, "sybils", 0, fmt.Sprintf("hostile `NODES` right behind each of %d keys, which are all that is searched for", sim.Targets))
	flags.BoolVar(&f.Eclipse, "eclipse", false, fmt.Sprintf("with --sybils, they are around each of %d nodes instead, which are all that search", sim.Targets))
	flags.StringVar(&f.attack, "attack", "misroute", "`WHAT` hostile nodes do: misroute, drop, collude (name nobody but their kind) or lie (that, and in upkeep too)")
	flags.IntVar(&f.Wary, "wary", 0, fmt.Sprintf("searches check what they are told, on so many `TRAILS`, 1 to %d, such as 4", kbr.MaxTrails))
	flags.Float64Var(&f.Severed, "non-transitive", 0, "`PART` of all pairs of nodes that do not hear each other, such as 0.05")
	flags.BoolVar(&f.Nodewise, "nodewise", false, "searches are for the places of nodes that are up; else for random keys")
	flags.Float64Var(&f.Loss, "loss", 0, "`PART` of the messages that is lost, such as 0.01")
	flags.Uint64Var(&f.Seed, "seed", 1, "the same `NUMBER` gives the same run")
	flags.IntVar(&f.Cores, "cores", 0, "on how many, 1 or 2; 0 is as many as are worth it. The result is the same")
	flags.StringVar(&f.latency, "latency", "constant", "`MODEL` of the lines: constant (50 ms each way), 3d (nodes in a cube, at most 200 ms), king (round trips of 156 ms in the median) or transit-stub")
}

// simulation makes of the flags what to run.
func (f *simFlags) simulation(cmd *cobra.Command) (s scenario.Simulation, err error) {
	if f.Latency, err = sim.ParseLatency(f.latency); err != nil {
		return nil, err
	}
	given := cmd.Flags().Changed
	if given("attack") && f.Hostile == 0 && f.Sybils == 0 {
		return nil, kith.Hint(fmt.Errorf("sim: --attack without --hostile or --sybils: %w", kith.Invalid), "nobody is hostile; say --hostile 0.2, for one")
	}
	if f.Attack, err = sim.ParseAttack(f.attack); err != nil {
		return nil, err
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

// point makes a run of what the flags say.
func (f *simFlags) point(s scenario.Simulation, engine string, perNode int, kind func(*kbr.Table) sim.Kind) scenario.Point {
	return scenario.Point{Engine: engine, Lookups: f.lookups, PerNode: perNode, Kind: kind, Simulation: func(look func(*sim.Net)) scenario.Simulation {
		switch s := s.(type) {
		case sim.Static:
			s.Look = look
			return s
		case sim.Churn:
			s.Look = look
			return s
		}
		return s
	}}
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
			return runSim(cmd, f.point(s, "chord", chord.BytesPerNode, func(t *kbr.Table) sim.Kind { return chord.New(c, t) }))
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
