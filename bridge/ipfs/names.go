package ipfs

import (
	"context"
	"crypto/ed25519"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ipfs/boxo/ipns"
	"github.com/ipfs/boxo/namesys"
	"github.com/ipfs/boxo/path"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/routing"

	"kith"
	"kith/record"
)

const (
	resolveTime = 20 * time.Second       // for one name
	grace       = 500 * time.Millisecond // that a newer record has after the first was found
	maxRecord   = 10 << 10               // bytes of an IPNS record (https://specs.ipfs.tech/ipns/ipns-record/)
)

// names resolves IPNS: from this node's own names, from Kith's own records, which carry the IPNS record, from the DHT of IPFS, and from the gateways of the configuration, all at
// once; the newest counts. It implements routing.ValueStore.
type names struct {
	b    *Bridge
	kick chan struct{}
	once sync.Once
	sys  namesys.NameSystem
}

var _ routing.ValueStore = (*names)(nil)

// system returns what also follows names in DNS (DNSLink).
func (n *names) system() namesys.NameSystem {
	n.once.Do(func() { n.sys, _ = namesys.NewNameSystem(n, namesys.WithDNSResolver(net.DefaultResolver)) })
	return n.sys
}

// Resolve implements bridge.Resolver.
func (b *Bridge) Resolve(ctx context.Context, n kith.Names) (kith.Names, error) {
	if n.IPNS == "" || n.IPFS.Defined() {
		return n, nil
	}
	c, below, err := b.resolve(ctx, n.IPNS)
	if err != nil {
		return n, wrap("resolve", n.IPNS, err)
	}
	n.IPFS, n.IPNS = c, ""
	n.Path = strings.Trim(below+"/"+strings.Trim(n.Path, "/"), "/")
	return n, nil
}

func (b *Bridge) resolve(ctx context.Context, name string) (c cid.Cid, below string, err error) {
	ctx, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	p, err := path.NewPath("/ipns/" + name)
	if err != nil {
		return c, "", fmt.Errorf("%w: %w", err, kith.Invalid)
	}
	got, err := namesys.Resolve(ctx, b.names.system(), p)
	if err != nil {
		return c, "", kith.Hint(fmt.Errorf("nobody tells what it stands for: %w: %w", err, kith.NotFound), "try again in a minute, or ask who published it whether it is still there")
	}
	to, err := path.NewImmutablePath(got.Path)
	if err != nil {
		return c, "", fmt.Errorf("it stands for %.80q: %w", got.Path, kith.Invalid)
	}
	return to.RootCid(), strings.Join(to.Segments()[2:], "/"), nil
}

// PutValue implements routing.ValueStore. The gateway publishes nothing.
func (n *names) PutValue(context.Context, string, []byte, ...routing.Option) error {
	return fmt.Errorf("ipfs: %w", kith.Denied)
}

// GetValue implements routing.ValueStore.
func (n *names) GetValue(ctx context.Context, key string, o ...routing.Option) ([]byte, error) {
	found, err := n.SearchValue(ctx, key, o...)
	if err != nil {
		return nil, err
	}
	var best []byte
	for v := range found {
		best = v
	}
	if best == nil {
		return nil, routing.ErrNotFound
	}
	return best, nil
}

// SearchValue implements routing.ValueStore: it yields records, each newer than the one before.
func (n *names) SearchValue(ctx context.Context, key string, _ ...routing.Option) (<-chan []byte, error) {
	if !strings.HasPrefix(key, "/ipns/") {
		return nil, routing.ErrNotSupported
	}
	name, err := ipns.NameFromRoutingKey([]byte(key))
	if err != nil {
		return nil, fmt.Errorf("ipfs: name: %w: %w", err, kith.Invalid)
	}
	out := make(chan []byte, 1)
	go n.search(ctx, name, out)
	return out, nil
}

func (n *names) search(ctx context.Context, name ipns.Name, out chan<- []byte) {
	defer close(out)
	ctx, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	found := make(chan []byte)
	var all sync.WaitGroup
	for _, ask := range []func(context.Context, ipns.Name, func([]byte)){n.own, n.ours, n.dht, n.web} {
		all.Go(func() {
			ask(ctx, name, func(v []byte) {
				select {
				case found <- v:
				case <-ctx.Done():
				}
			})
		})
	}
	go func() {
		all.Wait()
		close(found)
	}()
	best := n.remembered(ctx, name)
	var enough <-chan time.Time
	for {
		select {
		case v, open := <-found:
			if !open {
				if best != nil && enough == nil { // nobody else has it now
					out <- best
				}
				return
			}
			rec, err := ipns.UnmarshalRecord(v)
			if err != nil || len(v) > maxRecord || ipns.ValidateWithName(rec, name) != nil {
				continue
			}
			if enough == nil {
				enough = time.After(grace)
			} else if !newer(name, v, best) {
				continue
			}
			if best == nil || newer(name, v, best) {
				best = v
				n.remember(ctx, name, v)
			}
			select {
			case out <- best:
			case <-ctx.Done():
				return
			}
		case <-enough:
			return
		case <-ctx.Done():
			if best != nil && enough == nil {
				out <- best
			}
			return
		}
	}
}

// newer reports whether a is newer than b.
func newer(name ipns.Name, a, b []byte) bool {
	if b == nil {
		return true
	}
	i, err := (ipns.Validator{}).Select(string(name.RoutingKey()), [][]byte{b, a})
	return err == nil && i == 1
}

// remembered returns the newest record that was seen, if it still holds: nobody can go back behind it.
func (n *names) remembered(ctx context.Context, name ipns.Name) []byte {
	var v []byte
	if n.b.db.QueryRowContext(ctx, `SELECT record FROM name WHERE key = ?`, name.String()).Scan(&v) != nil {
		return nil
	}
	if rec, err := ipns.UnmarshalRecord(v); err != nil || ipns.ValidateWithName(rec, name) != nil {
		return nil
	}
	return v
}

func (n *names) remember(ctx context.Context, name ipns.Name, v []byte) {
	if _, err := n.b.db.ExecContext(context.WithoutCancel(ctx), `INSERT OR REPLACE INTO name (key, record) VALUES (?,?)`, name.String(), v); err != nil {
		n.b.log.Debug("name not remembered", "err", err)
	}
}

// own looks among this node's names.
func (n *names) own(ctx context.Context, name ipns.Name, found func([]byte)) {
	rows, err := n.b.db.QueryContext(ctx, `SELECT key, record FROM site`)
	if err != nil {
		return
	}
	var hit []byte
	for rows.Next() {
		var seed, v []byte
		if rows.Scan(&seed, &v) == nil && len(seed) == ed25519.SeedSize {
			if own, err := nameOf(ed25519.NewKeyFromSeed(seed)); err == nil && own.Equal(name) {
				hit = v
			}
		}
	}
	rows.Close()
	if hit != nil {
		found(hit)
	}
}

// nameOf returns the IPNS name of a key.
func nameOf(key ed25519.PrivateKey) (ipns.Name, error) {
	k, err := crypto.UnmarshalEd25519PrivateKey(key)
	if err != nil {
		return ipns.Name{}, err
	}
	return nameOfKey(k.GetPublic())
}

// ours looks for Kith's own record, which holds the IPNS record.
func (n *names) ours(ctx context.Context, name ipns.Name, found func([]byte)) {
	pub, err := name.Peer().ExtractPublicKey()
	if err != nil || n.b.o.Records == nil || pub.Type() != crypto.Ed25519 {
		return
	}
	raw, err := pub.Raw()
	if err != nil {
		return
	}
	t, err := record.TicketOf(raw)
	if err != nil {
		return
	}
	for r, err := range n.b.o.Records.Search(ctx, t) {
		if err != nil {
			return
		}
		found(r.Content)
	}
}

// dht asks the DHT of IPFS.
func (n *names) dht(ctx context.Context, name ipns.Name, found func([]byte)) {
	on, release, err := n.b.net.use()
	if err != nil {
		return
	}
	defer release()
	on.Search(ctx, string(name.RoutingKey()), found)
}

// web asks the gateways of the configuration.
func (n *names) web(ctx context.Context, name ipns.Name, found func([]byte)) {
	var all sync.WaitGroup
	for _, u := range slices.Clone(n.b.o.Config.Gateways) {
		all.Go(func() {
			if v, err := ask(ctx, strings.TrimSuffix(u, "/")+"/ipns/"+name.String()+"?format=ipns-record", "application/vnd.ipfs.ipns-record", maxRecord); err == nil {
				found(v)
			}
		})
	}
	all.Wait()
}

// isAbsent reports whether a query found no row.
func isAbsent(err error) bool { return errors.Is(err, sql.ErrNoRows) }
