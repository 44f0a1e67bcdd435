// Package kademlia is the Kademlia overlay as a pure engine: Maymounkov and Mazières, "Kademlia: A Peer-to-Peer Information System Based on the XOR Metric", IPTPS
// 2002, with the disjoint paths of S/Kademlia (Baumgart and Mies, ICPADS 2007).
//
// Its one idea: how far two places are from each other is their XOR, which is the same from both ends, so that a node learns from whoever asks it something whom
// it can ask itself. Nodes that share a prefix of some length with a node are in one bucket of its; the longer the prefix, the fewer there are, and of its own
// neighbourhood it knows everybody.
//
// It is no store: what is kept under a key is the business of who uses the overlay.
package kademlia

import (
	"fmt"
	"unsafe"

	"kith"
	"kith/overlay/kbr"
)

// Limits of a configuration.
const (
	MaxK   = kbr.MaxNodes
	Levels = 40 // buckets: the last has all nodes that share so many bits less one or more

	last = Levels - 1
)

// Config is what the nodes of a network agree on. The zero value is not valid: see Default.
type Config struct {
	K          int       // nodes in a bucket, and nodes around its own place that a node knows all of
	Alpha      int       // how many nodes a search asks at once
	Beta       int       // how many of the nearest nodes must have answered a search before it is over
	Paths      int       // disjoint paths of a search, of which each asks Alpha at once
	Tell       int       // nodes that an answer names
	Cache      int       // nodes that are kept in mind for each bucket that is full
	Round      kbr.Ticks // the mean time between two rounds of upkeep; each is between half and one and a half of it
	Refresh    kbr.Ticks // a bucket of whose nodes one was not heard from for so long is searched in
	Alternates int       // a contact is the nearest, in time, of so many that fit; 1 takes them as they come
}

// Default is the configuration of the paper, where that says one; Beta is that of the library in go-libp2p.
func Default() Config {
	return Config{K: 20, Alpha: 3, Beta: 3, Paths: 1, Tell: 20, Cache: 4, Round: 30 * kbr.Second, Refresh: 60 * kbr.Minute, Alternates: 1}
}

// Check says what is wrong with the configuration. Its error is Invalid.
func (c Config) Check() error {
	bad := func(what string, n, least, most int) error {
		return kith.Hint(fmt.Errorf("kademlia: %s %d: %w", what, n, kith.Invalid), "%d to %d", least, most)
	}
	const day = 24 * 60 * kbr.Minute
	switch {
	case c.K < 1 || c.K > MaxK:
		return bad("buckets of", c.K, 1, MaxK)
	case c.Alpha < 1 || c.Alpha > 16:
		return bad("searches that ask at once", c.Alpha, 1, 16)
	case c.Beta < 1 || c.Beta > MaxK:
		return bad("nearest nodes that must have answered:", c.Beta, 1, MaxK)
	case c.Beta > c.K:
		return kith.Hint(fmt.Errorf("kademlia: %d nearest nodes must have answered, of buckets of %d: %w", c.Beta, c.K, kith.Invalid), "no more than a bucket has")
	case c.Paths < 1 || c.Paths > kbr.MaxPaths:
		return bad("disjoint paths:", c.Paths, 1, kbr.MaxPaths)
	case c.Tell < 1 || c.Tell > kbr.MaxNodes:
		return bad("nodes that an answer names:", c.Tell, 1, kbr.MaxNodes)
	case c.Cache < 0 || c.Cache > 64:
		return bad("nodes in mind for a bucket:", c.Cache, 0, 64)
	case c.Round < kbr.Second || c.Round > day:
		return kith.Hint(fmt.Errorf("kademlia: a round of upkeep every %d ms: %w", c.Round/kbr.Millisecond, kith.Invalid), "one second to one day")
	case c.Refresh < kbr.Minute || c.Refresh > day:
		return kith.Hint(fmt.Errorf("kademlia: buckets refreshed after %d ms: %w", c.Refresh/kbr.Millisecond, kith.Invalid), "one minute to one day")
	case c.Alternates < 1 || c.Alternates > 64:
		return bad("alternates for a contact:", c.Alternates, 1, 64)
	}
	return nil
}

// A Kademlia is one node of the overlay.
type Kademlia struct {
	tree   *Tree
	bucket [Levels]uint32 // where it is in the slab; 0 while there was nobody for it
	swept  [Levels]uint16 // when it was searched in, as a stamp
	self   kbr.Node
	via    kbr.Node // whom it joins through
	turn   uint16   // counts the node's lives: timers of one mean nothing in the next
	asks   uint16   // counts neighbours that were asked who is near
	top    uint8    // no bucket from here on has anybody in it
	wary   uint8    // more than 0 when contacts were found gone: more are checked then
	probe  uint8    // the bucket of which one in mind is measured next
	sweep  uint8    // and searched in, if it is time
	phase  phase
	met    bool   // it has looked for its place in another network in this round
	before uint32 // its neighbourhood, before it did
}

type phase uint8

const (
	out phase = iota
	joining
	member
)

// A contact is a node that has been heard from.
type contact struct {
	node kbr.Node
	rtt  uint16 // in units of a tenth of a millisecond; 0 is unknown; the highest bit says that it has let a search wait
	seen stamp  // when it was heard from last
}

const (
	suspect  uint16 = 1 << 15
	rttUnit         = kbr.Millisecond / 10
	stampFor        = 4 * kbr.Second
)

func asUnits(rtt kbr.Ticks) uint16 { return uint16(min(rtt/rttUnit, kbr.Ticks(suspect-1))) }

// A stamp is a time in units of 4 s, from which one up to three days later can be told.
type stamp = uint16

func stampOf(now kbr.Ticks) stamp { return stamp(now / stampFor) }

// since returns how long ago a stamp was.
func since(now kbr.Ticks, s stamp) kbr.Ticks { return kbr.Ticks(stampOf(now)-s) * stampFor }

// A Tree is what all nodes of a process share: the configuration, the places, and room for their states.
type Tree struct {
	Config
	table *kbr.Table
	nodes []Kademlia // by number
	slabs [kbr.Parts]slab

	members []kbr.Node // of Audit, as the next one
	in      []bool
	seen    []kbr.Node // [n] is the node whose buckets are checked, if n was in them
}

// A slab has the buckets of a part of the nodes.
type slab struct {
	pages   [][]contact // of blocks, each a bucket: a head, contacts, and what is kept in mind
	used    uint32      // blocks; 0 is no block
	free    uint32      // the first of those that are free: each head has the next
	stepped []kbr.Node  // nodes to which something happened since the last Audit; when it is full, perhaps to others too
}

const pageBlocks = 1 << 10

const maxStepped = 16

// New returns a tree without nodes. The configuration must be valid.
func New(c Config, t *kbr.Table) *Tree {
	r := &Tree{Config: c, table: t}
	for i := range r.slabs {
		r.slabs[i] = slab{used: 1, stepped: make([]kbr.Node, 0, maxStepped)}
	}
	return r
}

// BytesPerNode estimates what a node of a network takes of memory.
func (c Config) BytesPerNode(nodes int) int {
	deep := 3
	for n := nodes; n > 1; n /= 2 {
		deep++
	}
	return int(unsafe.Sizeof(Kademlia{})) + min(deep, Levels)*c.stride()*int(unsafe.Sizeof(contact{}))
}

func (c Config) stride() int { return 1 + c.K + c.Cache }

// Grow makes room for all nodes that are in the table now. Engines from before are no longer valid.
func (t *Tree) Grow() {
	if more := t.table.Len() + 1 - len(t.nodes); more > 0 {
		t.nodes = append(make([]Kademlia, 0, len(t.nodes)+more), t.nodes...)
	}
	for n := len(t.nodes); n <= t.table.Len(); n++ {
		t.nodes = append(t.nodes, Kademlia{tree: t, self: kbr.Node(n)})
	}
}

// Engine returns the engine of a node.
func (t *Tree) Engine(n kbr.Node) kbr.Engine { return &t.nodes[n] }

// Learns tells the Host that engines learn from traffic.
func (t *Tree) Learns() bool { return true }

// Metric tells the Host that there is one metric.
func (t *Tree) Metric() bool { return true }

// Searches tells the Host how users' searches go.
func (t *Tree) Searches() (parallel, ends, paths int) { return t.Alpha, t.Beta, t.Paths }

func (t *Tree) id(n kbr.Node) kbr.ID { return t.table.ID(n) }

func (c *Kademlia) id() kbr.ID { return c.tree.table.ID(c.self) }

// Warm reads what the next steps of nodes will read, of which the first are asked about keys; see kbr.Host.
func (t *Tree) Warm(nodes []kbr.Node, keys []kbr.ID) (x uint64) {
	for _, n := range nodes {
		c := &t.nodes[n]
		x += uint64(c.self) + uint64(c.bucket[4]+c.bucket[20]+c.bucket[36])
	}
	for i, key := range keys {
		for _, of := range t.nodes[nodes[i]].around(key) {
			x += uint64(of.node)
		}
	}
	for i, key := range keys {
		for _, of := range t.nodes[nodes[i]].around(key) {
			x += t.table.Warm([]kbr.Node{of.node})
		}
	}
	return x
}

// around returns the bucket in which a key would be, or the deepest one.
func (c *Kademlia) around(key kbr.ID) []contact {
	if c.top == 0 {
		return nil
	}
	return c.contacts(min(c.id().Xor(key).Zeros(), int(c.top)-1))
}

// level returns which bucket a node belongs in; this node itself has none.
func (c *Kademlia) level(n kbr.Node) int { return min(last, c.id().Xor(c.tree.id(n)).Zeros()) }

// A block is a bucket in the slab: contacts, least recently seen first, and then others for when one of these is gone, the most recently seen last.
type block []contact

func (c *Kademlia) slab() *slab { return &c.tree.slabs[c.self.Part()] }

func (c *Kademlia) block(i uint32) block {
	n := uint32(c.tree.stride())
	at := i % pageBlocks * n
	return c.slab().pages[i/pageBlocks][at : at+n]
}

// open returns a free block.
func (c *Kademlia) open() uint32 {
	s := c.slab()
	if i := s.free; i != 0 {
		b := c.block(i)
		s.free = uint32(b[0].node)
		clear(b)
		return i
	}
	if int(s.used/pageBlocks) == len(s.pages) {
		s.pages = append(s.pages, make([]contact, pageBlocks*c.tree.stride()))
	}
	s.used++
	return s.used - 1
}

// The head has how many contacts there are, and how many in mind.
func (b block) count() int     { return int(b[0].rtt) }
func (b block) kept() int      { return int(b[0].seen) }
func (b block) in() []contact  { return b[1 : 1+b.count()] }
func (b block) setCount(n int) { b[0].rtt = uint16(n) }
func (b block) setKept(n int)  { b[0].seen = uint16(n) }

func (c *Kademlia) mind(b block) []contact { return b[1+c.tree.K : 1+c.tree.K+b.kept()] }

// contacts returns the bucket of a level.
func (c *Kademlia) contacts(level int) []contact {
	if c.bucket[level] == 0 {
		return nil
	}
	return c.block(c.bucket[level]).in()
}

// deeper returns how many contacts are nearer than all of a level.
func (c *Kademlia) deeper(level int) (n int) {
	for l := level + 1; l < int(c.top); l++ {
		n += len(c.contacts(l))
	}
	return n
}

// complete reports whether this node knows everybody who is on a level, as far as it can tell: it is within its neighbourhood, and there is room for more.
func (c *Kademlia) complete(level int) bool {
	return len(c.contacts(level)) < c.tree.K && c.deeper(level) < c.tree.K
}

func index(s []contact, n kbr.Node) int {
	for i := range s {
		if s[i].node == n {
			return i
		}
	}
	return -1
}

// contact returns that of a node, or nil.
func (c *Kademlia) contact(n kbr.Node) *contact {
	if n == kbr.None || n == c.self {
		return nil
	}
	s := c.contacts(c.level(n))
	if i := index(s, n); i >= 0 {
		return &s[i]
	}
	return nil
}

// reset makes the node one that knows nobody.
func (c *Kademlia) reset(p phase) {
	for _, i := range c.bucket {
		if i != 0 {
			c.block(i)[0] = contact{node: kbr.Node(c.slab().free)}
			c.slab().free = i
		}
	}
	*c = Kademlia{tree: c.tree, self: c.self, turn: c.turn + 1, phase: p}
}

// heard takes in that a node is there, and how long its answer took, or 0. A bucket that is full keeps whom it has, but for two reasons: where this node should know
// everybody, the nearest count, and with alternates those that are nearest in time.
func (c *Kademlia) heard(now kbr.Ticks, n kbr.Node, took kbr.Ticks) {
	if n == kbr.None || n == c.self {
		return
	}
	level := c.level(n)
	if c.bucket[level] == 0 {
		c.bucket[level] = c.open()
		c.top = max(c.top, uint8(level+1))
	}
	b := c.block(c.bucket[level])
	x := contact{node: n, rtt: asUnits(took), seen: stampOf(now)}
	s := b.in()
	if i := index(s, n); i >= 0 { // to the end
		if x.rtt == 0 {
			x.rtt = s[i].rtt &^ suspect
		}
		copy(s[i:], s[i+1:])
		s[len(s)-1] = x
		return
	}
	m := c.mind(b)
	if i := index(m, n); i >= 0 {
		if x.rtt == 0 {
			x.rtt = m[i].rtt
		}
		copy(m[i:], m[i+1:])
		b.setKept(len(m) - 1)
	}
	if len(s) == c.tree.K {
		i := c.worst(level, s, x)
		if i < 0 {
			c.keep(b, x)
			return
		}
		c.keep(b, s[i])
		copy(s[i:], s[i+1:])
		b.setCount(len(s) - 1)
	}
	b.setCount(b.count() + 1)
	b[b.count()] = x
}

// worst returns which contact of a full bucket has to give way to x, or -1.
func (c *Kademlia) worst(level int, s []contact, x contact) (worst int) {
	switch {
	case c.deeper(level) < c.tree.K:
		worst = -1
		self := c.id()
		far := c.tree.id(x.node).Xor(self)
		for i := range s {
			if d := c.tree.id(s[i].node).Xor(self); far.Less(d) {
				worst, far = i, d
			}
		}
		return worst
	case c.tree.Alternates > 1 && x.rtt != 0:
		worst = -1
		for i, most := 0, x.rtt; i < len(s); i++ {
			if r := s[i].rtt &^ suspect; r > most {
				worst, most = i, r
			}
		}
		return worst
	}
	return -1
}

// keep keeps a node in mind, as the most recent one.
func (c *Kademlia) keep(b block, x contact) {
	m := c.mind(b)
	if c.tree.Cache == 0 {
		return
	}
	if len(m) == c.tree.Cache {
		copy(m, m[1:])
		b.setKept(len(m) - 1)
	}
	b[1+c.tree.K+b.kept()] = x
	b.setKept(b.kept() + 1)
}

// drop forgets a node that does not answer. In its place comes who is in mind, the most recent one, as the one who is asked first whether it is there.
func (c *Kademlia) drop(n kbr.Node) {
	if n == kbr.None || n == c.self || c.bucket[c.level(n)] == 0 {
		return
	}
	b := c.block(c.bucket[c.level(n)])
	m := c.mind(b)
	if i := index(m, n); i >= 0 {
		copy(m[i:], m[i+1:])
		b.setKept(len(m) - 1)
		return
	}
	s := b.in()
	i := index(s, n)
	if i < 0 {
		return
	}
	if k := len(m); k > 0 {
		copy(s[1:i+1], s[:i])
		s[0] = m[k-1]
		b.setKept(k - 1)
		return
	}
	copy(s[i:], s[i+1:])
	b.setCount(len(s) - 1)
}

// Known appends to dst the nodes that are in a bucket, or in mind for one.
func (c *Kademlia) Known(dst []kbr.Node) []kbr.Node {
	for _, i := range c.bucket {
		if i == 0 {
			continue
		}
		b := c.block(i)
		for _, some := range [][]contact{b.in(), c.mind(b)} {
			for _, x := range some {
				dst = append(dst, x.node)
			}
		}
	}
	if c.via != kbr.None {
		dst = append(dst, c.via)
	}
	return dst
}

// Replicas implements kbr.Engine: the node itself, and those nearest to it.
func (c *Kademlia) Replicas(r int, dst []kbr.Node) []kbr.Node {
	if r <= 0 || c.phase != member {
		return dst
	}
	dst, _ = c.nearest(c.id(), min(r, c.tree.K+1), dst)
	return dst
}
