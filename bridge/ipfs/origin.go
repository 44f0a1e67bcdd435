package ipfs

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/bridge/ipfs/unixfs"
	"kith/internal/human"
	"kith/transfer"
)

const (
	window   = 8 << 20  // bytes that are asked for at once before anything is known of the speed
	maxUnit  = maxBlock // bytes
	group    = 16 << 10 // units are whole groups
	recently = 16       // leaves that are kept for the next who asks for another part of them
	maxNodes = 1 << 14  // inner nodes of files that are held decoded
	maxDepth = 32       // inner nodes above a leaf
)

// Open implements bridge.Bridge.
func (b *Bridge) Open(l kith.Link) transfer.Opener {
	if !l.IPFS.Defined() && l.IPNS == "" {
		return nil
	}
	return func(ctx context.Context, c transfer.Content) (transfer.Origin, error) {
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // until Close
		o := &origin{b: b, link: l, content: c, ctx: ctx, cancel: cancel, nodes: map[string]bool{}, decoded: map[cid.Cid]unixfs.Node{},
			from: map[string]int64{}, wanted: map[string]int{}, holders: holders{kick: make(chan struct{}, 1), peers: map[peer.ID]*holder{}}}
		f, err := b.fetcher()
		if err != nil {
			cancel()
			return nil, err
		}
		f.urls = append(slices.Clone(f.urls), l.Gateways...)
		f.web.Store(len(l.Gateways) > 0) // who gave the link meant it
		o.fetcher = f
		b.moves.begin(o)
		return o, nil
	}
}

// origin is IPFS as a source of one download. It implements transfer.Origin and transfer.Knower.
type origin struct {
	b       *Bridge
	link    kith.Link
	content transfer.Content
	fetcher *fetcher
	ctx     context.Context
	cancel  context.CancelFunc

	leaves []string // guarded by moves.mu, as are nodes, from and down
	nodes  map[string]bool
	from   map[string]int64
	down   int64

	holders holders
	asking  sync.WaitGroup

	mu      sync.Mutex
	layout  *transfer.Layout
	files   []root // as in layout.Files
	root    cid.Cid
	decoded map[cid.Cid]unixfs.Node
	recent  []blockOf
	wanted  map[string]int // multihashes that are asked for now
	last    time.Time      // when something came last
	silent  bool
}

// root leads to a file.
type root struct {
	cid  cid.Cid
	size int64
}

var _ transfer.Origin = (*origin)(nil)

// Network implements transfer.Origin.
func (o *origin) Network() string { return Name }

// Layout implements transfer.Origin.
func (o *origin) Layout(ctx context.Context) (transfer.Layout, error) {
	o.mu.Lock()
	known := o.layout
	o.mu.Unlock()
	if known != nil {
		return *known, nil
	}
	ctx, stop := o.joined(ctx)
	defer stop()
	w := &walk{o: o, name: o.link.Name}
	l, err := w.run(ctx)
	if err != nil {
		return transfer.Layout{}, wrap("look into", o.named(), unavailable(err))
	}
	o.mu.Lock()
	began := o.layout != nil
	o.layout, o.files, o.root = &l, w.files, w.root
	o.mu.Unlock()
	if began {
		return l, nil
	}
	first := make(chan struct{})
	o.asking.Go(func() { o.ask(first) })
	select {
	case <-first:
	case <-time.After(firstAnswers):
	case <-ctx.Done():
	}
	return l, nil
}

// unavailable says that what nobody has now may be asked for again.
func unavailable(err error) error {
	if kith.KindOf(err) == kith.NotFound {
		return fmt.Errorf("%w: %w", kith.Unavailable, err)
	}
	return err
}

// named is the CID or name that was asked for.
func (o *origin) named() string {
	n := o.link.IPNS
	if o.link.IPFS.Defined() {
		n = o.link.IPFS.String()
	}
	if o.link.Path != "" {
		n += "/" + o.link.Path
	}
	return n
}

// joined returns a context that ends with o too.
func (o *origin) joined(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(o.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

// node returns a decoded node, from here or from the network.
func (o *origin) node(ctx context.Context, c cid.Cid) (unixfs.Node, error) {
	all, err := o.nodesOf(ctx, []cid.Cid{c})
	if err != nil {
		return unixfs.Node{}, err
	}
	return all[c], nil
}

// nodesOf returns decoded nodes. Those with parts or names are kept.
func (o *origin) nodesOf(ctx context.Context, list []cid.Cid) (map[cid.Cid]unixfs.Node, error) {
	out := make(map[cid.Cid]unixfs.Node, len(list))
	var missing []cid.Cid
	for _, c := range list {
		o.mu.Lock()
		n, ok := o.decoded[c]
		o.mu.Unlock()
		if !ok {
			if data, err := o.b.moves.fetched(c); err == nil {
				if n, err = unixfs.Decode(c, data); err != nil {
					return nil, err
				}
				o.learn(c, n)
				ok = true
			}
		}
		if ok {
			out[c] = n
			continue
		}
		missing = append(missing, c)
	}
	o.asks(missing, 1)
	defer o.asks(missing, -1)
	err := o.fetcher.all(ctx, missing, func(c cid.Cid, data []byte) error {
		o.came()
		n, err := unixfs.Decode(c, data)
		if err != nil {
			return err
		}
		out[c] = n
		if c.Type() == cid.Raw {
			o.remember(c, data)
			return nil
		}
		if err := o.b.moves.keep(ctx, c, data); err != nil {
			return err
		}
		o.learn(c, n)
		return nil
	})
	return out, err
}

// learn keeps a decoded node.
func (o *origin) learn(c cid.Cid, n unixfs.Node) {
	o.b.moves.knows(o, c)
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.decoded) >= maxNodes {
		clear(o.decoded)
	}
	n.Data = slices.Clone(n.Data)
	o.decoded[c] = n
	if len(n.Parts) > 0 {
		select {
		case o.holders.kick <- struct{}{}:
		default:
		}
	}
}

// asks notes what is asked for, so that what comes can be counted.
func (o *origin) asks(list []cid.Cid, d int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range list {
		key := string(c.Hash())
		if o.wanted[key] += d; o.wanted[key] <= 0 {
			delete(o.wanted, key)
		}
	}
}

func (o *origin) wants(c cid.Cid) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.wanted[string(c.Hash())] > 0
}

func (o *origin) came() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last, o.silent = time.Now(), false
}

// remember keeps a few blocks that were asked for in part.
func (o *origin) remember(c cid.Cid, data []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.recent) >= recently {
		o.recent = o.recent[1:]
	}
	o.recent = append(o.recent, blockOf{c, data})
}

func (o *origin) recalled(c cid.Cid) ([]byte, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, b := range o.recent {
		if b.cid.Equals(c) {
			return b.data, true
		}
	}
	return nil, false
}

// A piece is a part of a file, and what of it is wanted.
type piece struct {
	part unixfs.Part
	off  int64 // of the part in the file
}

// Fetch implements transfer.Origin.
func (o *origin) Fetch(ctx context.Context, s transfer.Span, alive func()) ([]byte, error) {
	ctx, stop := o.joined(ctx)
	defer stop()
	data, err := o.fetch(ctx, s, alive)
	if kith.KindOf(err) == kith.NotFound {
		o.mu.Lock()
		o.silent = true
		o.mu.Unlock()
	}
	return data, wrap("fetch from", o.named(), err)
}

func (o *origin) fetch(ctx context.Context, s transfer.Span, alive func()) ([]byte, error) {
	o.mu.Lock()
	if o.layout == nil || s.File < 0 || s.File >= len(o.files) {
		o.mu.Unlock()
		return nil, fmt.Errorf("file %d: %w", s.File, kith.Invalid)
	}
	file := o.files[s.File]
	o.mu.Unlock()
	if s.Off < 0 || s.N < 0 || s.Off > file.size-s.N {
		return nil, fmt.Errorf("bytes %d+%d of a file of %d: %w", s.Off, s.N, file.size, kith.Invalid)
	}
	out := make([]byte, s.N)
	level := []piece{{unixfs.Part{Cid: file.cid, Size: file.size}, 0}}
	for depth := 0; len(level) > 0; depth++ {
		if depth > maxDepth {
			return nil, fmt.Errorf("more than %d nodes above each other: %w", maxDepth, kith.TooLarge)
		}
		var err error
		if level, err = o.descend(ctx, s, out, level, alive); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// descend brings the blocks of one level that s is in, fills in what they hold, and returns the level below.
func (o *origin) descend(ctx context.Context, s transfer.Span, out []byte, level []piece, alive func()) ([]piece, error) {
	var list []cid.Cid
	byCid := map[cid.Cid][]piece{}
	for _, p := range level {
		if _, ok := byCid[p.part.Cid]; !ok {
			list = append(list, p.part.Cid)
		}
		byCid[p.part.Cid] = append(byCid[p.part.Cid], p)
	}
	var below []piece
	take := func(c cid.Cid, n unixfs.Node) error {
		for _, p := range byCid[c] {
			if n.Kind != unixfs.IsFile || n.Size != p.part.Size {
				return fmt.Errorf("%v has %d bytes, and its parent says %d: %w", c, n.Size, p.part.Size, kith.Corrupt)
			}
			fill(out, s.Off, n.Data, p.off)
			below = append(below, o.parts(s, n, p.off)...)
		}
		return nil
	}
	var leaves []cid.Cid
	for _, c := range list {
		o.mu.Lock()
		n, ok := o.decoded[c]
		o.mu.Unlock()
		if ok {
			if err := take(c, n); err != nil {
				return nil, err
			}
			continue
		}
		if data, ok := o.block(c); ok {
			n, err := unixfs.Decode(c, data)
			if err == nil {
				err = take(c, n)
			}
			if err != nil {
				return nil, err
			}
			continue
		}
		leaves = append(leaves, c)
	}
	o.asks(leaves, 1)
	defer o.asks(leaves, -1)
	err := o.fetcher.all(ctx, leaves, func(c cid.Cid, data []byte) error {
		alive()
		o.came()
		n, err := unixfs.Decode(c, data)
		if err != nil {
			return err
		}
		if len(n.Parts) > 0 {
			if err := o.b.moves.keep(ctx, c, data); err != nil {
				return err
			}
			o.learn(c, n)
		} else if int64(len(n.Data)) > s.N || !within(s, byCid[c]) {
			o.remember(c, data)
		}
		return take(c, n)
	})
	return below, err
}

// block returns a block that was fetched before.
func (o *origin) block(c cid.Cid) ([]byte, bool) {
	if data, ok := o.recalled(c); ok {
		return data, true
	}
	if c.Type() == cid.Raw {
		return nil, false
	}
	data, err := o.b.moves.fetched(c)
	return data, err == nil
}

// within reports whether all of some parts is wanted.
func within(s transfer.Span, all []piece) bool {
	return !slices.ContainsFunc(all, func(p piece) bool { return p.off < s.Off || p.off+p.part.Size > s.Off+s.N })
}

// parts returns those parts of a node at off that s is in, and notes all of them for peers.
func (o *origin) parts(s transfer.Span, n unixfs.Node, off int64) (in []piece) {
	off += int64(len(n.Data))
	for _, p := range n.Parts {
		o.b.moves.has(o, s.File, off, p)
		if p.Size > 0 && off < s.Off+s.N && off+p.Size > s.Off {
			in = append(in, piece{p, off})
		}
		off += p.Size
	}
	return in
}

// fill copies what of data, which stands at off of a file, belongs to out, which stands at at.
func fill(out []byte, at int64, data []byte, off int64) {
	from, to := max(off, at), min(off+int64(len(data)), at+int64(len(out)))
	if from < to {
		copy(out[from-at:to-at], data[from-off:to-off])
	}
}

// Here implements transfer.Origin. Peers that wait for a block of it are given it.
func (o *origin) Here(s transfer.Span) {
	on := o.b.net.now()
	if on == nil {
		return
	}
	for _, l := range o.b.moves.within(o, s) {
		on.Tell(o.ctx, l)
	}
}

// Peers implements transfer.Origin.
func (o *origin) Peers(max int) []transfer.OriginPeer { return o.b.moves.givers(o, max) }

// says tells a person how it stands.
func (o *origin) says() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	on := o.b.net.now()
	switch {
	case on == nil || len(on.Peers()) == 0:
		return "no node of IPFS answers"
	case o.silent:
		return "nobody there has it now; it is asked for again"
	case o.layout == nil:
		return "looking for who has it"
	case o.last.IsZero():
		return ""
	}
	return "last block " + human.Duration(time.Since(o.last)) + " ago"
}

// Close implements transfer.Origin.
func (o *origin) Close() error {
	o.cancel()
	o.asking.Wait()
	o.b.moves.end(o)
	o.fetcher.close()
	return o.b.moves.tidy(context.WithoutCancel(o.ctx))
}
