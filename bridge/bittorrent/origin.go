package bittorrent

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/anacrolix/torrent"

	"kith"
	"kith/bridge/bittorrent/metainfo"
	"kith/transfer"
)

// Limits of a download.
const (
	maxHeld    = 96 << 20               // bytes of pieces in memory, of one download, unless one piece is longer
	minWindow  = 4 << 20                // bytes that may be asked for before anything is known of the swarm
	patience   = 10 * time.Second       // with a swarm in which nobody has a piece
	partsEvery = 250 * time.Millisecond // for parts of pieces that are awaited
	checkMany  = 64                     // pieces that wait to be checked, of those that others brought
)

// origin is a swarm as a source of one download. It is a transfer.Origin.
type origin struct {
	s       *swarm
	content transfer.Content
	ctx     context.Context
	cancel  context.CancelFunc

	mu     sync.Mutex
	wanted map[int]int // how many fetch a piece
	spans  []transfer.Span
	work   chan struct{} // has room for one: spans are to be looked at
	first  bool          // what was here at the beginning was looked at
}

// Open implements bridge.Bridge.
func (b *Bridge) Open(l kith.Link) transfer.Opener {
	if len(hashesOf(l.Names)) == 0 && !isTorrentURL(l.Source) {
		return nil
	}
	return func(ctx context.Context, content transfer.Content) (transfer.Origin, error) {
		o, err := b.fetch(ctx, l, content)
		if err != nil {
			return nil, err
		}
		return o, nil
	}
}

// fetch enters the swarm of a link.
func (b *Bridge) fetch(ctx context.Context, l kith.Link, content transfer.Content) (*origin, error) {
	c, err := b.open()
	if err != nil {
		return nil, err
	}
	names := l.Names
	var t *metainfo.Torrent
	if len(hashesOf(names)) == 0 {
		if t, err = b.download(ctx, names.Source); err != nil {
			return nil, err
		}
		names.V1, names.V2 = t.V1, t.V2
	}
	s := &swarm{b: b, c: c, key: keyOf(names), names: kith.Names{V1: names.V1, V2: names.V2}}
	if known, id, err := b.store.torrent(ctx, names); err != nil {
		return nil, fmt.Errorf("bittorrent: %w", err)
	} else if known != nil && isNamed(known.Raw, names, s.key) {
		t, s.id = known, id
	}
	s.audience.Trackers = slices.Clip(names.Trackers)
	if t != nil {
		s.audience = audience{append(s.audience.Trackers, slices.Concat(t.Trackers...)...), t.Private}
	}
	o := &origin{s: s, content: content, wanted: map[int]int{}, work: make(chan struct{}, 1)}
	o.ctx, o.cancel = context.WithCancel(context.Background())
	s.src = contentSource{content}
	if !b.enter(s) {
		return nil, fmt.Errorf("bittorrent: %x is being served or fetched already: %w", s.key, kith.Exists)
	}
	s.join()
	seeds := names.WebSeeds
	if t != nil {
		seeds = append(slices.Clip(seeds), t.WebSeeds...)
		if err := s.got(t.Info, t.Layers, s.src, false); err != nil {
			b.leave(s)
			return nil, err
		}
	} else if isTorrentURL(names.Source) {
		b.o.Go("bittorrent.source", func(ctx context.Context) error { o.askSource(ctx, names.Source); return nil })
	} else if len(names.Trackers) == 0 { // nothing private is fetched by such a link; else it is told when it is known, see got
		s.announceHere()
	}
	s.hints(s.audience.Trackers, seeds, l.Swarm)
	c.tell.add(s, time.Now())
	go o.run()
	return o, nil
}

// contentSource is what of a download is here.
type contentSource struct{ transfer.Content }

// ReadAt implements source.
func (c contentSource) ReadAt(p []byte, file int, off int64) (int, error) {
	return c.Content.ReadAt(p, file, off)
}

// Network implements transfer.Origin.
func (o *origin) Network() string { return "bittorrent" }

// Layout implements transfer.Origin.
func (o *origin) Layout(ctx context.Context) (transfer.Layout, error) {
	for {
		changed := o.s.changed.Wait()
		o.s.mu.Lock()
		in, set, err, long := o.s.info, o.s.set, o.s.err, o.s.tooLong
		o.s.mu.Unlock()
		switch {
		case err != nil:
			return transfer.Layout{}, fmt.Errorf("bittorrent: %w", err)
		case in != nil && set && o.s.lacks() == "":
			o.keep(in)
			return layout(in), nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if long > 0 {
				return transfer.Layout{}, fmt.Errorf("bittorrent: peers say that the metadata has %d bytes, at most %d: %w", long, metainfo.MaxInfo, kith.TooLarge)
			}
			what := "the metadata"
			if in != nil {
				what = "the digests of the pieces of " + o.s.lacks()
			}
			return transfer.Layout{}, fmt.Errorf("bittorrent: nobody has given %s: %w: %w", what, ctx.Err(), kith.Unavailable)
		}
	}
}

// keep writes the torrent down: what was fetched by it is served by it.
func (o *origin) keep(in *metainfo.Info) {
	o.s.mu.Lock()
	t := &metainfo.Torrent{Info: in, Layers: maps.Clone(o.s.layers)} // of a hybrid they may still come
	t.Trackers = tiers(o.s.audience.Trackers)
	known := o.s.id != 0
	o.s.mu.Unlock()
	if known {
		return
	}
	id, err := o.s.b.store.keepTorrent(context.Background(), t)
	if err != nil {
		o.s.b.log.Warn("torrent not written down", "op", "bittorrent", "err", err)
		return
	}
	o.s.mu.Lock()
	o.s.id = id
	o.s.mu.Unlock()
}

func layout(in *metainfo.Info) transfer.Layout {
	l := transfer.Layout{Name: in.Name, Folder: in.Folder, Unit: in.PieceLength, Window: max(minWindow, 2*in.PieceLength), Checks: !in.HasV1 || !in.HasV2} // of both versions the library looks at one
	for _, f := range in.Files {
		l.Files = append(l.Files, transfer.LayoutFile{Path: f.Path, Size: f.Size, Exec: f.Exec, Link: f.Link})
	}
	return l
}

// range returns the pieces that s lies in, [first, end).
func (o *origin) rangeOf(in *metainfo.Info, s transfer.Span) (first, end int, err error) {
	if s.File < 0 || s.File >= len(in.Files) || s.Off < 0 || s.N <= 0 || s.N > in.Files[s.File].Size-s.Off {
		return 0, 0, fmt.Errorf("bittorrent: bytes %d to %d of file %d: %w", s.Off, s.Off+s.N, s.File, kith.Invalid)
	}
	at := in.Files[s.File].Off + s.Off
	return int(at / in.PieceLength), int((at + s.N + in.PieceLength - 1) / in.PieceLength), nil
}

// state returns the metadata and the pieces.
func (o *origin) state() (*metainfo.Info, *pieces, error) {
	o.s.mu.Lock()
	defer o.s.mu.Unlock()
	if o.s.err != nil {
		return nil, nil, fmt.Errorf("bittorrent: %w", o.s.err)
	}
	if o.s.info == nil || !o.s.set {
		return nil, nil, fmt.Errorf("bittorrent: the metadata is not known yet: %w", kith.Unavailable)
	}
	return o.s.info, o.s.pieces, nil
}

// Fetch implements transfer.Origin.
func (o *origin) Fetch(ctx context.Context, span transfer.Span, alive func()) ([]byte, error) {
	in, p, err := o.state()
	if err != nil {
		return nil, err
	}
	first, end, err := o.rangeOf(in, span)
	if err != nil {
		return nil, err
	}
	if err := o.room(ctx, p, int64(end-first)*in.PieceLength); err != nil {
		return nil, err
	}
	o.want(p, first, end)
	defer o.unwant(p, first, end)
	if o.s.ownSeed(time.Now()) != nil {
		asking, enough := context.WithCancel(ctx)
		defer enough()
		go o.fromSeeds(asking, in, p, first, end, alive)
	}
	if err := o.wait(ctx, p, first, end, alive); err != nil {
		return nil, err
	}
	b, err := p.give(in.Files[span.File].Off+span.Off, span.N)
	if err != nil {
		return nil, fmt.Errorf("bittorrent: %w", err)
	}
	return b, nil
}

// wait returns when the pieces are here. Who waits is woken by pieces of its own alone, and looks now and then for parts of them: there may be a hundred who wait, and many thousand parts
// a second.
func (o *origin) wait(ctx context.Context, p *pieces, first, end int, alive func()) error {
	var got int64
	since, moved := time.Now(), time.Now()
	tick := time.NewTicker(partsEvery)
	defer tick.Stop()
	for i := first; i < end; {
		select {
		case <-p.await(i):
			if _, whole := p.progress(i); whole {
				i++
			}
			continue
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("bittorrent: %w: %w", ctx.Err(), kith.Unavailable)
		}
		var now int64
		for j := first; j < end; j++ {
			n, _ := p.progress(j)
			now += n
		}
		if now != got {
			got, since, moved = now, time.Now(), time.Now()
			alive()
		} else if time.Since(moved) > stillTime {
			o.s.lookAnew(stillTime)
		}
		if time.Since(since) > patience/8 && o.s.has(i) {
			since = time.Now()
		}
		if time.Since(since) > patience {
			return fmt.Errorf("bittorrent: nobody in the swarm has piece %d: %w", i, kith.NotFound)
		}
		if _, _, err := o.state(); err != nil {
			return err
		}
	}
	return nil
}

// room waits until so many bytes more may be held in memory. One piece always may.
func (o *origin) room(ctx context.Context, p *pieces, n int64) error {
	for {
		changed := o.s.changed.Wait()
		gone := p.spare(max(0, maxHeld-n), o.isWanted)
		for _, i := range gone {
			o.s.t.Piece(i).UpdateCompletion() // it is not here any more, unless the content has it
		}
		if held := p.heldBytes(); held == 0 || held+n <= maxHeld {
			return nil
		}
		select {
		case <-changed:
		case <-time.After(time.Second):
		case <-ctx.Done():
			return fmt.Errorf("bittorrent: %w: %w", ctx.Err(), kith.Unavailable)
		}
	}
}

func (o *origin) isWanted(i int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.wanted[i] > 0
}

// want has the library ask for pieces.
func (o *origin) want(p *pieces, first, end int) {
	var list []int
	o.mu.Lock()
	for i := first; i < end; i++ {
		if o.wanted[i]++; o.wanted[i] == 1 && !p.complete(i) {
			list = append(list, i)
		}
	}
	o.mu.Unlock()
	for _, i := range list {
		o.s.t.Piece(i).SetPriority(torrent.PiecePriorityNormal)
	}
}

// unwant takes it back, but for pieces of which something has come: the library does not forget parts of a piece.
func (o *origin) unwant(p *pieces, first, end int) {
	var list []int
	o.mu.Lock()
	for i := first; i < end; i++ {
		if o.wanted[i]--; o.wanted[i] == 0 {
			delete(o.wanted, i)
			if n, whole := p.progress(i); whole || n == 0 {
				list = append(list, i)
			}
		}
	}
	o.mu.Unlock()
	for _, i := range list {
		o.s.t.Piece(i).SetPriority(torrent.PiecePriorityNone)
	}
}

// has reports whether somebody in the swarm has piece i.
func (s *swarm) has(i int) bool { return s.seeded() || s.peerHas(i) }

// seeded reports whether there are web seeds, which may have anything.
func (s *swarm) seeded() bool { return len(s.t.WebseedPeerConns()) > 0 || s.ownSeed(time.Now()) != nil }

// peerHas reports whether a peer that is connected has piece i.
func (s *swarm) peerHas(i int) bool {
	for _, pc := range s.t.PeerConns() {
		if pc.PeerPieces().Contains(uint32(i)) {
			return true
		}
	}
	return false
}

// Here implements transfer.Origin.
func (o *origin) Here(span transfer.Span) {
	o.mu.Lock()
	o.spans = append(o.spans, span)
	o.mu.Unlock()
	select {
	case o.work <- struct{}{}:
	default:
	}
}

// run looks at what others have brought: it is checked, and served to the swarm.
func (o *origin) run() {
	for {
		select {
		case <-o.ctx.Done():
			return
		case <-o.work:
		case <-o.s.changed.Wait():
		}
		in, p, err := o.state()
		if err != nil {
			continue
		}
		o.mu.Lock()
		spans := o.spans
		o.spans = nil
		if !o.first {
			o.first = true
			for i, f := range in.Files {
				if f.Size > 0 {
					spans = append(spans, transfer.Span{File: i, N: f.Size})
				}
			}
		}
		o.mu.Unlock()
		for _, s := range spans {
			first, end, err := o.rangeOf(in, s)
			if err != nil {
				continue
			}
			for i := first; i < end && o.ctx.Err() == nil; i++ {
				o.settle(p, i)
			}
		}
	}
}

// settle serves piece i from the content, if all of it is there and right.
func (o *origin) settle(p *pieces, i int) {
	if p.settled(i) || !o.contains(p, i) {
		return
	}
	if !p.right(i) {
		ok, err := p.check(i)
		if err != nil {
			return
		}
		if !ok {
			o.s.b.log.Warn("what others brought is not what the torrent says", "op", "bittorrent", "piece", i)
			return
		}
	}
	p.settle(i)
	o.s.t.Piece(i).UpdateCompletion()
}

// contains reports whether the content has all of piece i.
func (o *origin) contains(p *pieces, i int) bool {
	all := true
	p.within(p.start(i), p.len(i), func(file int, fileOff, _, n int64) bool {
		all = o.content.Has(transfer.Span{File: file, Off: fileOff, N: n})
		return all
	})
	return all
}

// Peers implements transfer.Origin.
func (o *origin) Peers(max int) []transfer.OriginPeer { return o.s.peers(max) }

// Verify implements transfer.Origin.
func (o *origin) Verify(ctx context.Context, progress func(n int64)) error {
	in, p, err := o.state()
	if err != nil {
		return err
	}
	if err := verify(ctx, in, p, progress); err != nil {
		return fmt.Errorf("bittorrent: verify: %w", err)
	}
	return nil
}

// Close implements transfer.Origin.
func (o *origin) Close() error {
	o.cancel()
	o.s.b.leave(o.s)
	return nil
}
