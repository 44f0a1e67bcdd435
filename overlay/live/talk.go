package live

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"

	"kith/network/told"
	"kith/overlay/kbr"
	"kith/wire"
)

// What peers may ask of a node.
const (
	answerTime = 10 * time.Second // for a question to come and to be answered
	maxStreams = 256              // at once
	peerStream = 32               // of one peer
	perSecond  = 50               // questions of one peer, and
	burst      = 300              // so many at once
	maxRates   = 4096             // peers whose questions are counted
)

// lastTry is the try of a question after which there is no other.
const lastTry = 1 << 7

// info returns a peer with the addresses that others are told.
func (r *Router) info(p peer.ID) peer.AddrInfo {
	if p == r.host.ID() {
		return peer.AddrInfo{ID: p, Addrs: told.Of(r.host.Addrs())}
	}
	return peer.AddrInfo{ID: p, Addrs: told.Of(r.host.Peerstore().Addrs(p))}
}

// ask asks a peer for the engine.
func (l *loop) ask(a kbr.Act) {
	p, life := l.peers.id(a.To), l.life
	fail := func(try uint8) {
		if life == l.life {
			l.step(kbr.Event{What: kbr.Failed, From: a.To, Tag: a.Tag, Try: try, Msg: &a.Msg})
		}
	}
	if p == "" || a.To == self1 {
		l.after(0, func() { fail(a.Try) })
		return
	}
	k := &l.peers.list[a.To]
	k.flying++
	k.heard = l.r.now()
	q := question{What: asks, Talk: l.words(&a.Msg)}
	wait := max(ofTicks(a.Wait), l.r.leastWait<<min(a.Try, 3))
	l.queued = append(l.queued, func() {
		if life != l.life { // who asked is no more
			l.landed(a.To)
			return
		}
		l.r.work.Go(func() { l.r.askFor(l, a, p, q, wait, life, fail) })
	})
	l.launch()
}

// launch sends questions on their way, as many as may be. That others have to wait is no fault of who is to be asked.
func (l *loop) launch() {
	for len(l.queued) > 0 && l.flying < maxFlying {
		next := l.queued[0]
		l.queued[0] = nil
		l.queued = l.queued[1:]
		l.flying++
		next()
	}
}

// landed hears that a question to a peer, or a notice to nobody in particular, is no longer on its way.
func (l *loop) landed(to kbr.Node) {
	l.flying--
	if to != kbr.None {
		l.peers.list[to].flying--
	}
}

// askFor waits for the answer to a question of the engine. A peer that is silent has failed after wait, and is listened to for longer, since how long it takes is worth
// knowing. One that could not be dialled has had as long as those that are asked more than once.
func (r *Router) askFor(l *loop, a kbr.Act, p peer.ID, q question, wait time.Duration, life int, fail func(try uint8)) {
	var failed atomic.Bool
	try := a.Try
	var ans answer
	var took time.Duration
	s, err := r.open(r.ctx, p)
	if err == nil {
		began := r.now()
		patience := time.AfterFunc(wait, func() {
			if failed.CompareAndSwap(false, true) {
				r.post(func() { fail(try) })
			}
		})
		ans, err = r.exchange(s, &q, max(wait, lateTime))
		patience.Stop()
		took = r.now().Sub(began)
	} else {
		try = lastTry
	}
	first := failed.CompareAndSwap(false, true)
	r.post(func() {
		l.landed(a.To)
		defer l.launch()
		switch {
		case err != nil || ans.Talk == nil:
			if first {
				fail(try)
			}
		case life != l.life:
		default:
			l.spoken(l.number(p, ""), ans.Talk, a.Msg.Flags)
			ev := kbr.Event{What: kbr.Answer, From: a.To, Tag: a.Tag, Took: toTicks(max(took, time.Microsecond)), Try: a.Try, Msg: l.understand(ans.Talk, p)}
			if !first {
				ev.What = kbr.Late
			}
			l.step(ev)
		}
	})
}

// tell tells a peer something for the engine.
func (l *loop) tell(a *kbr.Act) {
	p := l.peers.id(a.To)
	if p == "" || a.To == self1 || l.flying >= maxFlying {
		return
	}
	l.flying++
	q := question{What: tells, Talk: l.words(&a.Msg)}
	l.r.work.Go(func() {
		ctx, cancel := context.WithTimeout(l.r.ctx, dialTime)
		defer cancel()
		l.r.send(ctx, p, &q)
		l.r.post(func() {
			l.landed(kbr.None)
			l.launch()
		})
	})
}

// open opens a stream to a peer, which has to be reached directly, when it is time to ask it.
func (r *Router) open(ctx context.Context, p peer.ID) (network.Stream, error) {
	done, err := r.pace.wait(ctx, p)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	s, err := r.host.NewStream(ctx, p, r.protocol)
	if err != nil {
		done()
		return nil, err
	}
	return paced{s, done}, nil
}

// exchange asks a question on a stream and reads the answer.
func (r *Router) exchange(s network.Stream, q *question, limit time.Duration) (a answer, err error) {
	defer s.Close()
	s.SetDeadline(time.Now().Add(limit))
	if err = wire.WriteMsg(s, q); err == nil {
		err = s.CloseWrite()
	}
	if err == nil {
		a, err = readAnswer(s)
	}
	if err != nil {
		s.Reset()
	}
	return a, err
}

// request asks a peer something that is not the engine's, and ends with ctx.
func (r *Router) request(ctx context.Context, p peer.ID, q *question) (a answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	s, err := r.open(ctx, p)
	if err != nil {
		return a, err
	}
	stop := context.AfterFunc(ctx, func() { s.Reset() })
	defer stop()
	return r.exchange(s, q, dialTime)
}

// send tells a peer something and waits for no answer.
func (r *Router) send(ctx context.Context, p peer.ID, q *question) {
	s, err := r.open(ctx, p)
	if err != nil {
		return
	}
	s.SetDeadline(time.Now().Add(dialTime))
	if wire.WriteMsg(s, q) != nil {
		s.Reset()
		return
	}
	s.Close()
}

// answer serves one question of a peer.
func (r *Router) answer(s network.Stream) {
	p := s.Conn().RemotePeer()
	if !r.gate.enter(p) {
		s.Reset()
		return
	}
	defer r.gate.leave(p)
	ctx, cancel := context.WithTimeout(r.ctx, answerTime)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { s.Reset() })
	defer stop()
	s.SetDeadline(time.Now().Add(answerTime))
	q, err := readQuestion(s)
	if err == nil {
		var a *answer
		if a, err = r.reply(ctx, p, &q); err == nil && a != nil {
			err = wire.WriteMsg(s, a)
		}
	}
	if err != nil {
		s.Reset()
		r.log.Debug("question not answered", "peer", p, "err", err)
		return
	}
	s.Close()
}

// reply returns the answer to a question; nil if there is none to it.
func (r *Router) reply(ctx context.Context, p peer.ID, q *question) (*answer, error) {
	a := &answer{}
	var err error
	switch q.What {
	case asks, tells:
		what := kbr.Request
		if q.What == tells {
			what = kbr.Notice
		}
		err = r.do(ctx, func() { a.Talk = r.hear(what, p, q.Talk) })
		if q.What == tells {
			return nil, err
		}
		if err == nil && a.Talk == nil {
			err = bad("a question that the overlay does not know")
		}
	case near:
		var ids []peer.ID
		err = r.do(ctx, func() { ids = r.replicas(kbr.MaxNodes) })
		for _, id := range ids {
			a.Nodes = append(a.Nodes, contactOf(r.info(id)))
		}
	case puts:
		a.Codes, a.Items, err = r.keep(ctx, p, q)
	case gets:
		a.Items, err = r.store.get(ctx, q.Space, q.Key)
	}
	return a, err
}

// hear lets the engine hear what a peer says.
func (l *loop) hear(what kbr.What, p peer.ID, t *talk) *talk {
	n := l.number(p, "")
	if n == kbr.None || n == self1 || !l.server || len(l.queued) >= maxQueued {
		return nil
	}
	l.spoken(n, t, 0)
	l.reply = nil
	l.step(kbr.Event{What: what, From: n, Msg: l.understand(t, p)})
	t, l.reply = l.reply, nil
	return t
}

// A gate lets in as many questions as a node can answer.
type gate struct {
	mu     sync.Mutex
	idle   sync.Cond // n is 0
	closed bool
	n      int
	by     map[peer.ID]*asker
}

type asker struct {
	n    int
	rate *rate.Limiter
}

func newGate() *gate {
	g := &gate{by: map[peer.ID]*asker{}}
	g.idle.L = &g.mu
	return g
}

// enter reports whether one more question of p is answered; leave is to be called when it is.
func (g *gate) enter(p peer.ID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	a := g.by[p]
	if a == nil {
		if len(g.by) >= maxRates {
			for id, b := range g.by { // whoever has not asked for some time can start anew
				if b.n == 0 && b.rate.Tokens() >= burst {
					delete(g.by, id)
				}
			}
			if len(g.by) >= maxRates {
				return false
			}
		}
		a = &asker{rate: rate.NewLimiter(perSecond, burst)}
		g.by[p] = a
	}
	if g.closed || g.n >= maxStreams || a.n >= peerStream || !a.rate.Allow() {
		return false
	}
	g.n++
	a.n++
	return true
}

func (g *gate) leave(p peer.ID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.n--
	g.by[p].n--
	if g.n == 0 {
		g.idle.Broadcast()
	}
}

// close lets nobody in any more, and waits until all have left.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for g.n > 0 {
		g.idle.Wait()
	}
}
