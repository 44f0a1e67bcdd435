package chord_test

import (
	"testing"

	"kith/overlay/chord"
	"kith/overlay/kbr"
	"kith/overlay/overlaytest"
	"kith/overlay/sim"
)

// What holds of Chord holds also where nodes doubt what their successors leave out.
func TestDoubts(t *testing.T) {
	c := chord.Default()
	c.Doubts = true
	overlaytest.Engines{
		New:   func(t *kbr.Table) sim.Kind { return chord.New(c, t) },
		Quiet: 40 * kbr.Minute,
	}.Test(t)
}
