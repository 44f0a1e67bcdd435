package index

import (
	"database/sql"
	"errors"
	"slices"
	"strings"

	"kith/search/query"
	"kith/search/words"
)

// A beside is a document that is looked at and is not in the index.
type beside struct {
	entry
	row   int64 // below zero, so that it is none of the index
	terms map[string]bool
}

// takeBeside makes entries of the documents beside the index. Those that are in it are found there.
func (s *search) takeBeside(r *Results) error {
	var memo words.Memo
	for _, doc := range s.o.Beside {
		e, err := s.x.entry(doc, &memo)
		if err != nil {
			return err
		}
		var row int64
		err = s.conn.QueryRowContext(s.ctx, "SELECT id FROM doc WHERE key = ?", e.key).Scan(&row)
		switch {
		case err == nil:
			r.Beside = append(r.Beside, doc.ID)
			continue
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
		b := &beside{entry: e, row: int64(-1 - len(s.beside)), terms: map[string]bool{}}
		for _, t := range strings.Fields(e.text) {
			b.terms[t] = true
		}
		s.beside = append(s.beside, b)
	}
	return nil
}

// besideWith returns how many of the documents beside the index have a term.
func (s *search) besideWith(term string) (n int) {
	for _, b := range s.beside {
		if b.terms[term] {
			n++
		}
	}
	return n
}

// scanBeside looks at the documents beside the index.
func (s *search) scanBeside(r *Results) error {
	s.read = 0
	for _, b := range s.beside {
		c := candidate{id: b.row, content: b.content, publisher: s.x.hash(ofPublisher, b.doc.Publisher), size: b.doc.Size, published: b.doc.Published.Unix(),
			length: int64(b.doc.Facts.Length), year: int64(b.doc.Facts.Year)}
		if !c.parse(b.fields) || !s.passes(b) {
			continue
		}
		ok, err := s.consider(&c)
		if err != nil {
			return err
		}
		if ok {
			r.Beside = append(r.Beside, b.doc.ID)
		}
	}
	return nil
}

// passes reports whether a document beside the index passes what filter and exclusions say of those in it.
func (s *search) passes(b *beside) bool {
	choice := func(kind byte, c query.Choice) bool {
		has := func(v string) bool { return b.terms[s.x.facet(kind, v)] }
		in := len(c.In) == 0 || slices.ContainsFunc(c.In, has)
		if kind == ofTag {
			in = !slices.ContainsFunc(c.In, func(v string) bool { return !has(v) })
		}
		return in && !slices.ContainsFunc(c.Out, has)
	}
	return choice(ofType, s.q.Type) && choice(ofLanguage, s.q.Lang) && choice(ofTag, s.q.Tag) && choice(ofPublisher, s.q.By) &&
		!slices.ContainsFunc(s.ofMedia(), func(any string) bool {
			return !slices.ContainsFunc(strings.Fields(any), func(t string) bool { return b.terms[t] })
		}) &&
		!slices.ContainsFunc(s.exclusions(), func(not string) bool {
			return !slices.ContainsFunc(strings.Fields(not), func(t string) bool { return !b.terms[t] })
		})
}

// doc reads a document, in the index or beside it.
func (s *search) doc(row int64) (Doc, error) {
	if row < 0 {
		return s.beside[-1-row].doc, nil
	}
	s.read++
	_, doc, err := scanDoc(s.conn.QueryRowContext(s.ctx, selectDoc+"WHERE d.id = ?", row))
	return doc, err
}
