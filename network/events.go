package network

import (
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"

	"kith/network/cut"
)

// An Event says that a peer came or went.
type Event struct {
	Peer      peer.ID
	Connected bool // false: the last connection to it ended
}

const maxEvents = 64 // that wait for one subscriber

// Subscribe returns a channel of the peers that come (once it is known what they speak) and go, until cancel or Close closes it. A
// subscriber who lags behind by more than maxEvents misses some: Peers tells who is connected.
func (n *Network) Subscribe() (events <-chan Event, cancel func()) {
	ch := make(chan Event, maxEvents)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		close(ch)
		return ch, func() {}
	}
	n.subs[ch] = struct{}{}
	return ch, sync.OnceFunc(func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if _, ok := n.subs[ch]; ok {
			delete(n.subs, ch)
			close(ch)
		}
	})
}

func (n *Network) endSubs() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for ch := range n.subs {
		close(ch)
	}
	clear(n.subs)
}

func (n *Network) publish(e Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !e.Connected {
		delete(n.pinged, e.Peer)
	}
	for ch := range n.subs {
		select {
		case ch <- e:
		default:
		}
	}
}

// watch turns libp2p's events into ours, and remembers who was connected.
func (n *Network) watch() error {
	sub, err := n.host.EventBus().Subscribe([]any{
		new(event.EvtPeerIdentificationCompleted), new(event.EvtPeerConnectednessChanged), new(event.EvtLocalAddressesUpdated),
		new(event.EvtHostReachableAddrsChanged), new(event.EvtNATDeviceTypeChanged),
	}, eventbus.Name("kith"), eventbus.BufSize(256))
	if err != nil {
		return err
	}
	known := map[peer.ID]bool{}
	var parted cut.Watch
	retry := time.NewTimer(0)
	n.run(func() {
		defer sub.Close()
		save := time.NewTicker(rememberEvery)
		defer save.Stop()
		defer retry.Stop()
		for {
			if next := parted.Next(); next.IsZero() {
				retry.Stop()
			} else {
				retry.Reset(time.Until(next))
			}
			select {
			case <-n.ctx.Done():
				return
			case <-save.C:
				n.remember()
			case now := <-retry.C:
				n.reunite(parted.Due(now))
			case e := <-sub.Out():
				switch e := e.(type) {
				case event.EvtPeerIdentificationCompleted:
					n.entered(e.Conn)
					n.punch.identified(e)
					if !known[e.Peer] && n.host.Network().Connectedness(e.Peer) != network.NotConnected {
						known[e.Peer] = true
						n.meet(e.Peer)
						parted.Back(e.Peer)
						n.publish(Event{e.Peer, true})
					}
				case event.EvtPeerConnectednessChanged:
					if e.Connectedness == network.Connected && slices.ContainsFunc(n.host.Network().ConnsToPeer(e.Peer), relayed) {
						n.leaveRelay(e.Peer)
					}
					if e.Connectedness == network.NotConnected && known[e.Peer] {
						delete(known, e.Peer)
						parted.Gone(e.Peer, len(known), time.Now())
						n.publish(Event{e.Peer, false})
					}
				case event.EvtLocalAddressesUpdated:
					if n.mdns != nil {
						n.mdns.moved()
					}
				case event.EvtHostReachableAddrsChanged:
					n.reachable(e)
				case event.EvtNATDeviceTypeChanged:
					n.mapping(e)
				}
			}
		}
	})
	return nil
}
