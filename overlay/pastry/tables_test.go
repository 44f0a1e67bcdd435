package pastry_test

import (
	"testing"

	"kith/overlay/kbr"
)

// Tables that were made by joins and upkeep have all places filled that can be, and with nodes that are about as near as the nearest of a sample.
func TestTables(t *testing.T) {
	const nodes = 150
	ideal, given := network(t, nodes, 1)
	ideal.Settle(nodes, false)
	n, ring := network(t, nodes, 1)
	n.Start(1)
	for i := 2; i <= nodes; i++ {
		n.Run(n.Now()+kbr.Second, nil)
		n.Join(kbr.Node(i), kbr.Node(1+i*7%(i-1)))
	}
	for _, minutes := range []kbr.Ticks{0, 40} {
		n.Run(n.Now()+minutes*kbr.Minute, nil)
		for row := range 2 {
			have, could, trip := ring.Cells(n.Up(), row)
			_, _, near := given.Cells(ideal.Up(), row)
			if minutes > 0 && (have != could || trip > 1.15*near) {
				t.Errorf("row %d has %d of %d, %.0f ms away, want about %.0f", row, have, could, trip, near)
			}
			t.Logf("%d min after the last join: row %d has %d of %d, %.0f ms away; those that are given are %.0f ms away", minutes, row, have, could, trip, near)
		}
	}
}

// While as many again join in one moment as there are, searches go right, but for those that end in the moment in which a node comes in.
func TestCrowd(t *testing.T) {
	const nodes = 200
	n, _ := network(t, 2*nodes, 1)
	n.Settle(nodes, true)
	for i := 1; i <= nodes; i++ {
		n.Join(kbr.Node(nodes+i), kbr.Node(i))
	}
	right, wrong := 0, 0
	for i := range 3000 {
		n.Search(n.Now(), kbr.Node(1+i%nodes), kbr.Tag(i))
		n.Run(n.Now()+10*kbr.Millisecond, nil)
		for _, r := range n.Results() {
			if r.Node == n.Owner(r.Key) {
				right++
			} else {
				wrong++
			}
		}
	}
	t.Logf("%d right, %d wrong", right, wrong)
	if right < 2900 || wrong > 30 {
		t.Errorf("of 3000 searches %d were right and %d wrong", right, wrong)
	}
}
