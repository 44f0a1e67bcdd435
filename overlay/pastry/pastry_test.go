package pastry_test

import (
	"testing"

	"kith/overlay/kbr"
	"kith/overlay/overlaytest"
	"kith/overlay/pastry"
	"kith/overlay/sim"
)

func TestEngine(t *testing.T) {
	overlaytest.Engines{
		New:   func(t *kbr.Table) sim.Kind { return pastry.New(pastry.Default(), t) },
		Quiet: 15 * kbr.Minute,
	}.Test(t)
}
