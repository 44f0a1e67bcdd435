package ipfs

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/ipld/go-ipld-prime/codec/dagcbor"
	"github.com/ipld/go-ipld-prime/codec/dagjson"
	cidlink "github.com/ipld/go-ipld-prime/linking/cid"
	"github.com/ipld/go-ipld-prime/node/basicnode"
	"github.com/ipld/go-ipld-prime/traversal"
	"github.com/multiformats/go-multihash"

	"github.com/ipfs/boxo/ipld/merkledag"

	"kith"
	"kith/bridge"
	"kith/bridge/ipfs/unixfs"
	"kith/transfer"
)

// Limits of what is pinned.
const (
	maxPinBlocks = 1 << 22
	maxPinBytes  = 1 << 40
	pinTell      = 300 * time.Millisecond // between two words to who waits
)

// States of a pin.
const (
	pinFetching = "fetching"
	pinDone     = "pinned"
	pinFailed   = "failed"
)

// Pin implements bridge.Web.
func (b *Bridge) Pin(ctx context.Context, n kith.Names) iter.Seq2[bridge.Pin, error] {
	return func(yield func(bridge.Pin, error) bool) {
		c, name, err := b.root(ctx, n)
		if err == nil {
			_, err = b.db.ExecContext(ctx, `INSERT INTO pin (cid, name, state, blocks, bytes, added) VALUES (?,?,?,0,0,?)
				ON CONFLICT DO UPDATE SET state = CASE WHEN state = 'pinned' THEN state ELSE excluded.state END, reason = ''`, c.Bytes(), name, pinFetching, time.Now().Unix())
		}
		if err != nil {
			yield(bridge.Pin{}, wrap("pin", nameOfNames(n), err))
			return
		}
		b.startPin(c)
		for {
			p, err := b.pinned(ctx, c)
			if err != nil {
				yield(p, wrap("pin", c, err))
				return
			}
			if p.State == pinFailed {
				yield(p, fmt.Errorf("ipfs: pin %v: %s: %w", c, p.Reason, kith.Unavailable))
				return
			}
			if !yield(p, nil) || p.State == pinDone {
				return
			}
			select {
			case <-ctx.Done():
				yield(p, ctx.Err())
				return
			case <-time.After(pinTell):
			}
		}
	}
}

func nameOfNames(n kith.Names) string {
	if n.IPFS.Defined() {
		return n.IPFS.String()
	}
	return n.IPNS
}

// root follows names and a path to a CID.
func (b *Bridge) root(ctx context.Context, n kith.Names) (cid.Cid, string, error) {
	if !n.IPFS.Defined() && n.IPNS == "" {
		return cid.Undef, "", fmt.Errorf("it names nothing of IPFS: %w", kith.Invalid)
	}
	name := n.Path
	if name == "" {
		name = nameOfNames(n)
	}
	if n.Path == "" && n.IPFS.Defined() {
		return n.IPFS, name, nil
	}
	o, err := b.Open(kith.Link{Names: n})(ctx, empty{})
	if err != nil {
		return cid.Undef, "", err
	}
	defer o.Close()
	c, err := (&walk{o: o.(*origin)}).resolve(ctx)
	return c, name, err
}

// empty is Content of which nothing is here.
type empty struct{}

func (empty) ReadAt([]byte, int, int64) (int, error) { return 0, kith.NotFound }
func (empty) Has(transfer.Span) bool                 { return false }

// pinned returns what is known of a pin. Errors: NotFound.
func (b *Bridge) pinned(ctx context.Context, c cid.Cid) (bridge.Pin, error) {
	p := bridge.Pin{Names: kith.Names{IPFS: c}}
	var added int64
	err := b.db.QueryRowContext(ctx, `SELECT name, state, reason, blocks, bytes, added FROM pin WHERE cid = ?`, c.Bytes()).Scan(&p.Name, &p.State, &p.Reason, &p.Blocks, &p.Bytes, &added)
	if isAbsent(err) {
		return p, kith.NotFound
	}
	p.Added = time.Unix(added, 0)
	return p, err
}

// Pins implements bridge.Web.
func (b *Bridge) Pins(ctx context.Context) ([]bridge.Pin, error) {
	all, err := b.pins(ctx)
	var out []bridge.Pin
	for _, c := range all {
		if p, err := b.pinned(ctx, c); err == nil {
			out = append(out, p)
		}
	}
	return out, wrap("list", "pins", err)
}

func (b *Bridge) pins(ctx context.Context) ([]cid.Cid, error) {
	rows, err := b.db.QueryContext(ctx, `SELECT cid FROM pin ORDER BY added DESC`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []cid.Cid
	for rows.Next() {
		var raw []byte
		if err := rows.Scan(&raw); err != nil {
			return nil, err
		}
		if c, err := cid.Cast(raw); err == nil {
			out = append(out, c)
		}
	}
	return out, rows.Err()
}

// revivePins goes on with pins that were being fetched, and serves those that are here.
func (b *Bridge) revivePins(ctx context.Context) error {
	all, err := b.pins(ctx)
	for _, c := range all {
		b.startPin(c)
	}
	return err
}

// startPin fetches what is missing of a pin and tells the DHT of it, unless it is being done.
func (b *Bridge) startPin(c cid.Cid) {
	what := "pin " + c.String()
	if !b.net.hold(what) {
		return
	}
	b.spawn("ipfs.pin", func(ctx context.Context) error {
		on, release, err := b.net.use()
		if err != nil {
			b.net.drop(what)
			return err
		}
		b.net.held(what, release)
		p, err := b.pinned(ctx, c)
		if err == nil && p.State != pinDone {
			err = b.fetchPin(ctx, c)
		}
		if err == nil {
			return on.Provide(ctx, p.State != pinDone, []multihash.Multihash{c.Hash()})
		}
		b.net.drop(what)
		if ctx.Err() != nil || errors.Is(err, kith.NotFound) && kith.KindOf(err) == kith.NotFound && b.gone(ctx, c) {
			return nil
		}
		_, err = b.db.ExecContext(ctx, `UPDATE pin SET state = ?, reason = ? WHERE cid = ?`, pinFailed, err.Error(), c.Bytes())
		return err
	})
}

// gone reports whether a pin was taken back.
func (b *Bridge) gone(ctx context.Context, c cid.Cid) bool {
	_, err := b.pinned(ctx, c)
	return errors.Is(err, kith.NotFound)
}

// fetchPin brings a whole DAG, a level at a time.
func (b *Bridge) fetchPin(ctx context.Context, c cid.Cid) error {
	f, err := b.fetcher()
	if err != nil {
		return err
	}
	defer f.close()
	seen := map[string]bool{string(c.Hash()): true}
	var blocks, size int64
	for level := []cid.Cid{c}; len(level) > 0; {
		var next []cid.Cid
		for len(level) > 0 {
			n := min(batch, len(level))
			now := level[:n]
			level = level[n:]
			err := f.all(ctx, now, func(got cid.Cid, data []byte) error {
				if blocks, size = blocks+1, size+int64(len(data)); blocks > maxPinBlocks || size > maxPinBytes {
					return fmt.Errorf("more than %d blocks or %d bytes: %w", maxPinBlocks, int64(maxPinBytes), kith.TooLarge)
				}
				links, err := linksOf(got, data)
				if err != nil {
					return err
				}
				for _, l := range links {
					if !seen[string(l.Hash())] {
						seen[string(l.Hash())] = true
						next = append(next, l)
					}
				}
				return b.pinBlock(ctx, c, got, data)
			})
			if err != nil {
				return err
			}
			res, err := b.db.ExecContext(ctx, `UPDATE pin SET blocks = ?, bytes = ? WHERE cid = ?`, blocks, size, c.Bytes())
			if err != nil {
				return err
			}
			if n, _ := res.RowsAffected(); n == 0 {
				return kith.NotFound // it was taken back meanwhile
			}
		}
		level = next
	}
	_, err = b.db.ExecContext(ctx, `UPDATE pin SET state = ?, reason = '' WHERE cid = ?`, pinDone, c.Bytes())
	return err
}

// pinBlock keeps a block for a pin.
func (b *Bridge) pinBlock(ctx context.Context, pin, c cid.Cid, data []byte) error {
	if _, ok := inline(c); ok {
		return nil
	}
	if err := b.cache.put(ctx, c, data, true); err != nil {
		return err
	}
	key := b.cache.key(c)
	return b.store.write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO pinned (pin, cid) VALUES (?,?)`, pin.Bytes(), key); err != nil {
			return err
		}
		var was int
		if err := tx.QueryRowContext(ctx, `SELECT pins FROM block WHERE cid = ?`, key).Scan(&was); err != nil {
			return err
		}
		if was == 0 {
			b.cache.held.Add(-int64(len(data)))
		}
		_, err := tx.ExecContext(ctx, `UPDATE block SET pins = (SELECT count(*) FROM pinned WHERE cid = ?1) WHERE cid = ?1`, key)
		return err
	})
}

// Unpin implements bridge.Web.
func (b *Bridge) Unpin(ctx context.Context, n kith.Names) error {
	c, _, err := b.root(ctx, n)
	if err == nil {
		err = b.unpin(ctx, c)
	}
	return wrap("unpin", nameOfNames(n), err)
}

func (b *Bridge) unpin(ctx context.Context, c cid.Cid) error {
	if b.gone(ctx, c) {
		return kith.Hint(kith.NotFound, "kith pin ls shows what is pinned")
	}
	err := b.store.write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE block SET pins = pins - 1 WHERE pins > 0 AND cid IN (SELECT cid FROM pinned WHERE pin = ?)`, c.Bytes()); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM pin WHERE cid = ?`, c.Bytes()); err != nil {
			return err
		}
		var held int64
		err := tx.QueryRowContext(ctx, `SELECT coalesce(sum(size), 0) FROM block WHERE pins = 0`).Scan(&held)
		b.cache.held.Store(held)
		return err
	})
	if err != nil {
		return err
	}
	b.net.drop("pin " + c.String())
	if err := b.forget(ctx, []multihash.Multihash{c.Hash()}); err != nil {
		return err
	}
	return b.cache.trim(ctx)
}

// linksOf returns what a block links to.
func linksOf(c cid.Cid, data []byte) ([]cid.Cid, error) {
	var out []cid.Cid
	switch c.Type() {
	case cid.DagProtobuf:
		n, err := merkledag.DecodeProtobuf(data)
		if err != nil {
			return nil, fmt.Errorf("ipfs: %v: %w: %w", c, err, kith.Corrupt)
		}
		if len(n.Links()) > unixfs.MaxLinks {
			return nil, fmt.Errorf("ipfs: %v has %d links: %w", c, len(n.Links()), kith.TooLarge)
		}
		for _, l := range n.Links() {
			out = append(out, l.Cid)
		}
	case cid.DagCBOR, cid.DagJSON:
		b := basicnode.Prototype.Any.NewBuilder()
		decode := dagcbor.Decode
		if c.Type() == cid.DagJSON {
			decode = dagjson.Decode
		}
		if err := decode(b, bytes.NewReader(data)); err != nil {
			return nil, fmt.Errorf("ipfs: %v: %w: %w", c, err, kith.Corrupt)
		}
		links, err := traversal.SelectLinks(b.Build())
		if err != nil {
			return nil, fmt.Errorf("ipfs: %v: %w: %w", c, err, kith.Corrupt)
		}
		for _, l := range links {
			if l, ok := l.(cidlink.Link); ok {
				out = append(out, l.Cid)
			}
		}
	}
	return out, nil
}
