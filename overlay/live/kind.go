package live

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p/core/protocol"

	"kith"
	"kith/overlay/chord"
	"kith/overlay/kademlia"
	"kith/overlay/kbr"
	"kith/overlay/pastry"
)

// A kind is one kind of overlay, for the engine of one node: the first of a table.
type kind interface {
	Grow()
	Engine(kbr.Node) kbr.Engine
}

// A knower is an engine that says whom it knows by number, some perhaps more than once, so that all other numbers can be used again; and what of that is in its tables.
type knower interface {
	kbr.Guard
	Known(dst []kbr.Node) []kbr.Node
	Entries(dst []kbr.Entry) []kbr.Entry
}

const (
	round      = 10 * kbr.Second // of upkeep
	successors = 24              // that a node of Chord keeps, as many as an answer names: more than twenty Sybils can stand before
)

// engines are the kinds that there are, each as all nodes of a network run it.
var engines = map[string]func(*kbr.Table) kind{
	"chord": func(t *kbr.Table) kind {
		return chord.New(chord.Config{Successors: successors, Round: round, Repair: 1, Alternates: 1, Eager: true, Doubts: true}, t)
	},
	"pastry": func(t *kbr.Table) kind {
		c := pastry.Default()
		c.Round = round
		return pastry.New(c, t)
	},
	"kademlia": func(t *kbr.Table) kind {
		c := kademlia.Default()
		c.Round = round
		c.Beta = copies // as many must have answered, since three identities near a key would hide it
		return kademlia.New(c, t)
	},
}

// Names returns the names of the overlays that a Router runs, in order.
func Names() []string { return slices.Sorted(maps.Keys(engines)) }

// Check refuses a name that is of none. Its error is Invalid; others are names of overlays that are run by something else.
func Check(name string, others ...string) error {
	names := slices.Sorted(slices.Values(append(Names(), others...)))
	if slices.Contains(names, name) {
		return nil
	}
	return kith.Hint(fmt.Errorf("there is no overlay %q: %w", name, kith.Invalid), "it may be %s", strings.Join(names, ", "))
}

// Protocol returns under which name nodes of a network speak an overlay.
func Protocol(network, name string) protocol.ID {
	return protocol.ID("/kith/" + network + "/" + name + "/1.0.0")
}
