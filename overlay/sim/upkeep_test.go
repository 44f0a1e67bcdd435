package sim

import (
	"os"
	"reflect"
	"strconv"
	"testing"
	"time"

	"kith/overlay/chord"
	"kith/overlay/kademlia"
	"kith/overlay/kbr"
	"kith/overlay/pastry"
)

// BenchmarkUpkeep is a second of upkeep among many nodes: 100,000, or KITH_SIM_NODES. Beside events a second it says as how many reads of memory, each of which has to
// wait for the one before, an event takes on one core.
func BenchmarkUpkeep(b *testing.B) {
	nodes := 100_000
	if s := os.Getenv("KITH_SIM_NODES"); s != "" {
		var err error
		if nodes, err = strconv.Atoi(s); err != nil {
			b.Fatal(err)
		}
	}
	read := chase(b)
	for name, kind := range kinds {
		for cores := 1; cores <= kbr.Parts; cores++ {
			b.Run(name+"/"+strconv.Itoa(cores), func(b *testing.B) {
				n, err := New(Options{Nodes: nodes, Seed: 3, Cores: cores, founders: nodes}, kind)
				if err != nil {
					b.Fatal(err)
				}
				begun := time.Now()
				n.Settle(nodes, true)
				settled := time.Since(begun)
				n.Run(2*kbr.Second, nil)
				steps := n.Steps()
				b.ResetTimer()
				for range b.N {
					n.Run(n.Now()+kbr.Second, nil)
				}
				b.ReportMetric(float64(n.Steps()-steps)/b.Elapsed().Seconds(), "events/s")
				b.ReportMetric(b.Elapsed().Seconds()*float64(cores)/float64(n.Steps()-steps)/read, "reads/event")
				b.ReportMetric(settled.Seconds(), "s-settle")
			})
		}
	}
}

// chase returns how many seconds a read takes that has to wait for the one before, at random in 256 MiB.
func chase(b *testing.B) float64 {
	const places, reads = 64 << 20, 4 << 20
	next := make([]uint32, places)
	for i := range next { // a full period, since the multiplier is 1 modulo 4 and the summand odd
		next[i] = uint32(i*1664525+1013904223) % places
	}
	begun, at := time.Now(), uint32(0)
	for range reads {
		at = next[at]
	}
	took := time.Since(begun).Seconds() / reads
	if at == places {
		b.Fatal("beyond the end")
	}
	return took
}

var kinds = map[string]func(*kbr.Table) Kind{
	"chord":    func(t *kbr.Table) Kind { return chord.New(chord.Default(), t) },
	"kademlia": func(t *kbr.Table) Kind { return kademlia.New(kademlia.Default(), t) },
	"pastry":   func(t *kbr.Table) Kind { return pastry.New(pastry.Default(), t) },
}

// The same options give the same run to the bit on one core and on two: under churn, with losses, for each engine, in windows of ten milliseconds and of one.
func TestSameOnTwoCores(t *testing.T) {
	for name, kind := range kinds {
		for _, c := range []Churn{
			{Options: Options{Nodes: 400, Seed: 5, Loss: 0.01, Latency: Space(200 * kbr.Millisecond)}, Session: Session{Shape: 0.5, Median: 2 * kbr.Minute}, Lookups: 150, Every: 100 * kbr.Millisecond},
			{Options: Options{Nodes: 400, Seed: 6, Carried: true}, Rate: 2, Lookups: 150, Every: 100 * kbr.Millisecond},
		} {
			var reports [kbr.Parts]Report
			for i := range reports {
				c.Cores = i + 1
				r, err := c.Run(kind, nil)
				if err != nil {
					t.Fatal(err)
				}
				reports[i] = r
			}
			if !reflect.DeepEqual(reports[0], reports[1]) || reports[0].Right == 0 || reports[0].Joined == 0 {
				t.Errorf("%s: on one core and on two\n%+v\n%+v", name, reports[0], reports[1])
			}
		}
	}
}
