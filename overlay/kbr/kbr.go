// Package kbr is key-based routing as pure machines (Dabek, Zhao, Druschel, Kubiatowicz, Stoica: "Towards a Common API for Structured Peer-to-Peer
// Overlays", IPTPS 2003): the words that the engines of Chord, Pastry and Kademlia share, and what they share of behaviour, which is searches and time limits.
//
// It is no network and no simulator. Its one idea: an engine takes an event and says what is to be done, and nothing in here, nor in an engine, has a
// goroutine, a clock, a random number, a map or a socket (arch_test.go sees to that). The same events give the same acts, so that the same code runs in a
// node, where a driver has streams and timers, and a million times in one process, where the driver is a queue of events.
//
// Nodes are told apart by small numbers, which a Table gives places on the ring, so that an engine's state is a few hundred bytes without a pointer in them.
package kbr

import "slices"

// Ticks is time, in microseconds since whenever the driver likes.
type Ticks int64

// Units of time.
const (
	Millisecond Ticks = 1000
	Second            = 1000 * Millisecond
	Minute            = 60 * Second
)

// A Node is the number of a node in a Table.
type Node uint32

// None is the number of no node.
const None Node = 0

// Parts is how many nodes may be stepped at the same time: one of each part, each by a Host of its own.
const Parts = 2

// Part returns the part of a node. Runs of numbers are of one, so that what belongs to different parts is seldom in one line of a cache.
func (n Node) Part() int { return int(n>>6) % Parts }

// A Table knows where nodes are. A node of a real network has one of the peers that it knows, a simulation one of all nodes. The zero Table is empty.
type Table struct{ ids []ID }

// Grow makes room for so many more nodes at once.
func (t *Table) Grow(n int) { t.ids = slices.Grow(t.ids, n+1) }

// Add takes in a node, and returns its number: one more than the last.
func (t *Table) Add(id ID) Node {
	if len(t.ids) == 0 {
		t.ids = append(t.ids, ID{}) // nobody's
	}
	t.ids = append(t.ids, id)
	return Node(len(t.ids) - 1)
}

// Set gives the number of a node that is forgotten, by everybody who is told numbers, to another one.
func (t *Table) Set(n Node, id ID) { t.ids[n] = id }

// ID returns where a node is. Nobody is at zero.
func (t *Table) ID(n Node) ID { return t.ids[n] }

// Warm reads where nodes are; see Host.Warm.
func (t *Table) Warm(nodes []Node) (x uint64) {
	for _, n := range nodes {
		x += t.ids[n].hi
	}
	return x
}

// Len returns how many nodes the table knows.
func (t *Table) Len() int { return max(0, len(t.ids)-1) }

// MaxNodes is how many nodes a message names at most.
const MaxNodes = 32

// A Message is what nodes say to each other. What its fields mean is its kind's business; who reads one from outside must expect anything in any of them, but
// for numbers of nodes that are in no table.
type Message struct {
	Kind  Kind
	Flags uint8
	Count uint8 // how many of Nodes are told
	Ends  uint8 // how many of these, the first ones, are where a search ends; see Route
	Hops  uint8 // of Carry and Arrived: how many have carried it
	Vain  uint8 // and how many were asked to in vain
	Node  Node  // one more node
	Tag   Tag   // of a search of Node's, for whom it is; in a network of strangers it must be hard to guess
	Key   ID
	Nodes [MaxNodes]Node
}

// A Kind of message. Those from Own on are the engine's.
type Kind uint8

// The kinds that engines share.
const (
	Find    Kind = iota // whom to ask next about Key; its answer is a Route
	Carry               // a recursive search of Node for Key; its answer says that it has been taken over, unless it is Outside
	Arrived             // tells who searched for Key that it is the sender's, and perhaps who keeps copies, and has an answer so that it can be told again
	Own                 // the first that is the engine's own
)

// Flags of Find and of its answer.
const (
	AsEnd   uint8 = 1 << iota // the one that is asked was named as where the search ends
	Mine                      // the one that answers holds the key for its own
	AtHome                    // the node asks itself: nothing needs to be short
	Outside                   // the one that answers is in no network yet: look elsewhere; or the one that asks is not, and no use to others
	Around                    // the one that asks is wary: who holds the key for its own is to name those around it
)

// Add names one more node, and reports whether there was room.
func (m *Message) Add(n Node) bool {
	if m.Count >= MaxNodes {
		return false
	}
	m.Nodes[m.Count] = n
	m.Count++
	return true
}

// Set makes m what from is; what is behind those told is nobody's.
func (m *Message) Set(from *Message) {
	m.Kind, m.Flags, m.Count, m.Ends, m.Hops, m.Vain = from.Kind, from.Flags, from.Count, from.Ends, from.Hops, from.Vain
	m.Node, m.Tag, m.Key = from.Node, from.Tag, from.Key
	copy(m.Nodes[:], from.Told())
}

// Told returns the nodes that the message names.
func (m *Message) Told() []Node { return m.Nodes[:min(m.Count, MaxNodes)] }

// A Tag is what an engine wants to hear again with what comes of an act. The highest bit is not the engine's.
type Tag uint64

// What happens to a node.
type What uint8

// The events. From is the other node.
const (
	Start   What = iota // be the first of a network
	Join                // join the network that From is in
	Request             // From asks Msg; it must be answered in the same step
	Notice              // From says Msg and waits for nothing
	Answer              // From answers Msg to what was asked with Tag, after Took
	Failed              // From did not answer what was asked with Tag, which Msg repeats, or what a search asked it, with no Tag
	Slow                // From has let a search wait: it may be gone, or far away
	Late                // From answers what has Failed, with Tag, after Took: nothing but the time counts; the Host keeps it to itself
	Timer               // the time of After with Tag is over
	Found               // the search with Tag ended at From; Msg names all ends that it heard of, From first and then those that answered
	Lost                // the search with Tag ended nowhere
	Leave               // leave the network, now: nothing will happen to this node any more
	Resume              // the driver has given the node its state: go on with upkeep
	Meet                // From is in a network of the same kind, which may be another one: grow together with it, if it is
	Heard               // From, which is in the network, asked or answered something that the Host keeps to itself; an answer took Took
)

// An Event is what happens to a node. Msg is the driver's again after the step.
type Event struct {
	What What
	From Node
	Tag  Tag
	Took Ticks
	Try  uint8  // of Failed: as in its Act
	Draw uint64 // a random number, for an engine that spreads what it does; with Start, Join, Resume and Timer
	Msg  *Message
}

// What is to be done.
type Do uint8

// The acts.
const (
	Ask    Do = iota // ask To what Msg says: an Answer or Failed follows, with Tag; the Host asks more than once
	Tell             // tell To Msg
	Reply            // answer the request that this step is about with Msg
	After            // wake up after Wait: Timer follows, with Tag
	Search           // find whose Msg.Key is, starting at To, or with what the engine itself knows if To is None: Found or Lost follows, with Tag
)

// An Act is what an engine wants done.
type Act struct {
	Do   Do
	To   Node
	Tag  Tag
	Wait Ticks // of After; of Ask how long to wait for an answer, which Host fills in
	Try  uint8 // of Ask, how often it was asked before; the Failed that comes of it has the same
	Msg  Message
}

// An Outbox collects the acts of a step, in order. The driver empties it.
type Outbox struct{ Acts []Act }

// add adds an act. Of what was in its place before only nodes that are not told are left, since clearing these takes as long as all else.
func (o *Outbox) add(do Do, to Node, tag Tag, wait Ticks) *Message {
	o.Acts = slices.Grow(o.Acts, 1)[:len(o.Acts)+1]
	a := &o.Acts[len(o.Acts)-1]
	a.Do, a.To, a.Tag, a.Wait, a.Try = do, to, tag, wait, 0
	a.Msg.Set(&nothing)
	return &a.Msg
}

var nothing Message

// Ask asks to a message of the kind, and returns it to be filled in, before anything else is done with the outbox.
func (o *Outbox) Ask(to Node, kind Kind, tag Tag) *Message {
	m := o.add(Ask, to, tag, 0)
	m.Kind = kind
	return m
}

// Tell tells to a message of the kind, and returns it to be filled in.
func (o *Outbox) Tell(to Node, kind Kind) *Message {
	m := o.add(Tell, to, 0, 0)
	m.Kind = kind
	return m
}

// Reply answers a request with a message of the kind, and returns it to be filled in.
func (o *Outbox) Reply(kind Kind) *Message {
	m := o.add(Reply, None, 0, 0)
	m.Kind = kind
	return m
}

// After asks for a Timer after some time.
func (o *Outbox) After(wait Ticks, tag Tag) { o.add(After, None, tag, wait) }

// Search asks for a search for a key, which starts at via, or with what the engine knows. Ends of the message that it returns is how many of the nearest must
// have answered; 0 is 1. With Around among its flags what one that starts at via finds is judged as that of others is, going by what the engine says of its surroundings.
func (o *Outbox) Search(key ID, via Node, tag Tag) *Message {
	m := o.add(Search, via, tag, 0)
	m.Key = key
	return m
}

// An Engine is one node of an overlay. It is called by one at a time.
type Engine interface {
	// Step lets something happen to the node, and adds to out what is to be done about it.
	Step(now Ticks, ev *Event, out *Outbox)
	// Route fills in whom to ask next about m.Key, as an answer to Find: Mine if the key is this node's; else nodes where the search may end, nearest
	// first, as many as Ends says; and behind them nodes that are nearer to the key than this one, nearest first. Flags has AsEnd when this node itself was
	// named as an end, and AtHome; the answer's has Mine or Outside. Who is Outside and AtHome names at whom a search with Around can begin, if it knows of any.
	Route(m *Message)
	// Distance returns how far a node is from key in a search for it, as one where the search may end, or as one on the way; nearer ones are asked first.
	Distance(key ID, end bool, n Node) ID
	// Replicas appends to dst the nodes that keep copies of what is this node's, nearest first, at most r with itself.
	Replicas(r int, dst []Node) []Node
}

// A Guard is an Engine whose searches can be wary; see Host.
type Guard interface {
	Engine
	// Reach returns how far from a key, as ends, n nodes are to be expected, going by those around this one.
	Reach(n int) ID
	// Beside returns the i-th place at which who is around a key can be asked for, the key itself for 0: from elsewhere one may see whom others hide.
	Beside(key ID, i int) ID
	// Sparse reports whether nodes, named as those around a key, lie so much farther apart than reach, which is Reach, says that others must have been left out.
	Sparse(reach func(n int) ID, key ID, named []Node) bool
}
