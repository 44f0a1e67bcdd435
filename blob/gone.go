package blob

import (
	"context"
	"iter"

	"kith"
)

// A Change says that a shared file of a tree was changed or removed by its owner, or is there again.
type Change struct {
	Root kith.Ref
	Path string // the file
	Gone bool   // false: it is back
}

// maxChanges is how many changes wait for a slow reader.
const maxChanges = 256

// Changes yields what becomes gone, or comes back, until ctx ends. A slow reader misses some: State always tells the truth.
func (s *Store) Changes(ctx context.Context) iter.Seq[Change] {
	ch := make(chan Change, maxChanges)
	s.mu.Lock()
	s.watch[ch] = true
	s.mu.Unlock()
	return func(yield func(Change) bool) {
		defer func() {
			s.mu.Lock()
			delete(s.watch, ch)
			s.mu.Unlock()
		}()
		for {
			select {
			case c := <-ch:
				if !yield(c) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

// lostBlob is the condition that the bytes of a blob are nowhere.
const lostBlob = "data IS NULL AND size > 0 AND NOT EXISTS (SELECT 1 FROM part WHERE part.blob = blob.id)" +
	" AND NOT EXISTS (SELECT 1 FROM place WHERE place.blob = blob.id AND NOT gone)"

// setGone notes that a file was found changed or removed, or as it was again, and what that means for the trees that need it.
func (s *Store) setGone(ctx context.Context, id int64, p *place, gone bool) error {
	if p.gone == gone && p.mtime >= 0 {
		return nil
	}
	p.gone = gone
	var changed []Change
	err := s.within(ctx, func(in *inserter) error {
		if _, err := in.exec("UPDATE place SET gone = ?, mtime = ? WHERE folder = ? AND name = ? AND blob = ?",
			gone, p.mtime, p.folder, p.name, id); err != nil {
			return err
		}
		rows, err := in.tx.Query("SELECT id, root, codec, gone, EXISTS (SELECT 1 FROM member JOIN blob ON blob.id = member.blob"+
			" WHERE member.tree = tree.id AND "+lostBlob+") FROM tree WHERE id IN (SELECT tree FROM member WHERE blob = ?)", id)
		if err != nil {
			return err
		}
		defer rows.Close()
		trees := map[int64]bool{}
		for rows.Next() {
			var tree int64
			var root kith.Ref
			var sum []byte
			var was, is bool
			if err := rows.Scan(&tree, &sum, &root.Codec, &was, &is); err != nil {
				return err
			}
			if copy(root.Sum[:], sum); was != is {
				trees[tree] = is
				changed = append(changed, Change{root, p.path(), is})
			}
		}
		if err := rows.Err(); err != nil {
			return err
		}
		for tree, is := range trees {
			if _, err := in.exec("UPDATE tree SET gone = ? WHERE id = ?", is, tree); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for ch := range s.watch {
		for _, c := range changed {
			select {
			case ch <- c:
			default:
			}
		}
	}
	return nil
}
