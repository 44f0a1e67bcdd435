package bittorrent

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"

	"kith"
	"kith/bridge"
	"kith/bridge/bittorrent/metainfo"
	"kith/internal/db"
)

var migrations = []string{`
CREATE TABLE digest (
	ref    BLOB NOT NULL, -- of the blob
	piece  INTEGER NOT NULL,
	size   INTEGER NOT NULL,
	pieces BLOB NOT NULL,
	padded BLOB NOT NULL,
	layer  BLOB NOT NULL,
	root   BLOB NOT NULL,
	PRIMARY KEY (ref, piece)
) WITHOUT ROWID;

CREATE TABLE torrent (
	id   INTEGER PRIMARY KEY,
	v1   BLOB,          -- infohash of 20 bytes, if it has one
	v2   BLOB,          -- of 32
	file BLOB NOT NULL, -- the .torrent file
	up   INTEGER NOT NULL DEFAULT 0, -- bytes, since it is known
	down INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX torrent_v1 ON torrent (v1) WHERE v1 IS NOT NULL;
CREATE UNIQUE INDEX torrent_v2 ON torrent (v2) WHERE v2 IS NOT NULL;

CREATE TABLE share (
	root    TEXT PRIMARY KEY, -- what is published, as kith.Ref
	torrent INTEGER NOT NULL REFERENCES torrent (id),
	share   BLOB NOT NULL     -- bridge.Share in JSON
) WITHOUT ROWID;
CREATE INDEX share_torrent ON share (torrent);

CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
`, `
ALTER TABLE torrent ADD COLUMN audience TEXT; -- audience in JSON; NULL: the file was not read for it yet
`}

// audience is who may be told of a torrent.
type audience struct {
	Trackers []string `json:"trackers,omitempty"` // its own
	Private  bool     `json:"private,omitempty"`  // these alone (BEP 27)
}

func audienceOf(t *metainfo.Torrent) audience {
	return audience{slices.Concat(t.Trackers...), t.Private}
}

// text returns it as it is written down.
func (t audience) text() string {
	data, err := json.Marshal(t)
	if err != nil {
		panic(err) // of text and a bool nothing can fail
	}
	return string(data)
}

// A store remembers torrents, what is published by them, and the digests that they are made of.
type store struct{ db *sql.DB }

func openStore(dir string, log *slog.Logger) (*store, string, error) {
	d, note, err := db.Open(filepath.Join(dir, "bittorrent.db"), log, migrations)
	return &store{d}, note, err
}

func (s *store) digest(ctx context.Context, ref kith.Ref, piece int64) (d metainfo.Digest, ok bool, err error) {
	var padded, root []byte
	err = s.db.QueryRowContext(ctx, "SELECT size, pieces, padded, layer, root FROM digest WHERE ref = ? AND piece = ?", ref.Sum[:], piece).
		Scan(&d.Size, &d.Pieces, &padded, &d.Layer, &root)
	if errors.Is(err, sql.ErrNoRows) {
		return d, false, nil
	}
	copy(d.Padded[:], padded)
	copy(d.Root[:], root)
	if len(d.Layer) == 0 {
		d.Layer = nil
	}
	return d, err == nil, err
}

func (s *store) keepDigest(ctx context.Context, ref kith.Ref, piece int64, d metainfo.Digest) error {
	_, err := s.db.ExecContext(ctx, "INSERT OR REPLACE INTO digest (ref, piece, size, pieces, padded, layer, root) VALUES (?, ?, ?, ?, ?, ?, ?)",
		ref.Sum[:], piece, d.Size, bytesOf(d.Pieces), d.Padded[:], bytesOf(d.Layer), d.Root[:])
	return err
}

// bytesOf makes no NULL of what is empty.
func bytesOf(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// null makes NULL of an infohash that is not there.
func null(names kith.Names) (v1, v2 []byte) {
	if names.V1 != (kith.InfoHash{}) {
		v1 = names.V1[:]
	}
	if names.V2 != [32]byte{} {
		v2 = names.V2[:]
	}
	return v1, v2
}

// keepTorrent writes a torrent down, if it is not known, and returns its number.
func (s *store) keepTorrent(ctx context.Context, t *metainfo.Torrent) (id int64, err error) {
	v1, v2 := null(kith.Names{V1: t.V1, V2: t.V2})
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback()
	err = tx.QueryRowContext(ctx, "SELECT id FROM torrent WHERE v1 = ? OR v2 = ?", v1, v2).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		var r sql.Result
		if r, err = tx.ExecContext(ctx, "INSERT INTO torrent (v1, v2, file, audience) VALUES (?, ?, ?, ?)", v1, v2, t.Encode(), audienceOf(t).text()); err == nil {
			id, err = r.LastInsertId()
		}
	} else if err == nil {
		_, err = tx.ExecContext(ctx, "UPDATE torrent SET file = ?, audience = ? WHERE id = ?", t.Encode(), audienceOf(t).text(), id)
	}
	if err != nil {
		return 0, err
	}
	return id, tx.Commit()
}

// torrent returns what is known by one of the names; nil if none is.
func (s *store) torrent(ctx context.Context, names kith.Names) (t *metainfo.Torrent, id int64, err error) {
	v1, v2 := null(names)
	var file []byte
	err = s.db.QueryRowContext(ctx, "SELECT id, file FROM torrent WHERE v1 = ? OR v2 = ?", v1, v2).Scan(&id, &file)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, 0, nil
	}
	if err == nil {
		t, err = metainfo.Read(file)
	}
	return t, id, err
}

// published is a row of share, without what is long.
type published struct {
	root     kith.Ref
	torrent  int64
	names    kith.Names
	audience audience
	up, down int64
}

// shares returns all that is published.
func (s *store) shares(ctx context.Context) (list []published, err error) {
	if err := s.readAudience(ctx); err != nil {
		return nil, err
	}
	rows, err := s.db.QueryContext(ctx, "SELECT root, torrent, v1, v2, audience, up, down FROM share JOIN torrent ON torrent = id")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var p published
		var root string
		var v1, v2, audience []byte
		if err := rows.Scan(&root, &p.torrent, &v1, &v2, &audience, &p.up, &p.down); err != nil {
			return nil, err
		}
		if p.root, err = kith.ParseRef(root); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(audience, &p.audience); err != nil {
			return nil, fmt.Errorf("audience of %s: %w: %w", p.root.Short(), err, kith.Corrupt)
		}
		copy(p.names.V1[:], v1)
		copy(p.names.V2[:], v2)
		list = append(list, p)
	}
	return list, rows.Err()
}

// readAudience finds out who may be told of what an older version has published.
func (s *store) readAudience(ctx context.Context) error {
	for {
		var id int64
		var file []byte
		err := s.db.QueryRowContext(ctx, "SELECT id, file FROM torrent WHERE audience IS NULL LIMIT 1").Scan(&id, &file)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		who := audience{Private: true} // of one that cannot be read nobody is told
		if t, err := metainfo.Read(file); err == nil {
			who = audienceOf(t)
		}
		if _, err := s.db.ExecContext(ctx, "UPDATE torrent SET audience = ? WHERE id = ?", who.text(), id); err != nil {
			return err
		}
	}
}

func (s *store) keepShare(ctx context.Context, share bridge.Share, torrent int64) error {
	data, err := json.Marshal(share)
	if err != nil {
		return err
	}
	_, err = s.db.ExecContext(ctx, "INSERT OR REPLACE INTO share (root, torrent, share) VALUES (?, ?, ?)", share.Root.String(), torrent, data)
	return err
}

// share returns what is published as root, and by which torrent. Errors: NotFound.
func (s *store) share(ctx context.Context, root kith.Ref) (share bridge.Share, t *metainfo.Torrent, err error) {
	var data, file []byte
	err = s.db.QueryRowContext(ctx, "SELECT share, file FROM share JOIN torrent ON torrent = id WHERE root = ?", root.String()).Scan(&data, &file)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return share, nil, kith.NotFound
	case err != nil:
		return share, nil, err
	}
	if err := json.Unmarshal(data, &share); err != nil {
		return share, nil, fmt.Errorf("%w: %w", err, kith.Corrupt)
	}
	t, err = metainfo.Read(file)
	return share, t, err
}

func (s *store) dropShare(ctx context.Context, root kith.Ref) error {
	_, err := s.db.ExecContext(ctx, "DELETE FROM share WHERE root = ?", root.String())
	return err
}

// count adds what moved.
func (s *store) count(ctx context.Context, torrent, up, down int64) error {
	_, err := s.db.ExecContext(ctx, "UPDATE torrent SET up = up + ?, down = down + ? WHERE id = ?", up, down, torrent)
	return err
}

func (s *store) setting(ctx context.Context, name string) (value string, err error) {
	err = s.db.QueryRowContext(ctx, "SELECT value FROM setting WHERE name = ?", name).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return value, err
}

func (s *store) set(ctx context.Context, name, value string) error {
	_, err := s.db.ExecContext(ctx, "INSERT OR REPLACE INTO setting (name, value) VALUES (?, ?)", name, value)
	return err
}
