package index

import (
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"kith/search/words"
)

// The rank of a document is the sum, over the words, of BM25F (Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009, section 3.6) with each term counted
// once a field; then something for what is new and for what many publish.
const (
	bm25K1     = 1.2
	bm25B      = 0.6
	inexact    = 0.7 // what a stem, a part or the rest of a word that is being typed is worth beside the word itself
	freshWorth = 1.0 // what is published now gets this, and half of it after
	freshHalf  = 120 * 24 * time.Hour
	perDouble  = 0.6 // for each doubling of publishers
)

// A need is one word, with what of it is in the index.
type need struct {
	text string
	word int   // which of the query's words it is of; -1 for one of a phrase
	any  []alt // any of these; empty if no document has it
	docs int   // about how many documents have it
}

// An alt is terms that together are a word.
type alt struct {
	terms []string
	marks []uint16
	worth float64 // its inverse document frequency, less if it is not the word itself
	docs  int
}

func (n need) expr() string {
	any := make([]string, len(n.any))
	for i, a := range n.any {
		any[i] = "(" + strings.Join(quoted(a.terms), " AND ") + ")"
	}
	return "(" + strings.Join(any, " OR ") + ")"
}

// A phrase is terms that stand behind each other in one field, or may not.
type phrase struct {
	parts []string
	marks []uint16 // of the parts that are more than a sign, which may be no terms
	not   bool
}

// prepare makes the needs and phrases of the query, and corrects it where a word is in no document.
func (s *search) prepare(r *Results) error {
	lang := ""
	if len(s.q.Lang.In) == 1 {
		lang = s.q.Lang.In[0]
	}
	for i, w := range s.q.Words {
		for _, n := range words.Needs(w, lang) {
			s.needs = append(s.needs, need{text: n.Text, word: i, any: alts(n.Any)})
		}
	}
	s.words = len(s.needs)
	for _, p := range s.q.Phrases {
		for _, n := range words.Needs(p, lang) {
			s.needs = append(s.needs, need{text: n.Text, word: -1, any: alts(n.Any)})
		}
		s.phrases = append(s.phrases, newPhrase(p, false))
	}
	for _, n := range s.q.Not {
		if len(words.Needs(n, lang)) > 1 {
			s.phrases = append(s.phrases, newPhrase(n, true))
		}
	}
	if err := s.look(s.needs); err != nil {
		return err
	}
	if last := s.words - 1; s.o.Typing && last >= 0 {
		if err := s.begin(&s.needs[last]); err != nil {
			return err
		}
	}
	if s.o.Exact {
		return nil
	}
	return s.correct(r)
}

func alts(any [][]string) []alt {
	out := make([]alt, len(any))
	for i, terms := range any {
		out[i] = newAlt(terms)
	}
	return out
}

func newAlt(terms []string) alt {
	a := alt{terms: terms}
	for _, t := range terms {
		a.marks = append(a.marks, mark(t))
	}
	return a
}

func newPhrase(text string, not bool) phrase {
	p := phrase{parts: words.Sequence(text), not: not}
	for _, part := range p.parts {
		if utf8.RuneCountInString(part) > 1 {
			p.marks = append(p.marks, mark(part))
		}
	}
	return p
}

// exclusions returns the words that may not occur, each as the terms that together are it. Those of several words are phrases.
func (s *search) exclusions() []string {
	var out []string
	for _, n := range s.q.Not {
		if needs := words.Needs(n, ""); len(needs) == 1 {
			out = append(out, strings.Join(needs[0].Any[0], " "))
		}
	}
	return out
}

// look leaves of the needs what is in the index, and gives it its worth.
func (s *search) look(needs []need) error {
	stmt, err := s.conn.PrepareContext(s.ctx, "SELECT docs FROM term WHERE term = ?")
	if err != nil {
		return err
	}
	defer stmt.Close()
	total := max(1, s.x.Status().Docs+len(s.beside))
	for i := range needs {
		n := &needs[i]
		kept := n.any[:0]
		for j, a := range n.any {
			a.docs = math.MaxInt
			for _, t := range a.terms {
				docs := 0
				if err := stmt.QueryRowContext(s.ctx, t).Scan(&docs); err != nil && !errors.Is(err, sql.ErrNoRows) {
					return err
				}
				a.docs = min(a.docs, docs+s.besideWith(t))
			}
			if a.docs > 0 {
				a.worth = idf(a.docs, total)
				if j > 0 {
					a.worth *= inexact
				}
				kept = append(kept, a)
				n.docs += a.docs
			}
		}
		n.any = kept
	}
	return nil
}

func idf(docs, total int) float64 {
	return math.Log(1 + (float64(max(0, total-docs))+0.5)/(float64(docs)+0.5))
}

// What a word that is being typed may become.
const (
	minPrefix  = 2    // signs
	maxPrefix  = 12   // the commonest words that begin with it
	scanPrefix = 2000 // words that are looked at
)

// begin adds to a need the commonest terms that begin with its word.
func (s *search) begin(n *need) error {
	typed := words.Sequence(n.text)
	if len(typed) != 1 || utf8.RuneCountInString(typed[0]) < minPrefix {
		return nil
	}
	rows, err := s.conn.QueryContext(s.ctx, fmt.Sprintf("SELECT term, docs FROM (SELECT term, docs FROM term WHERE term > ? AND term < ? LIMIT %d) ORDER BY docs DESC LIMIT %d",
		scanPrefix, maxPrefix), typed[0], typed[0]+"\U0010ffff")
	if err != nil {
		return err
	}
	defer rows.Close()
	total := s.x.Status().Docs
	for rows.Next() {
		var term string
		var docs int
		if err := rows.Scan(&term, &docs); err != nil {
			return err
		}
		if slices.ContainsFunc(n.any, func(a alt) bool { return len(a.terms) == 1 && a.terms[0] == term }) {
			continue
		}
		a := newAlt([]string{term})
		a.docs, a.worth = docs, inexact*idf(docs, total)
		n.any = append(n.any, a)
		n.docs += docs
	}
	return rows.Err()
}

// A candidate is a document that is being ranked.
type candidate struct {
	id, content, publisher, size, published, length, year int64
	fields                                                [numFields][]byte // the marks of each, two bytes a term
}

// parse takes terms apart, as entry wrote them.
func (c *candidate) parse(terms []byte) bool {
	for f := range c.fields {
		if len(terms) == 0 || len(terms) < 1+2*int(terms[0]) {
			return false
		}
		n := 1 + 2*int(terms[0])
		c.fields[f], terms = terms[1:n], terms[n:]
	}
	return true
}

func (c *candidate) has(field int, mark uint16) bool {
	f := c.fields[field]
	for i := 0; i < len(f); i += 2 {
		if binary.BigEndian.Uint16(f[i:]) == mark {
			return true
		}
	}
	return false
}

// score returns what a document is worth, without age and publishers, and the needs that it does not answer.
func (s *search) score(c *candidate) (sum float64, missing []int) {
	for i := range s.needs {
		best := 0.0
		for _, a := range s.needs[i].any {
			tf := math.Inf(1)
			for _, m := range a.marks {
				sum := 0.0
				for f := range c.fields {
					if c.has(f, m) {
						sum += fields[f].weight / (1 - bm25B + bm25B*float64(len(c.fields[f])/2)/fields[f].usual)
					}
				}
				tf = min(tf, sum)
			}
			best = max(best, a.worth*tf*(bm25K1+1)/(tf+bm25K1))
		}
		if best == 0 {
			missing = append(missing, i)
		}
		sum += best
	}
	return sum, missing
}

func (s *search) fresh(published int64) float64 {
	age := max(0, s.now.Sub(time.Unix(published, 0)))
	return freshWorth * math.Exp2(-float64(age)/float64(freshHalf))
}

func popular(publishers int) float64 { return perDouble * math.Log2(float64(max(1, publishers))) }

// hasPhrases reports whether a document has every phrase that it must, and none that it must not. Its text is read only if it has all their terms.
func (s *search) hasPhrases(c *candidate) (bool, error) {
	var look []phrase
	for _, p := range s.phrases {
		possible := false
		for f := range c.fields {
			possible = possible || !slices.ContainsFunc(p.marks, func(m uint16) bool { return !c.has(f, m) })
		}
		switch {
		case possible:
			look = append(look, p)
		case !p.not:
			return false, nil
		}
	}
	if len(look) == 0 {
		return true, nil
	}
	doc, err := s.doc(c.id)
	if err != nil {
		return false, gone(err)
	}
	texts := [][]string{words.Sequence(doc.Name), words.Sequence(doc.Text)}
	for _, list := range [][]string{doc.Tags, doc.Files} {
		for _, s := range list {
			texts = append(texts, words.Sequence(s))
		}
	}
	for _, p := range look {
		if slices.ContainsFunc(texts, func(text []string) bool { return stands(p.parts, text) }) == p.not {
			return false, nil
		}
	}
	return true, nil
}

// stands reports whether the parts stand behind each other in a text.
func stands(parts, text []string) bool {
	for i := 0; i+len(parts) <= len(text); i++ {
		if slices.Equal(parts, text[i:i+len(parts)]) {
			return true
		}
	}
	return false
}
