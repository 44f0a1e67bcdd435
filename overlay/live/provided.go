package live

import (
	"container/heap"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/namespace"
	"github.com/ipfs/go-datastore/query"

	"kith"
)

const (
	announceEvery = 12 * time.Hour  // each key, so that what is announced is never gone before it is announced again
	announceSoon  = 2 * time.Second // after addresses have changed
	announceRetry = 30 * time.Second
	maxProvided   = 1 << 20 // keys
	maxMoved      = 500     // of which so many at most are all announced anew when addresses change; else the node's place alone
)

// moved is why keys are announced before their time.
const moved = true

// provided are the keys that this node provides, over restarts, in the order in which they are to be announced.
type provided struct {
	ds  datastore.Batching
	mu  sync.Mutex
	all map[string]*providedKey
	due dues
}

type providedKey struct {
	key    string
	due    time.Time
	index  int
	hidden bool // it is not kept over restarts
}

type dues []*providedKey

func (d dues) Len() int           { return len(d) }
func (d dues) Less(i, j int) bool { return d[i].due.Before(d[j].due) }
func (d dues) Swap(i, j int)      { d[i], d[j] = d[j], d[i]; d[i].index, d[j].index = i, j }
func (d *dues) Push(x any)        { k := x.(*providedKey); k.index = len(*d); *d = append(*d, k) }
func (d *dues) Pop() any {
	old := *d
	k := old[len(old)-1]
	*d = old[:len(old)-1]
	return k
}

// openProvided reads which keys were provided when the node last ran.
func openProvided(ctx context.Context, ds datastore.Batching, overlay string) (*provided, error) {
	p := &provided{ds: namespace.Wrap(ds, datastore.NewKey("/overlay/"+overlay+"/provided")), all: map[string]*providedKey{}}
	res, err := p.ds.Query(ctx, query.Query{})
	if err != nil {
		return nil, err
	}
	defer res.Close()
	for e := range res.Next() {
		if e.Error != nil {
			return nil, e.Error
		}
		key, err := hex.DecodeString(datastore.RawKey(e.Key).BaseNamespace())
		if err != nil || len(e.Value) != 8 {
			continue
		}
		p.set(string(key), time.Unix(int64(binary.BigEndian.Uint64(e.Value)), 0).Add(announceEvery), false)
	}
	return p, nil
}

func (p *provided) name(key string) datastore.Key {
	return datastore.NewKey(hex.EncodeToString([]byte(key)))
}

// set says when a key is to be announced. p.mu is held, or nobody else has p.
func (p *provided) set(key string, due time.Time, hidden bool) {
	k := p.all[key]
	if k == nil {
		k = &providedKey{key: key, due: due, hidden: hidden}
		p.all[key] = k
		heap.Push(&p.due, k)
		return
	}
	k.due = due
	heap.Fix(&p.due, k.index)
}

// add takes in a key, which is due now. A hidden one is not kept over restarts.
func (p *provided) add(ctx context.Context, key []byte, now time.Time, hidden bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.all) >= maxProvided && p.all[string(key)] == nil {
		return fmt.Errorf("%d keys are provided: %w", len(p.all), kith.TooLarge)
	}
	p.set(string(key), now, hidden)
	if hidden {
		return nil
	}
	return p.ds.Put(ctx, p.name(string(key)), make([]byte, 8))
}

// remove takes out a key.
func (p *provided) remove(ctx context.Context, key []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if k := p.all[string(key)]; k != nil {
		heap.Remove(&p.due, k.index)
		delete(p.all, k.key)
	}
	return p.ds.Delete(ctx, p.name(string(key)))
}

// next returns up to n keys that are to be announced now, and else how long it is until one is.
func (p *provided) next(now time.Time, n int) (keys []string, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(keys) < n && len(p.due) > 0 && !p.due[0].due.After(now) {
		k := p.due[0]
		keys = append(keys, k.key)
		k.due = now.Add(announceRetry) // unless it goes well
		heap.Fix(&p.due, 0)
	}
	if len(p.due) == 0 {
		return keys, time.Hour
	}
	return keys, max(0, p.due[0].due.Sub(now))
}

// done notes that keys were announced.
func (p *provided) done(ctx context.Context, keys []string, now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	b, err := p.ds.Batch(ctx)
	if err != nil {
		return err
	}
	for _, key := range keys {
		k := p.all[key]
		if k == nil {
			continue // it was withdrawn meanwhile
		}
		p.set(key, now.Add(announceEvery), k.hidden)
		if !k.hidden {
			err = errors.Join(err, b.Put(ctx, p.name(key), binary.BigEndian.AppendUint64(nil, uint64(now.Unix()))))
		}
	}
	return errors.Join(err, b.Commit(ctx))
}

// again has keys announced before their time: all, or, when there are many, those that are not kept over restarts, which is the node's own place.
func (p *provided) again(now time.Time, soon bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := now
	if soon {
		at = now.Add(announceSoon)
	}
	few := len(p.all) <= maxMoved
	for key, k := range p.all {
		if (few || k.hidden) && k.due.After(at) {
			p.set(key, at, k.hidden)
		}
	}
}
