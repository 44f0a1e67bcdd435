package live

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/namespace"
	"github.com/ipfs/go-datastore/query"
	record "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/overlay/kbr"
	"kith/overlay/ledger"
	"kith/wire"
)

const (
	keepFor = 48 * time.Hour // how long what was put is kept, unless it is put again
	maxRead = 512            // announcements of one key that are looked at to answer who provides it
)

// store keeps items. What strangers bring is bounded by a ledger; what the node itself puts is not.
type store struct {
	ds        datastore.Batching
	validator record.Validator
	self      peer.ID
	now       func() time.Time
	ledger    ledger.Ledger

	mu sync.Mutex // held from when an item is read until it is replaced
}

// entry is an item as it is on disk.
type entry struct {
	Key   []byte `cbor:"1,keyasint"`
	Data  []byte `cbor:"2,keyasint"`
	Until int64  `cbor:"3,keyasint"` // seconds since 1970
}

func newStore(ds datastore.Batching, overlay string, v record.Validator, self peer.ID, now func() time.Time) *store {
	return &store{ds: namespace.Wrap(ds, datastore.NewKey("/overlay/"+overlay+"/kept")), validator: v, self: self, now: now}
}

// place returns where a key is.
func place(key []byte) kbr.ID { return kbr.Hash(key) }

func under(space uint8, key []byte) datastore.Key {
	return datastore.NewKey([...]string{"/v/", "/a/"}[space] + place(key).String())
}

// at returns under which name an item is on disk.
func at(it item, a announcement) datastore.Key {
	k := under(it.Space, it.Key)
	if it.Space == announcements {
		k = k.ChildString(peer.ID(a.Peer).String())
	}
	return k
}

// read returns what is on disk under a name; nil if there is nothing that is still to be kept.
func (s *store) read(ctx context.Context, k datastore.Key) (*entry, error) {
	b, err := s.ds.Get(ctx, k)
	if errors.Is(err, datastore.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return s.parse(b), nil
}

func (s *store) parse(b []byte) *entry {
	var e entry
	if wire.Unmarshal(b, &e) != nil || e.Until <= s.now().Unix() {
		return nil
	}
	return &e
}

// put keeps an item that from brings; region is where that one is. It returns what came of it, and what is newer here if something is.
func (s *store) put(ctx context.Context, it item, from peer.ID, region string) (code uint8, newer []byte, err error) {
	var a announcement
	switch {
	case it.check() != nil:
		return wrong, nil, nil
	case it.Space == values && s.validator.Validate(string(it.Key), it.Data) != nil:
		return wrong, nil, nil
	case it.Space == announcements:
		if a, err = readAnnouncement(it.Key, it.Data); err != nil || peer.ID(a.Peer) != from && !a.timely(s.now()) {
			return wrong, nil, nil
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k := at(it, a)
	old, err := s.read(ctx, k)
	if err != nil {
		return 0, nil, err
	}
	if old != nil && s.precedes(it, a, old, from) {
		return older, old.Data, nil
	}
	if from != s.self && old == nil && !s.enter(it, from, region) {
		return full, nil, nil
	}
	left := keepFor
	if it.Left > 0 {
		left = min(left, time.Duration(it.Left)*time.Second)
	}
	until := s.now().Add(left).Unix()
	if old != nil && string(old.Data) == string(it.Data) && old.Until >= until-60 {
		return kept, nil, nil // nothing new
	}
	b, err := wire.Marshal(entry{Key: it.Key, Data: it.Data, Until: until})
	if err == nil {
		err = s.ds.Put(ctx, k, b)
	}
	return kept, nil, err
}

// precedes reports whether an item is older than what is here.
func (s *store) precedes(it item, a announcement, old *entry, from peer.ID) bool {
	if string(it.Data) == string(old.Data) {
		return false
	}
	if it.Space == announcements {
		var b announcement
		return peer.ID(a.Peer) != from && wire.Unmarshal(old.Data, &b) == nil && b.At >= a.At
	}
	best, err := s.validator.Select(string(it.Key), [][]byte{old.Data, it.Data})
	return err != nil || best == 0
}

// enter counts an item that was not here.
func (s *store) enter(it item, from peer.ID, region string) bool {
	day := s.now().Unix() / (24 * 60 * 60)
	if it.Space == announcements {
		return s.ledger.Announce(day, from, region)
	}
	return s.ledger.Value(day, len(it.Data))
}

// get returns what is kept under a key: one value, or the announcements of up to maxItems peers, a random choice if there are more.
func (s *store) get(ctx context.Context, space uint8, key []byte) (items []item, err error) {
	if space == values {
		e, err := s.read(ctx, under(space, key))
		if e == nil || err != nil {
			return nil, err
		}
		return []item{s.item(space, e)}, nil
	}
	all, err := s.ds.Query(ctx, query.Query{Prefix: under(space, key).String(), Limit: maxRead})
	if err != nil {
		return nil, err
	}
	defer all.Close()
	for res := range all.Next() {
		if res.Error != nil {
			return nil, res.Error
		}
		if e := s.parse(res.Value); e != nil && string(e.Key) == string(key) {
			items = append(items, s.item(space, e))
		}
	}
	rand.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
	return items[:min(len(items), maxItems)], nil
}

func (s *store) item(space uint8, e *entry) item {
	return item{Space: space, Key: e.Key, Data: e.Data, Left: uint32(min(max(e.Until-s.now().Unix(), 1), int64(keepFor/time.Second)))}
}

// each hands over all items, in the order of their places in each space, and removes those whose time is over.
func (s *store) each(ctx context.Context, see func(item) bool) error {
	for space := range spaces {
		all, err := s.ds.Query(ctx, query.Query{Prefix: [...]string{"/v", "/a"}[space]})
		if err != nil {
			return err
		}
		defer all.Close()
		for res := range all.Next() {
			if res.Error != nil {
				return res.Error
			}
			if e := s.parse(res.Value); e == nil {
				if err := s.ds.Delete(ctx, datastore.NewKey(res.Key)); err != nil {
					return err
				}
			} else if !see(s.item(space, e)) {
				return ctx.Err()
			}
		}
	}
	return nil
}

// forget removes the announcement of a key that is this node's own.
func (s *store) forget(ctx context.Context, key []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ds.Delete(ctx, at(item{Space: announcements, Key: key}, announcement{Peer: []byte(s.self)}))
}

// keep keeps what a peer puts here, and says what came of each item.
func (r *Router) keep(ctx context.Context, p peer.ID, q *question) (codes []uint8, newer []item, err error) {
	region := r.region(p)
	var came []kbr.ID
	for _, it := range q.Items {
		code, better, err := r.store.put(ctx, it, p, region)
		if err != nil {
			return nil, nil, fmt.Errorf("live: keep: %w: %w", err, kith.Unavailable)
		}
		if codes = append(codes, code); better != nil && it.Space == values {
			newer = append(newer, item{Space: it.Space, Key: it.Key, Data: better})
		}
		if code == kept {
			came = append(came, place(it.Key))
		}
	}
	var owned []bool
	err = r.do(ctx, func() {
		for _, at := range came {
			owned = append(owned, r.owns(at))
		}
	})
	settled := r.tending.settled(r.now())
	for i := range owned { // who brought it may know the neighbours less well than this node, and these change
		if q.Yours && !(owned[i] && settled) {
			r.tending.took(came[i])
		}
		if q.Yours && !owned[i] || owned[i] && !settled {
			poke(r.changed)
		}
	}
	return codes, newer, err
}
