package tracker

import (
	"net/netip"
	"time"
)

// Limits bound what a tracker keeps and does. A zero value is the default that stands behind it.
type Limits struct {
	Swarms       int           // torrents: 100,000
	Peers        int           // peers in all: 500,000, which are about 60 MB
	SwarmPeers   int           // peers of one torrent, of each kind: 20,000
	HostPeers    int           // peers at one address (IPv6: of one /64): 20,000
	Expiry       time.Duration // how long a peer is kept that says nothing: 45 minutes
	Rate         float64       // requests a second of one address, in the long run: 50
	Burst        int           // that may come at once: 2,000; a client with as many torrents has just started
	Hosts        int           // addresses whose rate is watched at once: 65,536; the others share one
	Conns        int           // HTTP connections at once: 2,048, of which WebSockets at most half
	HostConns    int           // of one address: 64
	SocketSwarms int           // torrents on one WebSocket: 500
	Offers       int           // offers of one WebSocket that wait for an answer: 200
	OfferLife    time.Duration // how long an offer may be answered: 2 minutes
	Queued       int64         // bytes that wait to be sent to all WebSockets: 64 MiB; to one: a 256th of it
}

func (l Limits) orDefault() Limits {
	return Limits{
		or(l.Swarms, 100_000), or(l.Peers, 500_000), or(l.SwarmPeers, 20_000), or(l.HostPeers, 20_000), or(l.Expiry, 45*time.Minute),
		or(l.Rate, 50), or(l.Burst, 2000), or(l.Hosts, 1<<16), or(l.Conns, 2048), or(l.HostConns, 64),
		or(l.SocketSwarms, 500), or(l.Offers, 200), or(l.OfferLife, 2*time.Minute), or(l.Queued, 64<<20),
	}
}

func or[T comparable](v, standard T) T {
	var zero T
	if v == zero {
		return standard
	}
	return v
}

// What no limit changes.
const (
	interval     = 20 * time.Minute // between two announces of a client
	minInterval  = 2 * time.Minute
	webInterval  = 2 * time.Minute
	defaultWant  = 50 // peers for who does not say how many
	maxWant      = 200
	maxWant6UDP  = 70 // 18 bytes each: they must fit in one packet of 1,280 bytes, which every IPv6 network carries
	maxScrape    = 70 // torrents of one scrape: what fits in a packet (BEP 15 has 74)
	maxPacket    = 2048
	maxHeader    = 8 << 10
	maxMessage   = 256 << 10 // bytes of a message over WebSocket
	maxOffers    = 20        // of one announce
	maxOffer     = 16 << 10  // bytes of an offer or answer
	readTimeout  = 10 * time.Second
	writeTimeout = 10 * time.Second
	idleTimeout  = 30 * time.Second // of an HTTP connection
	webIdle      = 6 * time.Minute  // of a WebSocket: three intervals
)

// host is who is counted as one: an IPv4 address, or the /64 of an IPv6 one, which is what a household has.
type host [8]byte

func hostOf(a netip.Addr) (h host) {
	b := a.As16()
	if a.Unmap().Is4() {
		copy(h[:], b[8:])
	} else {
		copy(h[:], b[:8])
	}
	return h
}

// rates says who asks too often: the generic cell rate algorithm (ITU-T I.371), one number for an address. Whoever calls sees to it that calls do not meet.
type rates struct {
	every time.Duration // one request takes
	slack time.Duration // for a burst
	max   int
	next  map[host]time.Time // when its next request would be due
	swept time.Time
}

func newRates(l Limits) *rates {
	every := time.Duration(float64(time.Second) / l.Rate)
	return &rates{every: every, slack: every * time.Duration(l.Burst), max: l.Hosts, next: map[host]time.Time{}}
}

// allow reports whether who is at a may have a request of some cost now. The computer's own programs always may.
func (r *rates) allow(now time.Time, a netip.Addr, cost int) bool {
	if a.Unmap().IsLoopback() {
		return true
	}
	h := hostOf(a)
	due, known := r.next[h]
	if !known && len(r.next) >= r.max {
		if now.Sub(r.swept) > time.Second {
			r.swept = now
			for h, due := range r.next {
				if due.Before(now) {
					delete(r.next, h)
				}
			}
		}
		if len(r.next) >= r.max {
			h = host{}
			due = r.next[h]
		}
	}
	if due.Before(now) {
		due = now
	}
	due = due.Add(r.every * time.Duration(cost))
	if due.Sub(now) > r.slack {
		return false
	}
	r.next[h] = due
	return true
}
