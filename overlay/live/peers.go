package live

import (
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith/overlay/kbr"
)

// Bounds of the table of peers.
const (
	maxPeers  = 8192             // that have a number
	maxNamed  = 256              // of which one peer named so many, and nobody else has been heard of them
	maxRegion = 1024             // and all peers of one part of the internet so many
	forgetIn  = 30 * time.Minute // after which the number of a peer that no engine has in its tables is used again
	hurried   = 2 * time.Minute  // when there is no other; longer than a question or a search
)

// known is a peer that has a number.
type known struct {
	id     peer.ID
	heard  time.Time // when its number was last given out
	by     peer.ID   // who named it, unless it has been spoken to
	region string    // of that one
	flying int       // questions that it has not answered yet
	spoke  int       // the life of this node in which it last spoke, over the connection that is there, as one of the same network
}

// peers gives numbers to peers, as engines know them. Number 1 is the node itself.
type peers struct {
	table    *kbr.Table
	list     []known // by number; the first is nobody
	numbers  map[peer.ID]kbr.Node
	free     []kbr.Node
	by       map[peer.ID]int
	regions  map[string]int
	searched time.Time // when numbers were last looked for that nobody uses
}

func placeOf(p peer.ID) kbr.ID { return kbr.Hash([]byte(p)) }

func newPeers(self peer.ID) *peers {
	return &peers{
		table: tableOf(self), list: []known{{}, {id: self}}, numbers: map[peer.ID]kbr.Node{self: self1}, by: map[peer.ID]int{}, regions: map[string]int{},
	}
}

// self1 is the number of the node itself.
const self1 kbr.Node = 1

func tableOf(self peer.ID) *kbr.Table {
	t := &kbr.Table{}
	t.Add(placeOf(self))
	return t
}

// number returns the number of a peer, and gives it one. Who is named by somebody may get none, when there is no room or that one has named too many; used says
// which numbers engines have in their tables.
func (t *peers) number(p, by peer.ID, region string, now time.Time, used func() []kbr.Node) kbr.Node {
	if n, ok := t.numbers[p]; ok {
		if k := &t.list[n]; n != self1 {
			k.heard = now
			if by == "" {
				t.vouch(k)
			}
		}
		return n
	}
	tooMany := func() bool {
		return by != "" && (t.by[by] >= maxNamed || region != "" && t.regions[region] >= maxRegion)
	}
	none := func() bool { return len(t.free) == 0 && len(t.list) > maxPeers }
	if tooMany() || none() {
		if t.sweep(now, used); tooMany() || none() {
			return kbr.None
		}
	}
	k := known{id: p, heard: now, by: by, region: region}
	if by != "" {
		t.by[by]++
		if region != "" {
			t.regions[region]++
		}
	}
	var n kbr.Node
	if l := len(t.free); l > 0 {
		n, t.free = t.free[l-1], t.free[:l-1]
		t.table.Set(n, placeOf(p))
		t.list[n] = k
	} else {
		n = t.table.Add(placeOf(p))
		t.list = append(t.list, k)
	}
	t.numbers[p] = n
	return n
}

// vouch counts a peer no longer as one that somebody has only named.
func (t *peers) vouch(k *known) {
	if k.by == "" {
		return
	}
	if t.by[k.by]--; t.by[k.by] <= 0 {
		delete(t.by, k.by)
	}
	if k.region != "" {
		if t.regions[k.region]--; t.regions[k.region] <= 0 {
			delete(t.regions, k.region)
		}
	}
	k.by, k.region = "", ""
}

// sweep takes back the numbers of peers that nobody has spoken of for some time, at most once a second.
func (t *peers) sweep(now time.Time, used func() []kbr.Node) {
	if now.Sub(t.searched) < time.Second {
		return
	}
	t.searched = now
	keep := map[kbr.Node]bool{self1: true}
	for _, n := range used() {
		keep[n] = true
	}
	for _, after := range []time.Duration{forgetIn, hurried} {
		for i := range t.list[1:] {
			n := kbr.Node(i + 1)
			k := &t.list[n]
			if k.id == "" || keep[n] || k.flying > 0 || now.Sub(k.heard) < after {
				continue
			}
			t.vouch(k)
			delete(t.numbers, k.id)
			*k = known{}
			t.free = append(t.free, n)
		}
		if len(t.free) > 0 {
			return
		}
	}
}

// id returns the peer of a number; "" if it has none.
func (t *peers) id(n kbr.Node) peer.ID {
	if int(n) >= len(t.list) {
		return ""
	}
	return t.list[n].id
}
