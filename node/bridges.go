package node

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"

	"kith/blob"
	"kith/bridge"
	"kith/config"
	"kith/network"
	"kith/record"
	"kith/rendezvous"
)

// A Bridge is a public network of others that a node runs. It opens no socket before something is shared to it or fetched from it.
type Bridge interface {
	bridge.Bridge
	Start(ctx context.Context) error // serves again what is published
	Close() error
}

// NewBridge makes a Bridge for a node.
type NewBridge func(BridgeEnv) (Bridge, error)

// BridgeEnv is what a node gives a bridge.
type BridgeEnv struct {
	Blobs     *blob.Store
	Net       *network.Network
	Records   *record.Store
	Dir       string // below which it has a folder of its own, named as the bridge is
	Config    config.Config
	Mainline  bool     // the BitTorrent DHT may be used
	Hosts     []string // HOST:PORT of nodes of that DHT to begin with
	Multicast bool     // the local network may be asked for peers
	UPnP      bool     // the router may be asked for a way in
	Limits    func() (up, down int64)
	Go        func(name string, run func(context.Context) error)
	Note      func(text string)
	Log       *slog.Logger
	Version   string
}

func (n *Node) openBridges() error {
	for _, open := range n.o.Bridges {
		b, err := open(BridgeEnv{
			Blobs: n.blobs, Net: n.net, Records: n.records, Dir: filepath.Join(n.o.Dir, "bridges"), Config: n.o.Config, Mainline: n.o.Mainline, Hosts: n.mainlineHosts(), Multicast: !n.o.NoMDNS,
			UPnP: !n.o.NoUPnP, Limits: n.moves.Limits, Go: n.Go, Note: func(text string) { n.note(text) }, Log: n.log, Version: n.o.Version,
		})
		if err != nil {
			return fmt.Errorf("node: %w", err)
		}
		n.bridges = append(n.bridges, b)
	}
	return nil
}

// mainlineHosts returns nodes of the BitTorrent DHT to begin with.
func (n *Node) mainlineHosts() []string {
	if h := n.o.Config.MainlineHosts; h != nil {
		return h
	}
	return rendezvous.DefaultHosts
}

// bridged returns the bridges as applications see them.
func (n *Node) bridged() (list []bridge.Bridge) {
	for _, b := range n.bridges {
		list = append(list, b)
	}
	return list
}
