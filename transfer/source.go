package transfer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/blob/bao"
	"kith/network"
	"kith/transfer/engine"
	"kith/transfer/flow"
	"kith/transfer/proto"
	"kith/transfer/stage"
	"kith/wire"
)

// A source is a peer that may have the root of a download. Download.mu guards it.
type source struct {
	info  peer.AddrInfo
	state SourceState
	why   string
	via   string
	have  float64
	bytes int64
	meter engine.Meter
	cut   bool
	fails int
	next  time.Time        // when it may be tried again
	held  *network.Refused // the relay that leads to it has carried all that it may for now; nil: no
	conn  *conn
}

// A conn is a stream to a source, from the hello to the end.
type conn struct {
	d     *Download
	src   *source
	id    engine.SourceID
	s     network.Stream
	via   bool      // through a relay
	begun time.Time // d.mu guards it
	br    *bufio.Reader
	out   *bufio.Writer

	wake chan struct{} // cap 1: there may be something to ask
	end  context.CancelCauseFunc

	mu      sync.Mutex
	stage   *stage.Stage // that it is asked about
	asked   map[uint64]*asking
	cancels []uint64
	pace    flow.Pace

	proofs    int    // requests for proofs that are not answered
	lastProof uint64 // how many there have been
}

// An asking is a request that waits for its answer.
type asking struct {
	stage *stage.Stage
	id    uint64
	fresh bool
	list  []stage.Stretch
	proof bool // only proofs, of groups that are loose
}

// talk runs one conversation with a source, and returns why it ended.
func (d *Download) talk(ctx context.Context, src *source, id engine.SourceID) error {
	c := &conn{d: d, src: src, id: id, wake: make(chan struct{}, 1), asked: map[uint64]*asking{}}
	if err := c.open(ctx); err != nil {
		return err
	}
	defer c.s.Reset()
	ctx, c.end = context.WithCancelCause(ctx)
	defer c.end(nil)
	defer context.AfterFunc(ctx, func() { c.s.Reset() })()
	if err := c.greet(ctx); err != nil {
		return err
	}
	d.joined(c)
	defer d.parted(c)
	var wg sync.WaitGroup
	wg.Go(func() { c.end(c.write(ctx)) })
	c.end(c.read(ctx))
	wg.Wait()
	if _, down := d.m.Limits(); down == 0 { // a rate that was held down here says nothing of the stream
		d.m.o.Net.Report(c.s.Peer(), c.s.Bulk(), c.pace.Bytes, c.pace.Busy)
	}
	return context.Cause(ctx)
}

// open reaches the peer.
func (c *conn) open(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*proto.HelloTime)
	defer cancel()
	c.d.mu.Lock()
	info := c.src.info
	c.d.mu.Unlock()
	net := c.d.m.o.Net
	if len(info.Addrs) > 0 {
		if err := net.Connect(ctx, info); err != nil {
			return err
		}
	}
	direct := net.Direct(info.ID)
	s, err := net.OpenBulk(ctx, info.ID, Protocol)
	if err != nil {
		return err
	}
	c.via = !direct && !s.Bulk() // if a direct way was found just now, it is taken up anew
	c.s, c.br, c.out = s, bufio.NewReaderSize(s, flow.Slice), bufio.NewWriterSize(s, flow.Slice)
	return nil
}

// greet says hello, and has the size of the root proven if it is not known yet.
func (c *conn) greet(ctx context.Context) error {
	c.s.SetDeadline(time.Now().Add(proto.HelloTime))
	defer c.s.SetDeadline(time.Time{})
	h := proto.Hello{Root: c.d.root.CID().Bytes(), Addrs: proto.EncodeAddrs(c.d.m.o.Net.Addrs())}
	if err := wire.WriteMsg(c.s, proto.Ask{Hello: &h}); err != nil {
		return err
	}
	t, err := proto.ReadTell(c.br)
	switch {
	case err != nil:
		return err
	case t.Welcome == nil:
		return fmt.Errorf("transfer: it does not begin with a welcome: %w", kith.Invalid)
	case t.Welcome.Status != proto.StatusOK:
		return fmt.Errorf("transfer: it does not share this: %w", t.Welcome.Status)
	}
	c.d.widen(t.Welcome.Narrow)
	known := c.d.rootSize()
	size := t.Welcome.Size
	switch {
	case size < 0:
	case known >= 0 && size != known:
		c.d.mu.Lock()
		by := c.d.sizedBy
		c.d.mu.Unlock()
		if by != "" && c.probe(ctx, size) == nil {
			err := c.d.mixed(NetworkName(by), "Kith", fmt.Sprintf("%d bytes, not %d", known, size))
			c.d.refuse(err)
			return err
		}
		return &stage.Wrong{What: "size", Err: fmt.Errorf("it says %d bytes, it is %d: %w", size, known, kith.Corrupt)}
	case known < 0:
		if err := c.probe(ctx, size); err != nil {
			return err
		}
		c.d.learn(size, proto.PlainName(t.Welcome.Name))
	}
	return wire.WriteMsg(c.s, proto.Ask{Others: true})
}

// probeID is the number of the request that probe makes.
const probeID = 1 << 62

// probe has the source prove the last group of the root: that proves its size too, since the shape of the tree and the number of the
// last chunk go into the digest.
func (c *conn) probe(ctx context.Context, size int64) error {
	last := bao.Range{First: bao.Groups(size) - 1, N: 1}
	w := proto.Wanted{ID: probeID, Items: []proto.Item{{First: last.First, N: 1}}}
	if err := wire.WriteMsg(c.s, proto.Ask{Request: &w}); err != nil {
		return err
	}
	t, err := proto.ReadTell(c.br)
	if err != nil {
		return err
	}
	if t.Answer == nil || t.Answer.ID != probeID || len(t.Answer.Parts) != 1 {
		return fmt.Errorf("transfer: no answer to the first request: %w", kith.Invalid)
	}
	p := t.Answer.Parts[0]
	if p.Status != proto.StatusOK {
		return fmt.Errorf("transfer: it does not have the end of it yet: %w", kith.Unavailable)
	}
	if p.Proof != bao.ProofSize(size, last) || p.Data != size-last.First*bao.GroupSize {
		return &stage.Wrong{Group: last.First, What: "size", Err: fmt.Errorf("a proof of %d and data of %d bytes: %w", p.Proof, p.Data, kith.Corrupt)}
	}
	buf := make([]byte, p.Proof+p.Data)
	if err := c.d.m.down.Read(ctx, c.s, c.br, buf); err != nil {
		return err
	}
	return stage.CheckEnd(c.d.root.Sum, size, buf[:p.Proof], buf[p.Proof:])
}

// nudge lets the conn look for something to ask.
func (c *conn) nudge() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// write asks for what the engine decides.
func (c *conn) write(ctx context.Context) error {
	alive := time.NewTicker(proto.AliveTime)
	defer alive.Stop()
	for {
		if err := c.send(); err != nil {
			return err
		}
		select {
		case <-c.wake:
		case <-alive.C:
			if err := wire.WriteMsg(c.out, proto.Ask{}); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// send writes all that is to be asked now.
func (c *conn) send() error {
	c.s.SetWriteDeadline(time.Now().Add(proto.IdleTime))
	st := c.d.currentStage()
	c.mu.Lock()
	moved := st != c.stage
	c.stage = st
	cancels := c.cancels
	c.cancels = nil
	c.mu.Unlock()
	for _, id := range cancels {
		if err := wire.WriteMsg(c.out, proto.Ask{Cancel: id}); err != nil {
			return err
		}
	}
	if st == nil {
		return c.out.Flush()
	}
	if moved {
		st.Mu.Lock()
		st.Engine.Join(c.id, st.Now())
		st.Mu.Unlock()
		if err := wire.WriteMsg(c.out, proto.Ask{Follow: &st.Number}); err != nil {
			return err
		}
	}
	for {
		st.Mu.Lock()
		q, ok := st.Engine.Next(c.id, st.Now())
		st.Mu.Unlock()
		if !ok {
			if err := c.askProofs(st); err != nil {
				return err
			}
			return c.out.Flush()
		}
		a := &asking{stage: st, id: q.ID, fresh: q.Fresh, list: st.Want(bao.Range{First: q.First, N: q.N})}
		if err := c.request(a); err != nil {
			return err
		}
	}
}

// Proofs of loose groups are asked for when there is nothing else to ask: so many requests at once, numbered from proofID on.
const (
	maxProofs = 2
	proofID   = 1 << 61
)

// askProofs asks for proofs of groups that another network brought, if the source has them.
func (c *conn) askProofs(st *stage.Stage) error {
	for st.Mixed {
		c.mu.Lock()
		full := c.proofs >= maxProofs
		c.mu.Unlock()
		if full {
			return nil
		}
		s, ok := st.NextLoose(func(r bao.Range) bool { return st.Engine.Holds(c.id, r) }, engine.MaxRequest)
		if !ok {
			return nil
		}
		c.mu.Lock()
		c.proofs++
		c.lastProof++
		id := proofID + c.lastProof
		c.mu.Unlock()
		if err := c.request(&asking{stage: st, id: id, list: []stage.Stretch{s}, proof: true}); err != nil {
			return err
		}
	}
	return nil
}

func (c *conn) request(a *asking) error {
	w := proto.Wanted{ID: a.id, Fresh: a.fresh}
	for _, s := range a.list {
		it := proto.Item{First: s.First, N: s.N, Proof: a.proof}
		if a.stage.Number == proto.RowFiles {
			it.Sum = a.stage.Row.Files[s.File].Ref.Sum[:]
		}
		w.Items = append(w.Items, it)
	}
	c.mu.Lock()
	c.asked[a.id] = a
	c.pace.Ask(time.Now())
	c.mu.Unlock()
	return wire.WriteMsg(c.out, proto.Ask{Request: &w})
}

// read takes in what the source sends.
func (c *conn) read(ctx context.Context) error {
	for {
		c.s.SetReadDeadline(time.Now().Add(proto.IdleTime))
		t, err := proto.ReadTell(c.br)
		switch {
		case err != nil:
			return err
		case t.Have != nil:
			err = c.has(t.Have)
		case t.Answer != nil:
			err = c.receive(ctx, t.Answer)
		case t.Others != nil:
			for _, o := range t.Others {
				if p, err := o.Peer(); err == nil {
					c.d.Add(p)
				}
			}
		case t.Welcome != nil:
			err = fmt.Errorf("transfer: a second welcome: %w", kith.Invalid)
		}
		if err != nil {
			return err
		}
	}
}

// has takes in a have-map.
func (c *conn) has(h *proto.HaveMap) error {
	c.mu.Lock()
	st := c.stage
	c.mu.Unlock()
	if st == nil || h.Row != st.Number {
		return nil // of a row that it was asked for before
	}
	list, err := h.Ranges(st.Row.N)
	if err != nil {
		return err
	}
	st.Mu.Lock()
	for _, r := range list {
		st.Engine.Has(c.id, r)
	}
	if h.All {
		st.Engine.HasAll(c.id)
	}
	part := st.Engine.Part(c.id)
	st.Mu.Unlock()
	c.d.mu.Lock()
	c.src.have = part
	c.d.mu.Unlock()
	c.nudge()
	return nil
}

// receive reads what follows an answer, and hands it to who checks it.
func (c *conn) receive(ctx context.Context, a *proto.Answer) error {
	c.mu.Lock()
	q := c.asked[a.ID]
	delete(c.asked, a.ID)
	c.mu.Unlock()
	if q == nil || len(a.Parts) != len(q.list) {
		return fmt.Errorf("transfer: an answer that was not asked for: %w", kith.Invalid)
	}
	if q.fresh && a.Declines() {
		q.stage.Mu.Lock()
		q.stage.Engine.Declined(q.id, q.stage.Now())
		q.stage.Mu.Unlock()
		c.mu.Lock()
		c.pace.Came(0, time.Now())
		c.mu.Unlock()
		c.nudge()
		return nil
	}
	total := 0
	for i, p := range a.Parts {
		proof, data := int64(0), int64(0)
		if p.Status == proto.StatusOK {
			proof = bao.ProofSize(q.stage.Row.Files[q.list[i].File].Size, q.list[i].Range)
			if !q.proof {
				data = q.stage.Row.Bytes(q.list[i])
			}
		}
		if p.Proof != proof || p.Data != data {
			return fmt.Errorf("transfer: a proof of %d bytes and data of %d, want %d and %d: %w", p.Proof, p.Data, proof, data, kith.Invalid)
		}
		total += int(proof + data)
	}
	buf := grow(getBuffer(), total)
	if err := c.d.m.down.Read(ctx, c.s, c.br, buf); err != nil {
		putBuffer(buf)
		return err
	}
	c.mu.Lock()
	c.pace.Came(total, time.Now())
	c.mu.Unlock()
	q.stage.Mu.Lock()
	q.stage.Engine.Arrived(q.id, q.stage.Now())
	q.stage.Mu.Unlock()
	if q.proof {
		c.mu.Lock()
		c.proofs--
		c.mu.Unlock()
	}
	c.nudge()
	select {
	case c.d.arrived <- &arrival{c, q, a.Parts, buf}:
		return nil
	case <-ctx.Done():
		putBuffer(buf)
		return context.Cause(ctx)
	}
}

// An arrival is an answer that is to be checked.
type arrival struct {
	c     *conn
	q     *asking
	parts []proto.Part
	buf   []byte
}

// settle checks an answer, keeps what is right and draws the conclusions.
func (a *arrival) settle(ctx context.Context) {
	defer putBuffer(a.buf)
	if a.q.proof {
		a.settleProofs(ctx)
		return
	}
	st, rest := a.q.stage, a.buf
	var right []stage.Stretch
	var lacks []bao.Range
	var bytes int64
	failed := false
	for i, p := range a.parts {
		s := a.q.list[i]
		proof, data := rest[:p.Proof], rest[p.Proof:p.Proof+p.Data]
		rest = rest[p.Proof+p.Data:]
		if p.Status != proto.StatusOK {
			failed = true
			lacks = append(lacks, bao.Range{First: st.Row.First[s.File] + s.First, N: s.N})
			continue
		}
		err := st.Take(ctx, s, proof, data)
		if w := (*stage.Wrong)(nil); errors.As(err, &w) {
			a.c.d.cutOff(a.c, w)
			return
		} else if err != nil {
			st.Fail(err)
			return
		}
		right = append(right, s)
		bytes += p.Data
	}
	if _, err := st.Took(ctx, right, false); err != nil {
		st.Fail(err)
		return
	}
	a.c.d.credit(a.c.src, bytes)
	st.Mu.Lock()
	var needless []*engine.Request
	if failed {
		for _, s := range right {
			st.Note(bao.Range{First: st.Row.First[s.File] + s.First, N: s.N})
		}
		for _, r := range lacks {
			st.Engine.Lacks(a.c.id, r)
		}
		st.Engine.Failed(a.q.id)
	} else {
		needless = st.Engine.Verified(a.q.id)
	}
	st.FinishIfComplete()
	st.Mu.Unlock()
	a.c.d.needless(needless)
	st.Tell()
	if failed {
		a.c.d.nudgeAll()
	}
}

// settleProofs takes in proofs of loose groups.
func (a *arrival) settleProofs(ctx context.Context) {
	st, rest := a.q.stage, a.buf
	for i, p := range a.parts {
		s, proof := a.q.list[i], rest[:p.Proof]
		rest = rest[p.Proof:]
		if p.Status != proto.StatusOK {
			st.Mu.Lock()
			st.Engine.Lacks(a.c.id, bao.Range{First: st.Row.First[s.File] + s.First, N: s.N})
			st.Mu.Unlock()
			st.Unprove(s)
			continue
		}
		err := st.Prove(ctx, s, proof)
		if w := (*stage.Wrong)(nil); errors.As(err, &w) {
			a.c.d.cutOff(a.c, w)
			return
		} else if err != nil {
			st.Fail(err)
			return
		}
	}
	st.Tell()
}
