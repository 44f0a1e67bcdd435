package node

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ipfs/go-datastore"
	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/internal/human"
	"kith/overlay/kaddht"
)

const (
	borrowAfter = 20 * time.Second // without anybody known who relays
	borrowLook  = 2 * time.Second  // between two looks whether a relay is needed
	borrowTime  = time.Minute      // for which the public IPFS network is asked at most
	borrowStay  = time.Minute      // after which who was asked, and does not relay for this node, is let go
	borrowAgain = 5 * time.Minute  // after a round that brought no relay; it doubles
	borrowMost  = time.Hour        // up to this
)

var borrowKey = datastore.NewKey("/kith/relay/ipfs")

// A borrower finds relays among the nodes of the public IPFS network, if the person wants that, while nobody known relays and the node cannot be reached.
// Who was found is like any other connected peer; network asks those that relay for a place.
type borrower struct {
	n     *Node
	begin []peer.AddrInfo
	off   string // why it cannot be

	mu     sync.Mutex
	on     bool
	asked  time.Time // when the last round ended
	met    int       // nodes that were connected after it
	err    error     // why it came to nothing
	asking bool
}

func (n *Node) newBorrower(ctx context.Context) (*borrower, error) {
	b := &borrower{n: n, on: n.o.Config.Relay.IPFS}
	if n.net.Private() {
		b.off = "this network is private: its members alone relay for each other"
	}
	if kept, err := n.net.Store().Get(ctx, borrowKey); err == nil && !b.on {
		b.on = string(kept) == "yes"
	}
	if n.o.Config.IPFSHosts == nil {
		b.begin = kaddht.IPFS()
		return b, nil
	}
	for _, text := range n.o.Config.IPFSHosts {
		p, err := peer.AddrInfoFromString(text)
		if err != nil {
			return nil, fmt.Errorf("node: ipfs_hosts: %.200q: %w: %w", text, err, kith.Invalid)
		}
		b.begin = append(b.begin, *p)
	}
	return b, nil
}

// set switches it, now and at the next start.
func (b *borrower) set(ctx context.Context, on bool) error {
	if on && b.off != "" {
		return fmt.Errorf("node: relay: %s: %w", b.off, kith.Invalid)
	}
	text := map[bool]string{true: "yes", false: "no"}[on]
	if err := b.n.net.Store().Put(ctx, borrowKey, []byte(text)); err != nil {
		return fmt.Errorf("node: relay: %w", err)
	}
	b.mu.Lock()
	b.on = on
	b.mu.Unlock()
	return nil
}

func (b *borrower) wanted() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.on && b.off == ""
}

// needed reports whether the node needs a relay and has none.
func (b *borrower) needed() bool {
	h := b.n.net.Health()
	return len(h.Reachable) == 0 && len(h.Relays) == 0
}

// run asks when it is to be done, until ctx ends.
func (b *borrower) run(ctx context.Context) error {
	alone, again, wait := time.Now(), time.Time{}, borrowAgain
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(borrowLook):
		}
		switch now := time.Now(); {
		case !b.wanted():
			alone, again, wait = now, time.Time{}, borrowAgain
		case !b.needed():
			alone, wait = now, borrowAgain
		case now.Sub(alone) >= borrowAfter && now.After(again):
			b.ask(ctx)
			again, wait = time.Now().Add(wait), min(2*wait, borrowMost)
		}
	}
}

// ask looks for nodes of the public IPFS network, and lets those go after a while that it does not need.
func (b *borrower) ask(ctx context.Context) {
	h := b.n.net.Host().Network()
	before := h.Peers()
	b.mu.Lock()
	b.asking = true
	b.mu.Unlock()
	within, cancel := context.WithTimeout(ctx, borrowTime)
	err := kaddht.Walk(within, b.n.net.Host(), b.begin)
	cancel()
	var met []peer.ID
	for _, p := range h.Peers() {
		if b.n.net.Foreign(p) && !slices.Contains(before, p) {
			met = append(met, p)
		}
	}
	b.mu.Lock()
	b.asking, b.asked, b.met, b.err = false, time.Now(), len(met), err
	b.mu.Unlock()
	b.n.log.Debug("asked the public IPFS network for relays", "n", len(met), "err", err)
	b.n.Go("node.borrow.leave", func(ctx context.Context) error {
		select {
		case <-ctx.Done():
		case <-time.After(borrowStay):
			relays := b.n.net.Health().Relays
			for _, p := range met {
				if !slices.Contains(relays, p) {
					h.ClosePeer(p)
				}
			}
		}
		return nil
	})
}

// says tells how it goes.
func (b *borrower) says() string {
	held := 0
	for _, p := range b.n.net.Health().Relays {
		if b.n.net.Foreign(p) {
			held++
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.off != "":
		return b.off
	case !b.on:
		return "not asked for relays"
	case held > 0:
		return "a place is held at " + human.Count(held, "relay") + " of it, enough to find a direct way through"
	case b.asking:
		return "being asked for relays"
	case b.err != nil:
		text := strings.TrimSuffix(strings.TrimPrefix(b.err.Error(), "kaddht: walk: "), ": "+kith.Unavailable.Error())
		if hint := kith.HintOf(b.err); hint != "" {
			text += "; " + hint
		}
		return text
	case !b.asked.IsZero():
		return fmt.Sprintf("asked at %s; %s answered", b.asked.Local().Format("15:04"), human.Count(b.met, "node"))
	}
	return "asked for relays when this node needs one and nobody known relays for it"
}
