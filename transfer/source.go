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
	d   *Download
	src *source
	id  engine.SourceID
	s   network.Stream
	via bool // through a relay
	br  *bufio.Reader
	out *bufio.Writer

	wake chan struct{} // cap 1: there may be something to ask
	end  context.CancelCauseFunc

	mu      sync.Mutex
	stage   *stage // that it is asked about
	asked   map[uint64]*asking
	cancels []uint64
	pace    pace

	proofs    int    // requests for proofs that are not answered
	lastProof uint64 // how many there have been
}

// A pace is how fast a stream was while something was asked of it: time in which a source owes nothing says nothing.
type pace struct {
	owed  int // answers that are not wholly here
	since time.Time
	busy  time.Duration
	bytes int64
}

// ask notes that something was asked for.
func (p *pace) ask(now time.Time) {
	if p.owed++; p.owed == 1 {
		p.since = now
	}
}

// came notes an answer of n bytes.
func (p *pace) came(n int, now time.Time) {
	p.owed--
	p.bytes += int64(n)
	p.busy += now.Sub(p.since)
	p.since = now
}

// An asking is a request that waits for its answer.
type asking struct {
	stage *stage
	id    uint64
	fresh bool
	list  []stretch
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
		d.m.o.Net.Report(c.s.Peer(), c.s.Bulk(), c.pace.bytes, c.pace.busy)
	}
	return context.Cause(ctx)
}

// open reaches the peer.
func (c *conn) open(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*helloTime)
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
	c.s, c.br, c.out = s, bufio.NewReaderSize(s, slice), bufio.NewWriterSize(s, slice)
	return nil
}

// greet says hello, and has the size of the root proven if it is not known yet.
func (c *conn) greet(ctx context.Context) error {
	c.s.SetDeadline(time.Now().Add(helloTime))
	defer c.s.SetDeadline(time.Time{})
	h := hello{Root: c.d.root.CID().Bytes(), Addrs: encodeAddrs(c.d.m.o.Net.Addrs())}
	if err := wire.WriteMsg(c.s, ask{Hello: &h}); err != nil {
		return err
	}
	t, err := readTell(c.br)
	switch {
	case err != nil:
		return err
	case t.Welcome == nil:
		return fmt.Errorf("transfer: it does not begin with a welcome: %w", kith.Invalid)
	case t.Welcome.Status != statusOK:
		return fmt.Errorf("transfer: it does not share this: %w", t.Welcome.Status)
	}
	c.d.widen(t.Welcome.Narrow)
	known := c.d.rootSize()
	size := t.Welcome.Size
	switch {
	case size < 0:
	case known >= 0 && size != known:
		if by := c.d.sizeFrom(); by != "" && c.probe(ctx, size) == nil {
			err := c.d.mixed(NetworkName(by), "Kith", fmt.Sprintf("%d bytes, not %d", known, size))
			c.d.refuse(err)
			return err
		}
		return &wrong{0, "size", fmt.Errorf("it says %d bytes, it is %d: %w", size, known, kith.Corrupt)}
	case known < 0:
		if err := c.probe(ctx, size); err != nil {
			return err
		}
		c.d.learn(size, plainName(t.Welcome.Name))
	}
	return wire.WriteMsg(c.s, ask{Others: true})
}

// probeID is the number of the request that probe makes.
const probeID = 1 << 62

// probe has the source prove the last group of the root: that proves its size too, since the shape of the tree and the number of the
// last chunk go into the digest.
func (c *conn) probe(ctx context.Context, size int64) error {
	last := bao.Range{First: bao.Groups(size) - 1, N: 1}
	w := wanted{ID: probeID, Items: []item{{First: last.First, N: 1}}}
	if err := wire.WriteMsg(c.s, ask{Request: &w}); err != nil {
		return err
	}
	t, err := readTell(c.br)
	if err != nil {
		return err
	}
	if t.Answer == nil || t.Answer.ID != probeID || len(t.Answer.Parts) != 1 {
		return fmt.Errorf("transfer: no answer to the first request: %w", kith.Invalid)
	}
	p := t.Answer.Parts[0]
	if p.Status != statusOK {
		return fmt.Errorf("transfer: it does not have the end of it yet: %w", kith.Unavailable)
	}
	if p.Proof != bao.ProofSize(size, last) || p.Data != size-last.First*bao.GroupSize {
		return &wrong{last.First, "size", fmt.Errorf("a proof of %d and data of %d bytes: %w", p.Proof, p.Data, kith.Corrupt)}
	}
	buf := make([]byte, p.Proof+p.Data)
	if err := c.d.m.down.read(ctx, c.s, c.br, buf); err != nil {
		return err
	}
	tree := bao.NewTree(c.d.root.Sum, size, sparse{})
	if p.Proof > 0 {
		if err := tree.AddProof(last, buf[:p.Proof]); err != nil {
			return &wrong{last.First, "size", err}
		}
	}
	if err := tree.Verify(last.First, buf[p.Proof:]); err != nil {
		return &wrong{last.First, "size", err}
	}
	return nil
}

// sparse is a bao.Storage of a few parents, each of 64 bytes.
type sparse map[int64][64]byte

func (s sparse) WriteAt(p []byte, off int64) (int, error) {
	for i := 0; i+64 <= len(p); i += 64 {
		s[off+int64(i)] = [64]byte(p[i:])
	}
	return len(p), nil
}

func (s sparse) ReadAt(p []byte, off int64) (int, error) {
	for i := 0; i+64 <= len(p); i += 64 {
		parent := s[off+int64(i)]
		copy(p[i:], parent[:])
	}
	return len(p), nil
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
	alive := time.NewTicker(aliveTime)
	defer alive.Stop()
	for {
		if err := c.send(); err != nil {
			return err
		}
		select {
		case <-c.wake:
		case <-alive.C:
			if err := wire.WriteMsg(c.out, ask{}); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// send writes all that is to be asked now.
func (c *conn) send() error {
	c.s.SetWriteDeadline(time.Now().Add(idleTime))
	st := c.d.currentStage()
	c.mu.Lock()
	moved := st != c.stage
	c.stage = st
	cancels := c.cancels
	c.cancels = nil
	c.mu.Unlock()
	for _, id := range cancels {
		if err := wire.WriteMsg(c.out, ask{Cancel: id}); err != nil {
			return err
		}
	}
	if st == nil {
		return c.out.Flush()
	}
	if moved {
		st.mu.Lock()
		st.engine.Join(c.id, st.now())
		st.mu.Unlock()
		if err := wire.WriteMsg(c.out, ask{Follow: &st.number}); err != nil {
			return err
		}
	}
	for {
		st.mu.Lock()
		q, ok := st.engine.Next(c.id, st.now())
		st.mu.Unlock()
		if !ok {
			if err := c.askProofs(st); err != nil {
				return err
			}
			return c.out.Flush()
		}
		a := &asking{stage: st, id: q.ID, fresh: q.Fresh, list: st.want(bao.Range{First: q.First, N: q.N})}
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
func (c *conn) askProofs(st *stage) error {
	for st.mixed {
		c.mu.Lock()
		full := c.proofs >= maxProofs
		c.mu.Unlock()
		if full {
			return nil
		}
		s, ok := st.nextLoose(func(r bao.Range) bool { return st.engine.Holds(c.id, r) }, engine.MaxRequest)
		if !ok {
			return nil
		}
		c.mu.Lock()
		c.proofs++
		c.lastProof++
		id := proofID + c.lastProof
		c.mu.Unlock()
		if err := c.request(&asking{stage: st, id: id, list: []stretch{s}, proof: true}); err != nil {
			return err
		}
	}
	return nil
}

func (c *conn) request(a *asking) error {
	w := wanted{ID: a.id, Fresh: a.fresh}
	for _, s := range a.list {
		it := item{First: s.First, N: s.N, Proof: a.proof}
		if a.stage.number == rowFiles {
			it.Sum = a.stage.row.files[s.file].ref.Sum[:]
		}
		w.Items = append(w.Items, it)
	}
	c.mu.Lock()
	c.asked[a.id] = a
	c.pace.ask(time.Now())
	c.mu.Unlock()
	return wire.WriteMsg(c.out, ask{Request: &w})
}

// read takes in what the source sends.
func (c *conn) read(ctx context.Context) error {
	for {
		c.s.SetReadDeadline(time.Now().Add(idleTime))
		t, err := readTell(c.br)
		switch {
		case err != nil:
			return err
		case t.Have != nil:
			err = c.has(t.Have)
		case t.Answer != nil:
			err = c.receive(ctx, t.Answer)
		case t.Others != nil:
			for _, o := range t.Others {
				if p, err := o.peer(); err == nil {
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
func (c *conn) has(h *haveMap) error {
	c.mu.Lock()
	st := c.stage
	c.mu.Unlock()
	if st == nil || h.Row != st.number {
		return nil // of a row that it was asked for before
	}
	list, err := h.ranges(st.row.n)
	if err != nil {
		return err
	}
	st.mu.Lock()
	for _, r := range list {
		st.engine.Has(c.id, r)
	}
	if h.All {
		st.engine.HasAll(c.id)
	}
	part := st.engine.Part(c.id)
	st.mu.Unlock()
	c.d.mu.Lock()
	c.src.have = part
	c.d.mu.Unlock()
	c.nudge()
	return nil
}

// receive reads what follows an answer, and hands it to who checks it.
func (c *conn) receive(ctx context.Context, a *answer) error {
	c.mu.Lock()
	q := c.asked[a.ID]
	delete(c.asked, a.ID)
	c.mu.Unlock()
	if q == nil || len(a.Parts) != len(q.list) {
		return fmt.Errorf("transfer: an answer that was not asked for: %w", kith.Invalid)
	}
	if q.fresh && a.declines() {
		q.stage.mu.Lock()
		q.stage.engine.Declined(q.id, q.stage.now())
		q.stage.mu.Unlock()
		c.mu.Lock()
		c.pace.came(0, time.Now())
		c.mu.Unlock()
		c.nudge()
		return nil
	}
	total := 0
	for i, p := range a.Parts {
		proof, data := int64(0), int64(0)
		if p.Status == statusOK {
			proof = bao.ProofSize(q.stage.row.files[q.list[i].file].size, q.list[i].Range)
			if !q.proof {
				data = q.stage.row.bytes(q.list[i])
			}
		}
		if p.Proof != proof || p.Data != data {
			return fmt.Errorf("transfer: a proof of %d bytes and data of %d, want %d and %d: %w", p.Proof, p.Data, proof, data, kith.Invalid)
		}
		total += int(proof + data)
	}
	buf := grow(getBuffer(), total)
	if err := c.d.m.down.read(ctx, c.s, c.br, buf); err != nil {
		putBuffer(buf)
		return err
	}
	c.mu.Lock()
	c.pace.came(total, time.Now())
	c.mu.Unlock()
	q.stage.mu.Lock()
	q.stage.engine.Arrived(q.id, q.stage.now())
	q.stage.mu.Unlock()
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
	parts []part
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
	var right []stretch
	var lacks []bao.Range
	var bytes int64
	failed := false
	for i, p := range a.parts {
		s := a.q.list[i]
		proof, data := rest[:p.Proof], rest[p.Proof:p.Proof+p.Data]
		rest = rest[p.Proof+p.Data:]
		if p.Status != statusOK {
			failed = true
			lacks = append(lacks, bao.Range{First: st.row.first[s.file] + s.First, N: s.N})
			continue
		}
		err := st.take(ctx, s, proof, data)
		if w := (*wrong)(nil); errors.As(err, &w) {
			a.c.d.cutOff(a.c, w)
			return
		} else if err != nil {
			st.fail(err)
			return
		}
		right = append(right, s)
		bytes += p.Data
	}
	if err := st.took(ctx, right, false); err != nil {
		st.fail(err)
		return
	}
	a.c.d.credit(a.c.src, bytes)
	st.mu.Lock()
	var needless []*engine.Request
	if failed {
		for _, s := range right {
			st.note(bao.Range{First: st.row.first[s.file] + s.First, N: s.N})
		}
		for _, r := range lacks {
			st.engine.Lacks(a.c.id, r)
		}
		st.engine.Failed(a.q.id)
	} else {
		needless = st.engine.Verified(a.q.id)
	}
	st.finishIfComplete()
	st.mu.Unlock()
	a.c.d.needless(needless)
	st.tell()
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
		if p.Status != statusOK {
			st.mu.Lock()
			st.engine.Lacks(a.c.id, bao.Range{First: st.row.first[s.file] + s.First, N: s.N})
			st.mu.Unlock()
			st.unprove(s)
			continue
		}
		err := st.prove(ctx, s, proof)
		if w := (*wrong)(nil); errors.As(err, &w) {
			a.c.d.cutOff(a.c, w)
			return
		} else if err != nil {
			st.fail(err)
			return
		}
	}
	st.tell()
}

// sizeFrom returns the network that told the size of the root blob; "" if it is proven.
func (d *Download) sizeFrom() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.sizedBy
}
