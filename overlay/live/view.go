package live

import (
	"context"
	"fmt"
	"iter"
	"maps"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/overlay"
	"kith/overlay/kbr"
)

// maxSteps is how many steps of a search wait to be read; it does not wait for who is slower, and loses them. One that asks all whom it may, as often as it may, has fewer.
const maxSteps = 1024

var _ overlay.Viewer = (*Router)(nil)

// Place implements overlay.Viewer.
func (r *Router) Place(key []byte) []byte {
	b := place(key).Bytes()
	return b[:]
}

// Entries implements overlay.Viewer.
func (r *Router) Entries(ctx context.Context) (list []overlay.Entry, err error) {
	err = r.do(ctx, func() {
		if !r.server {
			for i, n := range r.gates() {
				list = append(list, overlay.Entry{Part: overlay.Gate, Index: i + 1, Peer: r.peers.id(n)})
			}
			return
		}
		for _, e := range r.engine.Entries(nil) {
			if id := r.peers.id(e.Node); id != "" {
				list = append(list, overlay.Entry{Part: overlay.Part(e.Part), Index: e.Index, Peer: id, RTT: ofTicks(e.RTT), Silent: e.Silent})
			}
		}
	})
	return list, kinded(err)
}

// Search implements overlay.Viewer.
func (r *Router) Search(ctx context.Context, t overlay.Target) iter.Seq2[overlay.Step, error] {
	return func(yield func(overlay.Step, error) bool) {
		key := place(t.Key)
		if t.Key == nil {
			if len(t.Place) != kbr.Bits/8 {
				yield(overlay.Step{}, fmt.Errorf("live: search: a place of %d bytes, not %d: %w", len(t.Place), kbr.Bits/8, kith.Invalid))
				return
			}
			key = kbr.FromBytes([kbr.Bits / 8]byte(t.Place))
		}
		ctx, cancel := context.WithCancel(ctx)
		r.ready(ctx)
		began, steps, ended := r.now(), make(chan overlay.Step, maxSteps), make(chan struct{})
		see := func(s overlay.Step) {
			s.After = r.now().Sub(began)
			select {
			case steps <- s:
			default:
			}
		}
		var err error
		go func() {
			defer close(ended)
			var e end
			if e, err = r.nearest(ctx, key, false, see); err == nil {
				see(overlay.Step{What: overlay.Ends, Names: e.ids})
			}
		}()
		defer func() { <-ended }()
		defer cancel() // first
		for over := (<-chan struct{})(ended); over != nil || len(steps) > 0; {
			select {
			case s := <-steps:
				if !yield(s, nil) {
					return
				}
			case <-over:
				over = nil
			}
		}
		if err != nil {
			yield(overlay.Step{}, kinded(err))
		}
	}
}

// A tracer tells what happens in a search.
type tracer struct {
	of  kbr.Tag // as the search of a user
	see func(overlay.Step)
}

// trace has a search told of that has just begun, whose first questions are not asked yet.
func (l *loop) trace(key kbr.ID, of kbr.Tag, see func(overlay.Step)) {
	m := kbr.Message{Kind: kbr.Find, Key: key, Flags: kbr.AtHome}
	desk{l.engine, l}.Route(&m)
	see(overlay.Step{What: overlay.Begins, Mine: m.Flags&kbr.Mine != 0, Names: l.told(&m)})
	for _, a := range l.out.Acts {
		if a.Do == kbr.Ask {
			l.traced[a.Tag] = tracer{of, see}
			return
		}
	}
}

// untrace tells no more of a search.
func (l *loop) untrace(of kbr.Tag) {
	maps.DeleteFunc(l.traced, func(_ kbr.Tag, t tracer) bool { return t.of == of })
}

// asks tells of a question, if it is one of a search that is told of.
func (l *loop) asks(a *kbr.Act) {
	if t, ok := l.traced[a.Tag]; ok {
		t.see(overlay.Step{What: overlay.Asks, Peer: l.peers.id(a.To)})
	}
}

// hears tells what came of one.
func (l *loop) hears(ev *kbr.Event) {
	t, ok := l.traced[ev.Tag]
	if !ok {
		return
	}
	s := overlay.Step{Peer: l.peers.id(ev.From), Took: ofTicks(ev.Took)}
	switch ev.What {
	case kbr.Answer:
		s.What, s.Mine, s.Names = overlay.Answers, ev.Msg.Flags&kbr.Mine != 0, l.told(ev.Msg)
	case kbr.Failed:
		s.What = overlay.Silent
	case kbr.Late:
		s.What = overlay.Late
	default:
		return
	}
	t.see(s)
}

// told returns the peers that a message names.
func (l *loop) told(m *kbr.Message) (ids []peer.ID) {
	for _, n := range m.Told() {
		if id := l.peers.id(n); id != "" {
			ids = append(ids, id)
		}
	}
	return ids
}
