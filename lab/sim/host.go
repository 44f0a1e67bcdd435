package sim

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"kith"
	"kith/lab/link"
)

const (
	inbox = 512  // packets that wait for a socket to be read
	port  = 4001 // at which nodes listen
)

// A Host is one computer. Its methods may be called at once.
type Host struct {
	net  *Net
	spec Spec

	// The rest is guarded by net.mu.
	in4, in6   netip.Addr // its own addresses; one may be missing
	out4, out6 netip.Addr // under which the internet knows it
	router     *router
	up         link.Pipe
	side       int
	unplugged  bool
	sockets    map[netip.AddrPort]*socket
	ephemeral  uint16
}

// Addrs returns the host's own addresses: what a program on it may listen on.
func (h *Host) Addrs() (list []netip.Addr) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	for _, a := range []netip.Addr{h.in4, h.in6} {
		if a.IsValid() {
			list = append(list, a)
		}
	}
	return list
}

// Listen returns the multiaddrs at which a node on this host listens.
func (h *Host) Listen() (list []string) {
	for _, a := range h.Addrs() {
		family := "ip4"
		if a.Is6() {
			family = "ip6"
		}
		list = append(list, fmt.Sprintf("/%s/%s/udp/%d/quic-v1", family, a, port))
	}
	return list
}

// Side returns on which side of a partition the host is.
func (h *Host) Side() int {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	return h.side
}

// Plug pulls the plug, or puts it in again: without it nothing comes and nothing goes, and nobody is told.
func (h *Host) Plug(in bool) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.unplugged = !in
}

// Move carries a host that is behind a NAT to another of the same kind: same addresses inside, others outside, and a table without flows.
func (h *Host) Move() {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if h.in4 != h.out4 {
		h.net.settle(h)
		h.router = newRouter(h.spec.Kind, h.net.rand)
	}
}

// leave passes a packet through the host's router. h.net.mu is held.
func (h *Host) leave(now time.Duration, from, to netip.AddrPort) (netip.AddrPort, bool) {
	out := h.out4
	if to.Addr().Is6() {
		out = h.out6
	}
	port, ok := h.router.leave(now, from.Port(), to)
	return netip.AddrPortFrom(out, port), ok
}

// enter is the other way.
func (h *Host) enter(now time.Duration, from, to netip.AddrPort) (netip.AddrPort, bool) {
	in := h.in4
	if to.Addr().Is6() {
		in = h.in6
	}
	port, ok := h.router.enter(now, from, to.Port())
	return netip.AddrPortFrom(in, port), ok
}

// socket returns the socket that takes what is sent to an address of the host. h.net.mu is held.
func (h *Host) socket(to netip.AddrPort) *socket {
	if s := h.sockets[to]; s != nil {
		return s
	}
	any := netip.IPv4Unspecified()
	if to.Addr().Is6() {
		any = netip.IPv6Unspecified()
	}
	return h.sockets[netip.AddrPortFrom(any, to.Port())]
}

// ListenUDP opens a socket: network.Packets. local is one of Addrs, or an unspecified address; port 0 stands for any that is free.
func (h *Host) ListenUDP(local *net.UDPAddr) (net.PacketConn, error) {
	addr := local.AddrPort()
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if !addr.Addr().IsUnspecified() && addr.Addr() != h.in4 && addr.Addr() != h.in6 {
		return nil, fmt.Errorf("sim: host %s has no address %s: %w", h.spec.Name, addr.Addr(), kith.Invalid)
	}
	if len(h.sockets) >= maxSockets {
		return nil, fmt.Errorf("sim: host %s has %d sockets: %w", h.spec.Name, maxSockets, kith.TooLarge)
	}
	for addr.Port() == 0 || h.sockets[addr] != nil {
		if local.Port != 0 {
			return nil, fmt.Errorf("sim: host %s: port %d is taken: %w", h.spec.Name, local.Port, kith.Exists)
		}
		h.ephemeral++
		addr = netip.AddrPortFrom(addr.Addr(), firstPort+h.ephemeral%(1<<15))
	}
	s := &socket{host: h, local: addr, in: make(chan *packet, inbox), closed: make(chan struct{}), moved: make(chan struct{})}
	h.sockets[addr] = s
	return s, nil
}

// A socket is a net.PacketConn on a Net.
type socket struct {
	host   *Host
	local  netip.AddrPort
	in     chan *packet
	closed chan struct{}

	mu       sync.Mutex
	deadline time.Time     // for reads
	moved    chan struct{} // closed when deadline changes
	done     bool
}

// take gives the socket a packet, unless too many wait.
func (s *socket) take(p *packet) {
	select {
	case s.in <- p:
	default:
	}
}

// ReadFrom implements net.PacketConn.
func (s *socket) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		s.mu.Lock()
		deadline, moved, done := s.deadline, s.moved, s.done
		s.mu.Unlock()
		if done {
			return 0, nil, net.ErrClosed
		}
		var late <-chan time.Time
		if !deadline.IsZero() {
			left := time.Until(deadline)
			if left <= 0 {
				return 0, nil, os.ErrDeadlineExceeded
			}
			t := time.NewTimer(left)
			defer t.Stop()
			late = t.C
		}
		select {
		case <-s.closed:
			return 0, nil, net.ErrClosed
		case p := <-s.in:
			return copy(b, p.data), udpAddr(p.from), nil
		case <-moved:
		case <-late:
		}
	}
}

var errNoRoute = errors.New("sim: network is unreachable")

// WriteTo implements net.PacketConn. What cannot arrive is lost, as it would be; only to a family of addresses of which the host has none it is an error.
func (s *socket) WriteTo(b []byte, to net.Addr) (int, error) {
	a, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, errors.New("sim: not a UDP address")
	}
	select {
	case <-s.closed:
		return 0, net.ErrClosed
	default:
	}
	addr := a.AddrPort()
	if !s.host.net.send(s.host, s.local, netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()), b) {
		return 0, &net.OpError{Op: "write", Net: "udp", Addr: to, Err: errNoRoute}
	}
	return len(b), nil
}

// Close implements net.PacketConn.
func (s *socket) Close() error {
	s.mu.Lock()
	was := s.done
	s.done = true
	s.mu.Unlock()
	if was {
		return nil
	}
	close(s.closed)
	s.host.net.mu.Lock()
	defer s.host.net.mu.Unlock()
	delete(s.host.sockets, s.local)
	return nil
}

// LocalAddr implements net.PacketConn.
func (s *socket) LocalAddr() net.Addr { return udpAddr(s.local) }

// SetDeadline implements net.PacketConn.
func (s *socket) SetDeadline(t time.Time) error { return s.SetReadDeadline(t) }

// SetReadDeadline implements net.PacketConn.
func (s *socket) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deadline = t
	close(s.moved)
	s.moved = make(chan struct{})
	return nil
}

// SetWriteDeadline implements net.PacketConn. Writes never wait.
func (s *socket) SetWriteDeadline(time.Time) error { return nil }

// SetReadBuffer is asked for by QUIC.
func (s *socket) SetReadBuffer(int) error { return nil }

// SetWriteBuffer is asked for by QUIC.
func (s *socket) SetWriteBuffer(int) error { return nil }

// Name returns the host's name.
func (h *Host) Name() string { return h.spec.Name }
