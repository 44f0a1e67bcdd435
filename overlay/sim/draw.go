package sim

import (
	"encoding/binary"

	"kith/overlay/kbr"
)

// Mix is the finalizer of SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014): each bit of x changes half of those of the
// result.
func Mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// What random numbers are for: numbers for one purpose are independent of how many are drawn for another.
const (
	forPlace uint64 = iota + 1 // where nodes are on the ring
	forStep                    // what engines spread
	forLatency
	forLoss
	forKey
	forFailure
	forChurn
	forTarget
	forHostile
	forSevered
	forTimeline
)

// draw returns the i-th random number of a node for a purpose: nothing is kept but counters, so that who draws first does not matter.
func (n *Net) draw(purpose uint64, node kbr.Node, i uint64) uint64 {
	return Draw(n.o.Seed, purpose, uint64(node), i)
}

// Draw returns the i-th random number of somebody for a purpose, of less than 256: what n.draw is, for simulations of other things.
func Draw(seed, purpose, who, i uint64) uint64 { return Mix(Mix(Mix(seed^purpose<<56)^who) ^ i) }

// Unit makes a number from 0 up to 1 of a random one.
func Unit(x uint64) float64 { return float64(x>>11) / (1 << 53) }

// place returns a random ID.
func (n *Net) place(purpose uint64, node kbr.Node, i uint64) kbr.ID {
	var b [24]byte
	for k := range uint64(3) {
		binary.BigEndian.PutUint64(b[8*k:], n.draw(purpose, node, 3*i+k))
	}
	return kbr.FromBytes([kbr.Bits / 8]byte(b[:]))
}
