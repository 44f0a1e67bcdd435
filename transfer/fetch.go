package transfer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"kith"
	"kith/blob/bao"
	"kith/transfer/engine"
	"kith/transfer/stage"
)

// fetch brings what one request asks for, until ctx ends; what has come is written until whole ends.
func (o *outside) fetch(whole, ctx context.Context, origin Origin, st *stage.Stage, q engine.Request, slots chan struct{}) {
	defer func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.stage == st {
			delete(o.fetches, q.ID)
			delete(o.stalled, q.ID)
		}
	}()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var lacks []bao.Range
	for _, s := range o.parts(st, q) {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			data, err := o.part(ctx, origin, st, q, s)
			if err == nil {
				o.keep(whole, st, q, s, data)
			}
			<-slots
			if err == nil || ctx.Err() != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			lacks = append(lacks, bao.Range{First: st.Row.First[s.File] + s.First, N: s.N})
			o.failed(err)
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		st.Mu.Lock()
		st.Engine.Failed(q.ID) // if it was not cancelled as needless
		st.Mu.Unlock()
		return
	}
	o.settle(st, q, lacks)
}

// settle draws the conclusions from a request, of which lacks did not come.
func (o *outside) settle(st *stage.Stage, q engine.Request, lacks []bao.Range) {
	var needless []*engine.Request
	st.Mu.Lock()
	if len(lacks) == 0 {
		st.Engine.Arrived(q.ID, st.Now())
		needless = st.Engine.Verified(q.ID)
	} else {
		for _, r := range lacks {
			st.Engine.Lacks(q.Source, r)
		}
		st.Engine.Failed(q.ID)
	}
	st.FinishIfComplete()
	st.Mu.Unlock()
	if len(lacks) == 0 {
		o.d.needless(needless)
		return
	}
	o.mu.Lock()
	for _, r := range lacks {
		o.lacks(r)
	}
	o.mu.Unlock()
	o.d.nudgeAll()
}

// lacks notes that the Origin did not have groups. o.mu is held.
func (o *outside) lacks(r bao.Range) {
	for i := range o.lacking {
		if l := &o.lacking[i]; l.Range == r {
			l.tried++
			l.until = time.Now().Add(min(lacksMin<<min(l.tried, 10), lacksMax))
			return
		}
	}
	o.lacking = append(o.lacking, lack{r, 0, time.Now().Add(lacksMin)})
}

// again lets what the Origin did not have be asked of it again, when some time has passed.
func (o *outside) again(st *stage.Stage) {
	if st == nil {
		return
	}
	o.mu.Lock()
	var due []bao.Range
	now := time.Now()
	for i := range o.lacking {
		if l := &o.lacking[i]; o.stage == st && !l.until.IsZero() && now.After(l.until) {
			l.until = time.Time{}
			if o.known.Len() == 0 || o.known.Next(l.First, false) >= l.First+l.N {
				due = append(due, l.Range)
			}
		}
	}
	o.mu.Unlock()
	st.Mu.Lock()
	defer st.Mu.Unlock()
	for _, r := range due {
		st.Engine.Has(o.id, r)
	}
}

// parts divides a request into spans of one file, each of whole units.
func (o *outside) parts(st *stage.Stage, q engine.Request) (list []stage.Stretch) {
	o.d.mu.Lock()
	unit := max((o.layout.Unit+bao.GroupSize-1)/bao.GroupSize, 1)
	o.d.mu.Unlock()
	step := (fetchSize/bao.GroupSize + unit - 1) / unit * unit
	for _, s := range st.Want(bao.Range{First: q.First, N: q.N}) {
		for s.N > 0 {
			n := min(s.N, step-s.First%step)
			list = append(list, stage.Stretch{File: s.File, Range: bao.Range{First: s.First, N: n}})
			s.First, s.N = s.First+n, s.N-n
		}
	}
	return list
}

// part fetches one span.
func (o *outside) part(ctx context.Context, origin Origin, st *stage.Stage, q engine.Request, s stage.Stretch) ([]byte, error) {
	o.mu.Lock()
	file := -1
	if o.stage == st {
		file = o.files[s.File]
	}
	o.mu.Unlock()
	if file < 0 {
		return nil, kith.NotFound
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(silentTime, func() { cancel(fmt.Errorf("transfer: nothing came for %v: %w", silentTime, kith.Timeout)) })
	defer silent.Stop()
	stall := time.AfterFunc(stallTime, func() { o.stall(st, q) })
	defer stall.Stop()
	var mu sync.Mutex
	var heard time.Time
	alive := func() {
		mu.Lock()
		defer mu.Unlock()
		if now := time.Now(); now.Sub(heard) >= heardTime {
			heard = now
			silent.Reset(silentTime)
			stall.Reset(stallTime)
			st.Mu.Lock()
			st.Engine.Heard(q.Source, st.Now())
			st.Mu.Unlock()
		}
	}
	want := Span{File: file, Off: s.First * bao.GroupSize, N: st.Row.Bytes(s)}
	data, err := origin.Fetch(ctx, want, alive)
	if cause := context.Cause(ctx); cause != nil && err != nil {
		err = cause
	}
	if err == nil && int64(len(data)) != want.N {
		err = fmt.Errorf("transfer: %s brought %d bytes, not %d: %w", o.network, len(data), want.N, kith.Corrupt)
	}
	return data, err
}

// stall lets others be asked for what does not come.
func (o *outside) stall(st *stage.Stage, q engine.Request) {
	o.mu.Lock()
	there := o.stage == st && o.fetches[q.ID] != nil
	if there {
		o.stalled[q.ID] = true
	}
	o.mu.Unlock()
	if there {
		st.Mu.Lock()
		st.Engine.Stalled(q.ID)
		st.Mu.Unlock()
		o.d.nudgeAll()
	}
}

// keep writes what was fetched.
func (o *outside) keep(ctx context.Context, st *stage.Stage, q engine.Request, s stage.Stretch, data []byte) {
	if err := st.TakeLoose(ctx, s, data); err != nil {
		st.Fail(err)
		return
	}
	brought, err := st.Took(ctx, []stage.Stretch{s}, true) // a network that checks larger units gives what others brought of them, too
	if err != nil {
		st.Fail(err)
		return
	}
	at := bao.Range{First: st.Row.First[s.File] + s.First, N: s.N}
	o.mu.Lock()
	if o.stage == st {
		o.brought.Set(at)
	}
	o.mu.Unlock()
	st.Mu.Lock()
	st.Note(at)
	st.Engine.Heard(q.Source, st.Now())
	st.Mu.Unlock()
	st.Tell()
	o.credit(brought)
}

// credit counts bytes that came.
func (o *outside) credit(n int64) {
	now := o.d.m.now()
	o.d.m.down.Count(int(n))
	o.d.mu.Lock()
	defer o.d.mu.Unlock()
	o.bytes += n
	o.meter.Add(now, n)
	o.d.meter.Add(now, n)
	o.d.progress = true
	if o.why != "" {
		o.why = ""
		o.d.tell()
	}
}

// failed notes why a span did not come.
func (o *outside) failed(err error) {
	o.d.mu.Lock()
	defer o.d.mu.Unlock()
	if why := err.Error(); !errors.Is(err, kith.NotFound) && o.why != why {
		o.why = why
		o.d.tell()
	}
}
