package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"kith/overlay/kademlia"
	"kith/overlay/kbr"
	"kith/overlay/sim"
)

func simKademliaCommand() *cobra.Command {
	var f simFlags
	c := kademlia.Default()
	round, refresh := 30*time.Second, time.Hour
	cmd := &cobra.Command{
		Use:   "kademlia",
		Short: "simulate Kademlia: searches after a part of the nodes has failed, or while nodes come and go",
		Long: "Makes a Kademlia network at rest, lets a part of its nodes fail in one moment, and lets those that are left search for random keys before anything\n" +
			"is mended. With --k 1 --recursive that is the XOR geometry of Gummadi et al. (SIGCOMM 2003), which has one way to go on from each node.\n\n" +
			"With --churn nodes come and go all the time, and upkeep goes on.\n\n" +
			"path counts the nodes that a search asked and that answered, which with --alpha 3 or --beta 3 is about three times as many as it is long; timeouts\n" +
			"those that did not.",
		Example: "  kith sim kademlia\n  kith sim kademlia --nodes 100000 --lookups 10000 --fail 0.3\n  kith sim kademlia --nodes 65536 --k 1 --recursive --fail 0.3\n" +
			"  kith sim kademlia --churn weibull:0.5,median=23m --hours 6 --round 15s",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.Round, c.Refresh = kbr.Ticks(round.Microseconds()), kbr.Ticks(refresh.Microseconds())
			given := cmd.Flags().Changed
			if !given("tell") {
				c.Tell = c.K
			}
			if !given("beta") {
				c.Beta = min(c.Beta, c.K)
			}
			if err := c.Check(); err != nil {
				return err
			}
			s, err := f.simulation(cmd)
			if err != nil {
				return err
			}
			return runSim(cmd, f.point(s, "kademlia", c.BytesPerNode(s.Total()), func(t *kbr.Table) sim.Kind { return kademlia.New(c, t) }))
		},
	}
	flags := cmd.Flags()
	f.add(flags)
	flags.IntVar(&c.K, "k", c.K, fmt.Sprintf("nodes in a bucket, 1 to %d", kademlia.MaxK))
	flags.IntVar(&c.Alpha, "alpha", c.Alpha, "how many nodes a search asks at once")
	flags.IntVar(&c.Beta, "beta", c.Beta, "how many of the nearest nodes must have answered before a search is over")
	flags.IntVar(&c.Paths, "paths", c.Paths, fmt.Sprintf("disjoint paths of a search, each of which asks --alpha nodes at once, 1 to %d (S/Kademlia)", kbr.MaxPaths))
	flags.IntVar(&c.Tell, "tell", c.Tell, "nodes that an answer names; as many as a bucket has if not given")
	flags.IntVar(&c.Cache, "cache", c.Cache, "nodes that are kept in mind for each bucket that is full")
	flags.IntVar(&c.Alternates, "alternates", c.Alternates, "a contact is the nearest, in time, of so many nodes")
	flags.DurationVar(&round, "round", round, "mean time between two rounds of a node's upkeep")
	flags.DurationVar(&refresh, "refresh", refresh, "a bucket is searched in when one of its nodes was not heard from for so long")
	return cmd
}
