package main

import (
	"net"
	"net/netip"
	"path/filepath"

	"kith/bridge/bittorrent"
	"kith/bridge/ipfs"
	"kith/bridge/web"
	"kith/node"
	"kith/rendezvous"
)

// bridges are the public networks of others that a node speaks to when its user asks for it.
func bridges() []node.NewBridge { return []node.NewBridge{newBitTorrent, newIPFS, newWeb} }

func newBitTorrent(e node.BridgeEnv) (node.Bridge, error) {
	o := bittorrent.Options{
		Blobs: e.Blobs, Dir: filepath.Join(e.Dir, "bittorrent"), Config: e.Config.BitTorrent, Mainline: e.Mainline, Hosts: e.Hosts, Multicast: e.Multicast, UPnP: e.UPnP,
		Limits: e.Limits, Go: e.Go, Log: e.Log, Version: e.Version,
	}
	if l := e.Config.BitTorrent.Listen; l != "" {
		o.Bind = netip.MustParseAddr(l) // config has parsed it
	}
	o.DHTConn = func(c net.PacketConn) net.PacketConn { return rendezvous.Guard(c, o.Bind.IsLoopback()) }
	b, err := bittorrent.New(o)
	if err != nil {
		return nil, err // and no interface of nothing
	}
	e.Note(b.Note())
	return b, nil
}

func newWeb(e node.BridgeEnv) (node.Bridge, error) {
	return web.New(web.Options{Dir: filepath.Join(e.Dir, "web"), Log: e.Log, Agent: "kith/" + e.Version})
}

func newIPFS(e node.BridgeEnv) (node.Bridge, error) {
	b, err := ipfs.New(ipfs.Options{Blobs: e.Blobs, Records: e.Records, Dir: filepath.Join(e.Dir, "ipfs"), Log: e.Log, Config: e.Config.IPFS, Bootstrap: e.Config.IPFSHosts, UPnP: e.UPnP})
	if err != nil {
		return nil, err
	}
	e.Note(b.Note())
	return b, nil
}
