package live

import (
	"bytes"
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith/overlay/kbr"
	"kith/wire"
)

// Keeps reports whether this node itself keeps a value.
func (r *Router) Keeps(key string) bool {
	items, err := r.store.get(context.Background(), values, []byte(key))
	return err == nil && len(items) > 0
}

// Copies is how many nodes keep what stands under a key.
const Copies = copies

// Parallel is how many nodes a search asks at once.
const Parallel = parallel

// Burst is how many questions of one peer a node answers at once.
const Burst = burst

// Trails is how many trails a wary search has.
const Trails = trails

// MeetAnyway is how often a node looks whether somebody is in the same network.
const MeetAnyway = meetAnyway

// Kind returns the kind of overlay of a name, as nodes run it.
func Kind(name string, t *kbr.Table) any { return engines[name](t) }

// Place returns where a peer is.
func Place(p peer.ID) kbr.ID { return placeOf(p) }

// Announced returns the place of what a node announces of itself.
func Announced(p peer.ID) kbr.ID { return place(placeKey(p)) }

// Once searches for a place once, and says where that ended ("": nowhere), who answered and who did not, and how long it took.
func (r *Router) Once(ctx context.Context, key kbr.ID) (found peer.ID, path, timeouts int, took time.Duration, err error) {
	c := make(chan end, 1)
	if err = r.do(ctx, func() { r.find(key, false, c, nil) }); err != nil {
		return found, 0, 0, 0, err
	}
	select {
	case e := <-c:
		if len(e.ids) > 0 {
			found = e.ids[0]
		}
		return found, e.path, e.timeouts, e.took, nil
	case <-ctx.Done():
		return found, 0, 0, 0, ctx.Err()
	}
}

// Named returns how many nodes a frame names of what engines say to each other; ok is false if it is none of theirs.
func Named(frame []byte, asks bool) (nodes int, ok bool) {
	var q question
	var a answer
	into := any(&a)
	if asks {
		into = &q
	}
	if wire.ReadMsg(bytes.NewReader(frame), maxFrame, into) != nil {
		return 0, false
	}
	t := q.Talk
	if !asks {
		t = a.Talk
	}
	if t == nil {
		return 0, false
	}
	return len(t.Nodes), true
}
