package kaddht

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"kith"
)

// IPFSProtocol is what the DHT of the public IPFS network speaks: who does is a node of that network.
const IPFSProtocol protocol.ID = "/ipfs/kad/1.0.0"

const (
	enterTime = 15 * time.Second // for which it is waited until one of those to begin with answers
	enterLook = 100 * time.Millisecond
)

// IPFS returns where the programs of the public IPFS network enter its DHT.
func IPFS() []peer.AddrInfo { return dht.GetDefaultBootstrapPeerAddrInfos() }

// Walk looks up a random key in the DHT of the public IPFS network, entered through begin, and takes no part in it: it answers nobody and tells nothing. Whoever
// was asked is connected to h afterwards, about fifty nodes in a large network; that is all that it is for, since most of these relay. It is Unavailable
// if nobody of begin answers.
func Walk(ctx context.Context, h host.Host, begin []peer.AddrInfo) error {
	quietLibrary()
	d, err := dht.New(h,
		dht.ProtocolPrefix("/kith/walk"), dht.V1ProtocolOverride(IPFSProtocol), // the library insists that who has the prefix /ipfs serves
		dht.Mode(dht.ModeClient),
		dht.DisableAutoRefresh(), dht.DisableProviders(), dht.DisableValues(),
		dht.BootstrapPeers(),
		dht.Concurrency(concurrency),
		dht.QueryFilter(dht.PublicQueryFilter), dht.RoutingTableFilter(dht.PublicRoutingTableFilter),
		dht.AddressFilter(public),
	)
	if err != nil {
		return fmt.Errorf("kaddht: walk: %w", err)
	}
	defer d.Close()
	entering, cancel := context.WithTimeout(ctx, enterTime)
	defer cancel()
	var dials sync.WaitGroup
	defer dials.Wait()
	defer cancel() // first
	for _, p := range begin {
		dials.Go(func() { h.Connect(entering, p) })
	}
	for d.RoutingTable().Size() == 0 {
		select {
		case <-entering.Done():
			return errors.Join(ctx.Err(), kith.Hint(fmt.Errorf("kaddht: walk: none of %d nodes of the public IPFS network answers: %w", len(begin), kith.Unavailable),
				"name others in config.toml: ipfs_hosts = [\"/ip4/…/tcp/4001/p2p/…\"]"))
		case <-time.After(enterLook):
		}
	}
	key := make([]byte, 32)
	rand.Read(key)
	if _, err := d.GetClosestPeers(ctx, string(key)); err != nil {
		return fmt.Errorf("kaddht: walk: %w: %w", err, kith.Unavailable)
	}
	return nil
}

// public keeps the public addresses of a list that somebody else made: nobody in that network has business on a local one.
func public(addrs []ma.Multiaddr) (out []ma.Multiaddr) {
	for _, a := range bounded(addrs) {
		if manet.IsPublicAddr(a) {
			out = append(out, a)
		}
	}
	return out
}
