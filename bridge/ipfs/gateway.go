package ipfs

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/exchange"
	"github.com/ipfs/boxo/gateway"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/prometheus/client_golang/prometheus"
)

// Limits of the gateway.
const (
	gatewayPatience = time.Minute // without a byte
	gatewayRequests = 256         // at once
	gatewayLongest  = 6 * time.Hour
)

// contentPolicy keeps a site of IPFS to itself: it may run its own scripts on an origin of its own, and can load, send and frame nothing from elsewhere, neither this
// computer's other servers nor the web, to which it could tell who looks at it.
const contentPolicy = "sandbox allow-scripts allow-same-origin allow-forms allow-popups allow-popups-to-escape-sandbox allow-modals allow-downloads; " +
	"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; form-action 'self'; frame-ancestors 'self'; base-uri 'self'"

// Gateway implements bridge.Web (https://specs.ipfs.tech/http-gateways/).
func (b *Bridge) Gateway() http.Handler {
	if b.o.Config.NoGateway {
		return nil
	}
	c := gateway.Config{
		DeserializedResponses: true, NoDNSLink: true, RetrievalTimeout: gatewayPatience, MaxConcurrentRequests: gatewayRequests, MaxRequestDuration: gatewayLongest,
		MetricsRegistry: prometheus.NewRegistry(),
		PublicGateways: map[string]*gateway.PublicGateway{
			"localhost": {Paths: []string{"/ipfs", "/ipns"}, UseSubdomains: true, NoDNSLink: true, DeserializedResponses: true},
			bytesHost:   {Paths: []string{"/ipfs", "/ipns"}, NoDNSLink: true, DeserializedResponses: true}, // or it gives no bytes below a path
		},
	}
	service := blockservice.New(ownStore{b}, lazyExchange{b: b})
	backend, err := gateway.NewBlocksBackend(service, gateway.WithValueStore(&b.names), gateway.WithNameSystem(b.names.system()))
	if err != nil { // cannot be: its options are constant
		b.log.Error("gateway", "err", err)
		return http.NotFoundHandler()
	}
	next := gateway.NewHostnameHandler(c, backend, gateway.NewHandler(c, backend))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "the gateway is only for reading", http.StatusMethodNotAllowed)
			return
		}
		r = r.Clone(r.Context())
		for _, h := range []string{"X-Forwarded-Host", "X-Forwarded-Proto", "X-Ipfs-Gateway-Prefix"} { // nobody stands in front of this
			r.Header.Del(h)
		}
		if name, _, err := net.SplitHostPort(r.Host); (err != nil && r.Host == "localhost" || name == "localhost") && trustless(r) {
			r.Host = bytesHost
		}
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "geolocation=(), microphone=(), camera=(), payment=(), usb=()")
		next.ServeHTTP(w, r)
	})
}

// bytesHost stands for this computer where bytes are asked for that their CID proves, and that no browser shows: they need no origin of their own, and programs that ask for them
// often cannot resolve one.
const bytesHost = "bytes.invalid"

// trustless reports whether a request is for such bytes (https://specs.ipfs.tech/http-gateways/trustless-gateway/).
func trustless(r *http.Request) bool {
	switch r.URL.Query().Get("format") {
	case "raw", "car", "ipns-record":
		return true
	case "":
		kind, _, _ := strings.Cut(r.Header.Get("Accept"), ";")
		switch strings.TrimSpace(kind) {
		case "application/vnd.ipld.raw", "application/vnd.ipld.car", "application/vnd.ipfs.ipns-record":
			return true
		}
	}
	return false
}

// ownStore is what this person's own gateway has at hand. It implements blockstore.Blockstore.
type ownStore struct{ b *Bridge }

// Get implements blockstore.Blockstore.
func (s ownStore) Get(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	data, err := s.b.here(ctx, c)
	if err != nil {
		return nil, absent(c, err)
	}
	return blocks.NewBlockWithCid(data, c)
}

// GetSize implements blockstore.Blockstore.
func (s ownStore) GetSize(ctx context.Context, c cid.Cid) (int, error) {
	if data, ok := inline(c); ok {
		return len(data), nil
	}
	n, err := peerStore(s).GetSize(ctx, c)
	if ipld.IsNotFound(err) {
		n, err = s.b.cache.size(ctx, c, false)
	}
	return n, absent(c, err)
}

// Has implements blockstore.Blockstore.
func (s ownStore) Has(ctx context.Context, c cid.Cid) (bool, error) {
	_, err := s.GetSize(ctx, c)
	if ipld.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// Put implements blockstore.Blockstore.
func (s ownStore) Put(ctx context.Context, b blocks.Block) error {
	if err := s.b.cache.put(ctx, b.Cid(), b.RawData(), false); err != nil {
		s.b.log.Debug("block not kept", "err", err) // it is shown all the same
	}
	return nil
}

// PutMany implements blockstore.Blockstore.
func (s ownStore) PutMany(ctx context.Context, list []blocks.Block) error {
	for _, b := range list {
		s.Put(ctx, b)
	}
	return nil
}

// DeleteBlock implements blockstore.Blockstore.
func (s ownStore) DeleteBlock(context.Context, cid.Cid) error { return nil }

// AllKeysChan implements blockstore.Blockstore.
func (s ownStore) AllKeysChan(ctx context.Context) (<-chan cid.Cid, error) {
	return peerStore(s).AllKeysChan(ctx)
}

// lazyExchange fetches blocks, and goes online for the first that is not here. It implements exchange.SessionExchange and exchange.Fetcher.
type lazyExchange struct {
	b   *Bridge
	one *lazySession
}

// lazySession is the fetcher of one request, opened when it is needed.
type lazySession struct {
	ctx  context.Context
	once sync.Once
	f    *fetcher
	err  error
}

var _ exchange.SessionExchange = lazyExchange{}

// NewSession implements exchange.SessionExchange.
func (e lazyExchange) NewSession(ctx context.Context) exchange.Fetcher {
	return lazyExchange{e.b, &lazySession{ctx: ctx}}
}

func (e lazyExchange) fetcher(ctx context.Context) (*fetcher, func(), error) {
	if e.one == nil {
		f, err := e.b.fetcher()
		if err != nil {
			return nil, nil, err
		}
		return f, f.close, nil
	}
	e.one.once.Do(func() {
		if e.one.f, e.one.err = e.b.fetcher(); e.one.err == nil {
			context.AfterFunc(e.one.ctx, e.one.f.close)
		}
	})
	return e.one.f, func() {}, e.one.err
}

// GetBlock implements exchange.Fetcher.
func (e lazyExchange) GetBlock(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	f, done, err := e.fetcher(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	data, err := f.get(ctx, c)
	if err != nil {
		return nil, absent(c, err)
	}
	return blocks.NewBlockWithCid(data, c)
}

// GetBlocks implements exchange.Fetcher.
func (e lazyExchange) GetBlocks(ctx context.Context, list []cid.Cid) (<-chan blocks.Block, error) {
	f, done, err := e.fetcher(ctx)
	if err != nil {
		return nil, err
	}
	out := make(chan blocks.Block)
	go func() {
		defer close(out)
		defer done()
		f.all(ctx, list, func(c cid.Cid, data []byte) error {
			b, err := blocks.NewBlockWithCid(data, c)
			if err != nil {
				return err
			}
			select {
			case out <- b:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	return out, nil
}

// NotifyNewBlocks implements exchange.Interface. What the person looks at is told to nobody.
func (lazyExchange) NotifyNewBlocks(context.Context, ...blocks.Block) error { return nil }

// Close implements exchange.Interface.
func (lazyExchange) Close() error { return nil }
