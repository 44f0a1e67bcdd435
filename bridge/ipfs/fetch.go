package ipfs

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/boxo/verifcid"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"kith"
	"kith/bridge/ipfs/host"
)

const (
	silence      = 30 * time.Second // without a block: nobody has it now
	gatewayAfter = time.Second      // that peers have before gateways are asked too
	gatewayTime  = 30 * time.Second // for one block
	gatewayAtOne = 4                // requests at once to all of them
)

var httpClient = &http.Client{Timeout: time.Minute}

// A fetcher brings blocks from wherever they are. It may be used at once.
type fetcher struct {
	b       *Bridge
	on      *host.Host
	release func()
	urls    []string                     // of trustless gateways
	keep    func(c cid.Cid, data []byte) // what came from the network; nil: nobody
	web     atomic.Bool                  // gateways bring what peers do not: they are asked without waiting
}

// fetcher returns one that is to be closed.
func (b *Bridge) fetcher() (*fetcher, error) {
	on, release, err := b.net.use()
	if err != nil {
		return nil, err
	}
	return &fetcher{b: b, on: on, release: release, urls: b.o.Config.Gateways}, nil
}

func (f *fetcher) close() { f.release() }

// get returns one block. Errors: NotFound, Corrupt, Invalid (a digest that proves nothing).
func (f *fetcher) get(ctx context.Context, c cid.Cid) (data []byte, err error) {
	err = f.all(ctx, []cid.Cid{c}, func(_ cid.Cid, got []byte) error {
		data = got
		return nil
	})
	return data, err
}

// all brings blocks, in any order; got is called for each distinct one, one at a time.
func (f *fetcher) all(ctx context.Context, list []cid.Cid, got func(cid.Cid, []byte) error) error {
	var missing []cid.Cid
	seen := map[cid.Cid]bool{}
	for _, c := range list {
		if seen[c] {
			continue
		}
		seen[c] = true
		if err := verifcid.ValidateCid(verifcid.DefaultAllowlist, c); err != nil {
			return fmt.Errorf("ipfs: %v: %w: %w", c, err, kith.Invalid)
		}
		data, err := f.b.here(ctx, c)
		switch {
		case err == nil:
			if err := got(c, data); err != nil {
				return err
			}
		case ctx.Err() != nil:
			return ctx.Err()
		default:
			missing = append(missing, c)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return f.b.flights.Each(ctx, missing, got, func(list []cid.Cid, got func(cid.Cid, []byte) error) error { return f.fromNetwork(ctx, list, got) })
}

func (f *fetcher) fromNetwork(ctx context.Context, list []cid.Cid, got func(cid.Cid, []byte) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// A session of its own: one for all would drop a peer that has a part of a file after 16 blocks in a row that it has not, and never ask it again for what it was waiting for then.
	found, err := f.on.Session(ctx).GetBlocks(ctx, list)
	if err != nil {
		return fmt.Errorf("ipfs: fetch: %w", err)
	}
	wanted := host.NewWanted(list)
	web := f.fromGateways(ctx, wanted)
	peers := false // have brought something
	quiet := time.NewTimer(silence)
	defer quiet.Stop()
	for wanted.Len() > 0 {
		var b blocks.Block
		var open bool
		select {
		case b, open = <-found:
			if !open {
				found = nil
				if web == nil {
					return f.missing(ctx, wanted)
				}
				continue
			}
			peers = true
		case b, open = <-web:
			if !open {
				web = nil
				continue
			}
		case <-quiet.C:
			return f.missing(ctx, wanted)
		case <-ctx.Done():
			return ctx.Err()
		}
		if !wanted.Take(b.Cid()) {
			continue
		}
		quiet.Reset(silence)
		if f.keep != nil {
			f.keep(b.Cid(), b.RawData())
		}
		if err := got(b.Cid(), b.RawData()); err != nil {
			return err
		}
	}
	f.web.Store(!peers)
	return nil
}

func (f *fetcher) missing(ctx context.Context, w *host.Wanted) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	left := w.Left()
	return fmt.Errorf("ipfs: nobody there has %v now (%d blocks): %w", left[0], len(left), kith.NotFound)
}

// fromGateways asks trustless gateways for what peers have not brought within a moment; nil if there are none.
func (f *fetcher) fromGateways(ctx context.Context, w *host.Wanted) <-chan blocks.Block {
	urls := f.urls
	if len(urls) == 0 {
		return nil
	}
	out := make(chan blocks.Block)
	go func() {
		defer close(out)
		if !f.web.Load() {
			select {
			case <-ctx.Done():
				return
			case <-time.After(f.b.o.gatewayAfter):
			}
		}
		var all sync.WaitGroup
		next := make(chan cid.Cid)
		for i := range gatewayAtOne {
			all.Go(func() {
				for c := range next {
					if !w.Has(c) { // a peer has brought it meanwhile
						continue
					}
					data, err := f.b.fromGateway(ctx, urls[i%len(urls)], c)
					if err != nil {
						f.b.log.Debug("gateway", "addr", urls[i%len(urls)], "err", err)
						continue
					}
					b, _ := blocks.NewBlockWithCid(data, c)
					select {
					case out <- b:
					case <-ctx.Done():
						return
					}
				}
			})
		}
		for _, c := range w.Left() {
			select {
			case next <- c:
			case <-ctx.Done():
			}
		}
		close(next)
		all.Wait()
	}()
	return out
}

// fromGateway asks one trustless gateway for a block (https://specs.ipfs.tech/http-gateways/trustless-gateway/). Errors: NotFound, Corrupt, Unavailable, TooLarge.
func (b *Bridge) fromGateway(ctx context.Context, base string, c cid.Cid) ([]byte, error) {
	data, err := ask(ctx, strings.TrimSuffix(base, "/")+"/ipfs/"+c.String()+"?format=raw", "application/vnd.ipld.raw", maxBlock)
	if err != nil {
		return nil, err
	}
	if err := check(c, data); err != nil {
		return nil, fmt.Errorf("gateway %s: %w", base, err)
	}
	b.moves.receivedWeb(base, c, len(data))
	return data, nil
}

// ask gets at most max bytes from a web server. Errors: NotFound, Unavailable, TooLarge.
func ask(ctx context.Context, url, accept string, max int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, gatewayTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, invalid("%q: %v", url, err)
	}
	req.Header.Set("Accept", accept)
	req.Header.Set("User-Agent", "kith")
	resp, err := httpClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ipfs: %w: %w", err, kith.Unavailable)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		kind := kith.Unavailable
		if resp.StatusCode == http.StatusNotFound {
			kind = kith.NotFound
		}
		return nil, fmt.Errorf("ipfs: %s says %s: %w", url, resp.Status, kind)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, max+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("ipfs: %s: %w: %w", url, err, kith.Unavailable)
	case int64(len(data)) > max:
		return nil, fmt.Errorf("ipfs: %s sent more than %d bytes: %w", url, max, kith.TooLarge)
	}
	return data, nil
}
