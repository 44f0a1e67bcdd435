package kaddht

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	dht "github.com/libp2p/go-libp2p-kad-dht"
	kbucket "github.com/libp2p/go-libp2p-kbucket"
	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/overlay"
)

// Bounds of a search that is looked at.
const (
	findTime = time.Minute
	maxNames = 32   // peers that a step names
	maxSteps = 1024 // that wait to be read; who is slower loses them
)

var _ overlay.Viewer = (*Router)(nil)

// Place implements overlay.Viewer.
func (r *Router) Place(key []byte) []byte { return kbucket.ConvertKey(string(key)) }

// Entries implements overlay.Viewer.
func (r *Router) Entries(context.Context) (list []overlay.Entry, err error) {
	self := kbucket.ConvertPeerID(r.dht.PeerID())
	for _, p := range r.dht.RoutingTable().GetPeerInfos() {
		list = append(list, overlay.Entry{Part: overlay.Bucket, Index: kbucket.CommonPrefixLen(self, kbucket.ConvertPeerID(p.Id)), Peer: p.Id})
	}
	slices.SortStableFunc(list, func(a, b overlay.Entry) int { return cmp.Compare(a.Index, b.Index) })
	return list, nil
}

// Search implements overlay.Viewer.
func (r *Router) Search(ctx context.Context, t overlay.Target) iter.Seq2[overlay.Step, error] {
	return func(yield func(overlay.Step, error) bool) {
		if len(t.Key) == 0 {
			yield(overlay.Step{}, fmt.Errorf("kaddht: search: a place of which no key is known: %w", kith.Invalid))
			return
		}
		r.ready(ctx)
		ctx, cancel := context.WithTimeout(ctx, findTime)
		heard, events := dht.RegisterForLookupEvents(ctx)
		var ids []peer.ID
		var err error
		found := make(chan struct{})
		go func() {
			defer cancel() // which closes events
			defer close(found)
			ids, err = r.dht.GetClosestPeers(heard, string(t.Key))
		}()
		w := watch{self: r.dht.PeerID(), began: time.Now(), asked: map[peer.ID]time.Time{}}
		steps := make(chan overlay.Step, maxSteps)
		go func() { // at once, whoever reads the steps
			defer close(steps)
			for ev := range events {
				for _, s := range w.steps(ev) {
					select {
					case steps <- s:
					default:
					}
				}
			}
			<-found
		}()
		defer func() {
			cancel()
			for range steps {
			}
		}()
		for s := range steps {
			if !yield(s, nil) {
				return
			}
		}
		if err != nil {
			yield(overlay.Step{}, kinded(err))
			return
		}
		yield(w.step(overlay.Step{What: overlay.Ends, Names: ids[:min(len(ids), maxNames)]}), nil)
	}
}

// A watch makes steps of what the library tells of a search.
type watch struct {
	self  peer.ID
	began time.Time
	asked map[peer.ID]time.Time
}

func (w *watch) step(s overlay.Step) overlay.Step {
	s.After = time.Since(w.began)
	return s
}

func (w *watch) steps(ev *dht.LookupEvent) (out []overlay.Step) {
	switch {
	case ev.Request != nil:
		for _, p := range ev.Request.Waiting {
			w.asked[p.Peer] = time.Now()
			out = append(out, w.step(overlay.Step{What: overlay.Asks, Peer: p.Peer}))
		}
	case ev.Response != nil:
		s := overlay.Step{What: overlay.Begins}
		for _, p := range ev.Response.Heard[:min(len(ev.Response.Heard), maxNames)] {
			s.Names = append(s.Names, p.Peer)
		}
		if by := ev.Response.Cause; by != nil && by.Peer != w.self {
			s.What, s.Peer, s.Took = overlay.Answers, by.Peer, time.Since(w.asked[by.Peer])
			if len(ev.Response.Unreachable) > 0 {
				s.What = overlay.Silent
			}
		}
		out = append(out, w.step(s))
	}
	return out
}
