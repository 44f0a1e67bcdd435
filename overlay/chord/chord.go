// Package chord is the Chord overlay as a pure engine: Stoica, Morris, Liben-Nowell, Karger, Kaashoek, Dabek, Balakrishnan, "Chord: A Scalable Peer-to-Peer
// Lookup Protocol for Internet Applications", IEEE/ACM Transactions on Networking 11(1), 2003 (ToN'03 below).
//
// The ring is kept by the operations of Zave, "Reasoning about Identifier Spaces: How to Make Chord Correct", IEEE Transactions on Software Engineering 43(12),
// 2017, since those of the papers before can break it for good; Audit checks her invariant. Its one idea: a key belongs to the first node at or after it on a
// ring; each node knows the next few nodes, which makes it right, and nodes half the ring away, a quarter, an eighth, which makes it fast.
//
// It is no store: what is kept under a key is the business of who uses the overlay.
package chord

import (
	"fmt"
	"slices"
	"unsafe"

	"kith"
	"kith/overlay/kbr"
)

// Limits of a configuration.
const (
	MaxSuccessors = kbr.MaxNodes
	Fingers       = 32 // the one half the ring away, and so on down to 2^128 places: nearer than that are only successors, in any network that fits in a Table

	onTheWay = 8                       // nodes nearer to the key that a node names when it is asked for the way
	atTheEnd = kbr.MaxNodes - onTheWay // and nodes behind it: its whole successor list, since all but the last of these may be dead
)

// Config is what the nodes of a network agree on. The zero value is not valid: see Default.
type Config struct {
	Successors int       // r, the length of successor lists; 2*log2(N) in ToN'03
	Round      kbr.Ticks // the mean time between two rounds of upkeep; each is between half and one and a half of it
	Repair     int       // every how many rounds a finger is looked for anew, one after the other
	Doubts     bool      // successors may leave out whom they like; see doubts.go; not in the papers
	Eager      bool      // who has other neighbours than before says so to its predecessor, which does not wait for its next round then; not in the papers
	Alternates int       // s: a finger is the nearest, in time, of so many nodes at and after its place (ToN'03, section VI.F)
}

// Default is the configuration of ToN'03, sections VI.C and VI.D.
func Default() Config {
	return Config{Successors: 20, Round: 30 * kbr.Second, Repair: 1, Alternates: 1}
}

// Check says what is wrong with the configuration. Its error is Invalid.
func (c Config) Check() error {
	switch {
	case c.Successors < 1 || c.Successors > MaxSuccessors:
		return kith.Hint(fmt.Errorf("chord: a successor list of %d: %w", c.Successors, kith.Invalid), "1 to %d; one of 1 breaks with the first node that fails", MaxSuccessors)
	case c.Round < kbr.Second || c.Round > 24*60*kbr.Minute:
		return kith.Hint(fmt.Errorf("chord: a round of upkeep every %d ms: %w", c.Round/kbr.Millisecond, kith.Invalid), "one second to one day")
	case c.Repair < 1 || c.Repair > 1000:
		return kith.Hint(fmt.Errorf("chord: a finger repaired every %d rounds: %w", c.Repair, kith.Invalid), "1 to 1000")
	case c.Alternates < 1 || c.Alternates > MaxSuccessors:
		return kith.Hint(fmt.Errorf("chord: %d alternates for a finger: %w", c.Alternates, kith.Invalid), "1 to %d; 1 is none but the finger itself", MaxSuccessors)
	}
	return nil
}

// A Chord is one node of the overlay. It is five lines of a cache, of which a question needs three: the first, sixteen fingers, and the last successors.
type Chord struct {
	ring   *Ring
	best   kbr.Ticks // the least round trip of the alternates for the finger that was looked for last
	self   kbr.Node
	pred   kbr.Node // the one before, None while unknown
	via    kbr.Node // whom it joins through
	turn   uint16   // counts the node's lives: timers of one mean nothing in the next
	rounds uint16   // since a finger was repaired
	succs  uint8    // how many of succ there are
	fix    uint8    // the finger that is repaired next
	walked uint8    // steps of a join along the ring
	met    uint8    // nodes that may be of another ring, this round
	hidden uint8    // rounds since it has told those before it that it is there
	alone  bool     // if it cannot join it is a ring of its own
	phase  phase
	_      [22]byte
	finger [Fingers]kbr.Node       // [i] is the first at or after self + 2^(159-i); None where the successor list says it
	succ   [MaxSuccessors]kbr.Node // the next ones; of who joins, with Doubts, what begin and found have noted
}

type phase uint8

const (
	out phase = iota
	joining
	member
)

// BytesPerNode is what a node takes of memory.
const BytesPerNode = int(unsafe.Sizeof(Chord{}))

// A Ring is what all nodes of a process share: the configuration, the places, and room for their states.
type Ring struct {
	Config
	table *kbr.Table
	nodes []Chord // by number

	members []kbr.Node // of Audit, as the next one
	at      []int32
}

// New returns a ring without nodes. The configuration must be valid.
func New(c Config, t *kbr.Table) *Ring { return &Ring{Config: c, table: t} }

// Grow makes room for all nodes that are in the table now. Engines from before are no longer valid.
func (r *Ring) Grow() {
	r.nodes = slices.Grow(r.nodes, r.table.Len()+1-len(r.nodes))
	for n := len(r.nodes); n <= r.table.Len(); n++ {
		r.nodes = append(r.nodes, Chord{ring: r, self: kbr.Node(n)})
	}
}

// Engine returns the engine of a node.
func (r *Ring) Engine(n kbr.Node) kbr.Engine { return &r.nodes[n] }

func (r *Ring) id(n kbr.Node) kbr.ID { return r.table.ID(n) }

func (c *Chord) id() kbr.ID { return c.ring.table.ID(c.self) }

// Warm reads what the next steps of nodes will read, of which the first are asked about keys; see kbr.Host.
func (r *Ring) Warm(nodes []kbr.Node, keys []kbr.ID) (x uint64) {
	for i, n := range nodes {
		c := &r.nodes[n]
		x += uint64(c.self)
		if i < len(keys) {
			x += uint64(c.succ[MaxSuccessors/2] + c.finger[0])
		}
	}
	for i, key := range keys {
		c := &r.nodes[nodes[i]]
		first := key.Sub(c.id()).Zeros()
		x += r.table.Warm(c.finger[min(first, Fingers):min(first+1+onTheWay, Fingers)]) + r.table.Warm(c.succ[max(0, int(c.succs)-1):c.succs])
	}
	return x
}

// between reports whether x lies on the way from a to b, neither included.
func (c *Chord) between(a, x, b kbr.Node) bool {
	return kbr.Between(c.ring.id(a), c.ring.id(x), c.ring.id(b))
}

// successors returns the successor list.
func (c *Chord) successors() []kbr.Node { return c.succ[:c.succs] }

// adopt makes the successor list of some nodes in a row: as many as there is room for, up to this node itself, and not beyond one that is out of order, which
// the invariant excludes among nodes that are right.
func (c *Chord) adopt(first kbr.Node, rest []kbr.Node) {
	c.succs = 0
	if !c.append(first) {
		return
	}
	for _, n := range rest {
		if !c.append(n) {
			return
		}
	}
}

func (c *Chord) append(n kbr.Node) bool {
	if n == kbr.None || n == c.self || int(c.succs) == c.ring.Successors || c.succs > 0 && !c.between(c.succ[c.succs-1], n, c.self) {
		return false
	}
	c.succ[c.succs] = n
	c.succs++
	return true
}

// knows reports whether a node is in one of the tables.
func (c *Chord) knows(n kbr.Node) bool {
	return c.pred == n || slices.Contains(c.successors(), n) || slices.Contains(c.finger[:], n)
}

// drop forgets a node that does not answer.
func (c *Chord) drop(n kbr.Node) {
	kept := c.succ[:0]
	for _, s := range c.successors() {
		if s != n {
			kept = append(kept, s)
		}
	}
	c.succs = uint8(len(kept))
	for i := range c.finger {
		if c.finger[i] == n {
			c.finger[i] = kbr.None
		}
	}
	if c.pred == n {
		c.pred = kbr.None
	}
}

// Known appends to dst the nodes that are in one of the tables.
func (c *Chord) Known(dst []kbr.Node) []kbr.Node {
	dst = append(dst, c.successors()...)
	for _, n := range append(c.finger[:], c.pred, c.via) {
		if n != kbr.None {
			dst = append(dst, n)
		}
	}
	return dst
}

// Replicas implements kbr.Engine: the node itself, and those that come after it.
func (c *Chord) Replicas(r int, dst []kbr.Node) []kbr.Node {
	if r <= 0 || c.phase != member {
		return dst
	}
	dst = append(dst, c.self)
	return append(dst, c.succ[:min(r-1, int(c.succs))]...)
}
