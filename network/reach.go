package network

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/p2p/host/autorelay"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	ma "github.com/multiformats/go-multiaddr"

	"kith/network/maddr"
)

const (
	relaysHeld = 2                // relays at which a node that cannot be reached holds a place
	relayLook  = 2 * time.Second  // between two looks among the connected peers for one that relays
	relayRetry = 5 * time.Minute  // before one that refused is asked again
	relayEarly = 15 * time.Second // between two looks whether a friend relays, while a place is held at a stranger
)

// startReach tells for the first time that nothing is known, so that relays are looked for at once: who has no public address at all
// never hears from AutoNAT.
func (n *Network) startReach() (err error) {
	n.punch = newPuncher(n)
	n.host.Network().Notify(&network.NotifyBundle{DisconnectedF: n.punch.disconnected})
	n.startRelay()
	if err := n.seekRelays(); err != nil {
		return err
	}
	if n.reach, err = n.host.EventBus().Emitter(new(event.EvtLocalReachabilityChanged), eventbus.Stateful); err != nil {
		return err
	}
	n.reachable(event.EvtHostReachableAddrsChanged{})
	return nil
}

// reachable tells what still listens to AutoNAT v1 (the overlay's mode, the client of relays) what AutoNAT v2 has found out of each address. Nobody here serves v1, and in
// go-libp2p v0.51 nothing else bridges the two. The node relays for others while somebody gets in: one wrong answer makes it look for relays itself, but ends no circuit.
func (n *Network) reachable(e event.EvtHostReachableAddrsChanged) {
	r := network.ReachabilityUnknown
	switch {
	case len(e.Reachable) > 0:
		r = network.ReachabilityPublic
	case len(e.Unreachable) > 0 && len(e.Unknown) == 0:
		r = network.ReachabilityPrivate
	}
	n.mu.Lock()
	n.reached = r
	n.mu.Unlock()
	n.entries.Found(addrIPs(e.Reachable), addrIPs(e.Unknown))
	n.relay.Serve(n.entries.Open())
	if err := n.reach.Emit(event.EvtLocalReachabilityChanged{Reachability: r}); err != nil {
		n.log.Warn("reachability not told", "err", err)
	}
}

// entered relays for others from when somebody has come in from the internet who was never spoken to: libp2p wants two to have tried an address, and asks each once in two
// minutes, so that a node with few peers would be of no use to them for long.
func (n *Network) entered(c network.Conn) {
	if c == nil || c.Stat().Direction != network.DirInbound {
		return
	}
	from, ok := maddr.PublicIP(c.RemoteMultiaddr())
	if !ok || n.gater.aims.Tried(from) { // what was sent there may have opened a firewall
		return
	}
	var links []netip.Prefix
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return
	}
	for _, a := range addrs {
		if l, err := netip.ParsePrefix(a.String()); err == nil {
			links = append(links, l.Masked())
		}
	}
	if n.entries.Came(addrIP(c.LocalMultiaddr()), from, links) {
		n.relay.Serve(true)
	}
}

// dialledBack reports whether a peer that asks whether it can be reached at an address (AutoNAT v2) is to be answered by trying: whoever has no way there must not say that
// there is none. libp2p knows that of IPv6, not of IPv4. Others than who asks are not connected when they are dialled.
func (n *Network) dialledBack(p peer.ID, a ma.Multiaddr) bool {
	to, ok := maddr.PublicIP(a)
	return !ok || !n.Direct(p) || n.way(to)
}

// way reports whether the machine, or the host on another network, has a way to an address; nothing is sent there.
func (n *Network) way(to netip.Addr) bool {
	if n.cfg.Packets != nil {
		return slices.ContainsFunc(n.listening(), func(a ma.Multiaddr) bool { return addrIP(a).Is4() == to.Is4() })
	}
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, 9)))
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// seekRelays has libp2p hold places at relays while this node cannot be reached. libp2p keeps the places that it has; so it is begun anew when a friend, who carries more than
// a stranger, relays and was not asked. A place that is left is kept by its relay for up to an hour.
func (n *Network) seekRelays() error {
	seek := func() (*autorelay.AutoRelay, error) {
		a, err := autorelay.NewAutoRelay(n.Host(), n.autoRelay()...)
		if err == nil {
			a.Start()
		}
		return a, err
	}
	a, err := seek()
	if err != nil {
		return err
	}
	n.sought = make(chan struct{})
	n.run(func() {
		defer close(n.sought)
		look := time.NewTicker(relayEarly)
		defer look.Stop()
		var last time.Time
		for {
			select {
			case <-n.ctx.Done():
				a.Close()
				return
			case now := <-look.C:
				strangers := n.atStrangers()
				if len(strangers) == 0 || now.Sub(last) < relayRetry {
					continue
				}
				last = now
				a.Close()
				n.mu.Lock()
				clear(n.offered)
				n.mu.Unlock()
				for _, p := range strangers {
					n.host.ConnManager().Unprotect(p, "autorelay") // libp2p's name for those who hold places
				}
				if a, err = seek(); err != nil { // the options are as they were
					n.log.Warn("no relay is looked for", "err", err)
					return
				}
			}
		}
	})
	return nil
}

// places returns the relays at which this node holds a place.
func (n *Network) places() map[peer.ID]bool {
	held := map[peer.ID]bool{}
	for _, a := range n.host.Addrs() {
		if maddr.Transport(a) == "relay" {
			held[relayOf(a)] = true
		}
	}
	return held
}

// helpers returns the connected peers that relay for others, and those of them that are friends.
func (n *Network) helpers() (all, friends []peer.ID) {
	for _, p := range n.host.Network().Peers() {
		if !n.speaksHop(p) || !n.Direct(p) {
			continue
		}
		all = append(all, p)
		if n.isFriend(p) {
			friends = append(friends, p)
		}
	}
	return all, friends
}

// atStrangers returns the strangers who hold a place for this node, if there is a friend who would and does not.
func (n *Network) atStrangers() (strangers []peer.ID) {
	held := n.places()
	for p := range held {
		if !n.isFriend(p) {
			strangers = append(strangers, p)
		}
	}
	if _, friends := n.helpers(); !slices.ContainsFunc(friends, func(p peer.ID) bool { return !held[p] }) {
		return nil
	}
	return strangers
}

// relays offers up to num connected peers that relay for others. Friends are offered alone first, since libp2p takes whoever of all answers first; strangers when it is asked
// again, for what is missing. Nobody is connected to for that.
func (n *Network) relays(_ context.Context, num int) <-chan peer.AddrInfo {
	list, friends := n.helpers()
	held, now := n.places(), time.Now()
	n.mu.Lock()
	friends = slices.DeleteFunc(friends, func(p peer.ID) bool { return held[p] || now.Sub(n.offered[p]) < relayRetry })
	for _, p := range friends {
		n.offered[p] = now
	}
	n.mu.Unlock()
	if len(friends) > 0 {
		list = friends
	}
	out := make(chan peer.AddrInfo, num)
	defer close(out)
	for _, p := range list[:min(len(list), num)] {
		out <- peer.AddrInfo{ID: p, Addrs: n.host.Peerstore().Addrs(p)}
	}
	return out
}

// autoRelay is how relays are chosen. They are few and known, so that the first is good enough.
func (n *Network) autoRelay() []autorelay.Option {
	return []autorelay.Option{
		autorelay.WithPeerSource(n.relays),
		autorelay.WithNumRelays(relaysHeld), autorelay.WithMinCandidates(1), autorelay.WithBootDelay(0),
		autorelay.WithMinInterval(relayLook), autorelay.WithBackoff(relayRetry),
	}
}

// announced is what peers are told of where the node can be reached: of the addresses through relays only those that every node can use.
func announced(addrs []ma.Multiaddr) []ma.Multiaddr {
	return slices.DeleteFunc(slices.Clone(addrs), func(a ma.Multiaddr) bool {
		if maddr.Transport(a) != "relay" {
			return false
		}
		to, _ := ma.SplitFunc(a, func(c ma.Component) bool { return c.Protocol().Code == ma.P_P2P })
		t := maddr.Transport(to)
		return t != "tcp" && t != "quic"
	})
}

// knowRelays remembers for a while where the relays in addresses are, so that each is dialled at all of its addresses at once: libp2p takes the
// addresses that lead through one relay in turn, and waits five seconds for QUIC where there is none.
func (n *Network) knowRelays(addrs []ma.Multiaddr) {
	for _, a := range addrs {
		to, rest := ma.SplitFunc(a, func(c ma.Component) bool { return c.Protocol().Code == ma.P_CIRCUIT })
		if rest == nil {
			continue
		}
		if r, err := peer.AddrInfoFromP2pAddr(to); err == nil {
			n.host.Peerstore().AddAddrs(r.ID, r.Addrs, peerstore.TempAddrTTL)
		}
	}
}

// Direct reports whether the node is connected to p other than through a relay.
func (n *Network) Direct(p peer.ID) bool {
	return slices.ContainsFunc(n.host.Network().ConnsToPeer(p), func(c network.Conn) bool { return !relayed(c) })
}

func relayed(c network.Conn) bool { return maddr.Transport(c.RemoteMultiaddr()) == "relay" }
