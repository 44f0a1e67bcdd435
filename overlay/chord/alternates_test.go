package chord_test

import (
	"testing"

	"kith/overlay/chord"
	"kith/overlay/kbr"
	"kith/overlay/overlaytest"
	"kith/overlay/sim"
)

func TestAlternates(t *testing.T) {
	overlaytest.Alternates{
		New: func(t *kbr.Table, given, wanted int) sim.Kind {
			c := chord.Default()
			c.Successors, c.Alternates = 4, wanted
			before := c
			before.Alternates = given
			return settled{chord.New(before, t), c}
		},
		Quiet: 10 * kbr.Minute,
	}.Test(t)
}

// settled takes another configuration once its nodes have been given their state.
type settled struct {
	*chord.Ring
	after chord.Config
}

func (s settled) Settle(part int, up []kbr.Node, rtt func(a, b kbr.Node) kbr.Ticks) {
	s.Ring.Settle(part, up, rtt)
	if part == kbr.Parts-1 {
		s.Ring.Config = s.after
	}
}
