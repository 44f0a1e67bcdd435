// Package sim runs overlay networks of up to millions of nodes in one process: the engines are those that a real node runs, and only what is around them, which
// is time, the lines between nodes, failures and chance, is made up.
//
// It opens no socket and starts no goroutine. Its one idea: one queue of events in a fixed order, and random numbers that depend on a seed and on what they are for
// and on nothing else, so that the same options give the same run to the bit, which TraceHash shows.
package sim

import (
	"fmt"
	"slices"

	"kith"
	"kith/overlay/kbr"
)

// A Kind of overlay, with all its nodes.
type Kind interface {
	Grow()                      // makes room for all nodes of the table
	Engine(kbr.Node) kbr.Engine // the engine of one
	// Settle gives nodes the state that upkeep ends with; up is all that are up, in the order of their IDs, and rtt the round trip between two.
	Settle(up []kbr.Node, rtt func(a, b kbr.Node) kbr.Ticks)
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
	Hostile  float64 // the part of the nodes that is hostile; they search for nothing, and no key is theirs
	Attack   Attack  // what these do
}

// Check says what is wrong with the options. Its error is Invalid.
func (o Options) Check() error {
	switch {
	case o.Nodes < 1 || o.Nodes > MaxNodes:
		return kith.Hint(fmt.Errorf("sim: %d nodes: %w", o.Nodes, kith.Invalid), "1 to %d", MaxNodes)
	case !(o.Loss >= 0 && o.Loss < 1):
		return kith.Hint(fmt.Errorf("sim: a loss of %v: %w", o.Loss, kith.Invalid), "a part of 1, such as 0.05")
	case !(o.Hostile >= 0 && o.Hostile < 1):
		return kith.Hint(fmt.Errorf("sim: a part of %v is hostile: %w", o.Hostile, kith.Invalid), "from 0 up to 1, such as 0.2 for one of five")
	case o.Attack > Drop:
		return kith.Hint(fmt.Errorf("sim: attack %d: %w", o.Attack, kith.Invalid), "%d misroutes, %d drops", Misroute, Drop)
	}
	return nil
}

// what an event is to the simulation.
type what uint8

const (
	deliver   what = iota // a question or a notice arrives
	answers               // an answer arrives
	gives                 // who asked gives up
	comesLate             // an answer arrives after that
	rings                 // a timer
	searches              // a search of the node's user begins
	departs               // the node's session is over, of which the scenario is told
)

// A talk is a message on its way, and for a question all until it is answered or given up.
type talk struct {
	msg   kbr.Message
	tag   kbr.Tag
	sent  kbr.Ticks
	wait  kbr.Ticks
	from  kbr.Node
	to    kbr.Node
	next  uint32 // free ones
	try   uint8
	life  uint16 // of from
	asked bool   // it is a question
	over  bool   // who asked gives up before it arrives
}

// peer is what the simulation knows of a node beside its engine.
type peer struct {
	rtt   kbr.RTT
	hash  uint64
	draws uint64
	bytes uint64
	life  uint16
	up    bool
	bad   bool // it is hostile
}

// A Net is a simulated network. It is used by one at a time.
type Net struct {
	Table *kbr.Table

	o        Options
	kind     Kind
	host     kbr.Host
	peers    []peer
	order    []kbr.Node // all nodes, by ID
	wheel    wheel
	talks    []talk
	free     uint32
	out      kbr.Outbox
	lie      kbr.Message // what a hostile node answers
	lost     uint64      // draws for loss
	departed func(kbr.Node)
	parted   func(a, b kbr.Node) bool
	steps    uint64
	up       []kbr.Node // of Up
	stale    bool       // up is
	alive    int        // how many are up
}

// New makes a network whose nodes are all down. The kind is made of a table of them.
func New(o Options, kind func(*kbr.Table) Kind) (*Net, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	if o.Latency == nil {
		o.Latency = Constant(50 * kbr.Millisecond)
	}
	n := &Net{Table: &kbr.Table{}, o: o, peers: make([]peer, o.Nodes+1), order: make([]kbr.Node, 0, o.Nodes), talks: make([]talk, 1)}
	n.Table.Grow(o.Nodes)
	for i := range o.Nodes {
		n.order = append(n.order, n.Table.Add(n.place(forPlace, kbr.Node(i+1), 0)))
	}
	for p := 1; p < len(n.peers) && o.Hostile > 0; p++ {
		n.peers[p].bad = unit(n.draw(forHostile, kbr.Node(p), 0)) < o.Hostile
	}
	slices.SortFunc(n.order, func(a, b kbr.Node) int { return n.Table.ID(a).Compare(n.Table.ID(b)) })
	n.kind = kind(n.Table)
	n.kind.Grow()
	n.host = kbr.Host{Engine: n.kind.Engine, RTT: func(p kbr.Node) *kbr.RTT { return &n.peers[p].rtt }, Carried: o.Carried, Silent: o.Silent}
	n.host.Suit(n.kind)
	return n, nil
}

// Now returns the time.
func (n *Net) Now() kbr.Ticks { return n.wheel.now }

// Steps returns how many events there were.
func (n *Net) Steps() uint64 { return n.steps }

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
	n.kind.Settle(up, n.rtt)
	for _, p := range up { // who has been there for long has measured some round trips
		for i := range uint64(measured) {
			to := up[n.draw(forLatency, p, 3+i)%uint64(len(up))]
			n.peers[p].rtt.Measure(n.rtt(p, to))
		}
		if upkeep {
			n.step(p, &kbr.Event{What: kbr.Resume, Draw: n.nextDraw(p)})
		}
	}
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
		n.step(p, &kbr.Event{What: kbr.Meet, From: other, Draw: n.nextDraw(p)})
	}
}

func (n *Net) turnOn(p kbr.Node, ev kbr.Event) {
	if n.peers[p].up {
		return
	}
	n.peers[p].up, n.stale = true, true
	n.alive++
	ev.Draw = n.nextDraw(p)
	n.step(p, &ev)
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
	n.host.Forget(p)
}

// Leave turns a node off, after it has taken leave.
func (n *Net) Leave(p kbr.Node) {
	if n.peers[p].up {
		n.step(p, &kbr.Event{What: kbr.Leave})
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
	n.wheel.put(event{at: at, node: p, life: n.peers[p].life, what: searches, tag: tag})
}

// Results returns how searches ended since it was last asked.
func (n *Net) Results() []kbr.Result {
	r := n.host.Results
	n.host.Results = nil
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
		h = mix(h ^ n.peers[i].hash)
	}
	return h
}

// Run lets time pass up to until, and calls each after every event, unless it is nil; when that returns false it stops there.
func (n *Net) Run(until kbr.Ticks, each func() bool) {
	for {
		e, ok := n.wheel.take(until)
		if !ok {
			n.wheel.advance(until)
			return
		}
		n.handle(&e)
		if each != nil && !each() {
			return
		}
	}
}

// Idle reports whether nothing will happen any more by itself.
func (n *Net) Idle() bool { return n.wheel.count == 0 }
