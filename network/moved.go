package network

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	msmux "github.com/multiformats/go-multistream"

	"kith/network/maddr"
	"kith/network/motion"
	"kith/network/told"
)

const (
	probeTime     = 2 * time.Second // for a connection to answer
	probeAtOnce   = 32
	leaveTime     = 50 * time.Millisecond // until attempts begin anew: the dial of a relay is left a moment after that of whom it leads to
	probeOlder    = 3 * time.Second       // how old a connection is that is asked whether it lives when its peer connects anew; two may begin at once
	returnDial    = 5 * time.Second       // for one attempt to reach somebody again who was lost by moving
	returnAtOnce  = 16                    // such attempts
	returnMin     = time.Second           // between two of them; it doubles
	returnFor     = time.Minute           // after which the ordinary redialling has to do
	maxReturn     = 64                    // peers who are dialled again
	libp2pCatches = 70 * time.Second      // after which libp2p has noticed by itself which addresses this machine has
)

// EvtMoved is emitted on the host's event bus when the machine has come to another network or has slept, and the connections that did not live through it
// are closed.
type EvtMoved struct{ motion.Change }

// A mover does what is to be done when the machine has moved or slept: libp2p notices new addresses within a minute, and dead connections within half a
// minute or never, which is too late for somebody who opens their laptop.
type mover struct {
	n       *Network
	emitter event.Emitter
	probes  chan struct{} // places for those that run
	older   time.Duration // probeOlder

	mu         sync.Mutex
	gone, came map[netip.Addr]time.Time // addresses that libp2p does not know to be gone or to be there, and since when
	stop       context.CancelFunc       // ends the present attempts to reach those who were lost; nil: none
}

func newMover(n *Network) *mover {
	return &mover{n: n, probes: make(chan struct{}, probeAtOnce), older: probeOlder, gone: map[netip.Addr]time.Time{}, came: map[netip.Addr]time.Time{}}
}

// start looks out for changes.
func (m *mover) start() (err error) {
	if m.emitter, err = m.n.host.EventBus().Emitter(new(EvtMoved)); err != nil {
		return err
	}
	m.n.host.Network().Notify(&network.NotifyBundle{ConnectedF: func(_ network.Network, c network.Conn) { m.cameAnew(c) }})
	began := time.Now()
	m.n.run(func() {
		read := func() motion.Reading {
			now := time.Now()
			return motion.Reading{Awake: now.Sub(began), Wall: now, Addrs: m.addrs()}
		}
		motion.Run(m.n.ctx, read, func(c motion.Change) { m.moved(c, m.addrs()) })
		m.emitter.Close()
	})
	return nil
}

// addrs returns the addresses that this node's sockets may be bound to: the machine's, or those of its host on another network.
func (m *mover) addrs() []netip.Addr {
	if m.n.cfg.Packets == nil {
		return motion.Addrs()
	}
	var list []netip.Addr
	for _, a := range m.n.listening() {
		if ip := addrIP(a); !slices.Contains(list, ip) {
			list = append(list, ip)
		}
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return list
}

// moved draws the conclusions of a change, after which the machine has the addresses now.
func (m *mover) moved(c motion.Change, now []netip.Addr) {
	n := m.n
	n.log.Info("the computer has moved or slept", "n", len(c.Gone)+len(c.Came), "dur", c.Slept)
	all := m.note(c, now)
	if len(now) == 0 {
		return // offline: what comes next tells whether the connections live
	}
	n.dials.moved()
	n.forgetPaths()
	n.retell()
	if n.mdns != nil {
		n.mdns.moved()
	}
	if n.router != nil && len(c.Gone)+len(c.Came) > 0 {
		n.run(n.router.Renew)
	}
	lost := m.probeAll(now, all)
	m.comeBack(lost)
	select {
	case n.kick <- struct{}{}:
	default:
	}
	if err := m.emitter.Emit(EvtMoved{c}); err != nil {
		n.log.Warn("the move is not told", "err", err)
	}
}

// note remembers which addresses libp2p must be told of. It reports whether all that this machine has now are new: then no connection can live, whatever it is
// bound to.
func (m *mover) note(c motion.Change, now []netip.Addr) (all bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := time.Now()
	for _, a := range c.Gone {
		delete(m.came, a)
		m.gone[a] = at
	}
	all = true
	for _, a := range now {
		_, back := m.gone[a] // after a moment offline
		all = all && !back && slices.Contains(c.Came, a)
	}
	for _, a := range c.Came {
		delete(m.gone, a)
		m.came[a] = at
	}
	return all
}

// correct makes of the addresses that libp2p thinks this node has those that it has.
func (m *mover) correct(addrs []ma.Multiaddr) []ma.Multiaddr {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, set := range []map[netip.Addr]time.Time{m.gone, m.came} {
		for a, since := range set {
			if time.Since(since) > libp2pCatches {
				delete(set, a)
			}
		}
	}
	if len(m.gone)+len(m.came) == 0 || m.n.host == nil {
		return addrs
	}
	out := slices.DeleteFunc(slices.Clone(addrs), func(a ma.Multiaddr) bool {
		_, gone := m.gone[addrIP(a)]
		return gone && maddr.Transport(a) != "relay"
	})
	for _, l := range m.n.listening() {
		if ip := addrIP(l); ip.IsUnspecified() && told.Plain(l) {
			for a := range m.came {
				if b := replaceIP(l, a); a.Is4() == ip.Is4() && !slices.ContainsFunc(out, b.Equal) {
					out = append(out, b)
				}
			}
		}
	}
	return out
}

// addrIP returns the address in a multiaddr, or the zero address.
func addrIP(a ma.Multiaddr) netip.Addr {
	ip, err := manet.ToIP(a)
	if err != nil {
		return netip.Addr{}
	}
	addr, _ := netip.AddrFromSlice(ip)
	return addr.Unmap()
}

func addrIPs(addrs []ma.Multiaddr) (ips []netip.Addr) {
	for _, a := range addrs {
		ips = append(ips, addrIP(a))
	}
	return ips
}

func replaceIP(a ma.Multiaddr, ip netip.Addr) ma.Multiaddr {
	first, err := manet.FromIP(ip.AsSlice())
	if err != nil {
		return a
	}
	_, rest := ma.SplitFirst(a)
	return first.Encapsulate(rest)
}

// probeAll closes the connections that do not live any more, unasked if all addresses are new, and returns who was lost by it, with where they were.
func (m *mover) probeAll(now []netip.Addr, all bool) (lost []peer.AddrInfo) {
	net := m.n.host.Network()
	for _, p := range net.Peers() {
		lost = append(lost, peer.AddrInfo{ID: p, Addrs: m.n.host.Peerstore().Addrs(p)})
	}
	m.n.bulk.closeWhere(func(c *bulkConn) bool {
		here, _ := c.ends()
		return elsewhere(here, now)
	})
	var wg sync.WaitGroup
	for _, c := range net.Conns() {
		wg.Go(func() {
			if all && !addrIP(c.RemoteMultiaddr()).IsLoopback() {
				m.drop(c)
			} else {
				m.probe(c, now)
			}
		})
	}
	wg.Wait()
	lost = slices.DeleteFunc(lost, func(p peer.AddrInfo) bool { return net.Connectedness(p.ID) != network.NotConnected })
	slices.SortStableFunc(lost, func(a, b peer.AddrInfo) int { return cmp.Compare(m.worth(b.ID), m.worth(a.ID)) })
	return lost[:min(len(lost), maxReturn)]
}

// worth puts friends first, then who relays.
func (m *mover) worth(p peer.ID) int {
	switch {
	case m.n.isFriend(p):
		return 2
	case m.n.speaksHop(p):
		return 1
	}
	return 0
}

// elsewhere reports whether a socket is bound to an address that this machine has not any more.
func elsewhere(local netip.Addr, now []netip.Addr) bool {
	return local.IsValid() && !local.IsUnspecified() && !local.IsLoopback() && !local.IsLinkLocalUnicast() && !slices.Contains(now, local)
}

// probe closes a connection, and the bulk streams beside it, unless it answers.
func (m *mover) probe(c network.Conn, now []netip.Addr) {
	if relayed(c) || !elsewhere(addrIP(c.LocalMultiaddr()), now) {
		select {
		case m.probes <- struct{}{}:
		case <-m.n.ctx.Done():
			return
		}
		alive := m.answers(c)
		<-m.probes
		if alive || m.n.ctx.Err() != nil {
			return
		}
	}
	m.drop(c)
}

// drop closes a connection, and the bulk streams beside it.
func (m *mover) drop(c network.Conn) {
	m.n.log.Debug("connection does not live any more", "peer", c.RemotePeer(), "addr", c.RemoteMultiaddr())
	at := addrIP(c.RemoteMultiaddr())
	m.n.bulk.closeWhere(func(b *bulkConn) bool {
		_, there := b.ends()
		return b.peer == c.RemotePeer() && there == at && !relayed(c)
	})
	c.Close()
}

// answers asks the other end of a connection for a sign of life: whether it speaks a protocol, whatever it says to that.
func (m *mover) answers(c network.Conn) bool {
	ctx, cancel := context.WithTimeout(network.WithAllowLimitedConn(m.n.ctx, "probe"), probeTime)
	defer cancel()
	s, err := c.NewStream(ctx)
	if err != nil {
		return errors.Is(err, network.ErrResourceLimitExceeded)
	}
	defer s.Reset()
	s.SetDeadline(time.Now().Add(probeTime))
	err = msmux.SelectProtoOrFail(ping.ID, s)
	return err == nil || !timedOut(err) && !c.IsClosed() // a refusal is an answer
}

func timedOut(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// cameAnew asks the older connections to a peer whether they live, when it connects though it is connected: it may have moved, and lost them.
func (m *mover) cameAnew(c network.Conn) {
	if c.Stat().Direction != network.DirInbound {
		return
	}
	for _, old := range m.n.host.Network().ConnsToPeer(c.RemotePeer()) {
		if old != c && time.Since(old.Stat().Opened) > m.older {
			m.n.run(func() { m.probe(old, m.addrs()) })
		}
	}
}

// comeBack tries to reach those who were lost again, at once and then ever more rarely, until the next change.
func (m *mover) comeBack(lost []peer.AddrInfo) {
	if len(lost) == 0 {
		return // those of the change before are still tried
	}
	ctx, cancel := context.WithTimeout(m.n.ctx, returnFor)
	m.mu.Lock()
	if m.stop != nil {
		m.stop()
	}
	m.stop = cancel
	m.mu.Unlock()
	m.n.run(func() {
		defer cancel()
		for wait := returnMin; ; wait *= 2 {
			lost = slices.DeleteFunc(lost, func(p peer.AddrInfo) bool {
				return m.n.host.Network().Connectedness(p.ID) != network.NotConnected
			})
			if len(lost) == 0 {
				return
			}
			m.n.dialAll(ctx, lost, returnAtOnce, returnDial)
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
		}
	})
}

// retell has libp2p look anew at which addresses this node has, and tell its peers: it does so whenever reachability is told.
func (n *Network) retell() {
	n.mu.Lock()
	last := n.reached
	n.mu.Unlock()
	if err := n.reach.Emit(event.EvtLocalReachabilityChanged{Reachability: last}); err != nil {
		n.log.Warn("reachability not told", "err", err)
	}
}

// forgetPaths forgets what was learnt of the ways to peers, which are others now.
func (n *Network) forgetPaths() {
	n.bulk.forget()
	n.swallow.Forget()
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.hard)
	clear(n.pinged)
}
