package ledger

import (
	"fmt"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
)

func TestLedger(t *testing.T) {
	ids := make([]peer.ID, 100)
	for i := range ids {
		ids[i] = peer.ID(fmt.Sprint("peer ", i))
	}
	flood := func(l *Ledger, from []peer.ID, group string) (kept int) {
		for i := range 3 * DayAll {
			if l.Announce(1, from[i%len(from)], group) {
				kept++
			}
		}
		return kept
	}
	l := &Ledger{}
	if n := flood(l, ids[:1], "a"); n != DayPeer {
		t.Errorf("one peer: %d kept", n)
	}
	if n := flood(l, ids[1:50], "a"); n != DayGroup-DayPeer {
		t.Errorf("one place: %d more kept", n)
	}
	if n := flood(l, ids[50:], ""); n != DayAll-DayGroup {
		t.Errorf("all: %d more kept", n)
	}
	if !l.Announce(2, ids[0], "a") {
		t.Error("nothing is kept the next day")
	}
	l = &Ledger{}
	kept := 0
	for i := range 2 * MaxPeers {
		if l.Announce(1, peer.ID(fmt.Sprint(i)), "") {
			kept++
		}
	}
	if kept != MaxPeers || len(l.peers) != MaxPeers {
		t.Errorf("%d peers kept, %d counted", kept, len(l.peers))
	}
	if !l.Value(1, DayValues) || l.Value(1, 1) || !l.Value(2, 1) {
		t.Error("values are not kept to their limit and from the next day on")
	}
}
