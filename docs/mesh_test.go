package docs

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"kith/overlay/kbr"
	"kith/overlay/overlaytest"
	"kith/overlay/sim"
)

// begin add-an-overlay.md

// A Mesh is an overlay in which everybody knows everybody: a search takes one step, and each node that comes or goes costs a message to each other. A key belongs to
// the first node at or after it.
type Mesh struct {
	table *kbr.Table
	nodes []Node // by number; each is touched by its own engine alone, since two cores step those of two parts
}

// A Node is one node of a Mesh: the engine.
type Node struct {
	mesh *Mesh
	self kbr.Node
	in   bool       // it is a member
	via  kbr.Node   // whom it joins through
	all  []kbr.Node // the members that it knows, and itself, in the order of their places
}

// What nodes say to each other, beside kbr.Find.
const (
	page = kbr.Own + iota // asks for the members from a place on, as many as a message names
	here                  // says: I am a member
	gone                  // says: Node is none any more
)

// fromMember is a flag of page: who asks is a member.
const fromMember uint8 = 1

// Tags say what was asked, or what it is time for.
const (
	askJoin  kbr.Tag = iota // of the next page, by who comes in
	askNext                 // of the node that comes after this one, which this one looks after
	askOther                // of anybody
	timeRound
	timeJoin
)

const (
	round = 30 * kbr.Second // of upkeep
	ends  = 8               // members that are named for a key, since all but the last may be dead
)

// Step implements kbr.Engine.
func (n *Node) Step(_ kbr.Ticks, ev *kbr.Event, o *kbr.Outbox) {
	switch ev.What {
	case kbr.Start:
		*n = Node{mesh: n.mesh, self: n.self, in: true, all: []kbr.Node{n.self}}
		o.After(round/2+kbr.Ticks(ev.Draw%uint64(round)), timeRound) // not all at once
	case kbr.Join:
		*n = Node{mesh: n.mesh, self: n.self, via: ev.From, all: []kbr.Node{n.self}}
		o.Ask(ev.From, page, askJoin)
	case kbr.Resume:
		o.After(kbr.Ticks(ev.Draw%uint64(round)), timeRound)
	case kbr.Leave:
		n.tell(gone, n.self, o)
		n.in = false
	case kbr.Meet, kbr.Slow:
		n.ask(ev.From, askOther, n.self, o)
	case kbr.Request:
		if ev.Msg.Kind == page { // others are for somebody else's engine, or of a stranger; then there is no answer
			n.reply(ev, o)
		}
	case kbr.Notice:
		n.hear(ev.From, ev.Msg, o)
	case kbr.Timer:
		n.wake(ev, o)
	case kbr.Answer:
		n.answer(ev, o)
	case kbr.Failed:
		n.failed(ev, o)
	}
}

// Route implements kbr.Engine.
func (n *Node) Route(m *kbr.Message) {
	if !n.in {
		m.Flags |= kbr.Outside
		return
	}
	at := n.find(m.Key)
	for i := range min(ends, len(n.all)) {
		next := n.all[(at+i)%len(n.all)]
		if i == 0 && next == n.self {
			m.Flags |= kbr.Mine
			return
		}
		m.Add(next)
	}
	m.Ends = m.Count
}

// Distance implements kbr.Engine: from the key on around the ring.
func (n *Node) Distance(key kbr.ID, _ bool, of kbr.Node) kbr.ID { return n.mesh.table.ID(of).Sub(key) }

// Replicas implements kbr.Engine: the node itself, and those that come after it.
func (n *Node) Replicas(r int, dst []kbr.Node) []kbr.Node {
	if n.in {
		at := n.find(n.mesh.table.ID(n.self))
		for i := range min(r, len(n.all)) {
			dst = append(dst, n.all[(at+i)%len(n.all)])
		}
	}
	return dst
}

// find returns where in all the first node at or after a place is; behind the last there is the first.
func (n *Node) find(place kbr.ID) int {
	i, _ := slices.BinarySearchFunc(n.all, place, func(m kbr.Node, id kbr.ID) int { return n.mesh.table.ID(m).Compare(id) })
	return i
}

func (n *Node) knows(m kbr.Node) bool {
	i := n.find(n.mesh.table.ID(m))
	return i < len(n.all) && n.all[i] == m
}

func (n *Node) add(m kbr.Node) {
	if m != kbr.None && !n.knows(m) {
		n.all = slices.Insert(n.all, n.find(n.mesh.table.ID(m)), m)
	}
}

func (n *Node) drop(m kbr.Node) {
	if m != n.self && n.knows(m) {
		i := n.find(n.mesh.table.ID(m))
		n.all = slices.Delete(n.all, i, i+1)
	}
}

// next returns the member that comes after this one.
func (n *Node) next() kbr.Node { return n.all[(n.find(n.mesh.table.ID(n.self))+1)%len(n.all)] }

// ask asks a member for a page that begins at another one.
func (n *Node) ask(to kbr.Node, what kbr.Tag, from kbr.Node, o *kbr.Outbox) {
	if n.in && to != n.self {
		m := o.Ask(to, page, what)
		m.Flags, m.Key = fromMember, n.mesh.table.ID(from)
	}
}

// tell tells everybody.
func (n *Node) tell(kind kbr.Kind, about kbr.Node, o *kbr.Outbox) {
	for _, m := range n.all {
		if m != n.self {
			o.Tell(m, kind).Node = about
		}
	}
}

func (n *Node) reply(ev *kbr.Event, o *kbr.Outbox) {
	m := o.Reply(page)
	if !n.in {
		m.Flags = kbr.Outside
		return
	}
	members := n.all[n.find(ev.Msg.Key):]
	if ev.Msg.Flags&fromMember != 0 { // who comes in reads from the first place to the last; members begin anywhere, and go around
		members = append(slices.Clip(members), n.all[:len(n.all)-len(members)]...)
		n.add(ev.From)
	}
	for _, x := range members {
		if !m.Add(x) {
			break
		}
	}
}

func (n *Node) hear(from kbr.Node, m *kbr.Message, o *kbr.Outbox) {
	switch {
	case m.Kind == here:
		n.add(from)
	case m.Kind == gone && m.Node == n.self:
		n.tell(here, kbr.None, o) // somebody did not hear its answers
	case m.Kind == gone:
		n.drop(m.Node)
	}
}

// wake does a round of upkeep: the next one is there, and some others know nobody who is not known here.
func (n *Node) wake(ev *kbr.Event, o *kbr.Outbox) {
	switch {
	case ev.Tag == timeRound && n.in:
		anybody := func(shift int) kbr.Node { return n.all[(ev.Draw>>shift)%uint64(len(n.all))] }
		n.ask(n.next(), askNext, anybody(0), o)
		n.ask(anybody(16), askOther, anybody(32), o)
		o.After(round/2+kbr.Ticks(ev.Draw%uint64(round)), timeRound)
	case ev.Tag == timeJoin && !n.in:
		o.Ask(n.via, page, askJoin)
	}
}

func (n *Node) answer(ev *kbr.Event, o *kbr.Outbox) {
	m := ev.Msg
	if m.Flags&kbr.Outside != 0 {
		n.failed(ev, o)
		return
	}
	n.add(ev.From)
	if ev.Tag != askJoin {
		for _, x := range m.Told() { // by hearsay the dead would come back: they are asked first
			if x != kbr.None && !n.knows(x) {
				n.ask(x, askOther, x, o)
			}
		}
		return
	}
	for _, x := range m.Told() {
		n.add(x)
	}
	if m.Count == kbr.MaxNodes {
		last := m.Nodes[m.Count-1]
		o.Ask(ev.From, page, askJoin).Key = n.mesh.table.ID(last).Add(kbr.Power(0))
		return
	}
	n.in = true
	n.tell(here, kbr.None, o)
	o.After(kbr.Second, timeRound)
}

// failed drops who does not answer. Who is looked after by this node is gone for all, and the next one may be too.
func (n *Node) failed(ev *kbr.Event, o *kbr.Outbox) {
	switch {
	case !n.in:
		o.After(kbr.Second, timeJoin)
	case ev.From == n.next():
		n.tell(gone, ev.From, o) // itself too: it may be there
		n.drop(ev.From)
		n.ask(n.next(), askNext, n.self, o)
	default:
		n.drop(ev.From)
	}
}

// Grow implements sim.Kind.
func (m *Mesh) Grow() {
	for i := len(m.nodes); i <= m.table.Len(); i++ {
		m.nodes = append(m.nodes, Node{mesh: m, self: kbr.Node(i)})
	}
}

// Engine implements sim.Kind.
func (m *Mesh) Engine(n kbr.Node) kbr.Engine { return &m.nodes[n] }

// Settle implements sim.Kind.
func (m *Mesh) Settle(part int, up []kbr.Node, _ func(a, b kbr.Node) kbr.Ticks) {
	for _, n := range up {
		if n.Part() == part {
			m.nodes[n].in, m.nodes[n].all = true, slices.Clone(up)
		}
	}
}

// Owner implements sim.Kind.
func (m *Mesh) Owner(order []kbr.Node, up func(kbr.Node) bool, key kbr.ID) kbr.Node {
	at, _ := slices.BinarySearchFunc(order, key, func(n kbr.Node, id kbr.ID) int { return m.table.ID(n).Compare(id) })
	for i := range order {
		if n := order[(at+i)%len(order)]; up(n) && m.nodes[n].in {
			return n
		}
	}
	return kbr.None
}

// Audit implements sim.Kind: what a node knows is in order, and it is among them.
func (m *Mesh) Audit(up []kbr.Node) error {
	for _, n := range up {
		if x := &m.nodes[n]; !x.knows(n) {
			return fmt.Errorf("mesh: node %d does not know itself among %d", n, len(x.all))
		}
	}
	return nil
}

// Ideal implements sim.Kind: everybody knows everybody who is up, and nobody else.
func (m *Mesh) Ideal(up []kbr.Node) error {
	for _, n := range up {
		if x := &m.nodes[n]; !x.in || !slices.Equal(x.all, up) {
			return fmt.Errorf("mesh: node %d knows %d, and %d are up", n, len(x.all), len(up))
		}
	}
	return nil
}

// end

// TestMesh holds the engine of the guide to what every engine is held to.
func TestMesh(t *testing.T) {
	overlaytest.Engines{
		New:   func(t *kbr.Table) sim.Kind { return &Mesh{table: t} },
		Quiet: 40 * kbr.Minute,
	}.Test(t)
}

// TestOverlayGuide checks that the guide shows the code that TestMesh runs.
func TestOverlayGuide(t *testing.T) {
	_, code, _ := strings.Cut(read(t, "mesh_test.go"), "// begin add-an-overlay.md\n\n")
	code, _, _ = strings.Cut(code, "\n// end\n")
	if !strings.Contains(read(t, "add-an-overlay.md"), "```go\n"+code+"```\n") {
		t.Error("add-an-overlay.md does not show the code between begin and end of mesh_test.go")
	}
}
