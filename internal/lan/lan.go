// Package lan listens on the local networks that this computer is in, for people in the same room who have only a browser.
//
// It is not for peers, and is no firewall. Its one idea: it knows an address of a home or an office when it sees one, listens on those of
// this computer alone, one by one, and takes calls from such addresses alone; so no interface with a public address ever answers, and a
// router that forwards a port to it forwards in vain.
package lan

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"kith"
)

// Home reports whether an address is one of a local network: private (RFC 1918, RFC 4193) or given without a server (RFC 3927).
// Link-local addresses of IPv6 are not, since no browser takes their zone in a URL.
func Home(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsPrivate() || a.Is4() && a.IsLinkLocalUnicast()
}

// Local reports whether an address is not of the internet: of this computer, of its local networks, of a provider's own, or nobody's.
func Local(a netip.Addr) bool {
	a = a.Unmap()
	return near(a) || a.IsUnspecified() || a.IsMulticast() || shared.Contains(a)
}

var shared = netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64}), 10) // RFC 6598

// near reports whether a call from an address can come from a local network or from this computer.
func near(a netip.Addr) bool {
	a = a.Unmap()
	return Home(a) || a.IsLoopback() || a.IsLinkLocalUnicast()
}

// Addrs returns the addresses of this computer on its local networks: that from which it would go out first, IPv4 before IPv6.
func Addrs() []netip.Addr {
	var all []netip.Addr
	interfaces, _ := net.Interfaces()
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 || i.Flags&(net.FlagLoopback|net.FlagPointToPoint) != 0 {
			continue
		}
		addrs, _ := i.Addrs()
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && Home(p.Addr()) {
				all = append(all, p.Addr().Unmap())
			}
		}
	}
	out := outward()
	slices.SortStableFunc(all, func(a, b netip.Addr) int { return rank(a, out) - rank(b, out) })
	return slices.Compact(all)
}

func rank(a, out netip.Addr) int {
	switch {
	case a == out:
		return 0
	case a.Is4() && !a.IsLinkLocalUnicast():
		return 1
	case a.Is6():
		return 2
	}
	return 3
}

// outward returns the address from which this computer would go out. It sends nothing: to connect a UDP socket is to ask the table of routes.
func outward() netip.Addr {
	c, err := net.Dial("udp4", "198.51.100.1:9")
	if err != nil {
		return netip.Addr{}
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
}

// ParseAt reads the address that a person wants to be reached at: of this computer, and of a local network or of this computer alone. No
// text is no wish. Its error is Invalid or Denied.
func ParseAt(text string) (netip.Addr, error) {
	if text == "" {
		return netip.Addr{}, nil
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return a, fmt.Errorf("lan: %.60q is no IP address: %w", text, kith.Invalid)
	}
	if a = a.Unmap(); !Home(a) && !a.IsLoopback() {
		return a, kith.Hint(fmt.Errorf("lan: %s is not an address of a local network: %w", a, kith.Denied),
			"Kith shows web pages to local networks alone; to reach somebody elsewhere use links or: kith send")
	}
	return a, nil
}

// Options say where to listen and how much to bear.
type Options struct {
	Port    int        // the port wanted; the next free one is taken
	At      netip.Addr // the only address to listen on; the zero value: all of local networks
	Conns   int        // connections at once
	PerHost int        // of which from one address
}

const portTries = 100 // ports tried from the wanted one on

// A Listener accepts connections on one port of several addresses. It is a net.Listener.
type Listener struct {
	o     Options
	port  int
	conns chan net.Conn
	done  chan struct{}

	mu     sync.Mutex
	at     map[netip.Addr]net.Listener
	order  []netip.Addr
	open   int
	byHost map[netip.Addr]int
}

// Listen listens. Its error is Unavailable if this computer is in no local network, or no port is free.
func Listen(o Options) (*Listener, error) {
	l := &Listener{o: o, conns: make(chan net.Conn), done: make(chan struct{}), at: map[netip.Addr]net.Listener{}, byHost: map[netip.Addr]int{}}
	addrs := l.wanted()
	if len(addrs) == 0 {
		return nil, kith.Hint(fmt.Errorf("lan: this computer has no address in a local network: %w", kith.Unavailable), "join one, a Wi-Fi for example, and try again")
	}
	var err error
	for l.port = o.Port; l.port < o.Port+portTries; l.port++ {
		if err = l.listen(addrs); err == nil {
			return l, nil
		}
		if o.Port == 0 {
			break
		}
	}
	return nil, fmt.Errorf("lan: listen: %w: %w", err, kith.Unavailable)
}

func (l *Listener) wanted() []netip.Addr {
	if l.o.At.IsValid() {
		return []netip.Addr{l.o.At}
	}
	return Addrs()
}

// listen opens the port on all of addrs, or on none.
func (l *Listener) listen(addrs []netip.Addr) error {
	var opened []net.Listener
	for _, a := range addrs {
		in, err := net.Listen("tcp", netip.AddrPortFrom(a, uint16(l.port)).String())
		if err != nil {
			for _, in := range opened {
				in.Close()
			}
			return err
		}
		if l.port == 0 {
			l.port = in.Addr().(*net.TCPAddr).Port
		}
		opened = append(opened, in)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.order = addrs
	for i, a := range addrs {
		l.take(a, opened[i])
	}
	return nil
}

// take serves one more address; l.mu is held.
func (l *Listener) take(a netip.Addr, in net.Listener) {
	l.at[a] = in
	go func() {
		for {
			c, err := in.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil { // no more file descriptors: it may pass
				time.Sleep(50 * time.Millisecond)
				continue
			}
			if c = l.admit(c); c == nil {
				continue
			}
			select {
			case l.conns <- c:
			case <-l.done:
				c.Close()
			}
		}
	}()
}

// admit returns the connection as it is to be served, or hangs up: on who calls from elsewhere, and on one too many.
func (l *Listener) admit(c net.Conn) net.Conn {
	from := c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().WithZone("").Unmap()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !near(from) || l.open >= l.o.Conns || l.byHost[from] >= l.o.PerHost {
		c.Close()
		return nil
	}
	l.open++
	l.byHost[from]++
	return &conn{Conn: c, left: sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.open--
		if l.byHost[from]--; l.byHost[from] == 0 {
			delete(l.byHost, from)
		}
	})}
}

// A conn gives its place back when it is closed.
type conn struct {
	net.Conn
	left func()
}

func (c *conn) Close() error {
	c.left()
	return c.Conn.Close()
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Refresh listens on addresses that this computer has got since, and no more on those that it has lost.
func (l *Listener) Refresh() {
	now := l.wanted()
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.done:
		return
	default:
	}
	for a, in := range l.at {
		if !slices.Contains(now, a) {
			in.Close()
			delete(l.at, a)
		}
	}
	l.order = l.order[:0:0]
	for _, a := range now {
		if l.at[a] == nil {
			in, err := net.Listen("tcp", netip.AddrPortFrom(a, uint16(l.port)).String())
			if err != nil {
				continue // perhaps the next time
			}
			l.take(a, in)
		}
		l.order = append(l.order, a)
	}
}

// Hosts returns what a URL, and so the Host of a request, may name: HOST:PORT, the most useful first.
func (l *Listener) Hosts() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for _, a := range l.order {
		all = append(all, net.JoinHostPort(a.String(), strconv.Itoa(l.port)))
	}
	return all
}

// Port returns the port that it listens on.
func (l *Listener) Port() int { return l.port }

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return &net.TCPAddr{Port: l.port} }

// Close implements net.Listener. Connections that were accepted stay open.
func (l *Listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.done:
		return net.ErrClosed
	default:
	}
	close(l.done)
	for _, in := range l.at {
		in.Close()
	}
	return nil
}
