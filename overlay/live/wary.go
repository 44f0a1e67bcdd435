package live

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith/overlay/kbr"
)

const (
	trails      = 4                // of a wary search; see kbr.Host
	waryTime    = 30 * time.Second // for one: a trail asks one after the other, and some are gone
	aroundEvery = 10 * time.Minute // between two looks of a client at who is around its gates
	maxAround   = 8                // gates that it asks then
)

// around is how a client, which has no neighbours, knows how close to each other nodes are: as those around one of its gates.
type around struct {
	at    time.Time  // when it looked
	asked int        // how many gates it asked
	nodes []kbr.Node // that are around the gate
	reach kbr.ID     // how far from it they are
}

// Reach implements kbr.Guard.
func (d desk) Reach(n int) kbr.ID {
	a := &d.l.around
	switch {
	case d.l.server:
		return d.Guard.Reach(n)
	case len(a.nodes) == 0:
		return kbr.ID{}.Sub(kbr.Power(0)) // nobody is near enough to be believed
	}
	return a.reach.Scale(uint32(n), uint32(len(a.nodes)))
}

// Beside implements kbr.Guard. A client's trails all aim at the key.
func (d desk) Beside(key kbr.ID, i int) kbr.ID {
	if d.l.server {
		return d.Guard.Beside(key, i)
	}
	return key
}

// Replicas implements kbr.Engine. A client has those around its gate, of whom only the number counts.
func (d desk) Replicas(r int, dst []kbr.Node) []kbr.Node {
	if d.l.server {
		return d.Guard.Replicas(r, dst)
	}
	return append(dst, d.l.around.nodes[:min(r, len(d.l.around.nodes))]...)
}

// lookAround has a client find out, now and then, how close to each other nodes are: its gates say who is around them, and the one in the middle counts, which liars among
// them move only when they are many.
func (r *Router) lookAround(ctx context.Context) error {
	r.looking.Lock()
	defer r.looking.Unlock()
	var gates []peer.ID
	err := r.do(ctx, func() {
		if r.server {
			return
		}
		list := r.gates()
		list = list[:min(maxAround, len(list))]
		if r.now().Sub(r.around.at) < aroundEvery && len(list) <= r.around.asked {
			return
		}
		r.around.at, r.around.asked = r.now(), len(list)
		for _, n := range list {
			gates = append(gates, r.peers.id(n))
		}
	})
	if err != nil || len(gates) == 0 {
		return err
	}
	answers := make([]answer, len(gates))
	var work sync.WaitGroup
	for i, p := range gates {
		work.Go(func() { answers[i], _ = r.request(ctx, p, &question{What: near}) }) // who is silent names nobody
	}
	work.Wait()
	return r.do(ctx, func() {
		var all []around
		for i, p := range gates {
			a := around{at: r.around.at, asked: len(gates)}
			for j := range answers[i].Nodes {
				if n := r.named(&answers[i].Nodes[j], p); n != kbr.None && r.peers.id(n) != p {
					a.nodes = append(a.nodes, n)
					if far := r.engine.Distance(placeOf(p), true, n); a.reach.Less(far) {
						a.reach = far
					}
				}
			}
			if len(a.nodes) > 0 {
				all = append(all, a)
			}
		}
		if len(all) > 0 && !r.server {
			apart := func(a around) kbr.ID { return a.reach.Scale(1, uint32(len(a.nodes))) }
			slices.SortFunc(all, func(a, b around) int { return apart(a).Compare(apart(b)) })
			r.around = all[len(all)/2]
		}
	})
}

// keepersOf returns who is to be given what stands at a place, the nearest first, this node among them if it is one: all that have answered a wary search, which may be
// more than copies, since some may crowd there who keep nothing. Where that takes too long they are those whom a plain one finds.
func (r *Router) keepersOf(ctx context.Context, key kbr.ID) ([]peer.ID, error) {
	ids, err := r.warily(ctx, key)
	if err == nil || ctx.Err() != nil || errors.Is(err, errClosed) {
		return ids, err
	}
	return r.plainly(ctx, key)
}

// plainly returns who keeps what stands at a place, by a plain search.
func (r *Router) plainly(ctx context.Context, key kbr.ID) ([]peer.ID, error) {
	near, err := r.replicasOf(ctx, key)
	return near.ids[:min(copies, len(near.ids))], err
}

// warily returns who has answered a wary search for a place, the nearest first.
func (r *Router) warily(ctx context.Context, key kbr.ID) ([]peer.ID, error) {
	e, err := r.nearest(ctx, key, true, nil)
	if err != nil {
		return nil, err
	}
	ids := e.ids[:e.heard]
	err = r.do(ctx, func() { r.sort(key, ids) })
	return ids, err
}

// judge says of a plain search for a place whether those it found can be those whose it is, and whether this node knows anybody else.
func (l *loop) judge(key kbr.ID, found []peer.ID) (plausible, more bool) {
	nodes := make([]kbr.Node, 0, len(found))
	for _, p := range found {
		if n := l.number(p, found[0]); n != kbr.None {
			nodes = append(nodes, n)
		}
	}
	known := l.neighbours()
	for _, n := range l.around.nodes {
		known = append(known, l.peers.id(n))
	}
	more = slices.ContainsFunc(known, func(p peer.ID) bool { return !slices.Contains(found, p) })
	return kbr.Plausible(desk{l.engine, l}, key, nodes), more
}
