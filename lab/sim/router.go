package sim

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"kith/lab/nat"
)

const (
	forget   = 3 * time.Minute // after which a router forgets a flow that nothing of the home uses (Linux: 120 to 180 s)
	maxFlows = 1 << 14         // of one router
)

// A router is a NAT, or a firewall, as Linux makes it of the rules of lab/nat: what the home has sent to somebody lets in that
// one's answers, and nothing else comes in. Cone and Double keep the port, so that a socket has one address for the whole world;
// Symmetric takes another, random port for each address that a socket talks to. It is pure: times come in.
type router struct {
	kind nat.Kind
	rand *rand.Rand
	out  map[flow]uint16 // Symmetric: the port that stands for a socket's port, to one remote address
	back map[flow]state  // by the port that the remote address sees
}

// A flow is a port of one's own and an address of somebody else's.
type flow struct {
	port   uint16
	remote netip.AddrPort
}

type state struct {
	port uint16 // of the socket
	used time.Duration
}

func newRouter(kind nat.Kind, r *rand.Rand) *router {
	return &router{kind: kind, rand: r, out: map[flow]uint16{}, back: map[flow]state{}}
}

// leave notes that something is sent from port to remote, and returns the port that remote sees.
func (r *router) leave(now time.Duration, port uint16, remote netip.AddrPort) (uint16, bool) {
	if r.kind == nat.Public {
		return port, true
	}
	seen := port
	if r.kind == nat.Symmetric {
		var ok bool
		if seen, ok = r.out[flow{port, remote}]; !ok || now-r.back[flow{seen, remote}].used > forget {
			for seen = 0; seen < 1024 || r.back[flow{seen, remote}].port != 0; {
				seen = uint16(r.rand.Uint32())
			}
		}
	}
	if _, old := r.back[flow{seen, remote}]; !old && len(r.back) >= maxFlows {
		r.sweep(now)
		if len(r.back) >= maxFlows {
			return 0, false
		}
	}
	r.back[flow{seen, remote}] = state{port, now}
	if r.kind == nat.Symmetric {
		r.out[flow{port, remote}] = seen
	}
	return seen, true
}

// enter returns for which port of the home something is that remote has sent to a port of the router; false if nobody there asked for it.
func (r *router) enter(now time.Duration, remote netip.AddrPort, port uint16) (uint16, bool) {
	if r.kind == nat.Public {
		return port, true
	}
	s, ok := r.back[flow{port, remote}]
	if !ok || now-s.used > forget {
		return 0, false
	}
	r.back[flow{port, remote}] = state{s.port, now}
	return s.port, true
}

// sweep forgets the flows that are not used.
func (r *router) sweep(now time.Duration) {
	for f, s := range r.back {
		if now-s.used > forget {
			delete(r.back, f)
			delete(r.out, flow{s.port, f.remote})
		}
	}
}
