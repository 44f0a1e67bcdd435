// Package relay carries circuits for peers who cannot reach each other (circuit relay v2, libp2p specs), fairly to the node that helps.
//
// It is not for being carried, which is libp2p's client. libp2p knows one limit of data and duration for all, and none of rate. The one idea
// here: every byte of a circuit passes through one stream, the one to whom it was asked for; that stream is wrapped, counts what each
// pair of peers uses in an hour, paces it, and ends what may not go on. Who may do how much is decided by a ledger without a clock.
package relay

import (
	"cmp"
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2p "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"golang.org/x/time/rate"
)

const reservationTTL = time.Hour

// Service relays for others while it is told to. Its methods may be called at once.
type Service struct {
	host   host.Host
	friend func(peer.ID) bool
	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelFunc

	turning sync.Mutex // held while libp2p's service is started or ended

	mu      sync.Mutex
	public  bool
	service *libp2p.Relay // nil: none is run
	ledger  *ledger
	live    map[*circuit]struct{}
}

// New returns a service that does nothing yet. friend tells contacts and own devices.
func New(h host.Host, friend func(peer.ID) bool, s Settings, log *slog.Logger) *Service {
	r := &Service{host: h, friend: friend, log: log, ledger: newLedger(s), live: map[*circuit]struct{}{}}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// Serve tells whether the node can be reached by others. It relays while it can, unless the settings say otherwise.
func (r *Service) Serve(public bool) {
	r.mu.Lock()
	r.public = public
	r.mu.Unlock()
	r.turn()
}

// Set changes what is carried. What is under way and may not be any more ends at once.
func (r *Service) Set(s Settings) error {
	if err := s.Check(); err != nil {
		return err
	}
	r.mu.Lock()
	r.ledger.change(s, time.Now())
	var end []*circuit
	var lost []peer.ID
	for c := range r.live {
		if !r.ledger.serves(c.friend) {
			end = append(end, c)
		}
	}
	for id, p := range r.ledger.places {
		if !r.ledger.serves(p.friend) {
			lost = append(lost, id)
			delete(r.ledger.places, id)
		}
	}
	r.mu.Unlock()
	for _, c := range end {
		c.Reset()
	}
	r.turn()
	for _, id := range lost { // so that they look for another relay now, and not when they ask anew within the hour
		r.host.Network().ClosePeer(id)
	}
	return nil
}

// Settings returns what holds now, without zeros.
func (r *Service) Settings() Settings {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ledger.set
}

// turn starts or ends libp2p's service, and with it every circuit, as is wanted now.
func (r *Service) turn() {
	r.turning.Lock()
	defer r.turning.Unlock()
	r.mu.Lock()
	old, on := r.service, r.public && r.ledger.set.For != Off && r.ctx.Err() == nil
	var end []*circuit
	if old != nil && !on {
		r.service = nil
		for c := range r.live {
			end = append(end, c)
		}
	}
	begin := on && old == nil
	r.mu.Unlock()
	if old != nil && !on {
		old.Close()
	}
	for _, c := range end {
		c.Reset()
	}
	if !begin {
		return
	}
	s, err := libp2p.New(meteredHost{r.host, r}, libp2p.WithACL(r), libp2p.WithResources(libp2p.Resources{
		Limit:          &libp2p.RelayLimit{Duration: CircuitTime, Data: maxData},
		ReservationTTL: reservationTTL, MaxReservations: maxReserved, MaxCircuits: maxCircuits, BufferSize: bufferSize,
		MaxReservationsPerIP: maxPerIP, MaxReservationsPerASN: maxReserved,
	}))
	if err != nil {
		r.log.Warn("no relay for others", "err", err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.service = s
}

// Close ends the service and every circuit.
func (r *Service) Close() {
	r.cancel()
	r.turn()
}

// AllowReserve implements relay.ACLFilter of libp2p.
func (r *Service) AllowReserve(p peer.ID, at ma.Multiaddr) bool {
	friend := r.friend(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ledger.reserve(p, ipOf(at), friend, r.gone, time.Now())
}

func (r *Service) gone(p peer.ID) bool { return r.host.Network().Connectedness(p) != network.Connected }

func ipOf(a ma.Multiaddr) netip.Addr {
	if a == nil {
		return netip.Addr{}
	}
	ip, err := manet.ToIP(a)
	if err != nil {
		return netip.Addr{}
	}
	addr, _ := netip.AddrFromSlice(ip)
	return addr
}

// AllowConnect implements relay.ACLFilter of libp2p.
func (r *Service) AllowConnect(from peer.ID, _ ma.Multiaddr, to peer.ID) bool {
	friend := r.friend(from) || r.friend(to)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ledger.allows(from, to, friend, time.Now()) == Carries
}

// begin counts a circuit whose ends are known. c.mu is held.
func (r *Service) begin(c *circuit) error {
	c.friend = r.friend(c.from) || r.friend(c.to)
	r.mu.Lock()
	defer r.mu.Unlock()
	p, err := r.ledger.open(c.from, c.to, c.friend, time.Now())
	if err != nil {
		return err
	}
	c.pair = p
	r.live[c] = struct{}{}
	if !c.friend && r.ledger.set.For != Strangers {
		c.brief, c.left = true, StrangerData
		c.timer = time.AfterFunc(StrangerTime, func() { c.Reset() })
	}
	return nil
}

// end takes a circuit off the books, once.
func (r *Service) end(c *circuit) {
	c.mu.Lock()
	p := c.pair
	c.pair = nil
	if c.timer != nil {
		c.timer.Stop()
	}
	c.mu.Unlock()
	if p == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.live, c)
	r.ledger.end(c.from, c.to, p, c.friend)
}

func (r *Service) spend(c *circuit, p *pair, n int) (*rate.Limiter, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ledger.spend(p, int64(n), c.friend, time.Now())
}

// Report is what the node carries for others.
type Report struct {
	Settings
	On       bool     // the service runs: the node can be reached, and may relay
	Places   int      // that strangers hold
	Pairs    []Pair   // that used something in the last hour, the most first
	Carried  [2]int64 // bytes since the start: for strangers, for friends
	Circuits int      // open now
}

// Pair is what two peers have used of this node in an hour.
type Pair struct {
	A, B     peer.ID
	Friend   bool
	Used     int64 // bytes
	Limit    int64
	Circuits int           // open now
	Anew     time.Duration // until the hour is over
}

// Report returns how it stands.
func (r *Service) Report() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	out := Report{Settings: r.ledger.set, On: r.service != nil, Carried: r.ledger.carried, Circuits: len(r.live)}
	for _, p := range r.ledger.places {
		if !p.friend && now.Before(p.until) {
			out.Places++
		}
	}
	r.ledger.sweep(now)
	for k, p := range r.ledger.pairs {
		if p.used > 0 || p.circuits > 0 {
			out.Pairs = append(out.Pairs, Pair{k[0], k[1], p.friend, p.used, r.ledger.set.hour(p.friend), p.circuits, max(0, p.since.Add(hour).Sub(now))})
		}
	}
	slices.SortFunc(out.Pairs, func(a, b Pair) int {
		return cmp.Or(cmp.Compare(b.Used, a.Used), cmp.Compare(a.A, b.A), cmp.Compare(a.B, b.B))
	})
	return out
}

// Standing says how the node stands to carry something between two peers.
func (r *Service) Standing(a, b peer.ID) Standing {
	friend := r.friend(a) || r.friend(b)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.service == nil {
		return Standing{Verdict: Closed}
	}
	return r.ledger.standing(a, b, friend, time.Now())
}
