package blob

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"strings"

	"kith"
	"kith/blob/bao"
)

// MaxAhead is how many blobs Blobs asks the database for at once.
const MaxAhead = 16

// hot holds the statements that opening blobs takes, one and many: a folder of small files is served by opening each, and to parse the
// statement, or to have one for each, would be half of the work.
type hot struct{ one, many *sql.Stmt }

func (h *hot) prepare(ctx context.Context, db *sql.DB) (err error) {
	const ask = "SELECT sum, blob.id, blob.size, data, tree, EXISTS (SELECT 1 FROM part WHERE part.blob = blob.id), folder.id IS NOT NULL," +
		" coalesce(folder, 0), coalesce(path, ''), coalesce(name, ''), coalesce(place.size, 0), coalesce(mtime, 0), coalesce(dev, 0), coalesce(ino, 0)," +
		" coalesce(own, 0), coalesce(gone, 0), header" +
		" FROM blob LEFT JOIN place ON place.blob = blob.id LEFT JOIN folder ON folder = folder.id WHERE sum IN (?"
	if h.one, err = db.PrepareContext(ctx, ask+")"); err == nil {
		h.many, err = db.PrepareContext(ctx, ask+strings.Repeat(", ?", MaxAhead-1)+")")
	}
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
func (s *Store) lookUp(ctx context.Context, sum bao.Sum) (*row, error) {
	known, err := s.lookUpAll(ctx, []bao.Sum{sum})
	if err == nil && known[sum] == nil {
		err = kith.NotFound
	}
	return known[sum], err
}

// lookUpAll returns what is known of at most MaxAhead blobs.
func (s *Store) lookUpAll(ctx context.Context, sums []bao.Sum) (map[bao.Sum]*row, error) {
	stmt, args := s.hot.one, make([]any, 1, MaxAhead)
	if len(sums) > 1 {
		stmt, args = s.hot.many, args[:MaxAhead]
	}
	for i := range args {
		args[i] = sums[min(i, len(sums)-1)][:]
	}
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	known := make(map[bao.Sum]*row, len(sums))
	for rows.Next() {
		var sum sql.RawBytes
		var r row
		var p place
		var placed bool
		if err := rows.Scan(&sum, &r.id, &r.size, &r.data, &r.tree, &r.part, &placed,
			&p.folder, &p.dir, &p.name, &p.Size, &p.Mtime, &p.Dev, &p.Ino, &p.own, &p.gone, &p.header); err != nil {
			return nil, err
		}
		if p.folder == keepFolder {
			p.dir = s.keep()
		}
		k := known[bao.Sum(sum)]
		if k == nil {
			k = &r
			known[bao.Sum(sum)] = k
		}
		if placed {
			k.places = append(k.places, p)
		}
	}
	for _, r := range known {
		slices.SortStableFunc(r.places, func(a, b place) int { return cmp.Compare(order(a.gone), order(b.gone)) })
	}
	return known, rows.Err()
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
