package chord_test

import (
	"testing"

	"kith/overlay/chord"
	"kith/overlay/kbr"
	"kith/overlay/overlaytest"
	"kith/overlay/sim"
)

func TestEngine(t *testing.T) {
	overlaytest.Engines{
		New:   func(t *kbr.Table) sim.Kind { return chord.New(chord.Default(), t) },
		Quiet: 40 * kbr.Minute,
	}.Test(t)
}
