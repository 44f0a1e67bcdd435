package live

import (
	"container/heap"
	"context"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"

	"kith/overlay"
	"kith/overlay/kbr"
)

const (
	leastWait  = 750 * time.Millisecond // for an answer: processes are busier than simulated nodes
	dialTime   = 5 * time.Second        // for a stream to be there
	lateTime   = 10 * time.Second       // after which an answer is not waited for any more, not even for its time
	leaveTime  = time.Second
	maxFlying  = 256             // questions and notices on their way
	maxQueued  = 1024            // questions that wait until they may be; with so many this node hears nobody, since what it hears may make it ask more
	meetEvery  = 5 * time.Second // between two looks whether a peer is of the same overlay, once some are
	meetAnyway = time.Minute     // after which a peer that was met before is looked at again
	maxMeets   = 64              // peers that wait for that
	maxGates   = 32              // peers through which a node that is not part of the overlay searches
	gateRegion = maxGates / 2    // of which one part of the internet has so many
)

// loop is what the goroutine that owns the engine has.
type loop struct {
	r      *Router
	kbr    kbr.Host
	engine knower
	peers  *peers
	rtt    kbr.RTT
	out    kbr.Outbox
	began  time.Time
	alarms alarms
	reply  *talk // of the question that is being answered
	flying int
	queued []func() // what sends questions on their way that wait for others
	server bool
	in     bool // it has met somebody
	life   int  // counts changes between server and client: what was asked before means nothing

	tag     kbr.Tag
	waiting map[kbr.Tag]chan<- end
	traced  map[kbr.Tag]tracer // by the tags of their questions

	meets  []peer.ID // that wait
	metAt  time.Time // when one of them was looked at
	meetAt time.Time // when it is looked next whether somebody is of the same overlay; zero: not at all
	tables []kbr.Node
	before []kbr.Node // what the engine knew when it was last looked
	view   []peer.ID  // who kept copies with this node when it was last looked
	around around     // of a client
}

// desk is the engine as the host has it: where it is in no network, searches begin at peers that are, and go by what these have around them.
type desk struct {
	kbr.Guard
	l *loop
}

// Route implements kbr.Engine.
func (d desk) Route(m *kbr.Message) {
	home := m.Flags&kbr.AtHome != 0
	d.Guard.Route(m)
	if m.Flags&kbr.Outside == 0 || !home {
		return
	}
	m.Flags &^= kbr.Outside
	for _, n := range d.l.gates() {
		m.Add(n)
	}
}

func (l *loop) init(self peer.ID, of func(*kbr.Table) kind, r *Router) {
	l.r, l.peers, l.began, l.waiting, l.traced = r, newPeers(self), r.now(), map[kbr.Tag]chan<- end{}, map[kbr.Tag]tracer{}
	k := of(l.peers.table)
	k.Grow()
	l.engine = k.Engine(self1).(knower)
	l.kbr = kbr.Host{
		Engine: func(kbr.Node) kbr.Engine { return desk{l.engine, l} }, RTT: func(kbr.Node) *kbr.RTT { return &l.rtt }, Parallel: parallel, Checks: trails,
	}
	l.kbr.Suit(k)
}

func (l *loop) ticks() kbr.Ticks { return toTicks(l.r.now().Sub(l.began)) }

// run is the loop.
func (r *Router) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait := time.Hour
		if len(r.alarms) > 0 {
			wait = max(0, r.alarms[0].at.Sub(r.now()))
		}
		timer.Reset(wait)
		select {
		case <-r.ctx.Done():
			return
		case f := <-r.todo:
			f()
		case <-timer.C:
		}
		for len(r.alarms) > 0 && !r.alarms[0].at.After(r.now()) {
			heap.Pop(&r.alarms).(alarm).ring()
		}
	}
}

// An alarm is something to be done at a time.
type alarm struct {
	at   time.Time
	ring func()
}

type alarms []alarm

func (a alarms) Len() int           { return len(a) }
func (a alarms) Less(i, j int) bool { return a[i].at.Before(a[j].at) }
func (a alarms) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *alarms) Push(x any)        { *a = append(*a, x.(alarm)) }
func (a *alarms) Pop() any {
	old := *a
	x := old[len(old)-1]
	*a = old[:len(old)-1]
	return x
}

func (l *loop) after(d time.Duration, ring func()) {
	heap.Push(&l.alarms, alarm{l.r.now().Add(d), ring})
}

// step lets something happen to the engine, and carries out what comes of it.
func (l *loop) step(ev kbr.Event) {
	ev.Draw = draw()
	if ev.Msg == nil {
		ev.Msg = &kbr.Message{}
	}
	l.hears(&ev)
	l.kbr.Step(l.ticks(), self1, &ev, &l.out)
	l.act()
}

// act carries out what the engine wants done.
func (l *loop) act() {
	acts := l.out.Acts
	l.out.Acts = nil
	for i := range acts {
		switch a := &acts[i]; a.Do {
		case kbr.Ask:
			l.asks(a)
			l.ask(*a)
		case kbr.Tell:
			l.tell(a)
		case kbr.Reply:
			l.reply = l.words(&a.Msg)
		case kbr.After:
			tag, life := a.Tag, l.life
			l.after(ofTicks(a.Wait), func() {
				if life == l.life {
					l.step(kbr.Event{What: kbr.Timer, Tag: tag})
				}
			})
		}
	}
	if cap(acts) < 1024 {
		l.out.Acts = acts[:0]
	}
	for _, res := range l.kbr.Results {
		if c, ok := l.waiting[res.Tag]; ok {
			l.forget(res.Tag)
			c <- l.ended(&res)
		}
	}
	l.kbr.Results = l.kbr.Results[:0]
	l.look()
}

// An end is what a search found: who is nearest, the nearest first, of which so many have answered, and whether these are all who keep copies. And what that took.
type end struct {
	ids      []peer.ID
	heard    int
	all      bool
	path     int // peers that were asked and answered
	timeouts int // and in vain
	took     time.Duration
}

func (l *loop) ended(res *kbr.Result) (e end) {
	e.path, e.timeouts, e.took = res.Path, res.Timeouts, ofTicks(res.Ended-res.Began)
	if l.peers.id(res.Node) == "" {
		return e
	}
	e.all = l.kbr.Ends > 1
	for i, n := range res.Nodes[:res.Count] {
		if id := l.peers.id(n); id != "" {
			e.ids = append(e.ids, id)
		}
		if i < res.Heard {
			e.heard = len(e.ids)
		}
	}
	return e
}

// find searches for a key, warily or not, and sends who is near it. If see is not nil it is told each step, and must wait for nobody.
func (l *loop) find(key kbr.ID, wary bool, to chan<- end, see func(overlay.Step)) kbr.Tag {
	l.tag++
	l.waiting[l.tag] = to
	tag := l.tag
	if wary {
		l.kbr.FindWarily(l.ticks(), self1, key, tag, trails, &l.out)
	} else {
		l.kbr.Find(l.ticks(), self1, key, tag, &l.out)
	}
	if see != nil {
		l.trace(key, tag, see)
	}
	l.act()
	return tag
}

// forget waits for a search no more.
func (l *loop) forget(tag kbr.Tag) {
	delete(l.waiting, tag)
	l.untrace(tag)
}

// look notices when the neighbours have changed.
func (l *loop) look() {
	now := l.replicas(copies)
	if !slices.Equal(now, l.view) {
		l.view = now
		l.r.tending.unsettled(l.r.now())
		poke(l.r.changed)
		poke(l.r.due)
	}
	l.tables = l.engine.Known(l.tables[:0])
	if !slices.Equal(l.tables, l.before) {
		l.before = append(l.before[:0], l.tables...)
		poke(l.r.changed)
	}
	if !l.in && (len(now) > 1 || !l.server && len(l.gates()) > 0) {
		l.in = true
		close(l.r.joined)
		poke(l.r.due)
	}
}

// replicas returns the peers that keep copies of what is this node's, itself included.
func (l *loop) replicas(n int) (ids []peer.ID) {
	l.tables = l.engine.Replicas(n, l.tables[:0])
	for _, m := range l.tables {
		if id := l.peers.id(m); id != "" {
			ids = append(ids, id)
		}
	}
	return ids
}

// sort puts peers in the order in which what stands at a place belongs to them.
func (l *loop) sort(key kbr.ID, ids []peer.ID) {
	far := map[peer.ID]kbr.ID{}
	for _, id := range ids {
		if n := l.number(id, ids[0]); n != kbr.None {
			far[id] = l.engine.Distance(key, true, n)
		} else {
			far[id] = kbr.ID{}.Sub(kbr.Power(0)) // as far as can be
		}
	}
	slices.SortStableFunc(ids, func(a, b peer.ID) int { return far[a].Compare(far[b]) })
}

// used returns the numbers that the engine has in its tables, or of a client what it goes by.
func (l *loop) used() []kbr.Node { return append(l.engine.Known(nil), l.around.nodes...) }

// neighbours returns the peers that the engine has in its tables, without those that it only keeps in mind, since they do not answer.
func (l *loop) neighbours() (ids []peer.ID) {
	if !l.server {
		for _, n := range l.gates() {
			ids = append(ids, l.peers.id(n))
		}
		return ids
	}
	seen := map[kbr.Node]bool{self1: true}
	for _, e := range l.engine.Entries(nil) {
		if id := l.peers.id(e.Node); id != "" && !seen[e.Node] {
			seen[e.Node] = true
			ids = append(ids, id)
		}
	}
	return ids
}

// gates returns connected peers that are part of the overlay, not too many of one part of the internet.
func (l *loop) gates() (list []kbr.Node) {
	regions := map[string]int{}
	for _, p := range l.r.host.Network().Peers() {
		if !l.r.speaks(p) {
			continue
		}
		if g := l.r.region(p); g != "" {
			if regions[g]++; regions[g] > gateRegion {
				continue
			}
		}
		if n := l.number(p, ""); n != kbr.None {
			if list = append(list, n); len(list) == maxGates {
				break
			}
		}
	}
	return list
}

// number returns the number of a peer that by has named; "" if it speaks for itself.
func (l *loop) number(p, by peer.ID) kbr.Node {
	region := ""
	if by != "" {
		region = l.r.region(by)
	}
	return l.peers.number(p, by, region, l.r.now(), l.used)
}

// met hears that a peer is connected, and what it speaks.
func (l *loop) met(p peer.ID) {
	if p == l.r.host.ID() || !l.r.speaks(p) {
		return
	}
	if !l.server {
		l.look()
		return
	}
	if slices.Contains(l.meets, p) || len(l.meets) >= maxMeets {
		return
	}
	l.meets = append(l.meets, p)
	if len(l.view) < 2 {
		l.meet()
	} else {
		l.setMeet(meetEvery)
	}
}

// setMeet has meet look in so long a time, or when it was to already if that is earlier.
func (l *loop) setMeet(d time.Duration) {
	at := l.r.now().Add(d)
	if !l.meetAt.IsZero() && l.meetAt.Before(at) {
		return
	}
	l.meetAt = at
	l.after(d, func() {
		if l.meetAt.Equal(at) {
			l.meetAt = time.Time{}
			l.meet()
		}
	})
}

// meet has the engine look whether somebody is in the same network: two that were apart grow together so. When nobody new is there it looks at somebody at random,
// now and then.
func (l *loop) meet() {
	now := l.r.now()
	if len(l.view) > 1 {
		l.meets = slices.DeleteFunc(l.meets, func(p peer.ID) bool { return !l.news(p) })
	}
	if len(l.meets) == 0 && now.Sub(l.metAt) >= meetAnyway {
		l.metAt = now
		for _, p := range l.r.host.Network().Peers() {
			if l.r.speaks(p) && l.r.host.ID() != p {
				l.meets = append(l.meets, p)
			}
		}
		if n := len(l.meets); n > 0 {
			l.meets = []peer.ID{l.meets[draw()%uint64(n)]}
		}
	}
	if len(l.meets) > 0 && l.server {
		l.metAt = now
		p := l.meets[0]
		l.meets = l.meets[1:]
		if n := l.number(p, ""); n != kbr.None && l.r.host.Network().Connectedness(p) == network.Connected {
			l.step(kbr.Event{What: kbr.Meet, From: n})
		}
	}
	wait := meetEvery
	if len(l.meets) == 0 {
		wait = meetAnyway - now.Sub(l.metAt)
	}
	l.setMeet(wait)
}

// spoken notes that a peer is in the same network: it has said something, and neither it nor who asked it is looking for its place there.
func (l *loop) spoken(n kbr.Node, t *talk, asked uint8) {
	if (t.Flags|asked)&kbr.Outside == 0 {
		l.peers.list[n].spoke = l.life
	}
}

// news reports whether a peer may be in another network: over the connection that is there it has not spoken as one of this one yet.
func (l *loop) news(p peer.ID) bool {
	n, ok := l.peers.numbers[p]
	return !ok || l.peers.list[n].spoke != l.life
}

// parted hears that a peer is no longer connected: if it is a neighbour, it may be gone.
func (l *loop) parted(p peer.ID) {
	n, ok := l.peers.numbers[p]
	if !ok {
		return
	}
	l.peers.list[n].spoke = 0
	if l.server && slices.Contains(l.used(), n) {
		l.step(kbr.Event{What: kbr.Slow, From: n})
	}
}

// serve makes this node a part of the overlay, or a client of it: who cannot be reached must not be.
func (l *loop) serve(on bool) {
	if on == l.server {
		return
	}
	l.server = on
	l.life++
	if !on {
		l.r.host.RemoveStreamHandler(l.r.protocol)
		l.step(kbr.Event{What: kbr.Leave})
		return
	}
	l.r.host.SetStreamHandler(l.r.protocol, l.r.answer)
	l.around = around{}
	l.step(kbr.Event{What: kbr.Start})
	for _, p := range l.r.host.Network().Peers() {
		l.met(p)
	}
	l.setMeet(meetAnyway)
}

// leave takes leave of the neighbours and waits until they have been told, for a moment.
func (l *loop) leave() {
	if !l.server {
		return
	}
	l.server = false
	l.life++
	var acts []kbr.Act
	ev := kbr.Event{What: kbr.Leave, Msg: &kbr.Message{}}
	l.kbr.Step(l.ticks(), self1, &ev, &l.out)
	acts, l.out.Acts = l.out.Acts, nil
	ctx, cancel := context.WithTimeout(l.r.ctx, leaveTime)
	defer cancel()
	told, n := make(chan struct{}, len(acts)), 0
	for i := range acts {
		p := l.peers.id(acts[i].To)
		if acts[i].Do != kbr.Tell || p == "" || l.r.host.Network().Connectedness(p) != network.Connected {
			continue
		}
		n++
		q := question{What: tells, Talk: l.words(&acts[i].Msg)}
		go func() {
			l.r.send(ctx, p, &q)
			told <- struct{}{}
		}()
	}
	for range n {
		<-told
	}
}

// words puts a message into words for others.
func (l *loop) words(m *kbr.Message) *talk {
	t := &talk{Kind: uint8(m.Kind), Flags: m.Flags, Ends: m.Ends}
	if m.Kind == kbr.Find && !l.server {
		t.Flags |= kbr.Outside // who asks is nobody to be asked
	}
	if m.Key != (kbr.ID{}) {
		b := m.Key.Bytes()
		t.Key = b[:]
	}
	if m.Node != kbr.None {
		if id := l.peers.id(m.Node); id != "" {
			c := l.contact(id)
			t.Node = &c
		}
	}
	for i, n := range m.Told() {
		id := l.peers.id(n)
		if id == "" {
			if i < int(m.Ends) {
				t.Ends--
			}
			continue
		}
		t.Nodes = append(t.Nodes, l.contact(id))
	}
	return t
}

// contact returns a peer with the addresses that are told of it.
func (l *loop) contact(p peer.ID) contact { return contactOf(l.r.info(p)) }

// understand makes a message of words that by says.
func (l *loop) understand(t *talk, by peer.ID) *kbr.Message {
	m := &kbr.Message{Kind: kbr.Kind(t.Kind), Flags: t.Flags, Ends: t.Ends}
	if len(t.Key) > 0 {
		m.Key = kbr.FromBytes([kbr.Bits / 8]byte(t.Key))
	}
	if t.Node != nil {
		m.Node = l.named(t.Node, by)
	}
	for i := range t.Nodes {
		n := l.named(&t.Nodes[i], by)
		if n != kbr.None {
			m.Add(n)
		} else if i < int(t.Ends) {
			m.Ends--
		}
	}
	m.Ends = min(m.Ends, m.Count)
	return m
}

// named takes in a peer that another one names, with its addresses.
func (l *loop) named(c *contact, by peer.ID) kbr.Node {
	info := c.info()
	n := l.number(info.ID, by)
	if n != kbr.None && n != self1 {
		l.r.learn(info)
	}
	return n
}

// learn remembers for a while where a peer is said to be.
func (r *Router) learn(info peer.AddrInfo) {
	if info.ID != r.host.ID() && len(info.Addrs) > 0 && r.host.Network().Connectedness(info.ID) != network.Connected {
		r.host.Peerstore().AddAddrs(info.ID, info.Addrs, peerstore.TempAddrTTL)
	}
}
