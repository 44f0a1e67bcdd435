package overlay

import (
	"context"
	"iter"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// A Viewer is a Router that shows whom it knows, and how it searches. All methods may be called at once from several goroutines.
type Viewer interface {
	Router

	// Place returns where a key is, or a peer by the bytes of its id: 20 bytes with Kith's own engines, 32 with kad-dht, big-endian. All nodes agree on it.
	Place(key []byte) []byte
	// Entries returns what is in this node's tables, table by table; of a client of an overlay with Kith's own engines, the peers through which it searches.
	Entries(ctx context.Context) ([]Entry, error)
	// Search searches for a target as any search of this node goes, under the same limits, and yields each step as it happens. The last one is Ends; an error, which has
	// a Kind, is in its place. Who stops reading ends the search.
	Search(ctx context.Context, t Target) iter.Seq2[Step, error]
}

// An Entry is one place of a table, and who is there. A peer may be in several.
type Entry struct {
	Part   Part
	Index  int // which of its Part; see there
	Peer   peer.ID
	RTT    time.Duration // round trip that the engine has measured; 0 if it has not
	Silent bool          // it has not answered what it was asked last
}

// A Part of the tables.
type Part string

// The parts that there are.
const (
	Successor   Part = "successor"   // Chord: the next nodes clockwise, from 1 on
	Predecessor Part = "predecessor" // Chord: the one before
	Finger      Part = "finger"      // Chord: [i] is the first at or after this node + 2^i
	Leaf        Part = "leaf"        // Pastry: the next nodes clockwise, from 1 on, and counterclockwise, from -1 on
	Row         Part = "row"         // Pastry: those in row i of the routing table share so many digits of 4 bits with this node
	Neighbour   Part = "neighbour"   // Pastry: those that are nearest in time, from 1 on
	Bucket      Part = "bucket"      // Kademlia: those in bucket i share so many bits with this node
	Spare       Part = "spare"       // Kademlia: for when one of the same bucket is gone
	Gate        Part = "gate"        // of a client: connected peers that are part of the overlay
)

// A Target is what a search is for. If Key is nil it is for Place, which only Kith's own engines can search for: others ask for a key, and hash it themselves.
type Target struct{ Key, Place []byte }

// What happens in a search.
type What string

// The steps of a search.
const (
	Begins  What = "begins"  // Names are those that this node itself would ask
	Asks    What = "asks"    // Peer is asked
	Answers What = "answers" // Peer answers after Took, and Names whom it takes for nearer
	Silent  What = "silent"  // Peer has not answered in time, or cannot be reached; it may be asked again
	Late    What = "late"    // Peer answers after all, which does not count any more
	Ends    What = "ends"    // Names are the nearest, the nearest first, this node perhaps among them
)

// A Step is one thing that happens in a search.
type Step struct {
	What  What
	After time.Duration // since the search began
	Peer  peer.ID       // "" in Begins and Ends
	Took  time.Duration
	Mine  bool      // Peer, or in Begins this node, says that the target is its own
	Names []peer.ID // at most 32, nearest first as who names them sees it
}
