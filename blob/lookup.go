package blob

import (
	"cmp"
	"context"
	"database/sql"
	"path/filepath"
	"slices"

	"kith"
	"kith/blob/bao"
)

// hot holds the statement that opening a blob takes: a folder of small files is served by opening each, and to parse the statement, or to have two,
// would be half of the work.
type hot struct{ blob *sql.Stmt }

func (h *hot) prepare(ctx context.Context, db *sql.DB) (err error) {
	h.blob, err = db.PrepareContext(ctx, "SELECT blob.id, blob.size, data, tree, EXISTS (SELECT 1 FROM part WHERE part.blob = blob.id), folder.id IS NOT NULL,"+
		" coalesce(folder, 0), coalesce(path, ''), coalesce(name, ''), coalesce(place.size, 0), coalesce(mtime, 0), coalesce(dev, 0), coalesce(ino, 0),"+
		" coalesce(own, 0), coalesce(gone, 0), header"+
		" FROM blob LEFT JOIN place ON place.blob = blob.id LEFT JOIN folder ON folder = folder.id WHERE sum = ?")
	return err
}

// A row is what the database knows of a blob.
type row struct {
	id, size   int64
	data, tree []byte
	part       bool
	places     []place // those that are there first
}

// lookUp returns what is known of a blob. Errors: NotFound.
func (s *Store) lookUp(ctx context.Context, sum bao.Sum) (r row, err error) {
	rows, err := s.hot.blob.QueryContext(ctx, sum[:])
	if err != nil {
		return r, err
	}
	defer rows.Close()
	known := false
	for rows.Next() {
		known = true
		var p place
		var placed bool
		if err := rows.Scan(&r.id, &r.size, &r.data, &r.tree, &r.part, &placed,
			&p.folder, &p.dir, &p.name, &p.size, &p.mtime, &p.dev, &p.ino, &p.own, &p.gone, &p.header); err != nil {
			return r, err
		}
		if p.folder == keepFolder {
			p.dir = filepath.Join(s.dir, "keep")
		}
		if placed {
			r.places = append(r.places, p)
		}
	}
	if err := rows.Err(); err != nil {
		return r, err
	}
	if !known {
		return r, kith.NotFound
	}
	slices.SortStableFunc(r.places, func(a, b place) int { return cmp.Compare(order(a.gone), order(b.gone)) })
	return r, nil
}

func order(gone bool) int {
	if gone {
		return 1
	}
	return 0
}

// few returns the digests of all blobs, complete or not, if they are at most n, and otherwise nil.
func (s *Store) few(ctx context.Context, n int) (map[bao.Sum]bool, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT sum FROM blob LIMIT ?", n+1)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[bao.Sum]bool{}
	for rows.Next() {
		var sum sql.RawBytes
		if err := rows.Scan(&sum); err != nil {
			return nil, err
		}
		all[bao.Sum(sum)] = true
	}
	if len(all) > n {
		all = nil
	}
	return all, rows.Err()
}
