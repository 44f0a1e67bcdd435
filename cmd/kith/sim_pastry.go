package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"kith/overlay/kbr"
	"kith/overlay/pastry"
	"kith/overlay/sim"
)

func simPastryCommand() *cobra.Command {
	var f simFlags
	c := pastry.Default()
	round := time.Duration(c.Round) * time.Microsecond
	cmd := &cobra.Command{
		Use:   "pastry",
		Short: "simulate Pastry: searches after a part of the nodes has failed, or while nodes come and go",
		Long: "Makes a Pastry network at rest, lets a part of its nodes fail in one moment, and lets those that are left search for random keys before anything\n" +
			"is mended. --nodes 100000 --lookups 200000 is the setting of Figure 5 of Pastry's paper (Middleware 2001), and --nodes 5000 --fail 0.1 that of its\n" +
			"Figure 10 before repair.\n\n" +
			"With --churn nodes come and go all the time, and upkeep goes on, as in Bamboo (USENIX 2004).\n\n" +
			"path counts the nodes that a search asked and that answered, the last one included, which are the paper's hops; timeouts those that did not.",
		Example: "  kith sim pastry\n  kith sim pastry --nodes 100000 --lookups 10000 --fail 0.3 --b 3\n  kith sim pastry --latency 3d --recursive --seed 7 --json\n" +
			"  kith sim pastry --churn weibull:0.5,median=23m --hours 6 --seed 7",
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
			return runSim(cmd, f.point(s, "pastry", c.BytesPerNode(), func(t *kbr.Table) sim.Kind { return pastry.New(c, t) }))
		},
	}
	flags := cmd.Flags()
	f.add(flags)
	flags.IntVar(&c.Digit, "b", c.Digit, fmt.Sprintf("`BITS` of a digit, 1 to %d: a row of the routing table has 2^b places", pastry.MaxDigit))
	flags.IntVar(&c.Leafs, "leafs", c.Leafs, fmt.Sprintf("size of leaf sets, half of it on each side: even, 2 to %d", pastry.MaxLeafs))
	flags.IntVar(&c.Neighbours, "neighbours", c.Neighbours, fmt.Sprintf("size of neighbourhood sets, 0 to %d", pastry.MaxNeighbours))
	flags.DurationVar(&round, "round", round, "mean time between two rounds of a node's upkeep")
	flags.IntVar(&c.Probes, "probes", c.Probes, "entries of the routing table that are asked in a round whether they are there, and for their row")
	return cmd
}
