package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// maxCounted is how many documents Publishers looks at.
const maxCounted = 1_000

// Publishers returns about how many publishers have documents that have all of some terms, as search/words makes them. Of terms that more than maxCounted documents have it
// does not tell publishers of few from those of many.
func (x *Index) Publishers(ctx context.Context, terms ...string) (n int, err error) {
	err = x.use(func(handle *sql.DB) error {
		n = 0
		if len(terms) == 0 {
			return nil
		}
		for _, t := range terms { // most that are asked for are nowhere
			docs := 0
			if err := handle.QueryRowContext(ctx, "SELECT docs FROM term WHERE term = ?", t).Scan(&docs); errors.Is(err, sql.ErrNoRows) {
				return nil
			} else if err != nil {
				return err
			}
		}
		expr := strings.Join(quoted(terms), " AND ")
		return handle.QueryRowContext(ctx, "SELECT count(DISTINCT d.publisher) FROM (SELECT rowid FROM fts WHERE fts MATCH ? LIMIT ?) f JOIN doc d ON d.id = f.rowid", expr, maxCounted).Scan(&n)
	})
	if err != nil {
		return 0, fmt.Errorf("index: count: %w", err)
	}
	return n, nil
}
