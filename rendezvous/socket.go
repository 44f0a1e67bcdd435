package rendezvous

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	maxUnanswered = 4                // packets that are sent to one home without its ever having answered
	unansweredFor = 10 * time.Minute // after which they are forgotten
	maxHomes      = 4096             // of which so much is known
	inRate        = 200              // packets a second that are looked at
)

var errUnwanted = errors.New("rendezvous: nothing is sent to such an address")

// A socket is what the DHT speaks through: it lets in whole messages only (see cleaned), and out what may be sent to an address that a stranger named.
type socket struct {
	net.PacketConn
	loopback bool
	silent   bool // queries of others are not heard (BEP 43)
	in       *rate.Limiter

	mu         sync.Mutex
	unanswered map[netip.Addr]int // packets sent to a home since it was last heard
	since      time.Time
	closed     bool
}

func newSocket(c net.PacketConn, loopback, silent bool) *socket {
	return &socket{PacketConn: c, loopback: loopback, silent: silent, in: rate.NewLimiter(inRate, inRate), unanswered: map[netip.Addr]int{}, since: time.Now()}
}

// Guard returns c as another node of the DHT in this program, that of the BitTorrent client, speaks through it: only messages that the library survives come in.
func Guard(c net.PacketConn, loopback bool) net.PacketConn { return newSocket(c, loopback, false) }

// ReadFrom implements net.PacketConn. It fails only once the socket has been closed: the library does not survive another error.
func (s *socket) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := s.PacketConn.ReadFrom(b)
		if err != nil {
			if s.over() || errors.Is(err, net.ErrClosed) {
				return 0, nil, err
			}
			time.Sleep(time.Millisecond) // what some systems tell of packets sent before; and should it not end, the processor has a rest
			continue
		}
		addr := addrOf(from)
		if !addr.IsValid() || !s.in.Allow() {
			continue
		}
		message, err := cleaned(b[:n])
		if err != nil || s.silent && isQuery(message) {
			continue
		}
		s.mu.Lock()
		delete(s.unanswered, home(addr.Addr()))
		s.mu.Unlock()
		return copy(b, message), from, nil
	}
}

// isQuery reports whether a cleaned message asks something.
func isQuery(message []byte) bool {
	v, err := (&bparser{data: message}).value(0)
	m, _ := v.(map[string]any)
	return err == nil && text(m, "y") == "q"
}

// WriteTo implements net.PacketConn.
func (s *socket) WriteTo(b []byte, to net.Addr) (int, error) {
	addr := addrOf(to)
	if !wanted(addr, s.loopback) {
		return 0, errUnwanted
	}
	if at := home(addr.Addr()); !s.loopback {
		s.mu.Lock()
		if now := time.Now(); now.Sub(s.since) > unansweredFor {
			s.since = now
			clear(s.unanswered)
		}
		full := s.unanswered[at] >= maxUnanswered || len(s.unanswered) >= maxHomes
		if !full {
			s.unanswered[at]++
		}
		s.mu.Unlock()
		if full {
			return 0, errUnwanted
		}
	}
	return s.PacketConn.WriteTo(b, to)
}

// Close implements net.PacketConn. The library closes it too.
func (s *socket) Close() error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return nil
	}
	return s.PacketConn.Close()
}

func (s *socket) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// addrOf returns a UDP address, plain.
func addrOf(a net.Addr) netip.AddrPort {
	u, ok := a.(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	return plain(u.AddrPort())
}
