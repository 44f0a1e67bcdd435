package bittorrent

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/anacrolix/dht/v2"
	"github.com/anacrolix/torrent"

	"kith"
	"kith/bridge"
	"kith/bridge/bittorrent/crawl"
	"kith/bridge/bittorrent/metainfo"
)

// Hear implements bridge.Torrents.
func (b *Bridge) Hear(ctx context.Context, known func(kith.InfoHash) bool, heard func(bridge.Heard)) error {
	c, err := b.open()
	if err != nil {
		return err
	}
	var servers []*dht.Server
	for _, s := range c.cl.DhtServers() {
		if w, ok := s.(torrent.AnacrolixDhtServerWrapper); ok {
			servers = append(servers, w.Server)
		}
	}
	if len(servers) == 0 {
		return kith.Hint(fmt.Errorf("bittorrent: this node is not in the DHT: %w", kith.Unavailable), "dht = true under [bittorrent] in config.toml")
	}
	crawl.New(crawl.DHT(servers, c.dialPeer, known, func(in *metainfo.Info) {
		if in.Private {
			return
		}
		h := bridge.Heard{Names: kith.Names{V1: in.V1, V2: in.V2}, Name: in.Name, Size: in.Size()}
		for _, f := range in.Files {
			h.Files = append(h.Files, f.Path)
		}
		heard(h)
	})).Run(ctx)
	return nil
}

// dialPeer dials a peer from where this node is.
func (c *client) dialPeer(ctx context.Context, at netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	if from := c.b.o.Bind; from.IsValid() && from.Is4() == at.Addr().Is4() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	return d.DialContext(ctx, "tcp", at.String())
}
