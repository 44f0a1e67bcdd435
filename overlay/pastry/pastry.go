// Package pastry is the Pastry overlay as a pure engine: Rowstron, Druschel, "Pastry: Scalable, Decentralized Object Location and Routing for Large-Scale
// Peer-to-Peer Systems", Middleware 2001 (M'01 below). Its leaf sets are kept as in Bamboo: Rhea, Geels, Roscoe, Kubiatowicz, "Handling Churn in a DHT", USENIX
// 2004 (U'04): now and then, and not each time that something changes.
//
// Its one idea: a key belongs to the node whose place is nearest; each node knows the next few on both sides, its leaf set, which makes it right, and for each digit
// that an ID may have behind each beginning of its own a node that is near in time, its routing table, which makes it fast.
//
// It is no store: what is kept under a key is the business of who uses the overlay.
package pastry

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"unsafe"

	"kith"
	"kith/overlay/kbr"
)

// Limits of a configuration.
const (
	MaxDigit      = 5            // bits: a row of the routing table must fit into a message
	MaxLeafs      = kbr.MaxNodes // as must a leaf set
	MaxNeighbours = kbr.MaxNodes // and a neighbourhood set
	MaxProbes     = 64

	// logNodes is for how many nodes, as a power of two, a routing table has rows: who shares more digits than that is in the leaf set.
	logNodes = 22

	side     = MaxLeafs / 2
	inFlight = kbr.MaxNodes // nodes that are asked whether they are there, at once
	missed   = 8            // nodes that did not answer and are not forgotten yet
)

// Config is what the nodes of a network agree on. The zero value is not valid: see Default.
type Config struct {
	Digit      int       // b, the bits of a digit
	Leafs      int       // L, the size of leaf sets, of which half is on each side
	Neighbours int       // M, the size of neighbourhood sets
	Round      kbr.Ticks // the mean time between two rounds of upkeep; each is between half and one and a half of it
	Probes     int       // entries of the routing table that a round asks whether they are there, and for their row
}

// Default is the configuration of M'01's experiments, with rounds as Chord's.
func Default() Config {
	return Config{Digit: 4, Leafs: 16, Neighbours: 32, Round: 30 * kbr.Second, Probes: 4}
}

// Check says what is wrong with the configuration. Its error is Invalid.
func (c Config) Check() error {
	switch {
	case c.Digit < 1 || c.Digit > MaxDigit:
		return kith.Hint(fmt.Errorf("pastry: digits of %d bits: %w", c.Digit, kith.Invalid), "1 to %d; 4 is usual", MaxDigit)
	case c.Leafs < 2 || c.Leafs > MaxLeafs || c.Leafs%2 != 0:
		return kith.Hint(fmt.Errorf("pastry: a leaf set of %d: %w", c.Leafs, kith.Invalid), "an even number from 2 to %d; one of 2 breaks with the first two nodes that fail", MaxLeafs)
	case c.Neighbours < 0 || c.Neighbours > MaxNeighbours:
		return kith.Hint(fmt.Errorf("pastry: a neighbourhood set of %d: %w", c.Neighbours, kith.Invalid), "0 to %d", MaxNeighbours)
	case c.Round < kbr.Second || c.Round > 24*60*kbr.Minute:
		return kith.Hint(fmt.Errorf("pastry: a round of upkeep every %d ms: %w", c.Round/kbr.Millisecond, kith.Invalid), "one second to one day")
	case c.Probes < 1 || c.Probes > MaxProbes:
		return kith.Hint(fmt.Errorf("pastry: %d entries of the routing table asked in a round: %w", c.Probes, kith.Invalid), "1 to %d", MaxProbes)
	}
	return nil
}

func (c Config) rows() int { return (logNodes + c.Digit - 1) / c.Digit }

// cells returns how many places a routing table has.
func (c Config) cells() int { return c.rows() << c.Digit }

// near returns how many nodes are kept with the round trip to them.
func (c Config) near() int { return c.cells() + c.Neighbours }

// BytesPerNode returns what a node takes of memory.
func (c Config) BytesPerNode() int {
	return int(unsafe.Sizeof(Pastry{})) + c.near()*int(unsafe.Sizeof(kbr.Node(0))+unsafe.Sizeof(trip(0)))
}

// A Pastry is one node of the overlay. Its routing table and neighbourhood set are in the Ring.
type Pastry struct {
	ring   *Ring
	self   kbr.Node
	via    kbr.Node           // whom it joins through
	leaf   [2][side]kbr.Node  // the next ones, clockwise and counterclockwise, nearest first; in a small ring a node is in both
	leafs  [2]uint8           // how many there are
	flying [inFlight]kbr.Node // who is asked whether it is there
	gone   [missed]kbr.Node   // who did not answer, the last ones
	miss   uint8              // where the next one is written down
	known  uint8              // leaf sets in a row that were told and named nobody new
	cell   uint16             // of the routing table, which is asked next
	rounds uint16             // of upkeep
	turn   uint16             // counts the node's lives: timers of one mean nothing in the next
	phase  phase
	small  bool // of a join: the ring is so small that leaf sets go all around
	same   bool // nothing has happened since Audit looked
}

type phase uint8

const (
	out phase = iota
	joining
	member
)

// A Ring is what all nodes of a process share: the configuration, the places, and room for their states.
type Ring struct {
	Config
	table *kbr.Table
	nodes []Pastry   // by number
	nears []kbr.Node // of each node its routing table, row by row, and its neighbourhood set, nearest first
	trips []trip     // to these

	members []bool // of Audit
}

// New returns a ring without nodes. The configuration must be valid.
func New(c Config, t *kbr.Table) *Ring { return &Ring{Config: c, table: t} }

// Grow makes room for all nodes that are in the table now. Engines from before are no longer valid.
func (r *Ring) Grow() {
	more := r.table.Len() + 1 - len(r.nodes)
	if more <= 0 {
		return
	}
	r.nodes, r.nears, r.trips = slices.Grow(r.nodes, more), slices.Grow(r.nears, more*r.near()), slices.Grow(r.trips, more*r.near())
	for n := len(r.nodes); n <= r.table.Len(); n++ {
		r.nodes = append(r.nodes, Pastry{ring: r, self: kbr.Node(n)})
	}
	r.nears, r.trips = r.nears[:len(r.nodes)*r.near()], r.trips[:len(r.nodes)*r.near()]
}

// Engine returns the engine of a node.
func (r *Ring) Engine(n kbr.Node) kbr.Engine { return &r.nodes[n] }

func (r *Ring) id(n kbr.Node) kbr.ID { return r.table.ID(n) }

func (p *Pastry) id() kbr.ID { return p.ring.table.ID(p.self) }

// Warm reads what the next steps of nodes will read, of which the first are asked about keys; see kbr.Host.
func (r *Ring) Warm(nodes []kbr.Node, keys []kbr.ID) (x uint64) {
	const line = 16 // nodes in a line of a cache
	for _, n := range nodes {
		p := &r.nodes[n]
		x += uint64(p.self + p.leaf[0][0] + p.leaf[1][0] + p.flying[0] + p.gone[0])
		for near := p.nears(); len(near) > 0; near = near[min(line, len(near)):] {
			x += uint64(near[0])
		}
	}
	for i, key := range keys {
		p := &r.nodes[nodes[i]]
		if row := r.shared(key, p.id()); row < r.rows() {
			x += r.table.Warm(p.nears()[row<<r.Digit : r.cells()])
		}
	}
	return x
}

// reset makes it a node that knows nobody.
func (p *Pastry) reset(now phase, via kbr.Node) {
	*p = Pastry{ring: p.ring, self: p.self, turn: p.turn + 1, phase: now, via: via}
	clear(p.nears())
	clear(p.trips())
}

// Known appends to dst the nodes that this one has in mind, some of them more than once.
func (p *Pastry) Known(dst []kbr.Node) []kbr.Node {
	for _, from := range [][]kbr.Node{p.on(0), p.on(1), p.nears(), p.flying[:], p.gone[:], {p.via}} {
		for _, n := range from {
			if n != kbr.None {
				dst = append(dst, n)
			}
		}
	}
	return dst
}

// distance returns how far it is between two places, the shorter way around.
func distance(a, b kbr.ID) kbr.ID {
	d, e := a.Sub(b), b.Sub(a)
	if e.Less(d) {
		return e
	}
	return d
}

// high returns the first 64 bits of an ID, which are more than routing tables tell apart.
func high(id kbr.ID) uint64 {
	b := id.Bytes()
	return binary.BigEndian.Uint64(b[:])
}

// shared returns how many digits two IDs begin with that are the same.
func (c Config) shared(a, b kbr.ID) int { return bits.LeadingZeros64(high(a)^high(b)) / c.Digit }

// digit returns one of the first digits of an ID.
func (c Config) digit(id kbr.ID, at int) int {
	return int(high(id) << (at * c.Digit) >> (64 - c.Digit))
}

// Distance implements kbr.Engine. Ends count by how far they are around the ring. On the way who shares more digits with the key comes first, and of those that share
// as many who is nearer around the ring.
func (p *Pastry) Distance(key kbr.ID, end bool, n kbr.Node) kbr.ID {
	id := p.ring.id(n)
	d := distance(key, id)
	if end {
		return d
	}
	var way [kbr.Bits / 8]byte
	b := d.Bytes()
	way[0] = byte(64 - p.ring.shared(key, id))
	copy(way[1:], b[:])
	return kbr.FromBytes(way)
}

// Replicas implements kbr.Engine: the node itself, and those that are nearest to it on both sides.
func (p *Pastry) Replicas(r int, dst []kbr.Node) []kbr.Node {
	if r <= 0 || p.phase != member {
		return dst
	}
	first := len(dst)
	dst = append(dst, p.self)
	i, j := 0, 0 // of both sides
	for r--; r > 0; r-- {
		n, m := p.at(0, i), p.at(1, j)
		switch {
		case n == kbr.None && m == kbr.None:
			return dst
		case m == kbr.None || n != kbr.None && p.away(0, n).Less(p.away(1, m)):
			i++
		default:
			n = m
			j++
		}
		if slices.Contains(dst[first:], n) { // it was met from the other side
			r++
			continue
		}
		dst = append(dst, n)
	}
	return dst
}
