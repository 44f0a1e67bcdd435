// Package sim is a small internet in one process: hosts with lines that are long and lossy, some of them behind NATs, over which real
// nodes speak QUIC.
//
// It needs no root and no particular system, for no packet leaves the process; lab/nat and lab/link do the same for whole programs, with
// the kernel's own NAT and devices. It carries UDP only. Time is the runtime's: real, or fake inside testing/synctest.
// Its one idea: a packet's fate is decided when it is sent (lost, or when it arrives), and its address when it arrives, at the
// router that it arrives at (Router), which is a pure table.
package sim

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"kith"
	"kith/lab/link"
	"kith/lab/nat"
)

const (
	// MaxHosts is how many hosts a Net may have.
	MaxHosts = 1000

	mtu        = link.MTU - 28 // bytes of UDP payload that a way carries
	maxFlying  = 1 << 16       // packets on their way
	maxSockets = 64            // of one host
	firstPort  = 32768         // of those that are given to sockets that want any
)

// Kinds is what may stand between a host of a Net and the internet. Those of nat that carry no UDP are not among them.
var Kinds = []nat.Kind{nat.Public, nat.Cone, nat.Symmetric, nat.IPv6Only, nat.Double}

// A Spec describes a host and its line. The zero value of a number is no limit, no delay, no loss.
type Spec struct {
	Name  string
	Kind  nat.Kind
	Delay time.Duration // one way, from the host to the middle; a packet takes the sender's and the receiver's
	Loss  float64       // part of the packets that is lost, 0 to 1; of two hosts the worse counts
	Up    float64       // bits a second, of UDP payload and headers
}

// A Net is the internet. Its methods may be called at once.
type Net struct {
	start time.Time
	wake  chan struct{} // the first packet to arrive is another
	done  chan struct{}
	ended chan struct{}

	mu     sync.Mutex
	rand   *rand.Rand
	hosts  []*Host
	at     map[netip.Addr]*Host // who gets what is sent to an address of the internet
	flying flight
	seq    uint64
	next   uint32 // number of the next public address
	closed bool
}

// New starts a net. The same seed loses the same packets, counted in the order in which they are sent.
func New(seed uint64) *Net {
	n := &Net{
		start: time.Now(), wake: make(chan struct{}, 1), done: make(chan struct{}), ended: make(chan struct{}),
		rand: rand.New(rand.NewPCG(seed, 0x6b697468)), at: map[netip.Addr]*Host{},
	}
	go n.deliver()
	return n
}

// Close ends the net. Sockets that are open get nothing any more.
func (n *Net) Close() {
	n.mu.Lock()
	was := n.closed
	n.closed = true
	n.mu.Unlock()
	if !was {
		close(n.done)
	}
	<-n.ended
}

// Add adds a host.
func (n *Net) Add(s Spec) (*Host, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.hosts) == MaxHosts {
		return nil, fmt.Errorf("sim: more than %d hosts: %w", MaxHosts, kith.TooLarge)
	}
	if !slices.Contains(Kinds, s.Kind) {
		return nil, fmt.Errorf("sim: host %s: no kind %q: %w", s.Name, s.Kind, kith.Invalid)
	}
	if s.Delay < 0 || s.Up < 0 || !(s.Loss >= 0 && s.Loss <= 1) {
		return nil, fmt.Errorf("sim: host %s: a number is out of range: %w", s.Name, kith.Invalid)
	}
	h := &Host{net: n, spec: s, sockets: map[netip.AddrPort]*socket{}, router: newRouter(s.Kind, n.rand),
		up: link.Pipe{Rate: s.Up, Queue: max(64<<10, int(s.Up/80))}}
	i := len(n.hosts)
	n.hosts = append(n.hosts, h)
	switch s.Kind {
	case nat.Public:
		n.settle(h)
		h.in4, h.in6 = h.out4, h.out6
	case nat.IPv6Only:
		n.settle(h)
		h.in6 = h.out6
	default:
		n.settle(h)
		h.in4 = netip.AddrFrom4([4]byte{192, 168, byte(i), 2})
		if i > 255 {
			h.in4 = netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 2})
		}
	}
	return h, nil
}

// settle gives a host, or the router before it, new addresses of the internet. n.mu is held. They look public (11.0.0.0/8, 2a00::/16),
// for what looks private is ignored by AutoNAT, hole punching and relays.
func (n *Net) settle(h *Host) {
	delete(n.at, h.out4)
	delete(n.at, h.out6)
	n.next++
	h.out4, h.out6 = netip.Addr{}, netip.Addr{}
	if h.spec.Kind != nat.IPv6Only {
		h.out4 = netip.AddrFrom4([4]byte{11, byte(n.next >> 14), byte(n.next >> 7 & 0x7f), byte(n.next&0x7f) + 1})
		n.at[h.out4] = h
	}
	if h.spec.Kind == nat.Public || h.spec.Kind == nat.IPv6Only {
		b := [16]byte{0x2a, 0, byte(n.next >> 16), byte(n.next >> 8), byte(n.next), 0, 15: 1} // a /48 of its own
		h.out6 = netip.AddrFrom16(b)
		n.at[h.out6] = h
	}
}

// Part cuts the net into sides: packets pass between hosts on the same side only. Hosts that side does not name are on side 0.
func (n *Net) Part(side map[*Host]int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, h := range n.hosts {
		h.side = side[h]
	}
}

// send takes a packet from a socket of h, and reports whether h has an address of that family at all. It keeps no reference to data.
func (n *Net) send(h *Host, from, to netip.AddrPort, data []byte) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	own := h.in4
	if to.Addr().Is6() {
		own = h.in6
	}
	if !own.IsValid() {
		return false
	}
	now := time.Since(n.start)
	if n.closed || h.unplugged || len(data) > mtu || len(n.flying) >= maxFlying {
		return true
	}
	if to.Addr() == own { // to itself
		n.fly(&packet{at: now, to: to, from: netip.AddrPortFrom(own, from.Port()), host: h, data: slices.Clone(data), local: true})
		return true
	}
	from, ok := h.leave(now, from, to)
	other := n.at[to.Addr()]
	left, fits := h.up.Admit(now, len(data)+28)
	if ok && fits && other != nil && n.rand.Float64() >= max(h.spec.Loss, other.spec.Loss) {
		n.fly(&packet{at: left + h.spec.Delay + other.spec.Delay, from: from, to: to, host: other, side: h.side, data: slices.Clone(data)})
	}
	return true
}

// fly puts a packet on its way. n.mu is held.
func (n *Net) fly(p *packet) {
	n.seq++
	p.seq = n.seq
	heap.Push(&n.flying, p)
	if n.flying[0] == p {
		select {
		case n.wake <- struct{}{}:
		default:
		}
	}
}

// deliver hands packets to the sockets for which they are, until the net closes.
func (n *Net) deliver() {
	defer close(n.ended)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait := time.Hour
		n.mu.Lock()
		now := time.Since(n.start)
		for len(n.flying) > 0 && n.flying[0].at <= now {
			n.arrive(heap.Pop(&n.flying).(*packet), now)
		}
		if len(n.flying) > 0 {
			wait = n.flying[0].at - now
		}
		n.mu.Unlock()
		timer.Reset(wait)
		select {
		case <-n.done:
			return
		case <-n.wake:
		case <-timer.C:
		}
	}
}

// arrive decides what becomes of a packet at the end of its way. n.mu is held.
func (n *Net) arrive(p *packet, now time.Duration) {
	h := p.host
	if h.unplugged || !p.local && (p.side != h.side || n.at[p.to.Addr()] != h) {
		return
	}
	to := p.to
	if !p.local {
		var ok bool
		if to, ok = h.enter(now, p.from, p.to); !ok {
			return
		}
	}
	if s := h.socket(to); s != nil {
		s.take(p)
	}
}

// A packet is on its way until at.
type packet struct {
	at       time.Duration
	seq      uint64
	from, to netip.AddrPort
	host     *Host // at whose end it arrives
	side     int   // of the sender
	local    bool  // it never leaves the host
	data     []byte
}

// flight is a heap of packets by time, then by order of coming.
type flight []*packet

func (f flight) Len() int { return len(f) }
func (f flight) Less(i, j int) bool {
	return f[i].at < f[j].at || f[i].at == f[j].at && f[i].seq < f[j].seq
}
func (f flight) Swap(i, j int) { f[i], f[j] = f[j], f[i] }
func (f *flight) Push(p any)   { *f = append(*f, p.(*packet)) }
func (f *flight) Pop() any {
	last := len(*f) - 1
	p := (*f)[last]
	(*f)[last] = nil
	*f = (*f)[:last]
	return p
}

// udpAddr is a as package net wants it.
func udpAddr(a netip.AddrPort) *net.UDPAddr { return net.UDPAddrFromAddrPort(a) }
