package live

import (
	"bufio"
	"fmt"
	"io"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"kith"
	"kith/overlay/kbr"
	"kith/wire"
)

// Bounds of what is read from a peer.
const (
	maxFrame = 128 << 10 // bytes of a question or of an answer
	maxID    = 64        // bytes of a peer ID; those of Ed25519 keys have 38
	maxAddrs = 16        // addresses that are believed, or told, of one peer
	maxAddr  = 256       // bytes of one
	maxKey   = 256       // bytes of a key
	maxValue = 16 << 10  // bytes of a value
	maxItems = 64        // items in one frame
)

// What a question is.
const (
	asks  uint8 = iota // an engine's question, which has an answer
	tells              // an engine's notice, which has none
	near               // who keeps copies of what is yours
	puts               // keep these items
	gets               // what do you keep under a key
	kinds              // how many there are
)

// What spaces of keys there are.
const (
	values        uint8 = iota // a key has one value, the best that anybody put
	announcements              // a key has an announcement of each peer that provides what it names
	spaces
)

// What comes of an item that was put.
const (
	kept  uint8 = iota
	older       // something newer is here
	wrong       // it is not what it should be
	full        // others keep enough here for today
)

// A question is what a stream begins with.
type question struct {
	What  uint8  `cbor:"1,keyasint"`
	Talk  *talk  `cbor:"2,keyasint,omitempty"` // of asks and tells
	Space uint8  `cbor:"3,keyasint,omitempty"` // of gets
	Key   []byte `cbor:"4,keyasint,omitempty"` // of gets
	Items []item `cbor:"5,keyasint,omitempty"` // of puts
	Yours bool   `cbor:"6,keyasint,omitempty"` // of puts: who asks holds the one that is asked for the first of those that are to keep the items
}

// An answer is what it ends with.
type answer struct {
	Talk  *talk     `cbor:"1,keyasint,omitempty"` // to asks
	Nodes []contact `cbor:"2,keyasint,omitempty"` // to near
	Items []item    `cbor:"3,keyasint,omitempty"` // to gets; and to puts, what is newer here
	Codes []uint8   `cbor:"4,keyasint,omitempty"` // to puts: what came of each item
}

// A talk is a kbr.Message. Recursive searches are not spoken: see the package comment.
type talk struct {
	Kind  uint8     `cbor:"1,keyasint"`
	Flags uint8     `cbor:"2,keyasint,omitempty"`
	Ends  uint8     `cbor:"3,keyasint,omitempty"`
	Node  *contact  `cbor:"4,keyasint,omitempty"`
	Key   []byte    `cbor:"5,keyasint,omitempty"`
	Nodes []contact `cbor:"6,keyasint,omitempty"`
}

// A contact is a peer and where it may be reached.
type contact struct {
	ID    []byte   `cbor:"1,keyasint"`
	Addrs [][]byte `cbor:"2,keyasint,omitempty"`
}

// An item is something that is kept under a key.
type item struct {
	Space uint8  `cbor:"1,keyasint"`
	Key   []byte `cbor:"2,keyasint"`
	Data  []byte `cbor:"3,keyasint"`           // a value, or an announcement
	Left  uint32 `cbor:"4,keyasint,omitempty"` // seconds for which it is kept; 0 is as long as ever
}

func bad(what string) error { return fmt.Errorf("live: %s: %w", what, kith.Invalid) }

// readQuestion reads and checks what a peer asks.
func readQuestion(r io.Reader) (q question, err error) {
	if err := wire.ReadMsg(bufio.NewReader(r), maxFrame, &q); err != nil {
		return q, err
	}
	return q, q.check()
}

// readAnswer reads and checks what a peer answers.
func readAnswer(r io.Reader) (a answer, err error) {
	if err := wire.ReadMsg(bufio.NewReader(r), maxFrame, &a); err != nil {
		return a, err
	}
	return a, a.check()
}

func (q *question) check() error {
	switch {
	case q.What >= kinds, q.Space >= spaces:
		return bad("a question that is not known")
	case (q.What == asks || q.What == tells) != (q.Talk != nil):
		return bad("a question of one kind that is of another")
	case q.What == gets && (len(q.Key) == 0 || len(q.Key) > maxKey):
		return bad("a key that is none")
	case len(q.Items) > maxItems:
		return bad("too many items")
	}
	for i := range q.Items {
		if err := q.Items[i].check(); err != nil {
			return err
		}
	}
	if q.Talk != nil {
		return q.Talk.check()
	}
	return nil
}

func (a *answer) check() error {
	if len(a.Nodes) > kbr.MaxNodes || len(a.Items) > maxItems || len(a.Codes) > maxItems {
		return bad("too much in an answer")
	}
	for i := range a.Items {
		if err := a.Items[i].check(); err != nil {
			return err
		}
	}
	for i := range a.Nodes {
		if err := a.Nodes[i].check(); err != nil {
			return err
		}
	}
	if a.Talk != nil {
		return a.Talk.check()
	}
	return nil
}

func (t *talk) check() error {
	switch k := kbr.Kind(t.Kind); {
	case k == kbr.Carry || k == kbr.Arrived:
		return bad("a recursive search")
	case len(t.Nodes) > kbr.MaxNodes:
		return bad("too many nodes")
	case int(t.Ends) > len(t.Nodes):
		return bad("more ends than nodes")
	case len(t.Key) != 0 && len(t.Key) != kbr.Bits/8:
		return bad("a place that is none")
	}
	for i := range t.Nodes {
		if err := t.Nodes[i].check(); err != nil {
			return err
		}
	}
	if t.Node != nil {
		return t.Node.check()
	}
	return nil
}

func (c *contact) check() error {
	if len(c.ID) == 0 || len(c.ID) > maxID {
		return bad("a peer that is none")
	}
	if _, err := peer.IDFromBytes(c.ID); err != nil {
		return bad("a peer that is none")
	}
	return nil
}

func (i *item) check() error {
	if i.Space >= spaces || len(i.Key) == 0 || len(i.Key) > maxKey || len(i.Data) > maxValue {
		return bad("an item that is none")
	}
	return nil
}

// info returns the peer, with as many of its addresses as are believed; those that cannot be read are left out.
func (c *contact) info() peer.AddrInfo {
	return peer.AddrInfo{ID: peer.ID(c.ID), Addrs: readAddrs(c.Addrs)}
}

func readAddrs(list [][]byte) (addrs []ma.Multiaddr) {
	for _, b := range list[:min(len(list), maxAddrs)] {
		if len(b) > maxAddr {
			continue
		}
		if a, err := ma.NewMultiaddrBytes(slices.Clone(b)); err == nil {
			addrs = append(addrs, a)
		}
	}
	return addrs
}

func writeAddrs(addrs []ma.Multiaddr) (list [][]byte) {
	for _, a := range addrs {
		if b := a.Bytes(); len(b) <= maxAddr && len(list) < maxAddrs {
			list = append(list, b)
		}
	}
	return list
}

func contactOf(info peer.AddrInfo) contact {
	return contact{ID: []byte(info.ID), Addrs: writeAddrs(info.Addrs)}
}
