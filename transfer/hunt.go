package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/internal/human"
	"kith/network"
	"kith/network/relay"
	"kith/transfer/engine"
	"kith/transfer/proto"
	"kith/transfer/stage"
)

// Limits and times of looking for sources.
const (
	MaxSources    = 256 // known to one download
	MaxConns      = 40  // talked to at once
	lookMin       = 2 * time.Second
	lookMax       = time.Minute
	lookTime      = 30 * time.Second // for one question to the overlay
	retryMin      = time.Second
	retryMax      = 30 * time.Second
	findProviders = 40               // asked of the overlay at once
	sizeTime      = 5 * time.Second  // who has not told how large the root is after this is asked anew
	seekAfter     = 10 * time.Second // without a source: the overlay has been asked three times
	idleAfter     = time.Second      // with sources of which nothing is wanted: one that was lost may not be noticed yet, one that has come has not said what it has
)

// Add tells of a peer that may have it.
func (d *Download) Add(p peer.AddrInfo) {
	if p.ID == d.m.o.Net.ID() || p.ID.Validate() != nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	src := d.sources[p.ID]
	switch {
	case src == nil && len(d.sources) >= MaxSources && !d.makeRoom():
		return
	case src == nil:
		src = &source{info: p, state: Connecting}
		d.sources[p.ID] = src
	case len(p.Addrs) > 0:
		src.info.Addrs = p.Addrs[:min(len(p.Addrs), 2*proto.MaxAddrs)]
	}
	select {
	case d.hunted <- struct{}{}:
	default:
	}
}

// makeRoom forgets a source that was of no use. d.mu is held.
func (d *Download) makeRoom() bool {
	for id, src := range d.sources {
		if src.conn == nil && !src.cut && src.bytes == 0 && src.fails > 1 {
			delete(d.sources, id)
			return true
		}
	}
	return false
}

// hunt looks for sources and talks to them, until ctx ends.
func (d *Download) hunt(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	if d.m.o.Routes != nil {
		wg.Go(func() { d.look(ctx) })
	}
	tick := time.NewTicker(tickTime)
	defer tick.Stop()
	busy := map[*source]bool{}
	ended := make(chan *source)
	for {
		for _, src := range d.due(busy) {
			busy[src] = true
			d.mu.Lock()
			d.lastID++
			id := d.lastID
			d.mu.Unlock()
			wg.Go(func() {
				err := d.talk(ctx, src, id)
				d.ended(ctx, src, err)
				select {
				case ended <- src:
				case <-ctx.Done():
				}
			})
		}
		select {
		case src := <-ended:
			delete(busy, src)
		case <-tick.C:
			d.leaveRelays()
		case <-d.hunted:
		case <-ctx.Done():
			return
		}
	}
}

// Why conversations are begun anew: a relay is needed no longer; who did not know how large it is may know by now.
var (
	errDirect = errors.New("transfer: a direct way was found")
	errNoSize = fmt.Errorf("transfer: it does not know how large it is: %w", kith.Unavailable)
)

// leaveRelays ends conversations through relays with peers that are connected directly by now. The next begins at once, where the last ended: only
// what was on its way is asked for again.
func (d *Download) leaveRelays() {
	d.mu.Lock()
	var list []*conn
	for _, src := range d.sources {
		if c := src.conn; c != nil && c.via {
			list = append(list, c)
		} else if c != nil && d.blobSize < 0 && time.Since(c.begun) >= sizeTime {
			c.end(errNoSize)
		}
	}
	d.mu.Unlock()
	for _, c := range list {
		if d.m.o.Net.Direct(c.s.Peer()) {
			c.end(errDirect)
		}
	}
}

// due returns the sources to talk to now.
func (d *Download) due(busy map[*source]bool) (list []*source) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for _, src := range d.sources {
		if len(busy)+len(list) >= MaxConns {
			break
		}
		if !busy[src] && !src.cut && !now.Before(src.next) {
			src.state = Connecting
			list = append(list, src)
		}
	}
	return list
}

// look asks the overlay for sources, again and again, ever more slowly while it has nothing new.
func (d *Download) look(ctx context.Context) {
	key := Rendezvous(d.root)
	for wait := lookMin; ; wait = min(2*wait, lookMax) {
		ask, cancel := context.WithTimeout(ctx, lookTime)
		for p := range d.m.o.Routes.FindProvidersAsync(ask, key, findProviders) {
			d.mu.Lock()
			known := d.sources[p.ID] != nil
			d.mu.Unlock()
			if !known {
				wait = lookMin
			}
			d.Add(p)
		}
		cancel()
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

// joined notes that a conversation has begun.
func (d *Download) joined(c *conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c.begun = time.Now()
	c.src.conn, c.src.state, c.src.why, c.src.fails, c.src.held = c, Active, "", 0, nil
	c.src.via = "stream"
	if c.s.Bulk() {
		c.src.via = "bulk"
	}
	d.looking = time.Time{}
	d.tell()
}

// parted notes that a conversation is over: what it owes may be asked of others.
func (d *Download) parted(c *conn) {
	c.mu.Lock()
	st := c.stage
	c.mu.Unlock()
	if st != nil {
		st.Mu.Lock()
		st.Engine.Leave(c.id)
		st.Mu.Unlock()
	}
	d.mu.Lock()
	c.src.conn, c.src.have = nil, 0
	if d.active() == 0 && d.looking.IsZero() {
		d.looking = time.Now()
	}
	d.mu.Unlock()
	d.nudgeAll()
}

// ended notes why a conversation is over, and when to try again.
func (d *Download) ended(ctx context.Context, src *source, err error) {
	if ctx.Err() != nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if w := (*stage.Wrong)(nil); errors.As(err, &w) {
		src.cut = true
	}
	if errors.Is(err, errDirect) {
		src.state, src.next = Connecting, time.Time{}
		return
	}
	if src.cut {
		src.state = CutOff
	} else {
		src.state = Dropped
	}
	if err != nil {
		src.why = err.Error()
	}
	src.fails++
	src.next = time.Now().Add(min(retryMin<<min(src.fails-1, 10), retryMax))
	src.held = nil
	if errors.As(err, &src.held) && src.held.Verdict == relay.Spent && time.Until(src.held.Until) < retryMax {
		src.next = src.held.Until
	}
	d.tell()
}

// cutOff ends a source that sent what is not what its name says, for good.
func (d *Download) cutOff(c *conn, w *stage.Wrong) {
	d.m.o.Log.Warn("source cut off", "ref", d.root, "peer", c.src.info.ID, "n", w.Group, "err", w.Err)
	d.mu.Lock()
	c.src.cut, c.src.state, c.src.why = true, CutOff, w.Error()
	d.tell()
	d.mu.Unlock()
	c.end(w)
	d.parted(c)
}

// credit counts verified bytes from a source.
func (d *Download) credit(src *source, n int64) {
	now := d.m.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	src.bytes += n
	src.meter.Add(now, n)
	d.meter.Add(now, n)
	d.progress = true
}

// needless tells sources that requests need no answer any more.
func (d *Download) needless(list []*engine.Request) {
	if len(list) == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, src := range d.sources {
		if src.conn == nil {
			continue
		}
		for _, q := range list {
			if q.Source == src.conn.id {
				src.conn.mu.Lock()
				src.conn.cancels = append(src.conn.cancels, q.ID)
				src.conn.mu.Unlock()
			}
		}
		src.conn.nudge()
	}
	for _, o := range d.outsides {
		o.withdraw(list)
	}
}

// nudgeAll lets all conversations look for something to ask.
func (d *Download) nudgeAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, src := range d.sources {
		if src.conn != nil {
			src.conn.nudge()
		}
	}
	for _, o := range d.outsides {
		o.nudge()
	}
}

// active returns how many sources are talked to. d.mu is held.
func (d *Download) active() (n int) {
	for _, src := range d.sources {
		if src.conn != nil {
			n++
		}
	}
	return n
}

// seek has more peers looked for if there has been no source for a while, and says how that goes.
func (d *Download) seek() (says string) {
	d.mu.Lock()
	wanted := d.m.o.Seek != nil && d.state == Finding && d.active() == 0 && !d.looking.IsZero() && time.Since(d.looking) >= seekAfter
	d.mu.Unlock()
	if wanted {
		says = d.m.o.Seek()
	}
	return says
}

// refresh says in the state whether bytes come, and if not why.
func (d *Download) refresh() {
	sought := d.seek()
	d.mu.Lock()
	defer d.mu.Unlock()
	state, reason := Fetching, ""
	n, out := d.active(), d.outside()
	idle := d.idle
	d.idle = time.Time{}
	switch {
	case d.state == Paused || d.state == Failed || d.state == Done || d.checking:
		return
	case n == 0 && out == 0:
		if state, reason = d.lookedFor(); sought != "" {
			reason += "; " + sought
		}
	case d.stage == nil:
		state, reason = Finding, "asking how large it is"
	case !d.stage.Idle() || slices.ContainsFunc(d.outsides, func(o *outside) bool { return o.held.Load() }):
	case out > 0:
		state, reason = Waiting, d.unhad(n)
	default:
		if d.idle = idle; idle.IsZero() {
			d.idle = time.Now()
		}
		if state, reason = Waiting, lacking(n); time.Since(d.idle) < idleAfter {
			state, reason = d.state, d.reason
		}
	}
	if state != d.state || reason != d.reason || d.progress {
		d.state, d.reason, d.progress = state, reason, false
		d.tell()
	}
}

// unhad says that the other networks, beside n sources, do not have what is missing. d.mu is held.
func (d *Download) unhad(n int) string {
	swarm := n == 0 && len(d.outsides) == 1 && d.outsides[0].network == "bittorrent"
	switch {
	case !swarm || d.outsides[0].met:
		return d.stage.Had(swarm)
	case d.outsides[0].bytes > 0:
		return "nobody is in the swarm now"
	}
	return "nobody is in the swarm yet"
}

// lacking says that n sources are of no use.
func lacking(n int) string {
	if n == 1 {
		return "the only source does not have what is missing"
	}
	return fmt.Sprintf("none of %d sources has what is missing", n)
}

// lookedFor says for what there is no source: a relay that is not to be had now, or for how long none was found. d.mu is held.
func (d *Download) lookedFor() (State, string) {
	var held *network.Refused
	for _, src := range d.sources {
		if src.held != nil && (held == nil || held.Verdict != relay.Spent || src.held.Verdict == relay.Spent && src.held.Until.Before(held.Until)) {
			held = src.held
		}
	}
	switch {
	case held == nil:
	case d.m.o.Relay != nil:
		return Waiting, d.m.o.Relay(held)
	default:
		return Waiting, held.Error()
	}
	if len(d.outsides) > 0 && (d.isPending() || len(d.sources) == 0) {
		for _, o := range d.outsides {
			if o.why != "" {
				return Finding, o.why
			}
		}
	}
	what, cut := "no source found", 0
	for _, src := range d.sources {
		if src.cut {
			cut++
		}
	}
	switch n := len(d.sources) - cut; n {
	case 0:
	case 1:
		what = "the one known source did not answer"
	default:
		what = fmt.Sprintf("none of %d known sources answered", n)
	}
	if !d.looking.IsZero() && time.Since(d.looking) >= time.Second {
		what += " in " + human.Duration(time.Since(d.looking).Round(time.Second))
	}
	if cut > 0 {
		what += fmt.Sprintf("; %d sent wrong data, and is not asked again", cut)
	}
	return Finding, what
}

// outside returns how many other networks have told what the content consists of. d.mu is held.
func (d *Download) outside() (n int) {
	for _, o := range d.outsides {
		if o.origin != nil && o.layout != nil {
			n++
		}
	}
	return n
}
