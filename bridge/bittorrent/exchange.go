package bittorrent

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/anacrolix/torrent"
	pp "github.com/anacrolix/torrent/peer_protocol"
	utHolepunch "github.com/anacrolix/torrent/peer_protocol/ut-holepunch"
	"github.com/anacrolix/torrent/types/infohash"

	"kith"
	"kith/bridge/bittorrent/books"
	"kith/bridge/bittorrent/metainfo"
	"kith/bridge/bittorrent/stranger"
)

// Limits of the exchange of metadata (BEP 9).
const (
	maxAskedFrom = 4                // peers that the metadata of one torrent is asked of at once
	maxPending   = 16               // parts that are asked of one peer at once
	maxServing   = 64               // parts that are on their way to peers, of all torrents; who asks meanwhile is refused
	servedTimes  = 3                // how often one peer gets all parts, and all digests
	metaTime     = 10 * time.Second // in which a peer gives a part, or others are asked
)

// exchange speaks to peers where the library is not to: about metadata, and about digests of version 2. Its hooks are called while the library holds its lock, and so never call it.
type exchange struct {
	c       *client
	local   torrent.LocalLtepProtocolMap // what peers are told that is spoken
	private torrent.LocalLtepProtocolMap // and of private torrents: no peers are exchanged
	serving chan struct{}

	mu   sync.Mutex
	conn map[*torrent.PeerConn]*asked
}

// asked is what is known of one peer.
type asked struct {
	s       *swarm
	size    int // of the metadata, as it says
	data    []byte
	have    []bool
	left    int // parts that are missing
	next    int // part to ask for
	pending int
	active  bool
	done    bool      // it gave all of it
	heard   time.Time // when it was asked, or gave a part
	tried   int       // how often it was given up
	until   time.Time // it is not asked before
	served  int
	digests int64                        // of version 2 that it asked for
	idle    bool                         // it was not interested yet, of a seed
	layers  map[[sha256.Size]byte][]byte // digests of version 2 that it gave
}

func newExchange(c *client) *exchange {
	x := &exchange{c: c, serving: make(chan struct{}, maxServing), conn: map[*torrent.PeerConn]*asked{}}
	x.private = torrent.LocalLtepProtocolMap{Index: []pp.ExtensionName{utHolepunch.ExtensionName, pp.ExtensionNameMetadata}, NumBuiltin: 1}
	x.local = x.private
	if !c.b.o.Config.NoPEX {
		x.local = torrent.LocalLtepProtocolMap{
			Index: []pp.ExtensionName{utHolepunch.ExtensionName, pp.ExtensionNamePex, pp.ExtensionNameMetadata}, NumBuiltin: 2,
		}
	}
	return x
}

// hook has the library call it.
func (x *exchange) hook(cb *torrent.Callbacks) {
	cb.CompletedHandshake = func(_ *torrent.PeerConn, hash infohash.T) {
		if s := x.c.b.swarmOf(kith.InfoHash(hash)); s != nil {
			s.wake()
		}
	}
	cb.PeerConnAdded = append(cb.PeerConnAdded, func(pc *torrent.PeerConn) {
		s := x.swarm(pc)
		if s == nil {
			return
		}
		pc.LocalLtepProtocolMap = &x.local
		if s.private() {
			pc.LocalLtepProtocolMap = &x.private
		}
		if in := s.metadata(); in != nil && !in.HasV1 {
			books.SpeaksV2(pc)
		}
		a := &asked{s: s}
		if !s.root.IsZero() {
			a.idle = true
			books.Choked(pc, false) // until it is interested
		}
		x.mu.Lock()
		x.conn[pc] = a
		x.mu.Unlock()
	})
	cb.ReadExtendedHandshake = x.handshake
	cb.PeerConnReadExtensionMessage = append(cb.PeerConnReadExtensionMessage, x.message)
	cb.ReadMessage = x.guard
	cb.PeerConnClosed = nil
	cb.PeerClosed = append(cb.PeerClosed, func(p *torrent.Peer) {
		if pc, ok := p.TryAsPeerConn(); ok {
			x.closed(pc)
		}
	})
}

func (x *exchange) swarm(pc *torrent.PeerConn) *swarm {
	t := pc.Torrent()
	if t == nil {
		return nil
	}
	return x.c.b.swarmOf(kith.InfoHash(t.InfoHash()))
}

func (x *exchange) closed(pc *torrent.PeerConn) {
	x.mu.Lock()
	a := x.conn[pc]
	delete(x.conn, pc)
	x.mu.Unlock()
	if a != nil && a.active {
		go x.more(a.s)
	}
}

// handshake notes how long the metadata is that a peer has. The library is told of none, so that it asks for none.
func (x *exchange) handshake(pc *torrent.PeerConn, m *pp.ExtendedHandshakeMessage) {
	size := m.MetadataSize
	m.MetadataSize = 0
	x.mu.Lock()
	a := x.conn[pc]
	if a != nil && a.size == 0 {
		a.size = size
	}
	x.mu.Unlock()
	if a == nil || a.s.metadata() != nil || size == 0 {
		return
	}
	if size < 0 || size > metainfo.MaxInfo {
		a.s.claimed(size)
		return
	}
	go x.more(a.s)
}

// more asks peers for the metadata of a swarm, as long as it is not here. Who gives nothing for long has others asked before him.
func (x *exchange) more(s *swarm) {
	if s.metadata() != nil {
		return
	}
	type ask struct {
		pc   *torrent.PeerConn
		part int
	}
	var list []ask
	now := time.Now()
	x.mu.Lock()
	active := 0
	for _, a := range x.conn {
		if a.s == s && a.active && now.Sub(a.heard) > metaTime {
			a.giveUp(now)
		}
		if a.s == s && a.active {
			active++
		}
	}
	for active < maxAskedFrom {
		var best *asked
		for _, a := range x.conn {
			if a.s == s && a.asks(now) && (best == nil || a.tried < best.tried) {
				best = a
			}
		}
		if best == nil {
			break
		}
		best.begin(now)
		active++
	}
	for pc, a := range x.conn {
		for a.s == s && a.active && a.pending < maxPending && a.next < len(a.have) {
			if !a.have[a.next] {
				list = append(list, ask{pc, a.next})
				a.pending++
			}
			a.next++
		}
	}
	x.mu.Unlock()
	for _, q := range list {
		if err := q.pc.WriteExtendedMessage(pp.ExtensionNameMetadata, metainfo.Exchange{Type: metainfo.ExchangeRequest, Piece: q.part}.Encode()); err != nil {
			return // it is closed, or does not speak it
		}
	}
}

// asks reports whether it can be asked for metadata.
func (a *asked) asks(now time.Time) bool {
	return !a.active && !a.done && a.size > 0 && a.size <= metainfo.MaxInfo && !now.Before(a.until)
}

// begin lets it be asked for all that it has not given.
func (a *asked) begin(now time.Time) {
	if a.data == nil {
		a.data = make([]byte, a.size)
		a.left = (a.size + metainfo.ExchangeSize - 1) / metainfo.ExchangeSize
		a.have = make([]bool, a.left)
	}
	a.active, a.heard, a.next, a.pending = true, now, 0, 0
}

// giveUp lets others be asked; what it has given is kept.
func (a *asked) giveUp(now time.Time) {
	a.active, a.until = false, now.Add(metaTime)
	a.tried++
}

// message takes what a peer says of metadata.
func (x *exchange) message(e torrent.PeerConnReadExtensionMessageEvent) {
	pc := e.PeerConn
	if e.ExtensionNumber == pp.HandshakeExtendedID || pc.LocalLtepProtocolMap == nil {
		return
	}
	name, _, err := pc.LocalLtepProtocolMap.LookupId(e.ExtensionNumber)
	if err != nil || name != pp.ExtensionNameMetadata {
		return
	}
	m, err := metainfo.ParseExchange(e.Payload)
	if err != nil {
		go pc.Close()
		return
	}
	switch m.Type {
	case metainfo.ExchangeRequest:
		x.serve(pc, m.Piece)
	case metainfo.ExchangeData:
		x.take(pc, m)
	case metainfo.ExchangeReject:
		x.rejected(pc)
	}
}

// rejected has others asked for the metadata: the peer does not have it yet, or has given enough.
func (x *exchange) rejected(pc *torrent.PeerConn) {
	x.mu.Lock()
	a := x.conn[pc]
	rejects := a != nil && a.active
	if rejects {
		a.giveUp(time.Now())
	}
	x.mu.Unlock()
	if rejects {
		go x.more(a.s)
	}
}

// serve sends a part of the metadata.
func (x *exchange) serve(pc *torrent.PeerConn, part int) {
	x.mu.Lock()
	a := x.conn[pc]
	x.mu.Unlock()
	if a == nil {
		return
	}
	answer := metainfo.Exchange{Type: metainfo.ExchangeReject, Piece: part}
	if in := a.s.metadata(); in != nil && part*metainfo.ExchangeSize < len(in.Raw) {
		parts := (len(in.Raw) + metainfo.ExchangeSize - 1) / metainfo.ExchangeSize
		x.mu.Lock()
		a.served++
		ok := a.served <= servedTimes*parts
		x.mu.Unlock()
		if ok {
			at := part * metainfo.ExchangeSize
			answer = metainfo.Exchange{Type: metainfo.ExchangeData, Piece: part, Total: len(in.Raw), Data: in.Raw[at:min(len(in.Raw), at+metainfo.ExchangeSize)]}
		}
	}
	select {
	case x.serving <- struct{}{}:
		go func() {
			defer func() { <-x.serving }()
			pc.WriteExtendedMessage(pp.ExtensionNameMetadata, answer.Encode()) // an error: it is gone
		}()
	default:
	}
}

// take collects a part of the metadata, and looks at the whole when it is here.
func (x *exchange) take(pc *torrent.PeerConn, m metainfo.Exchange) {
	x.mu.Lock()
	a := x.conn[pc]
	if a == nil || a.done || m.Piece >= len(a.have) || a.have[m.Piece] {
		x.mu.Unlock()
		return
	}
	at := m.Piece * metainfo.ExchangeSize
	if len(m.Data) != min(metainfo.ExchangeSize, a.size-at) {
		x.mu.Unlock()
		go pc.Close()
		return
	}
	copy(a.data[at:], m.Data)
	a.have[m.Piece] = true
	a.left--
	a.pending = max(0, a.pending-1)
	a.heard = time.Now()
	data, done := a.data, a.left == 0
	if done {
		a.active, a.done, a.data = false, true, nil
	}
	x.mu.Unlock()
	if !done {
		go x.more(a.s)
		return
	}
	go func() {
		if !a.s.offered(data) {
			pc.Close() // what it gave is something else
			x.more(a.s)
		}
	}()
}

// guard takes messages from the library that it does not survive: it looks into metadata that is not there yet, takes digests of version 2 for granted, and panics where
// a file has none. What it asked for of them comes here.
func (x *exchange) guard(pc *torrent.PeerConn, m *pp.Message) {
	if m.Keepalive {
		return
	}
	switch m.Type {
	case pp.HashRequest, pp.Hashes, pp.HashReject:
	case pp.Extended:
		stranger.Clean(pc, m)
		return
	case pp.Interested:
		x.interested(pc)
		return
	default:
		return
	}
	s := x.swarm(pc)
	msg := *m
	*m = pp.Message{Keepalive: true}
	switch {
	case s == nil:
	case msg.Type == pp.Hashes:
		x.hashes(pc, s, msg)
	case msg.Type == pp.HashRequest:
		x.digests(pc, s, msg)
	}
}

// digests answers who asks for digests of version 2 (BEP 52): the library knows only those of some torrents, and proves none.
func (x *exchange) digests(pc *torrent.PeerConn, s *swarm, m pp.Message) {
	in := s.metadata()
	x.mu.Lock()
	a := x.conn[pc]
	ok := a != nil && in != nil && in.HasV2 && m.Length <= metainfo.HashesMany && int64(m.BaseLayer) == baseLayer(in.PieceLength)
	if ok {
		a.digests += int64(m.Length)
		ok = a.digests <= servedTimes*2*int64(in.NumPieces()) // of each file up to a power of two
	}
	x.mu.Unlock()
	select {
	case x.serving <- struct{}{}:
	default:
		return
	}
	go func() {
		defer func() { <-x.serving }()
		m.Type = pp.HashReject
		if ok {
			if t := s.tree(m.PiecesRoot); t != nil {
				if list, err := t.Hashes(int64(m.Index), int64(m.Length), int64(m.ProofLayers)); err == nil {
					m.Type, m.Hashes = pp.Hashes, list
				}
			}
		}
		books.Write(x.c.cl, pc, m)
	}()
}

// interested has a peer unchoked that asks for something the first time.
func (x *exchange) interested(pc *torrent.PeerConn) {
	x.mu.Lock()
	a := x.conn[pc]
	first := a != nil && a.idle
	if first {
		a.idle = false
	}
	x.mu.Unlock()
	if first {
		books.Choked(pc, true)
	}
}

// hashes collects digests of the pieces of a file (BEP 52).
func (x *exchange) hashes(pc *torrent.PeerConn, s *swarm, m pp.Message) {
	in := s.metadata()
	if in == nil || !in.HasV2 {
		return
	}
	f, ok := fileOf(in, m.PiecesRoot)
	n := int((f.Size + in.PieceLength - 1) / in.PieceLength)
	if !ok || n < 2 || m.ProofLayers != 0 || int64(m.BaseLayer) != baseLayer(in.PieceLength) {
		return
	}
	x.mu.Lock()
	a := x.conn[pc]
	if a == nil {
		x.mu.Unlock()
		return
	}
	if a.layers == nil {
		a.layers = map[[sha256.Size]byte][]byte{}
	}
	layer := a.layers[f.Root]
	if layer == nil {
		layer = make([]byte, n*sha256.Size)
		a.layers[f.Root] = layer
	}
	for i, h := range m.Hashes {
		if at := int64(m.Index) + int64(i); at < int64(n) {
			copy(layer[at*sha256.Size:], h[:])
		}
	}
	whole := append([]byte(nil), layer...)
	x.mu.Unlock()
	if metainfo.CheckLayer(f, in.PieceLength, whole) == nil {
		go s.layered(f.Root, whole)
	}
}

// fileOf returns the file with a root of version 2.
func fileOf(in *metainfo.Info, root [sha256.Size]byte) (metainfo.File, bool) {
	for _, f := range in.Files {
		if f.Size > 0 && f.Root == root {
			return f, true
		}
	}
	return metainfo.File{}, false
}

// baseLayer returns the number of the layer of a tree whose digests cover one piece each.
func baseLayer(piece int64) (n int64) {
	for piece > metainfo.Block {
		piece /= 2
		n++
	}
	return n
}
