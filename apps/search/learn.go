package search

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"path"
	"slices"
	"sync"
	"time"

	"kith"
	"kith/blob/folder"
	"kith/blob/seal"
	"kith/search/fact"
	"kith/search/index"
	"kith/search/media"
)

// How what is here is read. Of a file only headers are; half of the time is left to others.
const (
	learnFor   = 2 * time.Second // at once, before what was learned is told
	learnFiles = 32              // of a folder, the largest
)

// learned is what is known of the contents that are here.
type learned struct {
	mu     sync.Mutex
	all    map[string]fact.Facts // by ref
	failed map[string]bool       // refs that could not be read since the node was started
}

// readLearned returns what was written down by these rules.
func (s *Search) readLearned(ctx context.Context) (map[string]fact.Facts, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT ref, facts FROM media WHERE version = ?`, media.Version)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[string]fact.Facts{}
	for rows.Next() {
		var ref string
		var text []byte
		var f fact.Facts
		if err := rows.Scan(&ref, &text); err != nil {
			return nil, err
		}
		if json.Unmarshal(text, &f) == nil { // else it is read again
			all[ref] = fact.Clean(f)
		}
	}
	return all, rows.Err()
}

// facts returns what is known of a content by its bytes, if they were read.
func (s *Search) facts(ref kith.Ref) (fact.Facts, bool) {
	s.learned.mu.Lock()
	defer s.learned.mu.Unlock()
	f, ok := s.learned.all[ref.String()]
	return f, ok
}

// learn reads items that were not read yet, as far as it comes in the time that it has; more is whether some are left.
func (s *Search) learn(ctx context.Context, items []Item) (more bool) {
	begun := time.Now()
	for _, it := range items {
		ref := it.Link.Ref.String()
		s.learned.mu.Lock()
		_, known := s.learned.all[ref]
		known = known || s.learned.failed[ref]
		s.learned.mu.Unlock()
		if known {
			continue
		}
		at := time.Now()
		if at.Sub(begun) > learnFor {
			return true
		}
		err := s.learnItem(ctx, it)
		if ctx.Err() != nil {
			return false
		}
		if err != nil {
			s.env.Log.Debug("what an item says of itself could not be read", "ref", ref, "err", err)
			s.learned.mu.Lock()
			s.learned.failed[ref] = true
			s.learned.mu.Unlock()
		}
		pause := time.NewTimer(time.Since(at))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
	}
	return false
}

// learnItem reads an item, writes down what it says of itself, and tells the index what others say of the same content and is not so.
func (s *Search) learnItem(ctx context.Context, it Item) error {
	f, err := s.readItem(ctx, it)
	if err != nil {
		return err
	}
	text, err := json.Marshal(f)
	if err != nil {
		return err
	}
	ref := it.Link.Ref
	if _, err := s.db.ExecContext(ctx, `INSERT OR REPLACE INTO media (ref, version, facts) VALUES (?, ?, ?)`, ref.String(), media.Version, text); err != nil {
		return err
	}
	s.learned.mu.Lock()
	s.learned.all[ref.String()] = f
	s.learned.mu.Unlock()
	s.shun.settling.Lock() // what is taken out of the index meanwhile does not come back
	defer s.shun.settling.Unlock()
	docs, err := s.index.Of(ctx, ref)
	if err != nil {
		return err
	}
	docs = slices.DeleteFunc(docs, func(d index.Doc) bool { return d.Publisher == ofMine || d.Publisher == forContacts })
	for i := range docs {
		docs[i] = s.asKnown(docs[i])
	}
	return s.index.Put(ctx, docs...)
}

// asKnown returns a document as the bytes of its content are, if they are known here: what they are, and not what somebody says that they are.
func (s *Search) asKnown(d index.Doc) index.Doc {
	f, ok := s.facts(d.Root)
	if !ok {
		return d
	}
	said := cmp.Or(d.Says, d.Type)
	if d.Facts, d.Text, d.Type, d.Says = f, f.Text(), f.Decide(said), ""; f.Denies(said) {
		d.Says = said
	}
	return d
}

// forget removes what is known of what is not here any more.
func (s *Search) forget(ctx context.Context, ref string) error {
	s.learned.mu.Lock()
	delete(s.learned.all, ref)
	s.learned.mu.Unlock()
	_, err := s.db.ExecContext(ctx, `DELETE FROM media WHERE ref = ?`, ref)
	return err
}

// readItem returns what an item says of itself.
func (s *Search) readItem(ctx context.Context, it Item) (fact.Facts, error) {
	if it.Link.Key == nil && !it.Folder {
		return s.readFile(ctx, it.Link.Name, it.Link.Ref, nil)
	}
	m, key, err := s.manifest(ctx, it)
	if err != nil {
		return fact.Facts{}, err
	}
	entries := slices.DeleteFunc(slices.Clone(m.Entries), func(e folder.Entry) bool { return !e.File() || e.Size == 0 })
	slices.SortStableFunc(entries, func(a, b folder.Entry) int { return cmp.Compare(b.Size, a.Size) })
	var all []fact.Facts
	for _, e := range entries[:min(len(entries), learnFiles)] {
		f, err := s.readFile(ctx, path.Base(e.Path), e.Ref, key)
		if err != nil {
			return fact.Facts{}, err
		}
		all = append(all, f)
	}
	if !it.Folder && len(all) == 1 {
		return all[0], nil
	}
	return fact.Join(all), nil
}

// readFile returns what one file says of itself.
func (s *Search) readFile(ctx context.Context, name string, ref kith.Ref, key *seal.Key) (fact.Facts, error) {
	b, err := s.env.Blobs.Blob(ctx, ref)
	if err != nil {
		return fact.Facts{}, err
	}
	defer b.Close()
	var r io.ReaderAt = b
	size := b.Size()
	if key != nil {
		o, err := seal.Open(*key, b, size)
		if err != nil {
			return fact.Facts{}, err
		}
		r, size = o, o.PlainSize()
	}
	return media.Read(name, r, size)
}

// manifest returns what is in a folder or a private share, and its key.
func (s *Search) manifest(ctx context.Context, it Item) (*folder.Manifest, *seal.Key, error) {
	var key *seal.Key
	if it.Link.Key != nil {
		k := seal.Key(it.Link.Key)
		key = &k
	}
	m, err := s.env.Blobs.Manifest(ctx, it.Link.Ref, key)
	return m, key, err
}
