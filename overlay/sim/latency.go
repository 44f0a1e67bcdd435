package sim

import (
	"fmt"
	"math"
	"strings"

	"kith"
	"kith/overlay/kbr"
)

// A Latency says how long a message is on its way from one node to another.
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
	var sum float64
	for axis := range uint64(3) {
		d := unit(n.draw(forLatency, a, axis)) - unit(n.draw(forLatency, b, axis))
		sum += d * d
	}
	return max(leastLatency, kbr.Ticks(math.Sqrt(sum/3)*float64(s)))
}

// Least implements Latency.
func (Space) Least() kbr.Ticks { return leastLatency }

// String implements Latency.
func (s Space) String() string {
	return fmt.Sprintf("3-d, at most %d ms", kbr.Ticks(s)/kbr.Millisecond)
}

// ParseLatency reads the name of a model. Its error is Invalid.
func ParseLatency(s string) (Latency, error) {
	switch strings.ToLower(s) {
	case "constant", "":
		return Constant(50 * kbr.Millisecond), nil
	case "3d", "3-d":
		return Space(200 * kbr.Millisecond), nil
	}
	return nil, kith.Hint(fmt.Errorf("sim: no latency model %q: %w", s, kith.Invalid), "there are constant and 3d")
}
