// Package flight has each block asked for by one at a time, however many want it.
//
// It does not know whom a block comes from. Its one idea: who wants what somebody else is bringing waits for that, and what has come lately is not asked for again.
package flight

import (
	"context"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
)

// What has come lately is kept.
const (
	maxRecent = 16 << 20    // bytes
	keepFor   = time.Minute // after the last of them, or an idle node would hold them for ever
)

// A Group is the blocks that are being asked for, and those that have come lately. Its zero value is ready. A block of which two stretches of a file have a part is wanted twice, soon one after the other; but a peer that is
// asked for what it has just sent, and has not noted as sent yet, takes the question for the one that it has answered, and says nothing. So a block is asked for by one at a time, and
// what has come is not asked for again.
type Group struct {
	mu     sync.Mutex
	under  map[cid.Cid]chan struct{} // closed when it is over
	recent map[cid.Cid][]byte
	order  []cid.Cid // of recent, the oldest first
	bytes  int
	idle   *time.Timer // forgets them; nil: there was none yet
}

// A block that was claimed from a Group is there already, or to be asked for by who claimed it, or asked for by somebody else.
type claim struct {
	there  []cid.Cid
	data   [][]byte
	mine   []cid.Cid
	others []cid.Cid
	over   <-chan struct{} // closed when the first of the others is no longer asked for
}

func (f *Group) claim(list []cid.Cid) (c claim) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.under == nil {
		f.under, f.recent = map[cid.Cid]chan struct{}{}, map[cid.Cid][]byte{}
	}
	for _, id := range list {
		data, there := f.recent[id]
		flight := f.under[id]
		switch {
		case there:
			c.there, c.data = append(c.there, id), append(c.data, data)
		case flight == nil:
			f.under[id] = make(chan struct{})
			c.mine = append(c.mine, id)
		default:
			if c.others = append(c.others, id); c.over == nil {
				c.over = flight
			}
		}
	}
	return c
}

// came keeps a block for a while. Nobody changes data.
func (f *Group) came(id cid.Cid, data []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, there := f.recent[id]; there || len(data) > maxRecent {
		return
	}
	if f.idle == nil {
		f.idle = time.AfterFunc(keepFor, f.forget)
	} else {
		f.idle.Reset(keepFor)
	}
	f.recent[id], f.order, f.bytes = data, append(f.order, id), f.bytes+len(data)
	for f.bytes > maxRecent {
		f.bytes -= len(f.recent[f.order[0]])
		delete(f.recent, f.order[0])
		f.order = f.order[1:]
	}
}

// forget drops what has come.
func (f *Group) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.recent)
	f.order, f.bytes = nil, 0
}

// release says that blocks of a claim are asked for no more.
func (f *Group) release(list []cid.Cid) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range list {
		close(f.under[id])
		delete(f.under, id)
	}
}

// Each brings blocks: got is called for each, and run for those that nobody else asks for meanwhile, in as many parts as it takes; what run brings it tells got. Nobody waits while he holds a claim, so
// that nobody waits for ever.
func (f *Group) Each(ctx context.Context, list []cid.Cid, got func(cid.Cid, []byte) error, run func([]cid.Cid, func(cid.Cid, []byte) error) error) error {
	for len(list) > 0 {
		c := f.claim(list)
		for i, id := range c.there {
			if err := got(id, c.data[i]); err != nil {
				f.release(c.mine)
				return err
			}
		}
		switch {
		case len(c.mine) > 0:
			err := run(c.mine, func(id cid.Cid, data []byte) error {
				f.came(id, data)
				return got(id, data)
			})
			f.release(c.mine)
			if err != nil {
				return err
			}
		case len(c.others) > 0:
			select {
			case <-c.over:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		list = c.others
	}
	return nil
}
