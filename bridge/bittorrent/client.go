package bittorrent

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/anacrolix/dht/v2"
	"github.com/anacrolix/torrent"
	"github.com/anacrolix/torrent/metainfo"
	"github.com/anacrolix/torrent/mse"
	"github.com/anacrolix/torrent/storage"
	"golang.org/x/time/rate"

	"kith"
	"kith/bridge/bittorrent/books"
	"kith/bridge/bittorrent/lpd"
)

const (
	burst        = 1 << 20         // bytes that a limit lets through at once
	dhtRate      = 25              // messages a second to the DHT
	resolveTime  = 5 * time.Second // for the name of a node of the DHT
	watchEvery   = time.Second     // limits are looked at
	remindEvery  = time.Minute     // the library of trackers that are due; see wake
	remindNew    = 3               // times it is reminded when a tracker is new, a second apart
	defaultPeers = 50              // of one torrent
)

// client is the library while it is open.
type client struct {
	b        *Bridge
	cl       *torrent.Client
	up, down *rate.Limiter
	tell     *announcer
	meta     *exchange
	track    *trackers
	local    *lpd.Finder  // nil: nobody is looked for in the local network
	remind   atomic.Int32 // how often the library is to be reminded yet
}

func openClient(b *Bridge) (*client, error) {
	books.NoSelfCheck()
	c := &client{b: b, up: rate.NewLimiter(rate.Inf, burst), down: rate.NewLimiter(rate.Inf, burst)}
	c.meta, c.track = newExchange(c), newTrackers(b)
	ctx := context.Background()
	port := b.o.Config.Port
	if port == 0 {
		s, err := b.store.setting(ctx, "port")
		if err != nil {
			return nil, fmt.Errorf("bittorrent: %w", err)
		}
		port, _ = strconv.Atoi(s)
	}
	var err error
	c.cl, err = torrent.NewClient(c.config(port))
	if err != nil && port != 0 { // it is taken: another one does, and peers are told which
		b.log.Warn("port is taken; another one is used until the next start", "op", "bittorrent", "addr", port, "err", err)
		c.cl, err = torrent.NewClient(c.config(0))
	}
	if err != nil {
		c.track.close()
		return nil, kith.Hint(fmt.Errorf("bittorrent: listen on port %d: %w: %w", port, err, kith.Unavailable), "choose another port under [bittorrent] in config.toml")
	}
	if b.o.Config.Port == 0 && port == 0 {
		if err := b.store.set(ctx, "port", strconv.Itoa(c.cl.LocalPort())); err != nil {
			b.log.Warn("port not remembered", "op", "bittorrent", "err", err)
		}
	}
	if b.o.Bind.IsValid() {
		dialFrom(c.cl, b.o.Bind)
	}
	c.tell = newAnnouncer(c)
	if b.o.Multicast && !b.o.Config.NoLPD {
		c.local = newLocal(c)
	}
	return c, nil
}

// config translates the options for the library.
func (c *client) config(port int) *torrent.ClientConfig {
	o, set := c.b.o, c.b.o.Config
	t := torrent.NewDefaultClientConfig()
	t.ListenPort = port
	if o.Bind.IsValid() {
		bind(t, o.Bind)
	}
	t.DefaultStorage = nowhere{}
	t.Seed = true
	t.NoDHT = !o.Mainline || set.NoDHT || o.DHTConn == nil
	t.DhtStartingNodes = func(network string) dht.StartingNodesGetter {
		return func() ([]dht.Addr, error) { return c.hosts(network) }
	}
	t.PeriodicallyAnnounceTorrentsToDht = false // one goroutine for each torrent; see announcer
	t.ConfigureAnacrolixDhtServer = func(s *dht.ServerConfig) {
		s.Conn, s.SendLimiter = o.DHTConn(s.Conn), rate.NewLimiter(dhtRate, dhtRate)
	}
	t.DisablePEX = set.NoPEX
	t.DisableUTP = set.NoUTP
	t.DisableWebtorrent = set.NoWebTorrent
	t.NoDefaultPortForwarding = !o.UPnP
	t.UpnpID = "kith"
	t.UploadRateLimiter, t.DownloadRateLimiter = c.up, c.down
	t.EstablishedConnsPerTorrent = defaultPeers
	if set.Peers > 0 {
		t.EstablishedConnsPerTorrent = set.Peers
		t.HalfOpenConnsPerTorrent = min(t.HalfOpenConnsPerTorrent, set.Peers)
	}
	t.AlwaysWantConns = true // the library refuses who comes while no piece is wanted, and while the limit of what may come is used up
	t.DropDuplicatePeerIds = true
	t.DialRateLimiter = rate.NewLimiter(50, 50)
	if o.handshakes > 0 {
		t.HandshakesTimeout = o.handshakes
	}
	t.HeaderObfuscationPolicy, t.CryptoProvides, t.CryptoSelector = encryption(set.Encryption)
	t.ExtendedHandshakeClientVersion = "Kith " + o.Version
	t.HTTPUserAgent = "Kith/" + o.Version
	t.Bep20 = "-KI0100-"
	t.WebTransport = seeds{c.b}
	t.Slogger = slog.New(quiet{c.b.log.Handler()})
	t.TrackerDialContext, t.TrackerListenPacket = c.track.dial, c.track.listen
	t.MaxUnverifiedBytes = 0 // what is in memory is bounded by who fetches, see origin
	c.meta.hook(&t.Callbacks)
	return t
}

// encryption translates what is set: how a peer is dialled first, whether in no other way, what is offered where the handshake is hidden, and what is chosen of an offer. RC4 costs
// both sides as much processor time as all else that moving bytes takes, and hides from who watches the line alone; so it is chosen where a peer leaves nothing else, or it is required.
func encryption(set string) (torrent.HeaderObfuscationPolicy, mse.CryptoMethod, mse.CryptoSelector) {
	hide := torrent.HeaderObfuscationPolicy{Preferred: set == "prefer" || set == "require", RequirePreferred: set == "require" || set == "off"}
	if set == "require" {
		return hide, mse.CryptoMethodRC4, func(mse.CryptoMethod) mse.CryptoMethod { return mse.CryptoMethodRC4 }
	}
	return hide, mse.AllSupportedCrypto, mse.DefaultCryptoSelector
}

// nowhere is the storage of torrents that have none of their own: there are none. Without it the library makes a database where the program was started.
type nowhere struct{}

// OpenTorrent implements storage.ClientImpl.
func (nowhere) OpenTorrent(context.Context, *metainfo.Info, metainfo.Hash) (storage.TorrentImpl, error) {
	return storage.TorrentImpl{}, fmt.Errorf("bittorrent: a torrent without storage: %w", kith.Internal)
}

// hosts returns nodes of the DHT to begin with.
func (c *client) hosts(network string) (list []dht.Addr, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), resolveTime)
	defer cancel()
	ip := "ip4"
	if network == "udp6" {
		ip = "ip6"
	}
	for _, h := range c.b.o.Hosts {
		host, port, err := net.SplitHostPort(h)
		if err != nil {
			continue
		}
		n, err := strconv.Atoi(port)
		if err != nil {
			continue
		}
		ips, err := net.DefaultResolver.LookupIP(ctx, ip, host)
		if err != nil {
			continue
		}
		for _, a := range ips {
			list = append(list, dht.NewAddr(&net.UDPAddr{IP: a, Port: n}))
		}
	}
	return list, nil
}

// run does what is to be done now and then, until ctx ends or the client is closed.
func (c *client) run(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	go c.tell.run(ctx)
	if c.local != nil {
		go c.look(ctx)
	}
	for last := time.Now(); ; {
		c.limit()
		c.count(ctx)
		if left := c.remind.Load(); left > 0 || time.Since(last) >= remindEvery {
			last = time.Now()
			c.remind.CompareAndSwap(left, max(0, left-1))
			c.wake()
		}
		select {
		case <-ctx.Done():
			return
		case <-c.cl.Closed():
			return
		case <-tick.C:
		}
	}
}

// wake has the library look which trackers are to be asked. What it is told between such a look and the setting of the time for the next one it forgets for good; that a torrent comes makes it look.
func (c *client) wake() {
	var nobodys metainfo.Hash
	rand.Read(nobodys[:])
	if t, ok := c.cl.AddTorrentInfoHash(nobodys); ok {
		t.Drop()
	}
}

// limit has the limits of the node hold, and those of the configuration where they are lower.
func (c *client) limit() {
	var up, down int64
	if c.b.o.Limits != nil {
		up, down = c.b.o.Limits()
	}
	for l, n := range map[*rate.Limiter]int64{c.up: least(up, c.b.o.Config.Up), c.down: least(down, c.b.o.Config.Down)} {
		limit := rate.Inf
		if n > 0 {
			limit = rate.Limit(n)
		}
		if l.Limit() != limit {
			l.SetLimit(limit)
		}
	}
}

// least returns the smaller limit; 0 is none.
func least(a, b int64) int64 {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// all returns the swarms, which have one name or two.
func (b *Bridge) all() map[*swarm]bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make(map[*swarm]bool, len(b.swarms))
	for _, s := range b.swarms {
		all[s] = true
	}
	return all
}

// count writes down what moved.
func (c *client) count(ctx context.Context) {
	for s := range c.b.all() {
		s.sample(ctx)
	}
}

func (c *client) addrs() (list []netip.AddrPort) {
	for _, a := range c.cl.ListenAddrs() {
		if p, err := netip.ParseAddrPort(a.String()); err == nil {
			list = append(list, p)
		}
	}
	return list
}

func (c *client) close() {
	c.cl.Close()
	c.track.close()
}

// quiet lets through of the library's log what is an error; the rest is for those who debug.
type quiet struct{ slog.Handler }

// Enabled implements slog.Handler. What the library calls a warning is what peers do every day.
func (q quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelError && q.Handler.Enabled(ctx, slog.LevelDebug)
}

// Handle implements slog.Handler.
func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	r.Level = slog.LevelDebug
	return q.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (q quiet) WithAttrs(a []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(a)} }

// WithGroup implements slog.Handler.
func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name)} }
