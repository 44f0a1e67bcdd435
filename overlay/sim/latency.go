package sim

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
	"sync"

	"kith"
	"kith/overlay/kbr"
)

// A Latency says how long a message is on its way from one node to another. It keeps nothing for each node.
type Latency interface {
	Between(n *Net, a, b kbr.Node) kbr.Ticks
	Least() kbr.Ticks // between any two
	String() string
}

// Constant is the same time for every message.
type Constant kbr.Ticks

// Between implements Latency.
func (c Constant) Between(*Net, kbr.Node, kbr.Node) kbr.Ticks { return kbr.Ticks(c) }

// Least implements Latency.
func (c Constant) Least() kbr.Ticks { return kbr.Ticks(c) }

// String implements Latency.
func (c Constant) String() string {
	return fmt.Sprintf("constant, %d ms", kbr.Ticks(c)/kbr.Millisecond)
}

// Space puts nodes at random in a cube whose diagonal is that long: the 3-d model of ToN'03, section VI.F.
type Space kbr.Ticks

// leastLatency is how long a message is on its way at least, in models where nodes can be near each other.
const leastLatency = kbr.Millisecond

// Between implements Latency.
func (s Space) Between(n *Net, a, b kbr.Node) kbr.Ticks {
	return max(leastLatency, kbr.Ticks(n.apart(a, b, 0)*float64(s)))
}

// apart returns how far two points of the unit cube are from each other, as a part of its diagonal; the draws for their places begin at first.
func (n *Net) apart(a, b kbr.Node, first uint64) float64 {
	var sum float64
	for axis := range uint64(3) {
		d := Unit(n.draw(forLatency, a, first+axis)) - Unit(n.draw(forLatency, b, first+axis))
		sum += d * d
	}
	return math.Sqrt(sum / 3)
}

// Least implements Latency.
func (Space) Least() kbr.Ticks { return leastLatency }

// String implements Latency.
func (s Space) String() string {
	return fmt.Sprintf("3-d, at most %d ms", kbr.Ticks(s)/kbr.Millisecond)
}

// Statistics of the King data set (Gummadi, Saroiu, Gribble, IMW 2002), round trips between name servers, as p2psim used it with 1,024 of its 1,740 hosts (Li et
// al., INFOCOM 2005).
const (
	kingHosts  = 1740
	kingMedian = 156 * kbr.Millisecond
	kingMean   = 178 * kbr.Millisecond
)

// King is a matrix of round trips between 1,740 hosts that has the median and the mean that are published of the King data set. It is drawn, and not the one that
// was measured: hosts are points in a cube, each with a line of its own, which says who is nearer to whom; and how long that takes is a lognormal distribution with that
// median and that mean. More nodes than hosts share them, one after the other; who shares one is two milliseconds away.
type King struct {
	far []float64 // quantiles of how far two hosts are from each other, least first
	rtt []float64 // and the round trips that belong to them, in ticks
}

// NewKing returns the model.
func NewKing() King { return king() }

var king = sync.OnceValue(func() King {
	const pairs, quantiles = 1 << 15, 512
	draws := &Net{}
	far := make([]float64, pairs)
	for i := range far {
		far[i] = draws.far(kbr.Node(2*i+1), kbr.Node(2*i+2))
	}
	slices.Sort(far)
	k := King{far: make([]float64, quantiles+1), rtt: make([]float64, quantiles+1)}
	sigma := math.Sqrt(2 * math.Log(float64(kingMean)/float64(kingMedian)))
	for i := range k.far {
		p := min(max(float64(i)/quantiles, 0.2/quantiles), 1-0.2/quantiles)
		k.far[i] = far[int(p*(pairs-1))]
		k.rtt[i] = float64(kingMedian) * math.Exp(sigma*math.Sqrt2*math.Erfinv(2*p-1))
	}
	return k
})

// far returns how far two hosts of King are from each other, in no unit.
func (n *Net) far(a, b kbr.Node) float64 {
	const first = 1 << 20 // of the draws, behind those of others
	const line = 0.1      // what the line of a host adds, in the mean
	own := -math.Log(1-Unit(n.draw(forLatency, a, first+3))) - math.Log(1-Unit(n.draw(forLatency, b, first+3)))
	return n.apart(a, b, first) + line*own
}

// Between implements Latency.
func (k King) Between(n *Net, a, b kbr.Node) kbr.Ticks {
	a, b = 1+(a-1)%kingHosts, 1+(b-1)%kingHosts
	if a == b {
		return leastLatency
	}
	far := n.far(a, b)
	i := min(max(sort.SearchFloat64s(k.far, far), 1), len(k.far)-1)
	part := min(max((far-k.far[i-1])/(k.far[i]-k.far[i-1]), 0), 1)
	return max(leastLatency, kbr.Ticks((k.rtt[i-1]+part*(k.rtt[i]-k.rtt[i-1]))/2))
}

// Least implements Latency.
func (King) Least() kbr.Ticks { return leastLatency }

// String implements Latency.
func (King) String() string {
	return fmt.Sprintf("king, drawn with a median round trip of %d ms and a mean of %d", kingMedian/kbr.Millisecond, kingMean/kbr.Millisecond)
}

// Shape of TransitStub: about 5,000 places, as in ToN'03; how they are divided is not said there.
const (
	domains       = 4
	inDomain      = 5 // transit nodes
	stubsOfOne    = 5 // of each of these
	inStub        = 50
	stubs         = domains * inDomain * stubsOfOne
	transit       = 50 * kbr.Millisecond // a line between transit nodes
	toStub        = 20 * kbr.Millisecond // from one of these to a stub
	insideStub    = kbr.Millisecond
	transitLinked = 0.6 // of the pairs of transit nodes of one domain
)

// TransitStub is a topology as GT-ITM makes them (Zegura, Calvert, Bhattacharjee, INFOCOM 1996), of 5,000 places with the lines of ToN'03, section VI.F: 50 ms between
// transit nodes, 20 ms from one of these to a stub, and 1 ms within a stub, of which every two places have a line. Nodes are in stubs at random.
type TransitStub struct {
	hops [domains * inDomain][domains * inDomain]uint8 // between transit nodes
}

// NewTransitStub makes the model: four domains of five transit nodes, each two domains with a line between them.
func NewTransitStub() *TransitStub {
	const nodes, never = domains * inDomain, 100
	t, drawn := &TransitStub{}, uint64(0)
	next := func() float64 {
		drawn++
		return Unit(Mix(drawn))
	}
	link := func(a, b int) { t.hops[a][b], t.hops[b][a] = 1, 1 }
	for a := range nodes {
		for b := range nodes {
			if a != b {
				t.hops[a][b] = never
			}
		}
	}
	for a := range nodes {
		link(a, a/inDomain*inDomain+(a+1)%inDomain) // so that it is in one piece
		for b := a + 1; b/inDomain == a/inDomain; b++ {
			if next() < transitLinked {
				link(a, b)
			}
		}
	}
	for a := range domains {
		for b := range a {
			link(a*inDomain+int(next()*inDomain), b*inDomain+int(next()*inDomain))
		}
	}
	for via := range nodes { // Floyd, Warshall
		for a := range nodes {
			for b := range nodes {
				t.hops[a][b] = min(t.hops[a][b], t.hops[a][via]+t.hops[via][b])
			}
		}
	}
	return t
}

// Between implements Latency.
func (t *TransitStub) Between(n *Net, a, b kbr.Node) kbr.Ticks {
	x, y := n.draw(forLatency, a, 0)%(stubs*inStub), n.draw(forLatency, b, 0)%(stubs*inStub)
	if x/inStub == y/inStub {
		return insideStub
	}
	hops := t.hops[x/inStub/stubsOfOne][y/inStub/stubsOfOne]
	return 2*insideStub + 2*toStub + kbr.Ticks(hops)*transit
}

// Least implements Latency.
func (*TransitStub) Least() kbr.Ticks { return insideStub }

// String implements Latency.
func (*TransitStub) String() string {
	return fmt.Sprintf("transit-stub, %d, %d and %d ms", transit/kbr.Millisecond, toStub/kbr.Millisecond, insideStub/kbr.Millisecond)
}

// ParseLatency reads the name of a model. Its error is Invalid.
func ParseLatency(s string) (Latency, error) {
	switch strings.ToLower(s) {
	case "constant", "":
		return Constant(50 * kbr.Millisecond), nil
	case "3d", "3-d":
		return Space(200 * kbr.Millisecond), nil
	case "king":
		return NewKing(), nil
	case "transit-stub":
		return NewTransitStub(), nil
	}
	return nil, kith.Hint(fmt.Errorf("sim: no latency model %q: %w", s, kith.Invalid), "there are constant, 3d, king and transit-stub")
}
