package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"kith"
	"kith/blob/bao"
	"kith/blob/folder"
	"kith/transfer/engine"
	"kith/transfer/stage"
)

// Limits and times of other networks as sources.
const (
	MaxOrigins   = 16               // of one download
	maxFetches   = 128              // spans that one Origin is asked for at once
	fetchSize    = 256 << 10        // bytes of a span at least, where its units are smaller
	stallTime    = 3 * time.Second  // a span of which nothing comes for so long is asked of others too …
	silentTime   = time.Minute      // … and given up after this
	maxStalled   = 64               // requests of which nothing comes, beside which others are asked for
	layoutRetry  = 2 * time.Second  // after an Origin did not find out what the content consists of …
	layoutMax    = time.Minute      // … doubled each time up to this
	lacksMin     = 5 * time.Second  // what an Origin did not have is asked of it again after this …
	lacksMax     = 60 * time.Second // … doubled each time up to this
	heardTime    = 250 * time.Millisecond
	learnTime    = time.Second // a Knower is asked so often what is to be had …
	idleLearns   = 3           // … and, when it has had nothing of use so often, for the rest too, so that its network looks for others
	maxOrigPeers = 32          // of other networks that are listed
)

// An outside is another network that a download comes from, and a conversation with its Origin. Download.mu guards what is below it.
type outside struct {
	d      *Download
	opener Opener
	wake   chan struct{} // cap 1: there may be something to ask
	held   atomic.Bool   // there is something to ask, as soon as the limit on what is received lets it

	network  string
	state    SourceState
	why      string
	bytes    int64
	meter    engine.Meter
	have     float64
	met      bool // it is talking to somebody
	verified bool
	origin   Origin  // while it is open
	layout   *Layout // once it has told
	id       engine.SourceID

	mu      sync.Mutex
	stage   *stage.Stage // that it is asked about
	rows    []int        // for each file of the layout, its place in the stage's row; -1: none
	files   []int        // the other way round
	brought bao.Bits
	fetches map[uint64]context.CancelFunc // by request
	stalled map[uint64]bool               // those of which nothing comes
	idle    int                           // how often in a row nothing was asked of a Knower
	known   bao.Bits                      // what the Origin said last is to be had, as a Knower
	lacking []lack
}

// A lack is groups that an Origin did not have.
type lack struct {
	bao.Range
	tried int
	until time.Time // when they are asked for again
}

// run talks to the Origin until ctx ends.
func (o *outside) run(ctx context.Context) {
	err := o.talk(ctx)
	if err == nil || ctx.Err() != nil {
		return
	}
	o.say(Dropped, err.Error())
	if k := kith.KindOf(err); k == kith.Invalid || k == kith.TooLarge || k == kith.Corrupt || o.d.isPending() && len(o.d.outsides) == 1 {
		o.d.refuse(err)
	}
}

func (o *outside) talk(ctx context.Context) error {
	origin, err := o.open(ctx)
	if err != nil {
		return err
	}
	defer func() {
		o.leave()
		o.d.mu.Lock()
		o.origin = nil
		o.d.mu.Unlock()
		origin.Close()
	}()
	l, err := o.ask(ctx, origin)
	if err != nil {
		return err
	}
	if err := o.d.laid(o, l); err != nil {
		return err
	}
	o.say(Active, "")
	return o.fetchAll(ctx, origin)
}

// open opens the Origin, again and again while that is not possible now.
func (o *outside) open(ctx context.Context) (Origin, error) {
	for wait := layoutRetry; ; wait = min(2*wait, layoutMax) {
		origin, err := o.opener(ctx, content{o})
		if err == nil {
			o.d.mu.Lock()
			o.origin, o.network, o.state, o.why = origin, origin.Network(), Connecting, ""
			o.d.tell()
			o.d.mu.Unlock()
			return origin, nil
		}
		if !errors.Is(err, kith.Unavailable) {
			return nil, err
		}
		o.say(Dropped, err.Error())
		if err := sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// ask waits until the Origin knows what the content consists of.
func (o *outside) ask(ctx context.Context, origin Origin) (*Layout, error) {
	name := NetworkName(origin.Network())
	for wait := layoutRetry; ; wait = min(2*wait, layoutMax) {
		o.say(Connecting, "asking "+name+" what it consists of")
		l, err := origin.Layout(ctx)
		if err == nil {
			if err := l.check(); err != nil {
				return nil, fmt.Errorf("transfer: what %s says it consists of: %w", name, err)
			}
			return &l, nil
		}
		if !errors.Is(err, kith.Unavailable) && !errors.Is(err, kith.Timeout) {
			return nil, fmt.Errorf("transfer: %s: %w", name, err)
		}
		o.say(Connecting, err.Error())
		if err := sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// say notes how it stands.
func (o *outside) say(s SourceState, why string) {
	o.d.mu.Lock()
	defer o.d.mu.Unlock()
	if o.state != s || o.why != why {
		o.state, o.why = s, why
		o.d.tell()
	}
}

// nudge lets it look for something to ask.
func (o *outside) nudge() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// fetchAll asks for what the engine decides, until ctx ends.
func (o *outside) fetchAll(ctx context.Context, origin Origin) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	tick, learn := time.NewTicker(tickTime), time.NewTicker(learnTime)
	defer tick.Stop()
	defer learn.Stop()
	slots := make(chan struct{}, maxFetches)
	for {
		st := o.d.currentStage()
		if err := o.follow(st, origin); err != nil {
			return err
		}
		for st != nil && st == o.d.currentStage() && o.free() {
			st.Mu.Lock()
			q, ok := st.Engine.Next(o.id, st.Now())
			st.Mu.Unlock()
			if !ok {
				break
			}
			one, cancel := context.WithCancel(ctx)
			o.mu.Lock()
			o.fetches[q.ID] = cancel
			o.mu.Unlock()
			wg.Go(func() {
				defer cancel()
				o.fetch(ctx, one, origin, st, q, slots)
				o.nudge()
			})
			o.held.Store(true)
			err := o.d.m.down.Wait(ctx, q.N*bao.GroupSize, func() bool { return st == o.d.currentStage() })
			o.held.Store(false)
			if err != nil {
				return err
			}
		}
		select {
		case <-o.wake:
		case <-learn.C:
			o.learn(origin)
		case <-tick.C:
			o.again(st)
			o.look(origin)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// free reports whether more may be asked for.
func (o *outside) free() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.fetches) < maxFetches && len(o.stalled) < maxStalled
}

// follow lets it be asked about a stage, and tells it what is here of that.
func (o *outside) follow(st *stage.Stage, origin Origin) error {
	o.mu.Lock()
	old := o.stage
	o.mu.Unlock()
	if st == old || st == nil {
		return nil
	}
	o.leave()
	o.d.mu.Lock()
	l := o.layout
	o.d.lastID++
	o.id = o.d.lastID
	o.d.mu.Unlock()
	rows, err := o.d.match(o, l, st)
	if err != nil {
		return err
	}
	files := make([]int, len(st.Row.Files))
	for i := range files {
		files[i] = -1
	}
	for i, at := range rows {
		if at >= 0 {
			files[at] = i
		}
	}
	o.mu.Lock()
	o.stage, o.rows, o.files, o.brought, o.fetches, o.lacking = st, rows, files, bao.NewBits(st.Row.N), map[uint64]context.CancelFunc{}, nil
	o.stalled, o.known = map[uint64]bool{}, bao.Bits{}
	o.mu.Unlock()
	unit := max((l.Unit+bao.GroupSize-1)/bao.GroupSize, 1)
	st.Mu.Lock()
	st.Engine.JoinUnits(o.id, st.Now(), unit, l.Window/bao.GroupSize)
	for i, file := range files {
		if file >= 0 {
			st.Engine.Has(o.id, st.Row.Groups(i))
		}
	}
	st.Mu.Unlock()
	o.learn(origin)
	for _, s := range st.Readable() {
		o.tell(origin, st, s)
	}
	o.d.mu.Lock()
	o.d.tell()
	o.d.mu.Unlock()
	return nil
}

// leave ends what it is asked for.
func (o *outside) leave() {
	o.mu.Lock()
	st, fetches := o.stage, o.fetches
	o.stage, o.fetches = nil, nil
	o.mu.Unlock()
	for _, cancel := range fetches {
		cancel()
	}
	if st != nil {
		st.Mu.Lock()
		st.Engine.Leave(o.id)
		st.Mu.Unlock()
	}
}

// withdraw ends what needs no answer any more.
func (o *outside) withdraw(list []*engine.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, q := range list {
		if cancel := o.fetches[q.ID]; cancel != nil && q.Source == o.id {
			cancel()
		}
	}
}

// place returns the stage that it is asked about, and the place of a file of its layout in the stage's row, or -1.
func (o *outside) place(file int) (*stage.Stage, int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.stage == nil || file < 0 || file >= len(o.rows) {
		return nil, -1
	}
	return o.stage, o.rows[file]
}

// kindOf says whether a file of its layout has no bytes, and whether it is the manifest of a private share.
func (o *outside) kindOf(file int) (empty, root bool) {
	o.d.mu.Lock()
	defer o.d.mu.Unlock()
	if o.layout == nil || file < 0 || file >= len(o.layout.Files) {
		return false, false
	}
	f := o.layout.Files[file]
	return f.Size == 0, o.d.job.Key != nil && f.Path == folder.SealedName(-1)
}

// tell tells the Origin that groups can be read.
func (o *outside) tell(origin Origin, st *stage.Stage, s stage.Stretch) {
	o.mu.Lock()
	file := -1
	if o.stage == st {
		file = o.files[s.File]
	}
	o.mu.Unlock()
	if file >= 0 {
		origin.Here(Span{File: file, Off: s.First * bao.GroupSize, N: st.Row.Bytes(s)})
	}
}

// here tells all Origins that groups of a stage can be read.
func (d *Download) here(st *stage.Stage, list []stage.Stretch) {
	for _, o := range d.outsides {
		d.mu.Lock()
		origin := o.origin
		d.mu.Unlock()
		if origin == nil {
			continue
		}
		for _, s := range list {
			o.tell(origin, st, s)
		}
	}
}

// learn takes in what a Knower says is to be had, and reports whether that has changed.
func (o *outside) learn(origin Origin) {
	k, ok := origin.(Knower)
	if !ok {
		return
	}
	spans, sure := k.Available()
	o.mu.Lock()
	if o.idle++; len(o.fetches) > 0 {
		o.idle = 0
	}
	sure = sure && o.idle < idleLearns
	st, was := o.stage, o.known
	now := bao.NewBits(0)
	if st != nil {
		now = o.bitsOf(st, spans, sure)
		o.known = now
	}
	o.mu.Unlock()
	if st == nil {
		return
	}
	st.Mu.Lock()
	defer st.Mu.Unlock()
	for g := int64(0); g < now.Len(); {
		in := now.Get(g)
		end := now.Next(g, !in)
		r := bao.Range{First: g, N: end - g}
		switch g = end; {
		case was.Len() == now.Len() && was.Next(r.First, !in) >= end: // it may lack some of it, as Fetch has shown
		case in:
			st.Engine.Has(o.id, r)
		default:
			st.Engine.Lacks(o.id, r)
		}
	}
}

// bitsOf returns the groups of the row that spans have a part of; all of them, if nothing is sure. o.mu is held.
func (o *outside) bitsOf(st *stage.Stage, spans []Span, sure bool) bao.Bits {
	bits := bao.NewBits(st.Row.N)
	if !sure {
		spans = nil
		for file, at := range o.rows {
			if at >= 0 {
				spans = append(spans, Span{File: file, N: st.Row.Files[at].Size})
			}
		}
	}
	for _, s := range spans {
		if s.File < 0 || s.File >= len(o.rows) || o.rows[s.File] < 0 || s.Off < 0 || s.N <= 0 || s.N > st.Row.Files[o.rows[s.File]].Size-s.Off {
			continue
		}
		first := s.Off / bao.GroupSize
		bits.Set(bao.Range{First: st.Row.First[o.rows[s.File]] + first, N: (s.Off+s.N-1)/bao.GroupSize + 1 - first})
	}
	return bits
}

// look notes how much is to be had of the Origin, and whether anybody is there.
func (o *outside) look(origin Origin) {
	o.mu.Lock()
	st := o.stage
	o.mu.Unlock()
	have := 0.0
	if st != nil {
		st.Mu.Lock()
		have = st.Engine.Part(o.id)
		st.Mu.Unlock()
	}
	met := len(origin.Peers(1)) > 0
	o.d.mu.Lock()
	defer o.d.mu.Unlock()
	o.have, o.met = have, met
}

// A content is what an Origin sees of a download.
type content struct{ o *outside }

// ReadAt implements Content.
func (c content) ReadAt(p []byte, file int, off int64) (int, error) {
	st, i := c.o.place(file)
	empty, root := c.o.kindOf(file)
	switch {
	case empty:
		return 0, io.EOF
	case st != nil && i < 0 && root: // it is complete while its files come
		b, err := c.o.d.m.o.Blobs.Blob(c.o.d.m.ctx, c.o.d.root)
		if err != nil {
			return 0, err
		}
		defer b.Close()
		return b.ReadAt(p, off)
	case st == nil || i < 0:
		return 0, fmt.Errorf("transfer: file %d is not here yet: %w", file, kith.NotFound)
	}
	return st.ReadHere(c.o.d.m.ctx, c.o.d.m.o.Blobs, i, p, off)
}

// Has implements Content.
func (c content) Has(s Span) bool {
	st, i := c.o.place(s.File)
	switch empty, root := c.o.kindOf(s.File); {
	case empty:
		return s.Off == 0 && s.N == 0
	case st != nil && i < 0 && root:
		return s.Off >= 0 && s.N >= 0 && s.Off <= c.o.d.rootSize()-s.N
	}
	return st != nil && i >= 0 && st.CanRead(i, s.Off, s.N)
}
