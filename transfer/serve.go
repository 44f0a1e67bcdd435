package transfer

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/blob"
	"kith/blob/bao"
	"kith/network"
	"kith/transfer/proto"
	"kith/wire"
)

// A session answers one stream of one peer.
type session struct {
	m    *Manager
	s    network.Stream
	peer peer.ID
	root kith.Ref
	addr [][]byte // where the peer can be reached, as it says

	groups   int64       // of the root, 0 if not known
	promised []bao.Range // of the root, what it asked for lately; m.mu guards it

	tells chan any          // *tell, or *reply: what is to be written
	queue chan proto.Wanted // what is to be answered
	refs  map[kith.Ref]bool // the files of the folder, if it is open to us and not too large

	mu       sync.Mutex
	canceled map[uint64]bool
	waiting  map[uint64]bool
	follow   map[int]bool    // rows whose have-maps it wants
	others   bool            // it wants to hear of other sources
	declined []*proto.Answer // not written yet
	came     []proto.Other   // sources that came since
	news     chan struct{}   // cap 1: declined or came has grown
}

// A reply is an answer with what follows it.
type reply struct {
	tell proto.Tell
	data []byte
	n    int64 // bytes of content in it
}

const (
	builders  = 2       // answers of one session that are made at once
	knownRefs = 100_000 // files of a folder that are remembered for a session; beyond, the store is asked about each
)

// A shelf is the blobs that one builder has open, at most blob.MaxAhead.
type shelf map[kith.Ref]*blob.Blob

// Serve answers what a peer asks over one stream, until it has no more to ask.
func (m *Manager) Serve(ctx context.Context, s network.Stream) error {
	br := bufio.NewReaderSize(s, proto.MaxAsk)
	s.SetReadDeadline(time.Now().Add(proto.HelloTime))
	first, err := proto.ReadAsk(br)
	if err != nil {
		return fmt.Errorf("transfer: hello of %s: %w", s.Peer(), err)
	}
	if first.Hello == nil {
		return fmt.Errorf("transfer: %s begins without a hello: %w", s.Peer(), kith.Invalid)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	x := &session{
		m: m, s: s, peer: s.Peer(), tells: make(chan any, 1), queue: make(chan proto.Wanted, proto.MaxOutstanding), addr: first.Hello.Addrs,
		canceled: map[uint64]bool{}, waiting: map[uint64]bool{}, follow: map[int]bool{}, news: make(chan struct{}, 1),
	}
	w := x.welcome(ctx, first.Hello)
	if w.Status == proto.StatusOK {
		if err := m.enter(x); err != nil {
			w = proto.Welcome{Status: kith.KindOf(err), Size: -1}
		} else {
			defer m.leave(x)
		}
	}
	s.SetWriteDeadline(time.Now().Add(proto.HelloTime))
	if err := wire.WriteMsg(s, proto.Tell{Welcome: &w}); err != nil || w.Status != proto.StatusOK {
		return err
	}
	return x.run(ctx, stop, br)
}

// welcome decides whether the peer may fetch what it names.
func (x *session) welcome(ctx context.Context, h *proto.Hello) proto.Welcome {
	no := func(err error) proto.Welcome {
		k := kith.KindOf(err)
		if k == kith.Internal {
			k = kith.Unavailable
		}
		return proto.Welcome{Status: k, Size: -1}
	}
	_, c, err := cid.CidFromBytes(h.Root)
	if err != nil {
		return no(kith.Invalid)
	}
	if x.root, err = kith.RefOfCID(c); err != nil {
		return no(err)
	}
	if err := x.m.o.Guard.Allow(x.peer, x.root); err != nil {
		return no(err)
	}
	w := proto.Welcome{Size: -1, Name: x.m.nameOf(ctx, x.root), Narrow: x.m.o.Guard.Narrow(x.root)}
	b, err := x.m.o.Blobs.Blob(ctx, x.root)
	switch {
	case err == nil:
		w.Size, x.groups = b.Size(), bao.Groups(b.Size())
		b.Close()
	case x.m.Download(x.root) == nil:
		return no(err)
	}
	return w
}

// run reads what is asked, makes answers and writes them, each on a goroutine of its own, so that disk and network do not wait for each other.
func (x *session) run(ctx context.Context, stop func(), br *bufio.Reader) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	unblock := context.AfterFunc(ctx, func() { x.s.SetDeadline(time.Unix(1, 0)) })
	defer unblock()
	x.refs = x.m.filesOf(ctx, x.root)
	errs := make(chan error, builders+1)
	for _, work := range []func(context.Context) error{x.answer, x.answer, x.write} {
		wg.Go(func() {
			if err := work(ctx); err != nil {
				errs <- err
				stop()
			}
		})
	}
	for {
		x.s.SetReadDeadline(time.Now().Add(proto.IdleTime))
		a, err := proto.ReadAsk(br)
		if err == nil {
			err = x.asked(ctx, &wg, a)
		}
		if err == nil {
			continue
		}
		select {
		case first := <-errs: // why reading failed
			return first
		default:
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		return fmt.Errorf("transfer: asked by %s: %w", x.peer, err)
	}
}

func (x *session) asked(ctx context.Context, wg *sync.WaitGroup, a proto.Ask) error {
	declines := a.Request != nil && x.m.declines(x, a.Request)
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case declines:
		if len(x.declined) >= proto.MaxOutstanding {
			return fmt.Errorf("more than %d requests at once: %w", proto.MaxOutstanding, kith.TooLarge)
		}
		x.declined = append(x.declined, proto.Decline(a.Request))
		x.hasNews()
	case a.Request != nil:
		if x.waiting[a.Request.ID] {
			return fmt.Errorf("request %d twice: %w", a.Request.ID, kith.Invalid)
		}
		select {
		case x.queue <- *a.Request:
			x.waiting[a.Request.ID] = true
		default:
			return fmt.Errorf("more than %d requests at once: %w", proto.MaxOutstanding, kith.TooLarge)
		}
	case a.Cancel != 0:
		if x.waiting[a.Cancel] {
			x.canceled[a.Cancel] = true
		}
	case a.Follow != nil:
		if row := *a.Follow; !x.follow[row] {
			x.follow[row] = true
			wg.Go(func() { x.tellHaves(ctx, row) })
		}
	case a.Others && !x.others:
		x.others = true
		wg.Go(func() { x.tell(ctx, &proto.Tell{Others: x.m.others(x)}) })
	}
	return nil
}

// tell has a message written.
func (x *session) tell(ctx context.Context, t any) bool {
	select {
	case x.tells <- t:
		return true
	case <-ctx.Done():
		return false
	}
}

// answer makes answers.
func (x *session) answer(ctx context.Context) error {
	open := shelf{}
	defer open.clear(0)
	for {
		select {
		case w := <-x.queue:
			if err := x.m.slots.Acquire(ctx, x.peer); err != nil {
				return nil
			}
			r := x.reply(ctx, open, w)
			if !x.tell(ctx, r) {
				x.m.slots.Release(x.peer, 0)
				r.free()
				return nil
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// reply makes the answer to one request.
func (x *session) reply(ctx context.Context, open shelf, w proto.Wanted) *reply {
	x.mu.Lock()
	dropped := x.canceled[w.ID]
	delete(x.canceled, w.ID)
	delete(x.waiting, w.ID)
	x.mu.Unlock()
	r := &reply{data: getBuffer()}
	a := &proto.Answer{ID: w.ID, Parts: make([]proto.Part, len(w.Items))}
	r.tell.Answer = a
	denied := x.m.o.Guard.Allow(x.peer, x.root)
	for i, it := range w.Items {
		if i%blob.MaxAhead == 0 && denied == nil && !dropped {
			x.ahead(ctx, open, w.Items[i:])
		}
		switch {
		case dropped:
			a.Parts[i].Status = kith.Unavailable
		case denied != nil:
			a.Parts[i].Status = kith.Denied
		default:
			a.Parts[i], r.data = x.part(ctx, open, it, r.data)
			r.n += a.Parts[i].Data
		}
	}
	return r
}

// part appends the proof and the data of one item to buf.
func (x *session) part(ctx context.Context, open shelf, it proto.Item, buf []byte) (proto.Part, []byte) {
	at := len(buf)
	no := func(err error) (proto.Part, []byte) {
		k := kith.KindOf(err)
		if k == kith.Internal {
			k = kith.Unavailable
		}
		return proto.Part{Status: k}, buf[:at]
	}
	b, err := x.blob(ctx, open, it.Sum)
	if err != nil {
		return no(err)
	}
	groups := bao.Groups(b.Size())
	if it.First >= groups || it.N > groups-it.First {
		return no(kith.Invalid)
	}
	if buf, err = b.Proof(buf, bao.Range{First: it.First, N: it.N}); err != nil {
		return no(err)
	}
	p := proto.Part{Proof: int64(len(buf) - at)}
	if it.Proof {
		return p, buf
	}
	from := it.First * bao.GroupSize
	p.Data = min(it.N*bao.GroupSize, b.Size()-from)
	start := len(buf)
	buf = grow(buf, int(p.Data))
	if n, err := b.ReadAt(buf[start:], from); n < int(p.Data) {
		return no(err)
	}
	return p, buf
}

// blob returns the blob of the root that a digest names, opened.
func (x *session) blob(ctx context.Context, open shelf, sum []byte) (*blob.Blob, error) {
	ref := x.root
	if len(sum) > 0 {
		ref = kith.RawRef([32]byte(sum))
	}
	if b := open[ref]; b != nil {
		return b, nil
	}
	if ref != x.root && !x.refs[ref] {
		if in, err := x.m.o.Blobs.Contains(ctx, x.root, ref); err != nil || !in {
			return nil, cmp.Or(err, error(kith.NotFound))
		}
	}
	b, err := x.m.o.Blobs.Blob(ctx, ref)
	if err != nil {
		return nil, err
	}
	open.clear(blob.MaxAhead - 1)
	open[ref] = b
	return b, nil
}

// ahead opens the files that the next items name, all at once if they are many: one question to the database in place of one for each.
func (x *session) ahead(ctx context.Context, open shelf, items []proto.Item) {
	var refs []kith.Ref
	for _, it := range items[:min(len(items), blob.MaxAhead)] {
		if len(it.Sum) > 0 {
			if ref := kith.RawRef([32]byte(it.Sum)); x.refs[ref] && open[ref] == nil && !slices.Contains(refs, ref) {
				refs = append(refs, ref)
			}
		}
	}
	if len(refs) < 2 {
		return
	}
	open.clear(0)
	blobs, err := x.m.o.Blobs.Blobs(ctx, refs)
	if err != nil {
		return // each is opened for itself, and that tells what is wrong
	}
	for _, b := range blobs {
		open[b.Ref()] = b
	}
}

// clear closes blobs until at most n are open.
func (s shelf) clear(n int) {
	for ref, b := range s {
		if len(s) <= n {
			return
		}
		b.Close()
		delete(s, ref)
	}
}

// filesOf returns the files of a folder, or nil if it is none, is not here, is private or is too large.
func (m *Manager) filesOf(ctx context.Context, root kith.Ref) map[kith.Ref]bool {
	if root.Codec != kith.Manifest {
		return nil
	}
	man, err := m.o.Blobs.Manifest(ctx, root, nil)
	if err != nil || len(man.Entries) > knownRefs {
		return nil
	}
	refs := make(map[kith.Ref]bool, len(man.Entries))
	for _, e := range man.Entries {
		if e.File() {
			refs[e.Ref] = true
		}
	}
	return refs
}

// write writes what is to be written, and a sign of life when there is nothing.
func (x *session) write(ctx context.Context) error {
	alive := time.NewTicker(proto.AliveTime)
	defer alive.Stop()
	for {
		var err error
		select {
		case t := <-x.tells:
			if err := x.putNews(); err != nil { // not behind what takes long
				return err
			}
			switch t := t.(type) {
			case *reply:
				err = x.send(ctx, t)
			case *proto.Tell:
				err = x.put(t)
			}
		case <-x.news:
			err = x.putNews()
		case <-alive.C:
			err = x.put(&proto.Tell{})
		case <-ctx.Done():
			return nil
		}
		if err != nil {
			return fmt.Errorf("transfer: answer %s: %w", x.peer, err)
		}
	}
}

// putNews writes what others who fetch the same are the reason for.
func (x *session) putNews() error {
	x.mu.Lock()
	declined, came := x.declined, x.came
	x.declined, x.came = nil, nil
	x.mu.Unlock()
	for _, a := range declined {
		if err := x.put(&proto.Tell{Answer: a}); err != nil {
			return err
		}
	}
	if len(came) == 0 {
		return nil
	}
	return x.put(&proto.Tell{Others: came})
}

func (x *session) put(t *proto.Tell) error {
	x.s.SetWriteDeadline(time.Now().Add(proto.IdleTime))
	return wire.WriteMsg(x.s, t)
}

func (x *session) send(ctx context.Context, r *reply) error {
	defer r.free()
	defer x.m.slots.Release(x.peer, r.n)
	if err := x.put(&r.tell); err != nil {
		return err
	}
	if err := x.m.up.Write(ctx, x.s, r.data); err != nil {
		return err
	}
	x.m.sent(x.root, r.n)
	return nil
}

func (r *reply) free() { putBuffer(r.data) }

// buffers holds room for one answer with its proofs.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, proto.MaxAnswer+64<<10); return &b }}

func getBuffer() []byte  { return (*buffers.Get().(*[]byte))[:0] }
func putBuffer(b []byte) { buffers.Put(&b) }

// grow makes buf longer by n bytes.
func grow(buf []byte, n int) []byte {
	if cap(buf)-len(buf) >= n {
		return buf[:len(buf)+n]
	}
	return append(buf, make([]byte, n)...)
}
