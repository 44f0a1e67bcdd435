package chord_test

import (
	"testing"

	"kith/overlay/chord"
	"kith/overlay/kbr"
	"kith/overlay/overlaytest"
	"kith/overlay/sim"
)

// TestMerge: rings grow together, whether or not a node tells its predecessor of new neighbours at once.
func TestMerge(t *testing.T) {
	overlaytest.Merging(func(seed uint64, t *kbr.Table) sim.Kind {
		c := chord.Default()
		c.Eager = seed%2 == 1
		return chord.New(c, t)
	}).Test(t)
}
