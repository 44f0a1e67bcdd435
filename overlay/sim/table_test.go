package sim_test

import (
	"testing"

	"kith/overlay/chord"
	"kith/overlay/kbr"
	"kith/overlay/sim"
)

func ring(c chord.Config) func(*kbr.Table) sim.Kind {
	return func(t *kbr.Table) sim.Kind { return chord.New(c, t) }
}

func TestTable2(t *testing.T) {
	for _, p := range []float64{0, .1, .2, .3, .4, .5} {
		s := sim.Static{Options: sim.Options{Nodes: 1000, Seed: 1}, Lookups: 10000, Fail: p}
		r, err := s.Run(ring(chord.Default()), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%.1f %+v", p, r)
	}
}
