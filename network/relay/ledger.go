package relay

import (
	"net/netip"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"
)

// What all peers together may take up.
const (
	maxReserved       = 128 // places
	maxStrangers      = 64  // of which so many are strangers'
	maxPerIP          = 16  // places of peers at one address: a provider's NAT has many homes behind it
	maxStrangersPerIP = 4   // of which so many are strangers'
	maxCircuits       = 16  // circuits of one peer
	maxStrangerTo     = 4   // circuits of one stranger
	maxStrangerAll    = 64  // circuits of strangers
	maxPairs          = 4096
	hour              = time.Hour
)

// A ledger keeps who has a place, and what each pair of peers has used. It is pure: the time comes in.
type ledger struct {
	set       Settings // without zeros
	places    map[peer.ID]place
	pairs     map[[2]peer.ID]*pair
	live      map[peer.ID]int // circuits of strangers, by each of their ends
	all       int             // their number
	strangers *rate.Limiter   // what all of them share
	carried   [2]int64        // bytes since the start: for strangers, for friends
}

// A place is held for a peer who is reached through this node.
type place struct {
	until  time.Time
	ip     netip.Prefix
	friend bool
}

// A pair is what two peers have sent each other in an hour.
type pair struct {
	friend   bool
	rate     *rate.Limiter
	since    time.Time // of the hour that is counted
	used     int64     // bytes in it
	circuits int
}

func newLedger(s Settings) *ledger {
	s = s.WithDefaults()
	return &ledger{
		set: s, places: map[peer.ID]place{}, pairs: map[[2]peer.ID]*pair{}, live: map[peer.ID]int{}, strangers: limiter(s.Rate),
	}
}

func limiter(r int64) *rate.Limiter { return rate.NewLimiter(rate.Limit(r), 4*bufferSize) }

// change takes new settings; pairs keep what they have used.
func (l *ledger) change(s Settings, now time.Time) {
	l.set = s.WithDefaults()
	l.strangers.SetLimitAt(now, rate.Limit(l.set.Rate))
	for _, p := range l.pairs {
		p.rate.SetLimitAt(now, rate.Limit(l.set.Rate))
	}
}

// reserve reports whether p may have a place, or keep it. Strangers never get all places.
func (l *ledger) reserve(p peer.ID, ip netip.Addr, friend bool, gone func(peer.ID) bool, now time.Time) bool {
	if !l.serves(friend) {
		return false
	}
	net, same, strangers := subnet(ip), 0, 0
	for id, old := range l.places {
		switch {
		case now.After(old.until), id == p, gone(id):
			delete(l.places, id)
		case old.friend:
		default:
			strangers++
			if old.ip == net {
				same++
			}
		}
	}
	if !friend && (strangers >= maxStrangers || same >= maxStrangersPerIP) {
		return false
	}
	l.places[p] = place{now.Add(reservationTTL), net, friend}
	return true
}

// serves reports whether anything is carried for friends, or for strangers.
func (l *ledger) serves(friend bool) bool { return l.set.For != Off && (friend || l.set.strangers()) }

// subnet is what one household has: an IPv4 address, or an IPv6 /64.
func subnet(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap()
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	net, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return net
}

// allows says whether another circuit between two may begin.
func (l *ledger) allows(a, b peer.ID, friend bool, now time.Time) Verdict {
	switch {
	case l.set.For == Off:
		return Closed
	case friend:
	case !l.set.strangers():
		return NotStrangers
	case l.all >= maxStrangerAll || l.live[a] >= maxStrangerTo || l.live[b] >= maxStrangerTo:
		return Full
	}
	p := l.pair(a, b, friend, now)
	switch {
	case p == nil:
		return Full
	case p.used >= l.set.hour(friend):
		return Spent
	}
	return Carries
}

// standing says how two peers stand.
func (l *ledger) standing(a, b peer.ID, friend bool, now time.Time) Standing {
	s := Standing{Verdict: l.allows(a, b, friend, now)}
	if p := l.pairs[key(a, b)]; p != nil {
		s.Left = max(0, l.set.hour(friend)-p.used)
		if s.Verdict == Spent {
			s.Wait = p.since.Add(hour).Sub(now)
		}
	}
	return s
}

// pair returns what two peers have used in this hour; nil: there are too many pairs.
func (l *ledger) pair(a, b peer.ID, friend bool, now time.Time) *pair {
	p := l.pairs[key(a, b)]
	if p == nil {
		if len(l.pairs) >= maxPairs {
			l.sweep(now)
		}
		if len(l.pairs) >= maxPairs {
			return nil
		}
		p = &pair{rate: limiter(l.set.Rate), since: now}
		l.pairs[key(a, b)] = p
	}
	p.friend = friend
	if now.Sub(p.since) >= hour {
		p.since, p.used = now, 0
	}
	return p
}

func key(a, b peer.ID) [2]peer.ID { return [2]peer.ID{min(a, b), max(a, b)} }

// sweep forgets pairs that have used nothing for an hour.
func (l *ledger) sweep(now time.Time) {
	for k, p := range l.pairs {
		if p.circuits == 0 && now.Sub(p.since) >= hour {
			delete(l.pairs, k)
		}
	}
}

// open counts a circuit. Its error says why it may not be.
func (l *ledger) open(a, b peer.ID, friend bool, now time.Time) (*pair, error) {
	if v := l.allows(a, b, friend, now); v != Carries {
		return nil, v
	}
	p := l.pair(a, b, friend, now)
	p.circuits++
	if !friend {
		l.all++
		l.live[a]++
		l.live[b]++
	}
	return p, nil
}

// end takes a circuit off that open counted.
func (l *ledger) end(a, b peer.ID, p *pair, friend bool) {
	p.circuits--
	if friend {
		return
	}
	l.all--
	for _, id := range []peer.ID{a, b} {
		if l.live[id]--; l.live[id] <= 0 {
			delete(l.live, id)
		}
	}
}

// spend counts n bytes of a pair, and returns what they have to wait for.
func (l *ledger) spend(p *pair, n int64, friend bool, now time.Time) (*rate.Limiter, error) {
	if now.Sub(p.since) >= hour {
		p.since, p.used = now, 0
	}
	p.used += n
	if p.used > l.set.hour(friend) {
		return nil, Spent
	}
	if friend {
		l.carried[1] += n
		return p.rate, nil
	}
	l.carried[0] += n
	return l.strangers, nil
}
