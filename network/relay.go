package network

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	pb "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/pb"
	circuit "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/util"
	ma "github.com/multiformats/go-multiaddr"
	"golang.org/x/time/rate"
)

// What a node carries for others, once it is publicly reachable (circuit relay v2, libp2p specs). libp2p knows one limit for all; the finer ones
// are kept by circuits, which count and pace what passes.
const (
	RelayPairData  = 64 << 20        // bytes for a pair of peers, both ways, in an hour, if one of them is a friend
	RelayPairRate  = 1 << 20         // bytes a second for such a pair
	strangerData   = 128 << 10       // bytes of one circuit between strangers: enough to agree on a direct way
	strangerTime   = 2 * time.Minute // for which it lasts
	friendTime     = time.Hour       // for which one lasts that serves a friend
	relayBuffer    = 16 << 10        // bytes of buffer of a circuit, each way
	maxReserved    = 128             // reservations
	maxStrangers   = 64              // of which so many are strangers'
	maxRelayPairs  = 4096            // pairs whose use is remembered
	maxPerIP       = 16              // reservations from one address: a provider's NAT has many homes behind it
	reservationTTL = time.Hour
	maxStopMessage = 4096 // bytes
)

var errRelaySpent = errors.New("network: relay: the pair has used what it may in an hour")

// relay serves circuits while the node is publicly reachable.
type relay struct {
	n      *Network
	ctx    context.Context
	friend func(peer.ID) bool

	mu       sync.Mutex
	service  *circuit.Relay // nil: none is run
	reserved map[peer.ID]time.Time
	pairs    map[[2]peer.ID]*pair
}

// A pair is what two peers have sent each other through this node.
type pair struct {
	rate  *rate.Limiter
	since time.Time // of the hour that is counted
	used  int64
}

func newRelay(n *Network) *relay {
	return &relay{n: n, ctx: n.ctx, friend: n.isFriend, reserved: map[peer.ID]time.Time{}, pairs: map[[2]peer.ID]*pair{}}
}

// serve starts the service, or ends it and every circuit.
func (r *relay) serve(on bool) {
	r.mu.Lock()
	old := r.service
	r.mu.Unlock()
	switch {
	case on && old == nil:
		s, err := circuit.New(relayHost{r.n.host, r}, circuit.WithACL(r), circuit.WithResources(circuit.Resources{
			Limit:          &circuit.RelayLimit{Duration: friendTime, Data: RelayPairData},
			ReservationTTL: reservationTTL, MaxReservations: maxReserved, MaxCircuits: 16, BufferSize: relayBuffer,
			MaxReservationsPerIP: maxPerIP, MaxReservationsPerASN: maxReserved,
		}))
		if err != nil {
			r.n.log.Warn("no relay for others", "err", err)
			return
		}
		r.set(s)
	case !on && old != nil:
		old.Close()
		r.set(nil)
	}
}

func (r *relay) set(s *circuit.Relay) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.service = s
}

// AllowReserve implements circuit.ACLFilter: strangers must not take all places.
func (r *relay) AllowReserve(p peer.ID, _ ma.Multiaddr) bool {
	if r.friend(p) {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for id, until := range r.reserved {
		if now.After(until) {
			delete(r.reserved, id)
		}
	}
	if _, again := r.reserved[p]; !again && len(r.reserved) >= maxStrangers {
		return false
	}
	r.reserved[p] = now.Add(reservationTTL)
	return true
}

// AllowConnect implements circuit.ACLFilter.
func (r *relay) AllowConnect(from peer.ID, _ ma.Multiaddr, to peer.ID) bool {
	if !r.friend(from) && !r.friend(to) {
		return true // bounded by strangerData
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pair(from, to).used < RelayPairData
}

// pair returns what two peers have used in this hour. r.mu is held.
func (r *relay) pair(a, b peer.ID) *pair {
	key := [2]peer.ID{min(a, b), max(a, b)}
	now := time.Now()
	p := r.pairs[key]
	if p == nil {
		for old, x := range r.pairs {
			if len(r.pairs) < maxRelayPairs && now.Sub(x.since) < time.Hour {
				continue
			}
			delete(r.pairs, old)
		}
		p = &pair{rate: rate.NewLimiter(RelayPairRate, 4*relayBuffer), since: now}
		r.pairs[key] = p
	}
	if now.Sub(p.since) >= time.Hour {
		p.since, p.used = now, 0
	}
	return p
}

// A relayHost is the host as the relay service sees it: the streams that it opens to the ends of circuits are circuits.
type relayHost struct {
	host.Host
	r *relay
}

// NewStream implements host.Host.
func (h relayHost) NewStream(ctx context.Context, to peer.ID, ids ...protocol.ID) (network.Stream, error) {
	s, err := h.Host.NewStream(ctx, to, ids...)
	if err != nil {
		return nil, err
	}
	return &carried{Stream: s, r: h.r, to: to}, nil
}

// A carried stream is the half of a circuit that leads to whom it was asked for; all that the circuit carries goes through it. Its first message
// says for whom it is.
type carried struct {
	network.Stream
	r  *relay
	to peer.ID

	mu    sync.Mutex
	head  []byte // of what was written, until it holds the first message
	begun bool
	pair  *pair // nil: of strangers
	left  int64 // for strangers
}

// begin reads from the first message who is at the other end (circuit v2: StopMessage, behind its length), which may come in parts.
func (c *carried) begin(part []byte) {
	c.head = append(c.head, part...)
	size, n := binary.Uvarint(c.head)
	if n == 0 || n > 0 && size <= maxStopMessage && len(c.head) < n+int(size) {
		return
	}
	c.begun, c.left = true, strangerData
	var stop pb.StopMessage
	rd := util.NewDelimitedReader(bytes.NewReader(c.head), maxStopMessage)
	defer rd.Close()
	err := rd.ReadMsg(&stop)
	c.head = nil
	if err == nil {
		if from, err := util.PeerToPeerInfoV2(stop.GetPeer()); err == nil && (c.r.friend(from.ID) || c.r.friend(c.to)) {
			c.r.mu.Lock()
			c.pair = c.r.pair(from.ID, c.to)
			c.r.mu.Unlock()
			return
		}
	}
	time.AfterFunc(strangerTime, func() { c.Stream.Reset() })
}

// spend waits until n bytes may pass, or says that they may not.
func (c *carried) spend(n int) error {
	c.mu.Lock()
	p := c.pair
	c.left -= int64(n)
	over := p == nil && c.left < 0
	c.mu.Unlock()
	if p != nil {
		c.r.mu.Lock()
		p.used += int64(n)
		over = p.used > RelayPairData
		c.r.mu.Unlock()
	}
	if over {
		return errRelaySpent
	}
	if p == nil {
		return nil
	}
	return p.rate.WaitN(c.r.ctx, min(n, p.rate.Burst()))
}

// Write implements network.Stream.
func (c *carried) Write(b []byte) (int, error) {
	c.mu.Lock()
	first := !c.begun
	if first {
		c.begin(b)
	}
	c.mu.Unlock()
	if !first {
		if err := c.spend(len(b)); err != nil {
			return 0, err
		}
	}
	return c.Stream.Write(b)
}

// Read implements network.Stream.
func (c *carried) Read(b []byte) (int, error) {
	n, err := c.Stream.Read(b)
	if n > 0 {
		if e := c.spend(n); e != nil {
			return 0, e
		}
	}
	return n, err
}
