package sim_test

import (
	"testing"

	"kith/overlay/chord"
	"kith/overlay/sim"
)

func BenchmarkStatic(b *testing.B) {
	var events uint64
	for range b.N {
		r, err := sim.Static{Options: sim.Options{Nodes: 10000, Seed: 3}, Lookups: 50000, Fail: 0.3}.Run(ring(chord.Default()), nil)
		if err != nil {
			b.Fatal(err)
		}
		events += r.Events
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
}
