package live

import (
	"context"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"

	"kith"
)

// How much this node asks of one peer: somewhat less than a node answers, since the two clocks and what is on its way are not the same.
const (
	askSecond = perSecond * 4 / 5
	askBurst  = burst * 4 / 5
	askAtOnce = peerStream * 3 / 4
)

// A pace lets questions to a peer wait that it would refuse, as it refuses who asks too much: who is refused takes the peer for gone.
type pace struct {
	mu sync.Mutex
	to map[peer.ID]*turn
}

// turn is what a peer is being asked.
type turn struct {
	rate *rate.Limiter
	room chan struct{} // full of what is on its way
	n    int           // who waits, or has been let go on
}

// wait waits until a peer can be asked one thing more; done is to be called when it has answered.
func (p *pace) wait(ctx context.Context, id peer.ID) (done func(), err error) {
	p.mu.Lock()
	t := p.to[id]
	if t == nil {
		if p.to == nil {
			p.to = map[peer.ID]*turn{}
		}
		if len(p.to) >= maxRates {
			for id, o := range p.to { // whoever was not asked for some time can be asked as if for the first time
				if o.n == 0 && o.rate.Tokens() >= askBurst {
					delete(p.to, id)
				}
			}
		}
		t = &turn{rate: rate.NewLimiter(askSecond, askBurst), room: make(chan struct{}, askAtOnce)}
		p.to[id] = t
	}
	t.n++
	p.mu.Unlock()
	leave := func() {
		p.mu.Lock()
		t.n--
		p.mu.Unlock()
	}
	if err := t.rate.Wait(ctx); err != nil {
		leave()
		return nil, err
	}
	slow := time.NewTimer(dialTime) // so many questions that are not answered are a peer that does not answer
	defer slow.Stop()
	select {
	case t.room <- struct{}{}:
		return sync.OnceFunc(func() { <-t.room; leave() }), nil
	case <-slow.C:
		err = kith.Unavailable
	case <-ctx.Done():
		err = ctx.Err()
	}
	leave()
	return nil, err
}

// paced is a stream that ends a turn with itself.
type paced struct {
	network.Stream
	done func()
}

// Close implements network.Stream.
func (s paced) Close() error {
	defer s.done()
	return s.Stream.Close()
}

// Reset implements network.Stream.
func (s paced) Reset() error {
	defer s.done()
	return s.Stream.Reset()
}
