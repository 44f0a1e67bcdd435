package kademlia_test

import (
	"testing"

	"kith/overlay/kademlia"
	"kith/overlay/kbr"
	"kith/overlay/overlaytest"
	"kith/overlay/sim"
)

func TestAlternates(t *testing.T) {
	overlaytest.Alternates{
		New: func(t *kbr.Table, given, wanted int) sim.Kind {
			c := kademlia.Default()
			c.K, c.Tell, c.Alpha, c.Beta, c.Alternates = 4, 4, 1, 1, wanted
			before := c
			before.Alternates = given
			return settled{kademlia.New(before, t), c}
		},
		Quiet: 30 * kbr.Minute,
	}.Test(t)
}

// settled takes another configuration once its nodes have been given their state.
type settled struct {
	*kademlia.Tree
	after kademlia.Config
}

func (s settled) Settle(part int, up []kbr.Node, rtt func(a, b kbr.Node) kbr.Ticks) {
	s.Tree.Settle(part, up, rtt)
	if part == kbr.Parts-1 {
		s.Tree.Config = s.after
	}
}
