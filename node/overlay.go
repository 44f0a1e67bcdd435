package node

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	librecord "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"kith"
	"kith/internal/human"
	"kith/overlay"
	"kith/overlay/kaddht"
	"kith/overlay/live"
	"kith/record"
)

// usualOverlay is what a network runs that says nothing else.
const usualOverlay = "kad-dht"

// router is the overlay of the node's network.
type router interface {
	overlay.Viewer
	Size() int    // peers in its tables
	Mode() string // server or client
	Close() error
}

// checkOverlay returns what the name of an overlay stands for in the definition of a network: "" for the usual one. Its error is Invalid.
func checkOverlay(name string) (string, error) {
	if name == "" || name == usualOverlay {
		return "", nil
	}
	return name, live.Check(name, usualOverlay)
}

// overlayOf returns the overlay of the network that the node is in: that of a private network is part of its link, which all members have, and that of a public one
// is what everybody there starts with.
func (n *Node) overlayOf() (string, error) {
	wanted := n.o.Config.Overlay
	name, err := checkOverlay(wanted)
	if err != nil {
		return "", fmt.Errorf("node: %w", err)
	}
	if d := n.net.Door(); d != nil {
		if agreed := d.Network().Overlay; wanted == "" {
			name = agreed
		} else if name != agreed {
			return "", kith.Hint(fmt.Errorf("node: %s runs on %s, and not on %s: its members have agreed on that: %w", private(d.Network()), called(agreed), wanted, kith.Invalid),
				"start without --overlay, and without overlay in config.toml; or make another network: kith network new NAME --overlay %s", wanted)
		}
	}
	return called(name), nil
}

// called returns the name of an overlay in words.
func called(overlay string) string {
	if overlay == "" {
		return usualOverlay
	}
	return overlay
}

// openOverlay joins the overlay of the network.
func (n *Node) openOverlay(v librecord.Validator) (err error) {
	if n.overlay, err = n.overlayOf(); err != nil {
		return err
	}
	validators := map[string]librecord.Validator{record.Namespace: v}
	if n.overlay == usualOverlay {
		r, err := kaddht.New(n.ctx, kaddht.Options{Host: n.net.Host(), Network: n.net.Label(), DS: n.net.Store(), Validators: validators, Log: n.log})
		if err == nil {
			n.routes = r
		}
		return err
	}
	r, err := live.New(n.ctx, live.Options{Host: n.net.Host(), Network: n.net.Label(), Overlay: n.overlay, DS: n.net.Store(), Validators: validators, Log: n.log})
	if err == nil {
		n.routes = r
	}
	return err
}

// overlayText says in one line how the overlay is.
func (n *Node) overlayText() string {
	return fmt.Sprintf("%s, %s, %s in its table", n.overlay, n.routes.Mode(), human.Count(n.routes.Size(), "peer"))
}

// otherOverlay returns the overlay of a connected peer of this network that speaks another one than this node; "" if it does not, or has not said.
func (n *Node) otherOverlay(p peer.ID) string {
	names := map[protocol.ID]string{live.Protocol(n.net.Label(), "kad"): usualOverlay}
	for _, name := range live.Names() {
		names[live.Protocol(n.net.Label(), name)] = name
	}
	spoken, err := n.net.Host().Peerstore().SupportsProtocols(p, slices.Collect(maps.Keys(names))...)
	if err != nil || len(spoken) == 0 {
		return ""
	}
	for _, s := range spoken {
		if names[s] == n.overlay {
			return ""
		}
	}
	return names[slices.Min(spoken)]
}

// otherOverlays returns how many connected peers of this network run which other overlay.
func (n *Node) otherOverlays() map[string]int {
	others := map[string]int{}
	for _, p := range n.net.Host().Network().Peers() {
		if name := n.otherOverlay(p); name != "" {
			others[name]++
		}
	}
	return others
}

// parted says that others of the network run another overlay; "" if none do.
func parted(mine string, others map[string]int) string {
	if len(others) == 0 {
		return ""
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(others)) {
		list = append(list, human.Count(others[name], "connected peer")+" on "+name)
	}
	return fmt.Sprintf("this node runs on the overlay %s, and of the same network %s: they and this node find nothing through each other", mine, strings.Join(list, ", "))
}

// partedDo is what a person does about it.
func partedDo(mine string, others map[string]int) string {
	for _, name := range slices.Sorted(maps.Keys(others)) {
		return fmt.Sprintf("all nodes of a network run the same: start this one with --overlay %s, or the others with --overlay %s", name, mine)
	}
	return ""
}
