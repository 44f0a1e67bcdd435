package people

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	ma "github.com/multiformats/go-multiaddr"

	"kith"
	"kith/network"
	"kith/record"
	"kith/wire"
)

const (
	joined   = time.Second // after a peer came, for it to be one of the overlay
	maxPlace = 1400        // bytes of addresses that are published
)

// place is what is in the record by which contacts find a device that has moved.
type place struct {
	Peer  []byte   `cbor:"1,keyasint"`
	Addrs [][]byte `cbor:"2,keyasint"` // multiaddrs without /p2p, the most useful first
}

// placeKey returns the key of this device's record. Each network has another, so that nobody can tell that it is the same device; and another one follows when
// somebody who knew it is not to know any longer where this device is.
func (p *People) placeKey() (record.Key, error) {
	p.mu.Lock()
	salt := p.salt
	p.mu.Unlock()
	return p.placeKeyOf(salt)
}

func (p *People) placeKeyOf(salt []byte) (record.Key, error) {
	secret, err := p.o.Me.Key().Raw()
	if err != nil {
		return record.Key{}, fmt.Errorf("people: %w", err)
	}
	purpose := "addresses/" + p.o.Net.Name()
	if len(salt) > 0 {
		purpose += "/" + hex.EncodeToString(salt)
	}
	return record.Derive(secret, purpose), nil
}

// moveRecord has this device's record stand under another key from now on, which those get who are contacts then.
func (p *People) moveRecord(tx *sql.Tx) error {
	salt := make([]byte, 16)
	rand.Read(salt)
	_, err := tx.Exec(`INSERT INTO place VALUES (1, ?1, x'') ON CONFLICT (one) DO UPDATE SET left = salt, salt = ?1`, salt)
	return err
}

// withdrawOld withdraws the record from under the key that it stood under last, unless that was done. If there were others before, they are gone in two days.
func (p *People) withdrawOld(ctx context.Context) error {
	var left []byte
	err := p.db.QueryRowContext(ctx, `SELECT left FROM place WHERE left IS NOT NULL`).Scan(&left)
	if errors.Is(err, sql.ErrNoRows) || len(p.o.Net.Host().Network().Peers()) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	key, err := p.placeKeyOf(left)
	if err == nil {
		err = p.o.Records.Withdraw(ctx, key)
	}
	if err == nil {
		p.write.Lock()
		defer p.write.Unlock()
		_, err = p.db.ExecContext(ctx, `UPDATE place SET left = NULL WHERE left = ?`, left)
	}
	return err
}

// placeNow returns what is to be published now: nothing while there is nobody to read it.
func (p *People) placeNow() []byte {
	if _, revoked := p.Revoked(); revoked || len(p.All()) == 0 {
		return nil
	}
	w, size := place{Peer: []byte(p.o.Me.PeerID())}, 0
	for _, a := range p.addrs() {
		if size += len(a.Bytes()); size > maxPlace {
			break
		}
		w.Addrs = append(w.Addrs, a.Bytes())
	}
	data, err := wire.Marshal(w)
	if err != nil || w.Addrs == nil {
		return nil
	}
	return data
}

// parsePlace returns where the device id says that it is. Its error is Corrupt.
func parsePlace(data []byte, id peer.ID) (peer.AddrInfo, error) {
	var w place
	info := peer.AddrInfo{ID: id}
	if err := wire.Unmarshal(data, &w); err != nil {
		return info, fmt.Errorf("people: addresses of %s: %v: %w", id, err, kith.Corrupt)
	}
	if peer.ID(w.Peer) != id {
		return info, fmt.Errorf("people: addresses of %s: they are another device's: %w", id, kith.Corrupt)
	}
	for _, raw := range w.Addrs[:min(len(w.Addrs), maxAddrs)] {
		a, err := ma.NewMultiaddrBytes(raw)
		if err != nil {
			return info, fmt.Errorf("people: addresses of %s: %v: %w", id, err, kith.Corrupt)
		}
		info.Addrs = append(info.Addrs, a)
	}
	return info, nil
}

// tellPlace keeps this device's addresses in the overlay, where contacts find them, until ctx ends; and has contacts who are missing looked for again
// when this device has moved or its network has grown.
func (p *People) tellPlace(ctx context.Context) error {
	key, err := p.placeKey()
	if err != nil {
		return err
	}
	moved, err := p.o.Net.Host().EventBus().Subscribe([]any{new(event.EvtLocalAddressesUpdated), new(network.EvtMoved)}, eventbus.Name("people"))
	if err != nil {
		return fmt.Errorf("people: %w", err)
	}
	defer moved.Close()
	peers, cancel := p.o.Net.Subscribe()
	defer cancel()
	grown := time.NewTimer(lookEvery)
	defer grown.Stop()

	keeper := p.keep(ctx, key)
	defer func() { keeper.end() }()
	told, reach := p.placeNow(), 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.placed:
		case e := <-moved.Out():
			if m, ok := e.(network.EvtMoved); ok && m.Slept > 0 {
				told, reach = nil, 0 // who kept the record may have let it go meanwhile
			}
			p.lookAgain()
		case _, ok := <-peers:
			if !ok {
				return nil
			}
			grown.Reset(joined)
			continue
		case <-grown.C:
			grown.Reset(lookEvery)
		}
		if key, err = p.placeKey(); err == nil && key.Ticket() != keeper.key.Ticket() {
			keeper.end()
			keeper = p.keep(ctx, key)
		}
		if err := p.withdrawOld(ctx); err != nil && ctx.Err() == nil {
			p.log.Debug("old record of own addresses not withdrawn", "err", err) // the next time may do
		}
		now, size := p.placeNow(), len(p.o.Net.Host().Network().Peers())
		larger := size > 0 && size >= 2*reach // then others are closest to the record than those who have it
		if bytes.Equal(now, told) && !larger {
			continue
		}
		if larger {
			reach = size
			p.lookAgain()
		}
		told = now
		select {
		case keeper.changed <- struct{}{}:
		default: // it will be told anyway
		}
	}
}

// A keeper keeps this device's record under one key.
type keeper struct {
	key     record.Key
	changed chan struct{}
	end     func() // and waits for it
}

func (p *People) keep(ctx context.Context, key record.Key) keeper {
	k := keeper{key: key, changed: make(chan struct{}, 1)}
	ctx, stop := context.WithCancel(ctx)
	var kept sync.WaitGroup
	kept.Go(func() { p.o.Records.Keep(ctx, key, p.placeNow, k.changed) })
	k.end = func() {
		stop()
		kept.Wait()
	}
	return k
}

// lookAgain has those who are missing dialled now.
func (p *People) lookAgain() {
	p.mu.Lock()
	for _, l := range p.links {
		l.next, l.wait = time.Time{}, retryMin
	}
	p.mu.Unlock()
	select {
	case p.again <- struct{}{}:
	default:
	}
}

// find connects to a contact's device: where it was last, or else where its record says that it is now.
func (p *People) find(ctx context.Context, d Device) error {
	err := p.dial(ctx, peer.AddrInfo{ID: d.Peer, Addrs: d.Addrs})
	if err == nil || p.o.Records == nil || d.Ticket == (record.Ticket{}) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	for r, e := range p.o.Records.Search(ctx, d.Ticket) {
		if e != nil {
			return e
		}
		info, e := parsePlace(r.Content, d.Peer)
		if e == nil {
			e = p.dial(ctx, info)
		}
		if e == nil {
			return nil
		}
		err = e // a newer version may say better
	}
	return err
}

func (p *People) dial(ctx context.Context, info peer.AddrInfo) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return p.o.Net.Connect(ctx, info)
}
