// Package sim runs overlay networks of up to millions of nodes in one process: the engines are those that a real node runs, and only what is around them, which
// is time, the lines between nodes, failures and chance, is made up.
//
// It opens no socket. Its one idea: what happens to a node is in an order that depends on nothing but what nodes did, and random numbers depend on a seed and on what
// they are for, so that the same options give the same run to the bit, on one core or two, which TraceHash shows.
package sim

import (
	"fmt"
	"runtime"
	"slices"

	"kith"
	"kith/overlay/kbr"
)

// A Kind of overlay, with all its nodes. Engines of nodes of different parts (kbr.Parts) are stepped at the same time.
type Kind interface {
	Grow()                      // makes room for all nodes of the table
	Engine(kbr.Node) kbr.Engine // the engine of one
	// Settle gives nodes of a part the state that upkeep ends with; up is all that are up, in the order of their IDs, and rtt the round trip between two.
	Settle(part int, up []kbr.Node, rtt func(a, b kbr.Node) kbr.Ticks)
	// Owner returns whose a key is, of those nodes of order that are up, or None. The order is that of IDs.
	Owner(order []kbr.Node, up func(kbr.Node) bool, key kbr.ID) kbr.Node
	Audit(up []kbr.Node) error // what must hold at all times
	Ideal(up []kbr.Node) error // what must hold when nothing has happened for long
}

// MaxNodes is how many nodes a simulation can have.
const MaxNodes = 1 << 22

// Options of a simulation.
type Options struct {
	Nodes    int
	Seed     uint64
	Latency  Latency // nil for Constant of 50 ms
	Loss     float64 // the part of all messages that does not arrive
	Carried  bool    // searches of users are recursive
	Nodewise bool    // searches are for the places of nodes that are up, not for random keys
	Silent   bool    // tables stay as they are when a search finds a node dead; see kbr.Host
	Wary     int     // searches mistrust what they are told, on so many trails; see kbr.Host
	Checks   int     // what searches of engines find is checked, on so many trails, though those of users are not wary; with Wary it is too
	Hostile  float64 // the part of the nodes that is hostile; they search for nothing, and no key is theirs
	Sybils   int     // hostile nodes, beside these, right behind each of Targets places
	Eclipse  bool    // these places are those of nodes, which are all that search, and not keys, which are all that is searched for
	Attack   Attack  // what hostile nodes do
	Cores    int     // on so many, 1 or 2, with the same result; 0 is as many as are worth it
	Dials    bool    // messages need a connection, as they do between real nodes; on one core
	Severed  float64 // the part of all pairs of nodes that never hear anything of each other, though others hear both: links are not transitive

	Look func(*Net) // is called, unless it is nil, with the network as a scenario has left it

	Place    func(i int) kbr.ID // where the i-th node is, from 1 on; nil for random places
	founders int                // the first nodes, which are numbered in the order of their IDs, so that neighbours are near in memory too
}

// Check says what is wrong with the options. Its error is Invalid.
func (o Options) Check() error {
	switch {
	case o.Nodes < 1 || o.Nodes > MaxNodes:
		return kith.Hint(fmt.Errorf("sim: %d nodes: %w", o.Nodes, kith.Invalid), "1 to %d", MaxNodes)
	case !(o.Loss >= 0 && o.Loss < 1):
		return kith.Hint(fmt.Errorf("sim: a loss of %v: %w", o.Loss, kith.Invalid), "a part of 1, such as 0.05")
	case !(o.Severed >= 0 && o.Severed < 1):
		return kith.Hint(fmt.Errorf("sim: a part of %v of all pairs is severed: %w", o.Severed, kith.Invalid), "from 0 up to 1, such as 0.05")
	case o.Cores < 0 || o.Cores > kbr.Parts:
		return kith.Hint(fmt.Errorf("sim: on %d cores: %w", o.Cores, kith.Invalid), "1 or %d; 0 is as many as are worth it", kbr.Parts)
	}
	return o.checkHostile()
}

// peer is what the simulation knows of a node beside its engine.
type peer struct {
	rtt    kbr.RTT
	hash   uint64
	bytes  uint64
	draws  uint32
	turns  uint32 // counts what is its doing
	losses uint32
	life   uint16
	up     bool
	bad    bool     // it is hostile
	_      [16]byte // so that it is a line of a cache
}

// A Net is a simulated network. It is used by one at a time.
type Net struct {
	Table *kbr.Table

	o        Options
	kind     Kind
	warm     func(nodes []kbr.Node, keys []kbr.ID) uint64 // of the kind, if it has that
	peers    []peer
	order    []kbr.Node // all nodes, by ID
	now      kbr.Ticks
	least    kbr.Ticks // no message is on its way for less
	shards   []*shard
	later    wheel // what the scenario is told of
	results  []kbr.Result
	judge    func()      // is called when there are results, soon after
	lie      kbr.Message // what a hostile node answers
	followed *kbr.ID
	keys     []kbr.ID // what searches are for; none for random ones
	departed func(kbr.Node)
	parted   func(a, b kbr.Node) bool
	dialled  map[[2]kbr.Node]kbr.Ticks // with Dials, the connections, and since or from when they can be used
	up       []kbr.Node                // of Up
	stale    bool                      // up is
	alive    int                       // how many are up
}

// New makes a network whose nodes are all down. The kind is made of a table of them.
func New(o Options, kind func(*kbr.Table) Kind) (*Net, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	if o.Latency == nil {
		o.Latency = Constant(50 * kbr.Millisecond)
	}
	n := &Net{Table: &kbr.Table{}, o: o, dialled: map[[2]kbr.Node]kbr.Ticks{}, peers: make([]peer, o.Nodes+1), order: make([]kbr.Node, 0, o.Nodes)}
	n.least = min(max(1, o.Latency.Least()), mostWindow)
	n.Table.Grow(o.Nodes)
	if n.o.Place == nil {
		n.o.Place = func(i int) kbr.ID { return n.place(forPlace, kbr.Node(i), 0) }
	}
	ids := make([]kbr.ID, o.Nodes)
	for i := range ids {
		ids[i] = n.where(kbr.Node(i + 1))
	}
	slices.SortFunc(ids[min(o.placed(), o.founders):o.founders], kbr.ID.Compare)
	for _, id := range ids {
		n.order = append(n.order, n.Table.Add(id))
	}
	for p := 1; p < len(n.peers) && o.attacked(); p++ {
		n.peers[p].bad = p <= o.Sybils*Targets || p > o.placed() && Unit(n.draw(forHostile, kbr.Node(p), 0)) < o.Hostile
	}
	slices.SortFunc(n.order, func(a, b kbr.Node) int { return n.Table.ID(a).Compare(n.Table.ID(b)) })
	n.kind = kind(n.Table)
	n.kind.Grow()
	if k, ok := n.kind.(interface {
		Warm(nodes []kbr.Node, keys []kbr.ID) uint64
	}); ok {
		n.warm = k.Warm
	}
	n.newShards(o.cores())
	return n, nil
}

// cores returns on how many cores it is run. Hostile nodes know of each other at once, and so do the two ends of a connection.
func (o Options) cores() int {
	switch {
	case o.attacked() || o.Dials:
		return 1
	case o.Cores > 0:
		return o.Cores
	case o.Nodes < sharded:
		return 1
	}
	return min(kbr.Parts, runtime.GOMAXPROCS(0))
}

// Now returns the time.
func (n *Net) Now() kbr.Ticks { return n.now }

// Steps returns how many events there were.
func (n *Net) Steps() (sum uint64) {
	for _, s := range n.shards {
		sum += s.steps
	}
	return sum
}

// Up returns the nodes that are up, in the order of their IDs. It is valid until one more goes up or down.
func (n *Net) Up() []kbr.Node {
	if n.stale {
		n.up, n.stale = n.up[:0], false
		for _, p := range n.order {
			if n.peers[p].up {
				n.up = append(n.up, p)
			}
		}
	}
	return n.up
}

// Bytes returns what all nodes have sent, as p2psim counts: 20 bytes a message and 4 an address (Li et al., INFOCOM 2005).
func (n *Net) Bytes() (sum uint64) {
	for i := range n.peers {
		sum += n.peers[i].bytes
	}
	return sum
}

// Settle turns on the first count nodes, in the state that upkeep ends with, and lets them go on with it if that is wanted.
func (n *Net) Settle(count int, upkeep bool) {
	for p := range count {
		n.peers[p+1].up = true
	}
	n.stale, n.alive = true, count
	up := n.Up()
	if count >= sharded { // before, for what nobody has touched yet, and after, where it pays
		huge()
		if upkeep {
			defer huge()
		}
	}
	n.parts(func(part int) {
		n.kind.Settle(part, up, n.rtt)
		for _, p := range up {
			if p.Part() != part {
				continue
			}
			for i := range uint64(measured) { // who has been there for long has measured some round trips
				to := up[n.draw(forLatency, p, 3+i)%uint64(len(up))]
				n.peers[p].rtt.Measure(n.rtt(p, to))
			}
			if upkeep {
				n.shard(p).step(p, &kbr.Event{What: kbr.Resume, Draw: n.nextDraw(p)})
			}
		}
	})
}

// rtt returns the round trip between two nodes.
func (n *Net) rtt(a, b kbr.Node) kbr.Ticks {
	return n.o.Latency.Between(n, a, b) + n.o.Latency.Between(n, b, a)
}

// measured is how many round trips a node of a settled network has measured.
const measured = 16

// Start turns on the first node of a network.
func (n *Net) Start(p kbr.Node) { n.turnOn(p, kbr.Event{What: kbr.Start}) }

// Join turns on a node, which joins through another.
func (n *Net) Join(p, via kbr.Node) { n.turnOn(p, kbr.Event{What: kbr.Join, From: via}) }

// Meet tells a node of another one, which may be in another network.
func (n *Net) Meet(p, other kbr.Node) {
	if n.peers[p].up {
		n.shard(p).step(p, &kbr.Event{What: kbr.Meet, From: other, Draw: n.nextDraw(p)})
	}
}

func (n *Net) turnOn(p kbr.Node, ev kbr.Event) {
	if n.peers[p].up {
		return
	}
	n.peers[p].up, n.stale = true, true
	n.alive++
	ev.Draw = n.nextDraw(p)
	n.shard(p).step(p, &ev)
}

// Crash turns a node off, without a word to anybody.
func (n *Net) Crash(p kbr.Node) {
	if !n.peers[p].up {
		return
	}
	n.alive--
	n.peers[p].up, n.stale = false, true
	n.peers[p].life++
	n.peers[p].rtt = kbr.RTT{}
	n.shard(p).host.Forget(p)
	if n.o.Dials {
		n.hangUp(p)
	}
}

// Leave turns a node off, after it has taken leave.
func (n *Net) Leave(p kbr.Node) {
	if n.peers[p].up {
		n.shard(p).step(p, &kbr.Event{What: kbr.Leave})
		n.Crash(p)
	}
}

// Member reports whether a node is up and in the network.
func (n *Net) Member(p kbr.Node) bool {
	m := kbr.Message{Flags: kbr.AtHome}
	if n.peers[p].up {
		n.kind.Engine(p).Route(&m)
	}
	return n.peers[p].up && m.Flags&kbr.Outside == 0
}

// Part lets nothing that is sent arrive, from now on, between nodes that are parted; with nil everything does again.
func (n *Net) Part(parted func(a, b kbr.Node) bool) { n.parted = parted }

// Fail turns a part of the nodes that are up off at once, drawn at random, and returns how many.
func (n *Net) Fail(part float64) int {
	up := slices.Clone(n.Up())
	slices.SortFunc(up, func(a, b kbr.Node) int { // a random order
		x, y := n.draw(forFailure, a, 0), n.draw(forFailure, b, 0)
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return int(a) - int(b)
	})
	count := int(part*float64(len(up)) + 0.5)
	for _, p := range up[:count] {
		n.Crash(p)
	}
	return count
}

// Search lets a node's user search for a random key, at a time. The i-th key of a node is always the same. What comes of it is in Results, with the tag.
func (n *Net) Search(at kbr.Ticks, p kbr.Node, tag kbr.Tag) {
	n.shard(p).wheel.put(event{at: at, node: p, from: p, turn: n.turn(p), life: n.peers[p].life, what: searches, tag: tag})
}

// Results returns how searches ended since it was last asked.
func (n *Net) Results() []kbr.Result {
	r := n.results
	n.results = nil
	return r
}

// Owner returns whose a key is, of the nodes that are up and honest, or None.
func (n *Net) Owner(key kbr.ID) kbr.Node { return n.kind.Owner(n.order, n.honest, key) }

// honest reports whether a node is up and not hostile.
func (n *Net) honest(p kbr.Node) bool { return n.peers[p].up && !n.peers[p].bad }

// Audit checks what must hold of the network at all times.
func (n *Net) Audit() error { return n.kind.Audit(n.Up()) }

// Ideal checks what must hold of the network when nothing has happened for long.
func (n *Net) Ideal() error { return n.kind.Ideal(n.Up()) }

// TraceHash returns a number that two runs have in common only when, as far as chance goes, the same happened to every node at the same times.
func (n *Net) TraceHash() uint64 {
	var h uint64
	for i := range n.peers {
		h = Mix(h ^ n.peers[i].hash)
	}
	return h
}

// depart lets the scenario be told of a node's end, unless it is gone by then.
func (n *Net) depart(at kbr.Ticks, p kbr.Node) {
	n.later.put(event{at: at, node: p, life: n.peers[p].life})
}

// Idle reports whether nothing will happen any more by itself.
func (n *Net) Idle() bool {
	left := n.later.count
	for _, s := range n.shards {
		left += s.wheel.count + len(s.away)
	}
	return left == 0
}
