package live

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith/overlay/kbr"
)

const (
	settleTime = 300 * time.Millisecond // after a change, for others to happen too
	tendEvery  = time.Hour              // without any
	tendPause  = 10                     // times as long as it took, before the next time
	tendRetry  = 5 * time.Second        // when something could not be handed on
	restless   = 2 * time.Minute        // after a change, in which what is put here may not have been put to all others
	batch      = 32                     // keys that are looked up together
	maxBatch   = 96 << 10               // bytes of what is put in one go
	workers    = 4
)

// tending is what the node knows of where the items stand that it keeps.
type tending struct {
	mu     sync.Mutex
	astray map[kbr.ID]bool // taken in as the first one that keeps them
	moved  time.Time       // when the neighbours last changed

	mine  map[kbr.ID]bool  // that were this node's own when it last looked; of the goroutine that tends alone
	given map[peer.ID]bool // who has been given all of these
}

// took notes that somebody holds this node for the first that keeps an item.
func (t *tending) took(at kbr.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.astray == nil || len(t.astray) > maxItems*maxItems { // enough to look at all
		t.astray = map[kbr.ID]bool{}
	}
	t.astray[at] = true
}

// unsettled notes that the neighbours have changed.
func (t *tending) unsettled(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.moved = now
}

// settled reports whether the neighbours have been the same for some time: whoever puts something then puts it where it belongs.
func (t *tending) settled(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return now.Sub(t.moved) > restless
}

// tend looks after what is kept, whenever the neighbours change and now and then.
func (r *Router) tend() {
	for {
		wait := time.NewTimer(tendEvery)
		all := false
		select {
		case <-r.ctx.Done():
			wait.Stop()
			return
		case <-r.changed:
		case <-wait.C:
			all = true
		}
		wait.Reset(settleTime)
		select {
		case <-r.ctx.Done():
			return
		case <-wait.C:
		}
		select {
		case <-r.changed: // what came meanwhile
		default:
		}
		began := time.Now()
		if err := r.handOver(r.ctx, all); err != nil && r.ctx.Err() == nil {
			r.log.Warn("what is kept was not handed on", "err", err)
		}
		wait.Reset(min(tendPause*time.Since(began), tendEvery)) // who keeps much looks through it more rarely
		select {
		case <-r.ctx.Done():
			return
		case <-wait.C:
		}
	}
}

// handOver gives what is this node's to those who are to keep copies and have none yet, and what is no longer, or never was, to those whose it is. With all it
// looks at a part of what else is kept, too.
func (r *Router) handOver(ctx context.Context, all bool) error {
	t := &r.tending
	t.mu.Lock()
	astray := t.astray
	t.astray = nil
	t.mu.Unlock()
	var view, known []peer.ID
	if err := r.do(ctx, func() { view, known = slices.Clone(r.view), r.neighbours() }); err != nil {
		return err
	}
	view = slices.DeleteFunc(view, func(p peer.ID) bool { return p == r.host.ID() })
	fresh := slices.DeleteFunc(slices.Clone(known), func(p peer.ID) bool { return t.given[p] })
	mine := map[kbr.ID]bool{}
	send := map[peer.ID][]item{}
	var lost []item
	failed := map[peer.ID]bool{}
	flush := func(min int) {
		for p, items := range send {
			if len(items) >= min {
				if len(r.give(ctx, p, items, false)) < len(items) {
					failed[p] = true
				}
				delete(send, p)
			}
		}
		if len(lost) >= min {
			for i, arrived := range r.deliver(ctx, lost, r.plainly) {
				if !arrived {
					t.took(place(lost[i].Key))
					failed[r.host.ID()] = true
				}
			}
			lost = nil
		}
	}
	err := r.eachOwned(ctx, fresh, func(it item, owned bool, nearer []peer.ID) {
		at := place(it.Key)
		switch {
		case owned:
			mine[at] = true
			for _, p := range view {
				if !t.given[p] || !t.mine[at] {
					send[p] = append(send[p], it)
				}
			}
		case t.mine[at], astray[at], all && draw()%copies == 0:
			lost = append(lost, it)
		default: // whoever is nearer to the key than this node, and new, is to keep it too
			for _, p := range nearer {
				send[p] = append(send[p], it)
			}
		}
		flush(batch)
	})
	flush(1)
	t.mine, t.given = mine, map[peer.ID]bool{}
	for _, p := range append(view, known...) {
		t.given[p] = !failed[p]
	}
	if len(failed) > 0 {
		time.AfterFunc(tendRetry, func() { poke(r.changed) })
	}
	return err
}

// eachOwned hands over all items, whether each is this node's own, and which of some peers are nearer to its key than this node.
func (r *Router) eachOwned(ctx context.Context, of []peer.ID, see func(it item, owned bool, nearer []peer.ID)) error {
	var some []item
	var err error
	judge := func() {
		owned, near := make([]bool, len(some)), make([][]peer.ID, len(some))
		if err = r.do(ctx, func() {
			for i := range some {
				at := place(some[i].Key)
				if owned[i] = r.owns(at); !owned[i] {
					near[i] = r.nearer(at, of)
				}
			}
		}); err != nil {
			return
		}
		for i := range some {
			see(some[i], owned[i], near[i])
		}
		some = some[:0]
	}
	if e := r.store.each(ctx, func(it item) bool {
		if some = append(some, it); len(some) == batch {
			judge()
		}
		return err == nil
	}); e != nil {
		return e
	}
	judge()
	return err
}

// owns reports whether a key is this node's own.
func (l *loop) owns(key kbr.ID) bool {
	m := kbr.Message{Kind: kbr.Find, Key: key, Flags: kbr.AtHome}
	l.engine.Route(&m)
	return l.server && m.Flags&kbr.Mine != 0
}

// nearer returns those of some peers that are nearer to a key than this node.
func (l *loop) nearer(key kbr.ID, of []peer.ID) (list []peer.ID) {
	if !l.server {
		return nil
	}
	own := l.engine.Distance(key, true, self1)
	for _, p := range of {
		if n, ok := l.peers.numbers[p]; ok && l.engine.Distance(key, true, n).Less(own) {
			list = append(list, p)
		}
	}
	return list
}

// deliver gives items to those who are to keep them, as to says. It returns which have arrived somewhere else than here.
func (r *Router) deliver(ctx context.Context, items []item, to func(context.Context, kbr.ID) ([]peer.ID, error)) (arrived []bool) {
	arrived = make([]bool, len(items))
	var mu sync.Mutex
	loads := map[peer.ID][2][]int{} // by peer: those of which it is the first, and others
	var work sync.WaitGroup
	next := make(chan int)
	for range min(workers, len(items)) {
		work.Go(func() {
			for i := range next {
				ids, err := to(ctx, place(items[i].Key))
				if err != nil {
					continue
				}
				mu.Lock()
				for j, p := range ids {
					if p != r.host.ID() {
						l := loads[p]
						l[min(j, 1)] = append(l[min(j, 1)], i)
						loads[p] = l
					}
				}
				mu.Unlock()
			}
		})
	}
	for i := range items {
		next <- i
	}
	close(next)
	work.Wait()
	room := make(chan struct{}, workers)
	for p, l := range loads {
		for j, which := range l {
			room <- struct{}{}
			work.Go(func() {
				defer func() { <-room }()
				var some []item
				for _, i := range which {
					some = append(some, items[i])
				}
				codes := r.give(ctx, p, some, j == 0)
				mu.Lock()
				defer mu.Unlock()
				for k, i := range which {
					if k < len(codes) && codes[k] != wrong && codes[k] != full {
						arrived[i] = true
					}
				}
			})
		}
	}
	work.Wait()
	return arrived
}

// give puts items at a peer, and returns what came of them as far as it has said. What is newer there is kept here too.
func (r *Router) give(ctx context.Context, p peer.ID, items []item, yours bool) (codes []uint8) {
	for len(items) > 0 {
		n, size := 0, 0
		for n < len(items) && n < maxItems && (n == 0 || size+len(items[n].Key)+len(items[n].Data) < maxBatch) {
			size += len(items[n].Key) + len(items[n].Data)
			n++
		}
		a, err := r.request(ctx, p, &question{What: puts, Items: items[:n], Yours: yours})
		if err != nil || len(a.Codes) != n {
			return codes
		}
		for _, better := range a.Items {
			if better.Space == values {
				r.store.put(ctx, better, p, r.region(p))
			}
		}
		codes = append(codes, a.Codes...)
		items = items[n:]
	}
	return codes
}

// announcer announces what is provided, whenever it is time to and there is somebody.
func (r *Router) announcer() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-r.due:
		case <-timer.C:
		}
		select {
		case <-r.joined:
		default:
			continue // it is told when somebody is there
		}
		keys, wait := r.own.next(r.now(), batch)
		if len(keys) > 0 {
			wait = 0
			if done := r.announceAll(r.ctx, keys); len(done) > 0 {
				if err := r.own.done(r.ctx, done, r.now()); err != nil && r.ctx.Err() == nil {
					r.log.Warn("what was announced is not noted", "err", err)
				}
			}
		}
		timer.Reset(wait)
	}
}

// announceAll announces keys, and returns those that somebody else keeps now.
func (r *Router) announceAll(ctx context.Context, keys []string) (done []string) {
	items := make([]item, 0, len(keys))
	for _, key := range keys {
		if it, err := r.announceHere(ctx, []byte(key)); err == nil {
			items = append(items, it)
		}
	}
	for i, ok := range r.deliver(ctx, items, r.keepersOf) {
		if ok {
			done = append(done, string(items[i].Key))
		}
	}
	return done
}
