package host

import (
	"context"
	"sync"

	bsmsg "github.com/ipfs/boxo/bitswap/message"
	pb "github.com/ipfs/boxo/bitswap/message/pb"
	bsnetwork "github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/ipfs/boxo/exchange"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
	ma "github.com/multiformats/go-multiaddr"
)

// ID returns its peer id.
func (on *Host) ID() peer.ID { return on.libp2p.ID() }

// Addrs returns where it can be reached.
func (on *Host) Addrs() []ma.Multiaddr { return on.libp2p.Addrs() }

// Peers returns who is connected.
func (on *Host) Peers() []peer.ID { return on.libp2p.Network().Peers() }

// Connected reports whether p is connected.
func (on *Host) Connected(p peer.ID) bool {
	return on.libp2p.Network().Connectedness(p) == network.Connected
}

// Swappers returns those who are connected and say whether they have a block when they are asked.
func (on *Host) Swappers() (list []peer.ID) {
	for _, p := range on.Peers() {
		if known, err := on.libp2p.Peerstore().SupportsProtocols(p, bsnetwork.ProtocolBitswap); err == nil && len(known) > 0 {
			list = append(list, p)
		}
	}
	return list
}

// Ask asks a peer whether it has blocks. The Tracer hears the answers.
func (on *Host) Ask(ctx context.Context, p peer.ID, list []cid.Cid) error {
	m := bsmsg.New(false)
	for _, c := range list {
		m.AddEntry(c, 1, pb.Message_Wantlist_Have, true)
	}
	return on.send(ctx, p, m)
}

// Unask tells a peer that it need not answer any more.
func (on *Host) Unask(ctx context.Context, p peer.ID, list []cid.Cid) error {
	m := bsmsg.New(false)
	for _, c := range list {
		m.Cancel(c)
	}
	return on.send(ctx, p, m)
}

func (on *Host) send(ctx context.Context, p peer.ID, m bsmsg.BitSwapMessage) error {
	if m.Empty() {
		return nil
	}
	return on.net.SendMessage(ctx, p, m)
}

// Session returns what fetches blocks that belong together, until ctx ends.
func (on *Host) Session(ctx context.Context) exchange.Fetcher { return on.swap.NewSession(ctx) }

// Tell gives blocks that have come from elsewhere to peers that wait for them. Only their sizes are looked at.
func (on *Host) Tell(ctx context.Context, list ...blocks.Block) error {
	return on.swap.Server.NotifyNewBlocks(ctx, list...)
}

// Put gives a value to the DHT.
func (on *Host) Put(ctx context.Context, key string, value []byte) error {
	return on.dht.PutValue(ctx, key, value)
}

// Search asks the DHT, that of the internet and that of the local network, for values; found is called for each, on any goroutine.
func (on *Host) Search(ctx context.Context, key string, found func([]byte)) {
	var all sync.WaitGroup
	for _, d := range []routing.ValueStore{on.dht.WAN, on.dht.LAN} {
		all.Go(func() {
			values, err := d.SearchValue(ctx, key)
			if err != nil {
				return
			}
			for v := range values {
				found(v)
			}
		})
	}
	all.Wait()
}

// Sized returns a block of which no more than its size matters, as for Tell; n is at most 2 MiB.
func Sized(c cid.Cid, n int) blocks.Block { return sized{c, n} }

type sized struct {
	c cid.Cid
	n int
}

var nothing [maxBlock]byte

func (s sized) RawData() []byte          { return nothing[:s.n] }
func (s sized) Cid() cid.Cid             { return s.c }
func (s sized) String() string           { return s.c.String() }
func (s sized) Loggable() map[string]any { return nil }
