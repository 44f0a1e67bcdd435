package network

import (
	"context"
	"fmt"

	"github.com/fxamacker/cbor/v2"
	"github.com/ipfs/go-datastore"
	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/network/relay"
)

// relayKey is where what was set last is kept.
var relayKey = datastore.NewKey("/kith/relay")

// A kept setting is relay.Settings on disk.
type keptRelay struct {
	For     string `cbor:"1,keyasint"`
	Metered bool   `cbor:"2,keyasint"`
	Data    int64  `cbor:"3,keyasint"`
	Rate    int64  `cbor:"4,keyasint"`
}

// startRelay makes the service, with what was set last where the configuration says nothing.
func (n *Network) startRelay() {
	s := n.cfg.Relay
	if row, err := n.store.Get(n.ctx, relayKey); err == nil {
		var k keptRelay
		last := relay.Settings{}
		if err := knownDecoder.Unmarshal(row, &k); err == nil {
			last = relay.Settings{For: relay.Mode(k.For), Metered: k.Metered, Data: k.Data, Rate: k.Rate}
		}
		if last.Check() != nil {
			last = relay.Settings{}
		}
		set(&s.For, last.For)
		set(&s.Data, last.Data)
		set(&s.Rate, last.Rate)
		set(&s.Metered, last.Metered)
	}
	n.relay = relay.New(n.host, n.isFriend, s, n.log)
	n.Handle(relay.Protocol, func(_ context.Context, s Stream) error { return n.relay.Answer(s.Peer(), s) })
}

// SetRelay changes what the node carries for others, now and at the next start. Its error is Invalid if the settings make no sense.
func (n *Network) SetRelay(s relay.Settings) error {
	if err := n.relay.Set(s); err != nil {
		return err
	}
	row, err := cbor.Marshal(keptRelay{string(s.For), s.Metered, s.Data, s.Rate})
	if err == nil {
		err = n.store.Put(n.ctx, relayKey, row)
	}
	if err != nil {
		return fmt.Errorf("network: relay settings hold, but are not kept: %w: %w", err, kith.Unavailable)
	}
	return nil
}

// Relaying returns what the node carries for others.
func (n *Network) Relaying() relay.Report { return n.relay.Report() }

// Befriend tells who contacts and own devices are: whom this node relays for first. Until it is called there are none. friend may be called at once.
func (n *Network) Befriend(friend func(peer.ID) bool) { n.friend.Store(&friend) }

func (n *Network) isFriend(p peer.ID) bool {
	f := n.friend.Load()
	return f != nil && (*f)(p)
}
