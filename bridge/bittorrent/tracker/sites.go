package tracker

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"kith"
	"kith/internal/lan"
)

const (
	udpReaders = 2                // goroutines that read one UDP socket
	lookEvery  = 20 * time.Second // how often it is looked whether this computer has other addresses now
	portTries  = 20               // when any port will do
)

// site is one address that is listened on.
type site struct {
	addr netip.Addr // zero: every address of a family
	tcp  net.Listener
	udp  *net.UDPConn
}

// sites are all addresses that are listened on.
type sites struct {
	o    Options
	port int

	mu     sync.Mutex
	open   map[netip.Addr]*site
	closed bool
	conns  int // admitted
	hosts  map[host]int
}

var loopbacks = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}

func (s *sites) wanted() []netip.Addr {
	switch {
	case len(s.o.At) > 0:
		return s.o.At
	case s.o.Local:
		return append(slices.Clone(loopbacks), lan.Addrs()...)
	}
	return []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
}

// listen opens one port for TCP and UDP at all addresses that are wanted. Where there is no IPv6, IPv4 alone will do.
func (s *sites) listen() error {
	tries := 1
	if s.o.Port == 0 {
		tries = portTries
	}
	var err error
	for range tries {
		if err = s.listenAt(s.o.Port); err == nil {
			return nil
		}
		s.drop(nil)
	}
	return unavailable(s.o.Port, err)
}

func (s *sites) listenAt(port int) error {
	s.port = port
	for _, a := range s.wanted() {
		w, err := s.openSite(a)
		if err != nil && a.Is6() && !slices.Contains(s.o.At, a) {
			continue
		}
		if err != nil {
			return err
		}
		s.open[a] = w
	}
	if len(s.open) == 0 {
		return fmt.Errorf("tracker: no address: %w", kith.Invalid)
	}
	return nil
}

func (s *sites) openSite(a netip.Addr) (*site, error) {
	family := "6"
	if a.Is4() {
		family = "4"
	}
	tcp, err := net.Listen("tcp"+family, netip.AddrPortFrom(a, uint16(s.port)).String())
	if err != nil {
		return nil, err
	}
	port := tcp.Addr().(*net.TCPAddr).Port
	udp, err := net.ListenUDP("udp"+family, net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, uint16(port))))
	if err != nil {
		tcp.Close()
		return nil, err
	}
	s.port = port
	if a.IsUnspecified() {
		return &site{tcp: &door{tcp, s}, udp: udp}, nil
	}
	return &site{addr: a, tcp: &door{tcp, s}, udp: udp}, nil
}

// refresh listens on addresses that this computer has got since, which it returns, and no more on those that it has lost.
func (s *sites) refresh() (more []*site) {
	if !s.o.Local || len(s.o.At) > 0 {
		return nil
	}
	now := s.wanted()
	s.drop(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range now {
		if s.open[a] == nil && !s.closed {
			if w, err := s.openSite(a); err == nil {
				s.open[a] = w
				more = append(more, w)
			}
		}
	}
	return more
}

// drop closes all but some.
func (s *sites) drop(but []netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for a, w := range s.open {
		if !slices.Contains(but, a) {
			w.tcp.Close()
			w.udp.Close()
			delete(s.open, a)
		}
	}
}

func (s *sites) close() {
	s.drop(nil)
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
}

func (s *sites) all() (all []*site) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.open {
		all = append(all, w)
	}
	return all
}

func (s *sites) addrs() (all []netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for a := range s.open {
		all = append(all, netip.AddrPortFrom(a, uint16(s.port)))
	}
	slices.SortFunc(all, netip.AddrPort.Compare)
	return all
}

// answers reports whether who is at a is to be answered at all.
func (s *sites) answers(a netip.Addr) bool { return !s.o.Local || scopeOf(a) != public }

// door takes connections as far as there is room for them.
type door struct {
	net.Listener
	s *sites
}

// Accept implements net.Listener.
func (d *door) Accept() (net.Conn, error) {
	for {
		c, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if leave := d.s.enter(c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()); leave != nil {
			return &guest{Conn: c, leave: leave}, nil
		}
		c.Close()
	}
}

// enter counts a connection, or returns nil if it is not to be served.
func (s *sites) enter(from netip.Addr) (leave func()) {
	h := hostOf(from)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.answers(from) || s.conns >= s.o.Limits.Conns || s.hosts[h] >= s.o.Limits.HostConns && !from.IsLoopback() {
		return nil
	}
	s.conns++
	s.hosts[h]++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.conns--
		if s.hosts[h]--; s.hosts[h] == 0 {
			delete(s.hosts, h)
		}
	})
}

// guest gives its place back when it is closed.
type guest struct {
	net.Conn
	leave func()
}

func (g *guest) Close() error {
	g.leave()
	return g.Conn.Close()
}
