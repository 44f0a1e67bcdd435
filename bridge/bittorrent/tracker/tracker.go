// Package tracker is a BitTorrent tracker: it tells who wants a torrent of others who want or have it, over HTTP, UDP and, for browsers, WebSocket.
//
// It is the central index of the Napster days as a role that any node can volunteer for and that nobody depends on: it keeps no content and no names, only, in memory
// and for as long as they announce, which address asked for which infohash; swarms that lose it go on by the DHT and by exchanging peers. Its one idea: all three protocols say
// the same, so one pure engine decides, and thin servers read and write.
//
// HTTP: BEP 3, 7 (IPv6), 23 (compact), 24 (external address), 31 (retry), 48 (scrape). UDP: BEP 15, with the options of BEP 41. WebSocket: as bittorrent-tracker (npm) has it,
// which WebTorrent and p2p-media-loader speak.
package tracker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mrand "math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kith"
)

// DefaultPort is where trackers are usually found.
const DefaultPort = 6969

// Options say where a tracker listens and what it serves.
type Options struct {
	Port   int             // TCP and UDP; 0: any that is free
	Local  bool            // listen on loopback and the addresses of local networks only, and answer only who is there; false: on every address, for everybody
	At     []netip.Addr    // the only addresses to listen on, none: as Local says
	Allow  func(Hash) bool // which torrents are served, called often and from several goroutines; nil: all
	Limits Limits
	Log    *slog.Logger
}

// A Tracker serves until Close. Its methods may be called at once.
type Tracker struct {
	o       Options
	secret  [32]byte // of connection ids
	http    http.Server
	sites   sites
	closed  chan struct{}
	close   func()
	sockets atomic.Int32
	web     sync.WaitGroup // what serves a WebSocket
	queued  atomic.Int64
	counts  counts

	mu     sync.Mutex
	engine *engine
	rates  *rates
}

// counts are of what was asked since the start.
type counts struct{ http, udp, web, scrapes, refused, bad atomic.Int64 }

// Stats says what a tracker keeps, and what it was asked since it began.
type Stats struct {
	Swarms   int   `json:"swarms" doc:"torrents that somebody is in"`
	Peers    int   `json:"peers"`
	Seeds    int   `json:"seeds"`
	Sockets  int   `json:"sockets" doc:"browsers that are connected"`
	HTTP     int64 `json:"http" doc:"announces over HTTP since it was switched on"`
	UDP      int64 `json:"udp" doc:"announces over UDP"`
	Web      int64 `json:"web" doc:"announces over WebSocket"`
	Scrapes  int64 `json:"scrapes"`
	Refused  int64 `json:"refused" doc:"for a torrent that is not served, or too often"`
	Mistaken int64 `json:"mistaken" doc:"requests that were none"`
}

// Listen opens the sockets of a tracker, which serves from Run on. Its error is Unavailable if the port is not free, Invalid if an address is not of this computer.
func Listen(o Options) (*Tracker, error) {
	t := newTracker(o)
	if err := t.sites.listen(); err != nil {
		return nil, err
	}
	return t, nil
}

func newTracker(o Options) *Tracker {
	t := &Tracker{o: o, closed: make(chan struct{})}
	t.o.Limits = o.Limits.orDefault()
	if t.o.Log == nil {
		t.o.Log = slog.New(slog.DiscardHandler)
	}
	rand.Read(t.secret[:])
	var seed [32]byte
	rand.Read(seed[:])
	t.engine = newEngine(t.o.Limits, time.Now(), mrand.New(mrand.NewChaCha8(seed)))
	t.rates = newRates(t.o.Limits)
	t.sites = sites{o: t.o, open: map[netip.Addr]*site{}, hosts: map[host]int{}}
	t.http = http.Server{
		Handler: http.HandlerFunc(t.serveHTTP), ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0), // what strangers do wrong is no news
	}
	t.close = sync.OnceFunc(func() { close(t.closed) })
	return t
}

// Run serves until ctx ends, or Close.
func (t *Tracker) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	t.http.BaseContext = func(net.Listener) context.Context { return ctx }
	var running sync.WaitGroup
	serve := func(all []*site) {
		for _, s := range all {
			running.Go(func() {
				if err := t.http.Serve(s.tcp); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
					t.o.Log.Warn("tracker stopped answering HTTP", "addr", s.tcp.Addr(), "err", err)
				}
			})
			for range udpReaders {
				running.Go(func() { t.serveUDP(s.udp, s.addr) })
			}
		}
	}
	serve(t.sites.all())
	running.Go(func() { t.forget(ctx) })
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for open := true; open; {
		select {
		case <-ctx.Done():
			open = false
		case <-t.closed:
			open = false
		case <-look.C:
			serve(t.sites.refresh())
		}
	}
	cancel()
	err := t.Close()
	running.Wait()
	t.web.Wait()
	return err
}

// forget forgets who has not been heard of for too long: everybody is looked at twice a minute.
func (t *Tracker) forget(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			t.mu.Lock()
			t.engine.sweep(now, 1000+(t.engine.peers+len(t.engine.order))/30)
			t.mu.Unlock()
		}
	}
}

// Close closes the sockets, and ends Run.
func (t *Tracker) Close() error {
	t.close()
	t.sites.close()
	if err := t.http.Close(); err != nil && !errors.Is(err, net.ErrClosed) { // the sites have closed their listeners
		return err
	}
	return nil
}

// Addrs returns where it listens.
func (t *Tracker) Addrs() []netip.AddrPort { return t.sites.addrs() }

// Stats returns what it keeps and was asked.
func (t *Tracker) Stats() Stats {
	s := Stats{
		Sockets: int(t.sockets.Load()), HTTP: t.counts.http.Load(), UDP: t.counts.udp.Load(), Web: t.counts.web.Load(), Scrapes: t.counts.scrapes.Load(),
		Refused: t.counts.refused.Load(), Mistaken: t.counts.bad.Load(),
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s.Swarms, s.Peers = len(t.engine.swarms), t.engine.peers
	for _, w := range t.engine.order {
		s.Seeds += t.engine.scrape(w.hash).seeds
	}
	return s
}

// A refusal is an answer that says why there is none: a text for the client's user, and when to ask again (BEP 31; minutes, or "never").
type refusal struct {
	text  string
	retry string
}

func (r *refusal) Error() string { return "tracker: " + r.text }
func (r *refusal) Unwrap() error { return kith.Denied }

var (
	errTooOften  = &refusal{"you ask too often", "5"}
	errNotServed = &refusal{"this tracker does not serve this torrent", "never"}
	errBadPort   = &refusal{"a peer has no port 0", "never"}
	errNotYours  = &refusal{"another has this peer_id", "never"}
)

// words returns what a client's user is told of an error.
func words(err error) string {
	text := strings.TrimPrefix(err.Error(), "tracker: ")
	if kind := kith.KindOf(err); kind != kith.Denied {
		text = strings.TrimSuffix(text, ": "+kind.Error())
	}
	return text
}

// admit reports with an error who asks too often.
func (t *Tracker) admit(from netip.Addr, cost int) error {
	t.mu.Lock()
	ok := t.rates.allow(time.Now(), from, cost)
	t.mu.Unlock()
	if !ok {
		t.counts.refused.Add(1)
		return errTooOften
	}
	return nil
}

// serves reports with an error which torrents are not served.
func (t *Tracker) serves(h Hash) error {
	if t.o.Allow != nil && !t.o.Allow(h) {
		t.counts.refused.Add(1)
		return errNotServed
	}
	return nil
}

// announce asks the engine. The peers of the reply are in into's memory.
func (t *Tracker) announce(a announce, into []peer) (reply, error) {
	if err := t.serves(a.hash); err != nil {
		return reply{}, err
	}
	if a.at.port() == 0 && a.event != stopped {
		t.counts.bad.Add(1)
		return reply{}, errBadPort
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.engine.announce(time.Now(), a, into), nil
}

func (t *Tracker) scrape(hashes []Hash) []tally {
	t.counts.scrapes.Add(1)
	all := make([]tally, len(hashes))
	for i, h := range hashes {
		if t.o.Allow != nil && !t.o.Allow(h) {
			continue // as if nobody were there
		}
		t.mu.Lock()
		all[i] = t.engine.scrape(h)
		t.mu.Unlock()
	}
	return all
}

// claimed returns the address at which a peer is to be reached: where it asks from, or, for who asks from this computer or a local network, which it says itself; what strangers
// claim would send others to somebody who never asked.
func claimed(from netip.Addr, says string) netip.Addr {
	if says != "" && scopeOf(from) != public {
		if a, err := netip.ParseAddr(says); err == nil && !a.IsUnspecified() && !a.IsMulticast() {
			return a.WithZone("").Unmap()
		}
	}
	return from
}

func unavailable(port int, err error) error {
	return kith.Hint(fmt.Errorf("tracker: listen: %w: %w", err, kith.Unavailable), "port %d may be taken by another program: choose another", port)
}
