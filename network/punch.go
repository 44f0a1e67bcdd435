package network

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"kith/network/maddr"
	"kith/network/mirror"
)

const (
	maxOutcomes  = 1024                   // peers of whom it is remembered how the search for a direct way went
	punchDial    = 5 * time.Second        // for one attempt
	punchBehind  = 500 * time.Millisecond // how much later than the other side the one that asked for it begins, where only TCP passes; twice that after a failure
	punchRetry   = time.Second            // after the two could not agree, since one did not know its own address yet; it doubles
	maxPunches   = 5                      // such attempts, or direct connections that were lost again
	punchLater   = 30 * time.Second       // after all attempts have failed, since a router or its rules may be others by now; it doubles
	punchRarest  = time.Hour              // up to this
	maxOutside   = 16                     // addresses under which peers see this node that are told to one who is to dial them
	leaveRelayed = 15 * time.Second       // after there is a direct connection
	askTime      = 2 * time.Second        // for asking a peer how it sees this node over the other transport; who is to be told waits meanwhile
	askAgain     = 200 * time.Millisecond
	maxAsked     = 2 // peers whose answers are kept
)

// A puncher opens direct connections to peers that came through a relay (DCUtR, libp2p specs). It is libp2p's, but begins when the node first learns how
// others see it, rather than looking for that now and then, and tries again when the two could not agree: a fresh node is asked before it is ready. Where libp2p
// gives up for good after three attempts, it tries again ever more rarely. Peers are reached over QUIC if that works, so that a node would hear of its TCP port only where UDP does not pass: it asks (package mirror), since UDP may not
// pass on the other side.
type puncher struct {
	n *Network

	mu       sync.Mutex
	begun    bool
	service  *holepunch.Service              // nil: nobody has told yet how this node is seen
	seen     map[network.Conn]ma.Multiaddr   // by who is at the other end
	asked    map[network.Conn][]ma.Multiaddr // by the same, over other connections; nil: there is no answer yet, or none
	open     int                             // questions over TCP that wait for an answer
	asking   chan struct{}                   // closed when there are none
	outcomes map[peer.ID]outcome
}

// An outcome is how the search for a direct way to a peer went.
type outcome struct {
	trying, punched bool
	failed          int    // attempts
	disagreed       int    // times that the two could not agree to try
	why             string // of the last of these
	lost            int    // direct connections, while the relayed one stayed
	waiting         bool   // for another round of attempts
	rounds          int    // that were waited for
}

// later returns how long to wait until the next round of attempts, and counts it.
func (x *outcome) later() time.Duration {
	wait := punchLater
	for n := 0; n < x.rounds && wait < punchRarest; n++ {
		wait *= 2
	}
	x.rounds++
	return min(wait, punchRarest)
}

func newPuncher(n *Network) *puncher {
	return &puncher{n: n, seen: map[network.Conn]ma.Multiaddr{}, asked: map[network.Conn][]ma.Multiaddr{}, outcomes: map[peer.ID]outcome{}}
}

// identified notes under which address a peer sees this node. It is called from one goroutine.
func (p *puncher) identified(e event.EvtPeerIdentificationCompleted) {
	if c := e.Conn; c != nil && e.ObservedAddr != nil && !relayed(c) && manet.IsPublicAddr(e.ObservedAddr) {
		ours := p.ours(c, e.ObservedAddr)
		if ours {
			p.mu.Lock()
			p.seen[c] = e.ObservedAddr
			p.mu.Unlock()
		}
		p.ask(c, e.ObservedAddr, ours)
	}
	p.begin()
}

// begin starts the service once it is known under which addresses others see this node.
func (p *puncher) begin() {
	if len(p.outside()) == 0 {
		return
	}
	p.mu.Lock()
	begun := p.begun
	p.begun = true
	p.mu.Unlock()
	if begun {
		return
	}
	h := punching{mobile{p.n.host, &p.n.dials}, p}
	s, err := holepunch.NewService(h, h.IDService(), p.outside,
		holepunch.WithTracer(p), holepunch.WithAddrFilter(p), holepunch.DirectDialTimeout(punchDial))
	if err != nil {
		p.n.log.Warn("no hole punching", "err", err)
		return
	}
	p.mu.Lock()
	late := p.n.ctx.Err() != nil // close has been here
	if !late {
		p.service = s
	}
	p.mu.Unlock()
	if late {
		s.Close()
		return
	}
	for _, id := range p.n.host.Network().Peers() {
		p.again(id, 0)
	}
}

// A punching is the host that dials for libp2p's service. Over TCP both sides dial from the port on which they listen. If the SYN of the one that asked (the initiator) comes before the other
// side has dialled, and the router there lets it in, since that address was dialled before, then the other side's listener answers it: the handshake ends nowhere, and holds the port against
// the dial that comes then, and those of later attempts. So the initiator leaves the other side time.
type punching struct {
	mobile
	p *puncher
}

// Connect implements host.Host.
func (h punching) Connect(ctx context.Context, to peer.AddrInfo) error {
	if punches, client, _ := network.GetSimultaneousConnect(ctx); punches && !client { // the initiator is the server, once there is a connection
		select {
		case <-time.After(comesAfter(h.p.outside(), to.Addrs, h.p.of(to.ID).failed)):
		case <-ctx.Done():
		}
	}
	return h.mobile.Connect(ctx, to)
}

// comesAfter returns how much later than the other side the initiator begins, who has failed so many times.
func comesAfter(ours, theirs []ma.Multiaddr, failed int) time.Duration {
	quic := func(a ma.Multiaddr) bool { return maddr.Transport(a) == "quic" }
	switch {
	case failed > 0:
		return 2 * punchBehind
	case slices.ContainsFunc(ours, quic) && slices.ContainsFunc(theirs, quic):
		return 0
	}
	return punchBehind
}

// ours reports whether what a peer sees stands for a socket that this node listens on: of the same transport, and from its port.
func (p *puncher) ours(c network.Conn, seen ma.Multiaddr) bool {
	local := c.LocalMultiaddr()
	if t := maddr.Transport(local); t != maddr.Transport(seen) || t != "tcp" && t != "quic" {
		return false
	}
	return p.listens(local)
}

// listens reports whether this node listens on the transport and port of an address.
func (p *puncher) listens(local ma.Multiaddr) bool {
	return slices.ContainsFunc(p.n.listening(), func(a ma.Multiaddr) bool {
		return maddr.Transport(a) == maddr.Transport(local) && portOf(a) == portOf(local)
	})
}

// ask finds out how the peer at the other end of a connection sees this node over TCP and QUIC, but for what the connection itself tells, if there is a
// router before it.
func (p *puncher) ask(c network.Conn, seen ma.Multiaddr, told bool) {
	outside, err := manet.ToIP(seen)
	if err != nil || slices.ContainsFunc(interfaceAddrs(), outside.Equal) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, asked := p.asked[c]; asked || len(p.asked) >= maxAsked {
		return
	}
	p.asked[c] = nil
	addrs := p.n.host.Peerstore().Addrs(c.RemotePeer())
	for _, over := range []string{"tcp", "quic"} {
		k := slices.IndexFunc(addrs, func(a ma.Multiaddr) bool {
			ip, err := manet.ToIP(a)
			return err == nil && (ip.To4() == nil) == (outside.To4() == nil) && maddr.Transport(a) == over && manet.IsPublicAddr(a)
		})
		if k < 0 || told && maddr.Transport(seen) == over {
			continue
		}
		wait := over == "tcp" // over QUIC most likely UDP does not pass
		if p.n.run(func() { p.answer(c, addrs[k], over, wait) }) && wait {
			if p.open == 0 {
				p.asking = make(chan struct{})
			}
			p.open++
		}
	}
}

// answer asks until there is an answer for a port that this node listens on: a dial that was given up may hold the port for a moment.
func (p *puncher) answer(c network.Conn, at ma.Multiaddr, over string, waited bool) {
	ctx, cancel := context.WithTimeout(p.n.ctx, askTime)
	defer cancel()
	var found ma.Multiaddr
	for sw, ok := p.n.host.Network().(*swarm.Swarm); ok && found == nil && ctx.Err() == nil; {
		local, seen, err := mirror.Ask(ctx, sw.TransportForDialing(at), at, c.RemotePeer())
		if err == nil && p.listens(local) && maddr.Transport(seen) == over && manet.IsPublicAddr(seen) {
			found = seen
			continue
		}
		p.n.log.Debug("no answer how this node is seen", "peer", c.RemotePeer(), "addr", local, "err", err)
		select {
		case <-time.After(askAgain):
		case <-ctx.Done():
		}
	}
	p.mu.Lock()
	if found != nil {
		p.asked[c] = append(p.asked[c], found)
	}
	if waited {
		if p.open--; p.open == 0 {
			close(p.asking)
		}
	}
	p.mu.Unlock()
	p.begin()
}

// portOf returns the port of a TCP or UDP address; 0: it has none.
func portOf(a ma.Multiaddr) uint16 {
	n, err := manet.ToNetAddr(a)
	if err != nil {
		return 0
	}
	at, err := netip.ParseAddrPort(n.String())
	if err != nil {
		return 0
	}
	return at.Port()
}

// outside returns the public addresses of this node: its own, and those under which connected peers see it.
func (p *puncher) outside() (list []ma.Multiaddr) {
	if h, ok := p.n.host.(interface{ AllAddrs() []ma.Multiaddr }); ok {
		for _, a := range h.AllAddrs() {
			if t := maddr.Transport(a); manet.IsPublicAddr(a) && (t == "tcp" || t == "quic") {
				list = append(list, a)
			}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for c, a := range p.seen {
		if c.IsClosed() {
			delete(p.seen, c)
			continue
		}
		list = append(list, a)
	}
	for c, told := range p.asked {
		if c.IsClosed() {
			delete(p.asked, c)
		}
		list = append(list, told...)
	}
	list = ma.Unique(list)
	return list[:min(len(list), maxOutside)]
}

// FilterLocal implements holepunch.AddrFilter: it waits for what is being asked over TCP.
func (p *puncher) FilterLocal(peer.ID, []ma.Multiaddr) []ma.Multiaddr {
	p.mu.Lock()
	asking := p.asking
	if p.open == 0 {
		asking = nil
	}
	p.mu.Unlock()
	if asking != nil {
		<-asking // at most askTime
	}
	return p.outside()
}

// FilterRemote implements holepunch.AddrFilter: nobody makes this node dial private addresses, or many.
func (p *puncher) FilterRemote(_ peer.ID, addrs []ma.Multiaddr) []ma.Multiaddr {
	addrs = slices.DeleteFunc(addrs, func(a ma.Multiaddr) bool { return !manet.IsPublicAddr(a) })
	return addrs[:min(len(addrs), maxOutside)]
}

// again tries to reach a peer directly that came through a relay and is still there, after a while.
func (p *puncher) again(id peer.ID, wait time.Duration) {
	p.n.run(func() {
		select {
		case <-time.After(wait):
			p.try(id)
		case <-p.n.ctx.Done():
		}
	})
}

// try tries to reach a peer directly that came through a relay. It reports whether there was something to try; what came of it goes to Trace.
func (p *puncher) try(id peer.ID) bool {
	came := func(c network.Conn) bool { return relayed(c) && c.Stat().Direction == network.DirInbound }
	p.mu.Lock()
	s := p.service
	p.mu.Unlock()
	if s == nil || p.n.Direct(id) || !slices.ContainsFunc(p.n.host.Network().ConnsToPeer(id), came) {
		return false
	}
	s.DirectConnect(id)
	return true
}

// later has a peer tried again when all attempts have failed, unless that is to come already: either of the two may get another router, or the one it has other
// rules, without anybody's being told. p.mu is held.
func (p *puncher) later(id peer.ID, x *outcome) {
	if x.waiting {
		return
	}
	wait := x.later()
	x.waiting = p.n.run(func() {
		select {
		case <-time.After(wait):
		case <-p.n.ctx.Done():
			return
		}
		p.change(id, func(x *outcome) { x.waiting = false })
		if !p.try(id) { // it is direct, or gone: what comes then begins anew
			p.change(id, func(x *outcome) { x.rounds, x.lost = 0, 0 })
		}
	})
}

// disconnected has a peer tried again that was direct and is relayed once more. So it is when a hole was opened over both TCP and QUIC: each side keeps what it has first and closes the other,
// and if the two differ in what that is, nothing is left.
func (p *puncher) disconnected(_ network.Network, c network.Conn) {
	id := c.RemotePeer()
	if relayed(c) || p.n.Direct(id) || !slices.ContainsFunc(p.n.host.Network().ConnsToPeer(id), relayed) {
		return
	}
	p.change(id, func(x *outcome) {
		if x.lost++; x.lost < maxPunches {
			p.again(id, punchRetry<<(x.lost-1))
		} else {
			p.later(id, x)
		}
	})
}

// change changes what is remembered of a peer, if anything is.
func (p *puncher) change(id peer.ID, f func(*outcome)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if x, ok := p.outcomes[id]; ok {
		f(&x)
		p.outcomes[id] = x
	}
}

// Trace implements holepunch.EventTracer.
func (p *puncher) Trace(e *holepunch.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	x, known := p.outcomes[e.Remote]
	if !known && len(p.outcomes) >= maxOutcomes {
		for old := range p.outcomes {
			delete(p.outcomes, old)
			break
		}
	}
	switch e2 := e.Evt.(type) {
	case *holepunch.StartHolePunchEvt:
		x.trying, x.punched, x.why = true, false, ""
	case *holepunch.EndHolePunchEvt:
		x.trying, x.punched = false, e2.Success
		if x.punched {
			x.failed, x.disagreed, x.rounds = 0, 0, 0
		} else {
			x.failed++
			p.n.swallow.Passes(p.n.host.Network().Conns()) // what no router lets in is not swallowed here
			p.later(e.Remote, &x)
		}
	case *holepunch.ProtocolErrorEvt:
		x.trying, x.why = false, "the two could not agree on how to try"
		if x.disagreed++; x.disagreed < maxPunches {
			p.again(e.Remote, punchRetry<<(x.disagreed-1))
		} else {
			p.later(e.Remote, &x)
		}
	case *holepunch.DirectDialEvt:
		x.punched = false
	}
	p.outcomes[e.Remote] = x
	p.n.log.Debug("direct way", "peer", e.Remote, "op", e.Type, "n", e.Evt)
}

// of returns how the search for a direct way to a peer went.
func (p *puncher) of(id peer.ID) outcome {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.outcomes[id]
}

// words says why a peer is still reached through a relay.
func (x outcome) words() string {
	switch {
	case x.trying:
		return "a direct way is being tried"
	case x.failed > 0:
		return "the routers between the two let no direct connection through"
	case x.why != "":
		return "no direct way was found: " + x.why
	}
	return "no direct way was found yet"
}

// leaveRelay closes connections to a peer through relays, a while after there is a better one, unless something still goes on there.
func (n *Network) leaveRelay(id peer.ID) {
	n.run(func() {
		select {
		case <-time.After(leaveRelayed):
		case <-n.ctx.Done():
			return
		}
		for _, c := range n.host.Network().ConnsToPeer(id) {
			if relayed(c) && n.Direct(id) && len(c.GetStreams()) == 0 {
				c.Close()
			}
		}
	})
}

func (p *puncher) close() {
	p.mu.Lock()
	s := p.service
	p.mu.Unlock()
	if s != nil {
		s.Close()
	}
}
