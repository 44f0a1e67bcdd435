package ipfs

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	bsmsg "github.com/ipfs/boxo/bitswap/message"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/bridge"
	"kith/bridge/ipfs/host"
	"kith/bridge/ipfs/unixfs"
	"kith/transfer"
)

const (
	maxKnown   = 1 << 20  // leaves of what is being fetched that peers can be given
	maxTracked = 1024     // peers whose bytes are counted
	maxFetched = 64 << 20 // bytes of inner nodes that are kept of fetches that have ended
)

// moves is what is being fetched: which leaf is which range of it, and whom it comes from.
type moves struct {
	mu     sync.Mutex
	leaves map[string]held // by multihash
	nodes  map[string]int  // multihashes of inner nodes that fetches have, and how many have them
	open   map[*origin]bool
	peers  map[string]*partner // by name
	db     *sql.DB
}

// held is where a leaf will be.
type held struct {
	o      *origin
	file   int
	off, n int64
	raw    bool
}

// A partner is a peer that bytes came from, or went to.
type partner struct {
	name     string
	via      string
	down, up meter
	bytes    int64
	seen     time.Time
}

// knows notes that a node of o is c, and which leaves it has.
func (m *moves) knows(o *origin, c cid.Cid) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := string(c.Hash())
	if !o.nodes[key] {
		o.nodes[key] = true
		if m.nodes == nil {
			m.nodes = map[string]int{}
		}
		m.nodes[key]++
	}
}

// has notes that a part of a file is a block of its own.
func (m *moves) has(o *origin, file int, off int64, p unixfs.Part) {
	if p.Size > maxBlock {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.leaves == nil {
		m.leaves = map[string]held{}
	}
	key := string(p.Cid.Hash())
	if _, ok := m.leaves[key]; ok || len(m.leaves) >= maxKnown {
		return
	}
	m.leaves[key] = held{o, file, off, p.Size, p.Cid.Type() == cid.Raw}
	o.leaves = append(o.leaves, key)
}

// end forgets what o has.
func (m *moves) end(o *origin) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.open, o)
	for _, key := range o.leaves {
		if m.leaves[key].o == o {
			delete(m.leaves, key)
		}
	}
	for key := range o.nodes {
		if m.nodes[key]--; m.nodes[key] <= 0 {
			delete(m.nodes, key)
		}
	}
	o.leaves, o.nodes = nil, nil
}

func (m *moves) begin(o *origin) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.open == nil {
		m.open = map[*origin]bool{}
	}
	m.open[o] = true
}

// find returns where the leaf c is, if all of it is here.
func (m *moves) find(c cid.Cid) (held, bool) {
	m.mu.Lock()
	h, ok := m.leaves[string(c.Hash())]
	m.mu.Unlock()
	return h, ok && h.o.content.Has(transfer.Span{File: h.file, Off: h.off, N: h.n})
}

// block returns a block of what is being fetched, if it is here. Errors: NotFound.
func (m *moves) block(c cid.Cid) ([]byte, error) {
	m.mu.Lock()
	node := m.nodes[string(c.Hash())] > 0
	m.mu.Unlock()
	if node {
		return m.fetched(c)
	}
	h, ok := m.find(c)
	if !ok {
		return nil, kith.NotFound
	}
	return h.read(c)
}

// read returns a leaf's block. What others have checked may be other bytes than IPFS means: it is compared.
func (h held) read(c cid.Cid) ([]byte, error) {
	data := make([]byte, h.n)
	if _, err := h.o.content.ReadAt(data, h.file, h.off); err != nil {
		return nil, kith.NotFound
	}
	if h.raw {
		if check(c, data) != nil {
			return nil, kith.NotFound
		}
		return data, nil
	}
	for _, w := range unixfs.Wraps(h.n) {
		block := slices.Concat(w[0], data, w[1])
		if check(c, block) == nil {
			return block, nil
		}
	}
	return nil, kith.NotFound
}

// size returns the bytes of a block of what is being fetched, if it is here.
func (m *moves) size(c cid.Cid) (int, bool) {
	if h, ok := m.find(c); ok && h.raw {
		return int(h.n), true
	}
	data, err := m.block(c)
	return len(data), err == nil
}

// fetched returns an inner node that came, now or before the last restart. Errors: NotFound.
func (m *moves) fetched(c cid.Cid) ([]byte, error) {
	var data []byte
	err := m.db.QueryRow(`SELECT data FROM fetched WHERE cid = ?`, []byte(c.Hash())).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, kith.NotFound
	}
	if err == nil && check(c, data) != nil {
		err = kith.NotFound
	}
	return data, err
}

// keep writes down an inner node, so that what was fetched of a big folder is not fetched again after a restart.
func (m *moves) keep(ctx context.Context, c cid.Cid, data []byte) error {
	_, err := m.db.ExecContext(ctx, `INSERT OR REPLACE INTO fetched (cid, data, at) VALUES (?,?,?)`, []byte(c.Hash()), data, time.Now().Unix())
	return err
}

// tidy drops the oldest nodes of fetches that have ended.
func (m *moves) tidy(ctx context.Context) error {
	_, err := m.db.ExecContext(ctx, `DELETE FROM fetched WHERE rowid IN (SELECT rowid FROM
		(SELECT rowid, sum(length(data)) OVER (ORDER BY at DESC, rowid) AS n FROM fetched) WHERE n > ?)`, maxFetched)
	return err
}

// heard gives a message of a peer to those whom it may concern.
func (m *moves) heard(p peer.ID, msg bsmsg.BitSwapMessage) {
	m.mu.Lock()
	open := slices.Collect(maps.Keys(m.open))
	m.mu.Unlock()
	for _, o := range open {
		o.heard(p, msg)
	}
}

// received counts a block that came.
func (m *moves) received(p peer.ID, c cid.Cid, n int, via string) { m.count(p.String(), via, c, n) }

// receivedWeb counts a block that a web server sent.
func (m *moves) receivedWeb(base string, c cid.Cid, n int) { m.count(base, "http", c, n) }

func (m *moves) count(name, via string, c cid.Cid, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	p := m.partner(name, via, now)
	p.down.add(now, int64(n))
	p.bytes += int64(n)
	for o := range m.open {
		if o.wants(c) {
			o.from[name] += int64(n)
			o.down += int64(n)
		}
	}
}

// sent counts a block that went.
func (m *moves) sent(to peer.ID, _ cid.Cid, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	p := m.partner(to.String(), "bitswap", now)
	p.up.add(now, int64(n))
}

// partner is called with m.mu held.
func (m *moves) partner(name, via string, now time.Time) *partner {
	if m.peers == nil {
		m.peers = map[string]*partner{}
	}
	p := m.peers[name]
	if p == nil {
		if len(m.peers) >= maxTracked {
			oldest := ""
			for k, v := range m.peers {
				if oldest == "" || v.seen.Before(m.peers[oldest].seen) {
					oldest = k
				}
			}
			delete(m.peers, oldest)
		}
		p = &partner{name: name, via: via}
		m.peers[name] = p
	}
	p.seen = now
	return p
}

// takers returns to whom bytes went lately.
func (m *moves) takers(cid.Cid) []transfer.OriginPeer {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []transfer.OriginPeer
	now := time.Now()
	for _, p := range m.peers {
		if rate := p.up.rate(now); rate >= 1 {
			out = append(out, transfer.OriginPeer{Name: p.name, Via: p.via, Up: rate})
		}
	}
	slices.SortFunc(out, func(a, b transfer.OriginPeer) int { return cmp.Compare(b.Up, a.Up) })
	return out
}

// givers returns from whom bytes of o came.
func (m *moves) givers(o *origin, max int) []transfer.OriginPeer {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []transfer.OriginPeer
	now := time.Now()
	for name, n := range o.from {
		p := transfer.OriginPeer{Name: name, Via: "bitswap", Bytes: n}
		if t := m.peers[name]; t != nil {
			p.Via, p.Down, p.Up = t.via, t.down.rate(now), t.up.rate(now)
		}
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b transfer.OriginPeer) int { return cmp.Compare(b.Bytes, a.Bytes) })
	return out[:min(len(out), max)]
}

// status returns how what is being fetched stands. Errors: NotFound.
func (m *moves) status(root kith.Ref) (bridge.Status, error) {
	m.mu.Lock()
	var found *origin
	for o := range m.open {
		if o.link.Ref == root && !root.IsZero() || transfer.PendingRef(o.link.Names) == root {
			found = o
		}
	}
	m.mu.Unlock()
	if found == nil {
		return bridge.Status{}, fmt.Errorf("ipfs: status %s: %w", root.Short(), kith.NotFound)
	}
	st := bridge.Status{Names: found.link.Names, Peers: m.givers(found, 50), Said: found.says()}
	for _, p := range st.Peers {
		st.DownRate += p.Down
	}
	m.mu.Lock()
	st.Down = found.down
	m.mu.Unlock()
	return st, nil
}

// within returns the leaves of o that are whole in s, as blocks of which the size is known; those of dag-pb are left to be asked for again.
func (m *moves) within(o *origin, s transfer.Span) []blocks.Block {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []blocks.Block
	for _, key := range o.leaves {
		h := m.leaves[key]
		if h.o == o && h.file == s.File && h.raw && h.off >= s.Off && h.off+h.n <= s.Off+s.N {
			out = append(out, host.Sized(cid.NewCidV1(cid.Raw, []byte(key)), int(h.n)))
		}
	}
	return out
}
