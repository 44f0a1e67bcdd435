package talk

import (
	"context"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith/search/sets"
)

// maxNews is how much new is kept to be told; beyond it comparing will bring it.
const maxNews = 4096

// News is what is to be told to others. Its methods may be called at once.
type News struct {
	mu   sync.Mutex
	list Batch
	rung chan struct{} // cap 1
}

// NewNews returns News of which there are none.
func NewNews() *News { return &News{rung: make(chan struct{}, 1)} }

// A Batch is what is told together, and who has told each.
type Batch []offer

type offer struct {
	id   sets.ID
	from peer.ID
}

// Add takes in what a peer has told, or this node itself.
func (n *News) Add(from peer.ID, ids ...sets.ID) {
	if len(ids) == 0 {
		return
	}
	n.mu.Lock()
	for _, id := range ids[:min(len(ids), maxNews-len(n.list))] {
		n.list = append(n.list, offer{id, from})
	}
	n.mu.Unlock()
	select {
	case n.rung <- struct{}{}:
	default:
	}
}

// Rung returns a channel that says that there is something to tell.
func (n *News) Rung() <-chan struct{} { return n.rung }

// Take returns all that is to be told, once.
func (n *News) Take() Batch {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := n.list
	n.list = nil
	return list
}

// For returns what a peer is to be told: all but what it has told itself.
func (b Batch) For(p peer.ID) (ids []sets.ID) {
	for _, o := range b {
		if o.from != p {
			ids = append(ids, o.id)
		}
	}
	return ids
}

// Meetings are with whom this node compares what it keeps. Their methods may be called at once.
type Meetings struct {
	me   peer.ID
	came chan peer.ID

	mu  sync.Mutex
	now map[peer.ID]bool
}

// NewMeetings returns the Meetings of a device.
func NewMeetings(me peer.ID) *Meetings {
	return &Meetings{me: me, came: make(chan peer.ID, 64), now: map[peer.ID]bool{}}
}

// Met says that a peer is connected now. Of two that meet one begins.
func (m *Meetings) Met(p peer.ID) {
	if p >= m.me {
		m.Want(p)
	}
}

// Want says that a peer is to be compared with; when too many are, it is later.
func (m *Meetings) Want(p peer.ID) {
	select {
	case m.came <- p:
	default:
	}
}

// Came returns those that are to be compared with.
func (m *Meetings) Came() <-chan peer.ID { return m.came }

// Begin reports whether none goes on with a peer; if so one does until end is called.
func (m *Meetings) Begin(p peer.ID) (end func(), ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.now[p] {
		return nil, false
	}
	m.now[p] = true
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.now, p)
	}, true
}

// Few returns what does something with a peer beside others, with at most so many at once, until ctx ends.
func Few(ctx context.Context, wg *sync.WaitGroup, most int, do func(context.Context, peer.ID)) func(peer.ID) {
	places := make(chan struct{}, most)
	return func(p peer.ID) {
		wg.Go(func() {
			select {
			case places <- struct{}{}:
				defer func() { <-places }()
				do(ctx, p)
			case <-ctx.Done():
			}
		})
	}
}
