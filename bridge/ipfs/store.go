package ipfs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"kith"
	"kith/blob"
	"kith/bridge/ipfs/unixfs"
	"kith/internal/room"
)

// schema is that of ipfs.db; each entry is applied once, in order. A dag is what a blob, or the folder of a share, is called by one profile. Its leaves
// are ranges of the blob, its inner nodes are here. Peers are answered from what a share has as a part, and from nothing else.
var schema = []string{`
CREATE TABLE dag (
	id      INTEGER PRIMARY KEY,
	ref     TEXT NOT NULL,     -- of the blob, or of the share whose folder it is
	folder  INTEGER NOT NULL,
	profile INTEGER NOT NULL,  -- unixfs.Profile.ID
	cid     BLOB NOT NULL,
	size    INTEGER NOT NULL,  -- bytes of the file
	tsize   INTEGER NOT NULL,  -- bytes of all blocks
	UNIQUE (ref, folder, profile)
) STRICT;
CREATE TABLE leaf (sum BLOB NOT NULL, dag INTEGER NOT NULL REFERENCES dag ON DELETE CASCADE, i INTEGER NOT NULL, PRIMARY KEY (sum, dag)) STRICT, WITHOUT ROWID;
CREATE INDEX leaf_dag ON leaf (dag);
CREATE TABLE node (sum BLOB NOT NULL, dag INTEGER NOT NULL REFERENCES dag ON DELETE CASCADE, data BLOB NOT NULL, PRIMARY KEY (sum, dag)) STRICT, WITHOUT ROWID;
CREATE INDEX node_dag ON node (dag);
CREATE TABLE share (
	root    TEXT PRIMARY KEY,  -- kith.Ref
	name    TEXT NOT NULL,
	cid     BLOB NOT NULL,
	up      INTEGER NOT NULL DEFAULT 0,
	told    INTEGER NOT NULL DEFAULT 0, -- Unix seconds when the DHT was told first; 0: it was not
	added   INTEGER NOT NULL
) STRICT;
CREATE TABLE part (share TEXT NOT NULL REFERENCES share ON DELETE CASCADE, dag INTEGER NOT NULL REFERENCES dag ON DELETE CASCADE, PRIMARY KEY (share, dag)) STRICT, WITHOUT ROWID;
CREATE INDEX part_dag ON part (dag);
CREATE TABLE fetched (cid BLOB PRIMARY KEY, data BLOB NOT NULL, at INTEGER NOT NULL) STRICT; -- inner nodes of what is being fetched
CREATE TABLE block (cid BLOB PRIMARY KEY, size INTEGER NOT NULL, used INTEGER NOT NULL, pins INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE INDEX block_used ON block (used) WHERE pins = 0;
CREATE TABLE pin (cid BLOB PRIMARY KEY, name TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '', blocks INTEGER NOT NULL, bytes INTEGER NOT NULL, added INTEGER NOT NULL) STRICT;
CREATE TABLE pinned (pin BLOB NOT NULL REFERENCES pin ON DELETE CASCADE, cid BLOB NOT NULL, PRIMARY KEY (pin, cid)) STRICT, WITHOUT ROWID;
CREATE INDEX pinned_cid ON pinned (cid);
CREATE TABLE site (
	name     TEXT PRIMARY KEY,
	key      BLOB NOT NULL,     -- Ed25519 seed; whoever has it can change what the name leads to
	root     TEXT NOT NULL,     -- kith.Ref of what it leads to
	path     TEXT NOT NULL,     -- the folder
	sequence INTEGER NOT NULL,
	record   BLOB NOT NULL,     -- the IPNS record as it was signed last
	at       INTEGER NOT NULL   -- Unix seconds of the last change
) STRICT;
CREATE TABLE name (key TEXT PRIMARY KEY, record BLOB NOT NULL) STRICT; -- the newest record seen of others' names
`}

// flushRows is how many rows of small files wait for a transaction together.
const flushRows = 4096

// store keeps which block is which range.
type store struct {
	db    *sql.DB
	blobs *blob.Store

	leaf, node *sql.Stmt

	mu      sync.Mutex
	waiting []*dag
	rows    int
	up      map[string]int64 // bytes sent of a share since the start
	rate    map[string]*meter
}

// A dag is what one blob or folder is called.
type dag struct {
	id      int64
	ref     kith.Ref
	folder  bool
	profile unixfs.Profile
	link    unixfs.Link
	leaves  [][32]byte
	nodes   []blockOf
}

type blockOf struct {
	cid  cid.Cid
	data []byte
}

// Leaf implements unixfs.Sink.
func (d *dag) Leaf(_ int64, sum [32]byte) error {
	d.leaves = append(d.leaves, sum)
	return nil
}

// Node implements unixfs.Sink.
func (d *dag) Node(c cid.Cid, data []byte) error {
	d.nodes = append(d.nodes, blockOf{c, data})
	return nil
}

func newStore(db *sql.DB, blobs *blob.Store) (*store, error) {
	s := &store{db: db, blobs: blobs, up: map[string]int64{}, rate: map[string]*meter{}}
	var err error
	if s.leaf, err = db.Prepare(`SELECT dag.ref, dag.profile, dag.size, leaf.i, part.share FROM leaf
		JOIN part ON part.dag = leaf.dag JOIN dag ON dag.id = leaf.dag WHERE leaf.sum = ? LIMIT 4`); err != nil {
		return nil, err
	}
	s.node, err = db.Prepare(`SELECT node.data, part.share FROM node JOIN part ON part.dag = node.dag WHERE node.sum = ? LIMIT 1`)
	return s, err
}

// sumOf returns the SHA2-256 in a CID.
func sumOf(c cid.Cid) (sum []byte, ok bool) {
	d, err := multihash.Decode(c.Hash())
	if err != nil || d.Code != multihash.SHA2_256 || d.Length != 32 {
		return nil, false
	}
	return d.Digest, true
}

// later keeps a dag soon, together with others.
func (s *store) later(ctx context.Context, d *dag) error {
	s.mu.Lock()
	s.waiting = append(s.waiting, d)
	s.rows += 1 + len(d.leaves) + len(d.nodes)
	full := s.rows >= flushRows
	s.mu.Unlock()
	if full {
		return s.flush(ctx)
	}
	return nil
}

// flush writes down what waits.
func (s *store) flush(ctx context.Context) error {
	s.mu.Lock()
	all := s.waiting
	s.waiting, s.rows = nil, 0
	s.mu.Unlock()
	if len(all) == 0 {
		return nil
	}
	return s.write(ctx, func(tx *sql.Tx) error {
		for _, d := range all {
			if err := putDag(ctx, tx, d); err != nil {
				return err
			}
		}
		return nil
	})
}

// write runs a transaction.
func (s *store) write(ctx context.Context, run func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return room.Explain(err)
	}
	if err := run(tx); err != nil {
		return errors.Join(room.Explain(err), tx.Rollback())
	}
	return room.Explain(tx.Commit())
}

// putDag writes a dag, in the place of what the blob or folder was called before.
func putDag(ctx context.Context, tx *sql.Tx, d *dag) error {
	err := tx.QueryRowContext(ctx, `INSERT INTO dag (ref, folder, profile, cid, size, tsize) VALUES (?,?,?,?,?,?)
		ON CONFLICT DO UPDATE SET cid = excluded.cid, size = excluded.size, tsize = excluded.tsize RETURNING id`,
		d.ref.String(), d.folder, d.profile.ID, d.link.Cid.Bytes(), d.link.Size, int64(d.link.Tsize)).Scan(&d.id)
	if err != nil {
		return err
	}
	for _, table := range []string{"leaf", "node"} {
		if _, err := tx.ExecContext(ctx, `DELETE FROM `+table+` WHERE dag = ?`, d.id); err != nil {
			return err
		}
	}
	leaf, err := tx.PrepareContext(ctx, `INSERT OR IGNORE INTO leaf (sum, dag, i) VALUES (?,?,?)`)
	if err != nil {
		return err
	}
	defer leaf.Close()
	for i := range d.leaves {
		if _, err := leaf.ExecContext(ctx, d.leaves[i][:], d.id, i); err != nil {
			return err
		}
	}
	for _, n := range d.nodes {
		sum, _ := sumOf(n.cid)
		if _, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO node (sum, dag, data) VALUES (?,?,?)`, sum, d.id, n.data); err != nil {
			return err
		}
	}
	return nil
}

// find returns what a blob or folder is called by a profile. Errors: NotFound.
func (s *store) find(ctx context.Context, ref kith.Ref, folder bool, p unixfs.Profile) (*dag, error) {
	d := &dag{ref: ref, folder: folder, profile: p}
	var raw []byte
	var tsize int64
	err := s.db.QueryRowContext(ctx, `SELECT id, cid, size, tsize FROM dag WHERE ref = ? AND folder = ? AND profile = ?`, ref.String(), folder, p.ID).Scan(&d.id, &raw, &d.link.Size, &tsize)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, kith.NotFound
	}
	if err == nil {
		d.link.Tsize = uint64(tsize)
		d.link.Cid, err = cid.Cast(raw)
	}
	return d, err
}

// A place is where the block of a CID is.
type place struct {
	node   []byte // the block itself; or
	ref    kith.Ref
	off, n int64 // a range of a blob
	before []byte
	behind []byte
	share  string
}

func (p place) size() int { return len(p.node) + len(p.before) + int(p.n) + len(p.behind) }

// where returns where the block of c is, if it is of something published. Errors: NotFound.
func (s *store) where(ctx context.Context, c cid.Cid) ([]place, error) {
	sum, ok := sumOf(c)
	if !ok {
		return nil, kith.NotFound
	}
	var p place
	err := s.node.QueryRowContext(ctx, sum).Scan(&p.node, &p.share)
	if err == nil {
		return []place{p}, nil
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	rows, err := s.leaf.QueryContext(ctx, sum)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []place
	for rows.Next() {
		var p place
		var ref string
		var profile int
		var size, i int64
		if err := rows.Scan(&ref, &profile, &size, &i, &p.share); err != nil {
			return nil, err
		}
		made, ok := unixfs.ByID(profile)
		if !ok {
			continue
		}
		if p.ref, err = kith.ParseRef(ref); err != nil {
			return nil, err
		}
		p.off, p.n = made.Leaf(size, i)
		p.before, p.behind = made.Wrap(p.n)
		all = append(all, p)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, kith.NotFound
	}
	return all, nil
}

// block returns the block of c, if it is of something published. Errors: NotFound; Gone, if the owner has changed the file since.
func (s *store) block(ctx context.Context, c cid.Cid) (data []byte, share string, err error) {
	places, err := s.where(ctx, c)
	if err != nil {
		return nil, "", err
	}
	for _, p := range places {
		if data, err = s.read(ctx, p); err == nil {
			return data, p.share, nil
		}
	}
	return nil, "", err
}

func (s *store) read(ctx context.Context, p place) ([]byte, error) {
	if p.node != nil {
		return p.node, nil
	}
	data := make([]byte, p.size())
	copy(data, p.before)
	copy(data[len(p.before)+int(p.n):], p.behind)
	if p.n == 0 {
		return data, nil
	}
	blob, err := s.blobs.Blob(ctx, p.ref)
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	if _, err := blob.ReadAt(data[len(p.before):len(p.before)+int(p.n)], p.off); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return data, nil
}

// sent counts bytes that a peer was sent.
func (s *store) sent(share string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.up[share] += int64(n)
	m := s.rate[share]
	if m == nil {
		m = &meter{}
		s.rate[share] = m
	}
	m.add(time.Now(), int64(n))
}

// counts returns the bytes sent since the start, and the rate.
func (s *store) counts(share string) (up int64, rate float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.rate[share]; m != nil {
		rate = m.rate(time.Now())
	}
	return s.up[share], rate
}

// saveCounts adds what was sent to what is written down.
func (s *store) saveCounts() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for share, n := range s.up {
		s.db.Exec(`UPDATE share SET up = up + ? WHERE root = ?`, n, share)
	}
	s.up = map[string]int64{}
}

// A meter is bytes a second, lately: a mean whose weights halve every few seconds.
type meter struct {
	last  time.Time
	bytes float64
}

const meterTime = 5 * time.Second

func (m *meter) decay(now time.Time) {
	if d := now.Sub(m.last); d > 0 {
		m.bytes *= exp2(-float64(d) / float64(meterTime))
		m.last = now
	}
}

func (m *meter) add(now time.Time, n int64) {
	m.decay(now)
	m.bytes += float64(n)
}

func (m *meter) rate(now time.Time) float64 {
	m.decay(now)
	return m.bytes * ln2 / meterTime.Seconds()
}

// wrap says what was being done.
func wrap(verb string, what any, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("ipfs: %s %v: %w", verb, what, err)
}
