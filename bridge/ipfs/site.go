package ipfs

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"time"

	"github.com/ipfs/boxo/ipns"
	"github.com/ipfs/boxo/path"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/bridge"
	"kith/record"
)

const (
	recordLife = 48 * time.Hour // of an IPNS record; the DHT keeps it no longer
	recordTTL  = time.Minute    // for which who resolved it may believe it
	renewEvery = 4 * time.Hour
	putTime    = 20 * time.Second // that publishing waits for others
	retryEvery = time.Minute
)

// siteName is what a site may be called.
var siteName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// SetSite implements bridge.Web.
func (b *Bridge) SetSite(ctx context.Context, s bridge.Site) (bridge.Site, error) {
	out, err := b.setSite(ctx, s)
	return out, wrap("publish site", s.Name, err)
}

func (b *Bridge) setSite(ctx context.Context, s bridge.Site) (bridge.Site, error) {
	if !siteName.MatchString(s.Name) {
		return s, kith.Hint(fmt.Errorf("%.80q cannot be a name: %w", s.Name, kith.Invalid), "use a to z, 0 to 9 and -, at most 63, as in my-site")
	}
	var raw []byte
	if err := b.db.QueryRowContext(ctx, `SELECT cid FROM share WHERE root = ?`, s.Root.String()).Scan(&raw); isAbsent(err) {
		return s, fmt.Errorf("%s is not published: %w", s.Root.Short(), kith.NotFound)
	} else if err != nil {
		return s, err
	}
	c, err := cid.Cast(raw)
	if err != nil {
		return s, err
	}
	var seed []byte
	var sequence uint64
	err = b.db.QueryRowContext(ctx, `SELECT key, sequence FROM site WHERE name = ?`, s.Name).Scan(&seed, &sequence)
	switch {
	case isAbsent(err):
		seed = make([]byte, ed25519.SeedSize)
		rand.Read(seed)
	case err != nil:
		return s, err
	}
	s.Sequence, s.At = max(sequence+1, uint64(time.Now().Unix())), time.Now() // newer than all before, even if everything but the key and the clock is lost
	value, name, err := sign(seed, c, s.Sequence, s.At)
	if err != nil {
		return s, err
	}
	if _, err := b.db.ExecContext(ctx, `INSERT INTO site (name, key, root, path, sequence, record, at) VALUES (?,?,?,?,?,?,?)
		ON CONFLICT DO UPDATE SET root = excluded.root, path = excluded.path, sequence = excluded.sequence, record = excluded.record, at = excluded.at`,
		s.Name, seed, s.Root.String(), s.Path, int64(s.Sequence), value, s.At.Unix()); err != nil {
		return s, err
	}
	s.Key, s.Names = name.String(), kith.Names{IPFS: c}
	ctx, cancel := context.WithTimeout(ctx, putTime)
	defer cancel()
	if err := b.names.tell(ctx, seed, value); err != nil {
		s.Said = "nobody has been told yet; it is tried again each minute: " + err.Error()
		b.names.wake()
	}
	return s, nil
}

// sign makes the IPNS record of a site.
func sign(seed []byte, c cid.Cid, sequence uint64, now time.Time) ([]byte, ipns.Name, error) {
	key, err := crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(seed))
	if err != nil {
		return nil, ipns.Name{}, err
	}
	rec, err := ipns.NewRecord(key, path.FromCid(c), sequence, now.Add(recordLife), recordTTL)
	if err != nil {
		return nil, ipns.Name{}, err
	}
	value, err := ipns.MarshalRecord(rec)
	if err != nil {
		return nil, ipns.Name{}, err
	}
	name, err := nameOfKey(key.GetPublic())
	return value, name, err
}

func nameOfKey(pub crypto.PubKey) (ipns.Name, error) {
	id, err := peer.IDFromPublicKey(pub)
	if err != nil {
		return ipns.Name{}, err
	}
	return ipns.NameFromPeer(id), nil
}

// tell gives a record to both networks. It returns nil when one of them has it.
func (n *names) tell(ctx context.Context, seed, value []byte) error {
	key := ed25519.NewKeyFromSeed(seed)
	name, err := nameOf(key)
	if err != nil {
		return err
	}
	errs := make([]error, 2)
	var all sync.WaitGroup
	all.Go(func() {
		on, release, err := n.b.net.use()
		if err != nil {
			errs[0] = err
			return
		}
		defer release()
		errs[0] = on.Put(ctx, string(name.RoutingKey()), value)
	})
	all.Go(func() {
		if n.b.o.Records == nil {
			errs[1] = kith.Unavailable
			return
		}
		errs[1] = n.b.o.Records.Publish(ctx, record.KeyOf(key), value)
	})
	all.Wait()
	if errs[0] == nil || errs[1] == nil {
		return nil
	}
	return errors.Join(errs...)
}

func (n *names) wake() {
	select {
	case n.kick <- struct{}{}:
	default:
	}
}

// keep tells others of this node's names again and again, until ctx ends.
func (n *names) keep(ctx context.Context) error {
	for {
		wait, err := n.renew(ctx)
		if err != nil && ctx.Err() == nil {
			n.b.log.Warn("names not told", "op", "ipfs.names", "err", err)
			wait = retryEvery
		}
		select {
		case <-ctx.Done():
			return nil
		case <-n.kick:
			select { // what failed a moment ago is not tried at once
			case <-ctx.Done():
				return nil
			case <-time.After(retryEvery):
			}
		case <-time.After(wait):
		}
	}
}

// renew signs and tells all names.
func (n *names) renew(ctx context.Context) (wait time.Duration, err error) {
	rows, err := n.b.db.QueryContext(ctx, `SELECT site.name, site.key, site.sequence, share.cid FROM site JOIN share ON share.root = site.root`)
	if err != nil {
		return 0, err
	}
	type row struct {
		name      string
		seed, cid []byte
		sequence  int64
	}
	var all []row
	for rows.Next() {
		var r row
		if err := rows.Scan(&r.name, &r.seed, &r.sequence, &r.cid); err != nil {
			rows.Close()
			return 0, err
		}
		all = append(all, r)
	}
	if err := rows.Close(); err != nil {
		return 0, err
	}
	var errs []error
	for _, r := range all {
		c, err := cid.Cast(r.cid)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		value, _, err := sign(r.seed, c, uint64(r.sequence), time.Now())
		if err == nil {
			_, err = n.b.db.ExecContext(ctx, `UPDATE site SET record = ? WHERE name = ? AND sequence = ?`, value, r.name, r.sequence)
		}
		if err == nil {
			put, cancel := context.WithTimeout(ctx, retryEvery)
			err = n.tell(put, r.seed, value)
			cancel()
		}
		errs = append(errs, err)
	}
	return renewEvery, errors.Join(errs...)
}

// Sites implements bridge.Web.
func (b *Bridge) Sites(ctx context.Context) ([]bridge.Site, error) {
	rows, err := b.db.QueryContext(ctx, `SELECT site.name, site.key, site.root, site.path, site.sequence, site.at, share.cid FROM site LEFT JOIN share ON share.root = site.root ORDER BY site.name`)
	if err != nil {
		return nil, wrap("list", "sites", err)
	}
	defer rows.Close()
	var out []bridge.Site
	for rows.Next() {
		var s bridge.Site
		var seed, raw []byte
		var root string
		var sequence, at int64
		if err := rows.Scan(&s.Name, &seed, &root, &s.Path, &sequence, &at, &raw); err != nil {
			return nil, wrap("list", "sites", err)
		}
		name, err := nameOf(ed25519.NewKeyFromSeed(seed))
		if err == nil {
			s.Root, err = kith.ParseRef(root)
		}
		if err != nil {
			return nil, wrap("list site", s.Name, err)
		}
		s.Key, s.Sequence, s.At = name.String(), uint64(sequence), time.Unix(at, 0)
		if raw != nil {
			s.Names.IPFS, _ = cid.Cast(raw)
		} else {
			s.Said = "what it leads to is not published any more"
		}
		out = append(out, s)
	}
	return out, wrap("list", "sites", rows.Err())
}

// DropSite implements bridge.Web.
func (b *Bridge) DropSite(ctx context.Context, name string) (bridge.Site, error) {
	var s bridge.Site
	var seed []byte
	var root string
	err := b.db.QueryRowContext(ctx, `DELETE FROM site WHERE name = ? RETURNING name, key, root, path`, name).Scan(&s.Name, &seed, &root, &s.Path)
	if errors.Is(err, sql.ErrNoRows) {
		return s, kith.Hint(fmt.Errorf("ipfs: there is no site %q: %w", name, kith.NotFound), "kith site ls shows those there are")
	}
	if err == nil {
		s.Root, err = kith.ParseRef(root)
	}
	if err == nil && b.o.Records != nil { // the IPNS record ends by itself
		if err := b.o.Records.Withdraw(ctx, record.KeyOf(ed25519.NewKeyFromSeed(seed))); err != nil {
			b.log.Debug("record of a site not withdrawn", "err", err)
		}
	}
	return s, wrap("drop site", name, err)
}
