package network

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
)

// mobile is a host that begins anew to reach somebody when the computer moves meanwhile. Whatever dials is given it, libp2p's own parts too: one of them that went on
// waiting would hold everybody else in its attempt.
type mobile struct {
	host.Host
	dials *dials
}

// Connect implements host.Host.
func (m mobile) Connect(ctx context.Context, p peer.AddrInfo) error {
	return m.dials.try(ctx, func(ctx context.Context) error { return m.Host.Connect(ctx, p) })
}

// NewStream implements host.Host.
func (m mobile) NewStream(ctx context.Context, p peer.ID, ids ...protocol.ID) (s network.Stream, err error) {
	err = m.dials.try(ctx, func(ctx context.Context) (err error) {
		s, err = m.Host.NewStream(ctx, p, ids...)
		return err
	})
	return s, err
}

// IDService is what libp2p's parts ask a host for to learn what a peer speaks.
func (m mobile) IDService() identify.IDService {
	return m.Host.(interface{ IDService() identify.IDService }).IDService()
}

// dials are the attempts to reach somebody that run. libp2p has one attempt for all who want to reach the same peer, and does not try an address twice in it: one that was
// begun without a network, or in another, has given up what can be reached now, and who joins it waits in vain until its last address has timed out. So a move
// ends all of them, and they begin anew when all have ended.
type dials struct {
	mu  sync.Mutex
	now *dialEra
}

// A dialEra is the time between two moves.
type dialEra struct {
	ctx     context.Context
	end     context.CancelFunc
	running *sync.WaitGroup
	before  *sync.WaitGroup // attempts of the era before; nil: there was none
	from    time.Time       // when attempts may begin
}

var errMoved = errors.New("the computer has moved to another network")

// try runs attempt, and again if a move has ended it.
func (d *dials) try(ctx context.Context, attempt func(context.Context) error) error {
	for {
		err, moved := d.once(ctx, attempt)
		if !moved || ctx.Err() != nil {
			return err
		}
	}
}

func (d *dials) once(ctx context.Context, attempt func(context.Context) error) (err error, moved bool) {
	d.mu.Lock()
	if d.now == nil {
		d.now = newDialEra(nil)
	}
	era := d.now
	era.running.Add(1)
	d.mu.Unlock()
	defer era.running.Done()
	if era.before != nil { // who began while one of them still waits for libp2p's attempt would join it
		era.before.Wait()
		select {
		case <-time.After(time.Until(era.from)):
		case <-ctx.Done():
			return ctx.Err(), false
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(era.ctx, func() { cancel(errMoved) })()
	err = attempt(ctx)
	return err, err != nil && context.Cause(ctx) == errMoved
}

// newDialEra begins after an old one; nil: it is the first.
func newDialEra(old *dialEra) *dialEra {
	e := &dialEra{running: &sync.WaitGroup{}}
	if old != nil {
		e.before, e.from = old.running, time.Now().Add(leaveTime)
	}
	e.ctx, e.end = context.WithCancel(context.Background())
	return e
}

// moved ends the attempts that run, and returns when they have ended.
func (d *dials) moved() {
	d.mu.Lock()
	old := d.now
	d.now = newDialEra(old)
	d.mu.Unlock()
	if old != nil {
		old.end()
		old.running.Wait()
	}
}
