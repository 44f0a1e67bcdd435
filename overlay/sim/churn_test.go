package sim_test

import (
	"testing"

	"kith/overlay/chord"
	"kith/overlay/kbr"
	"kith/overlay/sim"
)

func TestChordTable3(t *testing.T) {
	for _, row := range []struct{ rate, path, timeouts, failures float64 }{
		{0.05, 3.90, 0.05, 0}, {0.10, 3.83, 0.11, 0}, {0.15, 3.84, 0.16, 2}, {0.20, 3.81, 0.23, 5}, {0.25, 3.83, 0.30, 6}, {0.30, 3.91, 0.34, 8}, {0.35, 3.94, 0.42, 16}, {0.40, 4.06, 0.46, 15},
	} {
		r, err := sim.Churn{Options: sim.Options{Nodes: 1000, Seed: 1}, Rate: row.rate, Lookups: 10_000, Every: kbr.Second}.Run(ring(chord.Default()), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Hops = nil
		t.Logf("%.2f %+v", row.rate, r)
	}
}
